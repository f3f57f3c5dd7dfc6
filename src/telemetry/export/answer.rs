//! What a collector answers: a status, how long to stay away, and in a few bytes what it thinks of what it got
//! (OTLP specification, OTLP/HTTP Response). A body that is chunked, or longer than a message needs, is not read.

use std::io::{self, ErrorKind};
use std::time::Duration;

use serde_json::Value;

use crate::telemetry::text::printable;
use crate::wire::body::Framing;
use crate::wire::head::{HeadLimits, HeadScan, Method, ResponseHead, parse_response};

/// Bounds on an answer's head.
const LIMITS: HeadLimits = HeadLimits { request_line: 0, header_block: 16 << 10, header_fields: 100 };

/// Most bytes of a body that are read.
const BODY: u64 = 16 << 10;

/// The longest time that a collector can make us stay away.
const AWAY: Duration = Duration::from_hours(1);

/// An answer while it comes in.
#[derive(Debug)]
pub(super) struct Reading {
    bytes: Vec<u8>,
    scan: HeadScan,
    /// The head, and where the body begins.
    head: Option<(ResponseHead, usize)>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Retry-After` in seconds, where it says so many.
    pub retry_after: Option<Duration>,
    /// The collector's own words, printable, empty where it has none: why it refused, or what of a batch it left out.
    pub message: String,
}

impl Reading {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), scan: HeadScan::for_response(), head: None }
    }

    /// Takes what came; true when nothing more is needed.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> io::Result<bool> {
        self.bytes.extend_from_slice(bytes);
        while self.head.is_none() {
            let Some(end) = self.scan.find(&self.bytes, &LIMITS).map_err(no_http)? else { return Ok(false) };
            let mut head = ResponseHead::default();
            parse_response(&self.bytes[..end], &Method::Post, &mut head, &LIMITS).map_err(no_http)?;
            if (100..200).contains(&head.status) {
                self.bytes.drain(..end);
                self.scan.reset();
            } else {
                self.head = Some((head, end));
            }
        }
        let has = self.body().len() as u64;
        Ok(self.head.as_ref().is_none_or(|(head, _)| match head.framing {
            Framing::Length(length) => has >= length.min(BODY),
            Framing::Close => has >= BODY,
            Framing::None | Framing::Chunked => true,
        }))
    }

    /// What came until now, if that is an answer.
    pub(super) fn done(self) -> Option<Answer> {
        let message = message(self.body());
        let (head, _) = self.head?;
        let seconds =
            head.fields.get(b"retry-after").and_then(|value| str::from_utf8(value).ok()?.parse().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(AWAY));
        Some(Answer { status: head.status, retry_after, message })
    }

    fn body(&self) -> &[u8] {
        self.head.as_ref().map_or(&[], |(_, begin)| &self.bytes[*begin..])
    }
}

fn no_http(_: crate::wire::head::HeadError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the answer is no HTTP")
}

/// The words of an `ExportTraceServiceResponse`, an `ExportMetricsServiceResponse` or a `Status`.
fn message(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let partial = &body["partialSuccess"];
    let rejected = ["rejectedSpans", "rejectedDataPoints"].iter().find_map(|key| match &partial[key] {
        // 64-bit numbers may come as strings.
        Value::String(number) => number.parse().ok(),
        number => number.as_u64(),
    });
    let words =
        [&partial["errorMessage"], &body["message"]].into_iter().find_map(Value::as_str).unwrap_or("");
    let words = printable(words);
    match rejected {
        Some(number @ 1..) if words.is_empty() => format!("{number} rejected"),
        Some(number @ 1..) => format!("{number} rejected: {words}"),
        _ => words.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer in these bytes, fed one by one, and whether it was complete before their end.
    fn read(bytes: &str) -> (Option<Answer>, bool) {
        let mut reading = Reading::new();
        let complete = bytes.as_bytes().iter().any(|byte| reading.feed(&[*byte]).expect("HTTP"));
        (reading.done(), complete)
    }

    #[test]
    fn answers_are_read_to_what_they_say() {
        let partial = r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#;
        let silent = r#"{"partialSuccess":{"rejectedDataPoints":2}}"#;
        let with = |status: u16, fields: &str, body: &str| {
            format!("HTTP/1.1 {status} x\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        for (bytes, status, seconds, words) in [
            (with(200, "", "{}"), 200, None, ""),
            (with(200, "", partial), 200, None, "3 rejected: too old"),
            (with(200, "", silent), 200, None, "2 rejected"),
            (with(200, "", r#"{"partialSuccess":{}}"#), 200, None, ""),
            (with(400, "", r#"{"code":3,"message":"bad id"}"#), 400, None, "bad id"),
            (with(429, "Retry-After: 7\r\n", ""), 429, Some(7), ""),
            (with(503, "Retry-After: 99999999\r\n", "<html>"), 503, Some(3600), ""),
            (with(503, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", ""), 503, None, ""),
            (format!("HTTP/1.1 100 Continue\r\n\r\n{}", with(204, "", "")), 204, None, ""),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 200, None, ""),
        ] {
            let retry_after = seconds.map(Duration::from_secs);
            let wanted = Answer { status, retry_after, message: words.to_owned() };
            assert_eq!(read(&bytes), (Some(wanted), true), "{bytes}");
        }
        let (answer, complete) = read("HTTP/1.1 400 x\r\n\r\n{\"message\":\"m\"}");
        assert_eq!((answer.map(|answer| answer.message), complete), (Some("m".to_owned()), false));
        assert_eq!(read("HTTP/1.1 20").0, None);
        assert!(Reading::new().feed(b"SSH-2.0-x\r\n").is_err());
    }
}
