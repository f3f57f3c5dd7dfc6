//! The sequences section of a block (RFC 8878 §3.1.1.3.2): copies of literals and of what was decoded before.

use super::bits::Backward;
use super::fse::{State, Table};
use super::{CodingError, MAX_BLOCK, Reach};

/// What the blocks of a frame share: tables that may be used again, and the last three offsets.
#[derive(Default)]
pub(super) struct Sequences {
    literal_lengths: Table,
    offsets: Table,
    match_lengths: Table,
    recent: [usize; 3],
}

/// One of the three numbers of a sequence: what its table may be.
struct Field {
    default: &'static [i16],
    default_log: u32,
    max_log: u32,
    max_symbol: u8,
}

/// One step: so many literals, then so many bytes from so far back.
struct Sequence {
    literals: usize,
    length: usize,
    /// An offset plus 3, or 1 to 3 for a recent one.
    offset: usize,
}

impl Sequences {
    /// Forgets tables and offsets: another frame begins.
    pub(super) fn restart(&mut self) {
        for table in [&mut self.literal_lengths, &mut self.offsets, &mut self.match_lengths] {
            table.clear();
        }
        self.recent = [1, 4, 8];
    }

    /// Carries a section out on `literals`, appending to `history`, which must have room for a block.
    pub(super) fn execute(
        &mut self,
        section: &[u8],
        mut literals: &[u8],
        history: &mut Vec<u8>,
        reach: Reach,
    ) -> Result<(), CodingError> {
        let (count, rest) = read_count(section)?;
        if count > 0 {
            let stream = self.read_tables(rest)?;
            let mut reader = Reader::new(self, stream)?;
            let mut recent = self.recent;
            let mut output = Output { start: history.len(), history, reach };
            for n in 1..=count {
                let sequence = reader.sequence();
                let offset = resolve(&mut recent, &sequence)?;
                let (copied, behind) =
                    literals.split_at_checked(sequence.literals).ok_or(CodingError::Corrupt)?;
                literals = behind;
                output.copy(copied, offset, sequence.length)?;
                if n < count {
                    reader.advance();
                }
            }
            reader.end()?;
            self.recent = recent;
        } else if !rest.is_empty() {
            return Err(CodingError::Corrupt);
        }
        history.extend_from_slice(literals);
        Ok(())
    }

    /// Reads the tables' modes and tables (§3.1.1.3.2.1); says what follows them.
    fn read_tables<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], CodingError> {
        let (&modes, rest) = bytes.split_first().ok_or(CodingError::Corrupt)?;
        if modes & 3 != 0 {
            return Err(CodingError::Corrupt);
        }
        let rest = LITERAL_LENGTHS.read(modes >> 6, &mut self.literal_lengths, rest)?;
        let rest = OFFSETS.read(modes >> 4 & 3, &mut self.offsets, rest)?;
        MATCH_LENGTHS.read(modes >> 2 & 3, &mut self.match_lengths, rest)
    }
}

/// The number of sequences, in one to three bytes.
fn read_count(section: &[u8]) -> Result<(usize, &[u8]), CodingError> {
    match *section {
        [first @ 0..128, ref rest @ ..] => Ok((usize::from(first), rest)),
        [first @ 128..=254, second, ref rest @ ..] => {
            Ok((usize::from(first - 128) << 8 | usize::from(second), rest))
        }
        [255, low, high, ref rest @ ..] => Ok((usize::from(u16::from_le_bytes([low, high])) + 0x7f00, rest)),
        _ => Err(CodingError::Corrupt),
    }
}

impl Field {
    fn read<'a>(&self, mode: u8, table: &mut Table, bytes: &'a [u8]) -> Result<&'a [u8], CodingError> {
        match mode {
            0 => {
                table.build(self.default, self.default_log);
                Ok(bytes)
            }
            1 => {
                let (&symbol, rest) = bytes.split_first().ok_or(CodingError::Corrupt)?;
                if symbol > self.max_symbol {
                    return Err(CodingError::Corrupt);
                }
                table.build_constant(symbol);
                Ok(rest)
            }
            2 => table.read(bytes, self.max_symbol, self.max_log),
            _ if table.is_empty() => Err(CodingError::Corrupt),
            _ => Ok(bytes),
        }
    }
}

/// Reads sequences from their bit stream.
struct Reader<'a> {
    tables: &'a Sequences,
    bits: Backward<'a>,
    literal_length: State,
    offset: State,
    match_length: State,
}

impl<'a> Reader<'a> {
    fn new(tables: &'a Sequences, stream: &'a [u8]) -> Result<Self, CodingError> {
        let mut bits = Backward::new(stream)?;
        let literal_length = tables.literal_lengths.start(&mut bits);
        let offset = tables.offsets.start(&mut bits);
        let match_length = tables.match_lengths.start(&mut bits);
        Ok(Self { tables, bits, literal_length, offset, match_length })
    }

    /// The sequence that the states stand for.
    fn sequence(&mut self) -> Sequence {
        let offset_bits = u32::from(self.tables.offsets.symbol(self.offset));
        let offset = (1 << offset_bits) + self.bits.read(offset_bits) as usize;
        let length =
            self.number(MATCH_LENGTH_CODES[usize::from(self.tables.match_lengths.symbol(self.match_length))]);
        let literals = self.number(
            LITERAL_LENGTH_CODES[usize::from(self.tables.literal_lengths.symbol(self.literal_length))],
        );
        Sequence { literals, length, offset }
    }

    fn number(&mut self, (base, bits): (u32, u32)) -> usize {
        base as usize + self.bits.read(bits) as usize
    }

    /// Goes to the next states.
    fn advance(&mut self) {
        self.literal_length = self.tables.literal_lengths.next(self.literal_length, &mut self.bits);
        self.match_length = self.tables.match_lengths.next(self.match_length, &mut self.bits);
        self.offset = self.tables.offsets.next(self.offset, &mut self.bits);
    }

    /// All bits must be used, and none that are not there.
    fn end(self) -> Result<(), CodingError> {
        if self.bits.left() == 0 { Ok(()) } else { Err(CodingError::Corrupt) }
    }
}

/// Turns an offset value into an offset and renews the recent ones (§3.1.1.5).
fn resolve(recent: &mut [usize; 3], sequence: &Sequence) -> Result<usize, CodingError> {
    let [first, second, third] = *recent;
    if sequence.offset > 3 {
        *recent = [sequence.offset - 3, first, second];
        return Ok(recent[0]);
    }
    // Without literals the first recent offset would only go on with the match before: the meanings shift by one.
    match sequence.offset + usize::from(sequence.literals == 0) {
        1 => {}
        2 => *recent = [second, first, third],
        3 => *recent = [third, first, second],
        _ => *recent = [first - 1, first, second],
    }
    if recent[0] == 0 { Err(CodingError::Corrupt) } else { Ok(recent[0]) }
}

/// Where a block's bytes go.
struct Output<'a> {
    history: &'a mut Vec<u8>,
    /// Where the block begins in the history.
    start: usize,
    reach: Reach,
}

impl Output<'_> {
    fn copy(&mut self, literals: &[u8], offset: usize, length: usize) -> Result<(), CodingError> {
        if self.history.len() - self.start + literals.len() + length > MAX_BLOCK {
            return Err(CodingError::Corrupt);
        }
        self.history.extend_from_slice(literals);
        let behind = self.reach.total + (self.history.len() - self.start) as u64;
        if offset > self.reach.window || offset as u64 > behind {
            return Err(CodingError::Corrupt);
        }
        if offset > self.history.len() {
            return Err(CodingError::WindowTooLarge);
        }
        repeat(self.history, offset, length);
        Ok(())
    }
}

/// Appends `length` bytes from `offset` bytes back; where these overlap, the copy feeds itself.
fn repeat(history: &mut Vec<u8>, offset: usize, length: usize) {
    let from = history.len() - offset;
    let end = history.len() + length;
    while history.len() < end {
        let piece = (history.len() - from).min(end - history.len());
        history.extend_from_within(from..from + piece);
    }
}

const LITERAL_LENGTHS: Field = Field {
    default: &[
        4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1,
        -1, -1, -1,
    ],
    default_log: 6,
    max_log: 9,
    max_symbol: 35,
};

const OFFSETS: Field = Field {
    default: &[1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
    default_log: 5,
    max_log: 8,
    max_symbol: 31,
};

const MATCH_LENGTHS: Field = Field {
    default: &[
        1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
    ],
    default_log: 6,
    max_log: 9,
    max_symbol: 52,
};

/// What a symbol stands for: a base, and bits to read that are added (§3.1.1.3.2.1.1).
const LITERAL_LENGTH_CODES: [(u32, u32); 36] =
    codes(0, 16, [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const MATCH_LENGTH_CODES: [(u32, u32); 53] =
    codes(3, 32, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

/// The first `plain` symbols stand for one number each; the others for ranges that follow one another.
const fn codes<const N: usize, const RANGES: usize>(
    first: u32,
    plain: usize,
    bits: [u32; RANGES],
) -> [(u32, u32); N] {
    let mut codes = [(0, 0); N];
    let mut base = first;
    let mut n = 0;
    while n < N {
        let width = if n < plain { 0 } else { bits[n - plain] };
        codes[n] = (base, width);
        base += 1 << width;
        n += 1;
    }
    codes
}
