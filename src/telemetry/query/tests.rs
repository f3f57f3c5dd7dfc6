use std::sync::Arc;

use super::*;
use crate::limits::SECOND;
use crate::model::usage::{Call, OriginError, ToolCall, ToolResult, Usage};
use crate::telemetry::event::{CallEvent, Client, Decision, ErrorEvent, Event, NetEvent, Phase};
use crate::telemetry::{Ledger, LedgerOptions, SessionInfo, Sink};
use crate::wire::head::Method;

/// Two hosts, two processes, three decisions; one call that is priced, one that is not, one that failed.
fn filled() -> (tempfile::TempDir, Ledger, Reader) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let info = SessionInfo { name: Some("first".into()), ..SessionInfo::default() };
    let ledger = Ledger::open(LedgerOptions::in_dir(dir.path(), info)).expect("opened");
    let sink = ledger.sender();
    net(&sink, "api.anthropic.com", Decision::Allowed, Some(200), 1);
    net(&sink, "API.example.com", Decision::Denied, Some(403), 2);
    net(&sink, "api.example.com", Decision::Failed, Some(502), 3);
    let first = sink.next_exchange_id() - 3;
    call(&sink, first, "claude-x", Some(1_000_000), None);
    call(&sink, first, "claude-x", None, None);
    call(&sink, first + 2, "gpt-y", None, Some("overloaded"));
    let error = OriginError { status: Some(502), message: Some("refused".into()), ..OriginError::default() };
    let event = ErrorEvent { exchange_id: first + 2, at: 3_000_000, phase: Phase::Connect, error };
    sink.try_send(Event::Error(Box::new(event))).expect("room");
    wait(&sink, 7);
    let reader = Reader::open(&dir.path().join("ledger.db")).expect("readable");
    (dir, ledger, reader)
}

fn wait(sink: &Sink, rows: u64) {
    for _ in 0..2000 {
        if sink.written() >= rows {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the writer does not write");
}

fn net(sink: &Sink, host: &str, decision: Decision, status: Option<u16>, second: i64) {
    let client =
        Client { process_name: Some("node".into()), process_id: Some(second as u32), ..Client::default() };
    let (at, listener) = (second * 1_000_000, "tcp://127.0.0.1:8080".into());
    let event = NetEvent {
        connection_id: 1,
        scheme: "https",
        protocol: Some("h1"),
        host: Some(host.into()),
        port: Some(443),
        dialed: (decision != Decision::Denied).then(|| ([203, 0, 113, 7], 443).into()),
        method: Some(Method::Post),
        path: Some(b"/v1/messages"[..].into()),
        decision,
        status,
        total_us: 1,
        ..NetEvent::begin(sink.next_exchange_id(), at, listener, Arc::new(client))
    };
    sink.try_send(Event::Net(Box::new(event))).expect("room");
}

fn call(sink: &Sink, exchange_id: u64, model: &str, cost: Option<i64>, error: Option<&str>) {
    let call = Call {
        provider: "anthropic",
        api: "anthropic.messages",
        model: Some(model.into()),
        usage: Usage { input: error.is_none().then_some(10), ..Usage::default() },
        cost_pico_usd: cost,
        error_type: error.map(Into::into),
        tool_calls: vec![ToolCall { id: Some("t".into()), name: "bash".into(), arguments: None }],
        tool_results: vec![ToolResult { preview: Some("done".into()), ..ToolResult::default() }],
        ..Call::default()
    };
    sink.try_send(Event::Call(Box::new(CallEvent {
        exchange_id,
        started_at: 1_000_000,
        call,
        ..CallEvent::default()
    })))
    .expect("room");
}

fn hosts(reader: &Reader, filter: &Filter, range: Range) -> Vec<String> {
    let mut hosts = Vec::new();
    let each = |record: &Record| {
        hosts.push(record.text("host").to_owned());
        true
    };
    reader.rows(Source::Events, filter, range, each).expect("read");
    hosts
}

fn count(reader: &Reader, source: Source, filter: &Filter) -> usize {
    let mut count = 0;
    let each = |_: &Record| {
        count += 1;
        true
    };
    reader.rows(source, filter, Range::default(), each).expect("read");
    count
}

fn json(record: &Record) -> String {
    let mut json = Vec::new();
    record.write_json(&mut json);
    String::from_utf8(json).expect("JSON is UTF-8")
}

#[test]
fn each_filter_restricts_and_all_of_them_together_do() {
    let (_dir, ledger, reader) = filled();
    let none = Filter::default();
    let cases: [(Filter, usize); 11] = [
        (none.clone(), 3),
        (Filter { host: "api.Example.com".parse().ok(), ..none.clone() }, 2),
        (Filter { host: "*.anthropic.com".parse().ok(), ..none.clone() }, 1),
        (Filter { decision: Some("denied".into()), ..none.clone() }, 1),
        (Filter { status: "4xx".parse().ok(), ..none.clone() }, 1),
        (Filter { status: "400-502".parse().ok(), ..none.clone() }, 2),
        (Filter { process: Some("node".into()), since: Some(2_000_000), ..none.clone() }, 2),
        (Filter { process: Some("3".into()), ..none.clone() }, 1),
        (Filter { model: "claude*".parse().ok(), ..none.clone() }, 1),
        (Filter { session: Some("first".into()), until: Some(2_000_000), ..none.clone() }, 1),
        (Filter { session: Some("second".into()), ..none.clone() }, 0),
    ];
    for (filter, expected) in cases {
        assert_eq!(count(&reader, Source::Events, &filter), expected, "{filter:?}");
    }
    assert_eq!(count(&reader, Source::Calls, &none), 3);
    assert_eq!(count(&reader, Source::Calls, &Filter { model: "gpt-y".parse().ok(), ..none.clone() }), 1);
    assert_eq!(count(&reader, Source::Tools, &none), 6);
    for (since, calls) in [(0, 3), (1_000_000, 3), (1_000_001, 0), (i64::MAX, 0)] {
        let filter = Filter { since: Some(since), ..none.clone() };
        assert_eq!(count(&reader, Source::Calls, &filter), calls, "{since}");
        assert_eq!(count(&reader, Source::Tools, &filter), 2 * calls, "{since}");
    }
    assert_eq!(
        count(&reader, Source::Errors, &Filter { provider: Some("anthropic".into()), ..none.clone() }),
        1
    );
    assert_eq!(count(&reader, Source::Dns, &none), 0);
    ledger.close(SECOND);
}

#[test]
fn a_position_loses_nothing_and_repeats_nothing() {
    let (_dir, ledger, reader) = filled();
    let sink = ledger.sender();
    let all = Filter::default();
    let mut at = Position::default();
    for expected in ["api.anthropic.com", "API.example.com", "api.example.com"] {
        let mut seen = Vec::new();
        let range = Range { after: at, limit: Some(1), ..Range::default() };
        let each = |record: &Record| {
            seen.push(record.text("host").to_owned());
            true
        };
        at = reader.rows(Source::Events, &all, range, each).expect("read");
        assert_eq!(seen, [expected]);
        assert_eq!(at.to_string().parse(), Ok(at));
    }
    assert_eq!(hosts(&reader, &all, Range { after: at, ..Range::default() }), [""; 0]);
    net(&sink, "late.example.com", Decision::Allowed, None, 0);
    wait(&sink, 8);
    assert_eq!(hosts(&reader, &all, Range { after: at, ..Range::default() }), ["late.example.com"]);
    let newest = Range { newest: Some(2), ..Range::default() };
    assert_eq!(hosts(&reader, &all, newest), ["api.example.com", "late.example.com"]);
    for count in 0..6 {
        for source in [Source::Events, Source::Calls, Source::Tools, Source::Errors, Source::Dns] {
            let rows = |range| {
                let mut ids = Vec::new();
                let each = |record: &Record| {
                    ids.push(json(record));
                    true
                };
                let at = reader.rows(source, &all, range, each).expect("read");
                (ids, at)
            };
            let (all, _) = rows(Range::default());
            let (newest, at) = rows(Range { newest: Some(count), ..Range::default() });
            assert_eq!(newest, all[all.len().saturating_sub(count)..], "{source:?} {count}");
            if !all.is_empty() {
                assert_eq!(
                    rows(Range { after: at, ..Range::default() }).0,
                    [""; 0],
                    "nothing is behind the newest"
                );
            }
        }
    }
    assert!(reader.end(Source::Events).expect("read") >= at);
    ledger.close(SECOND);
}

#[test]
fn lesson_13_unknown_cost_is_null_and_counted_beside_what_is_known() {
    let (_dir, ledger, reader) = filled();
    let UsageReport { rows, total, .. } =
        reader.usage_report(Group::Model, &Filter::default()).expect("read");
    let of = |row: usize| &rows[row].sum.totals;
    assert_eq!(rows[0].key.as_deref(), Some("claude-x"));
    assert_eq!((of(0).calls, of(0).cost_pico_usd, of(0).unpriced), (2, Some(1_000_000), 1));
    assert_eq!((of(1).failed, of(1).cost_pico_usd, of(1).input_tokens), (1, None, None));
    assert_eq!((rows.len(), total.totals.calls), (2, 3));
    assert_eq!(
        (total.cache_hit_share, total.first_token_p50_us, total.first_token_p99_us),
        (None, None, None)
    );
    for group in [Group::Provider, Group::Host, Group::Process, Group::Day, Group::Session] {
        let report = reader.usage_report(group, &Filter::default()).expect("read");
        assert_eq!(report.rows.iter().map(|row| row.sum.totals.calls).sum::<i64>(), 3, "{group:?}");
        assert_eq!(report.total, total, "{group:?}");
    }
    ledger.close(SECOND);
}

#[test]
fn shares_and_percentiles_are_of_the_calls_that_say_so_and_nothing_overflows() {
    let (_dir, ledger, reader) = filled();
    let sink = ledger.sender();
    let put = |model: &str, input: Option<u64>, cache_read: Option<u64>, first_token_us: Option<u64>| {
        let call = Call {
            provider: "openai",
            api: "openai.chat",
            model: Some(model.into()),
            usage: Usage { input, cache_read, ..Usage::default() },
            cost_pico_usd: Some(i64::MAX - 1),
            first_token_us,
            ..Call::default()
        };
        let event = CallEvent { exchange_id: 1, started_at: 2_000_000, call, ..CallEvent::default() };
        sink.try_send(Event::Call(Box::new(event))).expect("room");
    };
    put("a", Some(100), Some(80), Some(30));
    put("a", Some(300), Some(0), Some(10));
    put("a", Some(1_000_000), None, None);
    put("a", None, None, Some(20));
    put("b", Some(i64::MAX as u64), Some(i64::MAX as u64), None);
    put("b", Some(i64::MAX as u64), Some(0), None);
    wait(&sink, 13);
    let filter = Filter { provider: Some("openai".into()), ..Filter::default() };
    let report = reader.usage_report(Group::Model, &filter).expect("read");
    let [a, b] = report.rows.as_slice() else { panic!("{report:?}") };
    assert_eq!((a.sum.cache_hit_share, a.sum.totals.input_tokens), (Some(0.2), Some(1_000_400)));
    assert_eq!((a.sum.first_token_p50_us, a.sum.first_token_p99_us), (Some(20), Some(30)));
    assert_eq!((b.sum.cache_hit_share, b.sum.totals.input_tokens), (Some(0.5), Some(i64::MAX)));
    assert_eq!((b.sum.first_token_p50_us, b.sum.totals.cost_pico_usd), (None, Some(i64::MAX)));
    assert_eq!(
        (report.total.first_token_p50_us, report.total.totals.cost_pico_usd),
        (Some(20), Some(i64::MAX))
    );
    assert_eq!(reader.sessions().expect("read")[0].totals.cost_pico_usd, Some(i64::MAX));
    ledger.close(SECOND);
}

#[test]
fn sessions_and_kinds_of_requests_are_counted() {
    let (_dir, ledger, reader) = filled();
    let sessions = reader.sessions().expect("read");
    assert_eq!(sessions.len(), 1);
    assert_eq!((sessions[0].requests, sessions[0].denied, sessions[0].totals.calls), (3, 1, 3));
    let learnt = reader.learn_rows(None, None).expect("read");
    assert_eq!(learnt.iter().map(|row| row.reached).sum::<i64>(), 2);
    assert_eq!(reader.learn_rows(Some(3_000_000), None).expect("read").len(), 1);
    ledger.close(SECOND);
}

#[test]
fn rows_become_json_with_json_inside() {
    let (_dir, ledger, reader) = filled();
    let mut lines = Vec::new();
    let each = |record: &Record| {
        lines.push(serde_json::from_str::<serde_json::Value>(&json(record)).expect("JSON"));
        true
    };
    reader.rows(Source::Calls, &Filter::default(), Range::default(), each).expect("read");
    assert_eq!(lines[0]["tool_calls"][0]["name"], "bash");
    assert_eq!(lines[0]["cost_pico_usd"], 1_000_000);
    assert!(lines[1]["cost_pico_usd"].is_null());
    ledger.close(SECOND);
}

#[test]
fn p36_a_row_is_one_line_of_json_whatever_stands_in_its_columns() {
    let (dir, ledger, reader) = filled();
    let file = Connection::open(dir.path().join("ledger.db")).expect("opened");
    for (text, inside) in [
        ("{\n\t\"input\": 1,\r\n\t\"é\": \"\u{202e}\"\n}", true),
        (" [1] ", true),
        ("{\"input\":", false),
        ("\"\x1b[2J\"", false),
        ("", false),
    ] {
        file.execute("UPDATE model_calls SET usage = ?1, stop_reason = ?1", [text]).expect("written");
        let each = |record: &Record| {
            let line = json(record);
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line}");
            let row: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let meant = if inside { serde_json::from_str(text).expect("JSON") } else { text.into() };
            assert_eq!((&row["usage"], row["stop_reason"].as_str()), (&meant, Some(text)));
            true
        };
        reader.rows(Source::Calls, &Filter::default(), Range::default(), each).expect("read");
    }
    ledger.close(SECOND);
}

#[test]
fn lesson_43_a_backup_holds_what_the_log_holds() {
    let (dir, ledger, reader) = filled();
    let to = dir.path().join("copy.db");
    reader.backup(&to).expect("copied");
    assert!(reader.backup(&to).is_err(), "nothing is overwritten");
    let copy = Reader::open(&to).expect("readable");
    assert_eq!(count(&copy, Source::Events, &Filter::default()), 3);
    ledger.close(SECOND);
}

#[test]
fn moments_are_durations_before_now_or_dates() {
    let (_dir, ledger, reader) = filled();
    assert_eq!(reader.moment("2026-11-22").expect("asked"), Some(1_795_305_600_000_000));
    assert_eq!(reader.moment("1970-01-01T00:01:00Z").expect("asked"), Some(60_000_000));
    let (hour, now) = (reader.moment("1h").expect("asked"), reader.moment("now").expect("asked"));
    assert!((3_600_000_000..3_605_000_000).contains(&(now.expect("now") - hour.expect("an hour ago"))));
    for text in ["", "yesterday", "5x", "h", "12:00", "2460000.5", "2026-13-01", "-1h"] {
        assert_eq!(reader.moment(text).expect("asked"), None, "{text}");
    }
    ledger.close(SECOND);
}

#[test]
fn what_is_no_ledger_is_said_to_be_what_it_is() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("file.db");
    let found = |path: &Path| Reader::open(path).expect_err("no ledger");
    assert!(matches!(found(&file), QueryError::Missing));
    assert!(matches!(found(dir.path()), QueryError::Directory));
    std::fs::write(&file, "").expect("written");
    assert!(matches!(found(&file), QueryError::Empty));
    let other = Connection::open(&file).expect("a database");
    other.execute_batch("PRAGMA user_version = 1; CREATE TABLE notes (text)").expect("written");
    assert!(matches!(found(&file), QueryError::Foreign));
    drop(other);
    std::fs::write(&file, "# Notes\nThis file is text, and longer than a page's head.").expect("written");
    assert!(matches!(found(&file), QueryError::Foreign));
}

#[test]
fn large_sorts_go_where_they_are_told() {
    let place = std::env::temp_dir(); // for the whole process, so a place that outlives this test
    keep_temporary_files(&place).expect("a database");
    let connection = Connection::open_in_memory().expect("a database");
    let told: String =
        connection.query_row("PRAGMA temp_store_directory", [], |row| row.get(0)).expect("a database");
    assert_eq!(Path::new(&told), place);
}

#[test]
fn a_row_is_found_by_its_time_although_the_clock_was_set_back_before_it_was_written() {
    let (dir, ledger, reader) = filled();
    let sink = ledger.sender();
    let now = reader.moment("0s").expect("readable").expect("a moment") / 1_000_000;
    net(&sink, "late.test", Decision::Allowed, Some(200), now + 500);
    wait(&sink, 8);
    let since = |second: i64| Filter { since: Some(second * 1_000_000), ..Filter::default() };
    assert_eq!(hosts(&reader, &since(now + 400), Range::default()), ["late.test"]);
    assert_eq!(reader.requests(&since(now + 400)).expect("readable").len(), 1);
    assert!(hosts(&reader, &since(now + 501), Range::default()).is_empty());
    drop((dir, ledger));
}
