//! The side observer of one exchange's bodies: decoding, framing and metering, all on a copy.
//!
//! It never changes, delays or fails traffic (P20): trouble of any kind turns it off, and it says why. It is bounded
//! (P24): the decoder's window, one token, and what the meter keeps; past that it stops looking, not forwarding.

mod decoding;
mod frames;
mod keeper;
mod observer;
mod request;

pub use keeper::Keeper;
pub use request::RequestTap;

use std::borrow::Cow;

use crate::model::detect::Detected;
use crate::model::failure::seconds;
use crate::model::request::RequestFacts;
use crate::model::usage::{Call, OriginError};
use crate::wire::date::http_date;

use decoding::Decoding;
use observer::Observer;

/// What the tap needs from a response head.
#[derive(Clone, Debug, Default)]
pub struct TapHead<'a> {
    /// Status code.
    pub status: u16,
    /// Content-Type.
    pub content_type: Option<&'a [u8]>,
    /// Content-Encoding, several fields joined by commas.
    pub content_encoding: Cow<'a, [u8]>,
    /// Retry-After: seconds, or a date.
    pub retry_after: Option<&'a [u8]>,
    /// Retry-After-Ms.
    pub retry_after_ms: Option<&'a [u8]>,
    /// Date: what a date in Retry-After is counted from.
    pub date: Option<&'a [u8]>,
    /// When the request began, in Unix microseconds: what it is counted from where there is no Date.
    pub asked_at: i64,
    /// The provider's request id, whatever its field is called.
    pub request_id: Option<&'a [u8]>,
    /// What kind of error it is, where AWS says so in the head alone.
    pub error_type: Option<&'a [u8]>,
}

/// Fields that hold a request id; of several the first here counts.
const REQUEST_IDS: [&[u8]; 6] = [
    b"request-id",
    b"x-request-id",
    b"apim-request-id",
    b"x-amzn-requestid",
    b"x-generation-id",
    b"x-goog-request-id",
];

impl<'a> TapHead<'a> {
    /// Picks what is needed from a head's fields, names in any case.
    pub fn from_fields(status: u16, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut head = Self { status, ..Self::default() };
        let mut rank = REQUEST_IDS.len();
        for (name, value) in fields {
            let name = name.to_ascii_lowercase();
            match REQUEST_IDS.iter().position(|id| *id == name) {
                Some(at) if at < rank => (rank, head.request_id) = (at, Some(value)),
                Some(_) => {}
                None => head.field(&name, value),
            }
        }
        head
    }

    fn field(&mut self, name: &[u8], value: &'a [u8]) {
        match name {
            b"content-type" => self.content_type = Some(value),
            b"content-encoding" if self.content_encoding.is_empty() => self.content_encoding = value.into(),
            b"content-encoding" => {
                self.content_encoding = [&self.content_encoding, value].join(&b","[..]).into();
            }
            b"retry-after" => self.retry_after = Some(value),
            b"retry-after-ms" => self.retry_after_ms = Some(value),
            b"date" => self.date = Some(value),
            b"x-amzn-errortype" => self.error_type = Some(value),
            _ => {}
        }
    }

    /// What the head alone says about an error.
    fn error(&self) -> OriginError {
        OriginError {
            status: Some(self.status),
            kind: self
                .error_type
                .map(|value| text(value.split(|byte| *byte == b':').next().unwrap_or_default())),
            retry_after_us: self.wait(),
            request_id: self.request_id.map(text),
            ..OriginError::default()
        }
    }

    /// How long to wait, in microseconds: a number, or a date, of which nothing is left once it has passed.
    fn wait(&self) -> Option<u64> {
        let millis = self.retry_after_ms.and_then(|value| seconds(&text(value)));
        let number = || self.retry_after.and_then(|value| seconds(&text(value)));
        let date = || {
            let until = self.retry_after.and_then(http_date)?;
            let now = self.date.and_then(http_date).unwrap_or(self.asked_at.div_euclid(1_000_000));
            Some(until.saturating_sub(now).max(0) as u64 * 1_000_000)
        };
        millis.map(|thousandfold| thousandfold / 1000).or_else(number).or_else(date)
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim().to_owned()
}

/// Reads a response's body as it passes.
pub struct Tap {
    decoding: Decoding,
    observer: Observer,
    facts: RequestFacts,
}

/// What a tap learnt.
#[derive(Clone, Debug, Default)]
pub struct TapReport {
    /// Model runs.
    pub calls: Vec<Call>,
    /// Errors not yet taken with [`Tap::take_errors`].
    pub errors: Vec<OriginError>,
    /// Body bytes after content decoding, where all of them were seen.
    pub decoded: Option<u64>,
    /// Why inspection stopped, where it did.
    pub off: Option<String>,
}

impl Tap {
    /// A tap for the answer to a model call; `cap` bounds what it may hold.
    pub fn new(detected: &Detected, head: &TapHead<'_>, cap: usize) -> Self {
        Self::with(Observer::of_call(detected, head, cap), &head.content_encoding)
    }

    /// A tap that reads only the error in a 4xx or 5xx answer, of any host.
    pub fn errors_only(head: &TapHead<'_>) -> Self {
        Self::with(Observer::of_failure(head), &head.content_encoding)
    }

    fn with(observer: Observer, content_encoding: &[u8]) -> Self {
        Self { decoding: Decoding::new(content_encoding), observer, facts: RequestFacts::default() }
    }

    /// What the request asked; may come any time before [`end`](Self::end).
    pub fn set_request_facts(&mut self, facts: RequestFacts) {
        self.facts = facts;
    }

    /// Body bytes as they are on the wire, framing removed; `elapsed_us` since the exchange began.
    pub fn push(&mut self, bytes: &[u8], elapsed_us: u64) {
        let observer = &mut self.observer;
        self.decoding.push(bytes, |piece| observer.read(piece, elapsed_us));
    }

    /// Errors that became known since the last call; cheap when there are none.
    pub fn take_errors(&mut self) -> Vec<OriginError> {
        self.observer.take_errors()
    }

    /// Ends the tap; `complete` when the origin ended its body properly.
    pub fn end(mut self, complete: bool, elapsed_us: u64) -> TapReport {
        if complete {
            self.decoding.finish();
        }
        let complete = complete && self.decoding.is_on();
        let mut report = self.observer.end(self.facts, complete, elapsed_us);
        let (decoded, off) = self.decoding.outcome();
        report.decoded = decoded;
        report.off = off.or(report.off);
        report
    }
}

#[cfg(test)]
mod tests;
