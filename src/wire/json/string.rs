//! Keys and strings of the skimmer. One that begins and ends in the same input, without escapes, is handed out where it
//! stands; any other is gathered. What nearly always follows, a colon or a comma, is taken along: one turn less.

use memchr::memchr2;

use super::{Expect, JsonError, Shape, Sink, Skimmer, Text, Token, Value};

/// Longest key that can match a shape; longer ones are skipped.
const MAX_KEY: usize = 64;

impl<T: Copy> Skimmer<T> {
    /// A key, from behind its opening quote.
    #[inline]
    pub(super) fn key(&mut self, bytes: &[u8], at: usize, sink: &mut impl Sink<T>) -> usize {
        let rest = &bytes[at..];
        let found = quote_or_backslash(rest);
        if let Some(length) = ends_whole(rest, found) {
            self.end_key(Some(&rest[..length]));
            return self.colon_at(bytes, at + length + 1);
        }
        self.token = Token::Key;
        self.gather.start(Some(MAX_KEY));
        self.gathered(bytes, at, found, sink)
    }

    /// A string, from behind its opening quote.
    #[inline]
    pub(super) fn text(&mut self, bytes: &[u8], at: usize, sink: &mut impl Sink<T>) -> usize {
        let rest = &bytes[at..];
        let found = quote_or_backslash(rest);
        if let Some(length) = ends_whole(rest, found) {
            if let Some((tag, keep)) = self.next.and_then(|shape| Some((shape.tag?, shape.keep))) {
                sink.value(tag, Value::Text(Text::whole(&rest[..length], keep)));
            }
            self.value_done();
            return self.comma_at(bytes, at + length + 1);
        }
        self.token = Token::String;
        self.gather.start(self.next.and_then(Shape::kept));
        self.gathered(bytes, at, found, sink)
    }

    /// Inside a key or a string: jumps to the next quote or backslash.
    pub(super) fn string(
        &mut self,
        bytes: &[u8],
        at: usize,
        sink: &mut impl Sink<T>,
    ) -> Result<usize, JsonError> {
        if self.gather.escaping() {
            self.gather.escape(bytes[at])?;
            return Ok(at + 1);
        }
        Ok(self.gathered(bytes, at, quote_or_backslash(&bytes[at..]), sink))
    }

    /// Goes to a quote or backslash that was found, or to the end of the input.
    fn gathered(&mut self, bytes: &[u8], at: usize, found: Option<usize>, sink: &mut impl Sink<T>) -> usize {
        let rest = &bytes[at..];
        let Some(length) = found else {
            self.gather.plain(rest);
            return bytes.len();
        };
        let (piece, behind) = (&rest[..length], at + length + 1);
        if rest[length] == b'\\' {
            self.gather.plain(piece);
            self.gather.begin_escape();
            return behind;
        }
        if matches!(self.token, Token::Key) {
            let mut gather = std::mem::take(&mut self.gather);
            let key = gather.end(piece);
            self.end_key(if key.clipped { None } else { Some(key.bytes) });
            self.gather = gather;
            return self.colon_at(bytes, behind);
        }
        if let Some(tag) = self.next.and_then(|shape| shape.tag) {
            sink.value(tag, Value::Text(self.gather.end(piece)));
        }
        self.value_done();
        self.comma_at(bytes, behind)
    }

    /// The key is known, unless it was too long to be one that a shape names.
    #[inline]
    fn end_key(&mut self, key: Option<&[u8]>) {
        self.token = Token::None;
        self.expect = Expect::Colon;
        let shape = self.stack.last().and_then(|frame| frame.shape);
        self.next = shape.and_then(|shape| shape.member(key?));
    }

    #[inline]
    fn colon_at(&mut self, bytes: &[u8], at: usize) -> usize {
        if bytes.get(at) != Some(&b':') {
            return at;
        }
        self.expect = Expect::Value;
        past_a_space(bytes, at + 1)
    }

    /// Takes the comma that nearly always stands right behind a value.
    #[inline]
    pub(super) fn comma_at(&mut self, bytes: &[u8], at: usize) -> usize {
        if self.expect != Expect::CommaOrEnd || bytes.get(at) != Some(&b',') {
            return at;
        }
        self.comma();
        past_a_space(bytes, at + 1)
    }
}

/// Where the string ends, if it does so in this input and without escapes.
#[inline]
fn ends_whole(rest: &[u8], found: Option<usize>) -> Option<usize> {
    found.filter(|&at| rest[at] == b'"')
}

#[inline]
fn past_a_space(bytes: &[u8], at: usize) -> usize {
    at + usize::from(bytes.get(at) == Some(&b' '))
}

/// Most keys and many values end within a few bytes, where a call into memchr costs more than it saves: these are
/// searched eight at a time.
#[inline]
pub(super) fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    const NEAR: usize = 32;
    let (words, _) = bytes[..bytes.len().min(NEAR)].as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = equal_bytes(word, b'"') | equal_bytes(word, b'\\');
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let near = words.len() * 8;
    let rest = &bytes[near..];
    if near < NEAR {
        return rest.iter().position(|&byte| byte == b'"' || byte == b'\\').map(|at| at + near);
    }
    memchr2(b'"', b'\\', rest).map(|at| at + near)
}

/// Has the high bit of each byte of `word` that equals `byte`, and perhaps of bytes above the lowest such one.
#[inline]
fn equal_bytes(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let zero_where_equal = word ^ (LOW * u64::from(byte));
    zero_where_equal.wrapping_sub(LOW) & !zero_where_equal & (LOW << 7)
}
