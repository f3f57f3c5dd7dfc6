//! Undoing content codings on the copy that inspection reads: in bulk, and one flushed event at a time as streams
//! bring them.

use std::ops::ControlFlow;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::deflate::core::CompressorOxide;
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::{DataFormat, MZFlush};
use tollgate::wire::coding::{Decoder, parse_content_encoding};

const EVENT: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
    {\"type\":\"text_delta\",\"text\":\"the quick brown fox jumps over a lazy dog while it rains in the hills\"}}\n\n";
const EVENTS: usize = 200;

fn main() {
    divan::main();
}

#[divan::bench]
fn bulk(bencher: Bencher<'_, '_>) {
    let text: String = (0..5000).map(|line| format!("{line} {EVENT}")).collect();
    let packed = compress_to_vec_zlib(text.as_bytes(), 6);
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| decode(b"deflate", &[&packed]));
}

#[divan::bench]
fn event_by_event(bencher: Bencher<'_, '_>) {
    let mut pieces = vec![vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]];
    let mut raw = CompressorOxide::default();
    raw.set_format_and_level(DataFormat::Raw, 6);
    pieces.extend((0..EVENTS).map(|event| flushed(&mut raw, &format!("{event} {EVENT}"))));
    let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| decode(b"gzip", &pieces));
}

fn decode(coding: &[u8], pieces: &[&[u8]]) -> usize {
    let mut decoder = Decoder::new(parse_content_encoding(coding).expect("built in"));
    let mut total = 0;
    for piece in pieces {
        let taken = decoder.push(black_box(piece), &mut |out: &[u8]| {
            total += out.len();
            ControlFlow::Continue(())
        });
        taken.expect("well coded");
    }
    total
}

fn flushed(raw: &mut CompressorOxide, text: &str) -> Vec<u8> {
    let mut out = vec![0; 1024];
    let result = deflate(raw, text.as_bytes(), &mut out, MZFlush::Sync);
    out.truncate(result.bytes_written);
    out
}
