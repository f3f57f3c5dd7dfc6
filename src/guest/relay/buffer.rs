//! One direction's bytes in flight: bounded, and free of memory while empty.

use std::io::{self, Read, Write};

/// Most bytes that wait in one direction.
pub const CAPACITY: usize = 16 << 10;

/// Bytes that were read and not yet written.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// The bytes that wait.
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Whether more may be read.
    pub fn has_room(&self) -> bool {
        self.bytes.len() < CAPACITY
    }

    /// Appends bytes of our own, beyond the bound if need be (a header).
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Reads once, as much as there is room for. 0 is the end of the input.
    pub fn fill(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        let old = self.bytes.len();
        self.bytes.resize(CAPACITY.max(old), 0);
        let read = from.read(&mut self.bytes[old..]);
        self.bytes.truncate(old + *read.as_ref().unwrap_or(&0));
        self.tidy();
        read
    }

    /// Writes once, as much as is taken.
    pub fn drain(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        let written = to.write(self.waiting())?;
        self.start += written;
        self.tidy();
        Ok(written)
    }

    fn tidy(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_in_order_and_within_the_bound() {
        let sent: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let (mut from, mut received, mut buffer) = (&sent[..], Vec::new(), Buffer::default());
        while buffer.has_room() && buffer.fill(&mut from).expect("a slice") > 0 {}
        assert_eq!(buffer.waiting().len(), CAPACITY);
        loop {
            let mut narrow = [0; 1000];
            let taken = buffer.drain(&mut &mut narrow[..]).expect("a slice");
            received.extend_from_slice(&narrow[..taken]);
            if buffer.is_empty() && buffer.fill(&mut from).expect("a slice") == 0 {
                break;
            }
        }
        assert_eq!(received, sent);
        assert_eq!(buffer.bytes.capacity(), 0, "an empty buffer holds no memory");
    }
}
