//! Messages in a form that does not depend on how their bytes were cut: every chunked body stands as one chunk.

use std::fmt;

use crate::wire::body::{BodyLimits, ChunkHead, Decoder, Framing, write_last_chunk};
use crate::wire::head::{
    HeadLimits, HeadScan, Method, RequestHead, ResponseHead, parse_request, parse_response,
};

/// Larger than anything that is written.
const HEAD: HeadLimits = HeadLimits { request_line: 1 << 20, header_block: 1 << 20, header_fields: 4096 };
const BODY: BodyLimits = BodyLimits { chunk_line: 1 << 10, trailers: 1 << 20 };

/// A message read from the front of some bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The bytes, with a chunked body joined into one chunk.
    pub bytes: Vec<u8>,
    /// Its status; 0 for a request.
    pub status: u16,
    /// Its method; GET for a response.
    pub method: Method,
    /// Its body has ended, or ends with the connection.
    pub complete: bool,
}

impl fmt::Debug for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.complete { "" } else { " …" };
        write!(out, "\"{}{whole}\"", self.bytes.escape_ascii())
    }
}

/// Every request in `bytes`, the last one perhaps cut short; a head that was cut short is left out.
pub fn requests(mut bytes: &[u8]) -> Vec<Message> {
    let mut found = Vec::new();
    while let Some((message, used)) = first_request(bytes) {
        bytes = &bytes[used..];
        found.push(message);
    }
    found
}

/// How many bytes of whole or begun requests stand at the front of `bytes`; a head that was cut short counts.
pub fn read(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some((_, used)) = first_request(&bytes[at..]) {
        at += used;
    }
    let rest = &bytes[at..];
    if matches!(HeadScan::new().find(rest, &HEAD), Ok(None)) { bytes.len() } else { at }
}

/// Every response in `bytes`, to requests of these methods (the last one again and again).
pub fn responses(mut bytes: &[u8], methods: &[Method]) -> Vec<Message> {
    let mut found: Vec<Message> = Vec::new();
    let mut answered = 0;
    while let Some((message, used)) =
        first_response(bytes, methods.get(answered).or(methods.last()).unwrap_or(&Method::Get))
    {
        bytes = &bytes[used..];
        answered += usize::from(message.status >= 200);
        found.push(message);
    }
    found
}

/// The request at the front of `bytes`, and how many of them it takes.
pub fn first_request(bytes: &[u8]) -> Option<(Message, usize)> {
    let len = HeadScan::new().find(bytes, &HEAD).ok()??;
    let mut head = RequestHead::default();
    parse_request(&bytes[..len], &mut head, &HEAD).ok()?;
    let (message, used) = joined(bytes, len, head.framing, 0);
    Some((Message { method: head.method, ..message }, used))
}

fn first_response(bytes: &[u8], method: &Method) -> Option<(Message, usize)> {
    let len = HeadScan::for_response().find(bytes, &HEAD).ok()??;
    let mut head = ResponseHead::default();
    parse_response(&bytes[..len], method, &mut head, &HEAD).ok()?;
    Some(joined(bytes, len, head.framing, head.status))
}

fn joined(bytes: &[u8], head: usize, framing: Framing, status: u16) -> (Message, usize) {
    let mut decoder = Decoder::new(framing, BODY);
    let (mut used, mut data) = (head, Vec::new());
    while let Ok(step) = decoder.step(&bytes[used..]) {
        data.extend_from_slice(&bytes[used..][step.data]);
        used += step.used;
        if step.done || step.used == 0 {
            break;
        }
    }
    let mut out = bytes[..head].to_vec();
    write_body(framing == Framing::Chunked, &data, &decoder, &mut out);
    let complete = decoder.is_done() || framing == Framing::Close;
    (Message { bytes: out, status, method: Method::Get, complete }, used)
}

fn write_body(chunked: bool, data: &[u8], decoder: &Decoder, out: &mut Vec<u8>) {
    let framed = chunked && !data.is_empty();
    if framed {
        out.extend_from_slice(ChunkHead::new(data.len()).as_bytes());
    }
    out.extend_from_slice(data);
    if framed {
        out.extend_from_slice(b"\r\n");
    }
    if chunked && decoder.is_done() {
        write_last_chunk(decoder.trailers(), out);
    }
}
