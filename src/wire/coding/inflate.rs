//! DEFLATE (RFC 1951), a decoder of our own for streams that are flushed event by event.
//!
//! Model replies flush some 200 bytes at a time, each as a block with the fixed codes. `miniz_oxide` builds the tables
//! of these anew for each block, which is seven tenths of its time there; here they stand ready. `miniz_oxide` stays
//! the oracle of the tests.
//!
//! Input may be cut anywhere: a step (a header, a symbol with its distance) takes all the bits that it needs, at most
//! [`STEP`], or none, and what is too short for a step waits in the 64-bit buffer.
//!
//! Parts: `bits` is that buffer, `code` the Huffman codes, `lengths` the head that describes them, `window` the output;
//! this file has the blocks.

mod bits;
mod code;
mod lengths;
mod window;

use super::{CodingError, Pipe};
use bits::Bits;
use code::{Codes, Symbol};
use lengths::Lengths;
use window::{COPY_ROOM, Window};

/// The most bits that a step takes: two codes of 15, with 5 and 13 bits behind them.
const STEP: i32 = 48;

/// One DEFLATE stream after another, over one window.
pub struct Inflate {
    bits: Bits,
    part: Part,
    /// The block that we are in is the stream's last.
    last: bool,
    /// Codes of the block, where it brought its own.
    codes: Box<Codes>,
    lengths: Box<Lengths>,
    window: Window,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Part {
    BlockHeader,
    StoredLength,
    /// Bytes left of a stored block.
    Stored(usize),
    /// The lengths of the block's codes.
    Lengths,
    /// Symbols in the fixed codes.
    Fixed,
    /// Symbols in the block's codes.
    Dynamic,
    End,
}

/// How far a push came.
pub enum Inflated {
    /// All input is used.
    More,
    /// The stream has ended, with this many bytes used.
    End(usize),
}

impl Default for Inflate {
    fn default() -> Self {
        Self {
            bits: Bits::default(),
            part: Part::BlockHeader,
            last: false,
            codes: Box::default(),
            lengths: Box::default(),
            window: Window::new(),
        }
    }
}

impl Inflate {
    /// Takes input; all that it decodes to is given to `out` before this returns, even where an error follows. After
    /// the end of a stream another one may begin.
    pub fn push(&mut self, input: &[u8], out: &mut Pipe<'_>) -> Result<Inflated, CodingError> {
        let mut rest = input;
        let result = self.run(&mut rest, out);
        self.window.hand_out(out)?;
        if !result? {
            return Ok(Inflated::More);
        }
        // Whole bytes left in the buffer came with this input: all that came before was too short for the last step.
        let used = input.len() - rest.len() - self.bits.count() as usize / 8;
        self.bits = Bits::default();
        self.part = Part::BlockHeader;
        Ok(Inflated::End(used))
    }

    /// Takes steps until the stream ends (`true`) or the input is too short for the next one.
    fn run(&mut self, input: &mut &[u8], out: &mut Pipe<'_>) -> Result<bool, CodingError> {
        loop {
            self.bits.fill(input);
            let next = match self.part {
                Part::BlockHeader => self.block_header()?,
                Part::StoredLength => self.stored_length()?,
                Part::Stored(0) => Some(self.end_of_block()),
                Part::Stored(left) => self.stored(left, input, out)?,
                Part::Lengths => {
                    self.lengths.read(&mut self.bits, input, &mut self.codes)?.then_some(Part::Dynamic)
                }
                Part::Fixed => self.symbols(true, input, out)?,
                Part::Dynamic => self.symbols(false, input, out)?,
                Part::End => return Ok(true),
            };
            match next {
                Some(part) => self.part = part,
                None => return Ok(false),
            }
        }
    }

    /// §3.2.3: last or not, and of which kind.
    fn block_header(&mut self) -> Result<Option<Part>, CodingError> {
        let mut bits = self.bits;
        let (last, kind) = (bits.take(1), bits.take(2));
        let next = match kind {
            0 => Part::StoredLength,
            1 => Part::Fixed,
            2 => {
                self.lengths.start(bits.take(5), bits.take(5), bits.take(4));
                Part::Lengths
            }
            _ if bits.is_overdrawn() => return Ok(None),
            _ => return Err(CodingError::Corrupt),
        };
        self.last = last == 1;
        Ok(self.bits.commit(bits).then_some(next))
    }

    /// §3.2.4: on a byte boundary, the length and its complement.
    fn stored_length(&mut self) -> Result<Option<Part>, CodingError> {
        let mut bits = self.bits;
        bits.align();
        let (length, complement) = (bits.take(16), bits.take(16));
        if !self.bits.commit(bits) {
            return Ok(None);
        }
        let agree = length == !complement & 0xffff;
        if agree { Ok(Some(Part::Stored(length as usize))) } else { Err(CodingError::Corrupt) }
    }

    /// Copies what is there of a stored block, first from the buffer.
    fn stored(
        &mut self,
        mut left: usize,
        input: &mut &[u8],
        out: &mut Pipe<'_>,
    ) -> Result<Option<Part>, CodingError> {
        while left > 0 && self.bits.count() >= 8 {
            self.window.make_room(1, out)?;
            self.window.put(self.bits.take(8) as u8);
            left -= 1;
        }
        while left > 0 && !input.is_empty() {
            self.window.make_room(COPY_ROOM, out)?;
            let (piece, rest) = input.split_at(left.min(input.len()).min(self.window.room()));
            self.window.append(piece);
            *input = rest;
            left -= piece.len();
        }
        self.part = Part::Stored(left);
        Ok((left == 0).then_some(self.part))
    }

    /// §3.2.5: literals, copies, and the end of the block.
    fn symbols(
        &mut self,
        fixed: bool,
        input: &mut &[u8],
        out: &mut Pipe<'_>,
    ) -> Result<Option<Part>, CodingError> {
        let codes = if fixed { code::fixed() } else { &*self.codes };
        let mut bits = self.bits;
        loop {
            if bits.count() < STEP {
                bits.fill(input);
            }
            self.bits = bits;
            self.window.make_room(COPY_ROOM, out)?;
            match codes.literals.decode(&mut bits) {
                _ if bits.is_overdrawn() => return Ok(None),
                Symbol::Literal(byte) => self.window.put(byte),
                Symbol::Number { base, extra } => {
                    let length = bits.number(base, extra);
                    let distance = match codes.distances.decode(&mut bits) {
                        Symbol::Number { base, extra } => bits.number(base, extra),
                        _ if bits.is_overdrawn() => return Ok(None),
                        _ => return Err(CodingError::Corrupt),
                    };
                    if bits.is_overdrawn() {
                        return Ok(None);
                    }
                    self.window.copy(distance, length)?;
                }
                Symbol::End => {
                    self.bits = bits;
                    return Ok(Some(self.end_of_block()));
                }
                Symbol::None => return Err(CodingError::Corrupt),
            }
        }
    }

    fn end_of_block(&self) -> Part {
        if self.last { Part::End } else { Part::BlockHeader }
    }
}

#[cfg(test)]
mod tests;
