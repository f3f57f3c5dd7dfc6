//! Bits of a DEFLATE stream, lowest first (RFC 1951 §3.1.1), taken on trial and then committed.

/// Up to 64 bits. Taking more than there are gives zeros and leaves it overdrawn.
#[derive(Clone, Copy, Default)]
pub(super) struct Bits {
    word: u64,
    /// Bits in the word; those above are 0.
    count: i32,
}

impl Bits {
    pub(super) fn count(self) -> i32 {
        self.count
    }

    pub(super) fn is_overdrawn(self) -> bool {
        self.count < 0
    }

    /// Moves as many bytes from the front of `input` as there is room for: at least 57 bits are there then, if the
    /// input has them.
    pub(super) fn fill(&mut self, input: &mut &[u8]) {
        if self.count > 56 {
            return;
        }
        let room = (64 - self.count as u32) / 8;
        if let Some(word) = input.first_chunk() {
            let word = u64::from_le_bytes(*word) & u64::MAX >> (64 - 8 * room);
            self.word |= word << self.count;
            self.count += 8 * room as i32;
            *input = &input[room as usize..];
        } else {
            let (bytes, rest) = input.split_at(input.len().min(room as usize));
            *input = rest;
            for &byte in bytes {
                self.word |= u64::from(byte) << self.count;
                self.count += 8;
            }
        }
    }

    /// The next bits without taking them.
    pub(super) fn peek(self) -> u64 {
        self.word
    }

    pub(super) fn skip(&mut self, count: u32) {
        self.word >>= count;
        self.count -= count as i32;
    }

    /// Takes the next `count` bits, at most 16.
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let bits = self.word & ((1 << count) - 1);
        self.skip(count);
        bits as u32
    }

    /// Takes `extra` bits and adds them to `base`.
    pub(super) fn number(&mut self, base: u16, extra: u8) -> usize {
        usize::from(base) + self.take(u32::from(extra)) as usize
    }

    /// Drops bits up to a byte boundary.
    pub(super) fn align(&mut self) {
        self.skip(self.count as u32 % 8);
    }

    /// Goes on from `trial`, unless it took more than there is.
    pub(super) fn commit(&mut self, trial: Self) -> bool {
        let whole = !trial.is_overdrawn();
        if whole {
            *self = trial;
        }
        whole
    }
}
