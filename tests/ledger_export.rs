//! Exports as typed: HAR, JSON lines with a cursor, and OTLP to a collector that comes, goes and refuses.

mod ledger_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::Duration;

use ledger_support::{Place, body, close, eventually, net, send};
use serde_json::Value;
use tollgate::model::usage::{Call, Usage};
use tollgate::telemetry::event::{CallEvent, Decision, Event, HeadCopy, NetEvent, Phase};
use tollgate::telemetry::export::otlp::{self, Names};
use tollgate::telemetry::export::{Endpoint, Exporter};
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
    let call = CallEvent { exchange_id: event.exchange_id, started_at: event.started_at, call };
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

/// Answers one request with a status; what was posted where.
fn answer(listener: &TcpListener, status: u16) -> (String, Value) {
    let (stream, _) = listener.accept().expect("accepted");
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
    respond(&stream, status);
    (path, serde_json::from_slice(&body).expect("JSON"))
}

fn respond(mut stream: &TcpStream, status: u16) {
    write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 2\r\n\r\n{{}}").expect("written");
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
        let call = CallEvent { exchange_id: 1, started_at: 0, call };
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
