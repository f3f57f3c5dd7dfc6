//! `/metrics`: the counters of this process in Prometheus' text format 0.0.4. The ledger is not read, so a scrape
//! costs the same however long it is. Labels are bounded where they are counted (`reactor::figures`).

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::Relaxed;

use super::State;
use crate::reactor::figures::{BUCKETS, Histogram, ModelFigures};
use crate::reactor::shared::Counters;

/// The media type.
pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything.
pub(super) fn text(state: &State) -> String {
    let mut out = Text(String::new());
    let counters = &state.shared.counters;
    process(state, &mut out);
    traffic(counters, &mut out);
    phases(counters, &mut out);
    models(counters, &mut out);
    ledger(state, &mut out);
    out.0
}

/// The text as it grows.
struct Text(String);

impl Text {
    /// Begins a family: its name without our prefix, its type, what it is.
    fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        let name = format!("tollgate_{name}");
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
        Family { text: self, name }
    }

    /// A family of one value.
    fn value(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help).add("", value);
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("writing to a String does not fail");
    }
}

/// Lines of one name.
struct Family<'t> {
    text: &'t mut Text,
    name: String,
}

impl Family<'_> {
    /// Adds a line; `labels` is empty or `{…}`.
    fn add(&mut self, labels: &str, value: impl Display) {
        let name = &self.name;
        self.text.line(format_args!("{name}{labels} {value}"));
    }

    fn histogram(&mut self, phase: &str, histogram: &Histogram) {
        let (counts, sum) = histogram.read();
        let ends = BUCKETS.iter().map(|end| seconds(*end).to_string()).chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (count, end) in counts.iter().zip(ends) {
            total += count;
            let name = &self.name;
            self.text.line(format_args!("{name}_bucket{{phase=\"{phase}\",le=\"{end}\"}} {total}"));
        }
        let (name, sum) = (&self.name, seconds(sum));
        self.text.line(format_args!("{name}_sum{{phase=\"{phase}\"}} {sum}"));
        self.text.line(format_args!("{name}_count{{phase=\"{phase}\"}} {total}"));
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn label(name: &str, value: &str) -> String {
    labels(&[(name, value)])
}

/// `{name="value"}` with what guests and origins chose escaped.
fn labels(all: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let all: Vec<_> = all.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", all.join(","))
}

fn process(state: &State, out: &mut Text) {
    let version = label("version", env!("CARGO_PKG_VERSION"));
    out.family("build_info", "gauge", "The running version.").add(&version, 1);
    let start = state.started.wall as f64 / 1e6;
    out.value("start_time_seconds", "gauge", "When the proxy started, in Unix seconds.", start);
    let ready = u8::from(state.not_ready().is_none());
    out.value("ready", "gauge", "Whether requests are taken.", ready);
    let digest = label("digest", state.shared.policy().digest());
    out.family("policy_info", "gauge", "The policy in force.").add(&digest, 1);
}

fn traffic(counters: &Counters, out: &mut Text) {
    let connections = counters.connections.load(Relaxed);
    out.value("connections", "gauge", "Guest connections open now.", connections);
    let accepted = counters.accepted.load(Relaxed);
    out.value("connections_accepted_total", "counter", "Guest connections accepted.", accepted);
    let memory = counters.memory.load(Relaxed);
    out.value("connections_memory_bytes", "gauge", "Memory held by connections, about.", memory);
    let pooled = counters.pooled.load(Relaxed);
    out.value("upstream_pool_connections", "gauge", "Idle origin connections kept for reuse.", pooled);
    let mut requests =
        out.family("requests_total", "counter", "Requests, and connections that ended before one.");
    let words = ["allowed", "denied", "failed", "aborted", "spliced"];
    for (word, count) in words.iter().zip(&counters.decisions) {
        requests.add(&label("decision", word), count.load(Relaxed));
    }
    let mut taps =
        out.family("inspection_stopped_total", "counter", "Bodies whose inspection stopped, by reason.");
    for (reason, count) in counters.figures.taps() {
        taps.add(&label("reason", &reason), count);
    }
}

fn phases(counters: &Counters, out: &mut Text) {
    let figures = &counters.figures;
    let help = "How long each phase towards origins took; the count of tls is that of handshakes.";
    let mut family = out.family("upstream_phase_seconds", "histogram", help);
    for (phase, histogram) in [
        ("dns", &figures.dns),
        ("connect", &figures.connect),
        ("tls", &figures.tls),
        ("first_byte", &figures.first_byte),
    ] {
        family.histogram(phase, histogram);
    }
}

/// A family of one value for each model.
type OfModel = (&'static str, &'static str, fn(&ModelFigures) -> f64);

const OF_MODELS: [OfModel; 4] = [
    ("model_calls_total", "Model calls.", |model| model.calls as f64),
    ("model_calls_failed_total", "Model calls that ended in an error.", |model| model.failed as f64),
    ("model_calls_unpriced_total", "Model calls with tokens whose cost is unknown.", |model| {
        model.unpriced as f64
    }),
    ("model_cost_dollars_total", "Known cost of model calls in US dollars.", |model| {
        model.cost_pico_usd as f64 / 1e12
    }),
];

fn models(counters: &Counters, out: &mut Text) {
    let models = counters.figures.models();
    for (name, help, value) in OF_MODELS {
        let mut family = out.family(name, "counter", help);
        for (model, figures) in &models {
            family.add(&label("model", model), value(figures));
        }
    }
    let help = "Tokens by class. Classes do not overlap: input without caches, output without reasoning.";
    let mut family = out.family("model_tokens_total", "counter", help);
    for (model, figures) in &models {
        for (class, count) in [
            ("input", figures.input),
            ("cache_read", figures.cache_read),
            ("cache_write", figures.cache_write),
            ("output", figures.output),
            ("reasoning", figures.reasoning),
        ] {
            family.add(&labels(&[("model", model), ("class", class)]), count);
        }
    }
}

fn ledger(state: &State, out: &mut Text) {
    let (depth, lost, written) = {
        let sink = state.sink();
        (sink.depth(), sink.lost(), sink.written())
    };
    out.value("ledger_queue_events", "gauge", "Events that wait for the ledger's writer.", depth);
    out.value("ledger_lost_total", "counter", "Events that could not be written.", lost);
    out.value("ledger_rows_total", "counter", "Rows committed to the ledger.", written);
    let (cached, minted) = state.shared.minter().cached_and_minted();
    out.value("leaf_certificates", "gauge", "Leaf certificates held in the cache.", cached);
    out.value("leaf_certificates_minted_total", "counter", "Leaf certificates signed.", minted);
}
