//! The body of an answer that Tollgate gives by itself, in the shape that its reader understands (lesson 30).
//!
//! On a host that serves models it is the provider's own error shape, so that SDKs show the message; elsewhere JSON
//! where the client asked for it, else a line of plain text. Rule, layer, reason and phase stand in the message too,
//! because most SDKs show nothing else.

use serde_json::{Map, Value, json};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// What a refusal says.
#[derive(Clone, Copy, Debug, Default)]
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
    /// A sentence for people, without any of the above.
    pub message: &'a str,
}

/// Content type and body for a refusal. `provider` is what [`ModelTable::provider_of`](super::ModelTable::provider_of)
/// says of the host, `accept` the request's Accept field.
pub fn refusal_body(
    provider: Option<&str>,
    refusal: &Refusal<'_>,
    accept: Option<&[u8]>,
) -> (&'static str, Vec<u8>) {
    let body = match provider {
        Some(provider) => in_the_shape_of(provider, refusal),
        None if accept.is_some_and(wants_json) => plain_json(refusal),
        None => return (TEXT, format!("{}\n", without_controls(&refusal.sentence())).into_bytes()),
    };
    (JSON, body.to_string().into_bytes())
}

impl Refusal<'_> {
    /// Members that any shape may carry.
    fn facts(&self) -> Map<String, Value> {
        let facts =
            [("rule", self.rule), ("layer", self.layer), ("reason", self.reason), ("phase", self.phase)];
        facts.iter().filter_map(|&(name, value)| Some((name.to_owned(), value?.into()))).collect()
    }

    /// The message with all facts: `tollgate: MESSAGE: REASON (rule: R, layer: L, phase: P)`.
    fn sentence(&self) -> String {
        let facts = [("rule", self.rule), ("layer", self.layer), ("phase", self.phase)];
        let facts: Vec<String> =
            facts.iter().filter_map(|&(name, value)| Some(format!("{name}: {}", value?))).collect();
        let reason = self.reason.map_or(String::new(), |reason| format!(": {reason}"));
        let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
        format!("tollgate: {}{reason}{facts}", self.message)
    }
}

fn plain_json(refusal: &Refusal<'_>) -> Value {
    let mut body = refusal.facts();
    body.insert("error".into(), refusal.error.into());
    body.insert("message".into(), refusal.sentence().into());
    Value::Object(body)
}

fn in_the_shape_of(provider: &str, refusal: &Refusal<'_>) -> Value {
    let mut error = refusal.facts();
    let sentence = refusal.sentence();
    match provider {
        "ollama" => {
            error.insert("error".into(), sentence.into());
            return Value::Object(error);
        }
        "cohere" | "bedrock" => {
            error.insert("message".into(), sentence.into());
            return Value::Object(error);
        }
        "google" => {
            error.insert("code".into(), refusal.status.into());
            error.insert("status".into(), google_status(refusal.status).into());
        }
        "anthropic" => {
            error.insert("type".into(), anthropic_type(refusal.status).into());
        }
        _ => {
            error.insert("type".into(), openai_type(refusal.status).into());
            error.insert("code".into(), refusal.error.into());
            error.insert("param".into(), Value::Null);
        }
    }
    error.insert("message".into(), sentence.into());
    if provider == "anthropic" {
        json!({ "type": "error", "error": error })
    } else {
        json!({ "error": error })
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn openai_type(status: u16) -> &'static str {
    match status {
        403 => "permission_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

fn google_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        504 => "DEADLINE_EXCEEDED",
        500.. => "UNAVAILABLE",
        _ => "INVALID_ARGUMENT",
    }
}

/// Whether an Accept field names JSON, with a weight above 0.
fn wants_json(accept: &[u8]) -> bool {
    accept.split(|&byte| byte == b',').any(|range| {
        let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts
            .any(|part| part.strip_prefix(b"q=0").is_some_and(|rest| rest.iter().all(|b| b".0".contains(b))));
        !refused && (essence == b"application/json" || essence.ends_with(b"+json"))
    })
}

/// Text for a terminal: names from the wire may hold anything.
fn without_controls(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: Refusal<'static> = Refusal {
        status: 403,
        error: "denied",
        rule: Some("only \"acme\""),
        layer: Some("corp"),
        reason: Some("read\nonly"),
        phase: None,
        message: "this request is not allowed",
    };

    fn parse(provider: Option<&str>, accept: Option<&[u8]>) -> Value {
        let (content_type, body) = refusal_body(provider, &DENIED, accept);
        assert_eq!(content_type, JSON);
        serde_json::from_slice(&body).expect("JSON, properly escaped")
    }

    #[test]
    fn lesson_30_a_denial_has_the_providers_own_shape() {
        let cases = [
            ("anthropic", "/error/type", "permission_error"),
            ("anthropic", "/type", "error"),
            ("openai", "/error/code", "denied"),
            ("mistral", "/error/type", "permission_error"),
            ("google", "/error/status", "PERMISSION_DENIED"),
        ];
        for (provider, pointer, expected) in cases {
            let body = parse(Some(provider), None);
            assert_eq!(body.pointer(pointer).and_then(Value::as_str), Some(expected), "{provider}: {body}");
            assert_eq!(body["error"]["rule"], "only \"acme\"", "{provider}");
            let message = body["error"]["message"].as_str().expect("a message");
            assert!(message.contains("only \"acme\"") && message.contains("corp"), "{message}");
        }
        assert!(parse(Some("ollama"), None)["error"].as_str().is_some_and(|text| text.contains("corp")));
        assert!(parse(Some("cohere"), None)["message"].as_str().is_some_and(|text| text.contains("corp")));
    }

    #[test]
    fn lesson_30_a_denial_is_one_sentence_that_says_each_thing_once() {
        let (_, body) = refusal_body(None, &Refusal { reason: Some("read only"), ..DENIED }, None);
        let wanted = "tollgate: this request is not allowed: read only (rule: only \"acme\", layer: corp)\n";
        assert_eq!(String::from_utf8_lossy(&body), wanted);
        let plain = Refusal { message: "timeout", phase: Some("connect"), ..Refusal::default() };
        assert_eq!(refusal_body(None, &plain, None).1, b"tollgate: timeout (phase: connect)\n");
    }

    #[test]
    fn elsewhere_accept_decides() {
        for accept in [&b"application/json"[..], b"text/plain, application/problem+json;q=0.5"] {
            let body = parse(None, Some(accept));
            assert_eq!((&body["error"], &body["layer"]), (&json!("denied"), &json!("corp")));
        }
        for accept in [None, Some(&b"*/*"[..]), Some(b"text/html,*/*;q=0.8"), Some(b"application/json;q=0.0")]
        {
            let (content_type, body) = refusal_body(None, &DENIED, accept);
            let body = String::from_utf8(body).expect("UTF-8");
            assert_eq!(content_type, TEXT);
            assert!(body.contains("only \"acme\"") && body.lines().count() == 1, "{body}");
        }
    }
}
