//! The side observer of one exchange's bodies: decoding, framing, metering, all on a copy. (Signatures.)

use crate::model::detect::Detected;
use crate::model::request::RequestFacts;
use crate::model::usage::{Call, OriginError};

/// What the tap needs from a response head.
#[derive(Clone, Copy, Debug, Default)]
pub struct TapHead<'a> {
    /// Status code.
    pub status: u16,
    /// Content-Type.
    pub content_type: Option<&'a [u8]>,
    /// Content-Encoding, fields joined by commas.
    pub content_encoding: Option<&'a [u8]>,
    /// Retry-After (seconds or a date).
    pub retry_after: Option<&'a [u8]>,
    /// Retry-After-Ms.
    pub retry_after_ms: Option<&'a [u8]>,
    /// The provider's request id, whatever its field is called.
    pub request_id: Option<&'a [u8]>,
}

impl<'a> TapHead<'a> {
    /// Picks what is needed from a head's fields, names in any case.
    pub fn from_fields(status: u16, _fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        Self { status, ..Self::default() }
    }
}

/// Reads a model request's body as it passes.
#[derive(Debug)]
pub struct RequestTap;

impl RequestTap {
    /// A tap for one request; `cap` bounds what it may hold.
    pub fn new(_detected: &Detected, _content_encoding: Option<&[u8]>, _cap: usize) -> Self {
        Self
    }

    /// Body bytes as they are on the wire, framing removed.
    pub fn push(&mut self, _bytes: &[u8]) {}

    /// What was learnt; `complete` when the whole body passed.
    pub fn end(self, _complete: bool) -> RequestFacts {
        RequestFacts::default()
    }
}

/// Reads a response's body as it passes.
#[derive(Debug)]
pub struct Tap;

/// What a tap learnt.
#[derive(Clone, Debug, Default)]
pub struct TapReport {
    /// Model runs.
    pub calls: Vec<Call>,
    /// Errors not yet taken with `take_errors`.
    pub errors: Vec<OriginError>,
    /// Body bytes after content decoding.
    pub decoded: Option<u64>,
    /// Why inspection stopped, where it did.
    pub off: Option<String>,
}

impl Tap {
    /// A tap for the answer to a model call.
    pub fn new(_detected: &Detected, _head: TapHead<'_>, _cap: usize) -> Self {
        Self
    }

    /// A tap that reads only the error in a 4xx or 5xx answer of any host.
    pub fn errors_only(_head: TapHead<'_>, _cap: usize) -> Self {
        Self
    }

    /// What the request asked; may come any time before `end`.
    pub fn set_request_facts(&mut self, _facts: RequestFacts) {}

    /// Body bytes as they are on the wire, framing removed; `elapsed_us` since the exchange began.
    pub fn push(&mut self, _bytes: &[u8], _elapsed_us: u64) {}

    /// Errors that became known since the last call; cheap when there are none.
    pub fn take_errors(&mut self) -> Vec<OriginError> {
        Vec::new()
    }

    /// Ends the tap; `complete` when the origin ended its body properly.
    pub fn end(self, _complete: bool, _elapsed_us: u64) -> TapReport {
        TapReport::default()
    }
}
