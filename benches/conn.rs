//! One request with its answer through a whole connection machine, between peers in memory: what Tollgate itself costs,
//! without kernel and network. Over TLS both peers' cryptography is in the figure.

use divan::Bencher;
use divan::counter::ItemsCount;
use tollgate::lab::Lab;
use tollgate::lab::cuts::Cuts;

const REQUEST: &[u8] = b"GET /a/b/c HTTP/1.1\r\nHost: a.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
/// Requests on one kept connection.
const REQUESTS: u32 = 100;

fn main() {
    divan::main();
}

#[divan::bench]
fn plain(bencher: Bencher<'_, '_>) {
    exchanges(bencher, || Lab::new(Cuts::Whole));
}

#[divan::bench]
fn tls(bencher: Bencher<'_, '_>) {
    exchanges(bencher, || {
        let mut lab = Lab::new(Cuts::Whole);
        lab.guest_begins_tls("a.test");
        lab
    });
}

fn exchanges(bencher: Bencher<'_, '_>, prepare: impl Fn() -> Lab + Sync) {
    bencher.counter(ItemsCount::new(REQUESTS)).with_inputs(prepare).bench_local_values(|mut lab| {
        for _ in 0..REQUESTS {
            lab.guest_sends(REQUEST);
            lab.origin_sends(ANSWER);
        }
        lab
    });
}
