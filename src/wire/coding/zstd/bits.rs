//! Bit readers in the two directions that zstd uses (RFC 8878 §4.1). Reading past the end yields zeros and is noticed.

use super::CodingError;

/// Reads from the first byte's lowest bit on.
pub(super) struct Forward<'a> {
    bytes: &'a [u8],
    /// Bits read.
    at: usize,
}

impl<'a> Forward<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 16.
    pub(super) fn read(&mut self, count: u32) -> Result<u32, CodingError> {
        let value = word(self.bytes, self.at / 8) >> (self.at % 8) & mask(count);
        self.at += count as usize;
        if self.at > self.bytes.len() * 8 { Err(CodingError::Corrupt) } else { Ok(value as u32) }
    }

    /// Gives bits back.
    pub(super) fn rewind(&mut self, count: usize) {
        self.at -= count;
    }

    /// What follows the byte that was read last.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at.div_ceil(8)..]
    }
}

/// Reads from the last byte's highest bits down; the highest set bit of all marks the start.
pub(super) struct Backward<'a> {
    bytes: &'a [u8],
    /// Bits left; negative after reading past the end.
    left: isize,
}

impl<'a> Backward<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, CodingError> {
        let mark = bytes.last().and_then(|last| last.checked_ilog2()).ok_or(CodingError::Corrupt)?;
        Ok(Self { bytes, left: (bytes.len() as isize - 1) * 8 + mark as isize })
    }

    /// Bits left; negative after reading past the end.
    pub(super) fn left(&self) -> isize {
        self.left
    }

    /// The next `count` bits, at most 56, without taking them.
    pub(super) fn peek(&self, count: u32) -> u64 {
        let below = self.left - count as isize;
        if below >= 0 {
            word(self.bytes, below as usize / 8) >> (below as usize % 8) & mask(count)
        } else {
            let missing = below.unsigned_abs().min(63);
            word(self.bytes, 0) << missing & mask(count) & if self.left > 0 { u64::MAX } else { 0 }
        }
    }

    pub(super) fn skip(&mut self, count: u32) {
        self.left -= count as isize;
    }

    /// The next `count` bits, at most 56.
    pub(super) fn read(&mut self, count: u32) -> u64 {
        let value = self.peek(count);
        self.skip(count);
        value
    }
}

fn mask(count: u32) -> u64 {
    (1 << count) - 1
}

/// Up to eight bytes from `at` on, as a little-endian word.
fn word(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => super::number(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forward_from_the_lowest_bit() {
        let mut bits = Forward::new(&[0b1011_0010, 0b0000_0001, 7]);
        assert_eq!((bits.read(4), bits.read(5)), (Ok(0b0010), Ok(0b1_1011)));
        assert_eq!(bits.rest(), [7]);
        assert_eq!(bits.read(16), Err(CodingError::Corrupt));
    }

    #[test]
    fn backward_from_below_the_mark_to_zeros() {
        let mut bits = Backward::new(&[0b1011_0010, 0b0000_0110]).expect("marked");
        assert_eq!(bits.left(), 10);
        assert_eq!((bits.read(3), bits.peek(7)), (0b101, 0b011_0010));
        assert_eq!((bits.read(9), bits.left(), bits.read(3)), (0b0_1100_1000, -2, 0));
        assert!(Backward::new(&[1, 0]).is_err() && Backward::new(&[]).is_err());
    }
}
