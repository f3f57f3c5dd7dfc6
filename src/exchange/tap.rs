//! The side observer of one exchange's bodies: decoding, framing and metering, all on a copy.
//!
//! It never changes, delays or fails traffic (P20): trouble of any kind turns it off, and it says why. It is bounded
//! (P24): the decoder's window, one token, and what the meter keeps; past that it stops looking, not forwarding.

mod frames;
mod observer;
mod request;

pub use request::RequestTap;

use core::ops::ControlFlow;

use crate::model::detect::Detected;
use crate::model::failure::seconds;
use crate::model::request::RequestFacts;
use crate::model::usage::{Call, OriginError};
use crate::wire::coding::{Codings, Decoder, parse_content_encoding};

use observer::Observer;

/// Deflate cannot compress better than this; what does is a bomb.
const MAX_RATIO: u64 = 1100;
/// Bodies that inflate to less than this are never called bombs.
const RATIO_FLOOR: u64 = 16 << 20;

/// What the tap needs from a response head.
#[derive(Clone, Copy, Debug, Default)]
pub struct TapHead<'a> {
    /// Status code.
    pub status: u16,
    /// Content-Type.
    pub content_type: Option<&'a [u8]>,
    /// Content-Encoding. Several fields of that name are not read (the tap is off then).
    pub content_encoding: Option<&'a [u8]>,
    /// Retry-After, in seconds.
    pub retry_after: Option<&'a [u8]>,
    /// Retry-After-Ms.
    pub retry_after_ms: Option<&'a [u8]>,
    /// The provider's request id, whatever its field is called.
    pub request_id: Option<&'a [u8]>,
}

impl<'a> TapHead<'a> {
    /// Picks what is needed from a head's fields, names in any case.
    pub fn from_fields(status: u16, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut head = Self { status, ..Self::default() };
        for (name, value) in fields {
            if let Some(slot) = head.slot(name) {
                *slot = Some(if name.eq_ignore_ascii_case(b"content-encoding") && slot.is_some() {
                    b"several"
                } else {
                    value
                });
            }
        }
        head
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        const REQUEST_IDS: [&[u8]; 4] =
            [b"request-id", b"x-request-id", b"apim-request-id", b"x-amzn-requestid"];
        if name.eq_ignore_ascii_case(b"content-type") {
            Some(&mut self.content_type)
        } else if name.eq_ignore_ascii_case(b"content-encoding") {
            Some(&mut self.content_encoding)
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            Some(&mut self.retry_after)
        } else if name.eq_ignore_ascii_case(b"retry-after-ms") {
            Some(&mut self.retry_after_ms)
        } else if REQUEST_IDS.iter().any(|id| name.eq_ignore_ascii_case(id)) {
            Some(&mut self.request_id)
        } else {
            None
        }
    }

    /// What the head alone says about an error.
    fn error(&self) -> OriginError {
        let text = |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
        let millis = text(self.retry_after_ms).and_then(|text| seconds(&text)).map(|seconds| seconds / 1000);
        OriginError {
            status: Some(self.status),
            retry_after_us: millis.or_else(|| text(self.retry_after).and_then(|text| seconds(&text))),
            request_id: text(self.request_id),
            ..OriginError::default()
        }
    }
}

/// Reads a response's body as it passes.
pub struct Tap {
    decoder: Option<Decoder>,
    observer: Observer,
    facts: RequestFacts,
    wire: u64,
    off: Option<String>,
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
    pub fn new(detected: &Detected, head: TapHead<'_>, cap: usize) -> Self {
        Self::with(Observer::of_call(detected, &head, cap), head)
    }

    /// A tap that reads only the error in a 4xx or 5xx answer, of any host.
    pub fn errors_only(head: TapHead<'_>) -> Self {
        Self::with(Observer::of_failure(&head), head)
    }

    fn with(observer: Observer, head: TapHead<'_>) -> Self {
        let (decoder, off) = decoder(head.content_encoding);
        Self { decoder, observer, facts: RequestFacts::default(), wire: 0, off }
    }

    /// What the request asked; may come any time before [`end`](Self::end).
    pub fn set_request_facts(&mut self, facts: RequestFacts) {
        self.facts = facts;
    }

    /// Body bytes as they are on the wire, framing removed; `elapsed_us` since the exchange began.
    pub fn push(&mut self, bytes: &[u8], elapsed_us: u64) {
        self.wire += bytes.len() as u64;
        if self.off.is_some() {
            return;
        }
        let limit = (self.wire * MAX_RATIO).max(RATIO_FLOOR);
        let observer = &mut self.observer;
        let mut out = |piece: &[u8]| observer.read(piece, elapsed_us, limit);
        let trouble = match &mut self.decoder {
            Some(decoder) => decoder.push(bytes, &mut out).err().map(|error| error.as_str()),
            None => out(bytes).is_break().then_some("stopped"),
        };
        self.stop(trouble);
    }

    /// Errors that became known since the last call; cheap when there are none.
    pub fn take_errors(&mut self) -> Vec<OriginError> {
        self.observer.take_errors()
    }

    /// Ends the tap; `complete` when the origin ended its body properly.
    pub fn end(mut self, complete: bool, elapsed_us: u64) -> TapReport {
        if let (None, Some(decoder), true) = (&self.off, &mut self.decoder, complete) {
            let observer = &mut self.observer;
            let mut out = |piece: &[u8]| observer.read(piece, elapsed_us, u64::MAX);
            let trouble = decoder.finish(&mut out).err().map(|error| error.as_str());
            self.stop(trouble);
        }
        let complete = complete && self.off.is_none();
        let decoded = self.off.is_none().then_some(self.observer.decoded);
        let mut report = self.observer.end(self.facts, complete, elapsed_us);
        report.decoded = decoded;
        report.off = self.off.or(report.off);
        report
    }

    /// The observer's own reason, where it has one, is better than the decoder's "stopped".
    fn stop(&mut self, trouble: Option<&str>) {
        if let Some(trouble) = trouble {
            self.off = Some(self.observer.trouble.take().unwrap_or_else(|| trouble.to_owned()));
        }
    }
}

/// The decoder for a body, or why there is none.
fn decoder(content_encoding: Option<&[u8]>) -> (Option<Decoder>, Option<String>) {
    let Some(value) = content_encoding else { return (None, None) };
    match parse_content_encoding(value) {
        Ok(codings) if is_identity(&codings) => (None, None),
        Ok(codings) => (Some(Decoder::new(codings)), None),
        Err(_) => {
            let name = String::from_utf8_lossy(&value[..value.len().min(64)]).into_owned();
            (None, Some(format!("unsupported content coding: {name}")))
        }
    }
}

fn is_identity(codings: &Codings) -> bool {
    codings.is_identity()
}

/// What a decoder's output is told by a reader that may have had enough.
fn flow(go_on: bool) -> ControlFlow<()> {
    if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

#[cfg(test)]
mod tests;
