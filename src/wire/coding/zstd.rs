//! Zstandard (RFC 8878), a decoder of our own.
//!
//! The crate at hand, ruzstd, holds back a window's worth of output until the frame ends, so that no event would be
//! seen in time; it lets one block decode to gigabytes; and it checks no checksum without a further crate. This
//! one hands out each block when its last byte is there, bounds a block as the RFC does, and verifies lengths and
//! checksums. Frames may follow one another, skippable ones are passed over, dictionaries are refused.
//!
//! Encoders declare windows of megabytes and rarely reach that far back. So any window is accepted, [`HISTORY`] bytes
//! of it are kept, and a reference that reaches further ends decoding.
//!
//! Parts: this file reads frames and blocks; a block is `literals` (packed by `huffman`) and `sequences` (packed by
//! `fse`), read from `bits`; `xxhash` is the checksum.

mod bits;
mod fse;
mod huffman;
mod literals;
mod sequences;
mod xxhash;

use super::{CodingError, PIECE, Pipe};
use literals::Literals;
use sequences::Sequences;
use xxhash::Xxh64;

/// Longest block, packed and unpacked (§3.1.1.2.4).
const MAX_BLOCK: usize = 128 << 10;
/// Decoded bytes kept for references.
const HISTORY: usize = 512 << 10;

const MAGIC: u32 = 0xfd2f_b528;
/// Magic numbers of skippable frames; the lowest four bits are free (§3.1.2).
const SKIPPABLE: u32 = 0x184d_2a50;

/// One body of zstd frames.
pub(super) struct Zstd {
    part: Part,
    /// The beginning of the part, where its end has not come.
    pending: Vec<u8>,
    frame: Frame,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Part {
    /// A frame's magic number. The body may end here.
    Magic,
    SkipLength,
    Skip(usize),
    Descriptor,
    Header(Descriptor),
    BlockHeader,
    Block(Block),
    Checksum,
}

/// A frame header's first byte (§3.1.1.1.1).
#[derive(Clone, Copy)]
struct Descriptor(u8);

#[derive(Clone, Copy)]
struct Block {
    kind: u8,
    last: bool,
    /// Bytes of it in the body.
    size: usize,
    /// Bytes that a run-length block stands for.
    run: usize,
}

impl Part {
    /// Bytes that it takes.
    fn size(self) -> usize {
        match self {
            Self::Magic | Self::SkipLength | Self::Checksum => 4,
            Self::Skip(size) => size,
            Self::Descriptor => 1,
            Self::Header(descriptor) => descriptor.header_size(),
            Self::BlockHeader => 3,
            Self::Block(block) => block.size,
        }
    }
}

impl Zstd {
    pub(super) fn new() -> Self {
        Self { part: Part::Magic, pending: Vec::new(), frame: Frame::default() }
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.part, Part::Magic) && self.pending.is_empty()
    }

    pub(super) fn push(&mut self, mut input: &[u8], out: &mut Pipe<'_>) -> Result<(), CodingError> {
        loop {
            input = self.skip(input);
            let size = self.part.size();
            if self.pending.is_empty() && input.len() >= size {
                let (bytes, rest) = input.split_at(size);
                input = rest;
                self.part = self.take(bytes, out)?;
            } else {
                let (bytes, rest) = input.split_at(input.len().min(size - self.pending.len()));
                input = rest;
                self.pending.extend_from_slice(bytes);
                if self.pending.len() < size {
                    return Ok(());
                }
                let bytes = core::mem::take(&mut self.pending);
                self.part = self.take(&bytes, out)?;
                self.pending = bytes;
                self.pending.clear();
            }
            if input.is_empty() && self.part.size() > 0 {
                return Ok(());
            }
        }
    }

    /// Passes over a skippable frame without keeping it.
    fn skip<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let Part::Skip(left) = self.part else { return input };
        let used = input.len().min(left);
        self.part = if used == left { Part::Magic } else { Part::Skip(left - used) };
        &input[used..]
    }

    /// Takes one whole part; says what follows.
    fn take(&mut self, bytes: &[u8], out: &mut Pipe<'_>) -> Result<Part, CodingError> {
        match self.part {
            Part::Magic => match number(bytes) as u32 {
                MAGIC => Ok(Part::Descriptor),
                magic if magic & !0xf == SKIPPABLE => Ok(Part::SkipLength),
                _ => Err(CodingError::Corrupt),
            },
            Part::SkipLength => Ok(Part::Skip(number(bytes) as usize)),
            Part::Skip(_) => Ok(Part::Magic),
            Part::Descriptor => Descriptor::new(bytes[0]).map(Part::Header),
            Part::Header(descriptor) => {
                self.frame.start(descriptor, bytes)?;
                Ok(Part::BlockHeader)
            }
            Part::BlockHeader => Block::new(number(bytes) as usize, self.frame.max_block).map(Part::Block),
            Part::Block(block) => {
                self.frame.block(block, bytes, out)?;
                match block.last {
                    false => Ok(Part::BlockHeader),
                    true if self.frame.has_checksum => Ok(Part::Checksum),
                    true => self.frame.end(None),
                }
            }
            Part::Checksum => self.frame.end(Some(number(bytes) as u32)),
        }
    }
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

impl Descriptor {
    fn new(byte: u8) -> Result<Self, CodingError> {
        let reserved = byte & 8 != 0;
        if reserved { Err(CodingError::Corrupt) } else { Ok(Self(byte)) }
    }

    fn is_single_segment(self) -> bool {
        self.0 & 0x20 != 0
    }

    fn has_checksum(self) -> bool {
        self.0 & 4 != 0
    }

    fn dictionary_size(self) -> usize {
        [0, 1, 2, 4][usize::from(self.0 & 3)]
    }

    fn content_size_size(self) -> usize {
        match self.0 >> 6 {
            0 => usize::from(self.is_single_segment()),
            bits => 1 << bits,
        }
    }

    fn header_size(self) -> usize {
        usize::from(!self.is_single_segment()) + self.dictionary_size() + self.content_size_size()
    }
}

impl Block {
    /// Reads a block header (§3.1.1.2).
    fn new(header: usize, max: usize) -> Result<Self, CodingError> {
        let size = header >> 3;
        let kind = (header >> 1 & 3) as u8;
        if kind > 2 || size > max {
            return Err(CodingError::Corrupt);
        }
        let is_run = kind == 1;
        Ok(Self { kind, last: header & 1 == 1, size: if is_run { 1 } else { size }, run: size })
    }
}

/// One frame: what its header said, and what its blocks share.
#[derive(Default)]
struct Frame {
    window: usize,
    max_block: usize,
    content_size: Option<u64>,
    has_checksum: bool,
    /// Bytes decoded.
    total: u64,
    hash: Xxh64,
    /// The last decoded bytes.
    history: Vec<u8>,
    literals: Literals,
    sequences: Sequences,
}

impl Frame {
    /// Reads the header behind its descriptor (§3.1.1.1).
    fn start(&mut self, descriptor: Descriptor, header: &[u8]) -> Result<(), CodingError> {
        let (window, rest) = header.split_at(usize::from(!descriptor.is_single_segment()));
        let (dictionary, content_size) = rest.split_at(descriptor.dictionary_size());
        if number(dictionary) != 0 {
            return Err(CodingError::Dictionary);
        }
        self.content_size = match content_size.len() {
            0 => None,
            2 => Some(number(content_size) + 256),
            _ => Some(number(content_size)),
        };
        self.window = match (window, self.content_size) {
            (&[byte, ..], _) => {
                let base = 1 << (10 + (byte >> 3));
                base + base / 8 * usize::from(byte & 7)
            }
            ([], size) => usize::try_from(size.unwrap_or(0)).unwrap_or(usize::MAX),
        };
        self.max_block = self.window.min(MAX_BLOCK);
        self.has_checksum = descriptor.has_checksum();
        self.total = 0;
        self.hash = Xxh64::default();
        self.history.clear();
        self.literals.restart();
        self.sequences.restart();
        Ok(())
    }

    /// Decodes a block onto the history and hands it out.
    fn block(&mut self, block: Block, bytes: &[u8], out: &mut Pipe<'_>) -> Result<(), CodingError> {
        self.trim();
        let start = self.history.len();
        match block.kind {
            0 => self.history.extend_from_slice(bytes),
            1 => self.history.resize(start + block.run, bytes[0]),
            _ => {
                let sequences = self.literals.read(bytes, self.max_block)?;
                let reach = Reach { window: self.window, total: self.total };
                self.sequences.execute(sequences, self.literals.bytes(), &mut self.history, reach)?;
                if self.history.len() - start > self.max_block {
                    return Err(CodingError::Corrupt);
                }
            }
        }
        let decoded = &self.history[start..];
        self.total += decoded.len() as u64;
        self.hash.update(decoded);
        decoded.chunks(PIECE).try_for_each(out)
    }

    /// Drops history that is out of reach, and makes room for a block.
    fn trim(&mut self) {
        let keep = self.window.min(HISTORY);
        if self.history.len() > keep + MAX_BLOCK {
            self.history.drain(..self.history.len() - keep);
        }
        if self.history.len() + MAX_BLOCK > HISTORY {
            self.history.reserve_exact(HISTORY + 2 * MAX_BLOCK - self.history.len());
        }
    }

    fn end(&mut self, checksum: Option<u32>) -> Result<Part, CodingError> {
        let wrong_sum = checksum.is_some_and(|sum| sum != self.hash.value() as u32);
        let wrong_size = self.content_size.is_some_and(|size| size != self.total);
        if wrong_sum || wrong_size { Err(CodingError::Checksum) } else { Ok(Part::Magic) }
    }
}

/// How far references may reach back.
#[derive(Clone, Copy)]
struct Reach {
    window: usize,
    /// Bytes of the frame before this block, kept or not.
    total: u64,
}
