//! Finite-state entropy tables (RFC 8878 §4.1.1): distributions as they are packed, and the tables they unfold to.

use super::CodingError;
use super::bits::{Backward, Forward};

/// A decoding table. Empty until one was built.
#[derive(Default)]
pub(super) struct Table {
    cells: Vec<Cell>,
    log: u32,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    symbol: u8,
    /// Bits to read for the next state, and what they are added to.
    bits: u8,
    base: u16,
}

/// Probabilities by symbol; -1 stands for "less than one".
type Distribution = [i16; 256];

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.cells.clear();
    }

    /// Always `symbol`, for no bits.
    pub(super) fn build_constant(&mut self, symbol: u8) {
        self.cells.clear();
        self.cells.push(Cell { symbol, bits: 0, base: 0 });
        self.log = 0;
    }

    /// Reads a packed distribution of symbols up to `max_symbol`; says what follows it.
    pub(super) fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        max_symbol: u8,
        max_log: u32,
    ) -> Result<&'a [u8], CodingError> {
        let mut bits = Forward::new(bytes);
        let log = bits.read(4)? + 5;
        if log > max_log {
            return Err(CodingError::Corrupt);
        }
        let mut probabilities: Distribution = [0; 256];
        let count = read_distribution(&mut bits, log, &mut probabilities[..=usize::from(max_symbol)])?;
        self.build(&probabilities[..count], log);
        Ok(bits.rest())
    }

    /// Unfolds a distribution whose probabilities add up to `1 << log`.
    pub(super) fn build(&mut self, probabilities: &[i16], log: u32) {
        let size = 1usize << log;
        self.log = log;
        self.cells.clear();
        self.cells.resize(size, Cell::default());
        self.spread(probabilities, size);
        let mut next = [0u16; 256];
        for (slot, &probability) in next.iter_mut().zip(probabilities) {
            *slot = probability.unsigned_abs();
        }
        for cell in &mut self.cells {
            let state = &mut next[usize::from(cell.symbol)];
            let bits = log - state.ilog2();
            cell.bits = bits as u8;
            cell.base = (usize::from(*state) << bits).wrapping_sub(size) as u16;
            *state += 1;
        }
    }

    /// Gives each symbol its cells: the rarest one each from the end, the others strewn evenly.
    fn spread(&mut self, probabilities: &[i16], size: usize) {
        let mut high = size;
        for (symbol, _) in probabilities.iter().enumerate().filter(|(_, probability)| **probability == -1) {
            high -= 1;
            self.cells[high].symbol = symbol as u8;
        }
        let step = (size >> 1) + (size >> 3) + 3;
        let mut at = 0;
        for (symbol, &probability) in probabilities.iter().enumerate() {
            for _ in 0..probability {
                self.cells[at].symbol = symbol as u8;
                at = (at + step) & (size - 1);
                while at >= high && at != 0 {
                    at = (at + step) & (size - 1);
                }
            }
        }
    }

    /// The first state.
    pub(super) fn start(&self, bits: &mut Backward<'_>) -> State {
        State(bits.read(self.log) as u16)
    }

    pub(super) fn symbol(&self, state: State) -> u8 {
        self.cells[usize::from(state.0)].symbol
    }

    /// The state after this one.
    pub(super) fn next(&self, state: State, bits: &mut Backward<'_>) -> State {
        let cell = self.cells[usize::from(state.0)];
        State(cell.base + bits.read(u32::from(cell.bits)) as u16)
    }
}

/// A state of the table that made it.
#[derive(Clone, Copy)]
pub(super) struct State(u16);

/// Reads probabilities until they add up; says how many there are.
fn read_distribution(
    bits: &mut Forward<'_>,
    log: u32,
    probabilities: &mut [i16],
) -> Result<usize, CodingError> {
    let mut left = 1i32 << log;
    let mut count = 0;
    while left > 0 {
        let probability = read_probability(bits, left as u32)?;
        *probabilities.get_mut(count).ok_or(CodingError::Corrupt)? = probability;
        left -= i32::from(probability.abs());
        count += 1;
        if probability == 0 {
            count += read_zeros(bits)?;
        }
    }
    Ok(count)
}

/// Values up to `left + 1`, the smaller ones in one bit less, stand for probabilities from -1.
fn read_probability(bits: &mut Forward<'_>, left: u32) -> Result<i16, CodingError> {
    let max = left + 1;
    let width = max.ilog2() + 1;
    let half = (1 << (width - 1)) - 1;
    let short = (1 << width) - 1 - max;
    let value = bits.read(width)?;
    let value = if value & half < short {
        bits.rewind(1);
        value & half
    } else if value > half {
        value - short
    } else {
        value
    };
    Ok(value as i16 - 1)
}

/// How many more symbols have probability 0.
fn read_zeros(bits: &mut Forward<'_>) -> Result<usize, CodingError> {
    let mut zeros = 0;
    loop {
        let more = bits.read(2)? as usize;
        zeros += more;
        if more < 3 {
            return Ok(zeros);
        }
    }
}
