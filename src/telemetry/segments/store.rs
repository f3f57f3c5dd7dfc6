//! Segments on their way into the file and out of it.

use rusqlite::{Connection, Result, params};

use super::Segment;
use crate::telemetry::sums::CallSum;

impl<S> Segment<S> {
    /// Whether nothing of it was forgotten or changed since it was written.
    pub(super) fn is_intact(&self, connection: &Connection) -> Result<bool> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM id_blocks WHERE touched >= ? AND first_id <= ?)";
        let (lowest, highest) = self.exchanges;
        connection.prepare_cached(sql)?.query_row((lowest as i64, highest as i64), |row| row.get(0))
    }
}

/// Whether no other segment has calls of this one: another process may have caught up with them.
pub(super) fn has_no_calls_in(connection: &Connection, segment: &Segment<CallSum>) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM call_segments WHERE first_call < ?2 AND last_call >= ?1)";
    connection.prepare_cached(sql)?.query_row((segment.first, segment.next), |row| row.get(0))
}

/// The same of requests, and whether all its commits are there.
pub(super) fn has_commits_but_no_requests_in(
    connection: &Connection,
    segment: &Segment<i64>,
) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM request_segments WHERE first_commit < ?2 AND last_commit >= ?1) \
        AND (SELECT count(*) FROM commits WHERE commit_id >= ?1 AND commit_id < ?2) = ?2 - ?1";
    connection.prepare_cached(sql)?.query_row((segment.first, segment.next), |row| row.get(0))
}

pub(super) fn calls(connection: &Connection, segment: &Segment<CallSum>) -> Result<()> {
    let (earliest, latest) = segment.times;
    connection.prepare_cached("INSERT INTO call_segments VALUES (?, ?, ?, ?)")?.execute((
        segment.first,
        segment.next - 1,
        earliest,
        latest,
    ))?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO call_sums VALUES (?, ?, ?, CAST(? AS INTEGER), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (position, (name, sum)) in segment.groups.iter().enumerate() {
        let CallSum { totals, cached, first_tokens } = sum;
        statement.execute(params![
            segment.first,
            position as i64,
            name[0],
            name[1],
            name[2],
            name[3],
            name[4],
            name[5],
            name[6],
            totals.calls,
            totals.failed,
            totals.partial,
            totals.unpriced,
            totals.input_tokens,
            totals.cache_read_tokens,
            totals.cache_write_tokens,
            totals.output_tokens,
            totals.reasoning_tokens,
            totals.cost_pico_usd,
            cached.0,
            cached.1,
            first_tokens.encode(),
        ])?;
    }
    Ok(())
}

pub(super) fn requests(connection: &Connection, segment: &Segment<i64>) -> Result<()> {
    let ((earliest, latest), (lowest, highest)) = (segment.times, segment.exchanges);
    connection.prepare_cached("INSERT INTO request_segments VALUES (?, ?, ?, ?, ?, ?)")?.execute((
        segment.first,
        segment.next - 1,
        earliest,
        latest,
        lowest as i64,
        highest as i64,
    ))?;
    let mut statement = connection.prepare_cached("INSERT INTO request_sums VALUES (?, ?, ?, ?, ?, ?)")?;
    for (position, (name, requests)) in segment.groups.iter().enumerate() {
        statement.execute((segment.first, position as i64, name[0], name[1], name[2], requests))?;
    }
    Ok(())
}

/// Takes away the sums in which an exchange from `first` to `last` is. Triggers do so for those who change the file by hand;
/// for what the writer forgets they would cost as much as the rows.
pub(in crate::telemetry) fn forget_exchanges(connection: &Connection, first: i64, last: i64) -> Result<()> {
    let sql = "SELECT min(call_id), max(call_id) FROM model_calls WHERE exchange_id BETWEEN ? AND ?";
    let calls: (Option<i64>, Option<i64>) =
        connection.prepare_cached(sql)?.query_row((first, last), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let exchanges = (Some(first), Some(last));
    for (table, sums, key, low, high, (first, last)) in [
        ("call_segments", "call_sums", "first_call", "first_call", "last_call", calls),
        ("request_segments", "request_sums", "first_commit", "first_exchange", "last_exchange", exchanges),
    ] {
        let gone = format!("FROM {table} WHERE {low} <= ?2 AND {high} >= ?1");
        let sql = format!("DELETE FROM {sums} WHERE {key} IN (SELECT {key} {gone})");
        connection.prepare_cached(&sql)?.execute((first, last))?;
        connection.prepare_cached(&format!("DELETE {gone}"))?.execute((first, last))?;
    }
    let sql = "UPDATE id_blocks SET touched = max(touched, ?2) WHERE first_id <= ?2 AND end_id > ?1";
    connection.prepare_cached(sql)?.execute((first, last)).map(drop)
}

/// Takes away the sums of commits that are forgotten, which are always the first.
pub(in crate::telemetry) fn forget_commits(connection: &Connection) -> Result<()> {
    let gone =
        "FROM request_segments WHERE first_commit < (SELECT coalesce(min(commit_id), 9e18) FROM commits)";
    let sql = format!("DELETE FROM request_sums WHERE first_commit IN (SELECT first_commit {gone})");
    connection.prepare_cached(&sql)?.execute([])?;
    connection.prepare_cached(&format!("DELETE {gone}"))?.execute([]).map(drop)
}
