//! Figures for the metrics that reactors add to as exchanges end: how long each phase towards an origin took, why
//! inspection stopped, and what each model used.
//!
//! Durations are counted in atomics. What has labels is behind a lock that is taken once for a model call or for an
//! inspection that stopped, never for a plain exchange. Labels are bounded: guests choose the names of models.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::limits::Micros;
use crate::model::usage::Call;
use crate::telemetry::event::{Event, NetEvent};
use crate::telemetry::redact::holds_key;
use crate::telemetry::text::printable;

/// How many models have figures of their own; later ones are added up as [`OTHER`].
pub const MODELS: usize = 50;
/// How many reasons why inspection stopped are told apart.
const REASONS: usize = 20;
/// Where everything past the bound is added up.
pub const OTHER: &str = "other";

/// Upper ends of a [`Histogram`]'s buckets, in [`Micros`]; a last bucket has none.
pub const BUCKETS: [Micros; 15] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// What is counted beside connections and decisions.
#[derive(Debug, Default)]
pub struct Figures {
    /// Name resolution.
    pub dns: Histogram,
    /// TCP connect.
    pub connect: Histogram,
    /// TLS with the origin.
    pub tls: Histogram,
    /// Whole request sent to first byte of the response.
    pub first_byte: Histogram,
    taps: Mutex<BTreeMap<Box<str>, u64>>,
    models: Mutex<BTreeMap<Box<str>, ModelFigures>>,
}

/// What one model used. The classes of tokens do not overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelFigures {
    /// Calls.
    pub calls: u64,
    /// Calls that ended in an error.
    pub failed: u64,
    /// Input that no cache served or took.
    pub input: u64,
    /// Input read from a cache.
    pub cache_read: u64,
    /// Input written to a cache.
    pub cache_write: u64,
    /// Output that was not reasoning.
    pub output: u64,
    /// Output that was reasoning.
    pub reasoning: u64,
    /// Known cost in 1e-12 USD.
    pub cost_pico_usd: u64,
    /// Calls with tokens whose cost is unknown.
    pub unpriced: u64,
}

impl Figures {
    /// Adds what an event says.
    pub fn count(&self, event: &Event) {
        match event {
            Event::Net(row) => self.count_exchange(row),
            Event::Call(event) => self.count_call(&event.call),
            Event::Error(_) | Event::Dns(_) | Event::Policy(_) => {}
        }
    }

    /// Why inspection stopped, and how often.
    pub fn taps(&self) -> BTreeMap<Box<str>, u64> {
        self.taps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What each model used; at most [`MODELS`] and [`OTHER`].
    pub fn models(&self) -> BTreeMap<Box<str>, ModelFigures> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count_exchange(&self, row: &NetEvent) {
        let phases = [
            (&self.dns, row.dns_us),
            (&self.connect, row.connect_us),
            (&self.tls, row.tls_us),
            (&self.first_byte, row.first_byte_us),
        ];
        for (histogram, micros) in phases {
            micros.inspect(|micros| histogram.add(*micros));
        }
        if let Some(why) = &row.tap {
            // What follows a colon is the origin's own words.
            let reason = why.split(':').next().unwrap_or_default();
            let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
            *bounded(&mut taps, reason, REASONS) += 1;
        }
    }

    fn count_call(&self, call: &Call) {
        let name = call.model.as_deref().or(call.model_requested.as_deref()).unwrap_or("unknown");
        let name = if is_name(name) { name } else { OTHER };
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        bounded(&mut models, name, MODELS).add(call);
    }
}

/// The longest name that a model is counted under.
const NAME: usize = 128;

/// Whether this can be shown as a name: metrics are kept, and read in terminals (P36).
fn is_name(text: &str) -> bool {
    printable(text) == text && !holds_key(text.as_bytes())
}

fn bounded<'m, T: Default>(map: &'m mut BTreeMap<Box<str>, T>, name: &str, most: usize) -> &'m mut T {
    let known = map.contains_key(name) || (map.len() < most && name.len() <= NAME);
    map.entry(if known { name } else { OTHER }.into()).or_default()
}

impl ModelFigures {
    fn add(&mut self, call: &Call) {
        let usage = &call.usage;
        let [read, write] = [usage.cache_read, usage.cache_write].map(Option::unwrap_or_default);
        let reasoning = usage.reasoning.unwrap_or(0);
        let cost = call.cost_pico_usd.and_then(|cost| u64::try_from(cost).ok());
        let sums = [
            (&mut self.calls, 1),
            (&mut self.failed, u64::from(call.error_type.is_some())),
            (&mut self.input, usage.input.unwrap_or(0).saturating_sub(read.saturating_add(write))),
            (&mut self.cache_read, read),
            (&mut self.cache_write, write),
            (&mut self.output, usage.output.unwrap_or(0).saturating_sub(reasoning)),
            (&mut self.reasoning, reasoning),
            (&mut self.cost_pico_usd, cost.unwrap_or(0)),
        ];
        for (sum, more) in sums {
            *sum = sum.saturating_add(more); // origins say what they like
        }
        let used = usage.input.or(usage.output).is_some();
        self.unpriced += u64::from(used && cost.is_none());
    }
}

/// Durations by [`BUCKETS`].
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS.len() + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Adds one duration.
    pub fn add(&self, micros: Micros) {
        self.counts[BUCKETS.partition_point(|end| *end < micros)].fetch_add(1, Relaxed);
        self.sum.fetch_add(micros, Relaxed);
    }

    /// How many durations each bucket holds, and their sum in [`Micros`].
    pub fn read(&self) -> ([u64; BUCKETS.len() + 1], u64) {
        (std::array::from_fn(|bucket| self.counts[bucket].load(Relaxed)), self.sum.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::usage::Usage;

    fn call(model: &str) -> Call {
        let usage = Usage {
            input: Some(100),
            cache_read: Some(60),
            cache_write: Some(10),
            output: Some(20),
            reasoning: Some(5),
            ..Usage::default()
        };
        Call { model: Some(model.to_owned()), usage, ..Call::default() }
    }

    #[test]
    fn classes_of_tokens_do_not_overlap() {
        let figures = Figures::default();
        figures.count_call(&call("m"));
        let m = figures.models()["m"];
        assert_eq!((m.input, m.cache_read, m.cache_write, m.output, m.reasoning), (30, 60, 10, 15, 5));
        assert_eq!((m.cost_pico_usd, m.unpriced), (0, 1), "an unknown cost is not counted as none");
    }

    #[test]
    fn any_number_of_models_stays_within_the_bound() {
        let figures = Figures::default();
        (0..1000).for_each(|n| figures.count_call(&call(&format!("model-{n}"))));
        let models = figures.models();
        assert_eq!(models.len(), MODELS + 1);
        assert_eq!(models[OTHER].calls, 1000 - MODELS as u64);
    }

    #[test]
    fn p36_what_is_no_name_of_a_model_is_not_shown_as_one() {
        let figures = Figures::default();
        for model in ["a\x1b[31m", "a\r", "a\u{9b}", "a\u{202e}", "sk-ant-api03-abcdefghijklmnop", "m\"\\<b>"]
        {
            figures.count_call(&call(model));
        }
        let names: Vec<_> = figures.models().into_keys().collect();
        assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["m\"\\<b>", OTHER]);
    }

    #[test]
    fn a_duration_falls_into_the_bucket_that_ends_at_it() {
        let histogram = Histogram::default();
        for micros in [0, 1_000, 1_001, 60_000_000, 60_000_001] {
            histogram.add(micros);
        }
        let (counts, sum) = histogram.read();
        assert_eq!((counts[0], counts[1], counts[14], counts[15]), (2, 1, 1, 1));
        assert_eq!(sum, 120_002_002);
    }
}
