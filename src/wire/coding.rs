//! Content codings (RFC 9110 §8.4): what a body was packed with, undone on a copy, incrementally.
//!
//! What is decoded is handed out before [`Decoder::push`] returns, in pieces of at most 32 KiB, so that an event that
//! its sender flushed is seen when it arrives. Memory is bounded by [`WINDOW_BUDGET`] for each coding whatever the
//! input says; how much comes out is for the caller to count, who may stop at any piece. Checksums are verified,
//! concatenated members and frames are read, and bytes behind the end are an error: a decoder that guesses would
//! make the ledger lie (LESSONS 6 to 10).
//!
//! Parts: `inflate` is DEFLATE over a window of our own, `gzip` and `deflate` its wrappers, `brotli` and `zstd` stand
//! behind features of those names, `accept` narrows `Accept-Encoding`.

mod accept;
#[cfg(feature = "brotli")]
mod brotli;
pub(super) mod crc;
mod deflate;
mod gzip;
pub(super) mod inflate;
#[cfg(feature = "zstd")]
mod zstd;

use core::ops::ControlFlow;

pub use accept::narrow_accept_encoding;

/// Decoded bytes that one coding may hold for back references. A stream that needs more ends with
/// [`CodingError::WindowTooLarge`].
pub const WINDOW_BUDGET: usize = 1 << 20;
/// Longest piece handed out.
const PIECE: usize = 32 << 10;

/// A content coding that this build undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, RFC 1952.
    Gzip,
    /// `deflate`: zlib, RFC 1950, or what many send under that name, bare DEFLATE, RFC 1951.
    Deflate,
    /// `br`, RFC 7932.
    #[cfg(feature = "brotli")]
    Br,
    /// `zstd`, RFC 8878.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Coding {
    /// All of them.
    pub const BUILT_IN: &[Self] = &[
        Self::Gzip,
        Self::Deflate,
        #[cfg(feature = "brotli")]
        Self::Br,
        #[cfg(feature = "zstd")]
        Self::Zstd,
    ];

    /// The coding of this name, letters in any case.
    fn named(name: &[u8]) -> Option<Self> {
        const NAMES: &[(&[u8], Coding)] = &[
            (b"gzip", Coding::Gzip),
            (b"x-gzip", Coding::Gzip),
            (b"deflate", Coding::Deflate),
            #[cfg(feature = "brotli")]
            (b"br", Coding::Br),
            #[cfg(feature = "zstd")]
            (b"zstd", Coding::Zstd),
        ];
        NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|&(_, coding)| coding)
    }
}

/// The codings of a body in the order in which they were applied; none means identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codings {
    list: [Option<Coding>; 3],
}

impl Codings {
    /// There is nothing to undo.
    pub fn is_identity(&self) -> bool {
        self.list[0].is_none()
    }

    /// The codings, first applied first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Coding> {
        self.list.into_iter().flatten()
    }
}

/// A body's codings cannot be undone here: one is unknown or not built in, or there are more than three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

/// Parses the value of `Content-Encoding`; several fields are to be joined by commas.
pub fn parse_content_encoding(value: &[u8]) -> Result<Codings, Unsupported> {
    let mut codings = Codings::default();
    let mut slots = codings.list.iter_mut();
    for name in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
            continue;
        }
        let coding =
            Coding::named(name).filter(|coding| Coding::BUILT_IN.contains(coding)).ok_or(Unsupported)?;
        *slots.next().ok_or(Unsupported)? = Some(coding);
    }
    Ok(codings)
}

/// Takes decoded bytes. `Break` ends decoding with [`CodingError::Stopped`].
pub type Sink<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;
/// The same between stacked codings.
type Pipe<'a> = dyn FnMut(&[u8]) -> Result<(), CodingError> + 'a;

/// Undoes the codings of one body.
pub struct Decoder {
    /// Last applied first.
    stages: Vec<Stage>,
    failed: Option<CodingError>,
}

enum Stage {
    Gzip(gzip::Gzip),
    Deflate(deflate::Deflate),
    #[cfg(feature = "brotli")]
    Br(Box<brotli::Brotli>),
    #[cfg(feature = "zstd")]
    Zstd(Box<zstd::Zstd>),
}

impl Decoder {
    /// A decoder for a body with these codings.
    pub fn new(codings: Codings) -> Self {
        Self { stages: codings.iter().rev().map(Stage::new).collect(), failed: None }
    }

    /// Takes the next bytes of the coded body. All that they decode to is given to `out` before this returns.
    ///
    /// After an error, memory is given back and every later call returns the same error.
    pub fn push(&mut self, input: &[u8], out: &mut Sink<'_>) -> Result<(), CodingError> {
        let mut sink = |piece: &[u8]| if out(piece).is_break() { Err(CodingError::Stopped) } else { Ok(()) };
        let result = match self.failed {
            Some(error) => Err(error),
            None if input.is_empty() => Ok(()),
            None => run(&mut self.stages, input, &mut sink),
        };
        self.settle(result)
    }

    /// Says that the coded body has ended. An empty body is whole whatever its codings.
    pub fn finish(&mut self) -> Result<(), CodingError> {
        let result = match self.failed {
            Some(error) => Err(error),
            None if self.stages.iter().all(Stage::is_whole) => Ok(()),
            None => Err(CodingError::Truncated),
        };
        self.settle(result)
    }

    fn settle(&mut self, result: Result<(), CodingError>) -> Result<(), CodingError> {
        if let Err(error) = result {
            self.failed = Some(error);
            self.stages = Vec::new();
        }
        result
    }
}

/// Passes `input` through all stages, front to back.
fn run(stages: &mut [Stage], input: &[u8], out: &mut Pipe<'_>) -> Result<(), CodingError> {
    match stages.split_first_mut() {
        None => out(input),
        Some((first, rest)) => first.push(input, &mut |piece| run(rest, piece, out)),
    }
}

impl Stage {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(gzip::Gzip::new()),
            Coding::Deflate => Self::Deflate(deflate::Deflate::new()),
            #[cfg(feature = "brotli")]
            Coding::Br => Self::Br(Box::new(brotli::Brotli::new())),
            #[cfg(feature = "zstd")]
            Coding::Zstd => Self::Zstd(Box::new(zstd::Zstd::new())),
        }
    }

    fn push(&mut self, input: &[u8], out: &mut Pipe<'_>) -> Result<(), CodingError> {
        match self {
            Self::Gzip(gzip) => gzip.push(input, out),
            Self::Deflate(deflate) => deflate.push(input, out),
            #[cfg(feature = "brotli")]
            Self::Br(brotli) => brotli.push(input, out),
            #[cfg(feature = "zstd")]
            Self::Zstd(zstd) => zstd.push(input, out),
        }
    }

    /// Nothing has begun, or what has begun has ended.
    fn is_whole(&self) -> bool {
        match self {
            Self::Gzip(gzip) => gzip.is_whole(),
            Self::Deflate(deflate) => deflate.is_whole(),
            #[cfg(feature = "brotli")]
            Self::Br(brotli) => brotli.is_whole(),
            #[cfg(feature = "zstd")]
            Self::Zstd(zstd) => zstd.is_whole(),
        }
    }
}

/// Why decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodingError {
    /// The sink asked for it.
    Stopped,
    /// The body ended before the coding did.
    Truncated,
    /// Bytes that the coding does not allow.
    Corrupt,
    /// A checksum or a length does not agree with what was decoded.
    Checksum,
    /// Bytes behind the end.
    TrailingBytes,
    /// Back references reach further than [`WINDOW_BUDGET`].
    WindowTooLarge,
    /// A dictionary is needed that is not part of the body.
    Dictionary,
}

impl CodingError {
    /// The reason in words, for records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "decoding stopped",
            Self::Truncated => "coded body is truncated",
            Self::Corrupt => "coded body is corrupt",
            Self::Checksum => "checksum of decoded body is wrong",
            Self::TrailingBytes => "bytes after the coded body",
            Self::WindowTooLarge => "coded body needs too large a window",
            Self::Dictionary => "coded body needs a dictionary",
        }
    }
}

#[cfg(test)]
mod tests;
