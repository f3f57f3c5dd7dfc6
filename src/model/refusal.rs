//! The body of an answer that Tollgate gives by itself, in the shape its reader understands. (Signatures.)

/// What a refusal says.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// HTTP status of the answer.
    pub status: u16,
    /// Short word: `denied`, `upstream_failed`, `bad_request`, …
    pub error: &'a str,
    /// The rule that decided.
    pub rule: Option<&'a str>,
    /// Its layer: corp, user, default.
    pub layer: Option<&'a str>,
    /// The rule's reason.
    pub reason: Option<&'a str>,
    /// The phase that failed.
    pub phase: Option<&'a str>,
    /// A sentence for people.
    pub message: &'a str,
}

/// Content type and body for a refusal. `provider` is `ModelTable::provider_of(host)`, `accept` the request's
/// Accept field.
pub fn refusal_body(
    _provider: Option<&str>,
    refusal: &Refusal<'_>,
    _accept: Option<&[u8]>,
) -> (&'static str, Vec<u8>) {
    ("text/plain; charset=utf-8", refusal.message.as_bytes().to_vec())
}
