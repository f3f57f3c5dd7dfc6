//! CONNECT through a corporate proxy (RFC 9110 §9.3.6), as bytes in and bytes out, and the list of hosts that go past it.
//!
//! It fails closed: anything but a well-formed 2xx within [`HEAD_MAX`] bytes ends the attempt. It never asks an origin
//! directly instead.

use core::fmt;

use crate::policy::address::Cidr;
use crate::policy::host::{Host, HostError, HostPattern};

/// The longest head of a proxy's answer.
pub const HEAD_MAX: usize = 16 << 10;

/// A corporate proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct ViaOptions {
    /// The proxy's own host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Speak TLS to the proxy itself (`https://`).
    pub tls: bool,
    /// Value of `Proxy-Authorization`, as [`basic`] makes it.
    pub authorization: Option<Box<str>>,
    /// Hosts that are reached directly.
    pub no_proxy: NoProxy,
}

impl ViaOptions {
    /// Reads `http://HOST[:PORT]` or `https://HOST[:PORT]`. Credentials do not belong there: they come from a file or
    /// the environment, as `user:password`.
    pub fn parse(url: &str, credentials: Option<&str>, no_proxy: NoProxy) -> Result<Self, ViaUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(ViaUrlError::Scheme)?;
        let (tls, default_port) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(ViaUrlError::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = Host::parse_authority(authority.as_bytes()).map_err(|error| match error {
            HostError::Userinfo => ViaUrlError::Credentials,
            other => ViaUrlError::Host(other),
        })?;
        Ok(Self {
            host,
            port: port.unwrap_or(default_port),
            tls,
            authorization: credentials.map(|pair| basic(pair.trim_end_matches(['\r', '\n'])).into()),
            no_proxy,
        })
    }
}

impl fmt::Debug for ViaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViaOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("authorization", &self.authorization.as_ref().map(|_| "[elided]"))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// Why a `via` setting is no proxy URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViaUrlError {
    /// Neither `http://` nor `https://`.
    Scheme,
    /// User and password stand in the URL.
    Credentials,
    /// The host or the port is none, or something follows it.
    Host(HostError),
}

impl fmt::Display for ViaUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("the proxy must begin with http:// or https://"),
            Self::Credentials => {
                f.write_str("credentials do not belong in a URL; give them in a file or the environment")
            }
            Self::Host(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for ViaUrlError {}

/// `Basic …` for `user:password` (RFC 7617 §2).
pub fn basic(credentials: &str) -> String {
    let mut value = String::from("Basic ");
    for chunk in credentials.as_bytes().chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0, |word, (n, byte)| word | u32::from(*byte) << (16 - 8 * n));
        for place in 0..4 {
            let digit = word >> (18 - 6 * place) & 63;
            value.push(if place <= chunk.len() { char::from(BASE64[digit as usize]) } else { '=' });
        }
    }
    value
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// One CONNECT under way on a connection to the proxy.
#[derive(Debug)]
pub struct Via {
    /// Bytes of the answer's head so far.
    seen: usize,
    /// Its first bytes, `HTTP/1.1 200`.
    start: [u8; 12],
    /// Bytes of the current line so far, line ends not counted.
    line: usize,
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViaStep {
    /// All input was taken; the head goes on.
    NeedMore,
    /// The tunnel stands; what follows these `used` bytes of the last input is the origin's.
    Established {
        /// Bytes of the last input that belong to the proxy's answer.
        used: usize,
    },
}

/// Why there is no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViaError {
    /// The proxy's status code, where it gave one.
    pub status: Option<u16>,
    /// The ledger's words for it.
    pub label: &'static str,
}

impl Via {
    /// The machine, and the request to send first.
    pub fn new(options: &ViaOptions, host: &Host, port: u16) -> (Self, Vec<u8>) {
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(value) = &options.authorization {
            request.push_str("Proxy-Authorization: ");
            request.push_str(value);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        (Self { seen: 0, start: [0; 12], line: 0 }, request.into_bytes())
    }

    /// Takes what the proxy sent, however it is cut.
    pub fn read(&mut self, input: &[u8]) -> Result<ViaStep, ViaError> {
        for (at, &byte) in input.iter().enumerate() {
            if self.take(byte)? {
                self.verdict()?;
                return Ok(ViaStep::Established { used: at + 1 });
            }
        }
        Ok(ViaStep::NeedMore)
    }

    /// The proxy closed before its answer was whole.
    pub fn closed(&self) -> ViaError {
        ViaError { status: None, label: "corporate proxy closed the connection" }
    }

    /// Takes one byte; true at the end of the head.
    fn take(&mut self, byte: u8) -> Result<bool, ViaError> {
        if let Some(place) = self.start.get_mut(self.seen) {
            *place = byte;
            if !is_status_line(&self.start[..=self.seen]) {
                return Err(ViaError { status: None, label: "corporate proxy does not answer in HTTP/1" });
            }
        }
        self.seen += 1;
        if self.seen > HEAD_MAX {
            return Err(ViaError { status: None, label: "corporate proxy's answer is too long" });
        }
        let ends = byte == b'\n' && self.line == 0;
        match byte {
            b'\n' => self.line = 0,
            b'\r' => {}
            _ => self.line += 1,
        }
        Ok(ends)
    }

    fn verdict(&self) -> Result<(), ViaError> {
        let status = self.start[9..].iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        let label = match status {
            200..=299 => return Ok(()),
            403 => "corporate proxy refuses this host",
            407 => "corporate proxy wants other credentials",
            502 | 503 => "corporate proxy cannot reach the host",
            504 => "corporate proxy timed out",
            _ => "corporate proxy refuses the tunnel",
        };
        Err(ViaError { status: Some(status), label })
    }
}

/// Whether these bytes begin `HTTP/1.x NNN`.
fn is_status_line(start: &[u8]) -> bool {
    start.iter().zip(b"HTTP/1.x nnn").all(|(byte, wanted)| match wanted {
        b'x' => matches!(byte, b'0' | b'1'),
        b'n' => byte.is_ascii_digit(),
        _ => byte == wanted,
    })
}

/// Hosts that are reached without the corporate proxy.
///
/// The customary meaning (that of Go and curl): `example.com` is that host and all below it, `.example.com` and
/// `*.example.com` only what is below, `10.0.0.0/8` and `fd00::/8` address literals, `*` everything; each may end in a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Named(HostPattern),
    In(Cidr),
}

impl NoProxy {
    /// Reads the entries; the first that means nothing is the error.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, NoProxyError> {
        let mut list = Vec::new();
        for text in entries {
            list.extend(entry(text.trim()).ok_or_else(|| NoProxyError(text.to_owned()))?);
        }
        Ok(Self(list))
    }

    /// Whether this origin is reached directly.
    pub fn matches(&self, host: &Host, port: u16) -> bool {
        self.0.iter().any(|entry| entry.port.is_none_or(|wanted| wanted == port) && entry.hosts.hold(host))
    }
}

/// An entry that is no host, suffix or network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoProxyError(pub String);

impl fmt::Display for NoProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no host, .suffix, network or *", self.0)
    }
}

impl std::error::Error for NoProxyError {}

impl Hosts {
    fn hold(&self, host: &Host) -> bool {
        match self {
            Self::Named(pattern) => pattern.matches(host),
            Self::In(network) => host.ip().is_some_and(|ip| network.contains(ip)),
        }
    }
}

/// One or two entries: a bare name stands for itself and for all below it.
fn entry(text: &str) -> Option<Vec<Entry>> {
    let named = |pattern, port| Entry { hosts: Hosts::Named(pattern), port };
    if text == "*" {
        return Some(vec![named(HostPattern::Any, None)]);
    }
    if let Some(network) = Cidr::parse(text) {
        return Some(vec![Entry { hosts: Hosts::In(network), port: None }]);
    }
    let suffix = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
    let (host, port) = Host::parse_authority(suffix.unwrap_or(text).as_bytes()).ok()?;
    let below = named(HostPattern::Below(host.clone()), port);
    match (suffix, host.ip()) {
        (Some(_), Some(_)) => None,
        (Some(_), None) => Some(vec![below]),
        (None, Some(_)) => Some(vec![named(HostPattern::Exact(host), port)]),
        (None, None) => Some(vec![named(HostPattern::Exact(host), port), below]),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text.as_bytes()).unwrap()
    }

    fn options(credentials: Option<&str>) -> ViaOptions {
        ViaOptions::parse("http://proxy.corp:3128", credentials, NoProxy::default()).unwrap()
    }

    fn machine() -> Via {
        Via::new(&options(None), &host("api.example.com"), 443).0
    }

    #[test]
    fn the_request_names_the_origin_and_carries_the_credentials() {
        let request =
            |options: &ViaOptions, name| String::from_utf8(Via::new(options, &host(name), 443).1).unwrap();
        assert_eq!(
            request(&options(None), "api.example.com"),
            "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"
        );
        let with = request(&options(Some("Aladdin:open sesame\n")), "2001:db8::1");
        assert!(with.starts_with("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"), "{with}");
        assert!(
            with.contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"),
            "{with}"
        );
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let coded = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, coded) in coded.into_iter().enumerate() {
            assert_eq!(basic(&"foobar"[..length]), format!("Basic {coded}"));
        }
    }

    #[test]
    fn p36_credentials_do_not_show_in_debug_output() {
        let shown = format!("{:?}", options(Some("user:secret")));
        assert!(!shown.contains(&basic("user:secret")), "{shown}");
    }

    #[test]
    fn the_tunnel_stands_after_a_2xx_however_the_answer_is_cut() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nORIGIN";
        let head = answer.len() - b"ORIGIN".len();
        assert_eq!(machine().read(answer), Ok(ViaStep::Established { used: head }));
        for cut in 0..head {
            let mut via = machine();
            assert_eq!(via.read(&answer[..cut]), Ok(ViaStep::NeedMore), "at {cut}");
            assert_eq!(via.read(&answer[cut..]), Ok(ViaStep::Established { used: head - cut }), "at {cut}");
        }
    }

    #[test]
    fn anything_but_a_2xx_fails_closed() {
        for (answer, status) in [
            (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], Some(407)),
            (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", Some(403)),
            (b"HTTP/1.0 502 Bad Gateway\n\n", Some(502)),
            (b"HTTP/1.1 100 Continue\r\n\r\n", Some(100)),
            (b"HTTP/1.1 301 Moved\r\n\r\n", Some(301)),
            (b"HTTP/2.0 200 OK\r\n\r\n", None),
            (b"HTTP/1.1 2x0 OK\r\n\r\n", None),
            (b"\x15\x03\x01\x00\x02\x02\x46", None),
            (b"\r\n\r\n", None),
        ] {
            let failed = machine().read(answer).unwrap_err();
            assert_eq!(failed.status, status, "{answer:?}: {failed:?}");
        }
    }

    #[test]
    fn an_endless_head_is_cut_off() {
        let mut via = machine();
        assert_eq!(via.read(b"HTTP/1.1 200 OK\r\n"), Ok(ViaStep::NeedMore));
        let line = [b'x'; 1024];
        let failed = (0..64).find_map(|_| via.read(&line).err()).unwrap();
        assert_eq!(failed.label, "corporate proxy's answer is too long");
        assert!(via.seen <= HEAD_MAX + 1);
    }

    #[test]
    fn urls_are_read_or_refused() {
        let parse = |url| ViaOptions::parse(url, None, NoProxy::default());
        let https = parse("https://proxy.corp/").unwrap();
        assert_eq!((https.tls, https.port, https.host.as_str()), (true, 443, "proxy.corp"));
        assert_eq!(parse("http://[::1]:8080").unwrap().port, 8080);
        for (url, error) in [
            ("socks5://x", ViaUrlError::Scheme),
            ("proxy:3128", ViaUrlError::Scheme),
            ("http://u:p@x", ViaUrlError::Credentials),
            ("http://x:0", ViaUrlError::Host(HostError::Port)),
            ("http://x:99999", ViaUrlError::Host(HostError::Port)),
            ("http://", ViaUrlError::Host(HostError::Empty)),
            ("http://x/path", ViaUrlError::Host(HostError::Illegal)),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn no_proxy_matches_as_go_and_curl_do() {
        for (entry, name, port, expected) in [
            ("*", "anything.example", 1, true),
            ("example.com", "example.com", 443, true),
            ("example.com", "a.b.example.com", 443, true),
            ("example.com", "notexample.com", 443, false),
            (".example.com", "example.com", 443, false),
            (".example.com", "a.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", "a.example.com", 443, true),
            ("example.com:8443", "example.com", 443, false),
            ("example.com:8443", "example.com", 8443, true),
            ("10.0.0.0/8", "10.255.0.1", 80, true),
            ("10.0.0.0/8", "11.0.0.1", 80, false),
            ("10.0.0.0/8", "10.example.com", 80, false),
            ("0.0.0.0/0", "192.0.2.1", 80, true),
            ("fd00::/8", "fd12::1", 80, true),
            ("fd00::/8", "fe80::1", 80, false),
            ("192.0.2.1", "192.0.2.1", 80, true),
            ("192.0.2.1/32", "192.0.2.2", 80, false),
            ("::1", "::1", 80, true),
            ("[::1]:80", "::1", 80, true),
        ] {
            let list = NoProxy::parse([entry]).unwrap();
            assert_eq!(list.matches(&host(name), port), expected, "{entry} against {name}:{port}");
        }
        assert!(!NoProxy::default().matches(&host("example.com"), 443));
        for bad in ["", "10.0.0.0/33", "x/8", "example.com:0"] {
            assert_eq!(NoProxy::parse([bad]), Err(NoProxyError(bad.to_owned())));
        }
    }
}
