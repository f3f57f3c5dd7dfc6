//! Strings as they are gathered: unescaped, measured, kept as far as somebody asked.

use std::borrow::Cow;

use super::JsonError;

/// A string or the text of a container: what was kept of it, and how long it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The bytes kept, UTF-8 unless the sender was wrong.
    pub bytes: &'a [u8],
    /// Length of the whole, in bytes of UTF-8.
    pub len: u64,
    /// Whether `bytes` is only the beginning.
    pub clipped: bool,
}

impl<'a> Text<'a> {
    /// A text that stands whole in the input; `cap` bytes of it are kept.
    #[inline]
    pub(super) fn whole(bytes: &'a [u8], cap: usize) -> Self {
        let kept = bytes.len().min(cap);
        Self { bytes: &bytes[..kept], len: bytes.len() as u64, clipped: kept < bytes.len() }
    }

    /// The text kept; a character that the clip cut in two is left out, wrong bytes are replaced.
    pub fn lossy(self) -> Cow<'a, str> {
        let bytes = if self.clipped { whole_characters(self.bytes) } else { self.bytes };
        // The strict check is several times faster than the lossy one, and nearly always enough.
        std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
    }
}

/// Leaves out a character that the end cuts in two.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

/// Gathers one string or number at a time.
#[derive(Debug, Default)]
pub(super) struct Gather {
    kept: Vec<u8>,
    /// `None`: only the grammar is watched.
    cap: Option<usize>,
    len: u64,
    escape: Escape,
    /// A high surrogate that waits for its low one; 0 when none does.
    high: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Backslash,
    Hex {
        unit: u16,
        digits: u8,
    },
}

impl Gather {
    #[inline]
    pub(super) fn start(&mut self, cap: Option<usize>) {
        self.kept.clear();
        self.cap = cap;
        self.len = 0;
        self.high = 0;
    }

    pub(super) fn clear(&mut self) {
        self.start(None);
        self.escape = Escape::None;
    }

    #[inline]
    pub(super) fn escaping(&self) -> bool {
        self.escape != Escape::None
    }

    pub(super) fn begin_escape(&mut self) {
        self.escape = Escape::Backslash;
    }

    /// Bytes without escapes.
    #[inline]
    pub(super) fn plain(&mut self, piece: &[u8]) {
        if self.cap.is_some() && !piece.is_empty() {
            self.flush_surrogate();
            self.keep(piece);
        }
    }

    /// One byte of an escape.
    pub(super) fn escape(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.escape {
            Escape::Hex { unit, digits } => self.hex(unit, digits, byte),
            _ if byte == b'u' => {
                self.escape = Escape::Hex { unit: 0, digits: 0 };
                Ok(())
            }
            _ => {
                let meant = short_escape(byte).ok_or(JsonError::Syntax)?;
                self.escape = Escape::None;
                self.plain(&[meant]);
                Ok(())
            }
        }
    }

    /// The whole string; `last` is its end, not gathered before.
    #[inline]
    pub(super) fn end<'a>(&'a mut self, last: &'a [u8]) -> Text<'a> {
        let cap = self.cap.unwrap_or(0);
        if self.len == 0 && self.high == 0 {
            return Text::whole(last, cap);
        }
        self.flush_surrogate();
        self.keep(last);
        Text { bytes: &self.kept, len: self.len, clipped: self.len > self.kept.len() as u64 }
    }

    fn hex(&mut self, unit: u16, digits: u8, byte: u8) -> Result<(), JsonError> {
        let digit = char::from(byte).to_digit(16).ok_or(JsonError::Syntax)? as u16;
        let unit = unit << 4 | digit;
        if digits < 3 {
            self.escape = Escape::Hex { unit, digits: digits + 1 };
        } else {
            self.escape = Escape::None;
            self.code_unit(unit);
        }
        Ok(())
    }

    fn code_unit(&mut self, unit: u16) {
        if self.cap.is_none() {
            return;
        }
        if let (0xDC00..=0xDFFF, high @ 1..) = (unit, self.high) {
            self.high = 0;
            let code = 0x1_0000 + (u32::from(high - 0xD800) << 10) + u32::from(unit - 0xDC00);
            return self.character(char::from_u32(code));
        }
        self.flush_surrogate();
        if (0xD800..=0xDBFF).contains(&unit) {
            self.high = unit;
        } else {
            self.character(char::from_u32(u32::from(unit)));
        }
    }

    fn flush_surrogate(&mut self) {
        if self.high != 0 {
            self.high = 0;
            self.character(None);
        }
    }

    fn character(&mut self, character: Option<char>) {
        let mut buffer = [0; 4];
        let encoded = character.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut buffer);
        self.keep(encoded.as_bytes());
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = self.cap.unwrap_or(0).saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
        self.len += piece.len() as u64;
    }
}

fn short_escape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}
