//! Exports as typed: HAR, JSON lines with a cursor, and OTLP to a collector that comes, goes and refuses.

mod ledger_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::Duration;

use ledger_support::{Place, body, close, eventually, net, now, send};
use serde_json::Value;
use tollgate::model::usage::{Call, Usage};
use tollgate::telemetry::event::{CallEvent, Decision, Event, HeadCopy, NetEvent, Phase};
use tollgate::telemetry::export::otlp::{self, Names};
use tollgate::telemetry::export::{Endpoint, Exporter, Live};
use tollgate::telemetry::query::{Filter, Range, Reader, Record, Source};
use tollgate::telemetry::{Ledger, Sink};
use tollgate::wire::head::Method;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn filled() -> (Place, Ledger, Sink) {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let mut event = net(sink.next_exchange_id());
    let trace = format!("00-{TRACE}-b7ad6b7169203331-01");
    let fields = [("Content-Type", "application/json"), ("traceparent", &trace)];
    let head: HeadCopy = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    (event.request_headers, event.query) = (Some(head), Some(b"a=1&key=s3cret"[..].into()));
    event.request_body = Some(body(b"{}".to_vec()));
    let call = Call {
        provider: "anthropic",
        api: "anthropic.messages",
        model_requested: Some("claude-x".into()),
        usage: Usage { input: Some(1200), output: Some(34), cache_read: Some(1000), ..Usage::default() },
        stop_reason: Some("end_turn".into()),
        total_us: 1_500_000,
        ..Call::default()
    };
    let call = CallEvent {
        exchange_id: event.exchange_id,
        started_at: event.started_at,
        call,
        ..CallEvent::default()
    };
    sink.try_send(Event::Net(Box::new(event))).expect("room");
    sink.try_send(Event::Call(Box::new(call))).expect("room");
    assert!(eventually(|| sink.written() == 2));
    (place, ledger, sink)
}

fn export(place: &Place, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("export")
        .args(words)
        .arg("--state-dir")
        .arg(place.dir.path())
        .output()
        .expect("started")
}

fn stdout(place: &Place, words: &[&str]) -> String {
    let output = export(place, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn har_is_one_document_with_an_entry_for_each_request() {
    let (place, ledger, sink) = filled();
    send(&sink);
    assert!(eventually(|| sink.written() == 3));
    let har: Value = serde_json::from_str(&stdout(&place, &["har", "--bodies"])).expect("JSON");
    assert_eq!(har["log"]["version"], "1.2");
    let entries = har["log"]["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 2);
    let request = &entries[0]["request"];
    assert!(
        request["url"].as_str().is_some_and(|url| url.starts_with("https://api.example.com/?a=1&key=hmac:"))
    );
    assert_eq!(request["headers"][0]["name"], "Content-Type");
    assert_eq!(request["postData"]["mimeType"], "application/json");
    assert_eq!(entries[0]["response"]["status"], 200);
    for key in ["startedDateTime", "time", "request", "response", "cache", "timings"] {
        assert!(!entries[1][key].is_null(), "{key}");
    }
    close(ledger);
}

/// A sum of milliseconds in microseconds, without what is not known.
fn sum(timings: &Value, names: &[&str]) -> i64 {
    let known = names.iter().filter_map(|name| timings[name].as_f64()).filter(|ms| *ms >= 0.0);
    known.map(|ms| (ms * 1e3).round() as i64).sum()
}

#[test]
fn har_times_add_up_and_what_is_unknown_is_said_to_be() {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let times = [
        // dns, connect, tls, first byte, total
        ([Some(1000), Some(2000), Some(3000), Some(10_000)], 21_000),
        ([None, None, None, Some(4000)], 9000),
        ([None, Some(700), Some(300), None], 5000),
        ([None; 4], 0),
    ];
    for ([dns_us, connect_us, tls_us, first_byte_us], total_us) in times {
        let mut body = body(b"{".to_vec());
        body.cut = true;
        let event = NetEvent {
            dns_us,
            connect_us,
            tls_us,
            first_byte_us,
            total_us,
            response_bytes: 7,
            response_body: Some(body),
            path: Some(b"*"[..].into()),
            ..net(sink.next_exchange_id())
        };
        sink.try_send(Event::Net(Box::new(event))).expect("room");
    }
    assert!(eventually(|| sink.written() == 4));
    let har: Value = serde_json::from_str(&stdout(&place, &["har", "--bodies"])).expect("JSON");
    let entries = har["log"]["entries"].as_array().expect("entries");
    for (entry, ([.., first_byte], total)) in entries.iter().zip(times) {
        let timings = &entry["timings"];
        let all = sum(timings, &["blocked", "dns", "connect", "send", "wait", "receive"]);
        assert_eq!((all, sum(entry, &["time"])), (total as i64, total as i64), "{timings}");
        let size = if first_byte.is_some() { 7 } else { -1 };
        assert_eq!(entry["response"]["bodySize"], size);
        assert_eq!(entry["request"]["url"], "https://api.example.com");
        assert_eq!(entry["response"]["content"]["comment"], "cut");
    }
    assert_eq!(sum(&entries[0]["timings"], &["connect"]), 5000, "with TLS");
    assert_eq!(sum(&entries[0]["timings"], &["wait"]), 10_000);
    assert_eq!(entries[1]["timings"]["connect"], -1.0);
    assert_eq!(sum(&entries[2]["timings"], &["wait"]), 4000, "no byte came");
    close(ledger);
}

#[test]
fn jsonl_goes_on_where_its_cursor_stopped() {
    let (place, ledger, sink) = filled();
    let rows = |words: &[&str]| -> Vec<Value> {
        stdout(&place, words).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let first = rows(&["jsonl", "--cursor", "nightly"]);
    let tables: Vec<_> = first.iter().filter_map(|row| row["table"].as_str()).collect();
    assert_eq!(tables, ["net_events", "model_calls"]);
    assert!(rows(&["jsonl", "--cursor", "nightly"]).is_empty());
    let id = send(&sink);
    assert!(eventually(|| sink.written() == 3));
    let later = rows(&["jsonl", "--cursor", "nightly"]);
    assert_eq!((later.len(), later[0]["exchange_id"].as_u64()), (1, Some(id)));
    assert_eq!(rows(&["jsonl"]).len(), 3);
    close(ledger);
}

/// The next connection, which comes soon, as does what is sent on it.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("set");
    let mut stream = None;
    eventually(|| {
        stream = listener.accept().ok();
        stream.is_some()
    });
    let (stream, _) = stream.expect("nobody came");
    stream.set_nonblocking(false).expect("set");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    stream
}

/// Answers one request with a status; what was posted where.
fn answer(listener: &TcpListener, status: u16) -> (String, Value) {
    respond(listener, &format!("HTTP/1.1 {status} x\r\nContent-Length: 2\r\n\r\n{{}}"))
}

/// Answers one request with these bytes; what was posted where.
fn respond(listener: &TcpListener, bytes: &str) -> (String, Value) {
    let mut stream = accept(listener);
    let mut reader = BufReader::new(&stream);
    let (mut path, mut length) = (String::new(), 0);
    for line in reader.by_ref().lines() {
        let line = line.expect("a line");
        if let Some(rest) = line.strip_prefix("POST ") {
            rest.split(' ').next().unwrap_or_default().clone_into(&mut path);
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.parse().expect("a number");
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    stream.write_all(bytes.as_bytes()).expect("written");
    (path, serde_json::from_slice(&body).expect("JSON"))
}

/// A collector that answers each request as `how` says for its path and number of spans or of counted values, until
/// `ends` of them; what it was asked.
fn collector(
    listener: TcpListener,
    ends: usize,
    how: impl Fn(&str, usize) -> String + Send + 'static,
) -> JoinHandle<Vec<(String, usize)>> {
    std::thread::spawn(move || {
        let mut asked = Vec::new();
        while asked.len() < ends {
            let mut stream = accept(&listener);
            let mut bytes = Vec::new();
            let mut piece = [0; 4096];
            let whole = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length = head.split("Content-Length: ").nth(1)?.lines().next()?.parse::<usize>().ok()?;
                (body.len() >= length).then(|| (head.to_owned(), body.to_owned()))
            };
            let (head, body) = loop {
                if let Some(request) = whole(&bytes) {
                    break request;
                }
                let read = stream.read(&mut piece).expect("read");
                bytes.extend_from_slice(&piece[..read]);
            };
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let count = body.matches("\"spanId\":").count();
            stream.write_all(how(&path, count).as_bytes()).expect("written");
            asked.push((path, count));
        }
        asked
    })
}

fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n")
}

/// A place for a collector and its URL.
fn bound() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

/// A place for a collector, and an export to it that goes on.
fn exporting(place: &Place) -> (TcpListener, Live) {
    let (listener, url) = bound();
    let endpoint = Endpoint::parse(&url).expect("a URL");
    let exporter = Exporter::new(&place.db(), "live", endpoint, None, Names::Released);
    (listener, exporter.spawn(Duration::from_millis(20)).expect("started"))
}

#[test]
fn what_a_collector_took_is_not_sent_again_because_it_refused_the_rest() {
    let (place, ledger, _sink) = filled();
    let (listener, url) = bound();
    let words = ["otlp", "--endpoint", &url];
    let asked = collector(listener, 3, |path, _| match path {
        "/v1/metrics" => {
            "HTTP/1.1 429 x\r\nContent-Length: 27\r\nRetry-After: 9\r\n\r\n{\"message\":\"calm\\u001b[2J\"}"
                .into()
        }
        _ => status(200),
    });
    for _ in 0..2 {
        let output = export(&place, &words);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("answered 429: calm\\u{1b}[2J"), "{stderr}");
    }
    let paths: Vec<_> = asked.join().expect("ended").into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["/v1/traces", "/v1/metrics", "/v1/metrics"]);
    close(ledger);
}

#[test]
fn a_batch_that_is_too_large_for_the_collector_goes_in_pieces() {
    let (place, ledger, sink) = filled();
    for _ in 0..9 {
        send(&sink);
    }
    assert!(eventually(|| sink.written() == 11));
    let (listener, url) = bound();
    // Spans of 500, 250, … 7 rows of each source are too many, those of 3 are not; metrics of all of them are not either.
    let asked = collector(listener, 7 + 4 + 1, |_, spans| status(if spans > 4 { 413 } else { 200 }));
    let output = export(&place, &["otlp", "--endpoint", &url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "sent 11 rows\n");
    let asked = asked.join().expect("ended");
    let taken: usize = asked.iter().filter(|(_, spans)| *spans <= 4).map(|(_, spans)| spans).sum();
    assert_eq!(taken, 11);
    close(ledger);
}

#[test]
fn what_a_collector_leaves_out_is_said() {
    let (place, ledger, _sink) = filled();
    let (listener, url) = bound();
    let asked = collector(listener, 2, |path, _| {
        let body = r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}"#;
        let body = if path == "/v1/traces" { body } else { "{}" };
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let output = export(&place, &["otlp", "--endpoint", &url]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && stderr.contains("/v1/traces in part: 1 rejected: too old"),
        "{stderr}"
    );
    assert!(export(&place, &["otlp", "--endpoint", &url]).status.success(), "it is not sent again");
    asked.join().expect("ended");
    close(ledger);
}

/// A collector that takes everything, and that each time brings a new row into the ledger.
fn busy(listener: TcpListener, ends: usize, sink: Sink) -> JoinHandle<Vec<(String, usize)>> {
    collector(listener, ends, move |_, _| {
        let rows = sink.written();
        send(&sink);
        assert!(eventually(|| sink.written() > rows));
        status(200)
    })
}

#[test]
fn an_export_ends_with_what_was_there_although_more_comes_with_each_request() {
    let (place, ledger, sink) = filled();
    let (listener, url) = bound();
    let asked = busy(listener, 2, sink);
    let output = export(&place, &["otlp", "--endpoint", &url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "sent 2 rows\n");
    let asked = asked.join().expect("ended");
    assert_eq!(asked, [("/v1/traces".to_owned(), 2), ("/v1/metrics".to_owned(), 0)]);
    assert_eq!(place.number("SELECT count(*) FROM net_events"), 3);
    close(ledger);
}

#[test]
fn a_live_export_hears_of_its_end_although_more_comes_with_each_request() {
    let (place, ledger, sink) = filled();
    let (listener, url) = bound();
    let _goes_on = busy(listener, usize::MAX, sink);
    let endpoint = Endpoint::parse(&url).expect("a URL");
    let live = Exporter::new(&place.db(), "live", endpoint, None, Names::Released)
        .spawn(Duration::from_millis(20))
        .expect("started");
    assert!(eventually(|| place.number("SELECT count(*) FROM net_events") > 4));
    let begin = now();
    live.stop();
    assert!(now() - begin < Duration::from_millis(1900), "it was given up, not ended");
    close(ledger);
}

#[test]
fn a_cursor_is_kept_for_all_sources_or_none_and_a_ledger_that_cannot_keep_it_is_named() {
    let (place, ledger, _sink) = filled();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON cursors WHEN new.source = 'model_calls' \
                  BEGIN SELECT RAISE(ABORT, 'not here'); END";
    place.look().execute_batch(refuse).expect("made");
    let (listener, url) = bound();
    let asked = collector(listener, 1, |_, _| status(200));
    let path = place.db().display().to_string();
    for words in [&["otlp", "--endpoint", &url][..], &["jsonl", "--cursor", "nightly"]] {
        let output = export(&place, words);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let said = [path.as_str(), "not here", "tollgate log backup"].map(|word| stderr.contains(word));
        assert_eq!(said, [true; 3], "{stderr}");
    }
    assert_eq!(asked.join().expect("ended").len(), 1);
    let kept = "SELECT count(*) FROM cursors WHERE name = 'otlp'";
    assert_eq!(place.number(kept), 0, "requests are not passed over without their calls");
    close(ledger);
}

#[test]
fn a_collector_that_wants_rest_gets_it() {
    let (place, ledger, _sink) = filled();
    let (listener, live) = exporting(&place);
    let busy = "HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    let begin = now();
    respond(&listener, busy);
    respond(&listener, busy);
    answer(&listener, 200);
    assert!(now() - begin >= Duration::from_secs(1));
    answer(&listener, 200);
    live.stop();
    close(ledger);
}

#[test]
fn p35_a_collector_that_hangs_does_not_hold_up_the_end() {
    let (place, ledger, _sink) = filled();
    let (listener, live) = exporting(&place);
    let _hangs = accept(&listener);
    let begin = now();
    live.stop();
    assert!(now() - begin < Duration::from_secs(5));
    assert_eq!(place.number("SELECT count(*) FROM cursors"), 0, "nothing is remembered as sent");
    close(ledger);
}

#[test]
fn options_that_would_not_be_obeyed_are_refused() {
    let (place, ledger, _sink) = filled();
    for words in [
        &["otlp", "--endpoint", "http://127.0.0.1:1", "--host", "x"][..],
        &["otlp", "--endpoint", "http://127.0.0.1:1", "--bodies"],
        &["har", "--semconv", "latest"],
        &["jsonl", "--follow", "1s"],
    ] {
        let output = export(&place, words);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{words:?}");
    }
    close(ledger);
}

#[test]
fn otlp_sends_spans_and_histograms_and_loses_nothing_to_an_absent_collector() {
    let (place, ledger, _sink) = filled();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}/prefix", listener.local_addr().expect("bound"));
    let words = ["otlp", "--endpoint", &endpoint, "--semconv", "latest", "--header", "x-key=v"];
    std::thread::scope(|scope| {
        let refused = scope.spawn(|| export(&place, &words));
        answer(&listener, 503);
        let refused = refused.join().expect("ended");
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("503"));
        let sent = scope.spawn(|| export(&place, &words));
        let (path, traces) = answer(&listener, 200);
        assert_eq!(path, "/prefix/v1/traces");
        check_spans(&traces["resourceSpans"][0]["scopeSpans"][0]["spans"]);
        let (path, metrics) = answer(&listener, 200);
        assert_eq!(path, "/prefix/v1/metrics");
        check_metrics(&metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]);
        assert!(sent.join().expect("ended").status.success());
    });
    assert!(export(&place, &words).status.success(), "nothing is left to send, so nobody is asked");
    close(ledger);
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().expect("attributes");
    attributes.iter().find(|a| a["key"] == key).map_or(&Value::Null, |a| &a["value"])
}

fn check_spans(spans: &Value) {
    let (exchange, call) = (&spans[0], &spans[1]);
    assert_eq!((exchange["traceId"].as_str(), call["traceId"].as_str()), (Some(TRACE), Some(TRACE)));
    assert_eq!(exchange["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(call["parentSpanId"], exchange["spanId"]);
    assert_eq!(call["name"], "chat claude-x");
    assert_eq!(attribute(call, "tollgate.exchange_id"), attribute(exchange, "tollgate.exchange_id"));
    assert_eq!(attribute(call, "tollgate.exchange_id")["intValue"], "1");
    assert_eq!(attribute(call, "gen_ai.usage.input_tokens")["intValue"], "1200");
    assert_eq!(attribute(call, "gen_ai.usage.cache_read.input_tokens")["intValue"], "1000");
    assert_eq!(attribute(call, "gen_ai.provider.name")["stringValue"], "anthropic");
    assert_eq!(attribute(exchange, "server.address")["stringValue"], "api.example.com");
    assert_eq!(attribute(exchange, "http.response.status_code")["intValue"], "200");
}

fn check_metrics(metrics: &Value) {
    let names: Vec<_> =
        metrics.as_array().expect("metrics").iter().filter_map(|m| m["name"].as_str()).collect();
    let wanted =
        ["http.client.request.duration", "gen_ai.client.operation.duration", "gen_ai.client.token.usage"];
    assert_eq!(names, wanted);
    let tokens = metrics[2]["histogram"]["dataPoints"].as_array().expect("points");
    assert_eq!(tokens.len(), 2);
    assert_eq!((tokens[0]["count"].as_u64(), tokens[0]["sum"].as_f64()), (Some(1), Some(1200.0)));
}

/// Spans and metrics of a ledger with these rows.
fn documents(events: Vec<NetEvent>, calls: Vec<Call>) -> (Vec<Value>, Vec<Value>) {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let rows = events.len() + calls.len();
    for (at, mut event) in events.into_iter().enumerate() {
        event.exchange_id = sink.next_exchange_id();
        event.started_at = at as i64;
        sink.try_send(Event::Net(Box::new(event))).expect("room");
    }
    for call in calls {
        let call = CallEvent { exchange_id: 1, started_at: 0, call, ..CallEvent::default() };
        sink.try_send(Event::Call(Box::new(call))).expect("room");
    }
    assert!(eventually(|| sink.written() == rows as u64));
    let reader = Reader::open(&place.db()).expect("readable");
    let [events, calls] = [Source::Events, Source::Calls].map(|source| {
        let mut records = Vec::new();
        let each = |record: &Record| {
            records.push(record.clone());
            true
        };
        reader.rows(source, &Filter::default(), Range::default(), each).expect("read");
        records
    });
    let list = |text: String, path: &str| -> Vec<Value> {
        let document: Value = serde_json::from_str(&text).expect("JSON");
        document.pointer(path).and_then(Value::as_array).expect("a list").clone()
    };
    let spans = list(otlp::traces(&events, &calls, Names::Released), "/resourceSpans/0/scopeSpans/0/spans");
    let metrics = list(otlp::metrics(&events, &calls), "/resourceMetrics/0/scopeMetrics/0/metrics");
    close(ledger);
    (spans, metrics)
}

#[test]
fn requests_have_the_attributes_of_the_http_conventions() {
    let events = vec![
        net(0),
        NetEvent { status: Some(429), ..net(0) },
        NetEvent { decision: Decision::Denied, reason: Some("no".into()), ..net(0) },
        NetEvent { decision: Decision::Failed, fault_phase: Some(Phase::Dns), ..net(0) },
        NetEvent { decision: Decision::Aborted, fault_phase: Some(Phase::Body), ..net(0) },
        NetEvent { method: Method::parse(b"FROB").ok(), ..net(0) },
        NetEvent { method: None, path: None, decision: Decision::Spliced, ..net(0) },
    ];
    let events = events
        .into_iter()
        .map(|event| NetEvent { dialed: Some("192.0.2.1:443".parse().expect("an address")), ..event });
    let (spans, metrics) = documents(events.collect(), Vec::new());
    let of = |span: &Value, key: &str| attribute(span, key)["stringValue"].as_str().map(str::to_owned);
    let errors: Vec<_> = spans.iter().map(|span| of(span, "error.type")).collect();
    let wanted = [None, Some("429"), Some("denied"), Some("dns"), Some("aborted"), None, None];
    assert_eq!(errors, wanted.map(|error| error.map(str::to_owned)));
    for (span, error) in spans.iter().zip(&errors) {
        assert_eq!(span["status"]["code"].as_u64(), error.as_ref().map(|_| 2));
        assert_ne!(span["status"]["message"], "");
        assert_eq!(of(span, "network.peer.address").as_deref(), Some("192.0.2.1"));
    }
    assert_eq!(spans[2]["status"]["message"], "no");
    assert_eq!(of(&spans[0], "url.full").as_deref(), Some("https://api.example.com/"));
    assert_eq!((&spans[5]["name"], &spans[6]["name"]), (&"HTTP".into(), &"connection".into()));
    assert_eq!(of(&spans[5], "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(of(&spans[5], "http.request.method_original").as_deref(), Some("FROB"));
    assert_eq!(of(&spans[6], "url.full"), None);
    let points = metrics[0]["histogram"]["dataPoints"].as_array().expect("points");
    let counted: u64 = points.iter().filter_map(|point| point["count"].as_u64()).sum();
    assert_eq!(counted, 6, "a connection without a request is none");
    assert_eq!(points[0]["explicitBounds"][0], 0.005);
    assert!(points.iter().any(|point| of(point, "error.type").as_deref() == Some("429")));
}

#[test]
fn calls_have_the_operations_of_the_conventions() {
    let operations = [
        ("anthropic.messages", "chat"),
        ("openai.completions", "text_completion"),
        ("ollama.generate", "text_completion"),
        ("openai.embeddings", "embeddings"),
        ("google.embed", "embeddings"),
        ("google.generate", "generate_content"),
    ];
    let calls = operations.map(|(api, _)| Call { api, ..Call::default() });
    let (spans, _) = documents(vec![net(0)], calls.into());
    let named: Vec<_> = spans[1..]
        .iter()
        .map(|span| attribute(span, "gen_ai.operation.name")["stringValue"].as_str())
        .collect();
    assert_eq!(named, operations.map(|(_, operation)| Some(operation)));
}

#[test]
fn a_live_export_sends_what_comes_and_what_is_left_at_its_end() {
    let (place, ledger, sink) = filled();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let endpoint = Endpoint::parse(&endpoint).expect("a URL");
    let exporter = Exporter::new(&place.db(), "live", endpoint, None, Names::Released);
    let live = exporter.spawn(Duration::from_millis(50)).expect("started");
    let spans = |(path, document): (String, Value)| {
        assert_eq!(path, "/v1/traces");
        document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().map(Vec::len)
    };
    assert_eq!(spans(answer(&listener, 200)), Some(2));
    answer(&listener, 200);
    send(&sink);
    assert!(eventually(|| sink.written() == 3));
    let stopping = std::thread::spawn(move || live.stop());
    assert_eq!(spans(answer(&listener, 200)), Some(1));
    answer(&listener, 200);
    stopping.join().expect("ended");
    close(ledger);
}
