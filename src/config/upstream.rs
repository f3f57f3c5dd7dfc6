//! `[upstream]`: how origins are reached and which of them are trusted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::ConfigError;
use super::file::{Item, Table};
use super::server::host_pattern;
use crate::policy::host::{Host, HostPattern};

/// How origins are reached and trusted. Nothing here turns verification off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// CA certificates (PEM) that are trusted beside the system's.
    pub extra_ca_files: Vec<PathBuf>,
    /// The oldest TLS version spoken with origins.
    pub min_tls: MinTls,
    /// Hosts with a trust of their own; the first that matches holds.
    pub hosts: Vec<HostTrust>,
    /// The corporate proxy that everything goes through.
    pub via: Option<Via>,
    /// Hosts, `.suffixes`, addresses and ranges that do not go through it.
    pub no_proxy: Vec<String>,
    /// Where some hosts are really dialled.
    pub map: AddressMap,
}

/// The oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinTls {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// `[[upstream.host]]`: what is particular about some hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTrust {
    /// Which hosts.
    pub host: HostPattern,
    /// CA certificates (PEM) that are trusted in place of all others; empty: the usual ones.
    pub ca_files: Vec<PathBuf>,
    /// Certificate chain and key (PEM) that we show.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// The oldest TLS version, where it differs.
    pub min_tls: Option<MinTls>,
}

/// A corporate proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// Whether the proxy itself is spoken to over TLS.
    pub tls: bool,
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Where its Basic credentials (`user:password`) are read.
    pub credentials: Option<Credentials>,
}

/// Where a secret is read. It never stands in the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// `[upstream.map]`: hosts that are not looked up but dialled at a given address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap {
    hosts: HashMap<Host, Vec<(u16, SocketAddr)>>,
    any: Vec<(u16, SocketAddr)>,
}

impl AddressMap {
    /// Where to dial for this host and port, if the map says so; the host's own entry beats `*:port`.
    pub fn get(&self, host: &Host, port: u16) -> Option<SocketAddr> {
        let own = self.hosts.get(host).map_or(&[][..], Vec::as_slice);
        own.iter().chain(&self.any).find(|(mapped, _)| *mapped == port).map(|&(_, address)| address)
    }

    /// Adds an entry; `None` stands for every host. False: there is one already.
    pub fn insert(&mut self, host: Option<Host>, port: u16, address: SocketAddr) -> bool {
        let entries = match host {
            Some(host) => self.hosts.entry(host).or_default(),
            None => &mut self.any,
        };
        let free = entries.iter().all(|(mapped, _)| *mapped != port);
        entries.extend(free.then_some((port, address)));
        free
    }
}

/// Reads `[upstream]`.
pub(super) fn read(mut table: Table<'_>) -> Result<Upstream, ConfigError> {
    let mut upstream = Upstream::default();
    table.read("extra_ca_files", paths, &mut upstream.extra_ca_files)?;
    table.read("min_tls", min_tls, &mut upstream.min_tls)?;
    for host in table.tables("host")? {
        upstream.hosts.push(host_trust(host)?);
    }
    let credentials = credentials(&mut table)?;
    if let Some(item) = table.take("via") {
        upstream.via = Some(via(&item, credentials)?);
    }
    let strings = |item: Item<'_>| item.list()?.into_iter().map(Item::string).collect();
    table.read("no_proxy", strings, &mut upstream.no_proxy)?;
    upstream.map = map(table.table("map")?)?;
    table.finish()?;
    Ok(upstream)
}

fn paths(item: Item<'_>) -> Result<Vec<PathBuf>, ConfigError> {
    item.list()?.into_iter().map(Item::path).collect()
}

fn min_tls(item: Item<'_>) -> Result<MinTls, ConfigError> {
    item.one_of(&[("1.2", MinTls::Tls12), ("1.3", MinTls::Tls13)])
}

fn host_trust(mut table: Table<'_>) -> Result<HostTrust, ConfigError> {
    let Some(item) = table.take("host") else {
        return Err(table.fail("[[upstream.host]] without a host").help("add host = \"api.example.com\""));
    };
    let host = host_pattern(&item, item.str()?)?;
    let mut trust = HostTrust { host, ca_files: Vec::new(), client_certificate: None, min_tls: None };
    table.read("ca_files", paths, &mut trust.ca_files)?;
    table.read_some("min_tls", min_tls, &mut trust.min_tls)?;
    trust.client_certificate = match (table.take("client_certificate"), table.take("client_key")) {
        (Some(certificate), Some(key)) => Some((certificate.path()?, key.path()?)),
        (None, None) => None,
        (Some(alone), None) => {
            return Err(alone.fail("client_certificate without client_key").help("add its key"));
        }
        (None, Some(alone)) => {
            return Err(alone.fail("client_key without client_certificate").help("add it"));
        }
    };
    table.finish()?;
    Ok(trust)
}

fn credentials(table: &mut Table<'_>) -> Result<Option<Credentials>, ConfigError> {
    match (table.take("via_auth_file"), table.take("via_auth_env")) {
        (Some(_), Some(env)) => Err(env.fail("both via_auth_file and via_auth_env").help("keep one of them")),
        (Some(file), None) => Ok(Some(Credentials::File(file.path()?))),
        (None, Some(env)) => Ok(Some(Credentials::Env(env.string()?))),
        (None, None) => Ok(None),
    }
}

fn via(item: &Item<'_>, credentials: Option<Credentials>) -> Result<Via, ConfigError> {
    let text = item.str()?;
    let form = || {
        item.fail(format!("{text:?} is no proxy address")).help("write http://HOST:PORT or https://HOST:PORT")
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err(item
            .fail("the proxy's credentials stand in the configuration")
            .help("put user:password into a file and name it in via_auth_file, or use via_auth_env"));
    }
    let (tls, usual_port) = match scheme {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => return Err(form()),
    };
    let (host, port) = Host::parse_authority(authority.as_bytes()).map_err(|_| form())?;
    Ok(Via { tls, host, port: port.unwrap_or(usual_port), credentials })
}

fn map(table: Table<'_>) -> Result<AddressMap, ConfigError> {
    let mut map = AddressMap::default();
    for (key, item) in table.drain() {
        let (host, port) = mapped(&item, &key)?;
        let to = item.str()?;
        let address = to.parse().map_err(|_| {
            item.fail(format!("{to:?} is no address to dial"))
                .help("write \"IP:PORT\", such as \"127.0.0.1:9443\"")
        })?;
        if !map.insert(host, port, address) {
            return Err(item.fail(format!("{key:?} is mapped twice")));
        }
    }
    Ok(map)
}

fn mapped(item: &Item<'_>, key: &str) -> Result<(Option<Host>, u16), ConfigError> {
    let form = || item.fail(format!("{key:?} is no host and port")).help("write \"HOST:PORT\" or \"*:PORT\"");
    if let Some(port) = key.strip_prefix("*:") {
        return port.parse().ok().filter(|&port| port > 0).map(|port| (None, port)).ok_or_else(form);
    }
    match Host::parse_authority(key.as_bytes()) {
        Ok((host, Some(port))) => Ok((Some(host), port)),
        _ => Err(form()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_own_entry_beats_the_one_for_every_host() {
        let host = |text: &str| Host::parse(text.as_bytes()).expect("a host");
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let mut map = AddressMap::default();
        assert!(map.insert(None, 443, address("127.0.0.1:1")));
        assert!(map.insert(Some(host("a.test")), 443, address("127.0.0.1:2")));
        assert!(!map.insert(Some(host("a.test")), 443, address("127.0.0.1:3")));
        assert_eq!(map.get(&host("A.test."), 443), Some(address("127.0.0.1:2")));
        assert_eq!(map.get(&host("b.test"), 443), Some(address("127.0.0.1:1")));
        assert_eq!(map.get(&host("a.test"), 80), None);
    }
}
