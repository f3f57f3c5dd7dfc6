//! The Huffman codes of DEFLATE (RFC 1951 §3.2.2): built from lengths, and decoded by a table.

use std::sync::LazyLock;

use super::super::CodingError;
use super::bits::Bits;

/// Longest code.
const MAX_BITS: usize = 15;

/// What a code stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Symbol {
    /// A byte.
    Literal(u8),
    /// A number: a base, and how many bits are to be taken and added.
    Number { base: u16, extra: u8 },
    /// The end of the block.
    End,
    /// Nothing that is defined.
    #[default]
    None,
}

/// The two codes of a block (§3.2.5).
pub(super) struct Codes {
    pub(super) literals: Code,
    pub(super) distances: Code,
}

impl Default for Codes {
    fn default() -> Self {
        Self { literals: Code::new(10), distances: Code::new(8) }
    }
}

impl Codes {
    /// Builds both from their lengths. Only a code of one symbol may be incomplete.
    pub(super) fn build(&mut self, literals: &[u8], distances: &[u8]) -> Result<(), CodingError> {
        self.literals.build(literals, literal, 1)?;
        self.distances.build(distances, distance, 1)
    }
}

/// The codes of fixed blocks (§3.2.6).
pub(super) fn fixed() -> &'static Codes {
    static FIXED: LazyLock<Codes> = LazyLock::new(|| {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        let mut codes = Codes::default();
        codes.build(&lengths, &[5; 32]).expect("these lengths make complete codes");
        codes
    });
    &FIXED
}

/// What a symbol of the first code stands for: a byte, the end, or a length.
fn literal(symbol: usize) -> Symbol {
    match symbol {
        0..256 => Symbol::Literal(symbol as u8),
        256 => Symbol::End,
        257..265 => Symbol::Number { base: symbol as u16 - 254, extra: 0 },
        265..285 => {
            let (group, of_four) = ((symbol - 257) / 4, (symbol - 257) % 4);
            Symbol::Number { base: ((4 + of_four) << (group - 1)) as u16 + 3, extra: group as u8 - 1 }
        }
        285 => Symbol::Number { base: 258, extra: 0 },
        _ => Symbol::None,
    }
}

/// What a symbol of the second code stands for: a distance.
fn distance(symbol: usize) -> Symbol {
    match symbol {
        0..4 => Symbol::Number { base: symbol as u16 + 1, extra: 0 },
        4..30 => {
            let extra = symbol / 2 - 1;
            Symbol::Number { base: ((2 + symbol % 2) << extra) as u16 + 1, extra: extra as u8 }
        }
        _ => Symbol::None,
    }
}

/// A canonical Huffman code.
pub(super) struct Code {
    /// For each pattern of the next bits what a code that is no longer than these stands for.
    table: Vec<Entry>,
    table_bits: usize,
    /// How many codes there are of each length.
    counts: [u16; MAX_BITS + 1],
    /// Symbols by code.
    sorted: Vec<Symbol>,
}

/// A symbol, and the length of its code; 0 where the code is longer than the table knows.
#[derive(Clone, Copy, Default)]
struct Entry {
    symbol: Symbol,
    bits: u8,
}

impl Code {
    /// A code without symbols, to be decoded by a table of so many bits.
    pub(super) fn new(table_bits: usize) -> Self {
        Self { table: Vec::new(), table_bits, counts: [0; MAX_BITS + 1], sorted: Vec::new() }
    }

    /// Builds the code of these lengths, 0 for symbols without one. Too many codes are refused; too few only if there
    /// is one longer than `may_lack` bits.
    pub(super) fn build(
        &mut self,
        lengths: &[u8],
        symbol: impl Fn(usize) -> Symbol,
        may_lack: usize,
    ) -> Result<(), CodingError> {
        self.count(lengths, may_lack)?;
        let mut next = [(0u16, 0u16); MAX_BITS + 1];
        for bits in 1..=MAX_BITS {
            let (code, index) = next[bits - 1];
            let shorter = if bits > 1 { self.counts[bits - 1] } else { 0 };
            next[bits] = ((code + shorter) << 1, index + shorter);
        }
        self.sorted.clear();
        self.sorted.resize(lengths.len(), Symbol::None);
        self.table.clear();
        self.table.resize(1 << self.table_bits, Entry::default());
        for (n, &bits) in lengths.iter().enumerate().filter(|(_, bits)| **bits > 0) {
            let (code, index) = &mut next[usize::from(bits)];
            self.sorted[usize::from(*index)] = symbol(n);
            if usize::from(bits) <= self.table_bits {
                // Codes come with their highest bit first, all else with its lowest.
                let pattern = code.reverse_bits() >> (16 - bits);
                let entry = Entry { symbol: symbol(n), bits };
                self.table
                    .iter_mut()
                    .skip(usize::from(pattern))
                    .step_by(1 << bits)
                    .for_each(|slot| *slot = entry);
            }
            *code += 1;
            *index += 1;
        }
        Ok(())
    }

    /// Counts the codes of each length and checks that there is room for them.
    fn count(&mut self, lengths: &[u8], may_lack: usize) -> Result<(), CodingError> {
        self.counts = [0; MAX_BITS + 1];
        for &bits in lengths.iter().filter(|bits| **bits > 0) {
            self.counts[usize::from(bits)] += 1;
        }
        let left =
            self.counts[1..].iter().try_fold(1, |left: u32, &count| (2 * left).checked_sub(u32::from(count)));
        let longest = self.counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        match left {
            Some(0) => Ok(()),
            Some(_) if longest <= may_lack => Ok(()),
            _ => Err(CodingError::Corrupt),
        }
    }

    /// Takes one code off `bits`, which may overdraw them.
    pub(super) fn decode(&self, bits: &mut Bits) -> Symbol {
        let entry = self.table[bits.peek() as usize & (self.table.len() - 1)];
        if entry.bits == 0 {
            return self.decode_long(bits);
        }
        bits.skip(u32::from(entry.bits));
        entry.symbol
    }

    /// The same bit by bit: the codes of a length follow one another.
    #[cold]
    fn decode_long(&self, bits: &mut Bits) -> Symbol {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for &count in &self.counts[1..] {
            code = code << 1 | bits.take(1);
            let count = u32::from(count);
            if code < first + count {
                return self.sorted[(index + code - first) as usize];
            }
            index += count;
            first = (first + count) << 1;
        }
        Symbol::None
    }
}
