//! Keeps secrets out of the ledger (P36): what is stored in their place is a keyed hash, which allows equality
//! checks only.
//!
//! Header values are stored in clear for names on a list; every other value is hashed. Query values are hashed when
//! their name smells of a secret. Other query values, paths, texts and previews are searched for known kinds of keys,
//! userinfo, and values under such names; in URLs also where they are percent-encoded. The key stays in the state directory, so that equal secrets are equal over restarts and
//! nobody without the key can try guesses.

mod key;
mod memo;
mod names;
mod scan;

use std::borrow::Cow;
use std::ops::Range;

use aws_lc_rs::hmac;

use self::memo::Memo;
use self::names::{Class, HeaderNames, smells_of_secret_in_query};
use self::scan::{Decoded, Secrets};
use super::event::HeadCopy;
use super::text::{hex, json_string};

pub use key::load_key;

/// Replaces secrets. One for each writer.
#[derive(Debug)]
pub struct Redactor {
    key: hmac::Key,
    names: HeaderNames,
    memo: Memo,
}

impl Redactor {
    /// A redactor with this key; `clear` are header names to store in clear beside the built-in ones. Names that
    /// always carry secrets stay hashed.
    pub fn new(key: &[u8], clear: &[String]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { key, names: HeaderNames::new(clear), memo: Memo::new() }
    }

    /// Appends the header fields as a JSON array of `[name, value]`.
    pub fn headers_json(&mut self, head: &HeadCopy, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, (name, value)) in head.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if let Some(known) = self.memo.get(name, value) {
                out.extend_from_slice(known);
                continue;
            }
            let start = out.len();
            if self.field_json(name, value, out) {
                self.memo.put(name, value, &out[start..]);
            }
        }
        out.push(b']');
    }

    /// Appends `[name, value]`; whether the value is what came.
    fn field_json(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) -> bool {
        out.push(b'[');
        json_string(name, out);
        out.push(b',');
        let stored = match self.names.class(name) {
            Class::Clear => Some(self.scanned(value)),
            Class::Url => Some(self.url(value)),
            Class::Secret => None,
        };
        if let Some(value) = &stored {
            json_string(value, out);
        } else {
            out.push(b'"');
            self.hash_into(value, out);
            out.push(b'"');
        }
        out.push(b']');
        matches!(stored, Some(Cow::Borrowed(_)))
    }

    /// A query as sent, with the values of secrets replaced.
    pub fn query<'a>(&self, raw: &'a [u8]) -> Cow<'a, [u8]> {
        if !raw.split(|&b| b == b'&').any(is_secret_pair) {
            return Cow::Borrowed(raw);
        }
        let mut out = Vec::with_capacity(raw.len());
        for (index, pair) in raw.split(|&b| b == b'&').enumerate() {
            if index > 0 {
                out.push(b'&');
            }
            self.pair(pair, &mut out);
        }
        Cow::Owned(out)
    }

    fn pair(&self, pair: &[u8], out: &mut Vec<u8>) {
        let (name, value) = split_pair(pair);
        out.extend_from_slice(&self.encoded(name, scan::in_query));
        let Some(value) = value else { return };
        out.push(b'=');
        if is_named_secret(name, value) {
            self.hash_into(value, out);
        } else {
            out.extend_from_slice(&self.encoded(value, scan::in_query));
        }
    }

    /// A path as sent, with known kinds of keys, userinfo and parameters with secret names replaced.
    pub fn path<'a>(&self, raw: &'a [u8]) -> Cow<'a, [u8]> {
        self.encoded(raw, scan::in_path)
    }

    /// What should be a name (of a model, a tool, an error), with known kinds of keys replaced.
    pub fn name<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        match self.scanned(raw.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(raw),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into()),
        }
    }

    /// A text, with known kinds of keys, private keys, bearer tokens, userinfo and values assigned to secret names
    /// replaced.
    pub fn text<'a>(&self, raw: &'a [u8]) -> Cow<'a, [u8]> {
        self.replaced(raw, scan::in_text(raw))
    }

    /// A command with its arguments: each as a text, and hashed whole behind an option with a secret name.
    pub fn command(&self, words: &[String]) -> Vec<String> {
        let before = std::iter::once("").chain(words.iter().map(String::as_str));
        before.zip(words).map(|(option, word)| self.argument(option, word)).collect()
    }

    fn argument(&self, option: &str, word: &str) -> String {
        let mut out = Vec::new();
        if names::takes_secret(option, word) {
            self.hash_into(word.as_bytes(), &mut out);
        } else {
            out.extend_from_slice(&self.text(word.as_bytes()));
        }
        String::from_utf8_lossy(&out).into()
    }

    /// The first `keep` bytes of a body as UTF-8, with what [`Redactor::text`] replaces and numbers of payment cards
    /// replaced.
    ///
    /// The same comes out whether `raw` is the whole body or ends [`LOOKAHEAD`](super::event::LOOKAHEAD) bytes behind
    /// `keep`, unless a secret is longer than that: then it is replaced all the same, by another hash.
    pub fn body(&self, raw: &[u8], keep: usize) -> Vec<u8> {
        let keep = whole_characters(raw, keep);
        let out = self.without(raw, keep, scan::in_body(raw));
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into()).into()
    }

    /// A URL or a reference: userinfo hashed, path and query as above, and the fragment as a query: tokens come back in it
    /// (RFC 6749 §4.2.2).
    pub fn url<'a>(&self, raw: &'a [u8]) -> Cow<'a, [u8]> {
        let end = memchr::memchr2(b'?', b'#', raw).map_or(raw.len(), |at| at + 1);
        let (rest, query) = raw.split_at(end);
        match (self.without_userinfo(rest), self.query(query)) {
            (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(raw),
            (rest, query) => Cow::Owned([rest, query].concat()),
        }
    }

    fn without_userinfo<'a>(&self, raw: &'a [u8]) -> Cow<'a, [u8]> {
        let start = memchr::memmem::find(raw, b"//").map_or(0, |at| at + 2);
        let end = memchr::memchr3(b'/', b'?', b'#', &raw[start..]).map_or(raw.len(), |at| start + at);
        let Some(at) = memchr::memrchr(b'@', &raw[start..end]) else { return self.path(raw) };
        let mut out = raw[..start].to_vec();
        self.hash_into(&raw[start..start + at], &mut out);
        out.extend_from_slice(&self.path(&raw[start + at..]));
        Cow::Owned(out)
    }

    /// A part of a URL without what `look` finds in it once its percent-encoding is undone.
    fn encoded<'a, const N: usize>(&self, raw: &'a [u8], look: fn(&[u8]) -> Secrets<'_, N>) -> Cow<'a, [u8]> {
        let decoded = Decoded::new(raw);
        self.replaced(raw, look(decoded.plain()).map(|range| decoded.place(range)))
    }

    fn scanned<'a>(&self, raw: &'a [u8]) -> Cow<'a, [u8]> {
        self.replaced(raw, scan::keys(raw))
    }

    fn replaced<'a>(&self, raw: &'a [u8], secrets: impl Iterator<Item = Range<usize>>) -> Cow<'a, [u8]> {
        let mut secrets = secrets.peekable();
        if secrets.peek().is_none() {
            return Cow::Borrowed(raw);
        }
        Cow::Owned(self.without(raw, raw.len(), secrets))
    }

    /// The first `keep` bytes, with secrets replaced; one that begins there is replaced whole.
    fn without(&self, raw: &[u8], keep: usize, secrets: impl Iterator<Item = Range<usize>>) -> Vec<u8> {
        let mut out = Vec::with_capacity(keep + 64);
        let mut done = 0;
        for found in secrets.take_while(|found| found.start < keep) {
            out.extend_from_slice(&raw[done..found.start]);
            self.hash_into(&raw[found.clone()], &mut out);
            done = found.end;
        }
        if done < keep {
            out.extend_from_slice(&raw[done..keep]);
        }
        out
    }

    /// Appends `hmac:` and the first 64 bits of the keyed hash in hex.
    fn hash_into(&self, secret: &[u8], out: &mut Vec<u8>) {
        let tag = hmac::sign(&self.key, secret);
        out.extend_from_slice(b"hmac:");
        hex(&tag.as_ref()[..8], out);
    }
}

/// `keep`, or less where it would part a character of UTF-8.
fn whole_characters(raw: &[u8], keep: usize) -> usize {
    if keep >= raw.len() {
        return raw.len();
    }
    let continues = |at: &usize| raw[*at] & 0xc0 == 0x80;
    (0..=keep).rev().take(4).find(|at| !continues(at)).unwrap_or(keep)
}

fn is_secret_pair(pair: &[u8]) -> bool {
    let (name, value) = split_pair(pair);
    let holds_one = |text: &[u8]| scan::in_query(Decoded::new(text).plain()).next().is_some();
    holds_one(name) || value.is_some_and(|value| is_named_secret(name, value) || holds_one(value))
}

fn is_named_secret(name: &[u8], value: &[u8]) -> bool {
    !value.is_empty() && smells_of_secret_in_query(name)
}

fn split_pair(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    }
}

/// Whether a known kind of key is in this.
pub fn holds_key(text: &[u8]) -> bool {
    scan::find_key(text, 0).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::event::LOOKAHEAD;

    fn redactor() -> Redactor {
        Redactor::new(b"test key", &["X-Team".to_owned(), "Authorization".to_owned()])
    }

    fn headers(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let head: HeadCopy = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let mut out = Vec::new();
        redactor().headers_json(&head, &mut out);
        serde_json::from_slice(&out).expect("headers_json writes JSON")
    }

    fn query(raw: &str) -> String {
        String::from_utf8(redactor().query(raw.as_bytes()).into_owned()).expect("ASCII in, ASCII out")
    }

    fn url(raw: &str) -> String {
        String::from_utf8(redactor().url(raw.as_bytes()).into_owned()).expect("ASCII in, ASCII out")
    }

    fn is_hash(text: &str) -> bool {
        text.strip_prefix("hmac:")
            .is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    #[test]
    fn p36_secret_headers_are_hashed_whatever_their_case() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "COOKIE",
            "set-cookie",
            "X-Api-Key",
            "api-key",
            "x-goog-api-key",
            "X-Auth-Token",
            "x-amz-security-token",
            "x-my-session",
            "X-Unheard-Of",
            "sec-websocket-protocol",
        ] {
            let stored = headers(&[(name, "Bearer abcdef")]);
            assert_eq!(stored[0].0, name);
            assert!(is_hash(&stored[0].1), "{name}: {}", stored[0].1);
        }
    }

    #[test]
    fn harmless_headers_and_configured_ones_stay_clear() {
        for (name, value) in [
            ("Host", "api.example.com"),
            ("user-agent", "claude-cli/2.1.197 (external, sdk-cli)"),
            ("Content-Type", "application/json"),
            ("x-stainless-retry-count", "1"),
            ("anthropic-ratelimit-tokens-remaining", "17"),
            ("retry-after", "3"),
            ("x-team", "blue"),
        ] {
            assert_eq!(headers(&[(name, value)]), [(name.to_owned(), value.to_owned())]);
        }
    }

    #[test]
    fn a_key_inside_a_clear_header_is_still_replaced() {
        let stored = headers(&[("user-agent", "tool/1 (sk-ant-api03-AAAAAAAAAAAAAAAAAAAA)")]);
        assert!(stored[0].1.starts_with("tool/1 (hmac:") && stored[0].1.ends_with(')'), "{}", stored[0].1);
        let stored = headers(&[("Referer", "https://u:p@x.test/a?token=1&b=2")]);
        assert!(!stored[0].1.contains("u:p") && !stored[0].1.contains("token=1"), "{}", stored[0].1);
        assert!(stored[0].1.ends_with("&b=2"));
    }

    #[test]
    fn header_bytes_that_are_no_text_become_json_all_the_same() {
        let head: HeadCopy = [(&b"accept"[..], &b"a\"\\\x01\xff\xc3\xa9\x7f"[..])].into_iter().collect();
        let mut out = Vec::new();
        redactor().headers_json(&head, &mut out);
        let stored: Vec<(String, String)> = serde_json::from_slice(&out).expect("headers_json writes JSON");
        assert_eq!(stored[0].1, "a\"\\\u{1}\u{fffd}é\u{7f}");
    }

    #[test]
    fn lesson_19_key_like_query_values_are_hashed() {
        for (raw, kept) in [
            ("key=AIzaXYZ", "key="),
            ("alt=sse&key=1", "alt=sse&key="),
            ("API_KEY=1", "API_KEY="),
            ("apiKey=1", "apiKey="),
            ("access_token=1", "access_token="),
            ("X-Amz-Signature=1", "X-Amz-Signature="),
            ("sig=1", "sig="),
            ("code=1", "code="),
            ("password=1", "password="),
            ("%6bey=1", "%6bey="),
            ("q=ghp_0123456789abcdef0123456789abcdef0123", "q="),
        ] {
            let stored = query(raw);
            let hash = stored.strip_prefix(kept).unwrap_or_else(|| panic!("{raw} -> {stored}"));
            assert!(is_hash(hash), "{raw} -> {stored}");
        }
    }

    #[test]
    fn p36_what_stands_inside_a_query_value_is_searched_encoded_or_not() {
        for raw in [
            "u=https://me:hunter2@x.test/",
            "u=https%3A%2F%2Fme%3Ahunter2%40x.test%2F",
            "https://me:hunter2@x.test/",
            "next=/cb?token=hunter2",
            "next=%2Fcb%3Ftoken%3Dhunter2",
            "a=1;token=hunter2",
            "d={\"password\":\"hunter2\"}",
            "d=%7B%22password%22%3A%22hunter2%22%7D",
            "h=Authorization:%20Bearer%20hunter2hunter2hunter2",
            "a=1&b=%20https://me:hunter2@x.test&c=3",
        ] {
            let stored = query(raw);
            assert!(!stored.contains("hunter2") && stored.contains("hmac:"), "{raw} -> {stored}");
        }
        assert!(
            query("u=https%3A%2F%2Fme%3Ahunter2%40x.test%2F").ends_with("%40x.test%2F"),
            "the rest stays"
        );
    }

    #[test]
    fn p36_userinfo_and_parameters_in_paths_are_hashed_and_other_paths_are_kept() {
        for raw in [
            "/proxy/https://me:hunter2@x.test/z",
            "/proxy/https%3A%2F%2Fme%3Ahunter2%40x.test/z",
            "/a;password=hunter2/b",
            "/a%3Bpassword%3Dhunter2/b",
        ] {
            let stored = String::from_utf8_lossy(&redactor().path(raw.as_bytes())).into_owned();
            assert!(!stored.contains("hunter2") && stored.contains("hmac:"), "{raw} -> {stored}");
        }
        for raw in
            ["/v1/models/a-key:generate", "/secrets/token:access", "/a%20b/%zz", "/@scope/pkg", "/x;v=1"]
        {
            assert_eq!(redactor().path(raw.as_bytes()).as_ref(), raw.as_bytes());
        }
    }

    #[test]
    fn p36_secrets_in_a_command_are_hashed_and_the_rest_is_kept() {
        for words in [
            &["agent", "--api-key", "hunter2"][..],
            &["agent", "--api-key=hunter2hunter2"],
            &["env", "ANTHROPIC_API_KEY=hunter2hunter2", "agent"],
            &["curl", "-H", "Authorization: Bearer hunter2"],
            &["curl", "-u", "me:hunter2", "https://x.test"],
            &["curl", "--proxy-user", "me:hunter2"],
            &["sh", "-c", "curl https://me:hunter2@x.test"],
            &["git", "clone", "https://me:hunter2@x.test/r"],
        ] {
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            let stored = redactor().command(&words).join(" ");
            assert!(!stored.contains("hunter2") && stored.contains("hmac:"), "{words:?} -> {stored}");
        }
        for words in [
            &["claude", "-p", "write a test", "--max-tokens", "5"][..],
            &["sudo", "-u", "nobody", "make", "test"],
            &["--token"],
            &["ssh-keygen", "-l", "--key", "-v"],
            &[],
        ] {
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(redactor().command(&words), words);
        }
    }

    #[test]
    fn p36_a_token_in_the_fragment_of_a_url_is_hashed() {
        for raw in
            ["https://x.test/cb#access_token=hunter2&x=1", "/cb?a=1#access_token=hunter2", "#token=hunter2"]
        {
            let stored = url(raw);
            assert!(!stored.contains("hunter2") && stored.contains("hmac:"), "{raw} -> {stored}");
        }
        for raw in ["https://x.test/a#part", "https://x.test?mail=a@b", "#"] {
            assert_eq!(url(raw), raw);
        }
    }

    #[test]
    fn other_query_values_are_kept_as_sent() {
        for raw in [
            "",
            "a=1&b=%20&c",
            "monkeys=3&alt=sse",
            "key=",
            "&&=x",
            "page=2&sort=key",
            "beta=true",
            "t=10:30&u=https://x.test/a%20b",
        ] {
            assert_eq!(query(raw), raw);
        }
    }

    #[test]
    fn equal_secrets_hash_alike_and_only_with_the_same_key() {
        assert_eq!(
            query("key=a&token=a").replace("token", "key").split('&').next(),
            Some(query("key=a").as_str())
        );
        assert_ne!(query("key=a"), query("key=b"));
        let other = Redactor::new(b"another key", &[]);
        assert_ne!(other.query(b"key=a").as_ref(), query("key=a").as_bytes());
    }

    #[test]
    fn p36_userinfo_is_hashed() {
        let stored = url("https://me:pass@x.test/p?a=1");
        assert!(stored.starts_with("https://hmac:") && stored.ends_with("@x.test/p?a=1"), "{stored}");
        assert_eq!(url("/relative@path?x=1"), "/relative@path?x=1");
        assert_eq!(url("https://x.test/@scope/p"), "https://x.test/@scope/p");
    }

    #[test]
    fn keys_in_paths_are_replaced() {
        let stored = redactor().path(b"/bot123456:AAabcdefghijklmnopqrstuvwxyz01234567/send").into_owned();
        assert!(stored.starts_with(b"/hmac:") && stored.ends_with(b"/send"));
        assert_eq!(redactor().path(b"/v1/messages").as_ref(), b"/v1/messages");
    }

    #[test]
    fn texts_lose_keys_and_assigned_secrets() {
        for raw in [
            r#"{"api_key": "hunter2hunter2"}"#,
            r#"{"password":"hunter2hunter2"}"#,
            "grant_type=x&client_secret=hunter2hunter2&a=1",
            "token: hunter2hunter2\n",
            "export GITHUB=ghp_0123456789abcdef0123456789abcdef0123hunter2",
        ] {
            let stored = String::from_utf8_lossy(&redactor().text(raw.as_bytes())).into_owned();
            assert!(!stored.contains("hunter2") && stored.contains("hmac:"), "{raw} -> {stored}");
        }
        let usage = br#"{"input_tokens": 12, "max_tokens":1024, "output_tokens":3}"#;
        assert_eq!(redactor().text(usage).as_ref(), usage);
    }

    /// Words, secrets and what stands between them, with some bytes that are no text.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let secret = prop::sample::select(vec![
            "sk-ant-api03-abcdefghijklmnop",
            "AKIAIOSFODNN7EXAMPLE",
            "password=hunter2hunter2",
            "\\nghp_abcdefghijklmnopqrstuv",
            r#""api_key": "hunter2hunter2","#,
            "postgres://me:hunter2@db.test/",
            "4111 1111 1111 1111",
            "Bearer hunter2hunter2hunter2",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        ]);
        let piece = prop_oneof![
            3 => secret.prop_map(|text| format!(" {text} ").into_bytes()),
            3 => "[a-z é漢\\\\n{}\":=&.-]{0,40}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..8),
        ];
        prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn p36_a_body_that_is_cut_loses_the_same_secrets_as_the_whole(body in pieces(), keep in 0usize..700) {
            let redactor = redactor();
            let cut = &body[..body.len().min(keep + LOOKAHEAD)];
            prop_assert_eq!(redactor.body(cut, keep), redactor.body(&body, keep));
        }

        #[test]
        fn p36_no_planted_secret_is_left_wherever_a_body_is_cut(body in pieces(), keep in 0usize..700) {
            let stored = redactor().body(&body[..body.len().min(keep + LOOKAHEAD)], keep);
            let stored = String::from_utf8(stored).expect("bodies are stored as UTF-8");
            for secret in ["hunter2", "IOSFODNN", "api03-abcdef", "ghp_abcdef", "eyJhbGci", "4111 1111 1"] {
                prop_assert!(!stored.contains(secret), "{} in {}", secret, stored);
            }
        }
    }

    #[test]
    fn a_body_is_cut_between_characters() {
        for keep in 0..8 {
            let stored = redactor().body("aé漢b".as_bytes(), keep);
            assert_eq!(stored, &"aé漢b".as_bytes()[..[0, 1, 1, 3, 3, 3, 6, 7][keep]], "{keep}");
        }
        assert_eq!(redactor().body(b"a\xff\xfeb", 9), "a\u{fffd}\u{fffd}b".as_bytes());
    }
}
