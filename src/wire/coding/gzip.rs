//! gzip (RFC 1952): members one after another, each with its header, its DEFLATE stream, CRC-32 and length.

use super::crc::Crc32;
use super::inflate::{Inflate, Inflated};
use super::{CodingError, Pipe};

/// Header flags (§2.3.1).
mod flag {
    pub(super) const HEADER_CRC: u8 = 1 << 1;
    pub(super) const EXTRA: u8 = 1 << 2;
    pub(super) const NAME: u8 = 1 << 3;
    pub(super) const COMMENT: u8 = 1 << 4;
    pub(super) const RESERVED: u8 = 0b1110_0000;
}

/// One body of gzip members.
pub(super) struct Gzip {
    part: Part,
    /// Flags of the optional header parts that are still to come.
    flags: u8,
    inflate: Inflate,
    crc: Crc32,
    /// Decoded bytes of the member, modulo 2^32.
    size: u32,
}

/// Where in a member we are.
#[derive(Clone, Copy)]
enum Part {
    /// The fixed part of the header: bytes seen. At 0 the body may end.
    Fixed(u8),
    /// The length of the extra field: bytes seen, value so far.
    ExtraLength(u8, u16),
    /// The extra field: bytes left.
    Extra(u16),
    /// A text that ends with a zero byte.
    Text,
    /// The header's own checksum, which is passed over: bytes left.
    HeaderCrc(u8),
    Body,
    /// CRC-32 and length: bytes seen, value so far.
    Trailer(u8, u64),
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self { part: Part::Fixed(0), flags: 0, inflate: Inflate::bare(), crc: Crc32::default(), size: 0 }
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.part, Part::Fixed(0))
    }

    pub(super) fn push(&mut self, mut input: &[u8], out: &mut Pipe<'_>) -> Result<(), CodingError> {
        while let Some((&byte, rest)) = input.split_first() {
            input = match self.part {
                Part::Body => self.body(input, out)?,
                part => {
                    self.part = self.framing(part, byte)?;
                    rest
                }
            };
        }
        Ok(())
    }

    fn body<'a>(&mut self, input: &'a [u8], out: &mut Pipe<'_>) -> Result<&'a [u8], CodingError> {
        let Self { inflate, crc, size, .. } = self;
        let inflated = inflate.push(input, &mut |piece| {
            crc.update(piece);
            *size = size.wrapping_add(piece.len() as u32);
            out(piece)
        })?;
        match inflated {
            Inflated::More => Ok(&[]),
            Inflated::End(used) => {
                self.part = Part::Trailer(0, 0);
                Ok(&input[used..])
            }
        }
    }

    /// Takes one byte of a header or a trailer.
    fn framing(&mut self, part: Part, byte: u8) -> Result<Part, CodingError> {
        match part {
            Part::Fixed(seen) => self.fixed(seen, byte),
            Part::ExtraLength(0, _) => Ok(Part::ExtraLength(1, u16::from(byte))),
            Part::ExtraLength(_, low) => match low | u16::from(byte) << 8 {
                0 => Ok(self.next_part()),
                length => Ok(Part::Extra(length)),
            },
            Part::Extra(1) | Part::HeaderCrc(1) => Ok(self.next_part()),
            Part::Extra(left) => Ok(Part::Extra(left - 1)),
            Part::HeaderCrc(left) => Ok(Part::HeaderCrc(left - 1)),
            Part::Text if byte == 0 => Ok(self.next_part()),
            Part::Text | Part::Body => Ok(part),
            Part::Trailer(7, low) => self.end_member(low | u64::from(byte) << 56),
            Part::Trailer(seen, low) => Ok(Part::Trailer(seen + 1, low | u64::from(byte) << (8 * seen))),
        }
    }

    fn fixed(&mut self, seen: u8, byte: u8) -> Result<Part, CodingError> {
        match (seen, byte) {
            (0, 0x1f) | (1, 0x8b) | (2, 8) | (4..=8, _) => Ok(Part::Fixed(seen + 1)),
            (3, flags) if flags & flag::RESERVED == 0 => {
                self.flags = flags;
                Ok(Part::Fixed(4))
            }
            (9, _) => Ok(self.next_part()),
            _ => Err(CodingError::Corrupt),
        }
    }

    /// The next of the optional header parts that the flags announce, or the body.
    fn next_part(&mut self) -> Part {
        const PARTS: [(u8, Part); 4] = [
            (flag::EXTRA, Part::ExtraLength(0, 0)),
            (flag::NAME, Part::Text),
            (flag::COMMENT, Part::Text),
            (flag::HEADER_CRC, Part::HeaderCrc(2)),
        ];
        let next = PARTS.into_iter().find(|(flag, _)| self.flags & flag != 0);
        let (flag, part) = next.unwrap_or((0, Part::Body));
        self.flags &= !flag;
        part
    }

    fn end_member(&mut self, trailer: u64) -> Result<Part, CodingError> {
        if trailer != u64::from(self.size) << 32 | u64::from(self.crc.value()) {
            return Err(CodingError::Checksum);
        }
        self.inflate.restart();
        self.crc = Crc32::default();
        self.size = 0;
        Ok(Part::Fixed(0))
    }
}
