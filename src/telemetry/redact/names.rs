//! Names: which headers are stored in clear, and which query and form names smell of a secret.

use super::scan::percent_decoded;

/// What is stored of a header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The value, but for known kinds of keys in it.
    Clear,
    /// The value as a URL: userinfo and query are looked at.
    Url,
    /// A hash.
    Secret,
}

/// Header names by length, so that most look-ups compare with two or three names.
#[derive(Debug)]
pub(super) struct HeaderNames {
    by_length: Vec<Vec<(Box<[u8]>, Class)>>,
}

impl HeaderNames {
    /// The built-in names and `clear`; names that always carry secrets are not taken from `clear`.
    pub(super) fn new(clear: &[String]) -> Self {
        let mut names = Self { by_length: Vec::new() };
        for name in URLS {
            names.insert(name.as_bytes(), Class::Url);
        }
        for name in CLEAR {
            names.insert(name.as_bytes(), Class::Clear);
        }
        for name in clear {
            if !ALWAYS_SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
                names.insert(name.as_bytes(), Class::Clear);
            }
        }
        names
    }

    fn insert(&mut self, name: &[u8], class: Class) {
        if self.by_length.len() <= name.len() {
            self.by_length.resize_with(name.len() + 1, Vec::new);
        }
        self.by_length[name.len()].push((name.to_ascii_lowercase().into(), class));
    }

    /// What to store of the values of this header.
    pub(super) fn class(&self, name: &[u8]) -> Class {
        let same_length = self.by_length.get(name.len()).map_or(&[][..], Vec::as_slice);
        if let Some((_, class)) = same_length.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return *class;
        }
        let starts = |prefix: &&str| {
            name.len() > prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
        };
        if CLEAR_PREFIXES.iter().any(starts) { Class::Clear } else { Class::Secret }
    }
}

/// Names that configuration cannot clear.
const ALWAYS_SECRET: &[&str] = &[
    "api-key",
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
    "x-goog-api-key",
];

const URLS: &[&str] = &["content-location", "location", "origin", "referer"];

#[rustfmt::skip]
const CLEAR: &[&str] = &[
    "accept", "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "age", "allow", "alt-svc",
    "anthropic-beta", "anthropic-organization-id", "anthropic-version", "apim-request-id", "cache-control",
    "cf-cache-status", "cf-ray", "connection", "content-disposition", "content-encoding", "content-language",
    "content-length", "content-range", "content-type", "date", "dnt", "etag", "expect", "expires", "host",
    "http2-settings", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
    "keep-alive", "last-modified", "max-forwards", "openai-beta", "openai-organization", "openai-processing-ms",
    "openai-version", "pragma", "priority", "proxy-connection", "range", "request-id", "retry-after",
    "retry-after-ms", "sec-gpc", "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-key",
    "sec-websocket-version", "server", "server-timing", "strict-transport-security", "te", "traceparent", "trailer",
    "transfer-encoding", "upgrade", "upgrade-insecure-requests", "user-agent", "vary", "via", "warning",
    "x-amzn-requestid", "x-app", "x-cache", "x-client-request-id", "x-content-type-options", "x-envoy-upstream-service-time",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-frame-options", "x-github-request-id",
    "x-goog-api-client", "x-ms-region", "x-powered-by", "x-request-id", "x-requested-with", "x-robots-tag",
    "x-served-by", "x-should-retry", "x-xss-protection",
];

const CLEAR_PREFIXES: &[&str] = &[
    "access-control-",
    "anthropic-priority-",
    "anthropic-ratelimit-",
    "sec-ch-",
    "sec-fetch-",
    "x-ratelimit-",
    "x-stainless-",
];

/// Whether a query name says that its value is a secret. An OAuth `code` is one there; in JSON it is an error's.
pub(super) fn smells_of_secret_in_query(name: &[u8]) -> bool {
    smells_of_secret(name) || normalised(name, &mut [0; 64]) == b"code"
}

/// Whether a form or JSON name says that its value is a secret. Percent-encoding and case do not hide it.
pub(super) fn smells_of_secret(name: &[u8]) -> bool {
    let mut plain = [0; 64];
    let plain = normalised(name, &mut plain);
    EXACT.iter().any(|exact| plain == exact.as_bytes())
        || plain.ends_with(b"key")
        || plain.ends_with(b"token")
        || CONTAINED.iter().any(|part| memchr::memmem::find(plain, part.as_bytes()).is_some())
}

/// Whether a word of a command is the secret that the option before it asks for.
pub(super) fn takes_secret(option: &str, word: &str) -> bool {
    if !option.starts_with('-') || option.contains('=') || word.starts_with('-') {
        return false;
    }
    smells_of_secret(option.as_bytes()) || (NAME_AND_PASSWORD.contains(&option) && word.contains(':'))
}

/// Options that take `name:password` (curl's).
const NAME_AND_PASSWORD: &[&str] = &["-U", "-u", "--proxy-user", "--user"];

const EXACT: &[&str] =
    &["auth", "bearer", "jwt", "pass", "passphrase", "pin", "pwd", "session", "sid", "sig"];

const CONTAINED: &[&str] =
    &["apikey", "authorization", "cookie", "credential", "passw", "secret", "sessionid", "signature"];

/// The name in lower case, percent-decoded, letters and digits only, as far as it fits.
fn normalised<'a>(name: &[u8], buffer: &'a mut [u8; 64]) -> &'a [u8] {
    let (mut at, mut length) = (0, 0);
    while at < name.len() && length < buffer.len() {
        let (byte, step) = match percent_decoded(&name[at..]) {
            Some(byte) => (byte, 3),
            None => (name[at], 1),
        };
        at += step;
        if byte.is_ascii_alphanumeric() {
            buffer[length] = byte.to_ascii_lowercase();
            length += 1;
        }
    }
    &buffer[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_in_lower_case_and_no_secret_is_in_clear() {
        for name in CLEAR.iter().chain(URLS).chain(CLEAR_PREFIXES).chain(ALWAYS_SECRET) {
            assert_eq!(name.to_ascii_lowercase(), **name);
        }
        let names = HeaderNames::new(&[]);
        for name in ALWAYS_SECRET {
            assert_eq!(names.class(name.as_bytes()), Class::Secret, "{name}");
        }
    }

    #[test]
    fn prefixes_need_something_after_them() {
        let names = HeaderNames::new(&[]);
        assert_eq!(names.class(b"X-RateLimit-Remaining"), Class::Clear);
        assert_eq!(names.class(b"x-ratelimit-"), Class::Secret);
        assert_eq!(names.class(b""), Class::Secret);
    }

    #[test]
    fn counts_of_tokens_are_no_secrets() {
        for name in ["max_tokens", "input_tokens", "tokens", "author", "keys", "codec", "side", "passes"] {
            assert!(!smells_of_secret(name.as_bytes()), "{name}");
        }
        for name in
            ["refresh_token", "X-Goog-Credential", "client-secret", "x-functions-key", "k%65y", "passwd"]
        {
            assert!(smells_of_secret(name.as_bytes()), "{name}");
        }
    }
}
