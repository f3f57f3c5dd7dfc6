//! Addresses to listen on: `tcp://127.0.0.1:8080`, `unix:///run/tollgate/guest.sock`, `vsock://any:5002`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An IP address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
    /// A vsock port, on one context id or on any (`None`).
    Vsock {
        /// The context id.
        cid: Option<u32>,
        /// The port.
        port: u32,
    },
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = match text.split_once("://") {
            Some(("tcp", rest)) => rest.parse().ok().map(Self::Tcp),
            Some(("unix", path)) => path.starts_with('/').then(|| Self::Unix(path.into())),
            Some(("vsock", rest)) => vsock(rest),
            Some(_) => None,
            None => return Err(without_scheme(text)),
        };
        read.ok_or_else(|| format!("{text:?} is no address; write {FORMS}"))
    }
}

/// As it is typed: `FromStr` reads it back.
impl fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "tcp://{address}"),
            Self::Unix(path) => write!(out, "unix://{}", path.display()),
            Self::Vsock { cid: None, port } => write!(out, "vsock://any:{port}"),
            Self::Vsock { cid: Some(cid), port } => write!(out, "vsock://{cid}:{port}"),
        }
    }
}

impl ListenAddress {
    /// Whether only this machine can reach it: a socket file, or a loopback address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => is_loopback(address.ip()),
            Self::Unix(_) => true,
            Self::Vsock { .. } => false,
        }
    }
}

const FORMS: &str = "tcp://IP:PORT, unix:///PATH or vsock://any:PORT";

fn vsock(rest: &str) -> Option<ListenAddress> {
    let (cid, port) = rest.split_once(':')?;
    let cid = if cid == "any" { None } else { Some(cid.parse().ok()?) };
    Some(ListenAddress::Vsock { cid, port: port.parse().ok()? })
}

fn without_scheme(text: &str) -> String {
    match text.parse::<SocketAddr>() {
        Ok(_) => format!("{text:?} has no scheme; write tcp://{text}"),
        Err(_) if text.starts_with('/') => format!("{text:?} has no scheme; write unix://{text}"),
        Err(_) => format!("{text:?} is no address; write {FORMS}"),
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_are_written() {
        for text in [
            "tcp://127.0.0.1:8080",
            "tcp://[::1]:0",
            "unix:///run/tollgate/guest.sock",
            "vsock://any:5002",
            "vsock://3:5002",
        ] {
            assert_eq!(text.parse::<ListenAddress>().map(|address| address.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_address_says_how_to_write_one() {
        for (text, hint) in [
            ("127.0.0.1:80", "write tcp://127.0.0.1:80"),
            ("/run/x.sock", "write unix:///run/x.sock"),
            ("unix://x.sock", "tcp://IP:PORT"),
            ("tcp://localhost:80", "tcp://IP:PORT"),
            ("http://127.0.0.1:80", "tcp://IP:PORT"),
            ("vsock://2", "tcp://IP:PORT"),
            ("", "tcp://IP:PORT"),
        ] {
            let error = text.parse::<ListenAddress>().expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
