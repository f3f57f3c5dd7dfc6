//! Where the kernel matters: peers that do not read, origins that close on unread bytes, half-closed guests.

mod support;

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use support::certs::Flaw;
use support::client::Client;
use support::gate::Gate;
use support::origin::{Conn, Origin, chunk, response};
use support::proxy::{Proxy, Setup};
use support::{eventually, now};

/// What a peer would send if the other one read: far more than any buffer on the way.
const FLOOD: usize = 256 << 20;
const PIECE: &[u8] = &[7; 64 << 10];

const UPGRADE: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: ws.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn flood(send: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    (0..FLOOD / PIECE.len()).try_for_each(|_| send(PIECE))
}

fn flood_in_chunks(send: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    flood(&mut |piece| send(&chunk(piece)))
}

/// An origin that answers GET with a flood (in chunks where the path says so), POST never, and floods a WebSocket.
fn serve(conn: &mut Conn, done: &Gate) -> std::io::Result<()> {
    let head = conn.read_past(b"\r\n\r\n")?;
    if head.starts_with(b"GET /chunked") {
        conn.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        return flood_in_chunks(&mut |piece| conn.send(piece));
    }
    if head.starts_with(b"GET /ws") {
        conn.send(UPGRADED)?;
    } else if head.starts_with(b"POST") {
        done.wait_long();
        return Ok(());
    } else {
        conn.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {FLOOD}\r\n\r\n").as_bytes())?;
    }
    flood(&mut |piece| conn.send(piece))
}

/// Grows by less than 4 MiB while `start` has a flood waiting.
fn grows_nothing<T>(what: &str, proxy: &Proxy, start: impl FnOnce() -> T) {
    let before = proxy.rss();
    let held = start();
    thread::sleep(Duration::from_millis(700));
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 4 << 20, "{what}: the process grew by {} KiB", grown >> 10);
    drop(held);
}

/// Floods from a thread until the peer is gone.
fn flood_from(mut client: Client, head: &'static [u8]) {
    thread::spawn(move || {
        drop(client.try_send(head));
        drop(flood(&mut |piece| client.try_send(piece)));
    });
}

#[test]
fn p23_no_peer_that_does_not_read_grows_the_process() {
    let done = Gate::default();
    let (tls_done, plain_done) = (done.clone(), done.clone());
    let setup = Setup::default();
    let tls =
        Origin::tls(setup.origins.server("tls.example", Flaw::None), move |conn| serve(conn, &tls_done));
    let ws =
        Origin::tls(setup.origins.server("ws.example", Flaw::None), |conn| serve(conn, &Gate::default()));
    let plain = Origin::plain(move |conn| serve(conn, &plain_done));
    let raw = Origin::plain(|conn| flood(&mut |piece| conn.send(piece)));
    let deaf_gate = done.clone();
    let deaf = Origin::plain(move |_| {
        deaf_gate.wait_long();
        Ok(())
    });
    let proxy = setup
        .map("tls.example:443", tls.address())
        .map("ws.example:443", ws.address())
        .map("plain.example:80", plain.address())
        .map("raw.example:443", raw.address())
        .map("deaf.example:443", deaf.address())
        .user("[network]\ndefault = \"allow\"\nsplice = [\"raw.example\", \"deaf.example\"]\n")
        .start();
    let (at, ca) = (proxy.address(), proxy.ca_file());
    // Everything that is made once is made before the first measurement.
    drop(Client::connect(at, "tls.example", &ca));
    let get = |client: &mut Client, request: &[u8]| client.send(request);

    grows_nothing("a plain download", &proxy, || {
        let mut client = Client::plain(at);
        get(&mut client, b"GET / HTTP/1.1\r\nHost: plain.example\r\n\r\n");
        client
    });
    grows_nothing("a TLS download", &proxy, || {
        let mut client = Client::connect(at, "tls.example", &ca);
        get(&mut client, b"GET / HTTP/1.1\r\nHost: tls.example\r\n\r\n");
        client
    });
    grows_nothing("a TLS download in chunks", &proxy, || {
        let mut client = Client::connect(at, "tls.example", &ca);
        get(&mut client, b"GET /chunked HTTP/1.1\r\nHost: tls.example\r\n\r\n");
        client
    });
    grows_nothing("a WebSocket towards the guest", &proxy, || {
        let mut client = Client::connect(at, "ws.example", &ca);
        get(&mut client, UPGRADE);
        client
    });
    grows_nothing("a splice towards the guest", &proxy, || tunnel(at, "raw.example"));
    grows_nothing("a plain upload", &proxy, || {
        flood_from(
            Client::plain(at),
            b"POST / HTTP/1.1\r\nHost: plain.example\r\nContent-Length: 900000000\r\n\r\n",
        );
    });
    grows_nothing("a TLS upload", &proxy, || {
        let client = Client::connect(at, "tls.example", &ca);
        flood_from(client, b"POST / HTTP/1.1\r\nHost: tls.example\r\nContent-Length: 900000000\r\n\r\n");
    });
    grows_nothing("a TLS upload in chunks", &proxy, || {
        let mut client = Client::connect(at, "tls.example", &ca);
        thread::spawn(move || {
            drop(
                client
                    .try_send(b"POST / HTTP/1.1\r\nHost: tls.example\r\nTransfer-Encoding: chunked\r\n\r\n"),
            );
            drop(flood_in_chunks(&mut |piece| client.try_send(piece)));
        });
    });
    grows_nothing("a WebSocket towards an origin", &proxy, || {
        flood_from(Client::connect(at, "ws.example", &ca), UPGRADE);
    });
    grows_nothing("a splice towards an origin", &proxy, || {
        let mut socket = tunnel(at, "deaf.example");
        thread::spawn(move || drop(flood(&mut |piece| socket.write_all(piece))));
    });
    done.open();
}

/// A tunnel that the policy splices, begun with a ClientHello.
fn tunnel(at: SocketAddr, host: &str) -> TcpStream {
    use std::io::Read as _;
    let mut socket = TcpStream::connect(at).expect("a listening proxy");
    write!(socket, "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").expect("a reading proxy");
    let mut answer = [0; 39];
    socket.read_exact(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    socket.write_all(&client_hello()).expect("a reading proxy");
    socket
}

/// The least that is a ClientHello (RFC 8446 §4.1.2): one cipher suite, TLS 1.3, no server name.
fn client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[0x42; 32]); // random
    body.extend_from_slice(&[0, 0, 2, 0x13, 1, 1, 0]); // no session, TLS_AES_128_GCM_SHA256, no compression
    body.extend_from_slice(&[0, 7, 0, 43, 0, 3, 2, 3, 4]); // supported_versions
    let length = body.len() as u8;
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length], &body[..]].concat()
}

#[test]
fn p16_an_early_answer_is_delivered_although_its_origin_closes_on_unread_bytes() {
    for tls in [true, false] {
        let setup = Setup::default();
        let config = setup.origins.server("up.example", Flaw::None);
        let answer = |conn: &mut Conn| {
            conn.read_past(b"\r\n\r\n")?;
            conn.send(&response(413, "", b"too large"))
            // and the connection is closed with the upload unread: the kernel sends RST
        };
        let origin = if tls { Origin::tls(config, answer) } else { Origin::plain(answer) };
        let port = if tls { 443 } else { 80 };
        let proxy = setup.map(&format!("up.example:{port}"), origin.address()).start();
        let mut client = if tls {
            Client::connect(proxy.address(), "up.example", &proxy.ca_file())
        } else {
            Client::plain(proxy.address())
        };
        client.send(b"POST / HTTP/1.1\r\nHost: up.example\r\nContent-Length: 900000000\r\n\r\n");
        for _ in 0..256 {
            if client.try_send(PIECE).is_err() {
                break;
            }
        }
        let response = client.response().expect("the origin's answer");
        assert_eq!((response.status, &response.body[..]), (413, &b"too large"[..]), "TLS {tls}");
        assert_eq!(proxy.ledger().net_events(1)[0].int("status"), Some(413));
    }
}

#[test]
fn p19_a_half_closed_plain_guest_is_served_to_the_end() {
    let body = vec![b'x'; 4 << 20];
    let expected = body.clone();
    let origin = Origin::plain(move |conn| {
        while conn.request()?.is_some() {
            thread::sleep(Duration::from_millis(100));
            conn.send(&response(200, "", &body))?;
        }
        Ok(())
    });
    let proxy = Setup::default().map("half.example:80", origin.address()).start();
    let mut socket = TcpStream::connect(proxy.address()).expect("a listening proxy");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: half.example\r\n\r\n").expect("a reading proxy");
    socket.shutdown(Shutdown::Write).expect("a connection");
    thread::sleep(Duration::from_millis(500)); // the answer fills every buffer on the way meanwhile
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut socket, &mut got).expect("a whole answer");
    assert!(got.ends_with(&expected), "{} bytes", got.len());
    assert_eq!(proxy.ledger().net_events(1)[0].text("decision"), Some("allowed"));
}

#[test]
fn p31_a_guest_that_leaves_with_a_request_in_the_pipeline_lets_the_origin_go() {
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server("gone.example", Flaw::None), |conn| {
        conn.request()?;
        conn.until_closed()
    });
    let proxy = setup.map("gone.example:443", origin.address()).start();
    let mut client = Client::connect(proxy.address(), "gone.example", &proxy.ca_file());
    client.send(&b"GET / HTTP/1.1\r\nHost: gone.example\r\n\r\n".repeat(2));
    eventually("the request arrives", || (origin.received().concat().len() > 10).then_some(()));
    let start = now();
    client.leave();
    eventually("the origin's connection is closed", || (origin.open() == 0).then_some(()));
    assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());
    assert_eq!(proxy.ledger().net_events(1)[0].text("decision"), Some("aborted"));
}

#[test]
fn p31_a_plain_guest_that_closes_is_told_from_one_that_waits() {
    let origin = Origin::plain(|conn| {
        conn.read_past(b"begun")?;
        conn.until_closed()?;
        thread::sleep(Duration::from_secs(3)); // it knows that nothing comes, and says nothing either
        Ok(())
    });
    let proxy = Setup::default()
        .map("gone.example:80", origin.address())
        .map("gone.example:443", origin.address())
        .user("[network]\ndefault = \"allow\"\nsplice = [\"gone.example\"]\nports = [80, 443]\n")
        .start();
    let asking = || {
        let mut socket = TcpStream::connect(proxy.address()).expect("a listening proxy");
        socket.write_all(b"GET /begun HTTP/1.1\r\nHost: gone.example\r\n\r\n").expect("a reading proxy");
        socket
    };
    let begin: [(&dyn Fn() -> TcpStream, &str); 2] =
        [(&asking, "aborted"), (&|| tunnel(proxy.address(), "gone.example"), "spliced")];
    for (n, (begin, decision)) in begin.into_iter().enumerate() {
        let socket = begin();
        eventually("it arrives", || (origin.received().concat().len() > 5).then_some(()));
        socket.shutdown(Shutdown::Write).expect("a socket");
        thread::sleep(Duration::from_millis(1200));
        assert_eq!(proxy.ledger().number("SELECT count(*) FROM net_events"), n as i64, "it still reads");
        let start = now();
        drop(socket);
        let rows = proxy.ledger().net_events(n + 1);
        assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());
        assert_eq!(rows[n].text("decision"), Some(decision));
    }
}

#[test]
fn p3_a_descriptor_is_given_back_whatever_a_guest_sends_and_idling_costs_nothing() {
    let proxy = Setup::default().start();
    let before = proxy.descriptors();
    for bytes in [
        &b"\0\0"[..],
        b"\x16\x03\x01\x00\x05\x01\0\0\x01\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x05\x01\x09",
        b"HELP\r\n",
    ] {
        for _ in 0..20 {
            let mut client = Client::plain(proxy.address());
            drop(client.try_send(bytes));
            client.rest();
        }
    }
    eventually("all descriptors are back", || (proxy.descriptors() <= before).then_some(()));
    proxy.ledger().net_events_count(100);
    let before = proxy.cpu();
    thread::sleep(Duration::from_secs(2));
    let used = proxy.cpu().checked_sub(before).expect("time goes on");
    assert!(used <= Duration::from_millis(20), "idle, it used {used:?} in two seconds");
}
