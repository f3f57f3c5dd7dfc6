//! Secrets in parts of URLs, percent-encoded or not: parameters of path segments (RFC 3986 §3.3), and the text that
//! other finders look at.

use std::borrow::Cow;
use std::ops::Range;

use crate::telemetry::redact::names::smells_of_secret_in_query;

/// A part of a URL with its percent-encoding undone once, and where each byte of that came from.
pub(in crate::telemetry::redact) struct Decoded<'t> {
    plain: Cow<'t, [u8]>,
    /// The places of the bytes and of the end; empty where nothing was encoded.
    places: Vec<usize>,
}

impl<'t> Decoded<'t> {
    pub(in crate::telemetry::redact) fn new(raw: &'t [u8]) -> Self {
        if memchr::memchr(b'%', raw).is_none() {
            return Self { plain: Cow::Borrowed(raw), places: Vec::new() };
        }
        let (mut plain, mut places) = (Vec::with_capacity(raw.len()), Vec::with_capacity(raw.len() + 1));
        let mut at = 0;
        while at < raw.len() {
            places.push(at);
            let decoded = percent_decoded(&raw[at..]);
            plain.push(decoded.unwrap_or(raw[at]));
            at += if decoded.is_some() { 3 } else { 1 };
        }
        places.push(raw.len());
        Self { plain: Cow::Owned(plain), places }
    }

    pub(in crate::telemetry::redact) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Where a range of the plain bytes stands in what was given.
    pub(in crate::telemetry::redact) fn place(&self, range: Range<usize>) -> Range<usize> {
        if self.places.is_empty() { range } else { self.places[range.start]..self.places[range.end] }
    }
}

/// The byte that `%XX` at the start stands for.
pub(in crate::telemetry::redact) fn percent_decoded(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    match bytes {
        [b'%', high, low, ..] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    }
}

/// The longest name that is looked at; longer ones are no names.
const NAME: usize = 64;

/// The next value of a parameter with a secret name, as in `/a;token=value/b`.
pub(super) fn find_parameter(path: &[u8], from: usize) -> Option<Range<usize>> {
    let ends = |b: &u8| b"/;&?#".contains(b);
    let mut at = from;
    loop {
        let start = at + memchr::memchr(b'=', &path[at..])? + 1;
        let before = &path[(start - 1).saturating_sub(NAME)..start - 1];
        let name = before.iter().rposition(ends).map_or(before, |end| &before[end + 1..]);
        let length = path[start..].iter().position(ends).unwrap_or(path.len() - start);
        if length > 0 && smells_of_secret_in_query(name) {
            return Some(start..start + length);
        }
        at = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_of_what_was_decoded_has_its_place() {
        let raw = b"a%3Ab%zz%4";
        let decoded = Decoded::new(raw);
        assert_eq!(decoded.plain(), b"a:b%zz%4");
        assert_eq!(decoded.place(1..3), 1..5);
        assert_eq!(decoded.place(0..8), 0..raw.len());
        assert_eq!(Decoded::new(b"plain").place(1..2), 1..2);
    }

    #[test]
    fn parameters_of_segments_are_found() {
        for (path, value) in [
            ("/a;password=hunter2/b", Some("hunter2")),
            ("/a;x=1;token=hunter2;y=2", Some("hunter2")),
            ("/token=/b", None),
            ("/v1/models/my-key:rotate", None),
            ("/a;monkeys=3", None),
        ] {
            assert_eq!(find_parameter(path.as_bytes(), 0).map(|range| &path[range]), value, "{path}");
        }
    }
}
