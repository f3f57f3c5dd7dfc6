//! What a 4xx or 5xx answer says: type, code and message out of any provider's error body (WIRE §1 to §5).
//!
//! Shapes seen: `{"error":{"type","code","message","status","details"}}`, the same in an array (Gemini without
//! `alt=sse`), `{"error":"text"}`, flat `{"type","code","message"}` (Mistral, Cohere, AWS), `{"detail":…}` (`FastAPI`).
//! A body that is no JSON is taken as the message itself where it is short plain text, never where it is a page.

use crate::wire::json::{Shape, Sink, Skimmer, Text, Value};

use super::meter::{MESSAGE, NAME};
use super::usage::OriginError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Document,
    Error,
    Kind,
    Status,
    Code,
    Message,
    FlatKind,
    FlatCode,
    FlatMessage,
    RetryDelay,
    RequestId,
}

static BODY: Shape<Field> = Shape::object(BODY_MEMBERS).tagged(Field::Document).items(&BODY_ITEM);
static BODY_ITEM: Shape<Field> = Shape::object(BODY_MEMBERS);

const BODY_MEMBERS: &[(&str, &Shape<Field>)] = &[
    ("error", &ERROR),
    ("type", &Shape::value(Field::FlatKind, NAME)),
    ("__type", &Shape::value(Field::FlatKind, NAME)),
    ("code", &Shape::value(Field::FlatCode, NAME)),
    ("message", &FLAT_MESSAGE),
    ("detail", &FLAT_MESSAGE),
    ("request_id", &Shape::value(Field::RequestId, NAME)),
];

static ERROR: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::Kind, NAME)),
    ("status", &Shape::value(Field::Status, NAME)),
    ("code", &Shape::value(Field::Code, NAME)),
    ("message", &Shape::value(Field::Message, MESSAGE)),
    ("details", &DETAILS),
])
.tagged(Field::Error)
.keeping(MESSAGE);

/// An object at Anthropic, a list at Google.
static DETAILS: Shape<Field> =
    Shape::object(&[("error_code", &Shape::value(Field::Code, NAME))]).items(&DETAIL);
static DETAIL: Shape<Field> = Shape::object(&[("retryDelay", &Shape::value(Field::RetryDelay, NAME))]);

/// A string, or `FastAPI`'s list of complaints, or an object around either.
static FLAT_MESSAGE: Shape<Field> =
    Shape::object(&[("detail", &FLAT_LIST), ("msg", &Shape::value(Field::FlatMessage, MESSAGE))])
        .tagged(Field::FlatMessage)
        .keeping(MESSAGE)
        .items(&COMPLAINT);
static FLAT_LIST: Shape<Field> = Shape::value(Field::FlatMessage, MESSAGE).items(&COMPLAINT);
static COMPLAINT: Shape<Field> = Shape::object(&[("msg", &Shape::value(Field::FlatMessage, MESSAGE))]);

/// Reads one error body.
#[derive(Debug)]
pub struct FailureReader {
    skimmer: Skimmer<Field>,
    said: Said,
    form: Form,
    plain: Vec<u8>,
}

/// What the body turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Undecided,
    Json,
    Text,
    /// Neither, or no longer readable.
    Opaque,
}

#[derive(Debug, Default)]
struct Said {
    complete: bool,
    nested: OriginError,
    flat: OriginError,
    status: Option<String>,
}

impl FailureReader {
    /// For a body; `page` says that it is HTML or the like, of which nothing is told.
    pub fn new(page: bool) -> Self {
        Self {
            skimmer: Skimmer::one(&BODY),
            said: Said::default(),
            form: if page { Form::Opaque } else { Form::Undecided },
            plain: Vec::new(),
        }
    }

    /// The next bytes of the decoded body.
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = if self.form == Form::Undecided { bytes.trim_ascii_start() } else { bytes };
        if bytes.is_empty() {
            return;
        }
        if self.form == Form::Undecided {
            self.form = if matches!(bytes[0], b'{' | b'[') { Form::Json } else { Form::Text };
        }
        match self.form {
            Form::Json if self.skimmer.push(bytes, &mut self.said).is_err() => self.form = Form::Opaque,
            Form::Text => {
                let room = NAME * 2 - self.plain.len();
                self.plain.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            _ => {}
        }
    }

    /// Whether the whole error has been read, so that it can be told before the body ends.
    pub fn complete(&self) -> bool {
        self.said.complete
    }

    /// What the error is, as far as it was read.
    pub fn error(&self) -> OriginError {
        let (nested, flat) = (&self.said.nested, &self.said.flat);
        let pick = |of: fn(&OriginError) -> &Option<String>| of(nested).clone().or_else(|| of(flat).clone());
        let text = Text { bytes: &self.plain, len: u64::MAX, clipped: true };
        let plain = (self.form == Form::Text).then(|| text.lossy().trim().to_owned());
        OriginError {
            status: None,
            kind: nested.kind.clone().or_else(|| self.said.status.clone()).or_else(|| flat.kind.clone()),
            code: pick(|error| &error.code),
            message: pick(|error| &error.message).or(plain),
            retry_after_us: nested.retry_after_us,
            request_id: flat.request_id.clone(),
        }
    }
}

impl Sink<Field> for Said {
    fn value(&mut self, field: Field, value: Value<'_>) {
        let said = match value {
            Value::Text(text) if text.len > 0 => Some(text.lossy().into_owned()),
            Value::Number(number) => number.text().map(str::to_owned),
            _ => None,
        };
        let Some(said) = said else { return };
        match field {
            Field::Error | Field::Message => self.nested.message = Some(said),
            Field::Kind => self.nested.kind = Some(said),
            Field::Status => self.status = Some(said),
            Field::Code => self.nested.code = Some(said),
            Field::FlatKind if said != "error" => self.flat.kind = Some(said),
            Field::FlatCode => self.flat.code = Some(said),
            Field::FlatMessage => self.flat.message = Some(said),
            Field::RequestId => self.flat.request_id = Some(said),
            Field::RetryDelay => self.nested.retry_after_us = delay(&said),
            Field::Document | Field::FlatKind => {}
        }
    }

    fn close(&mut self, field: Field, _raw: Option<Text<'_>>) {
        self.complete |= field == Field::Document;
    }
}

/// A duration as Google writes it, `"13s"` or `"0.5s"`, as microseconds.
pub(super) fn delay(text: &str) -> Option<u64> {
    text.strip_suffix('s').and_then(seconds)
}

/// Seconds, whole or with a fraction, as microseconds.
pub fn seconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().parse().ok()?;
    (0.0..1e9).contains(&seconds).then_some((seconds * 1e6) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, size: usize) -> OriginError {
        let mut reader = FailureReader::new(false);
        body.as_bytes().chunks(size).for_each(|piece| reader.push(piece));
        reader.error()
    }

    #[test]
    fn every_providers_error_shape_is_read() {
        // body, type, code, message
        let cases: &[(&str, Option<&str>, Option<&str>, &str)] = &[
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#,
                Some("overloaded_error"),
                None,
                "Overloaded",
            ),
            (
                r#"{"error":{"message":"No","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
                Some("requests"),
                Some("rate_limit_exceeded"),
                "No",
            ),
            (
                r#"{"error":{"code":429,"message":"Q","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"13s"}]}}"#,
                Some("RESOURCE_EXHAUSTED"),
                Some("429"),
                "Q",
            ),
            (
                r#"[{"error":{"code":400,"message":"B","status":"INVALID_ARGUMENT"}}]"#,
                Some("INVALID_ARGUMENT"),
                Some("400"),
                "B",
            ),
            (r#"{"error":{"code":402,"message":"credits","metadata":{}}}"#, None, Some("402"), "credits"),
            (r#"{"error":"model 'x' not found"}"#, None, None, "model 'x' not found"),
            (
                r#"{"object":"error","message":"Bad","type":"invalid_request_error","code":"1500"}"#,
                Some("invalid_request_error"),
                Some("1500"),
                "Bad",
            ),
            (r#"{"detail":[{"loc":["body"],"msg":"Field required"}]}"#, None, None, "Field required"),
            (r#"{"object":"error","message":{"detail":[{"msg":"too long"}]}}"#, None, None, "too long"),
            (r#"{"detail":"Unauthorized"}"#, None, None, "Unauthorized"),
            (r#"{"message":"invalid api token"}"#, None, None, "invalid api token"),
            (" upstream connect error ", None, None, "upstream connect error"),
        ];
        for &(body, kind, code, message) in cases {
            for size in [1, 7, body.len()] {
                let error = read(body, size);
                let found = (error.kind.as_deref(), error.code.as_deref(), error.message.as_deref());
                assert_eq!(found, (kind, code, Some(message)), "{body}");
            }
        }
        assert_eq!(read(cases[0].0, 9).request_id.as_deref(), Some("req_1"));
        assert_eq!(read(cases[2].0, 9).retry_after_us, Some(13_000_000));
    }

    #[test]
    fn a_page_is_no_message() {
        let mut reader = FailureReader::new(true);
        reader.push(b"<html>");
        assert_eq!(reader.error(), OriginError::default());
    }
}
