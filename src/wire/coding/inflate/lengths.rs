//! The head of a block with codes of its own (RFC 1951 §3.2.7): their lengths, themselves in a code.

use super::super::CodingError;
use super::bits::Bits;
use super::code::{Code, Codes, Symbol};

/// In which order the lengths of the lengths' code come.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const MAX_LITERALS: usize = 286;
const MAX_DISTANCES: usize = 30;
/// The symbol that ends a block.
const END: usize = 256;

/// Reads the head of one block after another.
pub(super) struct Lengths {
    /// How many lengths there are of the two codes, and of the code that they are in.
    literals: usize,
    distances: usize,
    ordered: usize,
    /// The code that the lengths are in, once its own lengths are known.
    code: Code,
    has_code: bool,
    /// Lengths, first of the code that they are in, then of the others; and how many were read.
    list: [u8; MAX_LITERALS + MAX_DISTANCES],
    at: usize,
}

impl Default for Lengths {
    fn default() -> Self {
        Self {
            literals: 0,
            distances: 0,
            ordered: 0,
            code: Code::new(7),
            has_code: false,
            list: [0; MAX_LITERALS + MAX_DISTANCES],
            at: 0,
        }
    }
}

impl Lengths {
    /// Begins with the counts of a block's head, as they are coded.
    pub(super) fn start(&mut self, literals: u32, distances: u32, ordered: u32) {
        self.literals = literals as usize + 257;
        self.distances = distances as usize + 1;
        self.ordered = ordered as usize + 4;
        self.has_code = false;
        self.list.fill(0);
        self.at = 0;
    }

    /// Reads on; `true` when the head is whole and `codes` are built.
    pub(super) fn read(
        &mut self,
        bits: &mut Bits,
        input: &mut &[u8],
        codes: &mut Codes,
    ) -> Result<bool, CodingError> {
        if self.literals > MAX_LITERALS || self.distances > MAX_DISTANCES {
            return Err(CodingError::Corrupt);
        }
        if !self.has_code && !self.read_code(bits, input)? {
            return Ok(false);
        }
        let all = self.literals + self.distances;
        while self.at < all {
            bits.fill(input);
            let mut trial = *bits;
            let run = self.run(&mut trial);
            if !bits.commit(trial) {
                return Ok(false);
            }
            let (length, count) = run.ok_or(CodingError::Corrupt)?;
            self.list[..all].get_mut(self.at..self.at + count).ok_or(CodingError::Corrupt)?.fill(length);
            self.at += count;
        }
        if self.list[END] == 0 {
            return Err(CodingError::Corrupt);
        }
        let (literals, distances) = self.list[..all].split_at(self.literals);
        codes.build(literals, distances)?;
        Ok(true)
    }

    /// Reads the code that the lengths are in.
    fn read_code(&mut self, bits: &mut Bits, input: &mut &[u8]) -> Result<bool, CodingError> {
        while self.at < self.ordered {
            bits.fill(input);
            if bits.count() < 3 {
                return Ok(false);
            }
            self.list[ORDER[self.at]] = bits.take(3) as u8;
            self.at += 1;
        }
        let itself = |symbol| Symbol::Number { base: symbol as u16, extra: 0 };
        self.code.build(&self.list[..ORDER.len()], itself, 0)?;
        self.has_code = true;
        self.list.fill(0);
        self.at = 0;
        Ok(true)
    }

    /// Takes one symbol: a length, and how often it comes.
    fn run(&self, bits: &mut Bits) -> Option<(u8, usize)> {
        let Symbol::Number { base, .. } = self.code.decode(bits) else { return None };
        match base {
            16 => Some((self.list[self.at.checked_sub(1)?], 3 + bits.take(2) as usize)),
            17 => Some((0, 3 + bits.take(3) as usize)),
            18 => Some((0, 11 + bits.take(7) as usize)),
            length => Some((length as u8, 1)),
        }
    }
}
