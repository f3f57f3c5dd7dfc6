//! CONNECT through a corporate proxy (RFC 9110 §9.3.6), as bytes in and bytes out.
//!
//! It fails closed: anything but a well-formed 2xx within [`HEAD_MAX`] bytes ends the attempt. It never asks
//! an origin directly instead.

mod no_proxy;
mod options;

pub use no_proxy::{NoProxy, NoProxyError};
pub use options::{ViaOptions, ViaSetupError};

use crate::policy::host::Host;

/// The longest head of a proxy's answer.
pub const HEAD_MAX: usize = 16 << 10;

/// One CONNECT under way on a connection to the proxy.
#[derive(Debug)]
pub struct Via {
    /// Bytes of the answer's head so far.
    seen: usize,
    /// Its first bytes, `HTTP/1.1 200`.
    start: [u8; 12],
    /// Bytes of the current line so far, line ends not counted.
    line: usize,
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViaStep {
    /// All input was taken; the head goes on.
    NeedMore,
    /// The tunnel stands; what follows these `used` bytes of the last input is the origin's.
    Established {
        /// Bytes of the last input that belong to the proxy's answer.
        used: usize,
    },
}

/// Why there is no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViaError {
    /// The proxy's status code, where it gave one.
    pub status: Option<u16>,
    /// The ledger's words for it.
    pub label: &'static str,
}

impl Via {
    /// The machine, and the request to send first.
    pub fn new(options: &ViaOptions, host: &Host, port: u16) -> (Self, Vec<u8>) {
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(value) = &options.authorization {
            request.push_str("Proxy-Authorization: ");
            request.push_str(value);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        (Self { seen: 0, start: [0; 12], line: 0 }, request.into_bytes())
    }

    /// Takes what the proxy sent, however it is cut.
    pub fn read(&mut self, input: &[u8]) -> Result<ViaStep, ViaError> {
        for (at, &byte) in input.iter().enumerate() {
            if self.take(byte)? {
                self.verdict()?;
                return Ok(ViaStep::Established { used: at + 1 });
            }
        }
        Ok(ViaStep::NeedMore)
    }

    /// The proxy closed before its answer was whole.
    pub fn closed(&self) -> ViaError {
        ViaError { status: None, label: "corporate proxy closed the connection" }
    }

    /// Takes one byte; true at the end of the head.
    fn take(&mut self, byte: u8) -> Result<bool, ViaError> {
        if let Some(place) = self.start.get_mut(self.seen) {
            *place = byte;
            if !is_status_line(&self.start[..=self.seen]) {
                return Err(ViaError { status: None, label: "corporate proxy does not answer in HTTP/1" });
            }
        }
        self.seen += 1;
        if self.seen > HEAD_MAX {
            return Err(ViaError { status: None, label: "corporate proxy's answer is too long" });
        }
        let ends = byte == b'\n' && self.line == 0;
        match byte {
            b'\n' => self.line = 0,
            b'\r' => {}
            _ => self.line += 1,
        }
        Ok(ends)
    }

    fn verdict(&self) -> Result<(), ViaError> {
        let status = self.start[9..].iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        let label = match status {
            200..=299 => return Ok(()),
            403 => "corporate proxy refuses this host",
            407 => "corporate proxy wants other credentials",
            502 | 503 => "corporate proxy cannot reach the host",
            504 => "corporate proxy timed out",
            _ => "corporate proxy refuses the tunnel",
        };
        Err(ViaError { status: Some(status), label })
    }
}

/// Whether these bytes begin `HTTP/1.x NNN`.
fn is_status_line(start: &[u8]) -> bool {
    start.iter().zip(b"HTTP/1.x nnn").all(|(byte, wanted)| match wanted {
        b'x' => matches!(byte, b'0' | b'1'),
        b'n' => byte.is_ascii_digit(),
        _ => byte == wanted,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text.as_bytes()).unwrap()
    }

    fn options(authorization: Option<&str>) -> ViaOptions {
        ViaOptions {
            host: host("proxy.corp"),
            port: 3128,
            tls: false,
            authorization: authorization.map(Into::into),
            no_proxy: NoProxy::default(),
        }
    }

    fn machine() -> Via {
        Via::new(&options(None), &host("api.example.com"), 443).0
    }

    #[test]
    fn the_request_names_the_origin_and_carries_the_credentials() {
        let request =
            |options: &ViaOptions, name| String::from_utf8(Via::new(options, &host(name), 443).1).unwrap();
        assert_eq!(
            request(&options(None), "api.example.com"),
            "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"
        );
        let with = request(&options(Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")), "2001:db8::1");
        assert!(with.starts_with("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"), "{with}");
        assert!(
            with.contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"),
            "{with}"
        );
    }

    #[test]
    fn the_tunnel_stands_after_a_2xx_however_the_answer_is_cut() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nORIGIN";
        let head = answer.len() - b"ORIGIN".len();
        assert_eq!(machine().read(answer), Ok(ViaStep::Established { used: head }));
        for cut in 0..head {
            let mut via = machine();
            assert_eq!(via.read(&answer[..cut]), Ok(ViaStep::NeedMore), "at {cut}");
            assert_eq!(via.read(&answer[cut..]), Ok(ViaStep::Established { used: head - cut }), "at {cut}");
        }
    }

    #[test]
    fn anything_but_a_2xx_fails_closed() {
        for (answer, status) in [
            (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], Some(407)),
            (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", Some(403)),
            (b"HTTP/1.0 502 Bad Gateway\n\n", Some(502)),
            (b"HTTP/1.1 100 Continue\r\n\r\n", Some(100)),
            (b"HTTP/1.1 301 Moved\r\n\r\n", Some(301)),
            (b"HTTP/2.0 200 OK\r\n\r\n", None),
            (b"HTTP/1.1 2x0 OK\r\n\r\n", None),
            (b"\x15\x03\x01\x00\x02\x02\x46", None),
            (b"\r\n\r\n", None),
        ] {
            let failed = machine().read(answer).unwrap_err();
            assert_eq!(failed.status, status, "{answer:?}: {failed:?}");
        }
    }

    #[test]
    fn an_endless_head_is_cut_off() {
        let mut via = machine();
        assert_eq!(via.read(b"HTTP/1.1 200 OK\r\n"), Ok(ViaStep::NeedMore));
        let line = [b'x'; 1024];
        let failed = (0..64).find_map(|_| via.read(&line).err()).unwrap();
        assert_eq!(failed.label, "corporate proxy's answer is too long");
        assert!(via.seen <= HEAD_MAX + 1);
    }
}
