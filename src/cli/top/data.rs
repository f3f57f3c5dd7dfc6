//! What is shown: the newest rows, and sums over all since the start. Bounded: rows by number, sums by the number of
//! models and hosts.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use crate::telemetry::query::{Filter, Position, Range, Reader, Record, Result, Source};

/// Rows kept of each kind.
const KEPT: usize = 500;
/// Rows read at once, so that keys are answered between.
const BATCH: usize = 5000;
/// Models and hosts that are told apart; what comes after is added up as one.
const NAMES: usize = 1000;

/// Everything that was read.
pub(super) struct Data {
    path: PathBuf,
    filter: Filter,
    events_at: Position,
    calls_at: Position,
    /// Requests, the newest last.
    pub(super) requests: VecDeque<Record>,
    /// Requests that were refused, the newest last.
    pub(super) denials: VecDeque<Record>,
    /// Model calls, the newest last.
    pub(super) calls: VecDeque<Record>,
    /// Requests by decision.
    pub(super) decisions: BTreeMap<String, i64>,
    /// Sums by model.
    pub(super) models: BTreeMap<String, Sums>,
    /// Sums by host.
    pub(super) hosts: BTreeMap<String, Sums>,
    /// Sums over everything.
    pub(super) total: Sums,
}

/// Sums of requests and model calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) requests: i64,
    pub(super) denied: i64,
    pub(super) calls: i64,
    pub(super) failed: i64,
    pub(super) input: Option<i64>,
    pub(super) cached: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) cost: Option<i64>,
    /// Calls with tokens whose cost is unknown.
    pub(super) unpriced: i64,
}

impl Data {
    pub(super) fn new(filter: Filter, path: PathBuf) -> Self {
        Self {
            path,
            filter,
            events_at: Position::default(),
            calls_at: Position::default(),
            requests: VecDeque::new(),
            denials: VecDeque::new(),
            calls: VecDeque::new(),
            decisions: BTreeMap::new(),
            models: BTreeMap::new(),
            hosts: BTreeMap::new(),
            total: Sums::default(),
        }
    }

    /// Where sums begin, in Unix microseconds.
    pub(super) fn since(&self) -> Option<i64> {
        self.filter.since
    }

    /// Reads some of what is new; true when there is more.
    ///
    /// The file is opened anew each time: it may have been set aside and made again.
    pub(super) fn refresh(&mut self) -> Result<bool> {
        let reader = Reader::open(&self.path)?;
        let (events, events_at) = self.batch(&reader, Source::Events, self.events_at)?;
        let (calls, calls_at) = self.batch(&reader, Source::Calls, self.calls_at)?;
        (self.events_at, self.calls_at) = (events_at, calls_at);
        let more = events.len() == BATCH || calls.len() == BATCH;
        for record in events {
            self.request(record);
        }
        for record in calls {
            self.call(record);
        }
        Ok(more)
    }

    fn batch(&self, reader: &Reader, source: Source, after: Position) -> Result<(Vec<Record>, Position)> {
        if source != Source::Events && self.filter.check(source).is_err() {
            return Ok((Vec::new(), after));
        }
        let mut records = Vec::new();
        let after = after.within(reader.end(source)?);
        let range = Range { after, limit: Some(BATCH), ..Range::default() };
        let at = reader.rows(source, &self.filter, range, |record| {
            records.push(record.clone());
            true
        })?;
        Ok((records, at))
    }

    fn request(&mut self, record: Record) {
        let decision = record.text("decision");
        let denied = decision == "denied";
        *self.decisions.entry(decision.to_owned()).or_default() += 1;
        for sums in [&mut self.total, named(&mut self.hosts, record.text("host"))] {
            sums.requests += 1;
            sums.denied += i64::from(denied);
        }
        if denied {
            keep(&mut self.denials, record.clone());
        }
        keep(&mut self.requests, record);
    }

    fn call(&mut self, record: Record) {
        let asked = record.text("model_requested");
        let model = if record.text("model").is_empty() { asked } else { record.text("model") };
        for sums in
            [&mut self.total, named(&mut self.models, model), named(&mut self.hosts, record.text("host"))]
        {
            sums.add(&record);
        }
        keep(&mut self.calls, record);
    }
}

impl Sums {
    fn add(&mut self, call: &Record) {
        let known = |sum: &mut Option<i64>, column: &str| {
            if let Some(value) = call.int(column) {
                *sum = Some(sum.unwrap_or(0).saturating_add(value));
            }
        };
        self.calls += 1;
        self.failed += i64::from(!call.text("error_type").is_empty());
        known(&mut self.input, "input_tokens");
        known(&mut self.cached, "cache_read_tokens");
        known(&mut self.output, "output_tokens");
        known(&mut self.cost, "cost_pico_usd");
        let has_tokens = call.int("input_tokens").or(call.int("output_tokens")).is_some();
        self.unpriced += i64::from(has_tokens && call.int("cost_pico_usd").is_none());
    }
}

/// The sums of a name; those of all further ones once there are too many.
fn named<'s>(all: &'s mut BTreeMap<String, Sums>, name: &str) -> &'s mut Sums {
    let name = match name {
        "" => "(unknown)",
        name if all.len() < NAMES || all.contains_key(name) => name,
        _ => "(further)",
    };
    all.entry(name.to_owned()).or_default()
}

fn keep(rows: &mut VecDeque<Record>, record: Record) {
    if rows.len() == KEPT {
        rows.pop_front();
    }
    rows.push_back(record);
}
