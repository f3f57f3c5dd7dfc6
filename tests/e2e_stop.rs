//! The end in good order (P35): running exchanges finish, every row is written, exit code 0.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use support::certs::Flaw;
use support::client::Client;
use support::gate::Gate;
use support::origin::{Origin, chunk};
use support::proxy::{Proxy, Setup};
use support::{eventually, now};
use tollgate::demo::ledger::Ledger;

const HOST: &str = "stop.example";
const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: stop.example\r\n\r\n";

/// A running exchange: the first half has arrived, the second waits at the gate.
fn half_way() -> (Origin, Proxy, Client, Gate) {
    let setup = Setup::default();
    let gate = Gate::default();
    let waiting = gate.clone();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), move |conn| {
        conn.request()?;
        conn.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        conn.send(&chunk(b"first"))?;
        waiting.wait();
        conn.send(&chunk(b"second"))?;
        conn.send(b"0\r\n\r\n")
    });
    let proxy = setup.map("stop.example:443", origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    client.send(ASK);
    client.head().expect("a response head");
    assert_eq!(client.chunked_data(5).expect("the first half"), b"first");
    (origin, proxy, client, gate)
}

#[test]
fn p35_sigterm_lets_a_running_exchange_finish_and_writes_its_row() {
    let (_origin, mut proxy, mut client, gate) = half_way();
    proxy.signal(Signal::SIGTERM);
    eventually("no new connection is taken", || TcpStream::connect(proxy.address()).is_err().then_some(()));
    gate.open();
    assert_eq!(client.chunked_end().expect("the second half"), b"second");
    assert_eq!(proxy.wait().code(), Some(0));
    let ledger = Ledger::read(proxy.ledger().file()).expect("a readable ledger");
    assert_eq!(ledger.net_events.len(), 1);
    assert_eq!(ledger.net_events[0]["decision"], "allowed");
}

#[test]
fn p35_a_second_signal_cuts_at_once() {
    let (_origin, mut proxy, mut client, gate) = half_way();
    let start = now();
    proxy.signal(Signal::SIGTERM);
    eventually("no new connection is taken", || TcpStream::connect(proxy.address()).is_err().then_some(()));
    proxy.signal(Signal::SIGTERM);
    let rest = client.rest();
    let status = proxy.wait();
    assert!(start.elapsed() < Duration::from_secs(3), "took {:?}", start.elapsed());
    assert_eq!(status.code(), Some(0));
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a body that was cut looks complete");
    let ledger = Ledger::read(proxy.ledger().file()).expect("a readable ledger");
    assert_eq!(ledger.net_events.len(), 1, "the cut exchange has its row");
    gate.open();
}

#[test]
fn p18_p35_a_cut_is_a_reset_where_an_end_would_look_whole() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let origin = Origin::plain(move |conn| {
        conn.request()?;
        conn.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        conn.send(&chunk(b"first"))?;
        waiting.wait();
        Ok(())
    });
    let mut proxy = Setup::default().map("stop.example:80", origin.address()).start();
    let mut socket = TcpStream::connect(proxy.address()).expect("a listening proxy");
    socket.write_all(b"GET / HTTP/1.0\r\nHost: stop.example\r\n\r\n").expect("a reading proxy");
    let mut got = Vec::new();
    while !got.ends_with(b"first") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("the first half");
        got.push(byte[0]);
    }
    proxy.signal(Signal::SIGTERM);
    eventually("no new connection is taken", || TcpStream::connect(proxy.address()).is_err().then_some(()));
    proxy.signal(Signal::SIGTERM);
    let end = socket.read(&mut [0; 16]).expect_err("a reset");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.wait().code(), Some(0));
    gate.open();
}

#[test]
fn p21_p35_what_still_runs_when_the_grace_period_is_over_is_cut() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let origin = Origin::plain(move |conn| {
        conn.request()?;
        waiting.wait();
        Ok(())
    });
    let setup = Setup::default().map("stop.example:80", origin.address());
    let mut proxy = setup.more("[timeouts]\ndrain = \"600ms\"").start();
    let mut client = Client::plain(proxy.address());
    client.send(ASK);
    eventually("the request arrives", || (origin.received().concat().len() > 10).then_some(()));
    let start = now();
    assert_eq!(proxy.stop().code(), Some(0));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(600) && took < Duration::from_secs(2), "took {took:?}");
    let ledger = Ledger::read(proxy.ledger().file()).expect("a readable ledger");
    assert_eq!(ledger.net_events[0]["decision"], "aborted");
    gate.open();
}
