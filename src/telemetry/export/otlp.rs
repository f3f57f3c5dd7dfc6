//! OTLP in its JSON form: an exchange is a client span, a model call a span below it with the attributes of generative AI, and
//! both are counted in histograms (OpenTelemetry semantic conventions, HTTP and generative AI).
//!
//! Ids follow from session and exchange, so a row that is sent twice is the same span twice. A `traceparent` that the
//! guest sent is the parent, so that its own trace goes on here.

mod ids;
mod message;
mod metric;

use std::borrow::Cow;
use std::net::SocketAddr;

use self::ids::Ids;
use self::message::{Attribute, Request, Span, Status, Value};
use self::metric::Histograms;
use super::har;
use crate::telemetry::query::Record;

/// Which names the attributes of model calls have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Those of versions 1.37 to 1.41.
    #[default]
    Released,
    /// With those that came later: cached and reasoning tokens, time to the first chunk.
    Latest,
}

/// Bounds of durations in seconds (`http.client.request.duration`).
const REQUEST_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Bounds of durations in seconds (`gen_ai.client.operation.duration`).
const SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Bounds of token counts (`gen_ai.client.token.usage`).
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// An `ExportTraceServiceRequest`.
pub fn traces(events: &[Record], calls: &[Record], names: Names) -> String {
    let spans = events.iter().map(exchange).chain(calls.iter().map(|row| call(row, names)));
    Request::traces(spans.collect())
}

/// An `ExportMetricsServiceRequest`; the sums are those of these rows.
pub fn metrics(events: &[Record], calls: &[Record]) -> String {
    let mut requests = Histograms::new("http.client.request.duration", "s", REQUEST_SECONDS);
    let mut durations = Histograms::new("gen_ai.client.operation.duration", "s", SECONDS);
    let mut tokens = Histograms::new("gen_ai.client.token.usage", "{token}", TOKENS);
    for row in events.iter().filter(|row| !row.text("method").is_empty()) {
        requests.add(http_attributes(row), row, seconds(row, "total_us"));
    }
    for row in calls {
        let attributes = call_attributes(row);
        for (kind, column) in [("input", "input_tokens"), ("output", "output_tokens")] {
            let mut attributes = attributes.clone();
            attributes.push(Attribute::text("gen_ai.token.type", kind));
            tokens.add(attributes, row, row.int(column).map(|count| count as f64));
        }
        durations.add(attributes, row, seconds(row, "total_us"));
    }
    Request::metrics([&requests, &durations, &tokens].into_iter().filter_map(Histograms::metric).collect())
}

fn seconds(row: &Record, column: &str) -> Option<f64> {
    row.int(column).map(|us| us as f64 / 1e6)
}

fn exchange(row: &Record) -> Span<'_> {
    let ids = Ids::of(row);
    let mut attributes = http_attributes(row);
    for (key, column) in [
        ("url.path", "path"),
        ("url.query", "query"),
        ("client.address", "client"),
        ("process.executable.name", "process_name"),
        ("tollgate.session", "session_id"),
        ("tollgate.rule", "rule"),
        ("tollgate.rule_layer", "rule_layer"),
        ("tollgate.reason", "reason"),
        ("tollgate.fault_phase", "fault_phase"),
        ("tollgate.tap", "tap"),
    ] {
        attributes.extend(known_text(key, row.text(column)));
    }
    for (key, column) in [
        ("http.request.body.size", "request_bytes"),
        ("http.response.body.size", "response_bytes"),
        ("process.pid", "process_id"),
        ("tollgate.exchange_id", "exchange_id"),
    ] {
        attributes.extend(known_int(key, row.int(column)));
    }
    if !row.text("method").is_empty() {
        attributes.push(Attribute::text("url.full", har::url(row)));
    }
    let dialed: Option<SocketAddr> = row.text("dialed").parse().ok();
    if let Some(peer) = dialed {
        attributes.push(Attribute::text("network.peer.address", peer.ip().to_string()));
        attributes.extend(known_int("network.peer.port", Some(peer.port().into())));
    }
    let name = match method(row) {
        Some(OTHER) => {
            attributes.push(Attribute::text("http.request.method_original", row.text("method")));
            "HTTP"
        }
        method => method.unwrap_or("connection"),
    };
    let why = if row.text("fault").is_empty() { "reason" } else { "fault" };
    let status = Status::of(error_type(row).map(|_| row.text(why)));
    let ids = [ids.trace, ids.exchange, ids.parent.unwrap_or_default()];
    Span::new(row, ids, name.into(), attributes, status)
}

fn http_attributes(row: &Record) -> Vec<Attribute<'_>> {
    let mut attributes = vec![Attribute::text("tollgate.decision", row.text("decision"))];
    attributes.extend(method(row).map(|method| Attribute::text("http.request.method", method)));
    attributes.extend(known_text("server.address", row.text("host")));
    attributes.extend(known_text("url.scheme", row.text("scheme")));
    attributes.extend(known_int("server.port", row.int("port")));
    attributes.extend(known_int("http.response.status_code", row.int("status")));
    attributes.extend(error_type(row).map(|error| Attribute::text("error.type", error)));
    attributes
}

/// The convention's word for a method that it does not name.
const OTHER: &str = "_OTHER";

/// The method as conventions for HTTP name it (RFC 9110 §9, RFC 5789, draft-ietf-httpbis-safe-method-w-body).
fn method(row: &Record) -> Option<&'static str> {
    const KNOWN: [&str; 10] =
        ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    let method = row.text("method");
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.or((!method.is_empty()).then_some(OTHER))
}

/// Why a request counts as failed: the phase that broke it, Tollgate's decision, or the status; nothing where all was
/// well.
fn error_type(row: &Record) -> Option<Cow<'_, str>> {
    match row.text("decision") {
        "failed" if !row.text("fault_phase").is_empty() => Some(row.text("fault_phase").into()),
        decision @ ("failed" | "aborted" | "denied") => Some(decision.into()),
        _ => row.int("status").filter(|status| *status >= 400).map(|status| status.to_string().into()),
    }
}

fn call(row: &Record, names: Names) -> Span<'_> {
    let ids = Ids::of(row);
    let mut attributes = call_attributes(row);
    attributes.extend(known_text("gen_ai.response.id", row.text("response_id")));
    attributes.extend(known_text("tollgate.api", row.text("api")));
    attributes.extend(known_text("tollgate.usage_state", row.text("usage_state")));
    if !row.text("stop_reason").is_empty() {
        let value = Value::words(row.text("stop_reason"));
        attributes.push(Attribute { key: "gen_ai.response.finish_reasons", value });
    }
    attributes.extend(known_int("gen_ai.usage.input_tokens", row.int("input_tokens")));
    attributes.extend(known_int("gen_ai.usage.output_tokens", row.int("output_tokens")));
    attributes.extend(known_int("tollgate.cost_pico_usd", row.int("cost_pico_usd")));
    // The trace is a guess where the request's row, with its `traceparent`, is yet to come.
    attributes.extend(known_int("tollgate.exchange_id", row.int("exchange_id")));
    if names == Names::Latest {
        attributes.extend(known_int("gen_ai.usage.cache_read.input_tokens", row.int("cache_read_tokens")));
        attributes
            .extend(known_int("gen_ai.usage.cache_creation.input_tokens", row.int("cache_write_tokens")));
        attributes.extend(known_int("gen_ai.usage.reasoning.output_tokens", row.int("reasoning_tokens")));
        attributes.extend(seconds(row, "first_token_us").map(|seconds| {
            let value = Value::Double(seconds);
            Attribute { key: "gen_ai.response.time_to_first_chunk", value }
        }));
    }
    let failed = !row.text("error_type").is_empty();
    let status = Status::of(failed.then(|| row.text("error_message")));
    let id = ids.call(row.int("call_id").unwrap_or(0));
    let name = format!("{} {}", operation(row), model(row)).trim_end().to_owned();
    Span::new(row, [ids.trace, id, ids.exchange], name.into(), attributes, status)
}

fn call_attributes(row: &Record) -> Vec<Attribute<'_>> {
    let mut attributes = vec![
        Attribute::text("gen_ai.operation.name", operation(row)),
        Attribute::text("gen_ai.provider.name", provider(row)),
    ];
    attributes.extend(known_text("gen_ai.request.model", row.text("model_requested")));
    attributes.extend(known_text("gen_ai.response.model", row.text("model")));
    attributes.extend(known_text("server.address", row.text("host")));
    attributes.extend(known_text("error.type", row.text("error_type")));
    attributes
}

fn model(row: &Record) -> &str {
    if row.text("model_requested").is_empty() { row.text("model") } else { row.text("model_requested") }
}

/// The convention's word for what was asked of the model.
fn operation(row: &Record) -> &'static str {
    let api = row.text("api");
    if matches!(api, "google.embed" | "openai.embeddings") {
        "embeddings"
    } else if api.starts_with("google.") {
        "generate_content"
    } else if matches!(api, "openai.completions" | "ollama.generate") {
        "text_completion"
    } else {
        "chat"
    }
}

/// The convention's word for the provider.
fn provider(row: &Record) -> &str {
    match row.text("provider") {
        "google" => "gcp.gemini",
        "vertex" => "gcp.vertex_ai",
        "bedrock" => "aws.bedrock",
        "azure" => "azure.ai.openai",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        other => other,
    }
}

fn known_text<'a>(key: &'static str, value: &'a str) -> Option<Attribute<'a>> {
    (!value.is_empty()).then(|| Attribute::text(key, value))
}

fn known_int(key: &'static str, value: Option<i64>) -> Option<Attribute<'static>> {
    value.map(|value| Attribute { key, value: Value::Int(value) })
}
