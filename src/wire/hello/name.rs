//! What a server name may look like (RFC 6066 §3, RFC 1123 §2.1), before policy makes it canonical.
//!
//! Stricter than DNS, looser than RFC 1123: letters, digits, hyphens and, since real hosts have them, underscores.

use core::net::IpAddr;

use super::HelloError;

/// Longest name that is kept: 253 characters and a trailing dot fit.
pub(super) const MAX: usize = 255;
/// Longest host name in text form, without the trailing dot (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;
/// Longest label (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// What the bytes of a `host_name` are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A host's name.
    Host,
    /// An IP literal, which has no business there.
    Address,
}

/// Judges a `host_name`.
pub(super) fn judge(name: &[u8]) -> Result<Name, HelloError> {
    if str::from_utf8(name).is_ok_and(|text| text.parse::<IpAddr>().is_ok()) {
        return Ok(Name::Address);
    }
    let host = name.strip_suffix(b".").unwrap_or(name);
    if host.len() > MAX_HOST {
        return Err(HelloError::LongName);
    }
    let mut last = host;
    for part in host.split(|&byte| byte == b'.') {
        label(part)?;
        last = part;
    }
    // A name that ends in a number is a misspelt address (`127.1`), never a host.
    if last.iter().all(u8::is_ascii_digit) { Err(HelloError::IllegalName) } else { Ok(Name::Host) }
}

fn label(label: &[u8]) -> Result<(), HelloError> {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let [first, .., last] = label else {
        return if label.first().is_some_and(|byte| legal(byte) && *byte != b'-') {
            Ok(())
        } else {
            Err(HelloError::IllegalName)
        };
    };
    if label.len() > MAX_LABEL {
        return Err(HelloError::LongName);
    }
    if *first == b'-' || *last == b'-' || !label.iter().all(legal) {
        return Err(HelloError::IllegalName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_names_that_no_host_has_are_refused() {
        let names: [&[u8]; 18] = [
            b"*.x",
            b"../../x",
            b"a\r\nb",
            b"a\0b",
            b"a..b",
            b".",
            b".a",
            b"a b",
            b"a/b",
            b"a:443",
            b"user@a",
            b"-a.x",
            b"a-.x",
            b"-",
            b"127.1",
            b"2130706433",
            b"\xc3\xa4.x",
            b"a.%61",
        ];
        for name in names {
            assert_eq!(judge(name), Err(HelloError::IllegalName), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn p2_oversized_names_are_refused() {
        let label = [b'a'; 64];
        assert_eq!(judge(&label[..63]), Ok(Name::Host));
        assert_eq!(judge(&label), Err(HelloError::LongName));
        let mut long = [b'a'; 255];
        for dot in (1..255).step_by(2) {
            long[dot] = b'.';
        }
        assert_eq!(judge(&long[..253]), Ok(Name::Host));
        assert_eq!(judge(&long[..254]), Ok(Name::Host), "253 and a trailing dot");
        assert_eq!(judge(&long), Err(HelloError::LongName));
    }

    #[test]
    fn hosts_as_they_are_in_the_wild_are_accepted() {
        let names = [
            "localhost",
            "API.Example.COM",
            "a.example.",
            "_dmarc.x",
            "xn--bcher-kva.example",
            "r3---sn-4g5e.x",
            "1.a",
            "x",
        ];
        for name in names {
            assert_eq!(judge(name.as_bytes()), Ok(Name::Host), "{name}");
        }
    }

    #[test]
    fn ip_literals_are_told_apart() {
        for name in ["127.0.0.1", "::1", "2001:db8::1"] {
            assert_eq!(judge(name.as_bytes()), Ok(Name::Address), "{name}");
        }
    }
}
