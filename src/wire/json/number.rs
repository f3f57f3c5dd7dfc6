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
        if let Some(count) = self.text.bytes.iter().copied().try_fold(0, digit).filter(|_| self.is_short()) {
            return Some(count);
        }
        let text = self.text()?;
        if let Ok(count) = text.parse::<u64>() {
            return Some(count).filter(|count| i64::try_from(*count).is_ok());
        }
        // Exact up to 2^53, far beyond any count of tokens.
        let value: f64 = text.parse().ok()?;
        (value >= 0.0 && value.fract() == 0.0 && value < 9e15).then_some(value as u64)
    }

    /// Whether it has a digit, and too few of them for a sum of them to overflow.
    fn is_short(self) -> bool {
        (1..=18).contains(&self.text.bytes.len()) && !self.text.clipped
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

/// Appends a digit to a count; `None` where it is none.
fn digit(count: u64, byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| count.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')))
}

/// The length of a number that is nothing but digits and ends before `bytes` do.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends = !matches!(bytes.get(digits), None | Some(b'.' | b'e' | b'E'));
    let first = *bytes.first()?;
    (ends && digits > 0 && (digits == 1 || first != b'0')).then_some(digits)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Option<u64> {
        Number::new(Text::whole(text.as_bytes(), MAX_LEN)).count()
    }

    #[test]
    fn counts_are_whole_and_fit_a_ledger() {
        let cases = [
            ("0", Some(0)),
            ("12", Some(12)),
            ("999999999999999999", Some(999_999_999_999_999_999)),
            ("1000000000000000000", Some(1_000_000_000_000_000_000)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
            ("12.0", Some(12)),
            ("1.2e1", Some(12)),
            ("9e15", None),
            ("12.5", None),
            ("-1", None),
            ("1e999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text), expected, "{text}");
        }
        assert_eq!(count(&"1".repeat(MAX_LEN + 1)), None, "clipped");
    }

    #[test]
    fn plain_numbers_are_digits_that_end_before_the_input_does() {
        for (text, length) in [
            ("0,", Some(1)),
            ("12}", Some(2)),
            ("1x", Some(1)),
            ("12", None),
            ("01,", None),
            ("1.5,", None),
            ("1e5,", None),
            ("-1,", None),
            ("", None),
        ] {
            assert_eq!(plain(text.as_bytes()), length, "{text}");
        }
    }
}
