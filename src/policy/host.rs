//! One canonical form of a host, computed once (LESSONS 23). (Skeleton: the policy work completes it.)

use core::net::IpAddr;
use std::sync::Arc;

/// A canonical host: a lower-case ASCII DNS name without its trailing dot, or an IP literal. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    text: Arc<str>,
    ip: Option<IpAddr>,
}

impl Host {
    /// Parses a host as it stands in SNI, CONNECT, Host or a URL, without port, brackets allowed for IPv6.
    pub fn parse(raw: &[u8]) -> Result<Self, HostError> {
        let text = std::str::from_utf8(raw).map_err(|_| HostError::Illegal)?;
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let ip = text.trim_start_matches('[').trim_end_matches(']').parse().ok();
        Ok(Self { text: text.into(), ip })
    }

    /// The canonical text: `api.example.com`, `192.0.2.1`, `2001:db8::1` (no brackets).
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The address, when the host is an IP literal.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }
}

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Nothing there.
    Empty,
    /// A character or form that no host has.
    Illegal,
}
