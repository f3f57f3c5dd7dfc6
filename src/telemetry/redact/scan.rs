//! Finds keys by the forms that their issuers gave them, and, in texts, values that are assigned to secret names.
//!
//! It is a filter for accidents, not a proof: a secret without a form, under a harmless name, is not found.

use std::ops::Range;

use super::names::smells_of_secret;

/// Finds the next secret at or after an offset.
pub(super) type Find = fn(&[u8], usize) -> Option<Range<usize>>;

/// A kind of key: how it starts and how long it is at least, all together.
struct Form {
    prefix: &'static [u8],
    min: usize,
}

const fn form(prefix: &'static str, min: usize) -> Form {
    Form { prefix: prefix.as_bytes(), min }
}

const FORMS: &[Form] = &[
    form("sk-", 20),         // OpenAI, Anthropic (sk-ant-), OpenRouter (sk-or-), DeepSeek
    form("sk_", 20),         // Stripe
    form("rk_live_", 20),    // Stripe
    form("whsec_", 20),      // Stripe
    form("AIza", 30),        // Google API key
    form("ya29.", 30),       // Google OAuth
    form("GOCSPX-", 20),     // Google OAuth client
    form("ghp_", 20),        // GitHub
    form("gho_", 20),        // GitHub
    form("ghu_", 20),        // GitHub
    form("ghs_", 20),        // GitHub
    form("ghr_", 20),        // GitHub
    form("github_pat_", 30), // GitHub
    form("glpat-", 20),      // GitLab
    form("xoxb-", 20),       // Slack
    form("xoxp-", 20),       // Slack
    form("xapp-", 20),       // Slack
    form("AKIA", 20),        // AWS
    form("ASIA", 20),        // AWS
    form("eyJ", 60),         // JSON Web Token
    form("hf_", 20),         // Hugging Face
    form("npm_", 30),        // npm
    form("pypi-", 40),       // PyPI
    form("gsk_", 20),        // Groq
    form("xai-", 20),        // xAI
    form("r8_", 20),         // Replicate
    form("SG.", 40),         // SendGrid
    form("dckr_pat_", 20),   // Docker
    form("shpat_", 20),      // Shopify
    form("tvly-", 20),       // Tavily
    form("pplx-", 20),       // Perplexity
];

/// The shortest key of all.
const SHORTEST: usize = {
    let mut shortest = usize::MAX;
    let mut index = 0;
    while index < FORMS.len() {
        shortest = if FORMS[index].min < shortest { FORMS[index].min } else { shortest };
        index += 1;
    }
    shortest
};

/// The next known kind of key.
///
/// A key is a run of at least [`SHORTEST`] characters, so only one byte in as many has to be looked at until one
/// belongs to such a run.
pub(super) fn find_key(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while at + SHORTEST <= bytes.len() {
        let probe = at + SHORTEST - 1;
        if !is_run(bytes[probe]) {
            at = probe + 1;
            continue;
        }
        let start = bytes[at..probe].iter().rposition(|&b| !is_run(b)).map_or(at, |gap| at + gap + 1);
        let end = bytes[probe..].iter().position(|&b| !is_run(b)).map_or(bytes.len(), |gap| probe + gap);
        if let Some(key) = key_in_run(bytes, start, end) {
            return Some(key);
        }
        at = end;
    }
    None
}

/// A key that starts at a word's start within a run.
fn key_in_run(bytes: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    let mut inside = start > 0 && is_word(bytes[start - 1]);
    for at in start..(end + 1).saturating_sub(SHORTEST) {
        if !inside && let Some(length) = key_length(&bytes[at..end]) {
            return Some(at..at + length);
        }
        inside = is_word(bytes[at]);
    }
    None
}

/// The next known kind of key, or value that is assigned to a secret name (`"name": "value"`, `name=value`).
pub(super) fn find_in_text(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let found = [find_key(bytes, from), find_pem(bytes, from), find_assigned(bytes, from)];
    found.into_iter().flatten().min_by_key(|range| range.start)
}

fn key_length(bytes: &[u8]) -> Option<usize> {
    if let Some(length) = telegram_length(bytes) {
        return Some(length);
    }
    let form = FORMS.iter().find(|form| bytes.starts_with(form.prefix))?;
    let length = bytes.iter().take_while(|&&b| is_run(b) && b != b':').count();
    (length >= form.min).then_some(length)
}

/// A private key in PEM, to its end or to the end of what is there.
fn find_pem(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + memchr::memmem::find(&bytes[from..], b"-----BEGIN ")?;
    let head = &bytes[start..bytes.len().min(start + 64)];
    if memchr::memmem::find(head, b"PRIVATE KEY").is_none() {
        return find_pem(bytes, start + 11);
    }
    Some(start..memchr::memmem::find(&bytes[start..], b"-----END ").map_or(bytes.len(), |at| start + at))
}

/// `bot<digits>:<35 characters>`, as it stands in the paths of Telegram's API.
fn telegram_length(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(b"bot")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let token = rest[digits..].strip_prefix(b":")?;
    let length = token.iter().take_while(|&&b| is_word(b) || b == b'-').count();
    (digits >= 6 && length >= 30).then_some(3 + digits + 1 + length)
}

fn find_assigned(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while let Some(found) = memchr::memchr2(b'=', b':', &bytes[at..]) {
        let sign = at + found;
        let value = value_after(bytes, sign + 1);
        if value.len() >= 4
            && smells_of_secret(name_before(bytes, sign))
            && !bytes[value.clone()].starts_with(b"hmac:")
        {
            return Some(value);
        }
        at = sign + 1;
    }
    None
}

/// The word before an assignment sign, quotes and spaces left out.
fn name_before(bytes: &[u8], sign: usize) -> &[u8] {
    let end =
        bytes[..sign].iter().rposition(|b| !matches!(b, b' ' | b'"' | b'\'' | b'\\')).map_or(0, |at| at + 1);
    let start = bytes[..end].iter().rposition(|&b| !is_word(b) && b != b'-').map_or(0, |at| at + 1);
    &bytes[start..end]
}

/// The value after an assignment sign: a quoted string, or a word, or two where the first is an HTTP scheme.
fn value_after(bytes: &[u8], after: usize) -> Range<usize> {
    let value = word_after(bytes, after);
    let word = &bytes[value.clone()];
    if [&b"bearer"[..], b"basic", b"token"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
        return value.start..word_after(bytes, value.end).end;
    }
    value
}

fn word_after(bytes: &[u8], after: usize) -> Range<usize> {
    let skipped = bytes[after..].iter().take_while(|b| matches!(b, b' ' | b'"' | b'\'' | b'\\')).count();
    let start = after + skipped;
    let quoted = bytes[after..start].iter().any(|b| matches!(b, b'"' | b'\''));
    let ends = |b: &u8| match b {
        b'"' | b'\'' | b'\\' | b'\n' | b'\r' => true,
        b' ' | b'&' | b',' | b';' | b'}' | b']' | b'{' | b'[' => !quoted,
        _ => false,
    };
    let length = bytes[start..].iter().position(ends).unwrap_or(bytes.len() - start);
    start..start + length
}

/// What keys consist of, and the colon inside Telegram's.
fn is_run(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'-' | b'.' | b':')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        find_key(text.as_bytes(), 0).map(|range| &text[range])
    }

    #[test]
    fn known_forms_are_found_at_the_start_of_a_word() {
        assert_eq!(found("x sk-ant-api03-abcdefghijklmnop, y"), Some("sk-ant-api03-abcdefghijklmnop"));
        assert_eq!(found("(AKIAIOSFODNN7EXAMPLE)"), Some("AKIAIOSFODNN7EXAMPLE"));
        assert_eq!(found("disk-aaaaaaaaaaaaaaaaaaaaaaaa"), None);
        assert_eq!(found("sk-short"), None);
        assert_eq!(found("task eyJhbGciOi"), None);
    }

    /// Looks at every byte: the twin that the skipping search is held against.
    fn find_key_naively(bytes: &[u8]) -> Option<Range<usize>> {
        (0..bytes.len()).filter(|&at| at == 0 || !is_word(bytes[at - 1])).find_map(|at| {
            let length = key_length(&bytes[at..])?;
            Some(at..at + length)
        })
    }

    proptest::proptest! {
        #[test]
        fn skipping_finds_what_looking_at_every_byte_finds(
            text in "([a-z:.\\- /]{0,25}(sk-|ghp_|AIza|bot123456:|eyJ)?[a-zA-Z0-9_\\-]{0,40}){0,3}"
        ) {
            proptest::prop_assert_eq!(find_key(text.as_bytes(), 0), find_key_naively(text.as_bytes()));
        }
    }

    #[test]
    fn a_private_key_is_taken_to_its_end() {
        let text = "a -----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----";
        let pem = |text: &'static str| find_pem(text.as_bytes(), 0).map(|range| &text[range]);
        assert_eq!(pem(text), Some("-----BEGIN EC PRIVATE KEY-----\nabc\n"));
        assert_eq!(pem("-----BEGIN CERTIFICATE-----\nabc"), None);
        assert_eq!(pem("-----BEGIN PRIVATE KEY-----\ncut"), Some("-----BEGIN PRIVATE KEY-----\ncut"));
    }

    #[test]
    fn assignments_are_found_in_json_forms_and_lines() {
        let value = |text: &'static str| find_in_text(text.as_bytes(), 0).map(|range| &text[range]);
        assert_eq!(value(r#"{"a":1,"api_key" : "abcd ef","b":2}"#), Some("abcd ef"));
        assert_eq!(value(r#"{\"token\":\"abcdef\"}"#), Some("abcdef"));
        assert_eq!(value("a=1&password=abcdef&b=2"), Some("abcdef"));
        assert_eq!(value("Authorization: Bearer abcdef\r\nx"), Some("Bearer abcdef"));
        assert_eq!(value(r#"{"token":null,"max_tokens":12345}"#), Some("null"));
        assert_eq!(value("https://x.test/a:b=c"), None);
    }
}
