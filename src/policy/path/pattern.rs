//! Path patterns of `[[http]]` rules: `*` stands for one segment or a part of it, `**` for any number of segments.
//!
//! A pattern that no [`Normal`] path can match is refused when it is read.

use core::fmt;

use super::{Normal, escape, same_segment};

/// A compiled path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// Exactly these bytes, decoded.
    Literal(Box<[u8]>),
    /// `*`: any segment that is not empty.
    One,
    /// `a*b`: literal parts, decoded, with anything between them.
    Parts(Box<[Box<[u8]>]>),
    /// `**`: any number of segments, none included.
    Deep,
}

impl PathPattern {
    /// Reads a pattern such as `/repos/acme/**`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if let Some(help) = misplaced(text) {
            return Err(help);
        }
        let plain: Vec<u8> =
            text.bytes().map(|byte| if byte == b' ' || byte >= 0x80 { b'x' } else { byte }).collect();
        if let Some(how) = super::ambiguous(&plain) {
            return Err(PatternError { message: how, suggestion: None });
        }
        let segments = text[1..].split('/').map(segment).collect::<Result<Box<[_]>, _>>()?;
        Ok(Self { text: text.into(), segments })
    }

    /// The pattern as it was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments before the first wildcard, decoded.
    pub(crate) fn literal_prefix(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().map_while(|segment| match segment {
            Segment::Literal(literal) => Some(&**literal),
            _ => None,
        })
    }

    /// Whether the pattern matches the whole path.
    pub fn matches(&self, path: Normal<'_>) -> bool {
        path.raw != b"*" && walk(&self.segments, path.raw, next, Segment::matches)
    }

    /// Whether every path that `other` matches is matched by this pattern too, told segment by segment. What only
    /// several segments together would show, as of `/*/**` and `/**/*`, is not told.
    pub fn covers(&self, other: &Self) -> bool {
        walk(&self.segments, &other.segments[..], <[Segment]>::split_first, Segment::covers)
    }
}

/// Why a text is no path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// A phrase that fits after "the pattern".
    pub message: &'static str,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for PatternError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the pattern {}", self.message)
    }
}

impl core::error::Error for PatternError {}

fn misplaced(text: &str) -> Option<PatternError> {
    if !text.starts_with('/') {
        let suggestion = Some(format!("/{text}"));
        return Some(PatternError { message: "does not begin with a slash", suggestion });
    }
    let cut = text.find(['?', '#'])?;
    let suggestion = Some(text[..cut].to_owned());
    Some(PatternError { message: "has a query or fragment, which rules never see", suggestion })
}

fn segment(text: &str) -> Result<Segment, PatternError> {
    match text {
        "*" => Ok(Segment::One),
        "**" => Ok(Segment::Deep),
        _ if text.contains("**") => {
            let message = "has ** beside other characters; ** stands alone between slashes";
            Err(PatternError { message, suggestion: None })
        }
        _ => {
            let parts: Box<[Box<[u8]>]> = text.split('*').map(decode).collect();
            match <[_; 1]>::try_from(parts.to_vec()) {
                Ok([literal]) => Ok(Segment::Literal(literal)),
                Err(_) => Ok(Segment::Parts(parts)),
            }
        }
    }
}

fn decode(text: &str) -> Box<[u8]> {
    escape::decoded(text.as_bytes()).collect()
}

/// Walks pattern and path together; `next` splits off the path's next segment, and `fits` compares one with the
/// pattern's.
///
/// On a mismatch only the latest `**` needs to try one segment further, so the work is bounded by the product of
/// both lengths.
fn walk<P: Copy, S>(
    pattern: &[Segment],
    path: P,
    next: impl Fn(P) -> Option<(S, P)>,
    fits: impl Fn(&Segment, S) -> bool,
) -> bool {
    let (mut at, mut rest) = (0, path);
    let mut deep: Option<(usize, P)> = None;
    loop {
        match pattern.get(at) {
            Some(Segment::Deep) => {
                at += 1;
                deep = Some((at, rest));
                continue;
            }
            Some(wanted) => {
                if let Some((sent, after)) = next(rest)
                    && fits(wanted, sent)
                {
                    (at, rest) = (at + 1, after);
                    continue;
                }
            }
            None if next(rest).is_none() => return true,
            None => {}
        }
        let Some((after_deep, (_, further))) = deep.and_then(|(at, rest)| Some((at, next(rest)?))) else {
            return false;
        };
        (at, rest) = (after_deep, further);
        deep = Some((after_deep, further));
    }
}

/// The next segment and what follows it. `rest` begins with the slash before it, or is empty at the end.
fn next(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let below = rest.strip_prefix(b"/")?;
    Some(below.split_at(memchr::memchr(b'/', below).unwrap_or(below.len())))
}

impl Segment {
    fn matches(&self, sent: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => same_segment(literal, sent),
            Self::One => !sent.is_empty(),
            Self::Parts(parts) => glob(parts, sent),
            Self::Deep => true,
        }
    }

    /// Whether whatever `other` matches is matched by this one too.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Deep, _) => true,
            (_, Self::Deep) => false,
            (Self::One, Self::Literal(literal)) => !literal.is_empty(),
            (Self::One, _) => true,
            (Self::Parts(parts), Self::Literal(literal)) => glob(parts, literal),
            _ => self == other,
        }
    }
}

/// First part at the start, last part at the end, the others one after the other between them.
fn glob(parts: &[Box<[u8]>], sent: &[u8]) -> bool {
    let [first, middle @ .., last] = parts else {
        return false;
    };
    let mut rest = sent;
    for (index, part) in core::iter::once(first).chain(middle).enumerate() {
        match find(rest, part, index == 0) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    ends_with(rest, last)
}

/// What follows the first place where `part` stands in the decoded text; only at its start if `anchored`.
fn find<'a>(sent: &'a [u8], part: &[u8], anchored: bool) -> Option<&'a [u8]> {
    let mut rest = sent;
    loop {
        if let Some(after) = strip(rest, part) {
            return Some(after);
        }
        if anchored || rest.is_empty() {
            return None;
        }
        rest = escape::skip(rest);
    }
}

fn ends_with(sent: &[u8], part: &[u8]) -> bool {
    let mut rest = sent;
    while let Some(after) = find(rest, part, false) {
        if after.is_empty() || part.is_empty() {
            return true;
        }
        rest = escape::skip(rest);
    }
    false
}

fn strip<'a>(sent: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    part.iter()
        .try_fold(sent, |rest, &wanted| (escape::decoded(rest).next()? == wanted).then(|| escape::skip(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, path: &str) -> bool {
        let pattern = PathPattern::parse(pattern).expect("a pattern");
        pattern.matches(Normal::parse(path.as_bytes()).expect("a normal path"))
    }

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, yes, no) in [
            ("/", &["/"][..], &["/a", "*"][..]),
            ("/a", &["/a"], &["/", "/a/", "/A", "/ab", "/a/b"]),
            ("/a/", &["/a/"], &["/a", "/a/b"]),
            ("/*", &["/a", "/%20"], &["/", "/a/", "/a/b"]),
            ("/**", &["/", "/a", "/a/b/c/"], &["*"]),
            ("/x/**", &["/x", "/x/", "/x/y", "/x/y/z"], &["/", "/xy", "/y/x"]),
            ("/x/*", &["/x/y"], &["/x", "/x/", "/x/y/z"]),
            ("/x/*/z", &["/x/y/z"], &["/x/z", "/x/y/y/z"]),
            ("/**/z", &["/z", "/a/z", "/a/b/z", "/z/z"], &["/", "/z/a", "/az"]),
            ("/a/**/z", &["/a/z", "/a/b/z", "/a/z/z"], &["/a", "/z", "/a/zz"]),
            ("/a/**/b/**/c", &["/a/b/c", "/a/x/b/b/y/c", "/a/b/c/b/c"], &["/a/c/b", "/a/b/b"]),
            ("/**/b/*/d", &["/b/c/d", "/b/b/b/c/d", "/a/b/x/d"], &["/b/d", "/b/b/c/c/d"]),
            (
                "/v1/*:generate",
                &["/v1/x:generate", "/v1/x%3Agenerate"],
                &["/v1/x:generated", "/v1/x/:generate"],
            ),
            ("/a*", &["/a", "/ab"], &["/", "/ba", "/a/b"]),
            ("/*a*b", &["/ab", "/xaxb", "/abab"], &["/ba", "/axbx"]),
            ("/é", &["/%C3%A9", "/%c3%a9"], &["/%C3%A8"]),
            ("/a b", &["/a%20b"], &["/ab"]),
            ("/a%20b", &["/a%20b"], &["/a+b"]),
            ("/%2A", &["/*", "/%2a"], &["/a"]),
        ] {
            for path in yes {
                assert!(fits(pattern, path), "{pattern} should match {path}");
            }
            for path in no {
                assert!(!fits(pattern, path), "{pattern} should not match {path}");
            }
        }
    }

    #[test]
    fn patterns_that_can_never_match_are_refused() {
        for (text, message, suggestion) in [
            ("repos", "does not begin with a slash", Some("/repos")),
            ("*", "does not begin with a slash", Some("/*")),
            ("/a?b=c", "has a query or fragment, which rules never see", Some("/a")),
            ("/a/../b", "has a dot segment", None),
            ("/a//b", "has an empty segment", None),
            ("/a%2fb", "encodes a slash", None),
            ("/%61", "encodes a character that needs no encoding", None),
            ("/a;b", "has a semicolon", None),
            ("/a**", "has ** beside other characters; ** stands alone between slashes", None),
        ] {
            let error = PathPattern::parse(text).expect_err(text);
            assert_eq!((error.message, error.suggestion.as_deref()), (message, suggestion), "{text}");
        }
    }

    #[test]
    fn covering_is_told_segment_by_segment() {
        for (wide, narrow, expected) in [
            ("/a", "/a", true),
            ("/**", "/a/*/b", true),
            ("/**", "/", true),
            ("/a/**", "/a/b", true),
            ("/a/**", "/a", true),
            ("/a/**/z", "/a/**/z", true),
            ("/a/**/z", "/a/b/*/z", true),
            ("/**/z/**", "/a/z", true),
            ("/*/b", "/a/b", true),
            ("/x/*", "/x/y*", true),
            ("/x/y*", "/x/yes", true),
            ("/x/*.json", "/x/%C3%A9.json", true),
            ("/a/**", "/ab", false),
            ("/a/b", "/a/**", false),
            ("/a/*", "/a/**", false),
            ("/a/*", "/a/", false),
            ("/a/*", "/a/b/c", false),
            ("/a/b*", "/a/*", false),
            ("/**/z", "/a/**", false),
        ] {
            let pattern = |text| PathPattern::parse(text).expect("a pattern");
            assert_eq!(pattern(wide).covers(&pattern(narrow)), expected, "{wide} {narrow}");
        }
    }

    /// The plainest reading of the grammar, to check the fast one against.
    fn naive(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["**", rest @ ..], _) => {
                naive(rest, path) || matches!(path, [_, after @ ..] if naive(pattern, after))
            }
            ([one, rest @ ..], [sent, after @ ..]) => naive_segment(one, sent) && naive(rest, after),
            _ => false,
        }
    }

    fn naive_segment(pattern: &str, sent: &str) -> bool {
        match pattern.split_at_checked(1) {
            _ if pattern == "*" && sent.is_empty() => false,
            None => sent.is_empty(),
            Some(("*", rest)) => (0..=sent.len()).any(|at| naive_part(rest, &sent[at..])),
            Some((byte, rest)) => sent.starts_with(byte) && naive_part(rest, &sent[1..]),
        }
    }

    fn naive_part(pattern: &str, sent: &str) -> bool {
        pattern == "*" || naive_segment(pattern, sent)
    }

    proptest! {
        #[test]
        fn what_a_covered_pattern_matches_is_matched(
            wide in proptest::collection::vec("\\*\\*|\\*|[ab]\\*?", 1..4),
            narrow in proptest::collection::vec("\\*\\*|\\*|[ab]\\*?[ab]?", 1..5),
            path in proptest::collection::vec("[ab]{1,2}", 1..6),
        ) {
            let [wide, narrow] = [wide, narrow].map(|all| PathPattern::parse(&format!("/{}", all.join("/"))));
            if let (Ok(wide), Ok(narrow)) = (wide, narrow) {
                let path = format!("/{}", path.join("/"));
                let path = Normal::parse(path.as_bytes()).expect("plain segments");
                prop_assert!(!wide.covers(&narrow) || !narrow.matches(path) || wide.matches(path));
            }
        }

        #[test]
        fn the_walk_equals_the_naive_one(
            pattern in proptest::collection::vec("\\*\\*|[ab]{0,2}\\*?[ab]{0,2}", 1..6),
            path in proptest::collection::vec("[ab]{1,3}", 1..7),
        ) {
            let typed = format!("/{}", pattern.join("/"));
            let sent = format!("/{}", path.join("/"));
            if let Ok(compiled) = PathPattern::parse(&typed) {
                let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                let normal = Normal::parse(sent.as_bytes()).expect("plain segments");
                prop_assert_eq!(compiled.matches(normal), naive(&pattern, &path), "{} {}", typed, sent);
            }
        }
    }
}
