//! What is shown: the newest rows, and sums over all since the start. Bounded: rows by number, sums by the number of
//! models and hosts.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use crate::telemetry::query::{
    Filter, Group, Position, Range, Reader, Record, RequestRow, Result, Source, UsageRow, identity,
};

/// Rows kept of each kind.
const KEPT: usize = 500;
/// Rows read at once, so that keys are answered between.
const BATCH: usize = 5000;
/// Models and hosts that are told apart; what comes after is added up as one.
const NAMES: usize = 1000;

/// Everything that was read.
pub(super) struct Data {
    path: PathBuf,
    /// Which file that was when it was read last.
    file: Option<(u64, u64)>,
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
            file: None,
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
    /// The file is opened anew each time: it may have been set aside and made again, and then all begins again.
    pub(super) fn refresh(&mut self) -> Result<bool> {
        let (file, reader) = (identity(&self.path), Reader::open(&self.path)?);
        if self.events_at == Position::default() || self.file != file {
            reader.at_one_moment(|reader| self.begin(reader))?;
            self.file = file;
            return Ok(false);
        }
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

    /// The first look: sums over all that is there, and the newest rows of each kind.
    fn begin(&mut self, reader: &Reader) -> Result<()> {
        *self = Self::new(self.filter.clone(), std::mem::take(&mut self.path));
        for row in reader.requests(&self.filter)? {
            self.counted(&row);
        }
        self.requests = newest(reader, Source::Events, &self.filter)?;
        if self.decisions.contains_key(DENIED) {
            let denied = Filter { decision: Some(DENIED.to_owned()), ..self.filter.clone() };
            self.denials = newest(reader, Source::Events, &denied)?;
        }
        if self.filter.check(Source::Calls).is_ok() {
            for row in reader.usage_report(Group::Model, &self.filter)?.rows {
                self.total.add_all(&row);
                named(&mut self.models, row.key.as_deref().unwrap_or_default()).add_all(&row);
            }
            for row in reader.usage_report(Group::Host, &self.filter)?.rows {
                named(&mut self.hosts, row.key.as_deref().unwrap_or_default()).add_all(&row);
            }
            self.calls = newest(reader, Source::Calls, &self.filter)?;
        }
        (self.events_at, self.calls_at) = (reader.end(Source::Events)?, reader.end(Source::Calls)?);
        Ok(())
    }

    fn counted(&mut self, row: &RequestRow) {
        *self.decisions.entry(row.decision.clone()).or_default() += row.requests;
        for sums in [&mut self.total, named(&mut self.hosts, row.host.as_deref().unwrap_or_default())] {
            sums.requests += row.requests;
            sums.denied += if row.decision == DENIED { row.requests } else { 0 };
        }
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
        let denied = decision == DENIED;
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

/// The decision that has a list of its own.
const DENIED: &str = "denied";

impl Sums {
    fn add_all(&mut self, row: &UsageRow) {
        let totals = &row.sum.totals;
        let known = |sum: &mut Option<i64>, more: Option<i64>| {
            *sum = sum.map_or(more, |sum| Some(sum.saturating_add(more.unwrap_or(0))));
        };
        self.calls += totals.calls;
        self.failed += totals.failed;
        self.unpriced += totals.unpriced;
        known(&mut self.input, totals.input_tokens);
        known(&mut self.cached, totals.cache_read_tokens);
        known(&mut self.output, totals.output_tokens);
        known(&mut self.cost, totals.cost_pico_usd);
    }

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

fn newest(reader: &Reader, source: Source, filter: &Filter) -> Result<VecDeque<Record>> {
    let mut rows = VecDeque::new();
    let range = Range { newest: Some(KEPT), ..Range::default() };
    reader.rows(source, filter, range, |record| {
        rows.push_back(record.clone());
        true
    })?;
    Ok(rows)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::limits::SECOND;
    use crate::model::usage::{Call, Usage};
    use crate::telemetry::event::{CallEvent, Client, Decision, Event, NetEvent};
    use crate::telemetry::{Ledger, LedgerOptions, SessionInfo, Sink};

    fn ledger(dir: &tempfile::TempDir) -> (Ledger, Sink, PathBuf) {
        let ledger = Ledger::open(LedgerOptions::in_dir(dir.path(), SessionInfo::default())).expect("opened");
        let sink = ledger.sender();
        (ledger, sink, dir.path().join("ledger.db"))
    }

    /// One request with a call.
    fn row(sink: &Sink, n: usize) {
        let at = 1_000_000 * n as i64;
        let exchange_id = sink.next_exchange_id();
        let event = NetEvent {
            host: (!n.is_multiple_of(5)).then(|| format!("h{}.test", n % 4).into()),
            decision: if n.is_multiple_of(3) { Decision::Denied } else { Decision::Allowed },
            ..NetEvent::begin(exchange_id, at, "tcp://127.0.0.1:1".into(), Arc::new(Client::default()))
        };
        let call = Call {
            provider: "openai",
            model: (!n.is_multiple_of(7)).then(|| format!("m{}", n % 3)),
            usage: Usage {
                input: n.is_multiple_of(2).then_some(n as u64),
                output: Some(1),
                ..Usage::default()
            },
            cost_pico_usd: n.is_multiple_of(4).then_some(n as i64),
            error_type: n.is_multiple_of(6).then(|| "overloaded".to_owned()),
            ..Call::default()
        };
        let call = CallEvent { exchange_id, started_at: at, call, ..CallEvent::default() };
        let written = sink.written();
        for event in [Event::Net(Box::new(event)), Event::Call(Box::new(call))] {
            sink.try_send(event).expect("room");
        }
        while sink.written() < written + 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_first_look_says_what_looking_on_would_have_said() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (_ledger, sink, path) = ledger(&dir);
        let mut followed = Data::new(Filter::default(), path.clone());
        let facts = |data: &Data| {
            let newest = |rows: &VecDeque<Record>| -> Vec<_> {
                rows.iter().map(|row| (row.int("exchange_id"), row.text("host").to_owned())).collect()
            };
            let sums = (data.decisions.clone(), data.models.clone(), data.hosts.clone(), data.total.clone());
            (sums, newest(&data.requests), newest(&data.denials), newest(&data.calls))
        };
        for n in 1..=40 {
            assert!(!followed.refresh().expect("read"), "there is no more");
            row(&sink, n);
            let mut first = Data::new(Filter::default(), path.clone());
            assert!(!first.refresh().expect("read"));
            followed.refresh().expect("read");
            assert_eq!(facts(&first), facts(&followed), "after {n}");
        }
        assert_eq!((followed.total.requests, followed.total.denied, followed.total.calls), (40, 13, 40));
    }

    #[test]
    fn a_ledger_that_takes_the_place_of_another_is_counted_from_its_start() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("temporary directory"));
        let [first, second] = dirs.each_ref().map(ledger);
        (1..=4).for_each(|n| row(&first.1, n));
        (11..=16).for_each(|n| row(&second.1, n));
        let (path, other) = (first.2, second.2);
        let mut followed = Data::new(Filter::default(), path.clone());
        followed.refresh().expect("read");
        assert_eq!(followed.total.requests, 4);
        for ledger in [first.0, second.0] {
            ledger.close(20 * SECOND);
        }
        std::fs::rename(other, &path).expect("replaced");
        followed.refresh().expect("read");
        let mut first = Data::new(Filter::default(), path);
        first.refresh().expect("read");
        assert_eq!((&followed.hosts, &followed.total), (&first.hosts, &first.total));
        assert_eq!((followed.total.requests, followed.requests.len()), (6, 6));
    }
}
