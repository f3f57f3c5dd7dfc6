//! The ledger against what befalls a database: locked, full, deleted, damaged, shared, bad rows (P32 to P36).

mod ledger_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ledger_support::{Place, body, close, eventually, net, options, send, send_many};
use rusqlite::Connection;
use tollgate::limits::SECOND;
use tollgate::model::usage::{Call, ToolCall, ToolResult};
use tollgate::telemetry::event::{CallEvent, Event, HeadCopy};
use tollgate::telemetry::{Full, Health, Ledger, LedgerError, OnCorrupt, OnFailure, Retention, Trouble};

const COUNT: &str = "SELECT count(*) FROM net_events";

#[test]
fn p32_rows_are_visible_within_a_second_while_the_ledger_is_open() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let start = ledger_support::now();
    send(&sink);
    assert!(eventually(|| place.number(COUNT) == 1));
    assert!(start.elapsed() < Duration::from_secs(1));
    close(ledger);
}

#[test]
fn closing_drains_the_queue_and_ends_the_session() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    send_many(&sink, 20_000);
    let closed = close(ledger);
    assert_eq!((closed.written, closed.lost), (20_000, 0));
    assert_eq!(place.number(COUNT), 20_000);
    assert_eq!(
        place.number("SELECT count(*) FROM sessions WHERE ended_at >= started_at AND name = 'test'"),
        1
    );
    let log = place.dir.path().join("ledger.db-wal");
    assert!(fs::metadata(log).map_or(0, |metadata| metadata.len()) == 0);
}

#[test]
fn ids_go_on_without_a_gap_after_a_proper_end() {
    let place = Place::new();
    let ledger = place.open();
    let first = send(&ledger.sender());
    close(ledger);
    let ledger = place.open();
    assert_eq!(send(&ledger.sender()), first + 1);
    close(ledger);
}

#[test]
fn two_processes_share_one_file_without_sharing_ids() {
    let place = Place::new();
    let ledgers = [place.open(), place.open()];
    std::thread::scope(|scope| {
        for ledger in &ledgers {
            let sink = ledger.sender();
            scope.spawn(move || send_many(&sink, 5000));
        }
    });
    let [a, b] = ledgers.map(close);
    assert_eq!((a.lost, b.lost), (0, 0));
    assert_eq!(place.number(COUNT), 10_000);
    assert_eq!(place.number("SELECT count(DISTINCT session_id) FROM net_events"), 2);
    assert_eq!(place.number("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL"), 2);
}

#[test]
fn commits_name_every_new_exchange_once() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    for _ in 0..3 {
        send_many(&sink, 100);
        let sent = sink.next_exchange_id();
        let late = net(sent);
        std::thread::sleep(Duration::from_millis(80));
        sink.try_send(Event::Net(Box::new(late))).expect("room");
    }
    close(ledger);
    let named = "SELECT sum(json_extract(value, '$[1]') - json_extract(value, '$[0]') + 1) \
        FROM commits, json_each(net_events)";
    assert_eq!(place.number(named), place.number(COUNT));
    assert_eq!(place.number(COUNT), 303);
}

#[test]
fn lesson_41_a_bad_row_never_takes_its_batch_along() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let first = send(&sink);
    for _ in 0..10 {
        send(&sink);
        sink.try_send(Event::Net(Box::new(net(first)))).expect("room");
    }
    let closed = close(ledger);
    assert_eq!((closed.written, closed.lost), (11, 10));
    assert_eq!(place.number(COUNT), 11);
    assert_eq!(
        place.number("SELECT sum(count) FROM dropped WHERE kind = 'net_event' AND why LIKE '%UNIQUE%'"),
        10
    );
}

#[test]
fn nothing_of_a_row_stays_for_the_next() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let rule: std::sync::Arc<str> = "rule".into();
    let mut expected = Vec::new();
    for n in 0..64_u16 {
        let mut event = net(sink.next_exchange_id());
        event.host = (n % 3 != 0).then(|| format!("host{}", n % 2).into());
        event.rule = (n % 4 != 0).then(|| rule.clone());
        event.status = (n % 5 != 0).then_some(n);
        event.path = (n % 7 != 0).then(|| format!("/{n}").into_bytes().into());
        let path = event.path.as_ref().map(|path| String::from_utf8_lossy(path).into_owned());
        expected.push((
            event.host.clone().map(|h| h.to_string()),
            event.rule.clone().map(|r| r.to_string()),
            event.status,
            path,
        ));
        sink.try_send(Event::Net(Box::new(event))).expect("room");
    }
    close(ledger);
    let database = place.look();
    let mut rows = database
        .prepare("SELECT host, rule, status, path FROM net_events ORDER BY exchange_id")
        .expect("sql");
    let rows =
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).expect("read");
    assert_eq!(rows.collect::<Result<Vec<_>, _>>().expect("read"), expected);
}

#[test]
fn calls_may_come_before_their_exchange_and_carry_their_tools() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let id = sink.next_exchange_id();
    let tool = ToolCall { id: Some("t1".into()), name: "bash".into(), arguments: Some(r#"{"a":1}"#.into()) };
    let call = Call {
        provider: "anthropic",
        api: "anthropic.messages",
        tool_calls: vec![tool.clone(), tool],
        tool_results: vec![ToolResult { id: None, is_error: Some(true), preview: Some("no".into()) }],
        ..Call::default()
    };
    for _ in 0..2 {
        let event = CallEvent { exchange_id: id, started_at: 1, call: call.clone(), ..CallEvent::default() };
        sink.try_send(Event::Call(Box::new(event))).expect("room");
    }
    sink.try_send(Event::Net(Box::new(net(id)))).expect("room");
    close(ledger);
    assert_eq!(place.number("SELECT count(*) FROM model_calls JOIN net_events USING (exchange_id)"), 2);
    assert_eq!(place.number("SELECT count(*) FROM tool_calls JOIN model_calls USING (call_id)"), 4);
    assert_eq!(place.number("SELECT sum(is_error) FROM tool_results"), 2);
}

#[test]
fn p34_a_locked_database_is_outlived_and_said_after_patience() {
    let place = Place::new();
    let ledger = Ledger::open(tollgate::telemetry::LedgerOptions { patience: SECOND / 2, ..place.options() });
    let ledger = ledger.expect("opened");
    let sink = ledger.sender();
    let holder = place.look();
    holder.execute_batch("BEGIN IMMEDIATE").expect("locked");
    send(&sink);
    assert_eq!(sink.health(0), Health::Healthy);
    assert!(eventually(|| sink.health(0) == Health::Failed(OnFailure::Refuse)));
    assert_eq!(sink.trouble(), Trouble::Locked);
    holder.execute_batch("ROLLBACK").expect("unlocked");
    assert!(eventually(|| sink.health(0) == Health::Healthy && place.number(COUNT) == 1));
    assert_eq!(close(ledger).lost, 0);
}

#[test]
fn p34_a_full_queue_stalls_then_passes_and_the_loss_is_written() {
    let place = Place::new();
    let mut options = place.options();
    (options.queue, options.patience, options.on_failure) = (8, SECOND, OnFailure::Pass);
    let ledger = Ledger::open(options).expect("opened");
    let sink = ledger.sender();
    let holder = place.look();
    holder.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let mut lost = 0;
    for _ in 0..20 {
        if let Err(Full(event)) = sink.try_send(Event::Net(Box::new(net(sink.next_exchange_id())))) {
            sink.count_lost(&event);
            lost += 1;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(lost > 0 && sink.lost() == lost);
    assert_eq!(sink.health(0), Health::Stalled);
    assert_eq!(sink.health(SECOND - 1), Health::Stalled);
    assert_eq!(sink.health(SECOND), Health::Failed(OnFailure::Pass));
    holder.execute_batch("ROLLBACK").expect("unlocked");
    assert!(eventually(|| sink.health(0) == Health::Healthy));
    assert_eq!(close(ledger).lost, lost);
    assert_eq!(place.number("SELECT sum(count) FROM dropped WHERE kind = 'net_event'"), lost as i64);
    assert_eq!(place.number(COUNT), 20 - lost as i64);
}

#[test]
fn p34_closing_a_locked_ledger_ends_at_its_deadline() {
    let place = Place::new();
    let ledger = place.open();
    let holder = place.look();
    holder.execute_batch("BEGIN IMMEDIATE").expect("locked");
    send(&ledger.sender());
    let start = ledger_support::now();
    let closed = ledger.close(SECOND / 2);
    assert_eq!((closed.written, closed.lost), (0, 1));
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn p34_a_deleted_database_is_made_again_with_what_was_not_yet_safe() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    send(&sink);
    assert!(eventually(|| sink.written() == 1));
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        fs::remove_file(place.dir.path().join(name)).expect("deleted");
    }
    send(&sink);
    assert!(eventually(|| sink.written() == 2));
    close(ledger);
    assert_eq!(place.number(COUNT), 1);
    assert_eq!(place.number("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL"), 1);
}

#[test]
fn p34_a_ledger_whose_directory_went_away_fails_and_comes_back() {
    let place = Place::new();
    let inner = place.dir.path().join("inner");
    fs::create_dir(&inner).expect("made");
    let mut options = options(&inner);
    options.patience = SECOND / 5;
    let ledger = Ledger::open(options).expect("opened");
    let sink = ledger.sender();
    fs::remove_dir_all(&inner).expect("deleted");
    send(&sink);
    assert!(eventually(|| sink.health(0) == Health::Failed(OnFailure::Refuse)));
    fs::create_dir(&inner).expect("made again");
    assert!(eventually(|| sink.health(0) == Health::Healthy && sink.written() == 1));
    assert_eq!(close(ledger).lost, 0);
}

#[test]
fn p34_a_corrupt_file_at_start_is_set_aside_or_refused() {
    let place = Place::new();
    fs::write(place.db(), b"this is no database, but long enough to look at".repeat(100)).expect("written");
    let mut options = place.options();
    options.on_corrupt = OnCorrupt::Refuse;
    assert!(matches!(Ledger::open(options), Err(LedgerError::Corrupt(..))));
    let ledger = place.open();
    send(&ledger.sender());
    assert_eq!(close(ledger).written, 1);
    let names: Vec<_> =
        fs::read_dir(place.dir.path()).expect("listed").flatten().map(|e| e.file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().starts_with("ledger.db.corrupt-")), "{names:?}");
}

#[test]
fn p34_damage_inside_a_file_is_found_at_start() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    send_many(&sink, 5000);
    close(ledger);
    let mut bytes = fs::read(place.db()).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20_000].fill(0x5a);
    fs::write(place.db(), bytes).expect("written");
    let ledger = place.open();
    assert_eq!(place.number(COUNT), 0);
    close(ledger);
}

#[test]
fn p34_a_file_damaged_while_in_use_is_set_aside_and_rows_go_on() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    send(&sink);
    assert!(eventually(|| sink.written() == 1));
    for name in ["ledger.db", "ledger.db-wal"] {
        let path = place.dir.path().join(name);
        let length = fs::metadata(&path).expect("there").len() as usize;
        fs::write(&path, vec![0x5a; length]).expect("overwritten");
    }
    send(&sink);
    assert!(eventually(|| sink.written() == 2), "{}", sink.trouble());
    close(ledger);
    assert_eq!(place.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
}

#[test]
fn a_newer_file_is_refused_untouched() {
    let place = Place::new();
    close(place.open());
    place.look().pragma_update(None, "user_version", 99).expect("set");
    assert!(matches!(Ledger::open(place.options()), Err(LedgerError::Newer(_, 99))));
}

#[test]
fn p36_files_are_private_whatever_the_umask() {
    let place = Place::new();
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let ledger = place.open();
    send(&ledger.sender());
    assert!(eventually(|| ledger.sender().written() == 1));
    nix::sys::stat::umask(before);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "redaction.key"] {
        let mode = fs::metadata(place.dir.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    close(ledger);
}

#[test]
fn p36_secrets_are_in_no_file_at_any_time() {
    let place = Place::new();
    let secret = "sup3r-s3cret-value";
    let mut options = options(place.dir.path());
    options.session.name = Some(format!("try token={secret}"));
    options.session.command = Some(vec!["agent".into(), "--api-key".into(), secret.into()]);
    let ledger = Ledger::open(options).expect("a ledger");
    let sink = ledger.sender();
    let mut event = net(sink.next_exchange_id());
    let url = format!("https://me:{secret}@x.test/?token={secret}");
    let names = ["Authorization", "Cookie", "x-api-key", "X-Unknown"];
    let fields = names.map(|name| (name.as_bytes(), secret.as_bytes()));
    let head: HeadCopy = fields.into_iter().chain([(&b"Referer"[..], url.as_bytes())]).collect();
    event.request_headers = Some(head.clone());
    event.response_headers = Some(head);
    event.query = Some(format!("key={secret}&a=1&sig={secret}").into_bytes().into());
    event.request_body = Some(body(format!(r#"{{"password":"{secret}"}}"#).into_bytes()));
    let key = format!("sk-ant-api03-{secret}");
    let tool = ToolCall { name: key.clone(), ..ToolCall::default() };
    let call = Call {
        model_requested: Some(key.clone()),
        model: Some(key.clone()),
        error_type: Some(key),
        tool_calls: vec![tool],
        ..Call::default()
    };
    let (exchange_id, started_at) = (event.exchange_id, event.started_at);
    sink.try_send(Event::Net(Box::new(event))).expect("room");
    // So many that their sums are kept.
    for _ in 0..300 {
        let event = CallEvent { exchange_id, started_at, call: call.clone(), ..CallEvent::default() };
        sink.try_send(Event::Call(Box::new(event))).expect("room");
    }
    assert!(eventually(|| sink.written() == 301));
    let holds = |bytes: &[u8]| memchr::memmem::find(bytes, secret.as_bytes()).is_some();
    let files = || fs::read_dir(place.dir.path()).expect("listed").flatten().map(|entry| entry.path());
    assert!(files().count() >= 3);
    files().for_each(|path| assert!(!holds(&fs::read(&path).expect("readable")), "{}", path.display()));
    close(ledger);
    files().for_each(|path| assert!(!holds(&fs::read(&path).expect("readable")), "{}", path.display()));
    let query: String =
        place.look().query_row("SELECT query FROM net_events", [], |r| r.get(0)).expect("a row");
    assert!(query.starts_with("key=hmac:") && query.contains("&a=1&sig=hmac:"), "{query}");
    assert_eq!(place.number("SELECT sum(calls) FROM call_sums WHERE model LIKE '%hmac:%'"), 300);
}

#[test]
fn a_polling_reader_does_not_make_the_log_grow() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let done = AtomicBool::new(false);
    let log = place.dir.path().join("ledger.db-wal");
    let largest = std::thread::scope(|scope| {
        scope.spawn(|| {
            let reader = place.look();
            reader.busy_timeout(Duration::from_secs(1)).expect("set");
            while !done.load(Relaxed) {
                let mut statement =
                    reader.prepare_cached("SELECT * FROM net_events LIMIT 2000").expect("prepared");
                let mut rows = statement.query([]).expect("read");
                while rows.next().expect("read").is_some() {}
            }
        });
        let mut largest = 0;
        for n in 0..60_000 {
            let mut event = net(sink.next_exchange_id());
            event.request_body = Some(body(vec![b'a'; 1000]));
            while let Err(Full(_)) = sink.try_send(Event::Net(Box::new(event.clone()))) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if n % 1000 == 0 {
                std::thread::sleep(Duration::from_millis(10));
                largest = largest.max(fs::metadata(&log).map_or(0, |metadata| metadata.len()));
            }
        }
        done.store(true, Relaxed);
        largest
    });
    close(ledger);
    assert!(largest > 0 && largest < 32 << 20, "{largest}");
}

#[test]
fn old_rows_are_forgotten_by_age_and_the_space_comes_back() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    for n in 0..3000 {
        let mut event = net(sink.next_exchange_id());
        event.started_at = if n < 2500 { 1_000_000 } else { i64::MAX / 2 };
        event.request_body = Some(body(vec![b'a'; 2000]));
        sink.try_send(Event::Net(Box::new(event))).expect("room");
    }
    close(ledger);
    let before = fs::metadata(place.db()).expect("there").len();
    let mut options = place.options();
    options.retention = Retention { age: Some(SECOND), size: None };
    let ledger = Ledger::open(options).expect("opened");
    send(&ledger.sender());
    assert!(eventually(|| place.number("SELECT count(*) FROM net_events WHERE started_at = 1000000") == 0));
    close(ledger);
    let after = fs::metadata(place.db()).expect("there").len();
    assert!(place.number(COUNT) >= 500 && after < before / 2, "{before} -> {after}");
}

#[test]
fn the_oldest_rows_are_forgotten_when_the_file_is_too_large() {
    let place = Place::new();
    let mut options = place.options();
    options.retention = Retention { age: None, size: Some(2 << 20) };
    let ledger = Ledger::open(options).expect("opened");
    let sink = ledger.sender();
    for _ in 0..5000 {
        let mut event = net(sink.next_exchange_id());
        event.request_body = Some(body(vec![b'a'; 2000]));
        sink.try_send(Event::Net(Box::new(event))).expect("room");
    }
    let newest = send(&sink) as i64;
    let last = || place.number("SELECT coalesce(max(exchange_id), 0) FROM net_events");
    assert!(eventually(|| last() == newest && place.number(COUNT) < 2000));
    close(ledger);
    assert_eq!(last(), newest);
    assert!(fs::metadata(place.db()).expect("there").len() < 4 << 20);
}

/// Runs this binary again, in a mount namespace with a small file system of its own.
#[test]
fn p34_a_full_disk_is_outlived() {
    let place = Place::new();
    let run = Command::new("unshare")
        .args([
            "-Urm",
            "sh",
            "-c",
            r#"mount -t tmpfs -o size=4m none "$0" && exec "$1" --ignored --exact fill_a_disk"#,
        ])
        .arg(place.dir.path())
        .arg(std::env::current_exe().expect("this binary"))
        .env("TOLLGATE_TEST_DISK", place.dir.path())
        .output();
    let output = run.expect("unshare is there");
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("unshare failed") || stderr.contains("mount:") {
        eprintln!("not tested: no small file system can be mounted here: {stderr}");
        return;
    }
    assert!(output.status.success(), "{}{stderr}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "run by p34_a_full_disk_is_outlived inside a small file system"]
fn fill_a_disk() {
    let dir = std::path::PathBuf::from(std::env::var_os("TOLLGATE_TEST_DISK").expect("set by the caller"));
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).expect("written");
    let mut options = options(&dir);
    options.patience = SECOND / 5;
    let ledger = Ledger::open(options).expect("opened");
    let sink = ledger.sender();
    let mut sent = 0;
    while sink.trouble() != Trouble::DiskFull {
        assert!(sent < 10_000, "the disk never fills");
        let mut event = net(sink.next_exchange_id());
        event.request_body = Some(body(vec![b'a'; 2000]));
        sink.try_send(Event::Net(Box::new(event))).expect("room");
        sent += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(eventually(|| sink.health(0) == Health::Failed(OnFailure::Refuse)));
    fs::remove_file(ballast).expect("deleted");
    assert!(eventually(|| sink.health(0) == Health::Healthy && sink.written() == sent));
    assert_eq!(close(ledger).lost, 0);
    let database = Connection::open(dir.join("ledger.db")).expect("readable");
    assert_eq!(database.query_row(COUNT, [], |row| row.get::<_, i64>(0)).expect("counted"), sent as i64);
}
