//! Finds secrets: keys by the forms that their issuers gave them, and, in texts, private keys, bearer tokens, userinfo
//! of URLs, and values that are assigned to secret names in JSON, forms, headers and settings.
//!
//! It is a filter for accidents, not a proof: a secret without a form, under a harmless name, is not found, nor one that
//! a text spells in pieces. All of it is linear in the text, whatever that holds.

mod assigned;
mod card;
mod key;
mod url;

use std::ops::Range;

use memchr::memmem;

use assigned::{find_assigned, find_part};
use card::find_card;
pub(super) use key::find_key;
use url::find_parameter;
pub(super) use url::{Decoded, percent_decoded};

/// Finds the next secret at or after an offset.
type Find = fn(&[u8], usize) -> Option<Range<usize>>;

/// The secrets of a text in order, none of them inside another.
///
/// Each kind is looked for once and again only from where the secrets before have ended, so that many secrets of one
/// kind do not make the others be searched as often.
pub(super) struct Secrets<'t, const N: usize> {
    text: &'t [u8],
    kinds: [Find; N],
    next: [Option<Range<usize>>; N],
}

/// Known kinds of keys.
pub(super) fn keys(text: &[u8]) -> Secrets<'_, 1> {
    Secrets::new(text, [find_key])
}

/// What is looked for in paths. A colon assigns nothing there: `/v1/keys/my-key:rotate`.
pub(super) fn in_path(path: &[u8]) -> Secrets<'_, 3> {
    Secrets::new(path, [find_key, find_parameter, find_userinfo])
}

/// What is looked for in names and values of queries: another URL, a form or JSON may stand there.
pub(super) fn in_query(text: &[u8]) -> Secrets<'_, 4> {
    Secrets::new(text, [find_key, find_assigned, find_bearer, find_userinfo])
}

/// What is looked for in texts of guests and origins.
pub(super) fn in_text(text: &[u8]) -> Secrets<'_, 6> {
    Secrets::new(text, [find_key, find_pem, find_assigned, find_part, find_bearer, find_userinfo])
}

/// What is looked for in bodies: numbers of payment cards too.
pub(super) fn in_body(text: &[u8]) -> Secrets<'_, 7> {
    Secrets::new(text, [find_key, find_pem, find_assigned, find_part, find_bearer, find_userinfo, find_card])
}

impl<'t, const N: usize> Secrets<'t, N> {
    fn new(text: &'t [u8], kinds: [Find; N]) -> Self {
        Self { text, kinds, next: kinds.map(|find| find(text, 0)) }
    }
}

impl<const N: usize> Iterator for Secrets<'_, N> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let found = self.next.iter().flatten().min_by_key(|range| range.start)?.clone();
        for (find, next) in self.kinds.iter().zip(&mut self.next) {
            if next.as_ref().is_some_and(|next| next.start < found.end) {
                *next = find(self.text, found.end);
            }
        }
        Some(found)
    }
}

/// A private key in PEM, to its end or to the end of what is there.
fn find_pem(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let start = at + memmem::find(&bytes[at..], b"-----BEGIN ")?;
        let head = &bytes[start..bytes.len().min(start + 64)];
        if memmem::find(head, b"PRIVATE KEY").is_some() {
            let end = memmem::find(&bytes[start..], b"-----END ").map_or(bytes.len(), |at| start + at);
            return Some(start..end);
        }
        at = start + 11;
    }
}

/// The shortest token that is one by the word `Bearer` alone.
const BEARER: usize = 16;

/// The token after `Bearer` (RFC 6750 §2.1).
fn find_bearer(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let start = at + memmem::find(&bytes[at..], b"earer ")? + 6;
        let is_token = |b: &u8| is_word(*b) || b"-.~+/=".contains(b);
        let length = bytes[start..].iter().position(|b| !is_token(b)).unwrap_or(bytes.len() - start);
        if length >= BEARER {
            return Some(start..start + length);
        }
        at = start + length;
    }
}

/// The longest userinfo that is looked for.
const USERINFO: usize = 512;

/// `user:password` in `scheme://user:password@host`; a name alone is no secret.
fn find_userinfo(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let start = at + memmem::find(&bytes[at..], b"://")? + 3;
        let window = &bytes[start..bytes.len().min(start + USERINFO)];
        let end = window.iter().position(|b| b"/?# \t\r\n\"'<>\\`".contains(b)).unwrap_or(window.len());
        if let Some(length) = memchr::memrchr(b'@', &window[..end])
            && memchr::memchr(b':', &window[..length]).is_some()
            && !is_hash(&window[..length])
        {
            return Some(start..start + length);
        }
        at = start;
    }
}

/// Whether this stands where a secret was already.
fn is_hash(text: &[u8]) -> bool {
    text.strip_prefix(b"hmac:").is_some_and(|hash| hash.len() == 16 && hash.iter().all(u8::is_ascii_hexdigit))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        in_body(text.as_bytes()).map(|range| &text[range]).collect()
    }

    #[test]
    fn a_private_key_is_taken_to_its_end() {
        let text = "a -----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----";
        assert_eq!(found(text), ["-----BEGIN EC PRIVATE KEY-----\nabc\n"]);
        assert_eq!(found("-----BEGIN CERTIFICATE-----\nabc"), [""; 0]);
        assert_eq!(found("-----BEGIN PRIVATE KEY-----\ncut"), ["-----BEGIN PRIVATE KEY-----\ncut"]);
        assert_eq!(found(&"-----BEGIN ".repeat(40_000)), [""; 0]);
    }

    #[test]
    fn a_bearer_token_needs_no_name_before_it() {
        assert_eq!(found("use Bearer 0123456789abcdef+/= here"), ["0123456789abcdef+/="]);
        assert_eq!(found("the bearer of bad news"), [""; 0]);
    }

    #[test]
    fn passwords_in_urls_are_found_and_names_are_left() {
        assert_eq!(found("postgres://me:pa%40ss@db.test/x and ssh://git@x.test/"), ["me:pa%40ss"]);
        assert_eq!(found(r#"{"u":"https://a:b@x.test","v":"https://x.test/@a:b"}"#), ["a:b"]);
        assert_eq!(found("https://hmac:0123456789abcdef@x.test"), [""; 0]);
    }

    #[test]
    fn secrets_come_in_order_and_never_twice() {
        let text =
            "a sk-ant-api03-abcdefghijklmnop b password=hunter2 c token=sk-ant-api03-abcdefghijklmnop d";
        assert_eq!(
            found(text),
            ["sk-ant-api03-abcdefghijklmnop", "hunter2", "sk-ant-api03-abcdefghijklmnop"]
        );
    }

    #[test]
    fn texts_made_to_be_slow_are_not() {
        for piece in
            ["a=", "token=", "token=hmac:", "token=\"", "-eyJ", "1111 ", "bot1", "://a:", "Bearer ", "=\\"]
        {
            let text = piece.repeat((256 << 10) / piece.len());
            assert!(in_body(text.as_bytes()).count() <= text.len(), "{piece}");
        }
    }
}
