//! Streams pass through as they come: the first event of a compressed reply, and the first piece of an upload, are
//! on the other side while their sender still holds the rest back.

mod support;

use support::certs::Flaw;
use support::client::Client;
use support::gate::Gate;
use support::origin::{Origin, chunk};
use support::proxy::{Proxy, Setup};
use tollgate::demo::gzip::Gzip;

const HOST: &str = "api.anthropic.com";
const ASK: &[u8] = b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nAccept-Encoding: gzip\r\n\
    Content-Type: application/json\r\nContent-Length: 60\r\n\r\n\
    {\"model\":\"claude-haiku-4-5\",\"stream\":true,\"messages\":[    ]}";
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\
    transfer-encoding: chunked\r\n\r\n";
const FIRST: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\
    \"model\":\"claude-haiku-4-5\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
const REST: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
    \"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// The two events as an origin compresses them, each flushed by itself.
fn coded() -> (Vec<u8>, Vec<u8>) {
    let mut member = Gzip::default();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    member.piece(FIRST.as_bytes(), &mut first);
    member.piece(REST.as_bytes(), &mut rest);
    member.finish(&mut rest);
    (first, rest)
}

/// An origin that sends the first event and waits at the gate before it sends the rest.
fn holding_origin(setup: &Setup, gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::tls(setup.origins.server(HOST, Flaw::None), move |conn| {
        let (first, rest) = coded();
        conn.request()?;
        conn.send(STREAM_HEAD)?;
        conn.send(&chunk(&first))?;
        gate.wait();
        conn.send(&chunk(&rest))?;
        conn.send(b"0\r\n\r\n")?;
        conn.until_closed()
    })
}

fn first_event_comes_while_the_origin_holds(open: impl FnOnce(&Proxy) -> Client) {
    let setup = Setup::default();
    let gate = Gate::default();
    let origin = holding_origin(&setup, &gate);
    let proxy = setup.map("api.anthropic.com:443", origin.address()).start();
    let (first, rest) = coded();

    let mut client = open(&proxy);
    client.send(ASK);
    let head = client.head().expect("a response head while the origin holds the body");
    assert_eq!(head.field("content-encoding"), Some("gzip"));
    let got = client.chunked_data(first.len()).expect("the first event while the origin holds the rest");
    assert!(!gate.is_open(), "the origin has gone on by itself");
    assert_eq!(got, first, "the origin's bytes, unchanged");

    gate.open();
    let mut tail = client.chunked_data(rest.len()).expect("the rest");
    tail.extend(client.chunked_end().expect("the end of the body"));
    assert_eq!(tail, rest, "the origin's bytes, unchanged and in order");

    let calls = proxy.ledger().model_calls(1);
    assert_eq!((calls[0].int("input_tokens"), calls[0].int("output_tokens")), (Some(7), Some(9)));
    let events = proxy.ledger().net_events(1);
    assert_eq!(events[0].int("response_bytes"), Some((first.len() + rest.len()) as i64));
    assert_eq!(events[0].int("response_decoded"), Some((FIRST.len() + REST.len()) as i64));
    assert_eq!(events[0].text("tap"), None);
}

#[test]
fn p27_first_gzip_event_arrives_by_connect_while_the_origin_holds() {
    first_event_comes_while_the_origin_holds(|proxy| {
        Client::connect(proxy.address(), HOST, &proxy.ca_file())
    });
}

#[test]
fn p27_first_gzip_event_arrives_transparently_while_the_origin_holds() {
    first_event_comes_while_the_origin_holds(|proxy| {
        Client::transparent(proxy.address(), HOST, &proxy.ca_file())
    });
}

#[test]
fn p27_an_upload_streams_too() {
    let setup = Setup::default();
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::tls(setup.origins.server("upload.example", Flaw::None), move |conn| {
        let seen = conn.read_past(b"first piece")?;
        assert!(!String::from_utf8_lossy(&seen).contains("second piece"));
        opened.open();
        conn.read_past(b"second piece")?;
        conn.read_past(b"0\r\n\r\n")?;
        conn.send(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        conn.until_closed()
    });
    let proxy = setup.map("upload.example:443", origin.address()).start();
    let mut client = Client::connect(proxy.address(), "upload.example", &proxy.ca_file());
    client.send(b"PUT /file HTTP/1.1\r\nHost: upload.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(&chunk(b"first piece"));
    gate.wait();
    client.send(&chunk(b"second piece"));
    client.send(b"0\r\n\r\n");
    assert_eq!(client.response().expect("a response").status, 204);
    assert_eq!(proxy.ledger().net_events(1)[0].int("request_bytes"), Some(23));
}

#[test]
fn p20_a_corrupt_gzip_body_goes_on_unchanged_and_the_tap_says_why() {
    let setup = Setup::default();
    let (first, _) = coded();
    let mut broken = first.clone();
    broken[15..25].fill(0xff);
    let body = broken.clone();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), move |conn| {
        conn.request()?;
        conn.send(STREAM_HEAD)?;
        conn.send(&chunk(&body))?;
        conn.send(b"0\r\n\r\n")?;
        conn.until_closed()
    });
    let proxy = setup.map("api.anthropic.com:443", origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    let response = client.ask(ASK);
    assert_eq!((response.status, response.body), (200, broken));
    let events = proxy.ledger().net_events(1);
    assert_eq!(events[0].text("decision"), Some("allowed"));
    assert!(events[0].text("tap").is_some(), "the row says why inspection stopped");
}
