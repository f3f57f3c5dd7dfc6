//! The `deflate` coding: zlib by its definition (RFC 9110 §8.4.1.2, RFC 1950), bare DEFLATE from many servers; told by
//! the first two bytes.

use super::inflate::{Inflate, Inflated};
use super::{CodingError, Pipe};

/// One body under the name `deflate`.
pub(super) struct Deflate {
    part: Part,
    inflate: Inflate,
    /// The sum that zlib's trailer must agree with; none for a bare stream.
    checksum: Option<Adler32>,
}

#[derive(Clone, Copy)]
enum Part {
    /// Nothing has come.
    Start,
    /// One byte has come.
    Header(u8),
    Body,
    /// Bytes seen, value so far.
    Trailer(u8, u32),
    End,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self { part: Part::Start, inflate: Inflate::default(), checksum: None }
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.part, Part::Start | Part::End)
    }

    pub(super) fn push(&mut self, mut input: &[u8], out: &mut Pipe<'_>) -> Result<(), CodingError> {
        while let Some((&byte, rest)) = input.split_first() {
            input = match self.part {
                Part::Body => self.body(input, out)?,
                part => {
                    self.part = self.framing(part, byte, out)?;
                    // A bare stream has no header: its second byte belongs to the body.
                    if matches!(self.part, Part::Body) && self.checksum.is_none() { input } else { rest }
                }
            };
        }
        Ok(())
    }

    fn body<'a>(&mut self, input: &'a [u8], out: &mut Pipe<'_>) -> Result<&'a [u8], CodingError> {
        let checksum = &mut self.checksum;
        let inflated = self.inflate.push(input, &mut |piece| {
            if let Some(checksum) = checksum {
                checksum.update(piece);
            }
            out(piece)
        })?;
        match inflated {
            Inflated::More => Ok(&[]),
            Inflated::End(used) => {
                self.part = if self.checksum.is_some() { Part::Trailer(0, 0) } else { Part::End };
                Ok(&input[used..])
            }
        }
    }

    /// Takes one byte of a header or a trailer.
    fn framing(&mut self, part: Part, byte: u8, out: &mut Pipe<'_>) -> Result<Part, CodingError> {
        match part {
            Part::Start => Ok(Part::Header(byte)),
            Part::Header(first) if is_zlib(first, byte) => {
                let needs_dictionary = byte & 0x20 != 0;
                self.checksum = Some(Adler32::default());
                if needs_dictionary { Err(CodingError::Dictionary) } else { Ok(Part::Body) }
            }
            Part::Header(first) => {
                self.inflate.push(&[first], out)?;
                Ok(Part::Body)
            }
            Part::Trailer(3, high) => {
                let agrees =
                    self.checksum.is_none_or(|checksum| checksum.value() == high << 8 | u32::from(byte));
                if agrees { Ok(Part::End) } else { Err(CodingError::Checksum) }
            }
            Part::Trailer(seen, high) => Ok(Part::Trailer(seen + 1, high << 8 | u32::from(byte))),
            Part::Body | Part::End => Err(CodingError::TrailingBytes),
        }
    }
}

/// Are these the first bytes of a zlib header (RFC 1950 §2.2): method 8, window up to 32 KiB, check bits?
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

/// The checksum of zlib (RFC 1950 §9).
#[derive(Clone, Copy)]
struct Adler32 {
    a: u32,
    b: u32,
}

impl Default for Adler32 {
    fn default() -> Self {
        Self { a: 1, b: 0 }
    }
}

impl Adler32 {
    fn update(&mut self, bytes: &[u8]) {
        /// The largest prime below 2^16.
        const MODULUS: u32 = 65_521;
        /// So many bytes cannot make the sums overflow.
        const SAFE: usize = 5552;
        for part in bytes.chunks(SAFE) {
            for &byte in part {
                self.a += u32::from(byte);
                self.b += self.a;
            }
            self.a %= MODULUS;
            self.b %= MODULUS;
        }
    }

    fn value(self) -> u32 {
        self.b << 16 | self.a
    }
}
