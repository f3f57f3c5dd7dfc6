//! Numbers: the grammar of RFC 8259 §6 as a small machine, and counts read from them.

use super::{JsonError, Text};

/// Longest number of which the whole text is kept.
pub(super) const MAX_LEN: usize = 64;

/// A number's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    text: Text<'a>,
}

impl<'a> Number<'a> {
    pub(super) fn new(text: Text<'a>) -> Self {
        Self { text }
    }

    /// As a count: whole, not negative, and at most `i64::MAX`, which is what a ledger holds. `12.0` and `1.2e1` are 12
    /// (some providers send counts as floats).
    pub fn count(self) -> Option<u64> {
        let text = self.text()?;
        if let Ok(count) = text.parse::<u64>() {
            return Some(count).filter(|count| i64::try_from(*count).is_ok());
        }
        // Exact up to 2^53, far beyond any count of tokens.
        let value: f64 = text.parse().ok()?;
        (value >= 0.0 && value.fract() == 0.0 && value < 9e15).then_some(value as u64)
    }

    /// As a float.
    pub fn float(self) -> Option<f64> {
        self.text()?.parse().ok().filter(|value: &f64| value.is_finite())
    }

    /// The number as it was written; `None` where it was too long to be kept.
    pub fn text(self) -> Option<&'a str> {
        if self.text.clipped { None } else { std::str::from_utf8(self.text.bytes).ok() }
    }
}

/// How far into a number the input has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Start,
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl State {
    /// Whether a number may end here.
    pub(super) fn whole(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }

    /// The state after one more byte, `None` when the byte is not part of the number.
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start, b'-') => Self::Minus,
            (Self::Start | Self::Minus, b'0') => Self::Zero,
            (Self::Start | Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => Self::ExponentDigits,
            _ => return None,
        })
    }
}

/// Moves `state` over the bytes that belong to the number and says how many do.
pub(super) fn scan(state: &mut State, bytes: &[u8]) -> Result<usize, JsonError> {
    for (at, &byte) in bytes.iter().enumerate() {
        match state.next(byte) {
            Some(next) => *state = next,
            None if state.whole() => return Ok(at),
            None => return Err(JsonError::Syntax),
        }
    }
    Ok(bytes.len())
}
