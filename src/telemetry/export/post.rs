//! The smallest HTTP client that a collector needs: one POST with a JSON body on a connection of its own, plain or TLS.
//! It follows no redirect.

use std::io::{self, ErrorKind, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::ExportError;
use super::answer::{Answer, Reading};
use crate::leg::Leg;
use crate::policy::host::Host;

/// How long a collector may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: Host,
    port: u16,
    secure: bool,
    prefix: String,
    /// Whole lines.
    headers: String,
}

impl Endpoint {
    /// Reads `http://host[:port][/prefix]` or `https://…`. Without a port it is OTLP's own, 4318, and for https 443.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (rest, secure, usual) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, false, 4318),
            (_, Some(rest)) => (rest, true, 443),
            _ => return Err(format!("{url:?} is no http:// or https:// URL")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = Host::parse_authority(authority.as_bytes())
            .map_err(|error| format!("{url:?} has no host that can be used: {error}"))?;
        if path.chars().any(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
            return Err(format!("the path of {url:?} cannot be used"));
        }
        let path = path.trim_end_matches('/');
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { host, port: port.unwrap_or(usual), secure, prefix, headers: String::new() })
    }

    /// With one more header field, whose name and value must be printable.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, String> {
        let fit = !name.is_empty() && !name.contains([' ', ':']) && !value.chars().any(char::is_control);
        if !fit || name.chars().any(char::is_control) {
            return Err(format!("{name:?} is no header field that can be sent"));
        }
        self.headers.extend([name, ": ", value, "\r\n"]);
        Ok(self)
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether it is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Posts a document and gives the collector's words on it, which are empty where all is well; anything but a 2xx
    /// answer is an error. `tls` is whom to trust where it is reached by TLS.
    pub(super) fn post(
        &self,
        tls: Option<&Arc<ClientConfig>>,
        path: &str,
        body: &str,
    ) -> Result<String, ExportError> {
        let mut leg = self.leg(tls)?;
        let authority =
            if self.host.as_str().contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        let head = format!(
            "POST {}{path} HTTP/1.1\r\nHost: {authority}:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n{}\r\n",
            self.prefix,
            self.port,
            body.len(),
            self.headers
        );
        leg.send(head.as_bytes());
        leg.send(body.as_bytes());
        let answer = exchange(&mut leg, &self.connect()?)?;
        if (200..300).contains(&answer.status) {
            Ok(answer.message)
        } else {
            Err(ExportError::Refused(answer))
        }
    }

    fn leg(&self, tls: Option<&Arc<ClientConfig>>) -> io::Result<Leg> {
        if !self.secure {
            return Ok(Leg::plain());
        }
        let name = match self.host.ip() {
            Some(ip) => ServerName::IpAddress(ip.into()),
            None => ServerName::try_from(self.host.as_str().to_owned()).map_err(io::Error::other)?,
        };
        let tls = tls.ok_or_else(|| io::Error::other("nobody said whom to trust"))?;
        Leg::client(Arc::clone(tls), name).map_err(io::Error::other)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Sends what the leg holds and reads the answer.
fn exchange(leg: &mut Leg, mut stream: &TcpStream) -> io::Result<Answer> {
    let (mut reading, mut bytes) = (Reading::new(), [0; 4 << 10]);
    loop {
        leg.flush(&mut stream)?;
        let read = match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(io::Error::new(ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}")));
            }
            Err(error) => return Err(error),
        };
        leg.feed(&bytes[..read]).map_err(io::Error::other)?;
        let mut complete = false;
        while let piece @ [_, ..] = leg.inbox() {
            complete = reading.feed(piece)?;
            let length = piece.len();
            leg.consume(length);
        }
        if complete {
            break;
        }
    }
    let broken = || io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed without an answer");
    reading.done().ok_or_else(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        for (url, host, port, secure, prefix) in [
            ("http://127.0.0.1:9/a/", "127.0.0.1", 9, false, "/a"),
            ("http://collector", "collector", 4318, false, ""),
            ("https://Collector.test/otlp/x", "collector.test", 443, true, "/otlp/x"),
            ("https://[::1]:4318", "::1", 4318, true, ""),
        ] {
            let endpoint = Endpoint::parse(url).expect(url);
            let read = (endpoint.host.as_str(), endpoint.port, endpoint.secure, endpoint.prefix.as_str());
            assert_eq!(read, (host, port, secure, prefix), "{url}");
        }
        for url in [
            "ftp://x",
            "http://",
            "http://u@x/",
            "http://a b",
            "x:1",
            "http://x/a b",
            "http://x/?a",
            "http://x:0",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn header_fields_cannot_begin_another() {
        let endpoint = Endpoint::parse("http://x").expect("a URL");
        let with = endpoint.clone().with_header("x-k", "v").expect("a field");
        assert_eq!(with.headers, "x-k: v\r\n");
        for (name, value) in [("a", "b\r\nc: d"), ("a\r\nb", "c"), ("", "v"), ("a:", "v"), ("a b", "v")] {
            assert!(endpoint.clone().with_header(name, value).is_err(), "{name:?}: {value:?}");
        }
    }
}
