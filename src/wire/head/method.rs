//! Methods: case-sensitive tokens (RFC 9110 §9.1); the common ones by name, the rest inline, none on the heap.

use super::{HeadError, syntax};

/// A request method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the methods of RFC 9110 §9.3 and RFC 5789")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token.
    Other(Token),
}

/// A short token held in place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Token {
    /// The longest token kept; the longest registered method has 17 bytes.
    pub const MAX: usize = 31;

    /// The token's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl Method {
    /// Reads a method; `get` is not GET.
    pub fn parse(raw: &[u8]) -> Result<Self, HeadError> {
        Ok(match raw {
            b"GET" => Self::Get,
            b"POST" => Self::Post,
            b"HEAD" => Self::Head,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other(other(raw)?),
        })
    }

    /// The method as it stands on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Get => b"GET",
            Self::Head => b"HEAD",
            Self::Post => b"POST",
            Self::Put => b"PUT",
            Self::Delete => b"DELETE",
            Self::Connect => b"CONNECT",
            Self::Options => b"OPTIONS",
            Self::Trace => b"TRACE",
            Self::Patch => b"PATCH",
            Self::Other(token) => token.as_bytes(),
        }
    }

    /// The same as text; tokens are ASCII.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Whether the method is read-only by definition (RFC 9110 §9.2.1).
    pub fn is_safe(&self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Whether sending it twice means the same as once (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }
}

fn other(raw: &[u8]) -> Result<Token, HeadError> {
    if !syntax::is_token(raw) {
        return Err(syntax::blame(raw, HeadError::Method));
    }
    if raw.len() > Token::MAX {
        return Err(HeadError::MethodTooLong);
    }
    let mut bytes = [0; Token::MAX];
    bytes[..raw.len()].copy_from_slice(raw);
    Ok(Token { len: raw.len() as u8, bytes })
}
