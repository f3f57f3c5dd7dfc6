//! Chunked transfer coding (RFC 9112 §7.1), read strictly: one small automaton for a chunk-size line, one for the
//! rest.
//!
//! ```text
//!           hex            ; or CRLF            CRLF, size > 0                size bytes
//!  Line --> Size --> (extension) --> LineEnd ------------------> Data(size) -----------> DataCr --> DataLf --> Line
//!                                       | CRLF, size = 0
//!                                       v
//!                                    Trailers --- empty line ---> Done
//! ```

use memchr::memchr;

use super::{BodyError, BodyLimits, Step};
use crate::wire::head::{Fields, HeadError, is_tchar};

/// Where in a chunked body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Line(Line),
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// Where in a chunk-size line (RFC 9112 §7.1.1): `size *( BWS ";" BWS name [ BWS "=" BWS value ] ) CRLF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Start,
    Size,
    /// White space after the size or a whole extension: only `;` may follow.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// White space after a name: `=` or `;` may follow.
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    QuotedPair,
    AfterQuoted,
    /// CR was read.
    End,
    /// LF was read.
    Over,
}

/// Reads a chunked body.
#[derive(Clone, Debug)]
pub struct Chunked {
    place: Place,
    limits: BodyLimits,
    /// Hex digits read of the current size.
    digits: u8,
    /// Bytes read of the current chunk-size line.
    line: usize,
    /// The current chunk's size, then what is left of it.
    left: u64,
    /// The trailer section as far as it was read.
    section: Vec<u8>,
    trailers: Fields,
}

impl Chunked {
    /// At the start of a body.
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            place: Place::Line(Line::Start),
            limits,
            digits: 0,
            line: 0,
            left: 0,
            section: Vec::new(),
            trailers: Fields::new(),
        }
    }

    /// As [`super::Decoder::step`].
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let mut used = 0;
        while used < input.len() {
            match self.place {
                Place::Line(line) => self.take_line_byte(line, input[used])?,
                Place::Data => return Ok(self.take_data(used, input.len())),
                Place::DataCr => self.expect(input[used], b'\r', Place::DataLf)?,
                Place::DataLf => self.expect(input[used], b'\n', Place::Line(Line::Start))?,
                Place::Trailers => {
                    used += self.take_trailers(&input[used..])?;
                    continue;
                }
                Place::Done => break,
            }
            used += 1;
        }
        Ok(Step { used, data: used..used, done: self.is_done() })
    }

    /// Whether the empty line after the last chunk was read.
    pub fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// What is left of the current chunk.
    pub fn remaining(&self) -> Option<u64> {
        match self.place {
            Place::Data => Some(self.left),
            Place::Done => Some(0),
            _ => None,
        }
    }

    /// The vetted trailers, once done.
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    fn take_data(&mut self, start: usize, end: usize) -> Step {
        let len = usize::try_from(self.left).map_or(end - start, |left| left.min(end - start));
        self.left -= len as u64;
        if self.left == 0 {
            self.place = Place::DataCr;
        }
        Step { used: start + len, data: start..start + len, done: false }
    }

    fn expect(&mut self, byte: u8, wanted: u8, next: Place) -> Result<(), BodyError> {
        if byte != wanted {
            return Err(BodyError::ChunkEnd);
        }
        self.place = next;
        Ok(())
    }

    fn take_line_byte(&mut self, line: Line, byte: u8) -> Result<(), BodyError> {
        let next = match line {
            Line::Start | Line::Size => self.take_size(line, byte)?,
            _ => next_in_line(line, byte)?,
        };
        if !matches!(next, Line::End | Line::Over) {
            self.line += 1;
            if self.line > self.limits.chunk_line {
                return Err(BodyError::ChunkLineTooLong);
            }
        }
        self.place = if next == Line::Over { self.end_line() } else { Place::Line(next) };
        Ok(())
    }

    fn take_size(&mut self, line: Line, byte: u8) -> Result<Line, BodyError> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            return if line == Line::Size {
                after_element(byte, BodyError::ChunkSize)
            } else {
                Err(BodyError::ChunkSize)
            };
        };
        self.digits += 1;
        if self.digits > 16 {
            return Err(BodyError::ChunkSize);
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(Line::Size)
    }

    fn end_line(&mut self) -> Place {
        (self.line, self.digits) = (0, 0);
        if self.left == 0 { Place::Trailers } else { Place::Data }
    }

    /// Takes trailer bytes up to the end of a line; the empty line ends the body.
    fn take_trailers(&mut self, input: &[u8]) -> Result<usize, BodyError> {
        let used = memchr(b'\n', input).map_or(input.len(), |lf| lf + 1);
        // The empty line may still come after a section that is just within the limit.
        if self.section.len() + used > self.limits.trailers + 2 {
            return Err(BodyError::TrailersTooLarge);
        }
        self.section.extend_from_slice(&input[..used]);
        if self.section.ends_with(b"\n") {
            self.end_trailer_line()?;
        }
        Ok(used)
    }

    fn end_trailer_line(&mut self) -> Result<(), BodyError> {
        if self.section == b"\r\n" || self.section.ends_with(b"\r\n\r\n") {
            self.trailers = Fields::read_trailers(&self.section).map_err(BodyError::Trailer)?;
            self.place = Place::Done;
        } else if self.section.len() > self.limits.trailers {
            return Err(BodyError::TrailersTooLarge);
        } else if !self.section.ends_with(b"\r\n") {
            return Err(BodyError::Trailer(HeadError::BareLf));
        }
        Ok(())
    }
}

/// What may follow the size, a name or a value.
fn after_element(byte: u8, otherwise: BodyError) -> Result<Line, BodyError> {
    match byte {
        b'\r' => Ok(Line::End),
        b';' => Ok(Line::BeforeName),
        b' ' | b'\t' => Ok(Line::BeforeSemicolon),
        b'\n' => Err(BodyError::ChunkLineEnd),
        _ => Err(otherwise),
    }
}

/// The rest of a chunk-size line, after the size.
fn next_in_line(line: Line, byte: u8) -> Result<Line, BodyError> {
    let space = matches!(byte, b' ' | b'\t');
    match (line, byte) {
        (Line::BeforeSemicolon | Line::BeforeName | Line::AfterName | Line::BeforeValue, _) if space => {
            Ok(line)
        }
        (Line::BeforeSemicolon | Line::AfterName, b';') => Ok(Line::BeforeName),
        (Line::BeforeName | Line::Name, _) if is_tchar(byte) => Ok(Line::Name),
        (Line::Name | Line::AfterName, b'=') => Ok(Line::BeforeValue),
        (Line::Name, _) if space => Ok(Line::AfterName),
        (Line::BeforeValue, b'"') | (Line::QuotedPair, b'"' | b'\\') => Ok(Line::Quoted),
        (Line::BeforeValue | Line::Value, _) if is_tchar(byte) => Ok(Line::Value),
        (Line::Name | Line::Value | Line::AfterQuoted, _) => after_element(byte, BodyError::ChunkExtension),
        (Line::Quoted, b'"') => Ok(Line::AfterQuoted),
        (Line::Quoted, b'\\') => Ok(Line::QuotedPair),
        (Line::Quoted | Line::QuotedPair, _) if space || !byte.is_ascii_control() => Ok(Line::Quoted),
        (Line::End, b'\n') => Ok(Line::Over),
        (Line::End, _) => Err(BodyError::ChunkLineEnd),
        _ => Err(BodyError::ChunkExtension),
    }
}
