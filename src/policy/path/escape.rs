//! Percent-encoded octets: which may stand in a path, and what they mean (RFC 3986 §2.1 to §2.4).

/// Checks the escape that `text` begins with, with the further octets of its UTF-8 character; gives its length.
pub(super) fn check(text: &[u8]) -> Result<usize, &'static str> {
    let Some(octet) = octet(text) else {
        return Err("has a percent sign that encodes nothing");
    };
    match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            Err("encodes a character that needs no encoding")
        }
        b'/' => Err("encodes a slash"),
        b'\\' => Err("encodes a backslash"),
        b';' => Err("encodes a semicolon"),
        b'%' if is_pair(&text[3..]) => Err("is encoded twice"),
        0..b' ' | 0x7f => Err("encodes a control byte"),
        0x80.. => character(octet, text),
        _ => Ok(3),
    }
}

/// The bytes that a checked segment stands for.
pub(super) fn decoded(segment: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = segment;
    core::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let escaped = octet(rest);
        rest = if escaped.is_some() { &rest[3..] } else { after };
        Some(escaped.unwrap_or(first))
    })
}

/// What follows the first character of a checked segment, escaped or not.
pub(super) fn skip(segment: &[u8]) -> &[u8] {
    match octet(segment) {
        Some(_) => &segment[3..],
        None => segment.get(1..).unwrap_or_default(),
    }
}

/// The octet that `text` begins with, if it begins with an escape.
fn octet(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

/// A whole UTF-8 character in escapes: overlong forms are how `/` and `.` hide from a filter.
fn character(first: u8, text: &[u8]) -> Result<usize, &'static str> {
    let bad = "encodes bytes that are no UTF-8";
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Err(bad),
    };
    let mut bytes = [0; 4];
    for (index, slot) in bytes[..length].iter_mut().enumerate() {
        *slot = text.get(3 * index..).and_then(octet).ok_or(bad)?;
    }
    core::str::from_utf8(&bytes[..length]).map(|_| 3 * length).map_err(|_| bad)
}

fn is_pair(text: &[u8]) -> bool {
    matches!(text, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|value| value as u8)
}
