//! The list of hosts that go past the corporate proxy.

use core::fmt;

use crate::policy::address::Cidr;
use crate::policy::host::{Host, HostPattern};

/// Hosts that are reached without the corporate proxy.
///
/// The customary meaning (that of Go and curl): `example.com` is that host and all below it, `.example.com`
/// and `*.example.com` only what is below, `10.0.0.0/8` and `fd00::/8` address literals, `*` everything; each
/// may end in a port.
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
