//! A page as the doctor fetches it: one request on a connection of its own, with the times of its first and last byte.
//!
//! It shares no parser with the proxy. It follows nothing and tries nothing twice.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::demo::client::{Client, Opened, Reply, Request, Route};
use crate::demo::http1::Head;

/// How long one step may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// `http://HOST[:PORT]/PATH`, or https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err("begins with neither http:// nor https://".to_owned()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("{port} is no port"))?),
            None => (authority, if tls { 443 } else { 80 }),
        };
        if host.is_empty() || host.contains(['[', '@']) {
            return Err("names no host".to_owned());
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { tls, host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl Url {
    /// The first page of a host, over TLS.
    pub(super) fn of_host(host: &str) -> Self {
        Self { tls: true, host: host.to_owned(), port: 443, path: "/".to_owned() }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(out, "{scheme}://{}{}", self.host, self.path)
    }
}

/// What came back.
pub(super) struct Page {
    /// The status.
    pub(super) status: u16,
    /// The beginning of the body, as text.
    pub(super) text: String,
    /// From the first byte of the body to its last.
    pub(super) spread: Duration,
}

impl Page {
    /// Whether the proxy wrote this itself, because it refuses the request or could not carry it out.
    pub(super) fn is_ours(&self) -> bool {
        self.status >= 400 && self.text.contains("tollgate")
    }

    fn of(reply: &Reply) -> Self {
        let spread = reply.first_byte.map_or(Duration::ZERO, |first| now().saturating_duration_since(first));
        let text = String::from_utf8_lossy(&reply.body[..reply.body.len().min(4096)]).into_owned();
        Self { status: reply.status, text, spread }
    }
}

/// Fetches a page; TLS is verified by the certificates of `roots`.
pub(super) fn fetch(url: &Url, roots: &Path) -> io::Result<Page> {
    let mut addresses = (url.host.as_str(), url.port).to_socket_addrs()?;
    let address = addresses.next().ok_or_else(|| io::Error::other("the name has no address"))?;
    if url.tls {
        encrypted(address, &url.host, &url.path, roots)
    } else {
        plain(address, &url.host, &url.path)
    }
}

/// Over TLS, from whoever answers at an address.
pub(super) fn encrypted(address: SocketAddr, host: &str, path: &str, roots: &Path) -> io::Result<Page> {
    let client = Client::new(Route::Transparent(address), roots)?;
    match client.open(host)? {
        Opened::Link(mut link) => {
            let request = Request { method: "GET", host, target: path, fields: &[], body: &[] };
            link.send(&request, &mut || ()).map(|reply| Page::of(&reply))
        }
        Opened::Refused(reply) => Ok(Page::of(&reply)),
    }
}

/// Without TLS, from whoever answers at an address.
pub(super) fn plain(address: SocketAddr, host: &str, path: &str) -> io::Result<Page> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut from = BufReader::new(stream);
    let head = Head::read(&mut from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let (status, mut body, mut first_byte) = (head.status()?, Vec::new(), None);
    head.response_body("GET")?.read(&mut from, &mut |piece| {
        first_byte.get_or_insert_with(now);
        body.extend_from_slice(piece);
    })?;
    Ok(Page::of(&Reply { status, head, body, first_byte }))
}

#[expect(clippy::disallowed_methods, reason = "the doctor stands outside the proxy and measures it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_a_host_and_maybe_a_port() {
        let url = |text: &str| text.parse::<Url>();
        assert_eq!(url("https://a.test"), Ok(Url::of_host("a.test")));
        let other = Url { tls: false, host: "a.test".into(), port: 81, path: "/b?c".into() };
        assert_eq!(url("http://a.test:81/b?c"), Ok(other));
        for bad in ["a.test", "ftp://a.test/", "http://", "http://a.test:x/", "http://u@a.test/"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
