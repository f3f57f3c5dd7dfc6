//! The tap of a request body: decoding and the request skimmer.

use crate::model::detect::Detected;
use crate::model::request::{RequestFacts, RequestReader};

use super::decoding::Decoding;

/// Reads a model request's body as it passes.
pub struct RequestTap {
    decoding: Decoding,
    reader: RequestReader,
}

impl RequestTap {
    /// A tap for one request; `content_encoding` is the field's value.
    pub fn new(detected: &Detected, content_encoding: Option<&[u8]>) -> Self {
        Self {
            decoding: Decoding::new(content_encoding.unwrap_or_default()),
            reader: RequestReader::new(detected),
        }
    }

    /// Body bytes as they are on the wire, framing removed.
    pub fn push(&mut self, bytes: &[u8]) {
        let reader = &mut self.reader;
        self.decoding.push(bytes, |piece| reader.push(piece).map_err(|error| error.to_string()));
    }

    /// What was learnt; `complete` when the whole body passed.
    pub fn end(mut self, complete: bool) -> RequestFacts {
        if complete {
            self.decoding.finish();
        }
        let (_, off) = self.decoding.outcome();
        self.reader.end(off)
    }
}
