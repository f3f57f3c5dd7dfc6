//! Reading what models answer, as a tap does it for each exchange: decoding, framing and metering of whole streams that
//! arrive event by event, by format; a gigabyte through gzip; and skimming what was asked.
//!
//! `items` are events: the time of one is the time of a stream divided by [`EVENTS`].

#[path = "meter/streams.rs"]
mod streams;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use streams::{EVENTS, STREAMS, Stream, TEXT, count};
use tollgate::demo::gzip::whole;
use tollgate::exchange::tap::RequestTap;

fn main() {
    divan::main();
}

#[divan::bench(args = STREAMS)]
fn event_by_event(bencher: Bencher<'_, '_>, stream: &Stream) {
    let events = stream.events();
    let bytes: usize = events.iter().map(String::len).sum();
    bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::new(bytes)).bench_local(|| {
        let mut tap = stream.tap(b"");
        for event in &events {
            tap.push(black_box(event.as_bytes()), 1);
        }
        count(tap)
    });
}

#[divan::bench(args = STREAMS)]
fn in_records(bencher: Bencher<'_, '_>, stream: &Stream) {
    let body = stream.events().concat();
    bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::of_str(&body)).bench_local(|| {
        let mut tap = stream.tap(b"");
        body.as_bytes().chunks(16 << 10).for_each(|record| tap.push(black_box(record), 1));
        count(tap)
    });
}

/// A gigabyte of events, decoded: what is held meanwhile is the decoder's window and the meter's few facts.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn a_gigabyte_through_gzip(bencher: Bencher<'_, '_>) {
    let stream = &STREAMS[0];
    let text: String = (0..4096).map(|n| stream.event.replace("TEXT", &format!("{n} {TEXT}"))).collect();
    let repeats = (1 << 30) / text.len() + 1;
    let (first, middle, last) =
        (whole(stream.first.as_bytes()), whole(text.as_bytes()), whole(stream.last.as_bytes()));
    let bytes = repeats * text.len() + stream.first.len() + stream.last.len();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        let mut tap = stream.tap(b"gzip");
        tap.push(&first, 1);
        (0..repeats).for_each(|_| middle.chunks(16 << 10).for_each(|record| tap.push(black_box(record), 1)));
        tap.push(&last, 1);
        assert_eq!(count(tap), Some(bytes as u64));
    });
}

/// A request as an agent sends it after many turns: system prompt, tools, and a long history of tool results.
#[divan::bench]
fn request_skim(bencher: Bencher<'_, '_>) {
    let turn = format!(
        "{{\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":\"{TEXT}\"}},{{\"type\":\"tool_use\",\
         \"id\":\"toolu_1\",\"name\":\"read\",\"input\":{{\"path\":\"src/lib.rs\"}}}}]}},{{\"role\":\"user\",\"content\":\
         [{{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"content\":\"{}\"}}]}}",
        "    let line = \\\"fn main() {\\\\n\\\";\\n".repeat(100)
    );
    let body = format!(
        "{{\"model\":\"claude\",\"stream\":true,\"system\":\"{}\",\"tools\":[{}],\"messages\":[{}]}}",
        TEXT.repeat(300),
        "{\"name\":\"t\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}},".repeat(8) + "{}",
        vec![turn; 250].join(",")
    );
    let detected = STREAMS[0].detected();
    bencher.counter(BytesCount::of_str(&body)).bench_local(|| {
        let mut tap = RequestTap::new(&detected, None);
        body.as_bytes().chunks(16 << 10).for_each(|record| tap.push(black_box(record)));
        let facts = tap.end(true);
        assert_eq!((facts.messages_count, facts.tools_count, facts.off), (Some(500), Some(9), None));
    });
}
