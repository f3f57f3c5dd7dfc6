//! Keys that are known by their form.

use std::ops::Range;

use super::is_word;

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
pub(in crate::telemetry::redact) fn find_key(bytes: &[u8], from: usize) -> Option<Range<usize>> {
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
        if (!inside || (at - start <= ESCAPE && follows_escape(bytes, at)))
            && let Some(length) = key_length(&bytes[at..end])
        {
            return Some(at..at + length);
        }
        inside = is_word(bytes[at]);
    }
    None
}

/// The most characters of an escape that can belong to a run.
const ESCAPE: usize = 5;

/// Whether the letters before this are an escape, as in `\nsk-…`, `\u003dsk-…` and `%3Dsk-…`.
fn follows_escape(bytes: &[u8], at: usize) -> bool {
    match &bytes[..at] {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => true,
        [.., b'\\', b'u', a, b, c, d] => [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()),
        [.., b'%', a, b] => a.is_ascii_hexdigit() && b.is_ascii_hexdigit(),
        _ => false,
    }
}

fn key_length(bytes: &[u8]) -> Option<usize> {
    if let Some(length) = telegram_length(bytes) {
        return Some(length);
    }
    let form = FORMS.iter().find(|form| bytes.starts_with(form.prefix))?;
    let length = bytes.iter().take_while(|&&b| is_run(b) && b != b':').count();
    (length >= form.min).then_some(length)
}

/// `bot<digits>:<35 characters>`, as it stands in the paths of Telegram's API.
fn telegram_length(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(b"bot")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let token = rest[digits..].strip_prefix(b":")?;
    let length = token.iter().take_while(|&&b| is_word(b) || b == b'-').count();
    (digits >= 6 && length >= 30).then_some(3 + digits + 1 + length)
}

/// What keys consist of, and the colon inside Telegram's.
fn is_run(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'-' | b'.' | b':')
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
        for escape in [r"\n", r"\\n", r"\t", r"\u003d", "%3D", r"\u000A"] {
            let text = format!("KEY{escape}ghp_abcdefghijklmnopqrst");
            assert_eq!(found(&text), Some("ghp_abcdefghijklmnopqrst"), "{text}");
        }
    }

    /// Looks at every byte: the twin that the skipping search is held against.
    fn find_key_naively(bytes: &[u8]) -> Option<Range<usize>> {
        let starts = |at: &usize| *at == 0 || !is_word(bytes[at - 1]) || follows_escape(bytes, *at);
        (0..bytes.len()).filter(starts).find_map(|at| {
            let length = key_length(&bytes[at..])?;
            Some(at..at + length)
        })
    }

    proptest::proptest! {
        #[test]
        fn skipping_finds_what_looking_at_every_byte_finds(
            text in "([a-z:.\\- /%\\\\n]{0,25}(sk-|ghp_|AIza|bot123456:|eyJ)?[a-zA-Z0-9_\\-]{0,40}){0,3}"
        ) {
            proptest::prop_assert_eq!(find_key(text.as_bytes(), 0), find_key_naively(text.as_bytes()));
        }
    }
}
