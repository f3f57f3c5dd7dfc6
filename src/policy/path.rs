//! The path that rules see, and the paths that have more than one reading (P10, LESSONS 24).
//!
//! A [`Normal`] path means the same to an origin that decodes early and to one that decodes late: it may hold
//! percent-encoded octets, but none that could turn into structure or that needed no encoding. Whatever else comes
//! is named by [`ambiguous`] and refused on hosts with path rules; nothing is ever rewritten.

mod escape;
mod pattern;

pub use pattern::{PathPattern, PatternError};

/// A path without its query whose segments every origin reads the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normal<'a> {
    raw: &'a [u8],
}

impl<'a> Normal<'a> {
    /// Takes a path as it stands in the request, without the query.
    ///
    /// The error is a phrase that says how the raw and the normalised path differ.
    pub fn parse(raw: &'a [u8]) -> Result<Self, &'static str> {
        match ambiguous(raw) {
            Some(how) => Err(how),
            None => Ok(Self { raw }),
        }
    }

    /// The segments as they were sent, without the slash before each. `*` (of `OPTIONS *`) has none.
    pub fn segments(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let below = self.raw.strip_prefix(b"/");
        below.into_iter().flat_map(|path| path.split(|&byte| byte == b'/'))
    }
}

/// How `raw` and its normalised form differ in a way that matters, or `None` where they do not (P10).
pub fn ambiguous(raw: &[u8]) -> Option<&'static str> {
    if raw == b"*" {
        return None;
    }
    let Some(below) = raw.strip_prefix(b"/") else {
        return Some("does not begin with a slash");
    };
    bytes(below).or_else(|| segments(below))
}

/// The bytes that a segment of a normal path stands for.
pub(super) fn decoded(segment: &[u8]) -> impl Iterator<Item = u8> + '_ {
    escape::decoded(segment)
}

/// Whether two segments are equal once decoded.
fn same_segment(decoded: &[u8], sent: &[u8]) -> bool {
    match memchr::memchr(b'%', sent) {
        None => decoded == sent,
        Some(_) => escape::decoded(sent).eq(decoded.iter().copied()),
    }
}

fn bytes(path: &[u8]) -> Option<&'static str> {
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        match byte {
            b'%' => match escape::check(&path[at..]) {
                Ok(length) => at += length,
                Err(how) => return Some(how),
            },
            b'\\' => return Some("has a backslash"),
            b';' => return Some("has a semicolon"),
            b'#' => return Some("has a fragment"),
            b'?' => return Some("has a query in it"),
            b' ' | 0x7f..=0xff => return Some("has a space, DEL or byte outside ASCII"),
            0..b' ' => return Some("has a control byte"),
            _ => at += 1,
        }
    }
    None
}

/// `path` is what follows the first slash. An empty last segment is a trailing slash, which is fine.
fn segments(path: &[u8]) -> Option<&'static str> {
    let mut rest = path;
    loop {
        let end = memchr::memchr(b'/', rest);
        match (&rest[..end.unwrap_or(rest.len())], end) {
            (b"", Some(_)) => return Some("has an empty segment"),
            (b"." | b"..", _) => return Some("has a dot segment"),
            (_, None) => return None,
            (_, Some(slash)) => rest = &rest[slash + 1..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn p10_paths_with_two_readings_are_named() {
        for (raw, how) in [
            ("", "does not begin with a slash"),
            ("x", "does not begin with a slash"),
            ("//", "has an empty segment"),
            ("/a//b", "has an empty segment"),
            ("//a", "has an empty segment"),
            ("/a//", "has an empty segment"),
            ("/.", "has a dot segment"),
            ("/a/./b", "has a dot segment"),
            ("/a/..", "has a dot segment"),
            ("/../a", "has a dot segment"),
            ("/a\\b", "has a backslash"),
            ("/a;v=1", "has a semicolon"),
            ("/a#b", "has a fragment"),
            ("/a b", "has a space, DEL or byte outside ASCII"),
            ("/\u{e9}", "has a space, DEL or byte outside ASCII"),
            ("/a\tb", "has a control byte"),
            ("/a\0", "has a control byte"),
            ("/%61", "encodes a character that needs no encoding"),
            ("/%2e%2e/a", "encodes a character that needs no encoding"),
            ("/%7Euser", "encodes a character that needs no encoding"),
            ("/a%2fb", "encodes a slash"),
            ("/a%2Fb", "encodes a slash"),
            ("/a%5cb", "encodes a backslash"),
            ("/a%00", "encodes a control byte"),
            ("/a%0d%0ab", "encodes a control byte"),
            ("/a%7f", "encodes a control byte"),
            ("/a%3bb", "encodes a semicolon"),
            ("/a%", "has a percent sign that encodes nothing"),
            ("/a%4", "has a percent sign that encodes nothing"),
            ("/a%zz", "has a percent sign that encodes nothing"),
            ("/a%u002f", "has a percent sign that encodes nothing"),
            ("/a%252e", "is encoded twice"),
            ("/a%c0%af", "encodes bytes that are no UTF-8"),
            ("/a%e0%80%af", "encodes bytes that are no UTF-8"),
            ("/a%ff", "encodes bytes that are no UTF-8"),
            ("/a%c3", "encodes bytes that are no UTF-8"),
            ("/a%c3%41", "encodes bytes that are no UTF-8"),
        ] {
            assert_eq!(ambiguous(raw.as_bytes()), Some(how), "{raw:?}");
        }
    }

    #[test]
    fn p10_ordinary_paths_are_left_alone() {
        for raw in [
            "*",
            "/",
            "/a/",
            "/v1/messages",
            "/.well-known/x",
            "/...",
            "/a..b/.c",
            "/a%20b",
            "/%C3%A9t%c3%a9",
            "/@scope/pkg",
            "/%40scope",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
            "/models/x%3Agenerate",
            "/50%25",
            "/a%23b%3Fc",
            "/a!$&'()*+,=b",
            "/a|b[c]{d}\"<>^`",
            "/%F0%9F%98%80",
        ] {
            assert_eq!(ambiguous(raw.as_bytes()), None, "{raw:?}");
        }
    }

    #[test]
    fn segments_are_what_stands_between_slashes() {
        let of = |raw: &'static str| {
            Normal::parse(raw.as_bytes()).map(|path| path.segments().map(<[u8]>::to_vec).collect::<Vec<_>>())
        };
        assert_eq!(of("/"), Ok(vec![b"".to_vec()]));
        assert_eq!(of("/a/b/"), Ok(vec![b"a".to_vec(), b"b".to_vec(), b"".to_vec()]));
        assert_eq!(of("*"), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = ambiguous(&raw);
        }

        /// The promise itself: decoding a normal path yields no structure that was not there before.
        #[test]
        fn p10_decoding_a_normal_path_changes_no_structure(raw in "/[a./%2fF5cCeE3bB0;-]{0,24}") {
            if let Ok(path) = Normal::parse(raw.as_bytes()) {
                for segment in path.segments() {
                    let decoded: Vec<u8> = escape::decoded(segment).collect();
                    prop_assert!(decoded != b"." && decoded != b"..");
                    prop_assert!(!decoded.iter().any(|byte| matches!(byte, b'/' | b'\\' | b';' | 0..b' ')));
                    prop_assert!(core::str::from_utf8(&decoded).is_ok());
                }
            }
        }
    }
}
