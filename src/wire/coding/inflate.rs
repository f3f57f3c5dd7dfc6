//! DEFLATE (RFC 1951) over a circular window of our own.
//!
//! `miniz_oxide`'s stream interface goes through a second buffer and costs 3.2 us for an event flushed by itself; its
//! core, given the window directly, hands out each flush from where it was decoded.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_PARSE_ZLIB_HEADER};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::{CodingError, PIECE, Pipe};

/// The farthest a reference may reach, and so the longest piece too.
const WINDOW: usize = PIECE;

/// One DEFLATE stream, bare or wrapped by zlib.
pub struct Inflate {
    state: Box<DecompressorOxide>,
    window: Box<[u8]>,
    /// Where in the window the next byte goes.
    at: usize,
    flags: u32,
}

/// How far a push came.
pub enum Inflated {
    /// All input is used.
    More,
    /// The stream has ended, with this many bytes used.
    End(usize),
}

impl Inflate {
    /// A bare stream.
    pub fn bare() -> Self {
        Self::new(TINFL_FLAG_HAS_MORE_INPUT)
    }

    /// A stream with zlib's header and its checksum, which is verified.
    pub fn zlib() -> Self {
        Self::new(TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_PARSE_ZLIB_HEADER)
    }

    fn new(flags: u32) -> Self {
        Self { state: Box::default(), window: vec![0; WINDOW].into(), at: 0, flags }
    }

    /// Makes ready for another stream.
    pub fn restart(&mut self) {
        self.state.init();
    }

    /// Takes input; all that it decodes to is given to `out` before this returns.
    pub fn push(&mut self, input: &[u8], out: &mut Pipe<'_>) -> Result<Inflated, CodingError> {
        let mut used = 0;
        loop {
            let (status, read, made) =
                decompress(&mut self.state, &input[used..], &mut self.window, self.at, self.flags);
            used += read;
            if made > 0 {
                out(&self.window[self.at..self.at + made])?;
                self.at = (self.at + made) % WINDOW;
            }
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => return Ok(Inflated::More),
                TINFLStatus::Done => return Ok(Inflated::End(used)),
                TINFLStatus::Adler32Mismatch => return Err(CodingError::Checksum),
                _ => return Err(CodingError::Corrupt),
            }
        }
    }
}
