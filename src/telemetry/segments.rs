//! Sums of what the writer has written, kept beside the rows a segment at a time (`schema/sums.sql`).
//!
//! A segment grows in memory from batches that are surely in the file, and is written with a later one. It is given up
//! where its ids do not follow each other (another process wrote between), where something of it was forgotten or changed
//! meanwhile, and where it would hardly be shorter than its rows. What is left is caught up with later, or read row by
//! row: it costs time, never truth.

mod behind;
mod store;

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};

use self::behind::Behind;
use super::database::trouble;
use super::event::{CallEvent, Event, NetEvent};
use super::redact::Redactor;
use super::sums::{CallSum, Groups, Totals};
use crate::model::usage::UsageState;

pub(super) use store::{forget_commits, forget_exchanges};

/// A segment is full with so many rows, or names.
const ROWS: u64 = 8192;
const NAMES: usize = 1024;

/// Most bytes of names in memory: hosts and models are chosen by guests. A segment with more is given up.
const NAME_BYTES: usize = 1 << 20;

/// Fewer rows are read as fast as their sums.
const WORTH: u64 = 256;
/// So many rows have to have one name, in the mean.
const ALIKE: u64 = 4;

const DAY: i64 = 86_400_000_000;

/// The segments that are growing, and those that are to be written.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Whose rows these are.
    session: String,
    calls: Segment<CallSum>,
    requests: Segment<i64>,
    full_calls: Option<Segment<CallSum>>,
    full_requests: Option<Segment<i64>>,
    /// The day that was named last.
    day: (i64, String),
    behind: Behind,
}

#[derive(Debug)]
struct Segment<S> {
    /// First id, and the one that has to come next.
    first: i64,
    next: i64,
    rows: u64,
    /// Times at which the first and the last of its rows began.
    times: (i64, i64),
    /// Lowest and highest exchange.
    exchanges: (u64, u64),
    groups: Groups<S>,
    /// There were more names than are kept, so there are none now.
    overflowed: bool,
}

impl<S> Default for Segment<S> {
    fn default() -> Self {
        let (times, exchanges) = ((i64::MAX, i64::MIN), (u64::MAX, 0));
        Self { first: 0, next: 0, rows: 0, times, exchanges, groups: Groups::default(), overflowed: false }
    }
}

impl<S: Default> Segment<S> {
    /// Goes on with this id, or begins anew with it.
    fn follow(&mut self, id: i64) {
        if self.rows == 0 || self.next != id {
            *self = Self { first: id, next: id, ..Self::default() };
        }
    }

    /// Counts a row; gives the sums that it belongs to, where such are kept.
    fn row(&mut self, exchange_id: u64, started_at: i64, name: &[Option<&str>]) -> Option<&mut S> {
        self.rows += 1;
        if self.groups.size() > NAME_BYTES {
            (self.overflowed, self.groups) = (true, Groups::default());
        }
        if self.overflowed {
            return None;
        }
        self.times = (self.times.0.min(started_at), self.times.1.max(started_at));
        self.exchanges = (self.exchanges.0.min(exchange_id), self.exchanges.1.max(exchange_id));
        Some(self.groups.of(name))
    }

    /// What is full leaves, if it is worth its place.
    fn take_full(&mut self) -> Option<Self> {
        let is_full = self.rows >= ROWS || self.groups.len() >= NAMES || self.overflowed;
        if is_full { std::mem::take(self).worthy() } else { None }
    }

    fn worthy(self) -> Option<Self> {
        let worth = self.rows >= WORTH && self.rows >= ALIKE * self.groups.len() as u64;
        (worth && !self.overflowed).then_some(self)
    }
}

impl Segments {
    /// Those of a session.
    pub(super) fn new(session: &str) -> Self {
        Self { session: session.to_owned(), ..Self::default() }
    }

    /// Adds a batch that is in the file with this commit; the ids of its calls follow the first.
    pub(super) fn add(
        &mut self,
        batch: &[Event],
        commit_id: i64,
        first_call: Option<i64>,
        redactor: &Redactor,
    ) {
        self.requests.follow(commit_id);
        if let Some(first) = first_call {
            self.calls.follow(first);
        }
        for event in batch {
            match event {
                Event::Net(event) => self.request(event),
                Event::Call(event) => self.call(event, redactor),
                _ => {}
            }
        }
        self.requests.next = commit_id + 1;
        self.full_requests = self.requests.take_full();
        self.full_calls = self.calls.take_full();
    }

    fn request(&mut self, event: &NetEvent) {
        let name = [Some(self.session.as_str()), event.host.as_deref(), Some(event.decision.as_str())];
        if let Some(requests) = self.requests.row(event.exchange_id, event.started_at, &name) {
            *requests += 1;
        }
    }

    fn call(&mut self, event: &CallEvent, redactor: &Redactor) {
        let day = event.started_at.div_euclid(DAY);
        if self.day.0 != day || self.day.1.is_empty() {
            self.day = (day, day.to_string());
        }
        let call = &event.call;
        let [model, model_requested] =
            [&call.model, &call.model_requested].map(|name| Some(redactor.name(name.as_deref()?)));
        let name = [
            Some(self.session.as_str()),
            Some(self.day.1.as_str()),
            Some(call.provider),
            model.as_deref(),
            model_requested.as_deref(),
            event.host.as_deref(),
            event.client.process_name.as_deref(),
        ];
        if let Some(sum) = self.calls.row(event.exchange_id, event.started_at, &name) {
            let (totals, first_token_us) = facts(event);
            sum.add(totals, first_token_us);
        }
        self.calls.next += 1;
    }

    /// Gives up what is not written yet: the file is another one, or ids have gaps.
    pub(super) fn give_up(&mut self) {
        *self = Self::new(&self.session);
    }

    /// Writes what is full, within the transaction that is open; rows never wait for that.
    pub(super) fn store(&self, connection: &Connection) -> Result<()> {
        if self.full_calls.is_none() && self.full_requests.is_none() {
            return Ok(());
        }
        connection.execute_batch("SAVEPOINT segments")?;
        let stored = self.store_each(connection);
        let undo = if stored.is_err() { "ROLLBACK TO segments; " } else { "" };
        connection.execute_batch(&[undo, "RELEASE segments"].concat())?;
        match stored {
            Err(error) if trouble(&error).is_none() => {
                log::warn!("sums of the ledger's rows are not kept: {error}");
                Ok(())
            }
            stored => stored,
        }
    }

    fn store_each(&self, connection: &Connection) -> Result<()> {
        if let Some(segment) = &self.full_calls
            && segment.is_intact(connection)?
            && store::has_no_calls_in(connection, segment)?
        {
            store::calls(connection, segment)?;
        }
        if let Some(segment) = &self.full_requests
            && segment.is_intact(connection)?
            && store::has_commits_but_no_requests_in(connection, segment)?
        {
            store::requests(connection, segment)?;
        }
        Ok(())
    }

    /// The transaction of [`Segments::store`] is in the file.
    pub(super) fn stored(&mut self) {
        (self.full_calls, self.full_requests) = (None, None);
    }

    /// No more rows will come: writes what there is.
    pub(super) fn end(&mut self, connection: &Connection) -> Result<()> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        self.store(&transaction)?;
        self.full_calls = std::mem::take(&mut self.calls).worthy();
        self.full_requests = std::mem::take(&mut self.requests).worthy();
        self.store(&transaction)?;
        transaction.commit()
    }
}

/// What a call adds; numbers as its row has them.
fn facts(event: &CallEvent) -> (Totals, Option<i64>) {
    let (call, usage) = (&event.call, &event.call.usage);
    let count = |value: Option<u64>| value.map(|value| value as i64);
    let totals = Totals {
        failed: i64::from(call.error_type.is_some()),
        partial: i64::from(call.usage_state == UsageState::Partial),
        input_tokens: count(usage.input),
        cache_read_tokens: count(usage.cache_read),
        cache_write_tokens: count(usage.cache_write),
        output_tokens: count(usage.output),
        reasoning_tokens: count(usage.reasoning),
        cost_pico_usd: call.cost_pico_usd,
        ..Totals::default()
    };
    (totals, count(call.first_token_us))
}
