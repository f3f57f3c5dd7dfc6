//! Texts on their way out: JSON strings from any bytes, and control characters made harmless for terminals (P36).

use std::borrow::Cow;

/// Appends `bytes` as a JSON string. What is no UTF-8 becomes U+FFFD.
pub fn json_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if bytes.iter().fold(true, |plain, &b| plain & (b >= b' ') & (b < 0x80) & (b != b'"') & (b != b'\\')) {
        out.extend_from_slice(bytes);
    } else if bytes.is_ascii() {
        json_escaped(bytes, out);
    } else {
        json_escaped(String::from_utf8_lossy(bytes).as_bytes(), out);
    }
    out.push(b'"');
}

fn json_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[done..at]);
        done = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&bytes[done..]);
}

/// The text with everything escaped that could move a cursor, hide or reorder what a person sees: control
/// characters, and Unicode's direction marks and line separators.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p36_control_bytes_never_reach_a_terminal() {
        assert_eq!(
            printable("a\x1b[31mb\r\n\u{9b}c\u{202e}d\x7f"),
            "a\\u{1b}[31mb\\r\\n\\u{9b}c\\u{202e}d\\u{7f}"
        );
        assert_eq!(printable("plain é 漢"), "plain é 漢");
    }

    #[test]
    fn any_bytes_become_a_json_string() {
        for bytes in [&b""[..], b"\"\\\n\0\x1f", "é\u{2028}".as_bytes(), b"\xff\xfe", b"plain"] {
            let mut out = Vec::new();
            json_string(bytes, &mut out);
            let back: String = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(back, String::from_utf8_lossy(bytes));
        }
    }
}
