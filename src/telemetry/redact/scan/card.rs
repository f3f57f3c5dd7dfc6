//! Numbers of payment cards.

use std::ops::Range;

use super::is_word;

/// The next number that can be one of a card: 13 to 19 digits that begin with 3 to 6 and pass the check of ISO/IEC 7812
/// (Luhn), written together or in groups.
///
/// Every such number has four digits in a row, so only each fourth byte has to be looked at until one is a digit.
pub(super) fn find_card(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while at + 13 <= bytes.len() {
        let probe = at + 3;
        if !bytes[probe].is_ascii_digit() {
            at = probe + 1;
            continue;
        }
        let start = bytes[at..probe].iter().rposition(|b| !b.is_ascii_digit()).map_or(at, |gap| at + gap + 1);
        if let Some(end) = card(bytes, start) {
            return Some(start..end);
        }
        let group = bytes[probe..].iter().position(|b| !b.is_ascii_digit());
        at = group.map_or(bytes.len(), |length| probe + length);
    }
    None
}

/// Where the card's number that begins here ends; further groups behind it may be a date.
fn card(bytes: &[u8], start: usize) -> Option<usize> {
    let before = start.checked_sub(1).map(|at| bytes[at]);
    if before.is_some_and(|b| is_word(b) || b == b'.') || !(b'3'..=b'6').contains(&bytes[start]) {
        return None;
    }
    let (mut digits, mut count, mut found) = ([0; 19], 0, None);
    for (at, &byte) in bytes.iter().enumerate().skip(start) {
        let next = bytes.get(at + 1).copied().unwrap_or_default();
        match byte {
            digit if digit.is_ascii_digit() && count < digits.len() => {
                digits[count] = digit - b'0';
                count += 1;
                if count >= 13 && !is_word(next) && passes(&digits[..count]) {
                    found = Some(at + 1);
                }
            }
            b' ' | b'-' if next.is_ascii_digit() => {}
            _ => break,
        }
    }
    found
}

/// Luhn's check: every second digit from the right counts twice, and the sum of all digits is a multiple of ten.
fn passes(digits: &[u8]) -> bool {
    let counted = digits.iter().rev().enumerate().map(|(place, &digit)| match place % 2 {
        0 => digit,
        _ => digit * 2 / 10 + digit * 2 % 10,
    });
    counted.map(u32::from).sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        find_card(text.as_bytes(), 0).map(|range| &text[range])
    }

    #[test]
    fn cards_are_found_however_their_digits_are_grouped() {
        for number in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "5555-5555-5555-4444",
            "3782 822463 10005",
            "378282246310005",
        ] {
            for (before, after) in [
                ("", ""),
                ("card: ", "."),
                ("{\"n\":\"", "\"}"),
                ("12 ", "\n"),
                ("", " 12/27 123"),
                ("", " 5"),
                ("abcde=", "&"),
            ] {
                let text = format!("{before}{number}{after}");
                assert_eq!(found(&text), Some(number), "{text}");
            }
        }
    }

    #[test]
    fn other_numbers_are_left() {
        for text in [
            "4111111111111112",
            "1795313102123456",
            "0.4111111111111111",
            "x4111111111111111",
            "4111111111111111x",
            "41111111111111111111111111",
            "4111  1111  1111  1111",
            "2026-11-22 05:13:37",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
