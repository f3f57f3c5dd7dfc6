//! PROXY protocol v2 (sketch of the interface).

use core::net::IpAddr;

/// TLV type of the client process's name (UTF-8).
pub const TLV_PROCESS_NAME: u8 = 0xe0;
/// TLV type of its process id (u32, big endian).
pub const TLV_PROCESS_ID: u8 = 0xe1;
/// TLV type of its user id (u32, big endian).
pub const TLV_USER_ID: u8 = 0xe2;

/// What the header is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// The sender speaks for itself (health checks): addresses mean nothing.
    Local,
    /// The sender carries somebody else's connection.
    #[default]
    Proxy,
}

/// One PROXY v2 header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// LOCAL or PROXY.
    pub command: Command,
    /// Who connected.
    pub source: Option<(IpAddr, u16)>,
    /// Where to.
    pub destination: Option<(IpAddr, u16)>,
    /// TLV 0x02: the name that the client asked for.
    pub authority: Option<String>,
    /// The client process's name.
    pub process_name: Option<String>,
    /// Its process id.
    pub process_id: Option<u32>,
    /// Its user id.
    pub user_id: Option<u32>,
}

/// Parses a header at the start of `bytes`; with it, how many bytes it took.
pub fn parse(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    if bytes.is_empty() { Ok(None) } else { Err(ProxyError::NotProxy) }
}

/// Appends the header to `out`.
pub fn write(header: &ProxyHeader, out: &mut Vec<u8>) {
    let _ = (header, out);
}

/// Why bytes are no PROXY v2 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// Another protocol.
    NotProxy,
}

impl ProxyError {
    /// For the record.
    pub fn as_str(self) -> &'static str {
        "no PROXY v2 header"
    }
}
