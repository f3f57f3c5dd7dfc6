//! Content codings (sketch of the interface).

use core::ops::ControlFlow;

pub(super) mod crc;

/// One content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// gzip.
    Gzip,
    /// zlib-wrapped or raw deflate.
    Deflate,
    /// Brotli.
    Br,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// Every coding that this build inflates.
    pub const BUILT_IN: &[Self] = &[Self::Gzip, Self::Deflate, Self::Br, Self::Zstd];
}

/// The codings of a body, in the order in which they were applied; empty means identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codings {
    list: [Option<Coding>; 3],
}

impl Codings {
    /// Nothing to undo.
    pub fn is_identity(&self) -> bool {
        self.list[0].is_none()
    }
}

/// A coding that cannot be undone here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

/// Parses the value of `Content-Encoding`.
pub fn parse_content_encoding(value: &[u8]) -> Result<Codings, Unsupported> {
    if value.is_empty() { Ok(Codings::default()) } else { Err(Unsupported) }
}

/// Takes decoded bytes; `Break` ends decoding with [`CodingError::Stopped`].
pub type Sink<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// Undoes the codings of one body, incrementally.
pub struct Decoder {
    codings: Codings,
}

impl Decoder {
    /// A decoder for a body with these codings.
    pub fn new(codings: Codings) -> Self {
        Self { codings }
    }

    /// Takes the next bytes of the coded body; what they decode to is given to `out` before this returns.
    pub fn push(&mut self, input: &[u8], out: &mut Sink<'_>) -> Result<(), CodingError> {
        if self.codings.is_identity() && out(input).is_break() {
            return Err(CodingError::Stopped);
        }
        Ok(())
    }

    /// Says that the body has ended.
    pub fn finish(&mut self, out: &mut Sink<'_>) -> Result<(), CodingError> {
        let _ = out;
        Ok(())
    }
}

/// Why decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodingError {
    /// The sink asked for it.
    Stopped,
}

impl CodingError {
    /// For the record.
    pub fn as_str(self) -> &'static str {
        "stopped"
    }
}

/// Drops from an `Accept-Encoding` value what is not in `keep`; `None`: it stands as it is.
pub fn narrow_accept_encoding(value: &[u8], keep: &[Coding]) -> Option<Vec<u8>> {
    let _ = (value, keep);
    None
}
