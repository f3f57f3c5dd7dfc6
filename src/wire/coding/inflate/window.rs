//! What was decoded last: to be referred to, and to be handed out.

use super::super::{CodingError, PIECE, Pipe};

/// The farthest that a reference may reach (RFC 1951 §2).
const REACH: usize = 32 << 10;
/// Bytes copied at a time where the two ends are far enough apart.
const STRIDE: usize = 16;
/// Room for the longest copy (§3.2.5), in strides.
pub(super) const COPY_ROOM: usize = 258 + STRIDE;

/// Twice the reach: when it is full, its second half moves to the front.
pub(super) struct Window {
    bytes: Box<[u8]>,
    /// Where the next byte goes.
    at: usize,
    /// What lies before was handed out.
    handed: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; 2 * REACH].into(), at: 0, handed: 0 }
    }

    /// Bytes that can be added.
    pub(super) fn room(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Makes sure that `count` bytes can be added.
    pub(super) fn make_room(&mut self, count: usize, out: &mut Pipe<'_>) -> Result<(), CodingError> {
        if self.room() < count {
            self.hand_out(out)?;
            self.bytes.copy_within(self.at - REACH..self.at, 0);
            self.at = REACH;
            self.handed = REACH;
        }
        Ok(())
    }

    /// Gives what was added since the last time to `out`.
    pub(super) fn hand_out(&mut self, out: &mut Pipe<'_>) -> Result<(), CodingError> {
        let fresh = &self.bytes[self.handed..self.at];
        self.handed = self.at;
        fresh.chunks(PIECE).try_for_each(out)
    }

    /// Adds a byte, for which there must be room.
    pub(super) fn put(&mut self, byte: u8) {
        self.bytes[self.at] = byte;
        self.at += 1;
    }

    /// Adds bytes, for which there must be room.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// Adds `length` bytes from `distance` bytes back, with [`COPY_ROOM`] made before. Where the two overlap, the copy
    /// feeds itself.
    pub(super) fn copy(&mut self, distance: usize, length: usize) -> Result<(), CodingError> {
        let mut from = self.at.checked_sub(distance).ok_or(CodingError::Corrupt)?;
        let end = self.at + length;
        if distance >= STRIDE {
            // In strides of a size that the compiler knows; the last one may run over what is filled next.
            let mut to = self.at;
            while to < end {
                self.bytes.copy_within(from..from + STRIDE, to);
                from += STRIDE;
                to += STRIDE;
            }
            self.at = end;
        }
        while self.at < end {
            let piece = (self.at - from).min(end - self.at);
            self.bytes.copy_within(from..from + piece, self.at);
            self.at += piece;
        }
        Ok(())
    }
}
