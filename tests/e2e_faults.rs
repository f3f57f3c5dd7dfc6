//! Origins and guests that fail: each gets an answer that names the phase, and a row; nothing panics, nothing hangs.

mod support;

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use support::certs::Flaw;
use support::client::{Client, Response};
use support::gate::Gate;
use support::ledger::Row;
use support::origin::{Origin, chunk, tls_1_1_server_hello};
use support::proxy::{Proxy, Setup};
use support::{eventually, now};

const HOST: &str = "origin.example";
const MAPPED: &str = "origin.example:443";
const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: origin.example\r\n\r\n";

fn ask(proxy: &Proxy, host: &str) -> Response {
    let mut client = Client::connect(proxy.address(), host, &proxy.ca_file());
    client.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
}

/// The answer is 502 and names the phase; the one row says the same.
fn assert_failed(proxy: &Proxy, response: &Response, phase: &str) -> Row {
    let body = String::from_utf8_lossy(&response.body);
    assert_eq!(response.status, 502, "{body}");
    assert!(body.contains(phase), "the body names the phase {phase}: {body}");
    let row = proxy.ledger().net_events(1).remove(0);
    assert_eq!(row.text("decision"), Some("failed"));
    assert_eq!(row.text("fault_phase"), Some(phase));
    assert_eq!(row.int("status"), Some(502));
    assert!(row.text("fault").is_some_and(|fault| !fault.is_empty()));
    row
}

#[test]
fn p29_a_host_that_does_not_resolve_is_502_dns() {
    let proxy = Setup::default().start();
    let response = ask(&proxy, "no-such-host.invalid");
    let row = assert_failed(&proxy, &response, "dns");
    assert_eq!(row.text("host"), Some("no-such-host.invalid"));
}

#[test]
fn p29_a_host_that_refuses_is_502_connect() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = closed.local_addr().expect("a bound address");
    drop(closed);
    let proxy = Setup::default().map(MAPPED, address).start();
    let response = ask(&proxy, HOST);
    assert_failed(&proxy, &response, "connect");
}

#[test]
fn p28_a_bad_certificate_is_502_tls_and_no_request_byte_leaves() {
    for flaw in [Flaw::Expired, Flaw::NotYetValid, Flaw::WrongName, Flaw::SelfSigned, Flaw::UnknownIssuer] {
        let setup = Setup::default();
        let origin = Origin::answering(
            setup.origins.server(HOST, flaw),
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        );
        let proxy = setup.map(MAPPED, origin.address()).start();
        let response = ask(&proxy, HOST);
        assert_failed(&proxy, &response, "tls");
        assert!(origin.received().iter().all(Vec::is_empty), "{flaw:?}: the origin got bytes of the request");
        let errors = proxy.ledger().rows("SELECT * FROM upstream_errors");
        assert_eq!(errors.len(), 1, "{flaw:?}");
        assert_eq!(errors[0].text("phase"), Some("tls"), "{flaw:?}");
    }
}

#[test]
fn p28_an_origin_below_tls_1_2_is_502_tls() {
    let origin = Origin::plain(|conn| {
        conn.read(5)?;
        conn.send(&tls_1_1_server_hello())?;
        conn.until_closed()
    });
    let proxy = Setup::default().map(MAPPED, origin.address()).start();
    let response = ask(&proxy, HOST);
    assert_failed(&proxy, &response, "tls");
}

#[test]
fn p29_an_origin_that_resets_or_talks_garbage_is_502_at_once() {
    type Deed = fn(&mut support::origin::Conn) -> std::io::Result<()>;
    let deeds: [(&str, Deed); 4] = [
        ("resets after the request", |conn| conn.request().and_then(|_| conn.reset())),
        ("closes after the request", |conn| conn.request().and_then(|_| conn.close())),
        ("answers garbage", |conn| conn.request().and_then(|_| conn.send(b"\x00\x01 not http\r\n\r\n"))),
        ("answers two lengths", |conn| {
            conn.request()?;
            conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")
        }),
    ];
    for (what, deed) in deeds {
        let setup = Setup::default();
        let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), deed);
        let proxy = setup.map(MAPPED, origin.address()).start();
        let start = now();
        // POST: it must not be sent twice (P30), so the first failure is the answer.
        let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
        let response = client.ask(b"POST / HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 2\r\n\r\nhi");
        assert!(start.elapsed() < Duration::from_secs(2), "{what}: took {:?}", start.elapsed());
        assert_failed(&proxy, &response, "first_byte");
        assert_eq!(origin.accepted(), 1, "{what}: sent again");
    }
}

#[test]
fn p18_a_body_that_breaks_off_is_visibly_aborted() {
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), |conn| {
        conn.request()?;
        conn.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        conn.send(&chunk(b"half"))?;
        conn.cut()
    });
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    client.send(ASK);
    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
    assert!(rest.contains("half"), "{rest}");
    assert!(!rest.ends_with("0\r\n\r\n"), "the proxy closed a body that was never complete: {rest}");
    let row = proxy.ledger().net_events(1).remove(0);
    assert_eq!((row.text("decision"), row.text("fault_phase")), (Some("failed"), Some("body")));
}

#[test]
fn p2_garbage_at_the_entrance_is_closed_within_a_second_and_leaves_a_row() {
    let garbage: [&[u8]; 5] = [
        b"\x00",
        b"\xff\xfe\xfd\xfc garbage",
        b"\x16\x03\x01\x00\x00",
        b"\x80\x2e\x01\x03\x01",
        b"\x01\x02\x03\x04\r\n\r\n",
    ];
    for bytes in garbage {
        let proxy = Setup::default().start();
        let start = now();
        let mut client = Client::plain(proxy.address());
        client.send(bytes);
        client.rest();
        assert!(start.elapsed() < Duration::from_secs(1), "{bytes:?} took {:?}", start.elapsed());
        let row = proxy.ledger().net_events(1).remove(0);
        assert!(matches!(row.text("decision"), Some("denied" | "failed")), "{row:?}");
        assert!(matches!(row.text("fault_phase"), Some("greet" | "hello")), "{row:?}");
    }
}

#[test]
fn lesson_4_a_client_that_leaves_a_stream_leaves_an_aborted_row_with_partial_usage() {
    let setup = Setup::default();
    let left = Gate::default();
    let noticed = left.clone();
    let origin = Origin::tls(setup.origins.server("api.anthropic.com", Flaw::None), move |conn| {
        conn.request()?;
        conn.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        )?;
        conn.send(&chunk(
            b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\
              \"claude-haiku-4-5\",\"usage\":{\"input_tokens\":700,\"cache_read_input_tokens\":300,\"output_tokens\":1}}}\n\n",
        ))?;
        let gone = conn.until_closed();
        noticed.open();
        gone
    });
    let proxy = setup.map("api.anthropic.com:443", origin.address()).start();
    let body = r#"{"model":"claude-haiku-4-5","stream":true,"max_tokens":9,"messages":[]}"#;
    let mut client = Client::connect(proxy.address(), "api.anthropic.com", &proxy.ca_file());
    client.send(
        format!(
            "POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
    client.head().expect("a response head");
    client.chunked_data(20).expect("the beginning of the first event");
    let start = now();
    client.leave();
    left.wait();
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "P31: the origin was let go after {:?}",
        start.elapsed()
    );

    let event = proxy.ledger().net_events(1).remove(0);
    assert_eq!(event.text("decision"), Some("aborted"));
    let call = proxy.ledger().model_calls(1).remove(0);
    assert_eq!(call.text("usage_state"), Some("partial"));
    assert_eq!((call.int("input_tokens"), call.int("cache_read_tokens")), (Some(1000), Some(300)));
    assert_eq!(call.text("model"), Some("claude-haiku-4-5"));
}

#[test]
fn p31_a_client_that_leaves_before_the_answer_leaves_an_aborted_row() {
    let setup = Setup::default();
    let asked = Gate::default();
    let seen = asked.clone();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), move |conn| {
        conn.request()?;
        seen.open();
        conn.until_closed()
    });
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    client.send(ASK);
    asked.wait();
    client.reset();
    eventually("the origin's connection is closed", || (origin.open() == 0).then_some(()));
    assert_eq!(proxy.ledger().net_events(1)[0].text("decision"), Some("aborted"));
}
