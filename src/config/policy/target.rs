//! `POST https://api.github.com/repos/acme/x/issues`: a request as samples and `policy why` name it.

use std::fmt;

use crate::policy::host::Host;
use crate::policy::http::RequestQuestion;

/// A request that somebody typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The method token.
    pub method: String,
    /// `https`, `http`, `wss` or `ws`.
    pub scheme: String,
    /// The host.
    pub host: Host,
    /// The port, from the scheme where it was not typed.
    pub port: u16,
    /// The path as typed, without query and fragment.
    pub path: String,
    /// The client's process name, if it is to matter.
    pub process: Option<String>,
    /// The client's user id, if it is to matter.
    pub uid: Option<u32>,
    /// The listener's address, if it is to matter.
    pub listener: String,
}

impl Target {
    /// Reads `METHOD URL`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(' ') {
            Some((method, url)) => Self::new(method, url.trim()),
            None => {
                Err(format!("{text:?} is no request; write METHOD URL, as in \"GET https://example.com/\""))
            }
        }
    }

    /// A request with this method and URL.
    pub fn new(method: &str, url: &str) -> Result<Self, String> {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{method:?} is no method"));
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| no_url(url))?;
        let usual_port = match scheme {
            "https" | "wss" => 443,
            "http" | "ws" => 80,
            _ => return Err(no_url(url)),
        };
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = authority_of(authority)?;
        let path = tail.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("/");
        Ok(Self {
            method: method.into(),
            scheme: scheme.into(),
            host,
            port: port.unwrap_or(usual_port),
            path: path.into(),
            process: None,
            uid: None,
            listener: String::new(),
        })
    }

    /// The question that the evaluator is asked.
    pub fn question(&self) -> RequestQuestion<'_> {
        RequestQuestion {
            host: &self.host,
            port: self.port,
            method: self.method.as_bytes(),
            path: self.path.as_bytes(),
            process: self.process.as_deref(),
            uid: self.uid,
            listener: &self.listener,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}://{}", self.method, self.scheme, self.host)?;
        let usual = if matches!(&*self.scheme, "https" | "wss") { 443 } else { 80 };
        if self.port != usual {
            write!(out, ":{}", self.port)?;
        }
        out.write_str(&self.path)
    }
}

fn no_url(url: &str) -> String {
    format!("{url:?} is no URL; write it as in https://api.example.com/path")
}

/// Unicode hosts are what people type; ports and everything else are as on the wire.
fn authority_of(authority: &str) -> Result<(Host, Option<u16>), String> {
    let refused = |error| format!("{authority:?} is no host: {error}");
    if authority.is_ascii() {
        return Host::parse_authority(authority.as_bytes()).map_err(refused);
    }
    let (name, port) =
        authority.rsplit_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
    let host = Host::from_unicode(name).map_err(refused)?;
    match port.map(str::parse::<u16>) {
        None => Ok((host, None)),
        Some(Ok(port)) if port > 0 => Ok((host, Some(port))),
        Some(_) => Err(format!("{authority:?} has a bad port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        for (text, host, port, path) in [
            ("GET https://Example.com", "example.com", 443, "/"),
            ("GET http://example.com/a/b?c=d#e", "example.com", 80, "/a/b"),
            ("GET https://example.com?x", "example.com", 443, "/"),
            ("GET wss://[::1]:8080/s", "::1", 8080, "/s"),
            ("GET https://bücher.example:444/", "xn--bcher-kva.example", 444, "/"),
        ] {
            let target = Target::parse(text).expect(text);
            assert_eq!((target.host.as_str(), target.port, &*target.path), (host, port, path), "{text}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "GET",
            "https://x.test/",
            "GET x.test",
            "GET ftp://x.test",
            "GET https://",
            "GET https://a@b/",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
