//! One canonical form of a host, computed once (LESSONS 23).
//!
//! Lower case, one trailing dot removed, A-labels that decode, IPv4 in whatever spelling as a dotted quad, IPv6 as
//! RFC 5952 writes it. Everything that two readers could take for different hosts is refused here: zone ids, ports
//! and userinfo inside a host, empty labels, wildcards, percent signs, bytes outside ASCII.

mod ipv4;
mod name;
mod pattern;

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;
use std::sync::Arc;

pub use pattern::{HostPattern, HostPatternError};

/// A canonical host: a lower-case ASCII DNS name without its trailing dot, or an IP literal. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    text: Arc<str>,
    ip: Option<IpAddr>,
}

impl Host {
    /// Parses a host as it stands in SNI, CONNECT, Host or a URL, without port, brackets allowed for IPv6.
    pub fn parse(raw: &[u8]) -> Result<Self, HostError> {
        if raw.first() == Some(&b'[') {
            let inner = raw[1..].strip_suffix(b"]").ok_or(HostError::Ipv6)?;
            return ipv6(inner);
        }
        if raw.contains(&b':') {
            return ipv6(raw).map_err(|error| if is_zone(error) { error } else { HostError::Port });
        }
        let mut buffer = [0; name::LONGEST];
        let name = name::lowered(raw, &mut buffer)?;
        if name::ends_in_number(name) {
            return ipv4::parse(name).map(|address| Self::from_ip(address.into())).ok_or(HostError::Ipv4);
        }
        name::check(name)?;
        Ok(Self { text: name.into(), ip: None })
    }

    /// Parses an authority: a host with an optional port, as in Host, CONNECT and absolute-form targets (RFC 9112
    /// §3.2). IPv6 needs its brackets; userinfo, an empty port and port 0 are refused.
    pub fn parse_authority(raw: &[u8]) -> Result<(Self, Option<u16>), HostError> {
        if raw.contains(&b'@') {
            return Err(HostError::Userinfo);
        }
        let host_end = if raw.first() == Some(&b'[') {
            raw.iter().position(|&byte| byte == b']').ok_or(HostError::Ipv6)? + 1
        } else {
            raw.iter().position(|&byte| byte == b':').unwrap_or(raw.len())
        };
        let host = Self::parse(&raw[..host_end])?;
        match raw[host_end..].split_first() {
            None => Ok((host, None)),
            Some((b':', digits)) => Ok((host, Some(port(digits)?))),
            Some(_) => Err(HostError::Ipv6),
        }
    }

    /// Parses a host that a person typed: as [`Host::parse`], but Unicode names become A-labels (UTS 46).
    pub fn from_unicode(text: &str) -> Result<Self, HostError> {
        if text.is_ascii() { Self::parse(text.as_bytes()) } else { Self::parse(&name::to_ascii(text)?) }
    }

    /// The host that is this address.
    pub fn from_ip(ip: IpAddr) -> Self {
        Self { text: ip.to_string().into(), ip: Some(ip) }
    }

    /// The canonical text: `api.example.com`, `192.0.2.1`, `2001:db8::1` (no brackets).
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The address that the host can only have: its own when it is an IP literal, loopback for `localhost` and all names
    /// below it (RFC 6761 §6.3).
    pub fn fixed_ip(&self) -> Option<IpAddr> {
        let localhost = self.text.rsplit('.').next() == Some("localhost");
        self.ip.or(localhost.then_some(Ipv4Addr::LOCALHOST.into()))
    }

    /// As in a URL: IPv6 in brackets.
    pub fn authority(&self) -> Cow<'_, str> {
        match self.ip {
            Some(IpAddr::V6(_)) => format!("[{}]", self.text).into(),
            _ => Cow::Borrowed(&self.text),
        }
    }

    /// The address, when the host is an IP literal.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }
}

/// As in a URL: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.authority())
    }
}

fn ipv6(raw: &[u8]) -> Result<Host, HostError> {
    if raw.contains(&b'%') {
        return Err(HostError::Zone);
    }
    let text = core::str::from_utf8(raw).map_err(|_| HostError::NotAscii)?;
    let address: Ipv6Addr = text.parse().map_err(|_| HostError::Ipv6)?;
    Ok(Host::from_ip(address.into()))
}

fn is_zone(error: HostError) -> bool {
    error == HostError::Zone
}

/// 1 to 65535 in canonical decimal: a leading zero is one more spelling, and no client writes it.
fn port(digits: &[u8]) -> Result<u16, HostError> {
    let canonical = matches!(digits, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    let text = core::str::from_utf8(digits).ok().filter(|_| canonical).ok_or(HostError::Port)?;
    text.parse().map_err(|_| HostError::Port)
}

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Nothing there.
    Empty,
    /// More than 253 bytes, or a label of more than 63.
    TooLong,
    /// Two dots in a row, or one at the start.
    EmptyLabel,
    /// A label that begins or ends with a hyphen.
    Hyphen,
    /// A character that no host has.
    Illegal,
    /// A byte outside ASCII.
    NotAscii,
    /// An `xn--` label that does not decode to what it encodes.
    ALabel,
    /// The last label is a number, and the whole is no IPv4 address.
    Ipv4,
    /// Brackets without an IPv6 address in them.
    Ipv6,
    /// An IPv6 zone id.
    Zone,
    /// A port where none may stand, or one that is no number from 1 to 65535.
    Port,
    /// `user@` before the host.
    Userinfo,
}

impl HostError {
    /// A short phrase that fits after "the host".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::TooLong => "is too long (253 bytes, 63 a label)",
            Self::EmptyLabel => "has an empty label",
            Self::Hyphen => "has a label that begins or ends with a hyphen",
            Self::Illegal => "has a character that no host name may have",
            Self::NotAscii => "has bytes outside ASCII",
            Self::ALabel => "has an xn-- label that is not valid",
            Self::Ipv4 => "ends in a number but is no IPv4 address",
            Self::Ipv6 => "is no IPv6 address",
            Self::Zone => "has an IPv6 zone id",
            Self::Port => "has a bad or misplaced port",
            Self::Userinfo => "has userinfo before it",
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the host {}", self.as_str())
    }
}

impl core::error::Error for HostError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(raw: &str) -> Result<String, HostError> {
        Host::parse(raw.as_bytes()).map(|host| host.as_str().to_owned())
    }

    #[test]
    fn lesson_23_every_spelling_of_a_name_is_one_host() {
        for (raw, expected) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.COM", "api.example.com"),
            ("evil.test.", "evil.test"),
            ("EVIL.TEST", "evil.test"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("_dmarc.a_b.example", "_dmarc.a_b.example"),
            ("r3---sn-4g5.googlevideo.com", "r3---sn-4g5.googlevideo.com"),
            ("localhost", "localhost"),
            ("1and1.com", "1and1.com"),
            ("0xcafe.example", "0xcafe.example"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn every_spelling_of_an_ipv4_address_is_the_dotted_quad() {
        for raw in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "0177.0.0.1",
            "017700000001",
            "0x7f.0.0.0x1",
            "127.0x1",
            "00000177.00.00.01",
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok("127.0.0.1"), "{raw}");
        }
        assert_eq!(canonical("0").as_deref(), Ok("0.0.0.0"));
        assert_eq!(canonical("0x").as_deref(), Ok("0.0.0.0"));
        assert_eq!(canonical("0xA9FEA9FE").as_deref(), Ok("169.254.169.254"));
    }

    #[test]
    fn ipv6_is_written_as_rfc_5952_says() {
        for (raw, expected) in [
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"),
            ("[::FFFF:127.0.0.1]", "::ffff:127.0.0.1"),
            ("[::ffff:7f00:1]", "::ffff:127.0.0.1"),
            ("[0:0:0:0:0:0:0:0]", "::"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(expected), "{raw}");
        }
        assert_eq!(Host::parse(b"::1").map(|host| host.to_string()).as_deref(), Ok("[::1]"));
    }

    #[test]
    fn p2_what_is_no_host_is_refused() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = vec!["a".repeat(60); 5].join(".");
        for (raw, why) in [
            ("", HostError::Empty),
            (".", HostError::Empty),
            ("a..b", HostError::EmptyLabel),
            (".a", HostError::EmptyLabel),
            ("a.b..", HostError::EmptyLabel),
            ("*.x", HostError::Illegal),
            ("../../x", HostError::EmptyLabel),
            ("a/b", HostError::Illegal),
            ("a\r\nb", HostError::Illegal),
            ("a\0b", HostError::Illegal),
            ("a b", HostError::Illegal),
            ("a%2eb", HostError::Illegal),
            ("user@host", HostError::Illegal),
            ("host:80", HostError::Port),
            ("bücher.example", HostError::NotAscii),
            ("evil。test", HostError::NotAscii),
            ("xn--a.example", HostError::ALabel),
            ("xn--abc-.example", HostError::Hyphen),
            ("-a.example", HostError::Hyphen),
            ("a-.example", HostError::Hyphen),
            ("1.2.3.4.5", HostError::Ipv4),
            ("256.1.1.1", HostError::Ipv4),
            ("1.2.3.08", HostError::Ipv4),
            ("4294967296", HostError::Ipv4),
            ("foo.1", HostError::Ipv4),
            ("foo.0x7f", HostError::Ipv4),
            ("1..1", HostError::Ipv4),
            ("[::1", HostError::Ipv6),
            ("[127.0.0.1]", HostError::Ipv6),
            ("[::1].", HostError::Ipv6),
            ("[fe80::1%eth0]", HostError::Zone),
            ("fe80::1%25eth0", HostError::Zone),
            (&long_label, HostError::TooLong),
            (&long_name, HostError::TooLong),
        ] {
            assert_eq!(canonical(raw), Err(why), "{raw:?}");
        }
    }

    #[test]
    fn an_authority_is_a_host_with_an_optional_port() {
        let parse = |raw: &str| {
            Host::parse_authority(raw.as_bytes()).map(|(host, port)| (host.as_str().to_owned(), port))
        };
        assert_eq!(parse("Example.COM:443"), Ok(("example.com".into(), Some(443))));
        assert_eq!(parse("example.com"), Ok(("example.com".into(), None)));
        assert_eq!(parse("[::1]:8080"), Ok(("::1".into(), Some(8080))));
        assert_eq!(parse("[::1]"), Ok(("::1".into(), None)));
        for (raw, why) in [
            ("user@host:1", HostError::Userinfo),
            ("host:", HostError::Port),
            ("host:0", HostError::Port),
            ("host:080", HostError::Port),
            ("host:65536", HostError::Port),
            ("host:+80", HostError::Port),
            ("host:80:80", HostError::Port),
            ("::1", HostError::Empty),
            (":80", HostError::Empty),
            ("[::1]80", HostError::Ipv6),
            ("[fe80::1%1]:80", HostError::Zone),
        ] {
            assert_eq!(parse(raw), Err(why), "{raw}");
        }
    }

    #[test]
    fn a_typed_unicode_name_becomes_its_a_label() {
        let host = Host::from_unicode("Bücher.Example").expect("a name");
        assert_eq!(host.as_str(), "xn--bcher-kva.example");
        assert_eq!(Host::from_unicode("münchen。de").expect("a name").as_str(), "xn--mnchen-3ya.de");
    }

    proptest! {
        #[test]
        fn canonicalising_twice_changes_nothing(raw in "[a-zA-Z0-9._x:\\[\\]-]{1,40}") {
            if let Ok(host) = Host::parse(raw.as_bytes()) {
                prop_assert_eq!(Host::parse(host.as_str().as_bytes()), Ok(host.clone()));
                prop_assert_eq!(Host::parse(host.to_string().as_bytes()), Ok(host.clone()));
            }
        }

        #[test]
        fn case_and_one_trailing_dot_never_matter(raw in "[a-z0-9-]{1,12}(\\.[a-z0-9-]{1,12}){0,4}") {
            let plain = Host::parse(raw.as_bytes());
            prop_assert_eq!(&Host::parse(raw.to_uppercase().as_bytes()), &plain);
            prop_assert_eq!(&Host::parse(format!("{raw}.").as_bytes()), &plain);
        }

        #[test]
        fn no_bytes_panic(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Host::parse(&raw);
            let _ = Host::parse_authority(&raw);
        }

        #[test]
        fn an_ipv4_address_reads_the_same_in_every_base(address in any::<u32>()) {
            let [a, b, c, d] = address.to_be_bytes();
            let quad = format!("{a}.{b}.{c}.{d}");
            for spelling in [
                address.to_string(),
                format!("0x{address:X}"),
                format!("0{address:o}"),
                format!("{a}.{}", address & 0x00ff_ffff),
                format!("0{a:o}.0x{b:x}.{}", address & 0xffff),
            ] {
                prop_assert_eq!(canonical(&spelling), Ok(quad.clone()));
            }
        }
    }
}
