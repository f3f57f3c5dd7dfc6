//! Exactly one row a request, whatever the load, and memory that stays where it is (P32, P23).

mod support;

use std::sync::Barrier;
use std::thread;

use support::certs::Flaw;
use support::client::Client;
use support::origin::{Origin, response};
use support::proxy::{Proxy, Setup};

const HOST: &str = "load.example";
const ASK: &[u8] = b"GET /kilobyte HTTP/1.1\r\nHost: load.example\r\n\r\n";

/// A proxy before an origin that answers a kilobyte to everything.
fn stage() -> (Origin, Proxy) {
    let setup = Setup::default();
    let origin = Origin::answering(setup.origins.server(HOST, Flaw::None), &response(200, "", &[b'x'; 1024]));
    let proxy = setup.map("load.example:443", origin.address()).start();
    (origin, proxy)
}

fn client(proxy: &Proxy) -> Client {
    Client::connect(proxy.address(), HOST, &proxy.ca_file())
}

#[test]
fn p32_ten_thousand_sequential_requests_leave_ten_thousand_rows_in_flat_memory() {
    let (_origin, proxy) = stage();
    let ask = |times: usize| {
        let mut client = client(&proxy);
        for _ in 0..times {
            let response = client.ask(ASK);
            assert_eq!((response.status, response.body.len()), (200, 1024));
        }
    };
    (0..4).for_each(|_| ask(500));
    proxy.ledger().net_events_count(2_000);
    let warm = proxy.rss();
    (0..16).for_each(|_| ask(500));
    proxy.ledger().net_events_count(10_000);
    let grown = proxy.rss().saturating_sub(warm);
    // A writer that the machine starves lets some thousands of events wait: that is bounded, and no leak.
    assert!(grown < 8 << 20, "8,000 more requests grew the process by {} KiB", grown >> 10);
    let not_allowed = "SELECT count(*) FROM net_events WHERE decision <> 'allowed' OR status <> 200";
    assert_eq!(proxy.ledger().number(not_allowed), 0);
    assert_eq!(proxy.ledger().number("SELECT count(DISTINCT exchange_id) FROM net_events"), 10_000);
    assert_eq!(proxy.ledger().number("SELECT count(*) FROM dropped"), 0);
}

#[test]
fn p32_256_concurrent_requests_leave_256_rows() {
    const CLIENTS: usize = 256;
    let (_origin, proxy) = stage();
    let before = proxy.descriptors();
    let start = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = client(&proxy);
                start.wait(); // all are connected before the first asks
                assert_eq!(client.ask(ASK).status, 200);
            });
        }
    });
    proxy.ledger().net_events_count(CLIENTS as i64);
    let connections = "SELECT count(DISTINCT connection_id) FROM net_events";
    assert_eq!(proxy.ledger().number(connections), CLIENTS as i64);
    support::eventually("the guests' descriptors are closed", || {
        // The pool may keep some connections to the origin; the guests' are gone.
        (proxy.descriptors() < before + CLIENTS).then_some(())
    });
}
