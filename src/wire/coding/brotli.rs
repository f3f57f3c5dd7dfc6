//! Brotli (RFC 7932), by the crate `brotli-decompressor`, with no windows beyond the RFC's.
//!
//! The crate allocates the declared window at once, as zeroed pages that cost nothing until they are written. So a
//! stream may declare what encoders declare by default, 4 MiB, but what it has really filled, tables included, must
//! stay within [`WINDOW_BUDGET`]. That is looked at whenever the crate stops for input or output, so whether tables
//! that are dropped again within one piece count depends on how the stream is cut.

use brotli_decompressor::{
    BrotliDecoderTakeOutput, BrotliDecompressStream, BrotliResult, BrotliState, HuffmanCode,
    HuffmanTreeGroup, SliceWrapper, StandardAlloc,
};

use super::{CodingError, PIECE, Pipe, WINDOW_BUDGET};

/// Largest declared window, as a power of two.
const MAX_WINDOW_BITS: u8 = 22;

/// One Brotli stream.
pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    part: Part,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Start,
    Body,
    End,
}

impl Brotli {
    pub(super) fn new() -> Self {
        let alloc = StandardAlloc::default;
        Self { state: BrotliState::new_strict(alloc(), alloc(), alloc()), part: Part::Start }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.part != Part::Body
    }

    pub(super) fn push(&mut self, input: &[u8], out: &mut Pipe<'_>) -> Result<(), CodingError> {
        let Some(&first) = input.first() else { return Ok(()) };
        match self.part {
            Part::Start if window_bits(first) > MAX_WINDOW_BITS => return Err(CodingError::WindowTooLarge),
            Part::Start | Part::Body => self.part = Part::Body,
            Part::End => return Err(CodingError::TrailingBytes),
        }
        let mut offset = 0;
        loop {
            let result = self.decode(input, &mut offset);
            self.hand_out(out)?;
            match result {
                BrotliResult::NeedsMoreOutput => self.check_memory()?,
                BrotliResult::NeedsMoreInput => return self.check_memory(),
                BrotliResult::ResultFailure => return Err(CodingError::Corrupt),
                BrotliResult::ResultSuccess => {
                    self.part = Part::End;
                    return self.push(&input[offset..], out);
                }
            }
        }
    }

    /// Decodes into the window; output is fetched from there, not copied.
    fn decode(&mut self, input: &[u8], offset: &mut usize) -> BrotliResult {
        let mut left = input.len() - *offset;
        let (mut room, mut written, mut total) = (0, 0, 0);
        BrotliDecompressStream(
            &mut left,
            offset,
            input,
            &mut room,
            &mut written,
            &mut [],
            &mut total,
            &mut self.state,
        )
    }

    fn hand_out(&mut self, out: &mut Pipe<'_>) -> Result<(), CodingError> {
        loop {
            // 0 asks for all there is; the crate loses bytes when asked for less.
            let mut size = 0;
            let output = BrotliDecoderTakeOutput(&mut self.state, &mut size);
            if output.is_empty() {
                return Ok(());
            }
            for piece in output.chunks(PIECE) {
                out(piece)?;
            }
        }
    }

    fn check_memory(&self) -> Result<(), CodingError> {
        let state = &self.state;
        let window = state.ringbuffer.slice().len().min(state.partial_pos_out);
        let tables = [&state.literal_hgroup, &state.insert_copy_hgroup, &state.distance_hgroup]
            .map(table_size)
            .iter()
            .sum::<usize>();
        if window + tables > WINDOW_BUDGET { Err(CodingError::WindowTooLarge) } else { Ok(()) }
    }
}

fn table_size(group: &HuffmanTreeGroup<StandardAlloc, StandardAlloc>) -> usize {
    size_of_val::<[HuffmanCode]>(group.codes.slice())
}

/// The window that a stream's first byte declares (RFC 7932 §9.1), as a power of two.
fn window_bits(first: u8) -> u8 {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        (_, 0, bits) => 8 + bits,
        (_, bits, _) => 17 + bits,
    }
}
