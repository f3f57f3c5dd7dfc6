//! Values that are assigned to secret names: in JSON (also inside a string), forms, headers, settings, and the parts
//! of a multipart form.

use std::ops::Range;

use memchr::memmem;

use super::{is_hash, is_word};
use crate::telemetry::redact::names::smells_of_secret;

/// The shortest value that is a secret by its name.
const SHORTEST: usize = 4;

/// The next value that is assigned to a secret name (`"name": "value"`, `name=value`).
pub(super) fn find_assigned(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while let Some(found) = memchr::memchr2(b'=', b':', &bytes[at..]) {
        let sign = at + found;
        if is_secret_name(bytes, sign) {
            let value = value_after(bytes, sign + 1);
            if value.len() >= SHORTEST && !is_hash(&bytes[value.clone()]) {
                return Some(value);
            }
        }
        at = sign + 1;
    }
    None
}

/// The longest name that is looked at; longer ones are no names.
const NAME: usize = 64;

/// Whether the word before an assignment sign, quotes and spaces left out, says that a secret follows.
fn is_secret_name(bytes: &[u8], sign: usize) -> bool {
    let window = &bytes[sign.saturating_sub(2 * NAME)..sign];
    let quotes = |b: &u8| matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b']');
    let Some(last) = window.iter().rposition(|b| !quotes(b)) else { return false };
    let start = window[..=last].iter().rposition(|&b| !is_word(b) && b != b'-').map_or(0, |at| at + 1);
    let name = &window[start..=last];
    let escaped = start > 0 && window[start - 1] == b'\\' && matches!(name.first(), Some(b'n' | b'r' | b't'));
    smells_of_secret(name) || (escaped && smells_of_secret(&name[1..]))
}

/// The value after an assignment sign: a quoted string, or a word, or two where the first is an HTTP scheme.
fn value_after(bytes: &[u8], after: usize) -> Range<usize> {
    let value = word_after(bytes, after);
    let word = &bytes[value.clone()];
    if [&b"bearer"[..], b"basic", b"token"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
        return value.start..word_after(bytes, value.end).end;
    }
    value
}

fn word_after(bytes: &[u8], after: usize) -> Range<usize> {
    let skip =
        |from: usize, skipped: &[u8]| from + bytes[from..].iter().take_while(|b| skipped.contains(b)).count();
    let start = skip(after, b" \t>");
    let quote = skip(start, b"\\");
    if let Some(&mark @ (b'"' | b'\'')) = bytes.get(quote) {
        return quote + 1..closing(bytes, quote + 1, mark, quote - start);
    }
    let ends = |b: &u8| b" \t\r\n&,;{}[]\"'\\<>`".contains(b);
    start..start + bytes[start..].iter().position(ends).unwrap_or(bytes.len() - start)
}

/// Where a quoted string ends: before a quote that is escaped as the one that began it, or at the end of the line. Two
/// backslashes stand for one, so those before a quote are counted by what one of them takes at this depth.
fn closing(bytes: &[u8], start: usize, mark: u8, escapes: usize) -> usize {
    let mut backslashes = 0;
    for (at, &byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'\\' => backslashes += 1,
            b'\n' | b'\r' => return at,
            _ if byte == mark && (backslashes < escapes || backslashes % (2 * escapes + 2) == escapes) => {
                return at - backslashes.min(escapes);
            }
            _ => backslashes = 0,
        }
    }
    bytes.len()
}

/// How far a part's header may reach.
const HEADER: usize = 512;

/// The content of the next part of a multipart form with a secret name (RFC 7578 §4.2).
pub(super) fn find_part(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let start = at + memmem::find(&bytes[at..], b"form-data;")? + 10;
        at = start;
        let header = &bytes[start..bytes.len().min(start + HEADER)];
        let Some(length) = memmem::find(header, b"\r\n\r\n") else { continue };
        let content = start + length + 4;
        if !part_name(&header[..length]).is_some_and(smells_of_secret) {
            continue;
        }
        let end = memmem::find(&bytes[content..], b"\r\n--").map_or(bytes.len(), |end| content + end);
        if end - content >= SHORTEST {
            return Some(content..end);
        }
    }
}

fn part_name(header: &[u8]) -> Option<&[u8]> {
    let name = &header[memmem::find(header, b" name=")? + 6..];
    match name.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|b| *b == b'"').next(),
        None => name.split(|b| matches!(b, b';' | b'\r')).next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_found_in_json_forms_and_lines() {
        for (text, value) in [
            (r#"{"a":1,"api_key" : "abcd ef","b":2}"#, "abcd ef"),
            (r#"{\"token\":\"abcdef\"}"#, "abcdef"),
            (r#"{"text":"{\"password\": \"ab cd\", \"x\": 1}"}"#, "ab cd"),
            (r#"{"password":"a\"bcdef","b":2}"#, r#"a\"bcdef"#),
            (r#"{"password":"abcd\\","b":2}"#, r"abcd\\"),
            (r#"{"t":"{\"password\":\"ab\\\"cd\"}"}"#, r#"ab\\\"cd"#),
            ("a=1&password=abcdef&b=2", "abcdef"),
            ("Authorization: Bearer abcdef\r\nx", "Bearer abcdef"),
            (r#"{"log":"a\npwd=abcdef\nb"}"#, "abcdef"),
            (r#"{"token":null,"max_tokens":12345}"#, "null"),
            ("'secret' => 'abcdef'", "abcdef"),
            ("config['password'] = 'abcdef'", "abcdef"),
            (
                "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            ),
        ] {
            let found = find_assigned(text.as_bytes(), 0).map(|range| &text[range]);
            assert_eq!(found, Some(value), "{text}");
        }
        for text in
            ["https://x.test/a:b=c", "token=hmac:0123456789abcdef", "pin=123", "max_tokens: 12345", "==::"]
        {
            assert_eq!(find_assigned(text.as_bytes(), 0), None, "{text}");
        }
    }

    #[test]
    fn parts_of_forms_with_secret_names_are_found() {
        let form = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n12345\r\n--x\r\n\
            Content-Disposition: form-data; name=\"password\"\r\nX: y\r\n\r\nhunter 2\r\n--x--\r\n";
        assert_eq!(find_part(form.as_bytes(), 0).map(|range| &form[range]), Some("hunter 2"));
        assert_eq!(find_part(&form.as_bytes()[..120], 0), None);
    }
}
