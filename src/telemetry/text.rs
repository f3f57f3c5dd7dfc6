//! Texts on their way out: JSON strings from any bytes, and control characters made harmless for terminals (P36).

use std::borrow::Cow;
use std::fmt::Write;

/// Appends `bytes` as a JSON string. What is no UTF-8 becomes U+FFFD.
pub fn json_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else if bytes.is_ascii() {
        json_escaped(bytes, out);
    } else {
        json_escaped(String::from_utf8_lossy(bytes).as_bytes(), out);
    }
    out.push(b'"');
}

/// Whether JSON takes the bytes as they are, and a terminal too.
#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler looks at many bytes at once")]
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, b| plain & (b' '..=b'~').contains(b) & (*b != b'"') & (*b != b'\\'))
}

/// Whether the bytes are nothing but ASCII that shows.
fn is_visible(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |visible, b| visible & (b' '..=b'~').contains(b))
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

/// Appends a text as a JSON string in which everything is escaped that [`printable`] would escape.
pub fn json_text(text: &str, out: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        let json = serde_json::to_string(text).expect("a text has a JSON form");
        out.extend_from_slice(printable_json(json).as_bytes());
    }
}

/// Appends JSON as one line that may be printed. Between its strings control characters can only be space.
pub fn json_line(json: &str, out: &mut Vec<u8>) {
    if is_visible(json.as_bytes()) {
        out.extend_from_slice(json.as_bytes());
    } else {
        let line = json.replace(['\n', '\r', '\t'], " ");
        out.extend_from_slice(printable_json(line).as_bytes());
    }
}

/// The text with everything escaped that could move a cursor, hide or reorder what a person sees: control
/// characters, and Unicode's direction marks, line separators, tags, and what has no width and joins nothing.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !holds(text, is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// JSON with what [`printable`] would escape written as `\u…`: such characters stand in strings only, but for the line
/// feeds between them.
pub fn printable_json(json: String) -> String {
    if !holds(&json, |c| c != '\n' && is_unsafe(c)) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a String does not fail");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a text holds such a character, which ASCII that shows never is: most parts need no look at each.
fn holds(mut text: &str, such: impl Fn(char) -> bool) -> bool {
    while !text.is_empty() {
        let (part, rest) = text.split_at(text.floor_char_boundary(64));
        if !is_visible(part.as_bytes()) && part.chars().any(&such) {
            return true;
        }
        text = rest;
    }
    false
}

fn is_unsafe(c: char) -> bool {
    let is_visible = (' '..='~').contains(&c); // most are, and need no look at the ranges below
    !is_visible
        && (c.is_control()
            || matches!(
                c,
                '\u{61c}'
                    | '\u{180e}'
                    | '\u{200b}'
                    | '\u{200e}'
                    | '\u{200f}'
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{feff}'
                    | '\u{fff9}'..='\u{fffb}'
                    | '\u{e0000}'..='\u{e007f}'
            ))
}

/// Appends bytes in lower-case hex.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Unix microseconds as `2026-11-22T02:05:02.123Z`.
pub fn utc(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (seconds, ms) = (of_day / 1_000_000, of_day / 1000 % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The date of a day counted from 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(1_795_313_102_123_456), "2026-11-22T02:05:02.123Z");
        assert_eq!(utc(951_782_400_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn p36_control_bytes_never_reach_a_terminal() {
        assert_eq!(
            printable("a\x1b[31mb\r\n\u{9b}c\u{202e}d\x7f\u{61c}"),
            "a\\u{1b}[31mb\\r\\n\\u{9b}c\\u{202e}d\\u{7f}\\u{61c}"
        );
        assert_eq!(printable("plain é 漢 👩\u{200d}🔬"), "plain é 漢 👩\u{200d}🔬");
        for hidden in ['\u{61c}', '\u{200b}', '\u{2060}', '\u{2066}', '\u{feff}', '\u{fff9}', '\u{e0041}'] {
            assert_eq!(printable(&hidden.to_string()), hidden.escape_default().to_string());
        }
    }

    #[test]
    fn p36_json_holds_no_control_characters_and_says_the_same() {
        let text = "a\x1b[2J\x7f\u{9b}2J\u{202e}\u{feff}\u{e0041}é\n";
        for json in [serde_json::to_string(&[text]), serde_json::to_string_pretty(&[text])] {
            let safe = printable_json(json.expect("JSON"));
            assert!(!safe.chars().any(|c| c != '\n' && is_unsafe(c)), "{safe}");
            assert_eq!(serde_json::from_str::<[String; 1]>(&safe).expect("JSON"), [text]);
        }
    }

    #[test]
    fn p36_short_cuts_for_plain_texts_say_what_the_long_way_says() {
        for length in 0..150 {
            for c in ['x', '"', '\\', '\x1b', '\x7f', '\n', '·', '漢', '\u{9b}', '\u{202e}', '\u{e0041}'] {
                let text = format!("{}{c}é", "a".repeat(length));
                let escaped: String = text
                    .chars()
                    .map(|c| if is_unsafe(c) { c.escape_default().collect() } else { c.to_string() })
                    .collect();
                assert_eq!(printable(&text), escaped);
                let mut json = Vec::new();
                json_text(&text, &mut json);
                assert_eq!(serde_json::from_slice::<String>(&json).expect("JSON"), text);
                assert!(!str::from_utf8(&json).expect("UTF-8").chars().any(is_unsafe), "{text:?}");
            }
        }
    }

    #[test]
    fn p36_json_becomes_one_line() {
        let json = "{\r\n\t\"a\": \"é\u{202e}\\n\",\n\t\"b\": [1]\n}";
        let mut line = Vec::new();
        json_line(json, &mut line);
        assert!(!str::from_utf8(&line).expect("UTF-8").chars().any(is_unsafe));
        let [before, after] = [json.as_bytes(), &line].map(serde_json::from_slice::<serde_json::Value>);
        assert_eq!(before.expect("JSON"), after.expect("JSON"));
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
