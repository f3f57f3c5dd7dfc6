//! Sums that are kept beside the rows say what reading every row would, whatever befell the rows and whoever asks.

mod ledger_support;

use std::path::Path;
use std::sync::Arc;

use ledger_support::{Place, close, eventually, net};
use rusqlite::Connection;
use tollgate::model::usage::{Call, Usage, UsageState};
use tollgate::telemetry::event::{CallEvent, Client, Decision, Event, NetEvent};
use tollgate::telemetry::query::{Filter, Group, Reader};
use tollgate::telemetry::{Ledger, LedgerOptions, Retention, SessionInfo, Sink};

/// When the first request began, and how long after it the next: three days for 13,000 of them.
const START: i64 = 1_795_000_000_000_000;
const STEP: i64 = 20_000_000;

/// Rows of many kinds, some of whose exchanges end long after their calls.
fn send_rows(sink: &Sink, rows: u64) {
    send_kinds(sink, 0..rows);
}

/// One request with a call of each kind.
fn send_kinds(sink: &Sink, kinds: impl Iterator<Item = u64>) {
    let mut open = Vec::new();
    for n in kinds {
        let event = request(sink, n);
        let call = CallEvent {
            exchange_id: event.exchange_id,
            host: event.host.clone(),
            client: Arc::clone(&event.client),
            started_at: event.started_at,
            call: call(n),
        };
        put(sink, Event::Call(Box::new(call)));
        if n % 500 == 0 {
            open.push(event);
        } else {
            put(sink, Event::Net(Box::new(event)));
        }
    }
    for event in open {
        put(sink, Event::Net(Box::new(event)));
    }
}

fn request(sink: &Sink, n: u64) -> NetEvent {
    const DECISIONS: [Decision; 5] =
        [Decision::Allowed, Decision::Denied, Decision::Failed, Decision::Aborted, Decision::Spliced];
    let process = (!n.is_multiple_of(3)).then(|| format!("tool{}", n % 2).into());
    NetEvent {
        host: (!n.is_multiple_of(11)).then(|| format!("h{}.test", n % 5).into()),
        decision: DECISIONS[(n % 13 % 5) as usize],
        started_at: START + n as i64 * STEP,
        client: Arc::new(Client { process_name: process, process_id: Some(7), ..Client::default() }),
        ..net(sink.next_exchange_id())
    }
}

fn call(n: u64) -> Call {
    let provider = if n.is_multiple_of(2) { "openai" } else { "anthropic" };
    let tokens = n.wrapping_mul(2_654_435_761) % 100_000;
    Call {
        provider,
        api: "test",
        model: (!n.is_multiple_of(7)).then(|| format!("m{}", n % 3)),
        model_requested: (!n.is_multiple_of(5)).then(|| "asked".to_owned()),
        usage: Usage {
            input: n.is_multiple_of(2).then_some(tokens),
            cache_read: n.is_multiple_of(4).then_some(tokens / 2),
            cache_write: n.is_multiple_of(9).then_some(tokens / 3),
            output: (!n.is_multiple_of(6)).then_some(n),
            reasoning: n.is_multiple_of(8).then_some(1),
            ..Usage::default()
        },
        usage_state: if n.is_multiple_of(10) { UsageState::Partial } else { UsageState::Final },
        cost_pico_usd: n.is_multiple_of(4).then_some(tokens as i64),
        error_type: n.is_multiple_of(12).then(|| "overloaded".to_owned()),
        first_token_us: (!n.is_multiple_of(3)).then_some(tokens),
        ..Call::default()
    }
}

fn put(sink: &Sink, event: Event) {
    let mut waiting = Some(event);
    let sent = eventually(|| {
        waiting = waiting.take().and_then(|event| sink.try_send(event).err()).map(|full| full.0);
        waiting.is_none()
    });
    assert!(sent, "the writer does not write");
}

fn all_written(sink: &Sink, rows: u64) {
    assert!(eventually(|| sink.written() >= rows), "the writer does not write");
}

/// Questions that sums can answer, and such that they cannot.
fn filters() -> Vec<Filter> {
    let none = Filter::default();
    let at = |row: i64| Some(START + row * STEP);
    vec![
        none.clone(),
        Filter { host: "h*.TEST".parse().ok(), ..none.clone() },
        Filter { host: "h1.test".parse().ok(), session: Some("test".into()), ..none.clone() },
        Filter { session: Some("other".into()), ..none.clone() },
        Filter { model: "m1".parse().ok(), ..none.clone() },
        Filter { model: "ask*".parse().ok(), provider: Some("openai".into()), ..none.clone() },
        Filter { process: Some("tool1".into()), ..none.clone() },
        Filter { process: Some("7".into()), ..none.clone() },
        Filter { decision: Some("denied".into()), ..none.clone() },
        Filter { status: "2xx".parse().ok(), ..none.clone() },
        Filter { since: at(9_000), ..none.clone() },
        Filter { since: at(100), until: at(9_001), ..none.clone() },
        Filter { until: at(0), ..none.clone() },
        Filter { since: at(1_000_000), ..none },
    ]
}

/// Everything that is answered from sums, as text.
fn answers(path: &Path) -> Vec<String> {
    const GROUPS: [Group; 6] =
        [Group::Model, Group::Provider, Group::Host, Group::Process, Group::Day, Group::Session];
    let reader = Reader::open(path).expect("readable");
    let mut answers = vec![format!("{:?}", reader.sessions().expect("read"))];
    for filter in filters() {
        for group in GROUPS {
            let report = reader.usage_report(group, &filter).expect("read");
            answers.push(format!("{filter:?} {report:?}"));
        }
        answers.push(format!("{filter:?} {:?}", reader.requests(&filter).expect("read")));
    }
    answers
}

/// Asserts that the answers are those of a copy without sums. Says how many segments of calls and of requests there are.
fn compare(place: &Place) -> (i64, i64) {
    let copy = place.dir.path().join("copy.db");
    Reader::open(&place.db()).expect("readable").backup(&copy).expect("copied");
    let with = answers(&copy);
    let rows = Connection::open(&copy).expect("opened");
    let count = |table: &str| {
        rows.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counted")
    };
    let segments = (count("call_segments"), count("request_segments"));
    rows.execute_batch("DELETE FROM call_segments; DELETE FROM request_segments;").expect("deleted");
    assert_eq!((count("call_sums"), count("request_sums")), (0, 0), "sums go with their segment");
    drop(rows);
    for (with, without) in with.iter().zip(answers(&copy)) {
        assert_eq!(*with, without);
    }
    std::fs::remove_file(copy).expect("removed");
    segments
}

#[test]
fn sums_say_what_all_rows_would() {
    let place = Place::new();
    let ledger = place.open();
    send_rows(&ledger.sender(), 20_000);
    assert_eq!(close(ledger).written, 40_000);
    let (calls, requests) = compare(&place);
    assert!((2..=3).contains(&calls) && (2..=3).contains(&requests), "full ones, and the rest at the end");
    let ledger = Ledger::open(LedgerOptions {
        session: SessionInfo { name: Some("other".into()), ..SessionInfo::default() },
        ..place.options()
    });
    let ledger = ledger.expect("opened");
    send_rows(&ledger.sender(), 100);
    close(ledger);
    assert_eq!(compare(&place), (calls, requests), "a hundred rows are read as fast");
}

/// How many calls and requests have sums.
fn summed(place: &Place) -> (i64, i64) {
    let sum =
        |what: &str, table: &str| place.number(&format!("SELECT coalesce(sum({what}), 0) FROM {table}"));
    (sum("calls", "call_sums"), sum("requests", "request_sums"))
}

#[test]
fn what_short_sessions_left_is_summed_by_the_next() {
    let place = Place::new();
    for _ in 0..10 {
        let ledger = place.open();
        send_kinds(&ledger.sender(), (1..=100).map(|n| n % 8));
        close(ledger);
    }
    compare(&place);
    let (calls, requests) = summed(&place);
    assert!(calls >= 700 && requests >= 700, "each is too short for sums of its own: {calls} {requests}");
}

#[test]
fn an_older_ledger_is_summed_bit_by_bit() {
    let place = Place::new();
    let ledger = place.open();
    send_rows(&ledger.sender(), 20_000);
    close(ledger);
    place.look().execute_batch("DELETE FROM call_segments; DELETE FROM request_segments;").expect("deleted");
    by_hand(&place, "DELETE FROM model_calls WHERE call_id = 5000");
    let ledger = place.open();
    send_rows(&ledger.sender(), 10);
    let nearly = |rows| (19_700..=20_000).contains(&rows);
    assert!(eventually(|| summed(&place).0 == 19_999 && nearly(summed(&place).1)), "{:?}", summed(&place));
    compare(&place);
    close(ledger);
    let (calls, requests) = compare(&place);
    assert!(calls == 3 && (2..=3).contains(&requests), "{calls} {requests}");
}

#[test]
fn a_call_whose_exchange_goes_on_is_not_summed_without_its_host() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let exchange = request(&sink, 1);
    let begun = |n| CallEvent {
        exchange_id: exchange.exchange_id,
        host: exchange.host.clone(),
        client: Arc::clone(&exchange.client),
        started_at: exchange.started_at,
        call: call(n),
    };
    (0..300).for_each(|n| put(&sink, Event::Call(Box::new(begun(n)))));
    all_written(&sink, 300);
    // Another process comes between, so that they are in no segment of their own.
    let other = place.open();
    send_rows(&other.sender(), 10);
    all_written(&other.sender(), 20);
    send_rows(&sink, 10);
    all_written(&sink, 320);
    assert!(!eventually_soon(|| summed(&place).0 > 0), "{:?}", summed(&place));
    put(&sink, Event::Net(Box::new(exchange)));
    close(ledger);
    close(other);
    compare(&place);
}

/// The same as [`eventually`] for what should not become true.
fn eventually_soon(what: impl Fn() -> bool) -> bool {
    (0..150).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        what()
    })
}

#[test]
fn rows_that_have_little_in_common_have_no_sums() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    for n in 0..5000 {
        let host = Some(format!("h{n}.test").into());
        let event = NetEvent { host, ..net(sink.next_exchange_id()) };
        put(&sink, Event::Net(Box::new(event)));
    }
    for n in 0..1000_u64 {
        let call = Call { model: Some(format!("{:09000}", n / 4)), ..call(0) };
        let event = CallEvent { exchange_id: 1, started_at: START, call, ..CallEvent::default() };
        put(&sink, Event::Call(Box::new(event)));
    }
    close(ledger);
    assert_eq!(compare(&place), (0, 0), "names of two megabytes are not kept in memory");
}

#[test]
fn what_is_deleted_or_changed_by_hand_is_not_summed_any_more() {
    let place = Place::new();
    let ledger = place.open();
    send_rows(&ledger.sender(), 20_000);
    close(ledger);
    let (calls, requests) = compare(&place);
    let whole = std::fs::read(place.db()).expect("read");
    let cases = [
        ("DELETE FROM model_calls WHERE call_id = (SELECT max(last_call) FROM call_segments)", true, false),
        ("UPDATE model_calls SET cost_pico_usd = 7 WHERE call_id = 1", true, false),
        (
            "DELETE FROM net_events WHERE exchange_id = (SELECT max(last_exchange) FROM request_segments)",
            true,
            true,
        ),
        ("UPDATE net_events SET host = 'other.test' WHERE exchange_id = 10000", true, true),
        ("DELETE FROM commits WHERE commit_id = (SELECT min(commit_id) FROM commits)", false, true),
    ];
    for (sql, calls_change, requests_change) in cases {
        std::fs::write(place.db(), &whole).expect("written");
        by_hand(&place, sql);
        let left = compare(&place);
        assert_eq!((left.0 < calls, left.1 < requests), (calls_change, requests_change), "{sql}");
    }
}

/// Changes one row.
fn by_hand(place: &Place, sql: &str) {
    let database = place.look();
    database.pragma_update(None, "foreign_keys", false).expect("set");
    assert_eq!(database.execute(sql, []).expect(sql), 1);
}

#[test]
fn what_is_forgotten_while_its_segment_grows_is_not_summed() {
    for sql in [
        "DELETE FROM model_calls WHERE call_id = 2",
        "DELETE FROM net_events WHERE exchange_id = 2",
        "DELETE FROM commits WHERE commit_id = (SELECT min(commit_id) FROM commits)",
    ] {
        let place = Place::new();
        let ledger = place.open();
        let sink = ledger.sender();
        for rows in [1000, 2000] {
            send_rows(&sink, 500);
            all_written(&sink, rows);
        }
        by_hand(&place, sql);
        send_rows(&sink, 1000);
        close(ledger);
        let (calls, requests) = compare(&place);
        assert!(calls == 0 || sql.contains("commits"), "{sql}");
        assert_eq!(requests, 0, "{sql}");
    }
}

#[test]
fn retention_takes_sums_along_and_leaves_the_others() {
    let place = Place::new();
    let ledger = place.open();
    send_rows(&ledger.sender(), 30_000);
    close(ledger);
    let before = compare(&place);
    let retention =
        Retention { age: None, size: Some(place.number("PRAGMA page_count") as u64 * 8192 * 7 / 10) };
    let ledger = Ledger::open(LedgerOptions { retention, ..place.options() }).expect("opened");
    assert!(eventually(|| place.number("SELECT count(*) FROM net_events") < 24_000), "rows are forgotten");
    let now = compare(&place);
    assert!(now.0 < before.0 && now.1 < before.1 && now.0 > 0 && now.1 > 0, "{before:?} {now:?}");
    close(ledger);
    compare(&place);
}

#[test]
fn two_writers_of_one_file_sum_what_is_theirs() {
    let place = Place::new();
    let (first, second) = (place.open(), place.open());
    for _ in 0..5 {
        for ledger in [&first, &second] {
            let sink = ledger.sender();
            let rows = sink.written() + 2000;
            send_rows(&sink, 1000);
            all_written(&sink, rows);
        }
    }
    close(first);
    send_rows(&second.sender(), 2000);
    close(second);
    let (calls, requests) = compare(&place);
    assert!(calls > 0 && requests > 0, "the second was alone at the end");
}

#[test]
fn what_another_process_caught_up_with_is_not_summed_twice() {
    let place = Place::new();
    let kinds = |rows: u64| (1..=rows).map(|n| n % 8);
    let old = place.open();
    send_kinds(&old.sender(), kinds(100));
    close(old);
    let (first, second) = (place.open(), place.open());
    send_kinds(&first.sender(), kinds(300));
    all_written(&first.sender(), 600);
    send_kinds(&second.sender(), kinds(10));
    assert!(eventually(|| summed(&place).0 >= 400), "{:?}", summed(&place));
    close(first);
    assert_eq!(summed(&place).0, 400);
    compare(&place);
    close(second);
}

#[test]
fn p34_a_segment_does_not_go_on_in_a_file_that_took_the_place_of_its_own() {
    let (place, other) = (Place::new(), Place::new());
    let ledger = other.open();
    send_kinds(&ledger.sender(), (1..=200).map(|_| 3));
    close(ledger);
    let ledger = place.open();
    let sink = ledger.sender();
    send_kinds(&sink, (1..=200).map(|_| 5));
    all_written(&sink, 400);
    for side in ["ledger.db-wal", "ledger.db-shm"] {
        std::fs::remove_file(place.dir.path().join(side)).expect("removed");
    }
    std::fs::rename(other.db(), place.db()).expect("replaced");
    send_kinds(&sink, (1..=300).map(|_| 5));
    close(ledger);
    assert_eq!(place.number("SELECT count(*) FROM model_calls"), 500, "ids go on where they ended");
    compare(&place);
}

#[test]
fn p34_sums_of_a_file_that_was_deleted_are_not_those_of_its_successor() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    send_rows(&sink, 1000);
    all_written(&sink, 2000);
    for side in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        std::fs::remove_file(place.dir.path().join(side)).expect("removed");
    }
    send_rows(&sink, 1000);
    close(ledger);
    assert_eq!(place.number("SELECT count(*) FROM model_calls"), 1000);
    assert_eq!(compare(&place), (1, 1));
    assert_eq!(place.number("SELECT sum(calls) FROM call_sums"), 1000);
}
