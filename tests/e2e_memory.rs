//! A peer that does not read costs nothing (P23): the proxy stops reading the other side instead.

mod support;

use std::thread;
use std::time::Duration;

use support::certs::Flaw;
use support::client::Client;
use support::gate::Gate;
use support::origin::Origin;
use support::proxy::Setup;

const HOST: &str = "big.example";
const SIZE: usize = 64 << 20;
/// One pattern of the body; its length is prime, so that a shifted byte shows.
const PATTERN: [u8; 8191] = pattern();

const fn pattern() -> [u8; 8191] {
    let mut bytes = [0; 8191];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at * 31 % 251) as u8;
        at += 1;
    }
    bytes
}

fn body() -> Vec<u8> {
    PATTERN.iter().copied().cycle().take(SIZE).collect()
}

#[test]
fn p23_a_download_to_a_guest_that_does_not_read_grows_nothing() {
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), |conn| {
        conn.request()?;
        conn.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n").as_bytes())?;
        body().chunks(64 << 10).try_for_each(|piece| conn.send(piece))?;
        conn.until_closed()
    });
    let proxy = setup.map("big.example:443", origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    let before = proxy.rss();
    client.send(b"GET / HTTP/1.1\r\nHost: big.example\r\n\r\n");
    let head = client.head().expect("a response head");
    thread::sleep(Duration::from_secs(1));
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 4 << 20, "the process grew by {} KiB", grown >> 10);
    let got = client.body(&head).expect("the whole body");
    assert!(got == body(), "the body is not the origin's");
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 4 << 20, "the process grew by {} KiB", grown >> 10);
    assert_eq!(proxy.ledger().net_events(1)[0].int("response_bytes"), Some(SIZE as i64));
}

#[test]
fn p23_an_upload_to_an_origin_that_does_not_read_grows_nothing() {
    let setup = Setup::default();
    let gate = Gate::default();
    let waiting = gate.clone();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), move |conn| {
        conn.read_past(b"\r\n\r\n")?;
        waiting.wait();
        let got = conn.read(SIZE)?;
        assert!(got == body(), "the body is not the guest's");
        conn.send(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        conn.until_closed()
    });
    let proxy = setup.map("big.example:443", origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    let before = proxy.rss();
    client.send(format!("PUT / HTTP/1.1\r\nHost: big.example\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes());
    let upload = thread::spawn(move || {
        client.send(&body());
        client.response()
    });
    thread::sleep(Duration::from_secs(1));
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 4 << 20, "the process grew by {} KiB", grown >> 10);
    gate.open();
    let response = upload.join().expect("an upload that ends").expect("a response");
    assert_eq!(response.status, 204);
    assert_eq!(proxy.ledger().net_events(1)[0].int("request_bytes"), Some(SIZE as i64));
}
