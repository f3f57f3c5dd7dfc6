//! OTLP in its JSON form: an exchange is a client span, a model call a span below it with the attributes of generative AI, and
//! both are counted in histograms (OpenTelemetry semantic conventions, HTTP and generative AI).
//!
//! Ids follow from session and exchange, so a row that is sent twice is the same span twice. A `traceparent` that the
//! guest sent is the parent, so that its own trace goes on here.

use std::borrow::Cow;
use std::net::SocketAddr;

use aws_lc_rs::digest;
use serde_json::{Value, json};

use super::har;
use crate::telemetry::query::Record;
use crate::telemetry::text;

/// Which names the attributes of model calls have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Those of versions 1.37 to 1.41.
    #[default]
    Released,
    /// With those that came later: cached and reasoning tokens, time to the first chunk.
    Latest,
}

/// OTLP's number for a client span.
const CLIENT: u8 = 3;

/// OTLP's number for a span that failed.
const ERROR: u8 = 2;

/// OTLP's number for sums since the last report.
const DELTA: u8 = 1;

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
    let spans: Vec<_> = events.iter().map(exchange).chain(calls.iter().map(|row| call(row, names))).collect();
    json!({"resourceSpans": [{"resource": resource(), "scopeSpans": [{"scope": scope(), "spans": spans}]}]})
        .to_string()
}

/// An `ExportMetricsServiceRequest`; the sums are those of these rows.
pub fn metrics(events: &[Record], calls: &[Record]) -> String {
    let mut requests = Histograms::new("http.client.request.duration", "s", REQUEST_SECONDS);
    let mut durations = Histograms::new("gen_ai.client.operation.duration", "s", SECONDS);
    let mut tokens = Histograms::new("gen_ai.client.token.usage", "{token}", TOKENS);
    for row in events.iter().filter(|row| !row.text("method").is_empty()) {
        requests.add(http_attributes(row), row, row.int("total_us").map(|us| us as f64 / 1e6));
    }
    for row in calls {
        let attributes = call_attributes(row);
        for (kind, column) in [("input", "input_tokens"), ("output", "output_tokens")] {
            let attributes = [attributes.clone(), vec![word("gen_ai.token.type", kind)]].concat();
            tokens.add(attributes, row, row.int(column).map(|count| count as f64));
        }
        durations.add(attributes, row, row.int("total_us").map(|us| us as f64 / 1e6));
    }
    let metrics: Vec<_> = [requests, durations, tokens].into_iter().filter_map(Histograms::done).collect();
    json!({"resourceMetrics": [{"resource": resource(), "scopeMetrics": [{"scope": scope(), "metrics": metrics}]}]})
        .to_string()
}

fn resource() -> Value {
    json!({"attributes": [word("service.name", "tollgate"), word("service.version", env!("CARGO_PKG_VERSION"))]})
}

fn scope() -> Value {
    json!({"name": "tollgate", "version": env!("CARGO_PKG_VERSION")})
}

fn exchange(row: &Record) -> Value {
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
        attributes.extend(maybe_text(key, row.text(column)));
    }
    for (key, column) in [
        ("http.request.body.size", "request_bytes"),
        ("http.response.body.size", "response_bytes"),
        ("process.pid", "process_id"),
        ("tollgate.exchange_id", "exchange_id"),
    ] {
        attributes.extend(maybe_int(key, row.int(column)));
    }
    if !row.text("method").is_empty() {
        attributes.push(word("url.full", &har::url(row)));
    }
    let dialed: Option<SocketAddr> = row.text("dialed").parse().ok();
    if let Some(peer) = dialed {
        attributes.push(word("network.peer.address", &peer.ip().to_string()));
        attributes.extend(maybe_int("network.peer.port", Some(peer.port().into())));
    }
    let name = match method(row) {
        Some(OTHER) => {
            attributes.push(word("http.request.method_original", row.text("method")));
            "HTTP"
        }
        method => method.unwrap_or("connection"),
    };
    let why = if row.text("fault").is_empty() { "reason" } else { "fault" };
    let error = error_type(row).map(|_| row.text(why));
    let parent = ids.parent.as_deref();
    Span { trace: &ids.trace, id: &ids.exchange, parent, name, attributes, error }.json(row)
}

fn http_attributes(row: &Record) -> Vec<Value> {
    let mut attributes = vec![word("tollgate.decision", row.text("decision"))];
    attributes.extend(method(row).map(|method| word("http.request.method", method)));
    attributes.extend(maybe_text("server.address", row.text("host")));
    attributes.extend(maybe_text("url.scheme", row.text("scheme")));
    attributes.extend(maybe_int("server.port", row.int("port")));
    attributes.extend(maybe_int("http.response.status_code", row.int("status")));
    attributes.extend(error_type(row).map(|error| word("error.type", &error)));
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

fn call(row: &Record, names: Names) -> Value {
    let ids = Ids::of(row);
    let mut attributes = call_attributes(row);
    attributes.extend(maybe_text("gen_ai.response.id", row.text("response_id")));
    attributes.extend(maybe_text("tollgate.api", row.text("api")));
    attributes.extend(maybe_text("tollgate.usage_state", row.text("usage_state")));
    if !row.text("stop_reason").is_empty() {
        let reasons = json!({"arrayValue": {"values": [{"stringValue": row.text("stop_reason")}]}});
        attributes.push(json!({"key": "gen_ai.response.finish_reasons", "value": reasons}));
    }
    attributes.extend(maybe_int("gen_ai.usage.input_tokens", row.int("input_tokens")));
    attributes.extend(maybe_int("gen_ai.usage.output_tokens", row.int("output_tokens")));
    attributes.extend(maybe_int("tollgate.cost_pico_usd", row.int("cost_pico_usd")));
    if names == Names::Latest {
        attributes.extend(maybe_int("gen_ai.usage.cache_read.input_tokens", row.int("cache_read_tokens")));
        attributes
            .extend(maybe_int("gen_ai.usage.cache_creation.input_tokens", row.int("cache_write_tokens")));
        attributes.extend(maybe_int("gen_ai.usage.reasoning.output_tokens", row.int("reasoning_tokens")));
        attributes.extend(row.int("first_token_us").map(|us| {
            json!({"key": "gen_ai.response.time_to_first_chunk", "value": {"doubleValue": us as f64 / 1e6}})
        }));
    }
    let failed = !row.text("error_type").is_empty();
    let id = hex(&ids.call(row)[..8]);
    let name = format!("{} {}", operation(row), model(row));
    let error = failed.then(|| row.text("error_message"));
    let parent = Some(ids.exchange.as_str());
    Span { trace: &ids.trace, id: &id, parent, name: name.trim_end(), attributes, error }.json(row)
}

fn call_attributes(row: &Record) -> Vec<Value> {
    let mut attributes =
        vec![word("gen_ai.operation.name", operation(row)), word("gen_ai.provider.name", provider(row))];
    attributes.extend(maybe_text("gen_ai.request.model", row.text("model_requested")));
    attributes.extend(maybe_text("gen_ai.response.model", row.text("model")));
    attributes.extend(maybe_text("server.address", row.text("host")));
    attributes.extend(maybe_text("error.type", row.text("error_type")));
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

/// What the two kinds of spans differ in.
struct Span<'a> {
    trace: &'a str,
    id: &'a str,
    parent: Option<&'a str>,
    name: &'a str,
    attributes: Vec<Value>,
    /// What went wrong, if something did.
    error: Option<&'a str>,
}

impl Span<'_> {
    fn json(&self, row: &Record) -> Value {
        let (start, end) = times(row);
        json!({
            "traceId": self.trace,
            "spanId": self.id,
            "parentSpanId": self.parent.unwrap_or_default(),
            "name": self.name,
            "kind": CLIENT,
            "startTimeUnixNano": start,
            "endTimeUnixNano": end,
            "attributes": self.attributes,
            "status": match self.error {
                None => json!({}),
                Some("") => json!({"code": ERROR}),
                Some(message) => json!({"code": ERROR, "message": message}),
            },
        })
    }
}

/// Start and end in nanoseconds; 64-bit numbers are strings in OTLP's JSON.
fn times(row: &Record) -> (String, String) {
    let start = row.int("started_at").unwrap_or(0);
    let end = start + row.int("total_us").unwrap_or(0);
    (format!("{start}000"), format!("{end}000"))
}

fn word(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn maybe_text(key: &str, value: &str) -> Option<Value> {
    (!value.is_empty()).then(|| word(key, value))
}

fn maybe_int(key: &str, value: Option<i64>) -> Option<Value> {
    value.map(|value| json!({"key": key, "value": {"intValue": value.to_string()}}))
}

/// The ids of an exchange's spans.
struct Ids {
    seed: [u8; 32],
    trace: String,
    exchange: String,
    parent: Option<String>,
}

impl Ids {
    fn of(row: &Record) -> Self {
        let seed = hash(&[row.text("session_id"), &row.int("exchange_id").unwrap_or(0).to_string()]);
        let parent = row.header("traceparent").and_then(|value| traceparent(&value));
        let trace = parent.as_ref().map_or_else(|| hex(&seed[..16]), |(trace, _)| trace.clone());
        Self { seed, trace, exchange: hex(&seed[16..24]), parent: parent.map(|(_, span)| span) }
    }

    fn call(&self, row: &Record) -> [u8; 32] {
        hash(&[&hex(&self.seed), &row.int("call_id").unwrap_or(0).to_string()])
    }
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, parts.join("\n").as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    text::hex(bytes, &mut out);
    String::from_utf8(out).expect("hex digits are ASCII")
}

/// Trace and span of a `traceparent` field (W3C Trace Context, 3.2).
fn traceparent(value: &str) -> Option<(String, String)> {
    let mut parts = value.split('-');
    let (_version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let valid = |id: &str, length| {
        id.len() == length && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
    };
    (valid(trace, 32) && valid(span, 16)).then(|| (trace.to_lowercase(), span.to_lowercase()))
}

/// One metric: a histogram for each set of attributes.
struct Histograms {
    name: &'static str,
    unit: &'static str,
    bounds: &'static [f64],
    points: Vec<Point>,
}

struct Point {
    attributes: Vec<Value>,
    counts: Vec<u64>,
    sum: f64,
    start: i64,
    end: i64,
}

impl Histograms {
    fn new(name: &'static str, unit: &'static str, bounds: &'static [f64]) -> Self {
        Self { name, unit, bounds, points: Vec::new() }
    }

    fn add(&mut self, attributes: Vec<Value>, row: &Record, value: Option<f64>) {
        let (Some(value), Some(start)) = (value, row.int("started_at")) else { return };
        let end = start + row.int("total_us").unwrap_or(0);
        let index =
            self.points.iter().position(|point| point.attributes == attributes).unwrap_or_else(|| {
                let counts = vec![0; self.bounds.len() + 1];
                self.points.push(Point { attributes, counts, sum: 0.0, start, end });
                self.points.len() - 1
            });
        let point = &mut self.points[index];
        point.counts[self.bounds.partition_point(|bound| *bound < value)] += 1;
        point.sum += value;
        (point.start, point.end) = (point.start.min(start), point.end.max(end));
    }

    fn done(self) -> Option<Value> {
        let points: Vec<_> = self.points.iter().map(|point| point.json(self.bounds)).collect();
        let histogram = json!({"aggregationTemporality": DELTA, "dataPoints": points});
        (!points.is_empty()).then(|| json!({"name": self.name, "unit": self.unit, "histogram": histogram}))
    }
}

impl Point {
    fn json(&self, bounds: &[f64]) -> Value {
        json!({
            "attributes": self.attributes,
            "startTimeUnixNano": format!("{}000", self.start),
            "timeUnixNano": format!("{}000", self.end),
            // As numbers, which every parser must take too: that of opentelemetry-proto, which collectors in Rust use, takes nothing else here.
            "count": self.counts.iter().sum::<u64>(),
            "sum": self.sum,
            "bucketCounts": self.counts,
            "explicitBounds": bounds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_trace_goes_on() {
        let parent = "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01";
        let ids = traceparent(parent).expect("valid");
        assert_eq!(ids, ("0af7651916cd43dd8448eb211c80319c".into(), "b7ad6b7169203331".into()));
        for bad in ["", "00-0-1-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "x"] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_follow_from_their_row() {
        assert_eq!(hash(&["a", "1"]), hash(&["a", "1"]));
        assert_ne!(hash(&["a", "1"]), hash(&["a", "2"]));
        assert_eq!(hex(&[0, 255]), "00ff");
    }
}
