//! `Accept-Encoding` (RFC 9110 §12.5.3), narrowed so that what comes back can be inspected.

use super::Coding;

/// Drops from the value of `Accept-Encoding` the codings that are not in `keep`. `None`: send it as it is.
///
/// Only ever narrows: order and weights stay, `identity` and `*` stay, exclusions (`;q=0`) stay, nothing new is
/// accepted. Where `*` accepts the rest, a dropped coding is excluded by name instead. What would accept nothing but
/// identity becomes `identity`; what would accept nothing at all stays as it is, for the client means it.
/// Several fields are to be joined by commas; an absent or empty one is not to be passed.
pub fn narrow_accept_encoding(value: &[u8], keep: &[Coding]) -> Option<Vec<u8>> {
    let elements = || elements(value);
    let dropped = |element: &Element<'_>| element.accepted && !element.may_stay(keep);
    if !elements().any(|element| dropped(&element)) {
        return None;
    }
    let accepts_rest = elements().any(|element| element.name == b"*" && element.accepted);
    let identity_excluded = {
        let named = elements().find(Element::is_identity);
        let named = named.or_else(|| elements().find(|element| element.name == b"*"));
        named.is_some_and(|element| !element.accepted)
    };
    if identity_excluded && !elements().any(|element| element.accepted && !dropped(&element)) {
        return None;
    }
    let mut narrow = Vec::with_capacity(value.len());
    for element in elements() {
        if !dropped(&element) {
            append(&mut narrow, element.text);
        } else if accepts_rest {
            append(&mut narrow, &[element.name, b";q=0"].concat());
        }
    }
    if narrow.is_empty() {
        narrow.extend_from_slice(b"identity");
    }
    Some(narrow)
}

fn append(list: &mut Vec<u8>, text: &[u8]) {
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(text);
}

/// One element of the list.
struct Element<'a> {
    /// As it stands.
    text: &'a [u8],
    /// The coding's name, or `identity`, or `*`.
    name: &'a [u8],
    /// Its weight is not 0.
    accepted: bool,
}

fn elements(value: &[u8]) -> impl Iterator<Item = Element<'_>> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()).map(|text| {
        let mut parts = text.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        Element { text, name, accepted: !parts.any(is_zero_weight) }
    })
}

impl Element<'_> {
    fn is_identity(&self) -> bool {
        self.name.eq_ignore_ascii_case(b"identity")
    }

    fn may_stay(&self, keep: &[Coding]) -> bool {
        self.is_identity()
            || self.name == b"*"
            || Coding::named(self.name).is_some_and(|coding| keep.contains(&coding))
    }
}

/// Is this `q=0`, `q=0.0` and so on?
fn is_zero_weight(parameter: &[u8]) -> bool {
    match parameter {
        [b'q' | b'Q', b'=', b'0', rest @ ..] => rest.iter().all(|byte| matches!(byte, b'.' | b'0')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow(value: &str, keep: &[Coding]) -> Option<String> {
        narrow_accept_encoding(value.as_bytes(), keep).map(|value| String::from_utf8(value).expect("ASCII"))
    }

    #[test]
    fn only_what_cannot_be_undone_is_dropped() {
        const KEEP: &[Coding] = &[Coding::Gzip, Coding::Deflate];
        let cases = [
            ("gzip", None),
            ("gzip, deflate", None),
            ("identity", None),
            ("*", None),
            ("gzip, deflate, br, zstd", Some("gzip, deflate")),
            ("br, gzip, deflate", Some("gzip, deflate")),
            ("gzip, compress, deflate, br", Some("gzip, deflate")),
            ("deflate, gzip, br, zstd", Some("deflate, gzip")),
            ("gzip;q=1.0,br;q=0.9 , X-GZIP ;q=0.5", Some("gzip;q=1.0, X-GZIP ;q=0.5")),
            ("br", Some("identity")),
            ("br;q=1, zstd", Some("identity")),
            ("br, identity;q=0.5", Some("identity;q=0.5")),
            ("br, gzip, identity;q=0", Some("gzip, identity;q=0")),
            ("gzip, br, *;q=0", Some("gzip, *;q=0")),
        ];
        for (value, expected) in cases {
            assert_eq!(narrow(value, KEEP).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn never_widened_by_a_wildcard_or_a_lost_exclusion() {
        let cases = [
            ("br, *;q=0.5", Some("br;q=0, *;q=0.5")),
            ("br;q=0, zstd, *", Some("br;q=0, zstd;q=0, *")),
            ("br;q=0, gzip", None),
            ("br;q=0, zstd;q=0.0, gzip, compress", Some("br;q=0, zstd;q=0.0, gzip")),
        ];
        for (value, expected) in cases {
            assert_eq!(narrow(value, &[Coding::Gzip]).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_client_that_takes_nothing_else_is_left_alone() {
        for value in ["br, identity;q=0", "br, *;q=0", "zstd, br;q=0.5, *;q=0.000"] {
            assert_eq!(narrow(value, &[Coding::Gzip]), None, "{value}");
        }
        assert_eq!(narrow("br, identity, *;q=0", &[Coding::Gzip]).as_deref(), Some("identity, *;q=0"));
    }

    #[test]
    fn what_is_built_in_may_be_kept() {
        let value = "gzip, deflate, br, zstd";
        let all = cfg!(all(feature = "brotli", feature = "zstd"));
        assert_eq!(narrow(value, Coding::BUILT_IN).is_none(), all);
    }
}
