//! Host patterns of a policy: one host, everything below a name (`*.x`), or every host (`*`).
//!
//! Only the canonical spelling is accepted, so that what a file says is what is compared.

use core::fmt;

use super::Host;

/// A host pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `*`: every host, IP literals too.
    Any,
    /// Exactly this host.
    Exact(Host),
    /// `*.x`: any depth below x, not x itself (P9).
    Below(Host),
}

impl HostPattern {
    /// Reads a pattern as it stands in a policy file.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)),
        };
        let host = Host::parse(name.as_bytes()).map_err(|_| refused(text))?;
        if host.as_str() != name || below && host.ip().is_some() {
            return Err(refused(text));
        }
        Ok(if below { Self::Below(host) } else { Self::Exact(host) })
    }

    /// Whether the pattern matches this host.
    pub fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == host,
            Self::Below(parent) => is_below(host.as_str(), parent.as_str()),
        }
    }

    /// Whether every host that `other` matches is matched by this pattern too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Exact(host)) => self.matches(host),
            (Self::Below(parent), Self::Below(deeper)) => {
                self == other || is_below(deeper.as_str(), parent.as_str())
            }
            _ => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("*"),
            Self::Exact(host) => out.write_str(host.as_str()),
            Self::Below(parent) => write!(out, "*.{}", parent.as_str()),
        }
    }
}

/// Why a text is no host pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPatternError {
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for HostPatternError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl core::error::Error for HostPatternError {}

fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// Finds out what was meant: the same host in its canonical spelling, without scheme, port or path.
fn refused(text: &str) -> HostPatternError {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or(bare);
    let (star, name) = match bare.strip_prefix("*.").or_else(|| bare.strip_prefix('.')) {
        Some(name) => ("*.", name),
        None => ("", bare),
    };
    let no_port = name.rsplit_once(':').map_or(name, |(host, _)| host);
    let host = Host::from_unicode(name).or_else(|error| match error {
        super::HostError::Port => Host::from_unicode(no_port),
        _ => Err(error),
    });
    let suggestion = host.as_ref().ok().filter(|host| star.is_empty() || host.ip().is_none());
    HostPatternError {
        message: reason(text, name, host.as_ref().err().copied()),
        suggestion: suggestion.map(|host| format!("{star}{}", host.as_str())).filter(|found| found != text),
    }
}

fn reason(text: &str, name: &str, error: Option<super::HostError>) -> String {
    if text.contains("://") {
        "a host pattern has no scheme".into()
    } else if let Some((_, bits)) = text.split_once('/') {
        match bits.parse::<u8>() {
            Ok(_) => "an address range is no host pattern; ranges belong in private_allow".into(),
            Err(_) => "a host pattern has no path; paths belong in [[http]] rules".into(),
        }
    } else if text.starts_with('.') {
        "a host pattern does not begin with a dot".into()
    } else if name.contains('*') {
        "a wildcard stands only at the start, as in *.example.com".into()
    } else if let Some(error) = error {
        format!("{text:?} can never match: it {}", error.as_str())
    } else if Host::parse(name.as_bytes()).is_err_and(|error| error == super::HostError::Port) {
        "a host pattern has no port; ports belong in network.ports or a rule's port".into()
    } else {
        format!("{text:?} can never match: hosts are compared in canonical form")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_a_wildcard_matches_below_and_nothing_else() {
        let pattern = HostPattern::parse("*.example.com").expect("a pattern");
        for (host, expected) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("A.EXAMPLE.COM.", true),
            ("example.com", false),
            ("aexample.com", false),
            ("example.com.evil.test", false),
        ] {
            let host = Host::parse(host.as_bytes()).expect("a host");
            assert_eq!(pattern.matches(&host), expected, "{host}");
        }
    }

    #[test]
    fn patterns_that_can_never_match_say_what_was_meant() {
        for (text, suggestion) in [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("*.Example.com", Some("*.example.com")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("*.bücher.example", Some("*.xn--bcher-kva.example")),
            ("https://example.com/x", Some("example.com")),
            ("example.com/x", Some("example.com")),
            ("example.com:443", Some("example.com")),
            (".example.com", Some("*.example.com")),
            ("0x7f.1", Some("127.0.0.1")),
            ("[2001:DB8::1]", Some("2001:db8::1")),
            ("10.0.0.0/8", Some("10.0.0.0")),
            ("a.*.com", None),
            ("*a.com", None),
            ("*.1.2.3.4", None),
            ("", None),
            ("a b", None),
        ] {
            let error = HostPattern::parse(text).expect_err(text);
            assert_eq!(error.suggestion.as_deref(), suggestion, "{text}: {error}");
        }
    }

    #[test]
    fn covering_follows_matching() {
        let covers = |a, b| {
            HostPattern::parse(a).expect("a pattern").covers(&HostPattern::parse(b).expect("a pattern"))
        };
        assert!(covers("*", "*.x.y"));
        assert!(covers("*.y", "*.x.y"));
        assert!(covers("*.y", "x.y"));
        assert!(covers("*.y", "*.y"));
        assert!(covers("x.y", "x.y"));
        assert!(!covers("*.x.y", "*.y"));
        assert!(!covers("*.y", "y"));
        assert!(!covers("x.y", "*.x.y"));
        assert!(!covers("*.y", "*"));
    }
}
