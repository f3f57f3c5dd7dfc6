//! `tollgate log`, `usage` and `sessions` as a user types them, on a ledger that is being written.

mod ledger_support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::iter;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use ledger_support::{Place, close, eventually, net, send};
use tollgate::model::usage::{Call, Usage, UsageState};
use tollgate::telemetry::event::{CallEvent, Decision, Event, Phase};
use tollgate::telemetry::{Ledger, Sink};

struct Bench {
    place: Place,
    ledger: Ledger,
    sink: Sink,
}

impl Bench {
    /// A ledger with one request that went well and called a model, and one that was refused.
    fn new() -> Self {
        let place = Place::new();
        let ledger = place.open();
        let sink = ledger.sender();
        let id = send(&sink);
        let call = Call {
            provider: "anthropic",
            api: "anthropic.messages",
            model: Some("claude-x".into()),
            usage: Usage { input: Some(1200), cache_read: Some(300), output: Some(34), ..Usage::default() },
            usage_state: UsageState::Final,
            stop_reason: Some("end_turn".into()),
            first_token_us: Some(1500),
            cost_pico_usd: Some(12_340_000_000),
            ..Call::default()
        };
        let call =
            CallEvent { exchange_id: id, started_at: 1_795_000_000_000_000, call, ..CallEvent::default() };
        sink.try_send(Event::Call(Box::new(call))).expect("room");
        let mut refused = net(sink.next_exchange_id());
        (refused.decision, refused.status, refused.rule) =
            (Decision::Denied, Some(403), Some("no\x1b[2J".into()));
        sink.try_send(Event::Net(Box::new(refused))).expect("room");
        assert!(eventually(|| sink.written() == 3));
        Self { place, ledger, sink }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(words).arg("--state-dir").arg(self.place.dir.path());
        command
    }

    fn follow(&self, words: &[&str]) -> Follower {
        let mut command = self.command(&["log", "--follow"]);
        Follower::start(command.args(words))
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("started")
    }

    fn stdout(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn json(&self, words: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.stdout(words)).expect("one JSON document")
    }
}

/// A `log --follow`; ended with the test.
struct Follower {
    child: Child,
    said: Receiver<String>,
}

impl Follower {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (line, said) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, said }
    }

    /// The next line, if it comes soon.
    fn line(&self) -> Option<String> {
        self.said.recv_timeout(Duration::from_secs(10)).ok()
    }

    /// The code that it ends with, if it ends soon.
    fn end(&mut self) -> Option<i32> {
        let mut code = None;
        eventually(|| {
            code = self.child.try_wait().expect("waited for").and_then(|status| status.code());
            code.is_some()
        });
        code
    }

    /// The exchange in the next line.
    fn id(&self) -> Option<u64> {
        serde_json::from_str::<serde_json::Value>(&self.line()?).ok()?["exchange_id"].as_u64()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn log_shows_rows_to_people_and_to_programs() {
    let bench = Bench::new();
    let table = bench.stdout(&["log"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("api.example.com/") && table.contains("denied"), "{table}");
    let lines = bench.stdout(&["log", "events", "--json"]);
    let rows: Vec<serde_json::Value> =
        lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(
        (rows.len(), rows[0]["decision"].as_str(), rows[1]["status"].as_i64()),
        (2, Some("allowed"), Some(403))
    );
    let calls = bench.json(&["log", "calls", "--json", "--model", "claude*"]);
    assert_eq!(
        (calls["host"].as_str(), calls["input_tokens"].as_i64()),
        (Some("api.example.com"), Some(1200))
    );
    assert_eq!(bench.stdout(&["log", "--json", "--decision", "denied"]).lines().count(), 1);
    assert_eq!(bench.stdout(&["log", "--json", "-n", "1"]).lines().count(), 1);
    assert_eq!(bench.stdout(&["log", "--json", "--since", "1h"]).lines().count(), 0);
    close(bench.ledger);
}

#[test]
fn p36_the_table_never_passes_control_bytes_on() {
    let bench = Bench::new();
    let table = bench.stdout(&["log"]);
    assert!(!table.contains('\x1b') && table.contains("no\\u{1b}[2J"), "{table}");
    close(bench.ledger);
}

#[test]
fn log_follows_while_the_proxy_writes() {
    let bench = Bench::new();
    let follower = bench.follow(&["--json", "--decision", "allowed"]);
    let first = follower.id();
    let sent: Vec<_> = (0..3).map(|_| send(&bench.sink)).collect();
    let followed: Vec<_> = iter::from_fn(|| follower.id()).take(3).collect();
    assert!(first.is_some());
    assert_eq!(followed, sent);
    close(bench.ledger);
}

#[test]
fn following_ends_when_nobody_reads_any_more() {
    let bench = Bench::new();
    let mut child = bench.command(&["log", "--follow"]).stdout(Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.next().is_some_and(|line| line.is_ok()));
    drop(lines);
    let mut ended = None;
    let quiet = eventually(|| {
        ended = child.try_wait().expect("waited for");
        ended.is_some()
    });
    child.kill().expect("killed, or ended before");
    assert!(quiet && ended.is_some_and(|status| status.success()), "{ended:?}");
    close(bench.ledger);
}

#[test]
fn a_ledger_that_takes_the_place_of_another_is_followed_from_its_start() {
    let (bench, other) = (Bench::new(), Bench::new());
    let follower = bench.follow(&["--json", "-n", "0"]);
    let id = send(&bench.sink);
    assert_eq!(follower.id(), Some(id));
    for _ in 0..4 {
        let written = other.sink.written();
        send(&other.sink);
        assert!(eventually(|| other.sink.written() > written));
    }
    close(other.ledger);
    close(bench.ledger);
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(bench.place.dir.path().join(format!("ledger.db{end}")));
    }
    fs::rename(other.place.db(), bench.place.db()).expect("replaced");
    let ids: Vec<_> = iter::from_fn(|| follower.id()).take(6).collect();
    assert_eq!((ids.len(), ids.first()), (6, Some(&1)));
}

#[test]
fn a_ledger_that_is_not_there_yet_is_waited_for_by_those_who_follow() {
    let place = Place::new();
    let log = place.dir.path().join("stderr");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(["log", "--follow", "--json", "--db"]).arg(place.db());
    let follower = Follower::start(command.stderr(fs::File::create(&log).expect("made")));
    let said = || fs::read_to_string(&log).expect("text");
    assert!(eventually(|| said().contains("ledger.db yet: waiting for one")), "{}", said());
    fs::write(place.db(), "").expect("made");
    thread::sleep(Duration::from_millis(500));
    fs::remove_file(place.db()).expect("removed");
    let ledger = place.open();
    let ids = [send(&ledger.sender()), send(&ledger.sender())];
    assert_eq!(ids.map(Some), [follower.id(), follower.id()], "{}", said());
    assert_eq!(said().lines().count(), 1, "it is said once");
    close(ledger);
}

#[test]
fn following_does_not_wait_for_what_is_no_ledger() {
    let place = Place::new();
    let file = place.dir.path().join("file");
    fs::write(&file, "not what it is taken for").expect("written");
    for path in [place.dir.path(), &file, &file.join("ledger.db")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        let mut follower = Follower::start(command.args(["log", "-f", "--db"]).arg(path));
        assert_eq!(follower.end(), Some(1), "{}", path.display());
    }
}

#[test]
fn a_row_names_what_stood_in_its_way_and_nothing_else() {
    let bench = Bench::new();
    let mut broken = net(bench.sink.next_exchange_id());
    (broken.decision, broken.rule, broken.fault) =
        (Decision::Failed, Some("network.allow x".into()), Some("refused".into()));
    (broken.host, broken.path, broken.fault_phase) =
        (Some("::1".into()), Some(b"*"[..].into()), Some(Phase::Connect));
    bench.sink.try_send(Event::Net(Box::new(broken))).expect("room");
    assert!(eventually(|| bench.sink.written() == 4));
    let table = bench.stdout(&["log", "--decision", "failed"]);
    assert!(table.trim_end().ends_with("  [::1] * · connect · refused"), "{table}");
    close(bench.ledger);
}

#[test]
fn usage_and_sessions_add_up() {
    let bench = Bench::new();
    let usage = bench.json(&["usage", "--json"]);
    assert_eq!((usage["by"].as_str(), usage["rows"][0]["key"].as_str()), (Some("model"), Some("claude-x")));
    assert_eq!(usage["total"]["cost_pico_usd"], 12_340_000_000_i64);
    for by in ["provider", "host", "process", "day", "session"] {
        assert_eq!(bench.json(&["usage", "--json", "--by", by])["rows"][0]["calls"], 1, "{by}");
    }
    let priced = bench.json(&["usage", "--json", "--reprice"]);
    assert!(priced["total"]["cost_pico_usd"].is_null(), "no table knows claude-x");
    assert_eq!(
        (priced["total"]["unpriced"].as_i64(), priced["rows"][0]["unpriced"].as_i64()),
        (Some(1), Some(1))
    );
    let total = &usage["total"];
    assert_eq!(
        (total["cache_hit_share"].as_f64(), total["first_token_p50_us"].as_i64()),
        (Some(0.25), Some(1500))
    );
    assert_eq!(usage["rows"][0]["first_token_p99_us"], 1500);
    let table = bench.stdout(&["usage"]);
    assert!(table.contains("25.0%") && table.contains("1.5ms"), "{table}");
    assert!(table.contains("$0.0123") && table.contains("1_200") && table.contains("total"), "{table}");
    let sessions = bench.json(&["sessions", "--json"]);
    assert_eq!((sessions[0]["name"].as_str(), sessions[0]["requests"].as_i64()), (Some("test"), Some(2)));
    assert!(bench.stdout(&["sessions"]).contains("test"));
    close(bench.ledger);
}

#[test]
fn an_alias_that_came_later_prices_what_it_names() {
    let bench = Bench::new();
    let config = bench.place.dir.path().join("tollgate.toml");
    fs::write(&config, "[model]\naliases = { \"claude-x\" = \"claude-sonnet-4-5\" }\n").expect("written");
    let config = config.to_str().expect("text");
    let priced = bench.json(&["usage", "--json", "--reprice", "--config", config]);
    // 900 fresh at 3 $, 300 from the cache at 0.30 $, 34 out at 15 $ a million.
    let pico = 900 * 3_000_000_i64 + 300 * 300_000 + 34 * 15_000_000;
    assert_eq!((&priced["total"]["cost_pico_usd"], &priced["total"]["unpriced"]), (&pico.into(), &0.into()));
    assert_eq!(priced["rows"][0]["key"], "claude-x", "the ledger keeps what was said");
    close(bench.ledger);
}

#[test]
fn lesson_43_backup_copies_a_ledger_that_is_being_written() {
    let bench = Bench::new();
    let to = bench.place.dir.path().join("copy.db");
    bench.stdout(&["log", "backup", to.to_str().expect("text")]);
    let copy = rusqlite::Connection::open(&to).expect("readable");
    let rows: i64 = copy.query_row("SELECT count(*) FROM net_events", [], |row| row.get(0)).expect("counted");
    assert_eq!(rows, 2);
    assert_eq!(bench.run(&["log", "backup", to.to_str().expect("text")]).status.code(), Some(1));
    close(bench.ledger);
}

#[test]
fn what_cannot_be_done_is_said_with_the_right_code() {
    let bench = Bench::new();
    let cases: [(&[&str], i32, &str); 12] = [
        (&["log", "calls", "--bodies"], 2, "events"),
        (&["log", "backup", "copy.db", "--host", "x"], 2, "whole"),
        (&["log", "backup", "copy.db", "--json"], 2, "whole"),
        (&["log", "--since", "yesterday"], 2, "--since"),
        (&["log", "dns", "--status", "404"], 2, "status"),
        (&["log", "backup"], 2, "file"),
        (&["log", "events", "x"], 2, "FILE"),
        (&["log", "--status", "many"], 2, "404"),
        (&["log", "--status", "500-400"], 2, "the lower one first"),
        (&["usage", "--session", ""], 2, "a name or an id"),
        (&["policy", "learn", "--session", ""], 2, "a name or an id"),
        (&["usage", "--by", "moon"], 2, "moon"),
    ];
    for (words, code, hint) in cases {
        let output = bench.run(words);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{words:?}: {stderr}");
        assert!(stderr.contains(hint), "{words:?}: {stderr}");
    }
    close(bench.ledger);
    let empty = tempfile::tempdir().expect("temporary directory");
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["usage", "--db"])
        .arg(empty.path().join("none.db"))
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no ledger at"));
    let file = empty.path().join("file");
    fs::write(&file, "").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["usage", "--db"])
        .arg(file.join("none.db"))
        .output()
        .expect("started");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Not a directory"), "the reason is said");
    for (path, what) in
        [(empty.path(), "is a directory"), (&file, "is empty, so it is no ledger of tollgate")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["log", "--db"]).arg(path).output();
        let output = output.expect("started");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && stderr.contains(what), "{stderr}");
    }
    fs::remove_file(&file).expect("removed");
    assert_eq!(fs::read_dir(empty.path()).expect("listed").count(), 0, "reading makes nothing");
}
