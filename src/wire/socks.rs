//! SOCKS5, server side (sketch of the interface).

use core::net::IpAddr;

/// The server's side of a SOCKS5 handshake.
#[derive(Debug, Default)]
pub struct Socks {
    user: Option<Box<[u8]>>,
}

/// What a step led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocksStep {
    /// Call again with more bytes.
    NeedMore,
    /// The client wants this connection; answer with [`reply`].
    Request(SocksRequest),
}

/// A CONNECT request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocksRequest {
    /// Where to.
    pub target: SocksTarget,
    /// Port.
    pub port: u16,
    /// Bytes of the whole handshake, counted from the first; what follows belongs to the connection.
    pub used: usize,
}

/// Where a SOCKS client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocksTarget {
    /// An address.
    Ip(IpAddr),
    /// A name, as it was sent.
    Name(Box<[u8]>),
}

impl Socks {
    /// A fresh machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads on; `all` is every byte received so far. Answers to send are appended to `out`, on errors too.
    pub fn step(&mut self, all: &[u8], out: &mut Vec<u8>) -> Result<SocksStep, SocksError> {
        let _ = (all, out);
        Ok(SocksStep::NeedMore)
    }

    /// The user name, where the client sent one.
    pub fn user(&self) -> Option<&[u8]> {
        self.user.as_deref()
    }
}

/// A reply record with the unspecified address.
pub fn reply(code: u8) -> [u8; 10] {
    [5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocksError {
    /// Not SOCKS5.
    Version,
}

impl SocksError {
    /// For the record.
    pub fn as_str(self) -> &'static str {
        "not SOCKS5"
    }
}
