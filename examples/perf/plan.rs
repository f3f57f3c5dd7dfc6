//! What a request asks the origin to do, carried in its `x-perf` field, and the bytes that both ends agree on.

use std::time::{SystemTime, UNIX_EPOCH};

use miniz_oxide::deflate::core::CompressorOxide;
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::{MZFlush, StreamResult};

/// Size of one server-sent event before compression.
pub const EVENT: usize = 200;

/// One answer, as asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Body bytes of a plain answer.
    pub size: u64,
    /// Chunked instead of Content-Length.
    pub chunked: bool,
    /// An endless event stream instead of a plain answer.
    pub stream: bool,
    /// Events a second of a stream; 0 means without gaps.
    pub rate: u64,
    /// Whether the stream is gzip-coded.
    pub gzip: bool,
}

impl Plan {
    /// The value of the `x-perf` field.
    pub fn to_field(self) -> String {
        let Self { size, chunked, stream, rate, gzip } = self;
        format!("{size} {} {} {rate} {}", u8::from(chunked), u8::from(stream), u8::from(gzip))
    }

    /// Finds and reads the field among the lines of a request head.
    pub fn from_head(head: &[u8]) -> Option<Self> {
        let at = memchr::memmem::find(head, b"x-perf: ")? + b"x-perf: ".len();
        let line = &head[at..at + memchr::memchr(b'\r', &head[at..])?];
        let mut numbers = std::str::from_utf8(line).ok()?.split(' ').map(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        Some(Self {
            size: next()?,
            chunked: next()? == 1,
            stream: next()? == 1,
            rate: next()?,
            gzip: next()? == 1,
        })
    }
}

/// Unix microseconds: the same clock in both processes.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_micros() as u64)
}

/// One content delta of an Anthropic stream, with room for the moment it was sent: `@` and 16 digits.
pub struct Event {
    head: &'static str,
    tail: String,
    packed_tail: Vec<u8>,
}

/// What opens a stream so that a meter takes it for a model's reply.
pub const OPENING: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_perf\",\
\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\",\"content\":[],\"usage\":\
{\"input_tokens\":10,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\
\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";

impl Event {
    /// Builds the constant parts.
    pub fn new() -> Self {
        let head = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                    \"delta\":{\"type\":\"text_delta\",\"text\":\"@";
        let end = "\"}}\n\n";
        let words = "the quick brown fox jumps over a lazy dog while it rains ";
        let room = EVENT - head.len() - 16 - end.len();
        let tail = words.chars().cycle().take(room).collect::<String>() + end;
        let packed_tail = pack(tail.as_bytes());
        Self { head, tail, packed_tail }
    }

    /// Appends the event in clear.
    pub fn write_plain(&self, moment: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(format!("{moment:016}").as_bytes());
        out.extend_from_slice(self.tail.as_bytes());
    }

    /// Appends the event as deflate blocks: a stored one with the moment, then the rest compressed by itself, so
    /// that the receiver finds the moment without inflating and the origin compresses once for all streams.
    pub fn write_packed(&self, moment: u64, out: &mut Vec<u8>) {
        let len = (self.head.len() + 16) as u16;
        out.push(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(format!("{moment:016}").as_bytes());
        out.extend_from_slice(&self.packed_tail);
    }
}

/// A gzip member's header, and the opening events behind it.
pub fn packed_opening() -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(pack(OPENING.as_bytes()));
    out
}

/// Raw deflate, fully flushed: it stands anywhere in a stream.
fn pack(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0; text.len() + 256];
    let mut raw = CompressorOxide::default();
    raw.set_format_and_level(miniz_oxide::DataFormat::Raw, 6);
    let StreamResult { bytes_written, .. } = deflate(&mut raw, text, &mut out, MZFlush::Full);
    out.truncate(bytes_written);
    out
}
