//! The tap of a request body: decoding and the request skimmer.

use crate::model::detect::Detected;
use crate::model::request::{RequestFacts, RequestReader};
use crate::wire::coding::Decoder;

use super::{MAX_RATIO, RATIO_FLOOR, decoder, flow};

/// Reads a model request's body as it passes.
pub struct RequestTap {
    decoder: Option<Decoder>,
    body: Body,
    wire: u64,
    off: Option<String>,
}

/// The decoded body.
struct Body {
    reader: RequestReader,
    decoded: u64,
    trouble: Option<String>,
}

impl RequestTap {
    /// A tap for one request.
    pub fn new(detected: &Detected, content_encoding: Option<&[u8]>) -> Self {
        let (decoder, off) = decoder(content_encoding);
        let body = Body { reader: RequestReader::new(detected), decoded: 0, trouble: None };
        Self { decoder, body, wire: 0, off }
    }

    /// Body bytes as they are on the wire, framing removed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.wire += bytes.len() as u64;
        if self.off.is_some() {
            return;
        }
        let limit = (self.wire * MAX_RATIO).max(RATIO_FLOOR);
        let Self { decoder, body, .. } = self;
        match decoder {
            None => {
                let _ = body.read(bytes, u64::MAX);
            }
            Some(decoder) => {
                let decoded = decoder.push(bytes, &mut |piece: &[u8]| body.read(piece, limit));
                self.off = decoded.err().map(|error| error.as_str().to_owned());
            }
        }
        self.off = self.body.trouble.take().or(self.off.take());
    }

    /// What was learnt; `complete` when the whole body passed.
    pub fn end(mut self, complete: bool) -> RequestFacts {
        if let (None, Some(decoder), true) = (&self.off, &mut self.decoder, complete) {
            let body = &mut self.body;
            let decoded = decoder.finish(&mut |piece: &[u8]| body.read(piece, u64::MAX));
            self.off = decoded.err().map(|error| error.as_str().to_owned());
        }
        self.body.reader.end(self.off)
    }
}

impl Body {
    fn read(&mut self, piece: &[u8], limit: u64) -> core::ops::ControlFlow<()> {
        self.decoded += piece.len() as u64;
        self.trouble = match self.reader.push(piece) {
            Err(error) => Some(error.to_string()),
            Ok(()) if self.decoded > limit => Some("compression bomb".to_owned()),
            Ok(()) => None,
        };
        flow(self.trouble.is_none())
    }
}
