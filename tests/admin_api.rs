//! The admin listener from outside: who is let in, what is told, and that it agrees with the ledger and with
//! `config/openapi.json`.

#![expect(clippy::float_cmp, reason = "counters are whole numbers that a double holds exactly")]

mod admin_support;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use admin_support::{Bench, POLICY};
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};
use support::client::Client;
use support::eventually;
use support::now;
use support::proxy::{Proxy, Setup};
use support::tools::program;
use tollgate::demo::script;

fn openapi() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/openapi.json");
    serde_json::from_str(&fs::read_to_string(file).expect("the API's description")).expect("JSON")
}

fn paths(api: &Value) -> &Map<String, Value> {
    api["paths"].as_object().expect("paths")
}

#[test]
fn only_health_is_told_without_the_token() {
    let bench = Bench::new();
    let host = bench.admin.to_string();
    let api = openapi();
    for (path, item) in paths(&api) {
        let (method, operation) = item.as_object().and_then(|item| item.iter().next()).expect("an operation");
        let open = operation["security"] == json!([]);
        for fields in ["", "Authorization: Bearer \r\n", "Authorization: Bearer 0123456789abcdef\r\n"] {
            let answer = bench.ask_with(&method.to_uppercase(), path, &host, fields);
            assert_eq!(answer.status, if open { 200 } else { 401 }, "{path} with {fields:?}");
        }
        let in_query = format!("{path}?token={}", bench.token);
        let answer = bench.ask_with(&method.to_uppercase(), &in_query, &host, "");
        let expected = if path == "/" {
            200
        } else if open {
            400
        } else {
            401
        };
        assert_eq!(answer.status, expected, "{path} with the token in its query");
    }
}

#[test]
fn the_token_file_is_private_and_its_content_is_not_said() {
    let bench = Bench::new();
    let file = bench.proxy.dir().join("state/admin.token");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let said = bench.proxy.stderr();
    assert!(said.contains(&*file.to_string_lossy()) && !said.contains(&bench.token), "{said}");
}

#[test]
fn a_name_that_is_not_this_machines_is_refused() {
    let bench = Bench::new();
    let port = bench.admin.port();
    let token = format!("Authorization: Bearer {}\r\n", bench.token);
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        (format!("evil.test:{port}"), 421),
        ("localhost".to_owned(), 421),
    ] {
        assert_eq!(bench.ask_with("GET", "/v1/policy", &host, &token).status, status, "{host}");
        assert_eq!(bench.ask_with("GET", "/healthz", &host, "").status, status, "{host}");
    }
}

#[test]
fn p13_guests_cannot_reach_it_through_the_proxy() {
    let bench = Bench::new();
    let port = bench.admin.port();
    let open = format!(
        "{POLICY}ports = [{port}]\nprivate_addresses = \"allow\"\nprivate_allow = [\"127.0.0.0/8\", \"::1/128\"]\n"
    );
    fs::write(bench.proxy.dir().join("user.toml"), open).expect("a writable directory");
    assert_eq!(bench.ask("POST", "/v1/reload").status, 200);
    for host in ["127.0.0.1", "localhost", "127.0.0.2"] {
        let request = format!("GET http://{host}:{port}/healthz HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        let answer = Client::plain(bench.proxy.address()).ask(request.as_bytes());
        let body = String::from_utf8_lossy(&answer.body);
        assert!(answer.status >= 400 && !body.starts_with("ok"), "{host}: {body}");
    }
}

#[test]
fn malformed_and_unknown_requests_are_refused() {
    let bench = Bench::new();
    for (method, target, status) in [
        ("GET", "/nope", 404),
        ("POST", "/v1/events", 405),
        ("GET", "/v1/reload", 405),
        ("GET", "/v1/events?hots=a", 400),
        ("GET", "/v1/events?decision=no", 400),
        ("GET", "/v1/events?limit=0", 400),
        ("GET", "/v1/events?limit=1&limit=2", 400),
        ("GET", "/v1/events?since=yesterday", 400),
        ("GET", "/v1/events?after=x", 400),
        ("GET", "/v1/events?session=", 400),
        ("GET", "/v1/events?status=500-400", 400),
        ("GET", "/v1/events?host=%+f", 400),
        ("GET", "/v1/usage?group_by=colour", 400),
        ("GET", "/healthz?x=1", 400),
    ] {
        assert_eq!(bench.ask(method, target).status, status, "{method} {target}");
    }
    for (raw, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 413),
    ] {
        assert_eq!(Client::plain(bench.admin).ask(raw).status, status, "{:?}", String::from_utf8_lossy(raw));
    }
}

#[test]
fn whoever_is_refused_while_still_sending_reads_the_answer_to_its_end() {
    let bench = Bench::new();
    let host = bench.admin;
    let body = format!("POST /v1/reload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 300000\r\n\r\n");
    let head = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nX: ");
    for (start, line) in [
        (body, "HTTP/1.1 413 Content Too Large\r\n"),
        (head, "HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        ("GET /".to_owned(), "HTTP/1.1 414 URI Too Long\r\n"),
    ] {
        let mut socket = std::net::TcpStream::connect(host).expect("a listener");
        socket.write_all(&[start.as_bytes(), &vec![b'x'; 300_000]].concat()).expect("a reader");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an end without a reset");
        assert!(answer.starts_with(line) && answer.ends_with("}\n"), "{answer}");
    }
}

#[test]
fn whoever_says_nothing_keeps_nobody_out() {
    let bench = Bench::new();
    let silent: Vec<_> = (0..200).map(|_| Client::plain(bench.admin)).collect();
    let mut dripping: Vec<_> = (0..50).map(|_| Client::plain(bench.admin)).collect();
    for client in &mut dripping {
        let _ = client.try_send(b"GET /heal"); // some were ended for those after them
    }
    for _ in 0..20 {
        assert_eq!(bench.ask("GET", "/healthz").status, 200);
        assert_eq!(bench.ask("GET", "/v1/policy").status, 200);
    }
    drop((silent, dripping));
}

#[test]
fn pages_hold_every_row_once_and_filters_choose() {
    let bench = Bench::new();
    bench.traffic();
    let calls = script::all().len();
    let (mut after, mut ids) = ("0.0".to_owned(), Vec::new());
    loop {
        let page = bench.json(&format!("/v1/events?limit=3&after={after}"));
        let rows = page["events"].as_array().expect("rows");
        if rows.is_empty() {
            break;
        }
        assert!(rows.len() <= 3);
        ids.extend(rows.iter().map(|row| row["exchange_id"].as_i64().expect("an id")));
        after = page["next"].as_str().expect("a place").to_owned();
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "no row twice");
    assert_eq!(ids.len(), calls + 1);
    let count = |target: &str, what: &str| bench.json(target)[what].as_array().map(Vec::len);
    assert_eq!(count("/v1/events?decision=denied", "events"), Some(1));
    assert_eq!(count("/v1/events?host=*.test&session=current", "events"), Some(1));
    assert_eq!(count("/v1/events?newest=2", "events"), Some(2));
    assert_eq!(count("/v1/events?since=1h&status=2xx", "events"), Some(calls));
    assert_eq!(count("/v1/events?until=2020-01-01", "events"), Some(0));
    assert_eq!(count("/v1/calls?provider=anthropic", "calls"), Some(2));
    assert_eq!(count("/v1/calls?session=nobody", "calls"), Some(0));
}

#[test]
fn usage_agrees_with_the_ledger() {
    let bench = Bench::new();
    bench.traffic();
    let ledger = bench.proxy.ledger();
    for group in ["model", "provider", "host", "process", "day", "session"] {
        let usage = bench.json(&format!("/v1/usage?group_by={group}"));
        assert_eq!(usage["by"], group);
        for column in ["input_tokens", "output_tokens", "cost_pico_usd"] {
            let expected = ledger.number(&format!("SELECT sum({column}) FROM model_calls"));
            assert_eq!(usage["total"][column], expected, "{group} {column}");
            let rows = usage["rows"].as_array().expect("rows");
            assert_eq!(rows.iter().filter_map(|row| row[column].as_i64()).sum::<i64>(), expected, "{group}");
        }
    }
}

#[test]
fn a_follower_sees_rows_as_they_come_goes_on_where_it_was_and_ends_with_the_proxy() {
    let mut bench = Bench::new();
    bench.denied("/before");
    bench.proxy.ledger().net_events(1);
    let follow = |fields: &str| {
        let mut client = Client::plain(bench.admin);
        let (host, token) = (bench.admin, &bench.token);
        client.send(
            format!(
                "GET /v1/events?follow=1 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{fields}\r\n"
            )
            .as_bytes(),
        );
        let head = client.head().expect("a head");
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        client
    };
    let mut fresh = follow("");
    let mut again = follow("Last-Event-ID: 0.0\r\n");
    std::thread::sleep(Duration::from_millis(200));
    let start = now();
    bench.denied("/after");
    eventually("the row is in the stream", || fresh.has_answer().then_some(()));
    bench.proxy.ledger().net_events(2);
    std::thread::sleep(Duration::from_millis(500));
    assert!(start.elapsed() < Duration::from_secs(3));
    bench.proxy.signal(Signal::SIGTERM);
    let fresh = String::from_utf8(fresh.rest()).expect("text");
    let again = String::from_utf8(again.rest()).expect("text");
    assert_eq!(bench.proxy.wait().code(), Some(0));
    assert_eq!(fresh.matches("event: row").count(), 1, "{fresh}");
    assert!(fresh.contains("\"/after\"") && fresh.contains("\nid: "), "{fresh}");
    assert_eq!(again.matches("event: row").count(), 2, "{again}");
}

#[test]
fn followers_are_bounded() {
    let bench = Bench::new();
    let target = "/v1/calls?follow=1&newest=1";
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        bench.admin, bench.token
    );
    let mut clients: Vec<_> = (0..9).map(|_| Client::plain(bench.admin)).collect();
    let statuses: Vec<u16> = clients
        .iter_mut()
        .map(|client| {
            client.send(request.as_bytes());
            client.head().expect("a head").status().expect("a status")
        })
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 503]);
    assert_eq!(bench.ask("GET", "/healthz").status, 200, "others are served all the same");
}

/// A request to follow, whole.
fn following(bench: &Bench, target: &str, fields: &str) -> Vec<u8> {
    let (host, token) = (bench.admin, &bench.token);
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{fields}\r\n")
        .into_bytes()
}

#[test]
fn followers_that_have_gone_make_room_at_once() {
    let bench = Bench::new();
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..8).map(|_| Client::plain(bench.admin)).collect();
        for client in &mut clients {
            client.send(&following(&bench, "/v1/events?follow=1&host=nobody.test", ""));
            assert_eq!(client.head().expect("a head").status().expect("a status"), 200);
        }
        drop(clients);
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_follower_that_says_nothing_more_is_served_all_the_same() {
    let mut bench = Bench::new();
    let mut socket = std::net::TcpStream::connect(bench.admin).expect("a listener");
    socket.write_all(&following(&bench, "/v1/events?follow=1", "")).expect("a reader");
    socket.shutdown(std::net::Shutdown::Write).expect("an open socket");
    std::thread::sleep(Duration::from_millis(500));
    bench.denied("/after");
    bench.proxy.ledger().net_events(1);
    std::thread::sleep(Duration::from_millis(500));
    bench.proxy.signal(Signal::SIGTERM);
    let mut said = String::new();
    socket.read_to_string(&mut said).expect("text");
    assert!(said.contains("\"/after\""), "{said}");
    assert_eq!(bench.proxy.wait().code(), Some(0));
}

#[test]
fn a_browser_that_follows_again_by_the_same_address_gets_no_row_twice() {
    let bench = Bench::new();
    bench.denied("/first");
    bench.proxy.ledger().net_events(1);
    let place = bench.json("/v1/events")["next"].as_str().expect("a place").to_owned();
    let mut client = Client::plain(bench.admin);
    client.send(&following(&bench, "/v1/events?follow=1&after=0.0", &format!("Last-Event-ID: {place}\r\n")));
    client.head().expect("a head");
    bench.denied("/second");
    bench.proxy.ledger().net_events(2);
    std::thread::sleep(Duration::from_millis(500));
    bench.proxy.signal(Signal::SIGTERM);
    let said = String::from_utf8(client.rest()).expect("text");
    assert!(!said.contains("\"/first\"") && said.contains("\"/second\""), "{said}");
}

#[test]
fn a_place_of_another_ledger_begins_anew() {
    let bench = Bench::new();
    bench.denied("/");
    bench.proxy.ledger().net_events(1);
    for range in ["limit=5", "newest=5"] {
        let page = bench.json(&format!("/v1/events?after=99999.7&{range}"));
        assert_eq!(page["events"].as_array().expect("rows").len(), 1, "{range}: {page}");
    }
}

#[test]
fn a_reload_is_all_or_nothing() {
    let bench = Bench::new();
    let digest = || bench.json("/v1/policy")["digest"].clone();
    let first = digest();
    let file = bench.proxy.dir().join("user.toml");
    fs::write(&file, "[network]\nblock = [\"*.test\", \"x.example\"]\n").expect("a writable directory");
    let answer = bench.ask("POST", "/v1/reload");
    assert_eq!(answer.status, 200);
    let second = digest();
    assert_ne!(first, second);
    let answer: Value = serde_json::from_slice(&answer.body).expect("a JSON document");
    assert_eq!(answer["digest"], second);
    fs::write(&file, "[network\n").expect("a writable directory");
    let answer = bench.ask("POST", "/v1/reload");
    assert_eq!(answer.status, 409);
    assert!(String::from_utf8_lossy(&answer.body).contains("user.toml:1"), "it says where the error is");
    assert_eq!(digest(), second, "the good policy stays in force");
}

#[test]
fn metrics_count_what_the_ledger_holds_and_promtool_accepts_them() {
    let bench = Bench::new();
    bench.traffic();
    let text = bench.text("/metrics");
    let calls = script::all().len();
    let value = |line: &str| {
        let found = text.lines().find_map(|known| known.strip_prefix(line)?.trim().parse::<f64>().ok());
        found.unwrap_or_else(|| panic!("no line {line} in\n{text}"))
    };
    assert_eq!(value("tollgate_requests_total{decision=\"allowed\"}"), calls as f64);
    assert_eq!(value("tollgate_requests_total{decision=\"denied\"}"), 1.0);
    assert_eq!(value("tollgate_ready"), 1.0);
    assert_eq!(value("tollgate_ledger_lost_total"), 0.0);
    assert_eq!(value("tollgate_upstream_phase_seconds_count{phase=\"first_byte\"}"), calls as f64);
    let sum = |start: &str| {
        let lines = text.lines().filter(|line| line.starts_with(start));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let ledger = bench.proxy.ledger();
    let tokens =
        ledger.number("SELECT sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) FROM model_calls");
    assert_eq!(sum("tollgate_model_tokens_total{"), tokens as f64);
    let output = ledger.number("SELECT sum(output_tokens - coalesce(reasoning_tokens, 0)) FROM model_calls WHERE model LIKE 'claude-%'");
    assert_eq!(
        value("tollgate_model_tokens_total{model=\"claude-haiku-4-5-20251001\",class=\"output\"}"),
        output as f64
    );
    let cost = ledger.number("SELECT sum(cost_pico_usd) FROM model_calls") as f64 / 1e12;
    assert!((sum("tollgate_model_cost_dollars_total{") - cost).abs() < 1e-9);
    let Some(promtool) = program("promtool") else { return };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("a reader");
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn on_a_unix_socket_the_files_mode_is_the_guard() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("admin.sock");
    let mut proxy: Proxy =
        Setup::default().more(&format!("[admin]\naddress = \"unix://{}\"", path.display())).start();
    assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o600);
    let mut socket = UnixStream::connect(&path).expect("a listener");
    let request = b"GET /v1/policy HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n";
    socket.write_all(request).expect("a reader");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"digest\""), "{answer}");
    assert!(!proxy.dir().join("state/admin.token").exists(), "no token is needed, so none is made");
    assert_eq!(proxy.stop().code(), Some(0));
    assert!(!path.exists(), "the socket goes with the proxy");
}

#[test]
fn the_openapi_file_describes_what_is_served() {
    let bench = Bench::new();
    bench.traffic();
    let mut refused = Client::plain(bench.proxy.address());
    refused.ask(b"GET http://nobody.invalid/ HTTP/1.1\r\nHost: nobody.invalid\r\n\r\n");
    eventually("an upstream error", || {
        (bench.proxy.ledger().number("SELECT count(*) FROM upstream_errors") > 0).then_some(())
    });
    let api = openapi();
    for (path, item) in paths(&api) {
        for (method, operation) in item.as_object().expect("operations") {
            let answer = bench.ask(&method.to_uppercase(), path);
            assert_eq!(answer.status, 200, "{method} {path}");
            let kind =
                answer.head.field("content-type").and_then(|kind| kind.split(';').next()).expect("a type");
            let content = &operation["responses"]["200"]["content"][kind];
            assert!(content.is_object(), "{method} {path} answers {kind}");
            if kind == "application/json" {
                let document = serde_json::from_slice(&answer.body).expect("a JSON document");
                hold(&api, &content["schema"], &document, path);
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                known(&bench, path, resolved(&api, parameter));
            }
        }
    }
    refusals_are_described(&bench, &api);
    let problem = serde_json::from_slice(&bench.ask("GET", "/nope").body).expect("a JSON document");
    hold(&api, &json!({"$ref": "#/components/schemas/Problem"}), &problem, "/nope");
    for (target, what) in [("/v1/events", "events"), ("/v1/calls", "calls"), ("/v1/errors", "errors")] {
        assert!(
            !bench.json(target)[what].as_array().expect("rows").is_empty(),
            "{target} was held by no row"
        );
    }
}

/// Whatever is wrong with a request, its path's description says what the answer is.
fn refusals_are_described(bench: &Bench, api: &Value) {
    let host = bench.admin.to_string();
    let token = format!("Authorization: Bearer {}\r\n", bench.token);
    let body = format!("{token}Content-Length: 1\r\n");
    for (path, item) in paths(api) {
        let (method, operation) = item.as_object().and_then(|item| item.iter().next()).expect("an operation");
        let method = method.to_uppercase();
        for (method, query, host, fields) in [
            (&*method, "?nothing=1", &*host, &*token),
            (&*method, "?%zz", &*host, &*token),
            (&*method, "", "evil.test", &*token),
            (&*method, "", &*host, ""),
            (&*method, "", &*host, &*body),
            ("PUT", "", &*host, &*token),
        ] {
            let answer = bench.ask_with(method, &format!("{path}{query}"), host, fields);
            let responses = &operation["responses"];
            let status = answer.status.to_string();
            let known = responses.get(&*status).or(responses.get("default").filter(|_| answer.status >= 402));
            let known = known.unwrap_or_else(|| panic!("{method} {path}{query} answers {status}"));
            let kind = answer.head.field("content-type").and_then(|kind| kind.split(';').next());
            let content = &known["content"][kind.expect("a type")];
            assert!(content.is_object(), "{method} {path}{query} answers {status} as {kind:?}");
            if kind == Some("application/json") && answer.status != 200 {
                let problem = serde_json::from_slice(&answer.body).expect("a JSON document");
                hold(api, &content["schema"], &problem, path);
            }
        }
    }
}

/// A parameter that the file names is one that the server takes: a value without sense is the worst it can be.
fn known(bench: &Bench, path: &str, parameter: &Value) {
    let name = parameter["name"].as_str().expect("a name");
    if ["follow", "token"].contains(&name) {
        return; // one never ends, the other is the page's own
    }
    let answer = bench.ask("GET", &format!("{path}?{name}=zz"));
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!said.contains("unknown parameter"), "{path}: {said}");
}

fn resolved<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(place) => api.pointer(place.trim_start_matches('#')).expect(place),
        None => schema,
    }
}

/// Holds a value against the part of JSON Schema that the file uses.
fn hold(api: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolved(api, schema);
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = &schema["type"];
    let is =
        |kind: &str| allowed == kind || allowed.as_array().is_some_and(|kinds| kinds.contains(&kind.into()));
    let fits = is(kind) || (kind == "integer" && is("number"));
    assert!(fits, "{at} is {value}, and should be {allowed}");
    assert!(schema["enum"].as_array().is_none_or(|words| words.contains(value)), "{at} is {value}");
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        hold(api, &schema["items"], item, &format!("{at}[{index}]"));
    }
    let Some((object, properties)) = value.as_object().zip(schema["properties"].as_object()) else { return };
    for (name, inner) in object {
        match properties.get(name) {
            Some(schema) => hold(api, schema, inner, &format!("{at}.{name}")),
            None => assert_ne!(schema["additionalProperties"], false, "{at}.{name} is in no description"),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(object.contains_key(name), "{at} has no {name}");
    }
}
