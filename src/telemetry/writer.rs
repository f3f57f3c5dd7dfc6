//! The writer thread: gathers events, writes them in batches, and outlives whatever befalls the file (P33, P34).
//!
//! ```text
//!  collect --batch--> store --ok--> tend (fold the log, forget old rows, is the file still there?) --> collect
//!               ^       |
//!               +-wait--+  locked, full, deleted, damaged: the batch is kept and tried again, the queue fills,
//!                          and after `patience` the sinks say Failed
//! ```
//!
//! It reads the clocks; apart from the reactor nothing else does. It never holds more than one batch beside the queue.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rusqlite::{Connection, TransactionBehavior};

use super::database::{BLOCK, Database, SessionRow, Settings, trouble};
use super::event::Event;
use super::ledger::Closed;
use super::options::Retention;
use super::retention;
use super::rows::{Rows, Scratch};
use super::schema;
use super::segments::Segments;
use super::sink::{KINDS, Message, Shared, Trouble, kind_index};

/// Most events in one transaction.
const BATCH: usize = 4096;

/// How long the thread sleeps when nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// How long it waits before it tries again what failed.
const RETRY: Duration = Duration::from_millis(50);

/// How often rows without sums are summed, while there are such: this takes some milliseconds each time.
const SUM: Duration = Duration::from_millis(200);

/// How often old rows are looked for.
const FORGET: Duration = Duration::from_secs(5);

/// What the thread works with.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) queue: Receiver<Message>,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) database: Option<Database>,
    pub(super) session: SessionRow,
    /// First id of the block that ids come from now.
    pub(super) block: u64,
    pub(super) scratch: Scratch,
    pub(super) gather: Duration,
    pub(super) retention: Retention,
    /// When old rows are looked for next.
    pub(super) forget_at: Instant,
    /// When rows without sums are looked for next.
    pub(super) sum_at: Instant,
    /// The last commit, until it is known that the file that it went to is still the ledger.
    pub(super) unconfirmed: Option<Commit>,
    pub(super) segments: Segments,
}

/// What a commit is known by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    id: i64,
    at: i64,
    /// Id of the first call, where calls came with it.
    first_call: Option<i64>,
    /// Each event of the batch has its row.
    whole: bool,
}

/// Unix microseconds.
#[expect(clippy::disallowed_methods, reason = "the telemetry writer reads the clocks")]
pub(super) fn wall() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the telemetry writer reads the clocks")]
pub(super) fn mono() -> Instant {
    Instant::now()
}

impl Writer {
    /// Runs until the ledger is closed and the queue empty, or the closing deadline has passed.
    pub(super) fn run(mut self) -> Closed {
        let mut batch = Vec::with_capacity(BATCH);
        while self.collect(&mut batch) {
            self.store(&mut batch);
            self.tend();
        }
        self.finish();
        Closed { written: self.shared.written.load(Relaxed), lost: self.shared.lost_total.load(Relaxed) }
    }

    /// Waits for events and takes up to a batch of them. False when there will be no more.
    fn collect(&mut self, batch: &mut Vec<Event>) -> bool {
        let idle = if self.is_closing() { Duration::ZERO } else { self.forget_at.min(self.sum_at) - mono() };
        match self.queue.recv_timeout(idle.min(IDLE)) {
            Ok(Message::Event(event)) => batch.push(event),
            Ok(Message::Close) => {}
            Err(RecvTimeoutError::Timeout) => return !self.is_closing(),
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        // Sleeping without waiting on the queue spares the senders a wake-up for each event.
        if self.queue.len() < BATCH / 2 && !self.is_closing() {
            thread::sleep(self.gather);
        }
        while batch.len() < BATCH {
            match self.queue.try_recv() {
                Ok(Message::Event(event)) => batch.push(event),
                Ok(Message::Close) => {}
                Err(_) => break,
            }
        }
        !batch.is_empty() || !self.is_closing()
    }

    fn is_closing(&self) -> bool {
        self.shared.closing.get().is_some()
    }

    /// Writes the batch, however long it takes; gives up at the closing deadline only.
    fn store(&mut self, batch: &mut Vec<Event>) {
        let mut failing_since = None;
        while let Err(found) = self.try_store(batch) {
            let since = *failing_since.get_or_insert_with(mono);
            self.report(found, since);
            if self.shared.closing.get().is_some_and(|deadline| mono() >= *deadline) {
                for event in batch.iter() {
                    self.shared.lost[kind_index(event)].fetch_add(1, Relaxed);
                }
                break;
            }
            thread::sleep(RETRY);
        }
        self.shared.trouble.store(Trouble::Behind as u8, Relaxed);
        if self.shared.failed.swap(false, Relaxed) {
            log::warn!("the ledger can be written again");
        }
        self.shared.bodies_written(batch);
        batch.clear();
    }

    fn report(&self, found: Trouble, since: Instant) {
        self.shared.trouble.store(found as u8, Relaxed);
        if mono() - since >= Duration::from_micros(self.shared.patience)
            && !self.shared.failed.swap(true, Relaxed)
        {
            log::warn!("{found}: {} events wait", self.queue.len());
        }
    }

    fn try_store(&mut self, batch: &[Event]) -> Result<(), Trouble> {
        let written = match self.write(batch, false) {
            Err(Refusal::Row) => self.write(batch, true),
            result => result,
        };
        let outcome = match written {
            Ok(bad) => self.confirm(batch, bad),
            Err(Refusal::File(found)) => Err(found),
            Err(Refusal::Row) => Err(Trouble::Io),
        };
        if outcome.as_ref().is_err_and(|found| !matches!(found, Trouble::Locked | Trouble::DiskFull)) {
            self.database = None;
        }
        outcome
    }

    /// A commit counts only if the file it went to is still the ledger.
    fn confirm(&mut self, batch: &[Event], bad: u64) -> Result<(), Trouble> {
        self.database.as_mut().map_or(Err(Trouble::Io), Database::look)?;
        self.segments.stored();
        match self.unconfirmed.take() {
            Some(Commit { id, first_call, whole: true, .. }) => {
                self.segments.add(batch, id, first_call, self.scratch.redactor());
            }
            _ => self.segments.give_up(),
        }
        self.shared.written.fetch_add(batch.len() as u64 - bad, Relaxed);
        Ok(())
    }

    /// Writes all in one transaction; `carefully` means that each event can fail by itself and is counted then.
    /// Returns how many did.
    fn write(&mut self, batch: &[Event], carefully: bool) -> Result<u64, Refusal> {
        self.reopen()?;
        let Some(database) = &mut self.database else { return Err(Refusal::File(Trouble::Io)) };
        let transaction = database.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(commit) = self.unconfirmed
            && commit.is_in(&transaction)?
        {
            return Ok(0); // the file was away for a while, or was mended from its log
        }
        self.segments.store(&transaction)?;
        let (bad, first_call) = {
            let mut rows = Rows::new(&transaction, &self.session.id, &mut self.scratch)?;
            (insert_all(&transaction, &mut rows, batch, carefully)?, rows.first_call())
        };
        let at = wall();
        let id = record_commit(&transaction, batch, at)?;
        let commit = Commit { id, at, first_call, whole: bad.is_empty() };
        for (kind, why) in &bad {
            record_dropped(&transaction, at, kind, 1, why)?;
        }
        let lost = take_lost(&self.shared);
        let committed = record_lost(&transaction, at, lost).and_then(|()| transaction.commit());
        settle_lost(&self.shared, lost, committed.is_ok());
        committed?;
        self.unconfirmed = Some(commit);
        self.shared.lost_total.fetch_add(bad.len() as u64, Relaxed);
        Ok(bad.len() as u64)
    }

    /// Opens the file again after trouble; the new file may be another one, so it learns session and ids.
    fn reopen(&mut self) -> Result<(), Refusal> {
        if self.database.is_some() {
            return Ok(());
        }
        let mut database = Database::open(&self.settings, wall()).map_err(|error| {
            log::debug!("opening the ledger again: {error}");
            Refusal::File(Trouble::Io)
        })?;
        let sql = "SELECT count(*) FROM sessions WHERE session_id = ?";
        let known: bool = database.connection.query_row(sql, [&self.session.id], |row| row.get(0))?;
        database.reserve_again(&self.session, self.block)?;
        if !known {
            log::warn!("the ledger goes on in a new file: {}", self.settings.path.display());
        }
        self.database = Some(database);
        self.segments.give_up();
        Ok(())
    }

    /// What is due between batches. Trouble found here shows at the next batch, which tries everything again.
    fn tend(&mut self) {
        let Some(database) = &mut self.database else { return };
        if let Err(found) = database.look() {
            log::warn!("{found}");
            self.database = None;
            return;
        }
        if let Err(error) = database.fold() {
            log::warn!("folding the ledger's log: {error}");
        }
        if mono() >= self.forget_at {
            let more = retention::forget(&database.connection, self.retention, wall());
            self.forget_at = mono() + if more { self.gather } else { FORGET };
        }
        if mono() >= self.sum_at {
            let more = self.segments.catch_up(&database.connection).unwrap_or_else(|error| {
                log::debug!("summing older rows of the ledger: {error}");
                false
            });
            self.sum_at = mono() + if more { SUM } else { FORGET };
        }
        if self.shared.next_exchange.load(Relaxed) > self.block + BLOCK / 2 {
            self.renew_ids();
        }
    }

    /// Sets the next block of ids aside while the present one still has room.
    fn renew_ids(&mut self) {
        let Some(database) = &mut self.database else { return };
        match database.reserve(&self.session) {
            Ok(block) => {
                self.block = block;
                self.shared.next_exchange.store(block, Relaxed);
                self.shared.next_connection.store(block, Relaxed);
            }
            Err(error) => log::warn!("setting ids aside: {error}"),
        }
    }

    /// Ends the session and leaves a file without a log.
    fn finish(&mut self) {
        let shared = &self.shared;
        for lost in take_lost(shared) {
            shared.lost_total.fetch_add(lost, Relaxed);
        }
        let Some(database) = &self.database else { return };
        let unused = shared.next_exchange.load(Relaxed).max(shared.next_connection.load(Relaxed));
        let summed = self.segments.end(&database.connection);
        let ended = database.end_session(&self.session.id, wall(), self.block, unused);
        if let Err(error) = summed.and(ended).and_then(|()| database.empty_log(RETRY)) {
            log::warn!("closing the ledger: {error}");
        }
    }
}

impl Commit {
    fn is_in(self, connection: &Connection) -> rusqlite::Result<bool> {
        let sql = "SELECT count(*) FROM commits WHERE commit_id = ? AND at = ?";
        connection.query_row(sql, (self.id, self.at), |row| row.get(0))
    }
}

/// Why a transaction was not committed.
enum Refusal {
    /// One row cannot be stored.
    Row,
    /// The file cannot be written.
    File(Trouble),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        log::debug!("writing the ledger: {error}");
        trouble(&error).map_or(Self::Row, Self::File)
    }
}

/// Inserts the batch; returns kind and reason of each event that could not be stored.
fn insert_all<'e>(
    connection: &Connection,
    rows: &mut Rows<'_, '_, 'e>,
    batch: &'e [Event],
    carefully: bool,
) -> Result<Vec<(&'static str, String)>, Refusal> {
    let mut bad = Vec::new();
    for event in batch {
        if !carefully {
            rows.insert(event)?;
        } else if let Some(why) = insert_alone(connection, rows, event)? {
            bad.push((KINDS[kind_index(event)], why));
        }
    }
    Ok(bad)
}

/// Inserts one event inside a savepoint; why it failed, if that was its own fault.
fn insert_alone<'e>(
    connection: &Connection,
    rows: &mut Rows<'_, '_, 'e>,
    event: &'e Event,
) -> rusqlite::Result<Option<String>> {
    connection.execute_batch("SAVEPOINT event")?;
    let why = match rows.insert(event) {
        Ok(()) => None,
        Err(error) if trouble(&error).is_none() => Some(error.to_string()),
        Err(error) => return Err(error),
    };
    connection.execute_batch(if why.is_none() {
        "RELEASE event"
    } else {
        "ROLLBACK TO event; RELEASE event"
    })?;
    Ok(why)
}

/// One row that says which exchanges came with this batch.
fn record_commit(connection: &Connection, batch: &[Event], at: i64) -> rusqlite::Result<i64> {
    let requests = || {
        batch.iter().filter_map(|event| match event {
            Event::Net(event) => Some(event),
            _ => None,
        })
    };
    let mut ids: Vec<u64> = requests().map(|event| event.exchange_id).collect();
    ids.sort_unstable();
    let latest = requests().map(|event| event.started_at).max().unwrap_or(at);
    let id = schema::next_id(connection, "commits", "commit_id")?;
    connection
        .prepare_cached("INSERT INTO commits (commit_id, at, net_events, latest) VALUES (?, ?, ?, ?)")?
        .execute((id, at, ranges(&ids), latest))?;
    Ok(id)
}

/// Ascending ids as a JSON array of ranges.
fn ranges(ids: &[u64]) -> String {
    let mut out = String::from("[");
    for run in ids.chunk_by(|a, b| a + 1 == *b) {
        let separator = if out.len() > 1 { "," } else { "" };
        write!(out, "{separator}[{},{}]", run[0], run[run.len() - 1])
            .expect("writing to a String does not fail");
    }
    out.push(']');
    out
}

fn record_dropped(
    connection: &Connection,
    at: i64,
    kind: &str,
    count: u64,
    why: &str,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT INTO dropped (at, kind, count, why) VALUES (?, ?, ?, ?)")?;
    statement.execute((at, kind, count as i64, why)).map(drop)
}

fn record_lost(connection: &Connection, at: i64, lost: [u64; KINDS.len()]) -> rusqlite::Result<()> {
    for (kind, count) in KINDS.iter().zip(lost).filter(|(_, count)| *count > 0) {
        record_dropped(connection, at, kind, count, "the queue was full")?;
    }
    Ok(())
}

fn take_lost(shared: &Shared) -> [u64; KINDS.len()] {
    std::array::from_fn(|kind| shared.lost[kind].swap(0, Relaxed))
}

/// After a commit the losses are on record; after a failure they wait for the next.
fn settle_lost(shared: &Shared, lost: [u64; KINDS.len()], committed: bool) {
    if committed {
        shared.lost_total.fetch_add(lost.iter().sum(), Relaxed);
        return;
    }
    for (kind, count) in lost.into_iter().enumerate() {
        shared.lost[kind].fetch_add(count, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_ranges() {
        assert_eq!(ranges(&[]), "[]");
        assert_eq!(ranges(&[7]), "[[7,7]]");
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "[[1,3],[7,7],[9,10]]");
    }
}
