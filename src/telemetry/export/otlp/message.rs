//! OTLP's messages as far as they are used, in their JSON form: 64-bit integers are text, ids are hex, enums are numbers
//! (opentelemetry-proto, `trace`, `metrics` and `common`, 1.x). Nothing is copied that a row holds.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::telemetry::query::Record;

/// A client span.
const CLIENT: u8 = 3;
/// A span that failed.
const ERROR: u8 = 2;
/// Sums since the last report.
const DELTA: u8 = 1;

/// An `ExportTraceServiceRequest` or `ExportMetricsServiceRequest`, of one resource and one scope.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Request<'a> {
    ResourceSpans([ResourceSpans<'a>; 1]),
    ResourceMetrics([ResourceMetrics<'a>; 1]),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceSpans<'a> {
    resource: Resource,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Span<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceMetrics<'a> {
    resource: Resource,
    scope_metrics: [ScopeMetrics<'a>; 1],
}

#[derive(Serialize)]
struct ScopeMetrics<'a> {
    scope: Scope,
    metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
struct Resource {
    attributes: [Attribute<'static>; 2],
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

/// A `Span`.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are the protocol's")]
#[serde(rename_all = "camelCase")]
pub(super) struct Span<'a> {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    name: Cow<'a, str>,
    kind: u8,
    start_time_unix_nano: Nanos,
    end_time_unix_nano: Nanos,
    attributes: Vec<Attribute<'a>>,
    status: Status<'a>,
}

#[derive(Serialize)]
pub(super) struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

/// A `Metric` that is a histogram.
#[derive(Serialize)]
pub(super) struct Metric<'a> {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) histogram: Histogram<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Histogram<'a> {
    aggregation_temporality: u8,
    data_points: &'a [Point<'a>],
}

/// A `HistogramDataPoint`. Its counts are numbers, which every parser must take too: that of opentelemetry-proto, which
/// collectors in Rust use, takes nothing else here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Point<'a> {
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) start_time_unix_nano: Nanos,
    pub(super) time_unix_nano: Nanos,
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) bucket_counts: Vec<u64>,
    pub(super) explicit_bounds: &'static [f64],
}

/// A `KeyValue`.
#[derive(Clone, PartialEq, Serialize)]
pub(super) struct Attribute<'a> {
    pub(super) key: &'static str,
    pub(super) value: Value<'a>,
}

/// An `AnyValue`.
#[derive(Clone, PartialEq, Serialize)]
pub(super) enum Value<'a> {
    #[serde(rename = "stringValue")]
    Text(Cow<'a, str>),
    #[serde(rename = "intValue", serialize_with = "as_text")]
    Int(i64),
    #[serde(rename = "doubleValue")]
    Double(f64),
    #[serde(rename = "arrayValue")]
    Array { values: Vec<Value<'a>> },
}

/// A time in Unix microseconds, written in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nanos(pub(super) i64);

impl Request<'_> {
    pub(super) fn traces(spans: Vec<Span<'_>>) -> String {
        let scope_spans = [ScopeSpans { scope: SCOPE, spans }];
        Request::ResourceSpans([ResourceSpans { resource: Resource::this(), scope_spans }]).json()
    }

    pub(super) fn metrics(metrics: Vec<Metric<'_>>) -> String {
        let scope_metrics = [ScopeMetrics { scope: SCOPE, metrics }];
        Request::ResourceMetrics([ResourceMetrics { resource: Resource::this(), scope_metrics }]).json()
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers have a JSON form")
    }
}

const SCOPE: Scope = Scope { name: "tollgate", version: env!("CARGO_PKG_VERSION") };

impl Resource {
    fn this() -> Self {
        let version = Attribute::text("service.version", env!("CARGO_PKG_VERSION"));
        Self { attributes: [Attribute::text("service.name", "tollgate"), version] }
    }
}

impl<'a> Span<'a> {
    /// A span with the times of a row.
    pub(super) fn new(
        row: &Record,
        [trace_id, span_id, parent_span_id]: [String; 3],
        name: Cow<'a, str>,
        attributes: Vec<Attribute<'a>>,
        status: Status<'a>,
    ) -> Self {
        let (start, end) = times(row);
        Self {
            trace_id,
            span_id,
            parent_span_id,
            name,
            kind: CLIENT,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            status,
        }
    }
}

/// Start and end of what a row tells.
pub(super) fn times(row: &Record) -> (Nanos, Nanos) {
    let start = row.int("started_at").unwrap_or(0);
    (Nanos(start), Nanos(start.saturating_add(row.int("total_us").unwrap_or(0))))
}

impl<'a> Status<'a> {
    /// All was well, or what went wrong.
    pub(super) fn of(error: Option<&'a str>) -> Self {
        Self { code: error.map(|_| ERROR), message: error.unwrap_or_default() }
    }
}

impl<'a> Histogram<'a> {
    pub(super) fn new(data_points: &'a [Point<'a>]) -> Self {
        Self { aggregation_temporality: DELTA, data_points }
    }
}

impl<'a> Attribute<'a> {
    pub(super) fn text(key: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        Self { key, value: Value::Text(value.into()) }
    }
}

impl<'a> Value<'a> {
    /// An array of one text.
    pub(super) fn words(word: &'a str) -> Self {
        Self::Array { values: vec![Self::Text(word.into())] }
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}000", self.0))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn as_text<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}
