//! The `deflate` coding: zlib by its definition (RFC 9110 §8.4.1.2), bare DEFLATE from many servers; told by its
//! first two bytes.

use super::inflate::{Inflate, Inflated};
use super::{CodingError, Pipe};

/// One body under the name `deflate`.
pub(super) struct Deflate {
    part: Part,
}

enum Part {
    /// Nothing has come.
    Start,
    /// One byte has come, which can begin a zlib header.
    Sniff(u8),
    Body(Inflate),
    End,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self { part: Part::Start }
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.part, Part::Start | Part::End)
    }

    pub(super) fn push(&mut self, input: &[u8], out: &mut Pipe<'_>) -> Result<(), CodingError> {
        match (&mut self.part, input) {
            (_, []) => Ok(()),
            (Part::Start, &[first, ref rest @ ..]) => {
                self.part = Part::Sniff(first);
                self.push(rest, out)
            }
            (&mut Part::Sniff(first), &[second, ..]) => {
                let zlib = is_zlib(first, second);
                self.part = Part::Body(if zlib { Inflate::zlib() } else { Inflate::bare() });
                self.push(&[first], out)?;
                self.push(input, out)
            }
            (Part::Body(inflate), _) => match inflate.push(input, out)? {
                Inflated::More => Ok(()),
                Inflated::End(used) => {
                    self.part = Part::End;
                    self.push(&input[used..], out)
                }
            },
            (Part::End, _) => Err(CodingError::TrailingBytes),
        }
    }
}

/// Are these the first bytes of a zlib header (RFC 1950 §2.2): method 8, window up to 32 KiB, check bits?
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
