//! One request and one response of HTTP/1.1 at a time, over a blocking socket; the reading is `wire`'s.
//!
//! Refuses bodies (nothing here takes one), heads past small limits, and heads that do not come in time: single bytes
//! do not extend the deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::listen::Stream;
use crate::limits::{Micros, SECOND};
use crate::reactor::shared::Shared;
use crate::wire::body::Framing;
use crate::wire::head::{HeadLimits, HeadScan, RequestHead, parse_request};

const LIMITS: HeadLimits = HeadLimits { request_line: 8 << 10, header_block: 32 << 10, header_fields: 100 };
/// From the first wait to a whole head; also how long an idle connection is kept.
const HEAD: Micros = 10 * SECOND;

/// How long a peer that was refused may go on sending before it is cut off.
const LINGER: Micros = 2 * SECOND;

/// A connection between requests.
pub(super) struct Connection {
    pub(super) stream: Stream,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    head: RequestHead,
}

/// Why there is no request.
pub(super) enum NoRequest {
    /// The peer has gone or is silent.
    Over,
    /// It is answered with this, and the connection ends.
    Refused(Response),
}

impl Connection {
    pub(super) fn new(stream: Stream, shared: Arc<Shared>) -> Self {
        Self { stream, shared, buffer: Vec::new(), head: RequestHead::default() }
    }

    /// Waits for the next request.
    pub(super) fn next(&mut self) -> Result<&RequestHead, NoRequest> {
        let end = self.shared.now().mono + HEAD;
        let mut scan = HeadScan::new();
        let length = loop {
            let found = scan.find(&self.buffer, &LIMITS).map_err(|e| refused(e.status(), e.as_str()))?;
            if let Some(length) = found {
                break length;
            }
            self.fill(end).map_err(|_| NoRequest::Over)?;
        };
        let parsed = parse_request(&self.buffer[..length], &mut self.head, &LIMITS);
        parsed.map_err(|error| refused(error.status(), error.as_str()))?;
        self.buffer.drain(..length);
        match self.head.framing {
            Framing::None | Framing::Length(0) => Ok(&self.head),
            _ => Err(refused(413, "requests have no body here")),
        }
    }

    /// Answers what is no request, and ends.
    pub(super) fn refuse(&mut self, response: &Response) -> io::Result<()> {
        response.write(&mut self.stream, false)?;
        let end = self.shared.now().mono + LINGER;
        let left = || Some(end.saturating_sub(self.shared.now().mono)).filter(|left| *left > 0);
        self.stream.linger(|| left().map(Duration::from_micros))
    }

    /// Reads what is there, before the monotonic moment `end`.
    fn fill(&mut self, end: Micros) -> io::Result<()> {
        let left = end.saturating_sub(self.shared.now().mono);
        if left == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Duration::from_micros(left))?;
        let mut room = [0; 4 << 10];
        let n = self.stream.read(&mut room)?;
        self.buffer.extend_from_slice(&room[..n]);
        if n == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

fn refused(status: u16, why: &str) -> NoRequest {
    NoRequest::Refused(Response::problem(status, why))
}

/// A response whose length is known.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    /// Further fields, whole lines with CRLF.
    pub(super) fields: String,
    pub(super) body: Vec<u8>,
}

/// What a JSON answer is called.
pub(super) const JSON: &str = "application/json";
/// What plain words are called.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

impl Response {
    pub(super) fn new(kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, kind, fields: String::new(), body: body.into() }
    }

    /// `{"error": {"status": …, "message": …}}`.
    pub(super) fn problem(status: u16, message: &str) -> Self {
        let body = json!({"error": {"status": status, "message": message}});
        Self { status, ..Self::new(JSON, format!("{body}\n")) }
    }

    /// With one more field.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        for part in [name, ": ", value, "\r\n"] {
            self.fields.push_str(part);
        }
        self
    }

    /// Writes it whole and asks for the end of the connection.
    pub(super) fn write(&self, out: &mut impl Write, keep_alive: bool) -> io::Result<()> {
        self.send(out, keep_alive, &self.body)
    }

    /// Writes its head: an answer to HEAD.
    pub(super) fn write_head(&self, out: &mut impl Write, keep_alive: bool) -> io::Result<()> {
        self.send(out, keep_alive, b"")
    }

    fn send(&self, out: &mut impl Write, keep_alive: bool, body: &[u8]) -> io::Result<()> {
        let head = head(self.status, self.kind, &self.fields);
        let connection = if keep_alive { "" } else { "connection: close\r\n" };
        let length = self.body.len();
        let head = format!("{head}content-length: {length}\r\n{connection}\r\n");
        out.write_all(&[head.as_bytes(), body].concat())
    }
}

/// The head of any answer, up to what says how long the body is.
pub(super) fn head(status: u16, kind: &str, fields: &str) -> String {
    format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
         cross-origin-resource-policy: same-origin\r\n{fields}",
        reason(status)
    )
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
