//! Request targets (RFC 9112 §3.2) and authorities (RFC 3986 §3.2), kept as sent.
//!
//! Refused: controls, spaces, non-ASCII, fragments, userinfo, schemes other than http and https. Every other visible
//! byte goes on as it is, also those that RFC 3986 wants encoded (`|`, `[`, `"`, `{`): clients do send them and no
//! origin ends the target there. What a path means is the policy's question (P10).

use core::net::Ipv6Addr;
use std::ops::Range;

use memchr::{memchr, memchr2};

use super::{HeadError, Method, syntax};

/// Bytes for which [`Target::clear`] keeps memory.
const KEPT: usize = 1 << 10;

/// The four forms of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`.
    Absolute(Scheme),
    /// `host:port`, with CONNECT only.
    Authority,
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// The scheme of an absolute target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    /// The port that an authority without one means.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A target as sent, with its parts.
#[derive(Clone, Debug, Default)]
pub struct Target {
    raw: Vec<u8>,
    authority: Range<usize>,
    path: Range<usize>,
    query: Option<Range<usize>>,
    /// Stands in for a path that an absolute target leaves out.
    implied: &'static [u8],
}

impl Target {
    /// The target as sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// The path as sent, without the query: `/` (with OPTIONS `*`) where an absolute target has none, empty for
    /// CONNECT.
    pub fn path(&self) -> &[u8] {
        if self.path.is_empty() { self.implied } else { &self.raw[self.path.clone()] }
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.clone().map(|range| &self.raw[range])
    }

    /// `host[:port]` of an absolute target or of CONNECT.
    pub fn authority(&self) -> Option<&[u8]> {
        if self.authority.is_empty() { None } else { Some(&self.raw[self.authority.clone()]) }
    }

    /// Forgets it, and keeps a typical target's memory.
    pub(super) fn clear(&mut self) {
        self.raw.clear();
        self.raw.shrink_to(KEPT);
        (self.authority, self.path, self.query, self.implied) = (0..0, 0..0, None, b"");
    }

    /// Reads `raw`, all between the two spaces of a request line.
    pub(super) fn read(&mut self, raw: &[u8], method: Method) -> Result<Form, HeadError> {
        self.clear();
        check_bytes(raw)?;
        self.raw.extend_from_slice(raw);
        if method == Method::Connect {
            return self.read_connect();
        }
        match raw {
            b"*" if method == Method::Options => self.path = 0..1,
            b"*" => return Err(HeadError::AsteriskForm),
            [b'/', ..] => self.split_path(0),
            _ => return self.read_absolute(method),
        }
        Ok(if raw == b"*" { Form::Asterisk } else { Form::Origin })
    }

    fn read_connect(&mut self) -> Result<Form, HeadError> {
        if self.raw.contains(&b'/') {
            return Err(HeadError::AuthorityForm);
        }
        let authority = Authority::parse(&self.raw)?;
        if authority.port.is_none() {
            return Err(HeadError::Authority);
        }
        self.authority = 0..self.raw.len();
        Ok(Form::Authority)
    }

    fn read_absolute(&mut self, method: Method) -> Result<Form, HeadError> {
        let (scheme, start) = scheme(&self.raw)?;
        let rest = &self.raw[start..];
        let end = start + memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        Authority::parse(&self.raw[start..end])?;
        self.authority = start..end;
        self.split_path(end);
        self.implied = if method == Method::Options && self.query.is_none() { b"*" } else { b"/" };
        Ok(Form::Absolute(scheme))
    }

    fn split_path(&mut self, start: usize) {
        let end = self.raw.len();
        match memchr(b'?', &self.raw[start..]) {
            Some(mark) => (self.path, self.query) = (start..start + mark, Some(start + mark + 1..end)),
            None => self.path = start..end,
        }
    }
}

/// Visible ASCII only, and no fragment. No early exit: the loop is vectorised.
fn check_bytes(raw: &[u8]) -> Result<(), HeadError> {
    let illegal = |byte: u8| !(0x21..=0x7e).contains(&byte) || byte == b'#';
    if !raw.iter().fold(raw.is_empty(), |found, &byte| found | illegal(byte)) {
        return Ok(());
    }
    let fragment = raw.contains(&b'#');
    Err(syntax::blame(raw, if fragment { HeadError::Fragment } else { HeadError::Target }))
}

fn scheme(raw: &[u8]) -> Result<(Scheme, usize), HeadError> {
    let is = |scheme: &[u8]| raw.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    match () {
        () if is(b"http://") => Ok((Scheme::Http, 7)),
        () if is(b"https://") => Ok((Scheme::Https, 8)),
        () => Err(HeadError::Scheme),
    }
}

/// `host[:port]`, checked: a name of letters, digits, `-`, `.`, `_`, or an IPv6 address in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host as sent, with its brackets.
    pub host: &'a [u8],
    /// 1 to 65535.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads an authority or a Host value. Percent-encoding, lists, zone identifiers, an empty port and port 0 are
    /// refused: readers differ over them.
    pub fn parse(raw: &'a [u8]) -> Result<Self, HeadError> {
        if memchr(b'@', raw).is_some() {
            return Err(HeadError::Userinfo);
        }
        let len = host_len(raw).ok_or(HeadError::Authority)?;
        let port = match &raw[len..] {
            [] => None,
            [b':', digits @ ..] => Some(port(digits).ok_or(HeadError::Authority)?),
            _ => return Err(HeadError::Authority),
        };
        Ok(Self { host: &raw[..len], port })
    }

    /// Whether both name the same host, and the same port where a port left out means `default`.
    pub(super) fn same(&self, other: &Authority<'_>, default: Option<u16>) -> bool {
        let port = self.port.or(default) == other.port.or(default);
        port && self.host.eq_ignore_ascii_case(other.host)
    }
}

fn host_len(raw: &[u8]) -> Option<usize> {
    if raw.first() == Some(&b'[') {
        let close = memchr(b']', raw)?;
        let text = std::str::from_utf8(&raw[1..close]).ok()?;
        return text.parse::<Ipv6Addr>().is_ok().then_some(close + 1);
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let len = raw.iter().take_while(|byte| is_name(byte)).count();
    (len > 0).then_some(len)
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    u16::try_from(value).ok().filter(|&port| port != 0)
}
