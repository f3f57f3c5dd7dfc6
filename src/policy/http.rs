//! `[[http]]` rules: which requests they match, and the header fields that could make an origin read another request
//! than the one that was judged (P11).

use super::draft::Rule;
use super::host::Host;
use super::path::Normal;

/// Which methods a rule is about. Tokens are case-sensitive (RFC 9110 §9.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Methods {
    /// `GET`, `HEAD` and `OPTIONS`.
    pub read: bool,
    /// Every method but those three.
    pub write: bool,
    /// Exact tokens.
    pub tokens: Vec<Box<str>>,
}

impl Methods {
    /// Every method: what a rule without `methods` is about.
    pub const EVERY: Self = Self { read: true, write: true, tokens: Vec::new() };

    /// Whether these are all methods.
    pub fn is_every(&self) -> bool {
        self.read && self.write
    }

    /// Whether `method` is one of them.
    pub fn contains(&self, method: &[u8]) -> bool {
        let class = if is_read(method) { self.read } else { self.write };
        class || self.tokens.iter().any(|token| token.as_bytes() == method)
    }

    /// Whether all of `other`'s methods are among these.
    pub fn covers(&self, other: &Self) -> bool {
        let read = !other.read || self.read || READ.iter().all(|method| self.contains(method.as_bytes()));
        let write = !other.write || self.write;
        read && write && other.tokens.iter().all(|token| self.contains(token.as_bytes()))
    }
}

/// The methods of the class `read`.
pub const READ: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// Whether a header field asks the origin to act on another method or URL than the request line's.
///
/// Such fields are refused on hosts with method or path rules (P11): those of [`OVERRIDES`], and whatever ends in
/// `method-override`. CGI reads `_` like `-`, so both are known.
pub fn is_override(name: &[u8]) -> bool {
    let named = matches!(name, [b'x' | b'X', ..])
        && OVERRIDES.iter().any(|known| name.len() == known.len() && alike(name, known.as_bytes()));
    let start = name.len().checked_sub(METHOD_OVERRIDE.len());
    named || start.is_some_and(|start| alike(&name[start..], METHOD_OVERRIDE))
}

/// Whether a name of the same length is a known one.
fn alike(name: &[u8], known: &[u8]) -> bool {
    let mut pairs = name.iter().zip(known);
    pairs.all(|(sent, known)| sent.to_ascii_lowercase() == *known || *sent == b'_' && *known == b'-')
}

const METHOD_OVERRIDE: &[u8] = b"method-override";

/// What servers, frameworks and gateways are known to take for the request line, or leave in its place; all begin with x.
const OVERRIDES: [&str; 22] = [
    "x-http-method",
    "x-method",
    "x-override-method",
    "x-original-method",
    "x-forwarded-method",
    "x-request-method",
    "x-tunneled-method",
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-envoy-original-path",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-rewrite-path",
    "x-override-url",
    "x-http-url-override",
    "x-http-path-override",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-request-uri",
    "x-request-url",
    "x-waws-unencoded-url",
];

/// A request as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct RequestQuestion<'a> {
    /// The one identity of the request (P6).
    pub host: &'a Host,
    /// The port that it goes to.
    pub port: u16,
    /// Method token as sent.
    pub method: &'a [u8],
    /// Path as sent, without the query.
    pub path: &'a [u8],
    /// The client's process name, where it is known.
    pub process: Option<&'a str>,
    /// The client's user id, where it is known.
    pub uid: Option<u32>,
    /// The listener's address as configured.
    pub listener: &'a str,
}

impl Rule {
    /// Whether the rule is about this port.
    pub(super) fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }

    /// Whether the rule matches the request. The host is compared by whoever found the rule; a path with two
    /// readings is `None` and matches no path pattern.
    pub(super) fn matches(&self, question: &RequestQuestion<'_>, path: Option<Normal<'_>>) -> bool {
        self.has_port(question.port)
            && self.methods.contains(question.method)
            && self.is_about_client(question)
            && self.has_path(path)
    }

    /// Whether every request that `later` matches is matched by this rule too, as far as that can be told cheaply.
    pub fn covers(&self, later: &Self) -> bool {
        let paths = |wanted| self.paths.iter().any(|path| path.covers(wanted));
        self.host.covers(&later.host)
            && within(&later.ports, &self.ports)
            && self.methods.covers(&later.methods)
            && within(&later.processes, &self.processes)
            && within(&later.users, &self.users)
            && within(&later.listeners, &self.listeners)
            && (self.paths.is_empty() || !later.paths.is_empty() && later.paths.iter().all(paths))
    }

    fn has_path(&self, path: Option<Normal<'_>>) -> bool {
        self.paths.is_empty()
            || path.is_some_and(|path| self.paths.iter().any(|pattern| pattern.matches(path)))
    }

    fn is_about_client(&self, question: &RequestQuestion<'_>) -> bool {
        let process = |name: &str| self.processes.iter().any(|wanted| **wanted == *name);
        (self.processes.is_empty() || question.process.is_some_and(process))
            && (self.users.is_empty() || question.uid.is_some_and(|uid| self.users.contains(&uid)))
            && (self.listeners.is_empty()
                || self.listeners.iter().any(|wanted| **wanted == *question.listener))
    }
}

fn is_read(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS")
}

/// Whether the condition `narrow` is at least as narrow as `wide`; an empty list means no condition.
fn within<T: PartialEq>(narrow: &[T], wide: &[T]) -> bool {
    wide.is_empty() || !narrow.is_empty() && narrow.iter().all(|item| wide.contains(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(read: bool, write: bool, tokens: &[&str]) -> Methods {
        Methods { read, write, tokens: tokens.iter().map(|&token| token.into()).collect() }
    }

    #[test]
    fn p11_methods_are_case_sensitive_and_write_is_the_rest() {
        let read = methods(true, false, &[]);
        let write = methods(false, true, &[]);
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(read.contains(method.as_bytes()) && !write.contains(method.as_bytes()), "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get", "Get", "TRACE", "QUERY"] {
            assert!(!read.contains(method.as_bytes()) && write.contains(method.as_bytes()), "{method}");
        }
        let exact = methods(false, false, &["POST"]);
        assert!(exact.contains(b"POST") && !exact.contains(b"post") && !exact.contains(b"PUT"));
    }

    #[test]
    fn covering_methods() {
        assert!(Methods::EVERY.covers(&methods(true, false, &["PATCH"])));
        assert!(methods(false, false, &["GET", "HEAD", "OPTIONS"]).covers(&methods(true, false, &[])));
        assert!(methods(false, true, &[]).covers(&methods(false, false, &["PATCH"])));
        assert!(!methods(false, true, &[]).covers(&methods(false, false, &["GET"])));
        assert!(!methods(true, false, &[]).covers(&Methods::EVERY));
    }

    #[test]
    fn p11_override_headers_are_known_in_any_case_and_with_underscores() {
        for name in [
            "X-HTTP-Method-Override",
            "x-http-method",
            "X_METHOD_OVERRIDE",
            "X-Original-URL",
            "x-rewrite_url",
            "X-HTTP_Method-Override",
            "HTTP-Method-Override",
            "method-override",
            "X-WP-Method-Override",
            "X-Envoy-Original-Path",
        ] {
            assert!(is_override(name.as_bytes()), "{name}");
        }
        for name in [
            "x-http-method-overrides",
            "access-control-request-method",
            "x-forwarded-for",
            "x-forwarded-host",
            "host",
            "x-request-id",
            "override",
            "",
        ] {
            assert!(!is_override(name.as_bytes()), "{name}");
        }
    }
}
