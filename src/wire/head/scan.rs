//! Where a head ends in a buffer that grows, seeing each byte once and refusing early what can only become too large,
//! or can become no head: a peer of another protocol may wait for us (P2, P29).

use memchr::memchr;

use super::syntax::LineEnd;
use super::{HeadError, request, response};

/// Bounds on a head. A request line is counted without its CRLF, a header block with the line ends of its fields and
/// without the empty line. In a response `header_block` bounds the whole head and `request_line` is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Method, target and version (414 past it), in bytes.
    pub request_line: usize,
    /// All field lines together (431 past it), in bytes.
    pub header_block: usize,
    /// How many field lines (431 past it).
    pub header_fields: usize,
}

/// How many empty lines may come before a request (RFC 9112 §2.2 asks for at least one).
const EMPTY_LINES: usize = 2;

/// Finds the end of a head. One per connection side; [`HeadScan::reset`] before the next head.
#[derive(Clone, Debug)]
pub struct HeadScan {
    response: bool,
    /// Bytes already looked at.
    seen: usize,
    /// Where the current line starts.
    line: usize,
    /// Where the field lines start; 0 while the first line is not complete.
    block: usize,
    empty_lines: usize,
    fields: usize,
    end: LineEnd,
}

impl Default for HeadScan {
    fn default() -> Self {
        Self::new()
    }
}

impl HeadScan {
    /// For request heads.
    pub fn new() -> Self {
        let end = LineEnd::CrLf;
        Self { response: false, seen: 0, line: 0, block: 0, empty_lines: 0, fields: 0, end }
    }

    /// For response heads: no empty line before it, and every line may end in a bare LF.
    pub fn for_response() -> Self {
        Self { response: true, ..Self::new() }
    }

    /// Forgets the head that was found; the next one starts at the buffer's front.
    pub fn reset(&mut self) {
        *self = if self.response { Self::for_response() } else { Self::new() };
    }

    #[cfg(test)]
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// Looks at what was added to `buffer` since the last call. Gives the head's length, counted from the buffer's
    /// front with leading empty lines and the empty line at its end, or `None` while it is not complete.
    pub fn find(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HeadError> {
        while let Some(distance) = memchr(b'\n', &buffer[self.seen..]) {
            let lf = self.seen + distance;
            self.seen = lf + 1;
            if self.take_line(buffer, lf, limits)? {
                return Ok(Some(lf + 1));
            }
            self.line = lf + 1;
        }
        self.seen = buffer.len();
        self.check_partial(&buffer[self.line..], limits)?;
        Ok(None)
    }

    /// One whole line; true if it ends the head. Sizes come first, so that the answer does not depend on cuts.
    fn take_line(&mut self, buffer: &[u8], lf: usize, limits: &HeadLimits) -> Result<bool, HeadError> {
        let raw = &buffer[self.line..lf];
        if self.block == 0 {
            self.take_first_line(raw, lf, limits)
        } else {
            self.take_field_line(raw, lf, limits)
        }
    }

    fn take_first_line(&mut self, raw: &[u8], lf: usize, limits: &HeadLimits) -> Result<bool, HeadError> {
        self.check_first(raw.strip_suffix(b"\r").unwrap_or(raw), raw.len(), limits)?;
        if self.response && raw.last() != Some(&b'\r') {
            self.end = LineEnd::Lf;
        }
        if !self.end.strip(raw)?.is_empty() {
            self.block = lf + 1;
            return Ok(false);
        }
        self.empty_lines += 1;
        if self.response || self.empty_lines > EMPTY_LINES { Err(HeadError::EmptyLines) } else { Ok(false) }
    }

    fn take_field_line(&mut self, raw: &[u8], lf: usize, limits: &HeadLimits) -> Result<bool, HeadError> {
        if self.end.strip(raw).is_ok_and(<[u8]>::is_empty) {
            return Ok(true);
        }
        self.fields += 1;
        if lf + 1 - self.block_start() > limits.header_block {
            return Err(HeadError::HeaderBlockTooLarge);
        }
        if self.fields > limits.header_fields {
            return Err(HeadError::TooManyFields);
        }
        self.end.strip(raw).map(|_| false)
    }

    /// A line that is not complete yet; the line ends that may still come are allowed for.
    fn check_partial(&self, partial: &[u8], limits: &HeadLimits) -> Result<(), HeadError> {
        if self.block == 0 {
            return self.check_first(partial.strip_suffix(b"\r").unwrap_or(partial), partial.len(), limits);
        }
        if self.seen - self.block_start() > limits.header_block + 2 {
            return Err(HeadError::HeaderBlockTooLarge);
        }
        Ok(())
    }

    /// The first line, or what has come of it without the CR at its end; `len` counts that too.
    fn check_first(&self, line: &[u8], len: usize, limits: &HeadLimits) -> Result<(), HeadError> {
        if self.response {
            response::begins(line)?;
            return if len > limits.header_block + 1 { Err(HeadError::HeaderBlockTooLarge) } else { Ok(()) };
        }
        request::begins(line)?;
        if len > limits.request_line + 1 { Err(HeadError::RequestLineTooLong) } else { Ok(()) }
    }

    fn block_start(&self) -> usize {
        if self.response { 0 } else { self.block }
    }
}
