//! Sums of rows that no segment has yet: those of sessions that were short or killed, of processes that took turns, of
//! files that are older than sums, and where a segment was taken away. A stretch at a time, from the oldest on, up to where
//! this process began to write; its own segments grow there.

use rusqlite::{Connection, OptionalExtension, Result, Row, Transaction, TransactionBehavior};

use super::{ROWS, Segment, Segments, store};
use crate::telemetry::query::{Addend, Source, Sums, name};
use crate::telemetry::sums::CallSum;

/// Up to which id nothing is looked for any more.
#[derive(Debug)]
pub(super) struct Behind {
    calls: i64,
    requests: i64,
}

impl Default for Behind {
    fn default() -> Self {
        Self { calls: i64::MIN, requests: i64::MIN }
    }
}

/// A stretch of ids that no segment has, both ends included.
type Gap = (i64, i64);

/// Parts of a name in sums of calls, and of requests.
const CALL: usize = 7;
const REQUEST: usize = 3;

impl Segments {
    /// Sums one stretch of calls and one of requests. True when there may be more.
    pub(in crate::telemetry) fn catch_up(&mut self, connection: &Connection) -> Result<bool> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let mut more = false;
        if let Some(own) = self.calls.begins() {
            let (from, gap) = gap(&transaction, Sums::Calls, self.behind.calls, own)?;
            more |= gap.is_some();
            self.behind.calls = gap.map_or(Ok(from), |gap| calls(&transaction, gap))?;
        }
        if let Some(own) = self.requests.begins() {
            let (from, gap) = gap(&transaction, Sums::Requests, self.behind.requests, own)?;
            more |= gap.is_some();
            self.behind.requests = gap.map_or(Ok(from), |gap| requests(&transaction, gap))?;
        }
        transaction.commit()?;
        Ok(more)
    }
}

impl<S> Segment<S> {
    /// Its first id, if it has one.
    fn begins(&self) -> Option<i64> {
        (self.rows > 0).then_some(self.first)
    }
}

/// Sums the first calls of a gap; says from where on to look for the next.
fn calls(connection: &Connection, (first, last): Gap) -> Result<i64> {
    let sql = format!(
        "SELECT c.call_id, e.exchange_id, c.started_at, c.session_id, CAST(c.started_at / 86400000000 AS TEXT), \
         c.provider, c.model, c.model_requested, e.host, e.process_name, {} \
         FROM {} WHERE c.call_id BETWEEN ? AND ? ORDER BY c.call_id LIMIT ?",
        CallSum::COLUMNS[0].join(", "),
        Source::Calls.tables()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((first, last, ROWS as i64))?;
    let mut segment = Segment::<CallSum> { first, ..Segment::default() };
    let (mut read, mut end) = (0, None);
    while let Some(row) = rows.next()? {
        read += 1;
        let id: i64 = row.get(0)?;
        // A call whose exchange has no row yet may get host and process with it.
        let Some(exchange_id) = row.get::<_, Option<i64>>(1)? else {
            end = Some((id, id + 1));
            break;
        };
        segment.read::<CALL>(row, exchange_id)?;
        end = (read == ROWS).then_some((id + 1, id + 1));
    }
    let (next, from) = end.unwrap_or((last + 1, last + 1));
    segment.next = next;
    if let Some(segment) = segment.worthy() {
        store::calls(connection, &segment)?;
    }
    Ok(from)
}

/// The same for the requests of commits.
fn requests(connection: &Connection, (first, last): Gap) -> Result<i64> {
    let sql = format!(
        "SELECT k.commit_id, e.exchange_id, e.started_at, e.session_id, e.host, e.decision \
         FROM {} WHERE k.commit_id BETWEEN ? AND ? ORDER BY k.commit_id",
        Source::Events.tables()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((first, last))?;
    let mut segment = Segment::<i64> { first, next: last + 1, ..Segment::default() };
    let mut commit = first;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if id != commit && segment.rows >= ROWS {
            segment.next = id;
            break;
        }
        commit = id;
        segment.read::<REQUEST>(row, row.get(1)?)?;
    }
    let next = segment.next;
    if let Some(segment) = segment.worthy() {
        store::requests(connection, &segment)?;
    }
    Ok(next)
}

impl<S: Addend> Segment<S> {
    /// Adds a row: id, exchange, start, the parts of its name, and what is added up.
    fn read<const PARTS: usize>(&mut self, row: &Row<'_>, exchange_id: i64) -> Result<()> {
        const NAME: usize = 3;
        let sum = self.row(exchange_id as u64, row.get(2)?, &name::<PARTS>(row, NAME)?);
        sum.map_or(Ok(()), |sum| sum.add_row(row, NAME + PARTS))
    }
}

/// The first ids from `from` on, and before `own`, that are in no segment and of which there are rows; and up to where it
/// looked.
fn gap(connection: &Connection, sums: Sums, mut from: i64, own: i64) -> Result<(i64, Option<Gap>)> {
    while let Some(id) = first_row(connection, sums, from)?.filter(|id| *id < own) {
        match next_segment(connection, sums, id)? {
            Some((begin, end)) if begin <= id => from = end + 1,
            Some((begin, _)) => return Ok((id, Some((id, begin.min(own) - 1)))),
            None => return Ok((id, Some((id, own - 1)))),
        }
    }
    Ok((from, None))
}

fn first_row(connection: &Connection, sums: Sums, from: i64) -> Result<Option<i64>> {
    let sql = match sums {
        Sums::Calls => "SELECT min(call_id) FROM model_calls WHERE call_id >= ?",
        Sums::Requests => "SELECT min(commit_id) FROM commits WHERE commit_id >= ?",
    };
    connection.prepare_cached(sql)?.query_row([from], |row| row.get(0))
}

/// The segment that has an id, or the first one behind it.
fn next_segment(connection: &Connection, sums: Sums, id: i64) -> Result<Option<Gap>> {
    let sql = match sums {
        Sums::Calls => {
            "SELECT first_call, last_call FROM call_segments WHERE last_call >= ?1 AND first_call >= \
             coalesce((SELECT max(first_call) FROM call_segments WHERE first_call <= ?1), ?1) \
             ORDER BY first_call LIMIT 1"
        }
        Sums::Requests => {
            "SELECT first_commit, last_commit FROM request_segments WHERE last_commit >= ?1 AND first_commit >= \
             coalesce((SELECT max(first_commit) FROM request_segments WHERE first_commit <= ?1), ?1) \
             ORDER BY first_commit LIMIT 1"
        }
    };
    connection.prepare_cached(sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}
