//! The smallest HTTP client that a collector needs: one POST with a JSON body on a connection of its own, by plain
//! HTTP. It refuses `https`: a collector beside the proxy, or a tunnel to one, is the documented way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::ExportError;

/// How long a collector may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    authority: String,
    prefix: String,
    headers: String,
}

impl Endpoint {
    /// Reads `http://host:port[/prefix]`; header fields must be printable.
    pub(super) fn parse(url: &str, headers: Vec<(String, String)>) -> Result<Self, String> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(format!(
                "{url:?} is no http:// URL (for https run a collector or a tunnel beside tollgate)"
            ));
        };
        let (authority, prefix) =
            rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        if authority.is_empty() || authority.contains('@') || url.chars().any(|c| c.is_control() || c == ' ')
        {
            return Err(format!("{url:?} has no host that can be used"));
        }
        let port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if port { authority.to_owned() } else { format!("{authority}:4318") };
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        let mut lines = String::new();
        for (name, value) in headers {
            if name.is_empty()
                || format!("{name}{value}").chars().any(char::is_control)
                || name.contains([' ', ':'])
            {
                return Err(format!("{name:?} is no header field"));
            }
            lines.extend([&name, ": ", &value, "\r\n"]);
        }
        Ok(Self { authority, prefix, headers: lines })
    }

    /// Posts a document; anything but a 2xx answer is an error.
    pub(super) fn post(&self, path: &str, body: &str) -> Result<(), ExportError> {
        let mut stream = self.connect()?;
        let head = format!(
            "POST {}{path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n{}\r\n",
            self.prefix,
            self.authority,
            body.len(),
            self.headers
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        match status(BufReader::new(stream.take(ANSWER)))? {
            200..=299 => Ok(()),
            refused => Err(ExportError::Refused(refused)),
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => {
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

/// The status of an answer; the connection is closed after it, so the rest does not matter.
fn status(mut answer: impl BufRead) -> io::Result<u16> {
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let status =
        line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let endpoint =
            Endpoint::parse("http://127.0.0.1:9/a/", vec![("x-k".into(), "v".into())]).expect("a URL");
        assert_eq!((endpoint.authority.as_str(), endpoint.prefix.as_str()), ("127.0.0.1:9", "/a"));
        assert_eq!(endpoint.headers, "x-k: v\r\n");
        assert_eq!(
            Endpoint::parse("http://collector", Vec::new()).expect("a URL").authority,
            "collector:4318"
        );
        for url in ["https://x", "http://", "http://u@x/", "http://a b", "x:1"] {
            assert!(Endpoint::parse(url, Vec::new()).is_err(), "{url}");
        }
        assert!(Endpoint::parse("http://x", vec![("a".into(), "b\r\nc: d".into())]).is_err());
    }

    #[test]
    fn answers_are_read_to_their_status() {
        assert_eq!(status(&b"HTTP/1.1 200 OK\r\n\r\n"[..]).expect("HTTP"), 200);
        assert_eq!(status(&b"HTTP/1.0 503 no\r\n"[..]).expect("HTTP"), 503);
        assert!(status(&b"SSH-2.0"[..]).is_err());
    }
}
