//! A whole connection in memory, through the lab: machine, TLS on both sides, policy and record, no sockets. The guest
//! and the origin at its ends work in the same thread, so the figures hold their half of the cryptography, too.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tollgate::lab::Lab;
use tollgate::lab::cuts::Cuts;

const REQUEST: &[u8] =
    b"GET /v1/things?page=2 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n";

fn main() {
    divan::main();
}

#[divan::bench]
fn new_connection(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let mut lab = Lab::new(Cuts::Whole);
        lab.guest_begins_tls("a.test");
        exchange(&mut lab, &answer(1024))
    });
}

#[divan::bench(args = [1 << 10, 16 << 10, 256 << 10])]
fn kept_connection(bencher: Bencher<'_, '_>, size: usize) {
    let mut lab = Lab::new(Cuts::Whole);
    lab.guest_begins_tls("a.test");
    let answer = answer(size);
    bencher.counter(BytesCount::new(answer.len())).bench_local(|| {
        lab.events.clear();
        lab.asked.clear();
        exchange(&mut lab, &answer)
    });
}

/// One request and its answer; what the guest received of it.
fn exchange(lab: &mut Lab, answer: &[u8]) -> usize {
    lab.guest_sends(REQUEST);
    lab.origin_sends(answer);
    lab.origin().take_received();
    let received = lab.guest.take_received().len();
    assert!(received >= answer.len(), "the guest got {received} bytes of {}", answer.len());
    received
}

fn answer(size: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; size]].concat()
}
