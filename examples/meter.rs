//! Meters one format's stream so many times over, for a profiler that counts instructions: what `benches/meter.rs` times.
//!
//! `meter FORMAT ROUNDS`: a round is a stream of 2000 events of generated text, each handed over by itself. The cost of
//! an event is the difference between two numbers of rounds, divided by theirs and by 2000.

#[path = "../benches/meter/streams.rs"]
mod streams;

use std::env::args;
use std::hint::black_box;

use streams::{EVENTS, STREAMS, count};

fn main() {
    let (format, rounds) =
        (args().nth(1).unwrap_or_default(), args().nth(2).and_then(|text| text.parse().ok()));
    let (Some(stream), Some(rounds)): (_, Option<u32>) =
        (STREAMS.iter().find(|stream| stream.name == format), rounds)
    else {
        let names: Vec<_> = STREAMS.iter().map(|stream| stream.name).collect();
        eprintln!("usage: meter FORMAT ROUNDS, where FORMAT is one of: {}", names.join(", "));
        std::process::exit(2);
    };
    let events = stream.events();
    for _ in 0..rounds {
        let mut tap = stream.tap(b"");
        for event in &events {
            tap.push(black_box(event.as_bytes()), 1);
        }
        count(tap);
    }
    println!("{rounds} rounds of {EVENTS} events");
}
