//! Request heads (RFC 9112 §3): read whole, or refused with the rule that was broken.

use memchr::memchr;

use super::fields::Kind;
use super::syntax::{self, LineEnd};
use super::{
    Authority, Connection, Fields, Form, HeadError, HeadLimits, Method, Scheme, Target, Token, Upgrade,
    Version, framing,
};
use crate::wire::body::Framing;

/// One request's head. Reused: reading into one that has read a typical head before allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target's form.
    pub form: Form,
    /// The target as sent.
    pub target: Target,
    /// The version.
    pub version: Version,
    /// All header fields as received, hop-by-hop ones too.
    pub fields: Fields,
    /// How long the body is; never [`Framing::Close`].
    pub framing: Framing,
    /// What `Connection` says.
    pub connection: Connection,
    /// The client waits for a 100 before it sends the body. False in HTTP/1.0, where RFC 9110 §10.1.1 has the
    /// expectation ignored (and the field removed).
    pub expect_continue: bool,
    /// What `Upgrade` asks for.
    pub upgrade: Option<Upgrade>,
}

impl RequestHead {
    /// Forgets target and fields, and gives back what memory an unusually large head took. For connections that go
    /// idle; reading does it by itself.
    pub fn clear(&mut self) {
        self.target.clear();
        self.fields.clear();
    }

    /// The path as sent, without the query: `/` where an absolute target has none, empty for CONNECT.
    pub fn path(&self) -> &[u8] {
        self.target.path()
    }

    /// What follows the target's first `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.target.query()
    }

    /// `host[:port]` that the request is for: the target's, else the Host field's. None in HTTP/1.0 only.
    pub fn host(&self) -> Option<&[u8]> {
        self.target.authority().or_else(|| self.fields.of_kind(Kind::Host).next())
    }

    /// How many more times an OPTIONS or a TRACE may be handed on, where it says so (RFC 9110 §7.6.2).
    pub fn hops_left(&self) -> Result<Option<u64>, HeadError> {
        if !matches!(self.method, Method::Options | Method::Trace) {
            return Ok(None);
        }
        let mut values = self.fields.all(b"max-forwards");
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => framing::decimal(value).map(Some).ok_or(HeadError::MaxForwards),
            _ => Err(HeadError::MaxForwards),
        }
    }

    /// Whether the client means to send another request on this connection.
    pub fn keep_alive(&self) -> bool {
        self.connection.persists(self.version)
    }
}

/// Reads `head`, exactly one as [`super::HeadScan`] found it: empty lines before it and the one at its end included.
/// On an error `out` holds what was read of it, for the record; nothing if the target is empty.
pub fn parse_request(head: &[u8], out: &mut RequestHead, limits: &HeadLimits) -> Result<(), HeadError> {
    out.clear();
    let (line, block) = first_line(head)?;
    if line.len() > limits.request_line {
        return Err(HeadError::RequestLineTooLong);
    }
    read_line(line, out)?;
    if block.len() > limits.header_block + 2 {
        return Err(HeadError::HeaderBlockTooLarge);
    }
    out.fields.read(block, LineEnd::CrLf, false)?;
    if out.fields.len() > limits.header_fields {
        return Err(HeadError::TooManyFields);
    }
    check_host(out)?;
    out.connection = out.fields.connection()?;
    out.framing = framing::of_request(&out.fields, out.version, out.method)?;
    out.upgrade = upgrade(out);
    read_expect(out)
}

/// Whether a request line can begin like this: the first byte that cannot stand in a method, or after one, is refused
/// before its line is whole, and before the line's length counts. Looks at a constant number of bytes.
pub(super) fn begins(line: &[u8]) -> Result<(), HeadError> {
    let start = &line[..line.len().min(Token::MAX + 1)];
    let Some(end) = start.iter().position(|&byte| !syntax::is_tchar(byte)) else {
        return if start.len() > Token::MAX { Err(HeadError::MethodTooLong) } else { Ok(()) };
    };
    match line[end] {
        b' ' if end == 0 => Err(HeadError::RequestLine),
        b' ' => target_begins(&line[end + 1..], &line[..end]),
        _ => Err(syntax::blame(&line[end..=end], HeadError::Method)),
    }
}

/// What is no path must be an http or https URL, but for CONNECT.
fn target_begins(target: &[u8], method: &[u8]) -> Result<(), HeadError> {
    let begins = |scheme: &[u8]| {
        let common = target.len().min(scheme.len());
        target[..common].eq_ignore_ascii_case(&scheme[..common])
    };
    match target.first() {
        None | Some(b'/' | b'*') => Ok(()),
        _ if method == b"CONNECT" || begins(b"http://") || begins(b"https://") => Ok(()),
        Some(b' ') => Err(HeadError::RequestLine),
        Some(&byte) => Err(syntax::blame(&[byte], HeadError::Scheme)),
    }
}

/// The request line, and the header block with its empty line. Skips empty lines (RFC 9112 §2.2).
fn first_line(head: &[u8]) -> Result<(&[u8], &[u8]), HeadError> {
    let mut rest = head;
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        rest = after;
    }
    let (line, block) = syntax::split_line(rest)?;
    Ok((LineEnd::CrLf.strip(line)?, block))
}

fn read_line(line: &[u8], out: &mut RequestHead) -> Result<(), HeadError> {
    let shape = || syntax::blame(line, HeadError::RequestLine);
    let (method, rest) = split_space(line).ok_or_else(shape)?;
    let (target, version) = split_space(rest).ok_or_else(shape)?;
    if method.is_empty() || target.is_empty() {
        return Err(shape());
    }
    out.method = Method::parse(method)?;
    let version = read_version(version);
    let form = out.target.read(target, out.method);
    out.version = version?;
    out.form = form?;
    Ok(())
}

fn split_space(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr(b' ', text)?;
    Some((&text[..space], &text[space + 1..]))
}

/// `HTTP/1.0` or `HTTP/1.1`; other well-formed versions are told apart from what is no version at all.
pub(super) fn read_version(text: &[u8]) -> Result<Version, HeadError> {
    match text {
        b"HTTP/1.1" => Ok(Version::H11),
        b"HTTP/1.0" => Ok(Version::H10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(HeadError::VersionUnsupported),
        _ if memchr(b' ', text).is_some() => Err(syntax::blame(text, HeadError::RequestLine)),
        _ => Err(syntax::blame(text, HeadError::Version)),
    }
}

/// One Host, well-formed, and the target's where that names one (P14, RFC 9112 §3.2).
fn check_host(head: &RequestHead) -> Result<(), HeadError> {
    let mut hosts = head.fields.of_kind(Kind::Host);
    let Some(raw) = hosts.next() else {
        return if head.version == Version::H10 { Ok(()) } else { Err(HeadError::NoHost) };
    };
    if hosts.next().is_some() {
        return Err(HeadError::TwoHosts);
    }
    let host = Authority::parse(raw).map_err(|error| match error {
        HeadError::Userinfo => error,
        _ => HeadError::Host,
    })?;
    let Some(target) = head.target.authority() else { return Ok(()) };
    let target = Authority::parse(target)?;
    let default = match head.form {
        Form::Absolute(scheme) => Some(scheme.default_port()),
        // Many clients leave the port out of the Host that goes with CONNECT.
        _ if host.port.is_none() => target.port,
        _ => Some(Scheme::Https.default_port()),
    };
    if target.same(&host, default) { Ok(()) } else { Err(HeadError::HostMismatch) }
}

/// `100-continue` or nothing (417).
fn read_expect(out: &mut RequestHead) -> Result<(), HeadError> {
    let mut values = out.fields.of_kind(Kind::Expect);
    let expected = match (values.next(), values.next()) {
        (None, _) => false,
        (Some(value), None) if value.eq_ignore_ascii_case(b"100-continue") => true,
        _ => return Err(HeadError::Expectation),
    };
    drop(values);
    out.expect_continue = expected && out.version == Version::H11;
    if expected && !out.expect_continue {
        out.fields.remove(b"expect");
    }
    Ok(())
}

fn upgrade(head: &RequestHead) -> Option<Upgrade> {
    let bodiless = matches!(head.framing, Framing::None | Framing::Length(0));
    let able =
        head.method == Method::Get && head.version == Version::H11 && bodiless && head.form != Form::Asterisk;
    read_upgrade(&head.fields, head.connection.upgrade && able)
}

/// What the Upgrade fields ask for; `able` says whether the rest of the head allows a WebSocket.
pub(super) fn read_upgrade(fields: &Fields, able: bool) -> Option<Upgrade> {
    let mut values = fields.of_kind(Kind::Upgrade);
    let first = values.next()?;
    let h2c = |value: &[u8]| syntax::list(value).any(|protocol| protocol.eq_ignore_ascii_case(b"h2c"));
    Some(match values.next() {
        None if able && first.eq_ignore_ascii_case(b"websocket") => Upgrade::WebSocket,
        _ if fields.of_kind(Kind::Upgrade).any(h2c) => Upgrade::H2c,
        _ => Upgrade::Other,
    })
}
