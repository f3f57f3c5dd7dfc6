//! Huffman codes of literals (RFC 8878 §4.2): their description and the streams written in them.

use super::CodingError;
use super::bits::Backward;
use super::fse;

/// Longest code.
const MAX_BITS: u32 = 11;

/// A decoding table: for each pattern of the longest code's length, the symbol and its code's length. Empty until
/// one was read.
#[derive(Default)]
pub(super) struct Huffman {
    cells: Vec<Cell>,
    log: u32,
}

#[derive(Clone, Copy)]
struct Cell {
    symbol: u8,
    bits: u8,
}

/// Weights by symbol, the last one left out.
struct Weights {
    list: [u8; 256],
    count: usize,
}

impl Huffman {
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.cells.clear();
    }

    /// Reads a description; says what follows it.
    pub(super) fn read<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], CodingError> {
        let (&header, rest) = bytes.split_first().ok_or(CodingError::Corrupt)?;
        let (weights, rest) = if header < 128 {
            let (packed, rest) = rest.split_at_checked(usize::from(header)).ok_or(CodingError::Corrupt)?;
            (Weights::packed(packed)?, rest)
        } else {
            let count = usize::from(header) - 127;
            let (plain, rest) = rest.split_at_checked(count.div_ceil(2)).ok_or(CodingError::Corrupt)?;
            (Weights::plain(plain, count), rest)
        };
        self.build(weights)?;
        Ok(rest)
    }

    /// Gives symbols their patterns: lighter ones first, equal ones in order (§4.2.1.3).
    fn build(&mut self, mut weights: Weights) -> Result<(), CodingError> {
        self.log = weights.complete()?;
        self.cells.clear();
        for weight in 1..=self.log as u8 {
            let bits = self.log as u8 + 1 - weight;
            for (symbol, _) in weights.list.iter().enumerate().filter(|(_, of)| **of == weight) {
                let cell = Cell { symbol: symbol as u8, bits };
                self.cells.resize(self.cells.len() + (1 << (weight - 1)), cell);
            }
        }
        Ok(())
    }

    /// Decodes `count` symbols, which must be all that the stream has, onto `out`.
    pub(super) fn decode(&self, stream: &[u8], count: usize, out: &mut Vec<u8>) -> Result<(), CodingError> {
        /// Symbols that one word of bits surely holds.
        const BATCH: usize = 5;
        const BATCH_BITS: u32 = BATCH as u32 * MAX_BITS;
        let mut bits = Backward::new(stream)?;
        let end = out.len() + count;
        while out.len() + BATCH <= end && bits.left() >= BATCH_BITS as isize {
            let word = bits.peek(BATCH_BITS);
            let mut used = 0;
            let symbols = [(); BATCH].map(|()| {
                let cell = self.cell(word >> (BATCH_BITS - used - self.log));
                used += u32::from(cell.bits);
                cell.symbol
            });
            out.extend_from_slice(&symbols);
            bits.skip(used);
        }
        while out.len() < end {
            let cell = self.cell(bits.peek(self.log));
            bits.skip(u32::from(cell.bits));
            out.push(cell.symbol);
        }
        if bits.left() == 0 { Ok(()) } else { Err(CodingError::Corrupt) }
    }

    fn cell(&self, pattern: u64) -> Cell {
        self.cells[pattern as usize & (self.cells.len() - 1)]
    }
}

impl Weights {
    /// Four bits each (§4.2.1.1).
    fn plain(bytes: &[u8], count: usize) -> Self {
        let mut list = [0; 256];
        for (pair, byte) in list.chunks_mut(2).zip(bytes) {
            pair.copy_from_slice(&[byte >> 4, byte & 0xf]);
        }
        list[count..].fill(0);
        Self { list, count }
    }

    /// By two interleaved FSE states, until the stream is used up (§4.2.1.2).
    fn packed(bytes: &[u8]) -> Result<Self, CodingError> {
        let mut table = fse::Table::default();
        let mut bits = Backward::new(table.read(bytes, MAX_BITS as u8 + 1, 6)?)?;
        let mut weights = Self { list: [0; 256], count: 0 };
        let mut states = [table.start(&mut bits), table.start(&mut bits)];
        if bits.left() < 0 {
            return Err(CodingError::Corrupt);
        }
        loop {
            weights.push(table.symbol(states[0]))?;
            states[0] = table.next(states[0], &mut bits);
            states.swap(0, 1);
            if bits.left() < 0 {
                weights.push(table.symbol(states[0]))?;
                return Ok(weights);
            }
        }
    }

    fn push(&mut self, weight: u8) -> Result<(), CodingError> {
        if self.count == 255 {
            return Err(CodingError::Corrupt);
        }
        self.list[self.count] = weight;
        self.count += 1;
        Ok(())
    }

    /// Adds the last weight, which makes the sum a power of two; gives its exponent, the longest code's length.
    fn complete(&mut self) -> Result<u32, CodingError> {
        if self.list.iter().any(|&weight| u32::from(weight) > MAX_BITS) {
            return Err(CodingError::Corrupt);
        }
        let sum: u32 = self.list.iter().filter(|weight| **weight > 0).map(|weight| 1 << (weight - 1)).sum();
        let log = sum.checked_ilog2().ok_or(CodingError::Corrupt)? + 1;
        let left = (1 << log) - sum;
        if log > MAX_BITS || !left.is_power_of_two() {
            return Err(CodingError::Corrupt);
        }
        self.list[self.count] = left.ilog2() as u8 + 1;
        Ok(log)
    }
}
