//! The ledger's numbers are the origin's, for every wire format, streamed and plain, gzip and identity, however the
//! origin cuts its bytes, and on kept-alive connections. What is no model call leaves none.

mod support;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use support::certs::{Authority, Flaw};
use support::client::Client;
use support::origin::{Conn, Origin, chunk, response};
use support::proxy::{Proxy, Setup};
use tollgate::demo::check::Checks;
use tollgate::demo::ledger::Ledger;
use tollgate::demo::origin::coded;
use tollgate::demo::script::{self, Script};

/// How many bytes the origin puts into a chunk, and so into a TLS record.
const CUTS: [usize; 3] = [1, 1000, usize::MAX];

/// One exchange: a script, its coding, the cut.
#[derive(Clone, Copy)]
struct Case {
    script: usize,
    gzip: bool,
    cut: usize,
}

fn cases(scripts: &[Script]) -> Vec<Case> {
    let codings = (0..scripts.len()).flat_map(|script| [true, false].map(|gzip| (script, gzip)));
    codings.flat_map(|(script, gzip)| CUTS.map(|cut| Case { script, gzip, cut })).collect()
}

/// Answers each request with the case that its `x-case` field names.
fn serve(conn: &mut Conn, scripts: &[Script], cases: &[Case]) -> io::Result<()> {
    while let Some(request) = conn.request()? {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let number =
            text.split("x-case: ").nth(1).and_then(|rest| rest.lines().next()).expect("an x-case field");
        let case = cases[number.parse::<usize>().expect("a number")];
        let script = &scripts[case.script];
        let coding = if case.gzip { "content-encoding: gzip\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {}\r\n{coding}transfer-encoding: chunked\r\n\r\n",
            script.content_type
        );
        conn.send(head.as_bytes())?;
        for piece in coded(script, case.gzip).chunks(case.cut) {
            conn.send(&chunk(piece))?;
        }
        conn.send(b"0\r\n\r\n")?;
    }
    Ok(())
}

/// An origin for all model hosts: each gets its own listener, since each needs its own certificate.
fn origins(authority: &Arc<Authority>, scripts: &[Script]) -> HashMap<&'static str, Origin> {
    let hosts: BTreeSet<_> = scripts.iter().map(|script| script.host).collect();
    let start = |host: &'static str| {
        let (scripts, cases) = (scripts.to_vec(), cases(scripts));
        let origin =
            Origin::tls(authority.server(host, Flaw::None), move |conn| serve(conn, &scripts, &cases));
        (host, origin)
    };
    hosts.into_iter().map(start).collect()
}

fn request(script: &Script, case: usize, gzip: bool) -> Vec<u8> {
    let (target, host, body) = (script.target, script.host, script.request);
    let coding = if gzip { "gzip, deflate, br, zstd" } else { "identity" };
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: {coding}\r\nContent-Type: application/json\r\n\
         x-case: {case}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

#[test]
fn every_number_is_exact_in_every_format_coding_and_cut() {
    let scripts = script::all();
    let setup = Setup::default();
    let origins = origins(&setup.origins, &scripts);
    let setup = origins
        .iter()
        .fold(setup, |setup, (host, origin)| setup.map(&format!("{host}:443"), origin.address()));
    let proxy = setup.start();
    let cases = cases(&scripts);

    let mut clients: HashMap<&str, Client> = HashMap::new();
    for (number, case) in cases.iter().enumerate() {
        let script = &scripts[case.script];
        let client = clients
            .entry(script.host)
            .or_insert_with(|| Client::transparent(proxy.address(), script.host, &proxy.ca_file()));
        let response = client.ask(&request(script, number, case.gzip));
        assert_eq!(response.status, 200, "{}", script.name);
        assert_eq!(
            response.body,
            coded(script, case.gzip),
            "{}: the origin's bytes, unchanged (P20)",
            script.name
        );
    }

    proxy.ledger().model_calls(cases.len());
    let ledger = Ledger::read(proxy.ledger().file()).expect("a readable ledger");
    let mut checks = Checks::default();
    for (case, row) in cases.iter().zip(&ledger.model_calls) {
        let script = &scripts[case.script];
        let what = format!("{}, gzip {}, pieces of {}", script.name, case.gzip, case.cut);
        checks.call(&what, &script.truth, row);
    }
    assert_eq!(checks.mismatches, Vec::<String>::new(), "of {} values", checks.compared);
}

/// One exchange with an origin that answers `reply`; gives the proxy to look into.
fn one_exchange(host: &str, request: &str, reply: &[u8]) -> Proxy {
    let setup = Setup::default();
    let origin = Origin::answering(setup.origins.server(host, Flaw::None), reply);
    let proxy = setup.map(&format!("{host}:443"), origin.address()).start();
    let mut client = Client::connect(proxy.address(), host, &proxy.ca_file());
    client.ask(request.as_bytes());
    proxy.ledger().net_events(1);
    proxy
}

#[test]
fn lesson_14_what_is_no_model_call_leaves_none() {
    let requests = [
        (
            "api.anthropic.com",
            "POST /v1/messages/count_tokens",
            "{\"model\":\"claude-haiku-4-5\",\"messages\":[]}",
        ),
        ("api.anthropic.com", "GET /v1/models", ""),
        ("api.anthropic.com", "HEAD /v1/messages", ""),
        ("api.openai.com", "GET /v1/chat/completions/chatcmpl-1", ""),
        ("api.openai.com", "POST /v1/responses/input_tokens", "{\"model\":\"gpt-5\",\"input\":\"x\"}"),
        (
            "generativelanguage.googleapis.com",
            "POST /v1beta/models/gemini-2.5-pro:countTokens",
            "{\"contents\":[]}",
        ),
    ];
    for (host, line, body) in requests {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let reply = if line.starts_with("HEAD") { Vec::new() } else { br#"{"input_tokens":14}"#.to_vec() };
        let proxy =
            one_exchange(host, &request, &response(200, "content-type: application/json\r\n", &reply));
        assert_eq!(proxy.ledger().number("SELECT count(*) FROM model_calls"), 0, "{line}");
    }
}

#[test]
fn a_refused_model_request_is_a_call_with_an_error_and_no_tokens() {
    let error = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#;
    let body = r#"{"model":"claude-haiku-4-5","max_tokens":1,"messages":[]}"#;
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let proxy = one_exchange(
        "api.anthropic.com",
        &request,
        &response(529, "content-type: application/json\r\n", error),
    );
    let calls = proxy.ledger().model_calls(1);
    assert_eq!(calls[0].text("error_type"), Some("overloaded_error"));
    assert_eq!(calls[0].text("usage_state"), Some("none"));
    assert_eq!(
        (calls[0].int("input_tokens"), calls[0].int("cost_pico_usd")),
        (None, None),
        "unknown is not 0"
    );
    let errors = proxy.ledger().rows("SELECT * FROM upstream_errors");
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].int("status"), errors[0].text("type")), (Some(529), Some("overloaded_error")));
}

#[test]
fn lesson_13_an_unknown_model_has_no_cost() {
    let reply =
        br#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-nobody-knows","content":[],
        "stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":4}}"#;
    let body = r#"{"model":"claude-nobody-knows","max_tokens":1,"messages":[]}"#;
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let proxy = one_exchange(
        "api.anthropic.com",
        &request,
        &response(200, "content-type: application/json\r\n", reply),
    );
    let calls = proxy.ledger().model_calls(1);
    assert_eq!((calls[0].int("input_tokens"), calls[0].int("output_tokens")), (Some(3), Some(4)));
    assert_eq!(calls[0].int("cost_pico_usd"), None);
}
