//! Response heads (RFC 9112 §4): strict where framing hangs on it, lenient where real origins are odd and our
//! rewriting mends it.

use memchr::memchr;

use super::request::{read_upgrade, read_version};
use super::syntax::{self, LineEnd};
use super::{Fields, HeadError, HeadLimits, Method, Upgrade, Version, framing};
use crate::wire::body::Framing;

/// One response's head. Reused like a request's.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The version.
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    reason: Vec<u8>,
    /// All header fields as received, hop-by-hop ones too.
    pub fields: Fields,
    /// How long the body is, given the request's method.
    pub framing: Framing,
    /// The length that Content-Length declares; it stands without a body in answers to HEAD and in 304.
    pub content_length: Option<u64>,
    /// Whether the connection can carry another request once the body has ended: false with [`Framing::Close`].
    pub keep_alive: bool,
    /// What `Upgrade` says; in a 101 this is what the connection has become.
    pub upgrade: Option<Upgrade>,
}

impl ResponseHead {
    /// Forgets reason and fields, as [`super::RequestHead::clear`] does.
    pub fn clear(&mut self) {
        self.reason.clear();
        self.reason.shrink_to(64);
        self.fields.clear();
    }

    /// The reason phrase as sent, empty where there is none.
    pub fn reason(&self) -> &[u8] {
        &self.reason
    }

    /// Whether another head follows: 1xx except 101 (RFC 9110 §15.2).
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }
}

/// Reads `head`, exactly one as [`super::HeadScan::for_response`] found it. Any error is a broken origin: 502.
pub fn parse_response(
    head: &[u8],
    request_method: &Method,
    out: &mut ResponseHead,
    limits: &HeadLimits,
) -> Result<(), HeadError> {
    out.clear();
    let (line, block) = syntax::split_line(head)?;
    let end = if line.ends_with(b"\r") { LineEnd::CrLf } else { LineEnd::Lf };
    read_status_line(end.strip(line)?, out)?;
    if head.len() > limits.header_block + 2 {
        return Err(HeadError::HeaderBlockTooLarge);
    }
    out.fields.read(block, end, true)?;
    if out.fields.len() > limits.header_fields {
        return Err(HeadError::TooManyFields);
    }
    let connection = out.fields.connection()?;
    (out.framing, out.content_length) =
        framing::of_response(&out.fields, out.version, out.status, *request_method)?;
    out.keep_alive = connection.persists(out.version) && out.framing != Framing::Close;
    out.upgrade = read_upgrade(&out.fields, connection.upgrade);
    Ok(())
}

/// Whether a status line can begin like this: an origin of another protocol is known by its first wrong byte (P29).
pub(super) fn begins(line: &[u8]) -> Result<(), HeadError> {
    let fits = |(at, byte): (usize, u8)| match at {
        0..=4 => byte == b"HTTP/"[at],
        6 => byte == b'.',
        8 => byte == b' ',
        _ => byte.is_ascii_digit(),
    };
    match line.iter().copied().take(12).enumerate().find(|&place| !fits(place)) {
        Some((_, byte)) => Err(syntax::blame(&[byte], HeadError::StatusLine)),
        None => Ok(()),
    }
}

/// `HTTP/1.1 200 OK`; the reason may be missing, and the space before it too.
fn read_status_line(line: &[u8], out: &mut ResponseHead) -> Result<(), HeadError> {
    let broken = || syntax::blame(line, HeadError::StatusLine);
    let space = memchr(b' ', line).ok_or_else(broken)?;
    out.version = read_version(&line[..space])?;
    let (digits, rest) = line[space + 1..].split_at_checked(3).ok_or_else(broken)?;
    out.status = status(digits).ok_or_else(broken)?;
    let reason = match rest {
        [] => rest,
        [b' ', reason @ ..] => reason,
        _ => return Err(broken()),
    };
    if syntax::has_control(reason) {
        return Err(broken());
    }
    out.reason.extend_from_slice(reason);
    Ok(())
}

fn status(digits: &[u8]) -> Option<u16> {
    let push = |value: u16, byte: &u8| byte.is_ascii_digit().then(|| value * 10 + u16::from(byte - b'0'));
    digits.iter().try_fold(0, push).filter(|&status| status >= 100)
}
