//! A JSON skimmer: reads a document as it passes, cut anywhere, and hands out the few values that a [`Shape`] names.
//!
//! No tree, no size limit, each byte seen once. What it holds is bounded: one token that a cut left unfinished (as
//! far as the shape keeps it), one raw capture, and a stack of at most [`MAX_DEPTH`] levels. One skimmer serves
//! request bodies, plain answers, SSE data, NDJSON lines, WebSocket messages and arrays that are streamed.
//!
//! It refuses what RFC 8259 refuses, except three things that do not matter to a reader of numbers and names:
//! control characters inside strings, bytes that are not UTF-8, and lone surrogates (read as U+FFFD) are let pass.
//! A key that stands twice is told twice, in order, so that the last one wins at a sink that overwrites.

mod number;
mod shape;
mod string;
mod text;

pub use number::Number;
pub use shape::Shape;
pub use text::Text;

use text::Gather;

/// How deep a document may nest.
pub const MAX_DEPTH: usize = 256;

/// A scalar as it is told to a [`Sink`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, unparsed.
    Number(Number<'a>),
    /// A string, unescaped.
    Text(Text<'a>),
}

impl<'a> Value<'a> {
    /// The string, where it is one.
    pub fn text(self) -> Option<Text<'a>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number as a count: a whole number that is not negative, `12`, `12.0` and `1.2e1` alike.
    pub fn count(self) -> Option<u64> {
        match self {
            Self::Number(number) => number.count(),
            _ => None,
        }
    }
}

/// Receives what a shape named.
pub trait Sink<T> {
    /// A scalar at a place that carries a tag.
    fn value(&mut self, tag: T, value: Value<'_>);

    /// An object or array begins at a place that carries a tag.
    fn open(&mut self, tag: T) {
        let _ = tag;
    }

    /// It ends. `raw` is its JSON text, where the shape asked for it.
    fn close(&mut self, tag: T, raw: Option<Text<'_>>) {
        let _ = (tag, raw);
    }
}

/// Why a document cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// A byte that JSON does not allow there.
    Syntax,
    /// Deeper than [`MAX_DEPTH`].
    Depth,
    /// Something follows the document.
    Trailing,
    /// The input ended inside the document (from [`Skimmer::finish`] only).
    Truncated,
}

impl core::fmt::Display for JsonError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Syntax => "malformed JSON",
            Self::Depth => "JSON nested too deeply",
            Self::Trailing => "bytes after the JSON document",
            Self::Truncated => "JSON document cut short",
        })
    }
}

/// Reads documents of one shape.
#[derive(Debug)]
pub struct Skimmer<T: 'static> {
    root: &'static Shape<T>,
    /// Whether another document may follow the first.
    many: bool,
    expect: Expect,
    /// Shape of the value that comes next.
    next: Option<&'static Shape<T>>,
    stack: Vec<Frame<T>>,
    token: Token,
    gather: Gather,
    raw: RawCapture,
}

/// What the grammar allows next, between tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    ItemOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    Done,
}

/// A token that has begun.
#[derive(Clone, Copy, Debug)]
enum Token {
    None,
    Key,
    String,
    Number(number::State),
    /// What is missing of `true`, `false` or `null`, and what it means.
    Word(&'static [u8], Option<bool>),
}

#[derive(Debug)]
struct Frame<T: 'static> {
    shape: Option<&'static Shape<T>>,
    array: bool,
}

/// The raw text of one object or array, bounded.
#[derive(Debug, Default)]
struct RawCapture {
    bytes: Vec<u8>,
    cap: usize,
    len: u64,
    /// Stack height inside the container; 0 when none is captured.
    height: usize,
    /// Where in the current input the part not yet copied starts.
    from: usize,
}

/// What a document that is here whole tells a sink; one that is no JSON tells nothing.
pub fn skim<T: Copy, S: Sink<T> + Default>(root: &'static Shape<T>, document: &[u8]) -> S {
    let mut sink = S::default();
    match Skimmer::one(root).push(document, &mut sink) {
        Ok(()) => sink,
        Err(_) => S::default(),
    }
}

impl<T: Copy> Skimmer<T> {
    /// For exactly one document.
    pub fn one(root: &'static Shape<T>) -> Self {
        Self {
            root,
            many: false,
            expect: Expect::Value,
            next: Some(root),
            stack: Vec::new(),
            token: Token::None,
            gather: Gather::default(),
            raw: RawCapture::default(),
        }
    }

    /// For documents one after another, with or without space between them.
    pub fn many(root: &'static Shape<T>) -> Self {
        Self { many: true, ..Self::one(root) }
    }

    /// Starts over, keeping buffers.
    pub fn reset(&mut self) {
        self.expect = Expect::Value;
        self.next = Some(self.root);
        self.stack.clear();
        self.token = Token::None;
        self.gather.clear();
        self.raw.height = 0;
    }

    /// Whether nothing of a document has been seen since the start or the last [`reset`](Self::reset).
    pub fn untouched(&self) -> bool {
        self.expect == Expect::Value && self.stack.is_empty() && matches!(self.token, Token::None)
    }

    /// Reads on. After an error the skimmer must be reset before it is used again.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl Sink<T>) -> Result<(), JsonError> {
        self.raw.from = 0;
        let mut at = 0;
        while at < bytes.len() {
            at = match self.token {
                Token::None => self.structure(bytes, at, sink)?,
                Token::Key | Token::String => self.string(bytes, at, sink)?,
                Token::Number(state) => self.number(state, bytes, at, sink)?,
                Token::Word(missing, meaning) => self.word(missing, meaning, bytes, at, sink)?,
            };
        }
        if self.raw.height != 0 {
            self.raw.copy(&bytes[self.raw.from..]);
        }
        Ok(())
    }

    /// Ends the input: completes a number that stands alone, and says whether the document was whole.
    pub fn finish(&mut self, sink: &mut impl Sink<T>) -> Result<(), JsonError> {
        if let Token::Number(state) = self.token {
            self.end_number(state, &[], sink)?;
        }
        let empty_is_fine = self.many && self.untouched();
        if self.expect == Expect::Done || empty_is_fine { Ok(()) } else { Err(JsonError::Truncated) }
    }

    /// One byte between tokens.
    #[inline]
    fn structure(&mut self, bytes: &[u8], at: usize, sink: &mut impl Sink<T>) -> Result<usize, JsonError> {
        let byte = bytes[at];
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Ok(at + 1);
        }
        match (self.expect, byte) {
            (Expect::KeyOrEnd | Expect::Key, b'"') => {
                return Ok(self.key(bytes, at + 1, sink));
            }
            (Expect::Colon, b':') => self.expect = Expect::Value,
            (Expect::CommaOrEnd, b',') => self.comma(),
            (Expect::CommaOrEnd | Expect::KeyOrEnd, b'}') => self.close(false, bytes, at, sink)?,
            (Expect::CommaOrEnd | Expect::ItemOrEnd, b']') => self.close(true, bytes, at, sink)?,
            (Expect::Value | Expect::ItemOrEnd, _) => return self.value(bytes, at, sink),
            (Expect::Done, _) if self.many => {
                self.reset_for_next();
                return Ok(at);
            }
            (Expect::Done, _) => return Err(JsonError::Trailing),
            _ => return Err(JsonError::Syntax),
        }
        Ok(at + 1)
    }

    /// The first byte of a value.
    #[inline]
    fn value(&mut self, bytes: &[u8], at: usize, sink: &mut impl Sink<T>) -> Result<usize, JsonError> {
        match bytes[at] {
            b'"' => return Ok(self.text(bytes, at + 1, sink)),
            b'{' => self.open(false, at, sink)?,
            b'[' => self.open(true, at, sink)?,
            b't' => self.token = Token::Word(b"rue", Some(true)),
            b'f' => self.token = Token::Word(b"alse", Some(false)),
            b'n' => self.token = Token::Word(b"ull", None),
            b'-' | b'0'..=b'9' => {
                self.gather.start(self.next.and_then(Shape::kept).map(|_| number::MAX_LEN));
                if let Some(length) = number::plain(&bytes[at..]) {
                    self.end_number(number::State::Integer, &bytes[at..at + length], sink)?;
                    return Ok(self.comma_at(bytes, at + length));
                }
                return self.number(number::State::Start, bytes, at, sink);
            }
            _ => return Err(JsonError::Syntax),
        }
        Ok(at + 1)
    }

    fn open(&mut self, array: bool, at: usize, sink: &mut impl Sink<T>) -> Result<(), JsonError> {
        if self.stack.len() == MAX_DEPTH {
            return Err(JsonError::Depth);
        }
        let shape = self.next;
        self.stack.push(Frame { shape, array });
        if let Some(shape) = shape {
            if shape.raw > 0 && self.raw.height == 0 {
                self.raw.start(shape.raw, self.stack.len(), at);
            }
            if let Some(tag) = shape.tag {
                sink.open(tag);
            }
        }
        self.expect = if array { Expect::ItemOrEnd } else { Expect::KeyOrEnd };
        self.next = if array { shape.and_then(|shape| shape.items) } else { None };
        Ok(())
    }

    fn close(
        &mut self,
        array: bool,
        bytes: &[u8],
        at: usize,
        sink: &mut impl Sink<T>,
    ) -> Result<(), JsonError> {
        let height = self.stack.len();
        let frame = self.stack.pop().filter(|frame| frame.array == array).ok_or(JsonError::Syntax)?;
        let captured = self.raw.height == height;
        if captured {
            self.raw.copy(&bytes[self.raw.from..=at]);
            self.raw.height = 0;
        }
        if let Some(tag) = frame.shape.and_then(|shape| shape.tag) {
            sink.close(tag, captured.then(|| self.raw.text()));
        }
        self.value_done();
        Ok(())
    }

    fn comma(&mut self) {
        let Some(top) = self.stack.last() else { return };
        if top.array {
            self.expect = Expect::Value;
            self.next = top.shape.and_then(|shape| shape.items);
        } else {
            self.expect = Expect::Key;
        }
    }

    fn value_done(&mut self) {
        self.token = Token::None;
        self.expect = if self.stack.is_empty() { Expect::Done } else { Expect::CommaOrEnd };
    }

    fn reset_for_next(&mut self) {
        self.expect = Expect::Value;
        self.next = Some(self.root);
    }

    fn number(
        &mut self,
        mut state: number::State,
        bytes: &[u8],
        at: usize,
        sink: &mut impl Sink<T>,
    ) -> Result<usize, JsonError> {
        // What a cut had left of a number that is none is not a number when the input ends.
        let length = number::scan(&mut state, &bytes[at..]).inspect_err(|_| self.token = Token::None)?;
        let piece = &bytes[at..at + length];
        if at + length == bytes.len() {
            self.gather.plain(piece);
            self.token = Token::Number(state);
        } else {
            self.end_number(state, piece, sink)?;
        }
        Ok(at + length)
    }

    fn end_number(
        &mut self,
        state: number::State,
        last: &[u8],
        sink: &mut impl Sink<T>,
    ) -> Result<(), JsonError> {
        if !state.whole() {
            return Err(JsonError::Syntax);
        }
        if let Some(tag) = self.next.and_then(|shape| shape.tag) {
            sink.value(tag, Value::Number(Number::new(self.gather.end(last))));
        }
        self.value_done();
        Ok(())
    }

    fn word(
        &mut self,
        missing: &'static [u8],
        meaning: Option<bool>,
        bytes: &[u8],
        at: usize,
        sink: &mut impl Sink<T>,
    ) -> Result<usize, JsonError> {
        let take = missing.len().min(bytes.len() - at);
        if bytes[at..at + take] != missing[..take] {
            return Err(JsonError::Syntax);
        }
        if take < missing.len() {
            self.token = Token::Word(&missing[take..], meaning);
            return Ok(at + take);
        }
        if let Some(tag) = self.next.and_then(|shape| shape.tag) {
            sink.value(tag, meaning.map_or(Value::Null, Value::Bool));
        }
        self.value_done();
        Ok(at + take)
    }
}

impl RawCapture {
    fn start(&mut self, cap: usize, height: usize, at: usize) {
        self.bytes.clear();
        (self.cap, self.len, self.height, self.from) = (cap, 0, height, at);
    }

    fn copy(&mut self, piece: &[u8]) {
        let room = self.cap - self.bytes.len();
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        self.len += piece.len() as u64;
    }

    fn text(&self) -> Text<'_> {
        Text { bytes: &self.bytes, len: self.len, clipped: self.len > self.bytes.len() as u64 }
    }
}

#[cfg(test)]
mod tests;
