//! Message bodies on the wire (RFC 9112 §6, §7): where they end, and how ours are framed anew.
//!
//! The decoder never copies or holds data: it says which part of the input is data. Refused in chunked bodies: sizes
//! that are not 1 to 16 hex digits, white space around them, extensions outside the grammar, bare CR and LF, lines
//! past the limit, data not followed by CRLF. Chunk extensions are read and dropped, trailers vetted.

mod chunked;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::wire::head::{Fields, HeadError, write_fields};
use chunked::Chunked;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// Content-Length: so many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// A response that ends with its connection.
    Close,
}

/// Bounds on what a chunked body has besides data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// A chunk-size line without its CRLF, in bytes.
    pub chunk_line: usize,
    /// The trailer section without its empty line, in bytes.
    pub trailers: usize,
}

/// What a [`Decoder::step`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How much of the input was used: call again with the rest while this is not 0 and the body is not done.
    pub used: usize,
    /// Which part of the input is body data; it lies within the used part.
    pub data: Range<usize>,
    /// The body has ended; what follows in the input is not part of it.
    pub done: bool,
}

/// Why a body cannot be read on. The connection that it came from is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The chunk size is not 1 to 16 hex digits.
    ChunkSize,
    /// A chunk extension outside the grammar.
    ChunkExtension,
    /// A chunk-size line does not end in CRLF.
    ChunkLineEnd,
    /// A chunk-size line past the limit.
    ChunkLineTooLong,
    /// No CRLF after a chunk's data.
    ChunkEnd,
    /// A malformed trailer field.
    Trailer(HeadError),
    /// A trailer section past the limit.
    TrailersTooLarge,
    /// The connection ended before the body did.
    Truncated,
}

impl BodyError {
    /// The status for a guest whose request this is: 400, or 431 for too many trailers.
    pub fn status(self) -> u16 {
        if self == Self::TrailersTooLarge { 431 } else { 400 }
    }

    /// What is wrong, in words fit for an answer and for the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChunkSize => "malformed chunk size",
            Self::ChunkExtension => "malformed chunk extension",
            Self::ChunkLineEnd => "chunk-size line without CRLF",
            Self::ChunkLineTooLong => "chunk-size line too long",
            Self::ChunkEnd => "chunk data not followed by CRLF",
            Self::Trailer(error) => error.as_str(),
            Self::TrailersTooLarge => "trailer section too large",
            Self::Truncated => "body ended early",
        }
    }
}

/// Reads one body.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    Close,
    /// Ended by the end of its connection.
    Closed,
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(framing: Framing, limits: BodyLimits) -> Self {
        let state = match framing {
            Framing::None => State::Length(0),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new(limits)),
            Framing::Close => State::Close,
        };
        Self { state }
    }

    /// Looks at the front of `input`. Gives at most one run of data, so call it again with what was not used until
    /// `used` is 0 (more input is needed) or the body is done. Costs nothing per byte of data.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        match &mut self.state {
            State::Length(left) => {
                let used = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= used as u64;
                Ok(Step { used, data: 0..used, done: *left == 0 })
            }
            State::Chunked(chunked) => chunked.step(input),
            State::Close => Ok(Step { used: input.len(), data: 0..input.len(), done: false }),
            State::Closed => Ok(Step { used: 0, data: 0..0, done: true }),
        }
    }

    /// The connection has ended. Fine where that ends the body, or where it was done before.
    pub fn eof(&mut self) -> Result<(), BodyError> {
        if matches!(self.state, State::Close) {
            self.state = State::Closed;
        }
        if self.is_done() { Ok(()) } else { Err(BodyError::Truncated) }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        match &self.state {
            State::Length(left) => *left == 0,
            State::Chunked(chunked) => chunked.is_done(),
            State::Close => false,
            State::Closed => true,
        }
    }

    /// How much data is certain to follow: the rest of the length or of the current chunk.
    pub fn remaining(&self) -> Option<u64> {
        match &self.state {
            State::Length(left) => Some(*left),
            State::Chunked(chunked) => chunked.remaining(),
            State::Close => None,
            State::Closed => Some(0),
        }
    }

    /// The trailer fields that may go on, known once the body is done.
    pub fn trailers(&self) -> &Fields {
        const NONE: &Fields = &Fields::new();
        match &self.state {
            State::Chunked(chunked) => chunked.trailers(),
            _ => NONE,
        }
    }
}

/// The line before a chunk of ours. Its data follows, then CRLF.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHead {
    bytes: [u8; Self::MAX],
    start: usize,
}

impl ChunkHead {
    /// 16 hex digits and CRLF.
    const MAX: usize = 18;

    /// The line before `len` bytes; `len` is not 0, which would end the body.
    pub fn new(len: usize) -> Self {
        debug_assert!(len > 0, "an empty chunk ends the body");
        let mut bytes = *b"0000000000000000\r\n";
        let mut start = Self::MAX - 2;
        let mut rest = len;
        while rest > 0 {
            start -= 1;
            bytes[start] = b"0123456789abcdef"[rest % 16];
            rest /= 16;
        }
        Self { bytes, start }
    }

    /// Lower-case hex digits and CRLF.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Ends a chunked body: the last chunk, the trailers, the empty line.
pub fn write_last_chunk(trailers: &Fields, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    write_fields(trailers, out);
    out.extend_from_slice(b"\r\n");
}
