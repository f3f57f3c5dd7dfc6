//! Scanning event streams: as one buffer, and event by event as they arrive.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use tollgate::wire::sse::{Scanner, Token};

const EVENT: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
    {\"type\":\"text_delta\",\"text\":\"the quick brown fox jumps over a lazy dog while it rains in the hills\"}}\n\n";

fn main() {
    divan::main();
}

#[divan::bench]
fn one_buffer(bencher: Bencher<'_, '_>) {
    let stream = EVENT.repeat(80);
    bencher
        .counter(BytesCount::of_str(&stream))
        .bench_local(|| scan(stream.len(), black_box(stream.as_bytes())));
}

#[divan::bench]
fn event_by_event(bencher: Bencher<'_, '_>) {
    let stream = EVENT.repeat(80);
    bencher
        .counter(BytesCount::of_str(&stream))
        .bench_local(|| scan(EVENT.len(), black_box(stream.as_bytes())));
}

fn scan(piece: usize, stream: &[u8]) -> usize {
    let (mut scanner, mut events) = (Scanner::default(), 0);
    for piece in stream.chunks(piece) {
        scanner.push(piece, &mut |token| events += usize::from(token == Token::Dispatch));
    }
    events
}
