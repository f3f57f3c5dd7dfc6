//! The literals section of a block (RFC 8878 §3.1.1.3.1).

use super::huffman::Huffman;
use super::{CodingError, number};

/// A block's literals, and the Huffman code that the next block may use again.
#[derive(Default)]
pub(super) struct Literals {
    bytes: Vec<u8>,
    huffman: Huffman,
}

/// The section's header.
struct Header {
    /// 0 raw, 1 run, 2 Huffman, 3 Huffman with the code of before.
    kind: u8,
    /// Bytes of the header.
    size: usize,
    /// Literals.
    count: usize,
    /// Bytes behind the header.
    packed: usize,
    four_streams: bool,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, CodingError> {
        let first = *bytes.first().ok_or(CodingError::Corrupt)?;
        let (kind, format) = (first & 3, first >> 2 & 3);
        let (size, skip, width) = match (kind, format) {
            (0 | 1, 0 | 2) => (1, 3, 5),
            (0 | 1, 1) => (2, 4, 12),
            (0 | 1, _) => (3, 4, 20),
            (_, 0 | 1) => (3, 4, 10),
            (_, 2) => (4, 4, 14),
            (_, _) => (5, 4, 18),
        };
        let bits = number(bytes.get(..size).ok_or(CodingError::Corrupt)?) >> skip;
        let field = |n: u32| (bits >> (n * width) & ((1 << width) - 1)) as usize;
        let packed = match kind {
            0 => field(0),
            1 => 1,
            _ => field(1),
        };
        Ok(Self { kind, size, count: field(0), packed, four_streams: format != 0 })
    }
}

impl Literals {
    /// Forgets the code: another frame begins.
    pub(super) fn restart(&mut self) {
        self.huffman.clear();
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the section at the start of a block; says what follows it.
    pub(super) fn read<'a>(&mut self, block: &'a [u8], max: usize) -> Result<&'a [u8], CodingError> {
        let header = Header::read(block)?;
        if header.count > max {
            return Err(CodingError::Corrupt);
        }
        let (packed, rest) =
            block[header.size..].split_at_checked(header.packed).ok_or(CodingError::Corrupt)?;
        self.bytes.clear();
        match header.kind {
            0 => self.bytes.extend_from_slice(packed),
            1 => self.bytes.resize(header.count, packed[0]),
            2 => {
                let streams = self.huffman.read(packed)?;
                self.unpack(streams, &header)?;
            }
            _ if self.huffman.is_empty() => return Err(CodingError::Corrupt),
            _ => self.unpack(packed, &header)?,
        }
        Ok(rest)
    }

    /// Decodes one stream, or four with the sizes of three before them (§3.1.1.3.1.6).
    fn unpack(&mut self, streams: &[u8], header: &Header) -> Result<(), CodingError> {
        if !header.four_streams {
            return self.huffman.decode(streams, header.count, &mut self.bytes);
        }
        let (sizes, mut rest) = streams.split_first_chunk::<6>().ok_or(CodingError::Corrupt)?;
        let each = header.count.div_ceil(4);
        for size in sizes.as_chunks::<2>().0 {
            let size = usize::from(u16::from_le_bytes(*size));
            let (stream, behind) = rest.split_at_checked(size).ok_or(CodingError::Corrupt)?;
            self.huffman.decode(stream, each, &mut self.bytes)?;
            rest = behind;
        }
        let last = header.count.checked_sub(3 * each).ok_or(CodingError::Corrupt)?;
        self.huffman.decode(rest, last, &mut self.bytes)
    }
}
