//! Forgets old rows by age and by size, a little at a time, and gives the space back to the file system.

use rusqlite::{Connection, OptionalExtension, Result};

use super::options::Retention;
use super::{schema, segments};

/// Exchanges forgotten at once: few enough that the writer is soon back at its queue.
const CHUNK: i64 = 1000;

/// Forgets one chunk where something is due. True when there may be more.
pub(super) fn forget(connection: &Connection, retention: Retention, now: i64) -> bool {
    match forget_chunk(connection, retention, now) {
        Ok(more) => more,
        Err(error) => {
            log::warn!("forgetting old rows of the ledger: {error}");
            false
        }
    }
}

fn forget_chunk(connection: &Connection, retention: Retention, now: i64) -> Result<bool> {
    let forgotten = match (retention.age, retention.size) {
        (Some(age), _) if forget_before(connection, now.saturating_sub_unsigned(age))? => true,
        (_, Some(size)) if used_bytes(connection)? > size => forget_oldest(connection)?,
        _ => false,
    };
    if forgotten {
        give_back(connection)?;
    }
    Ok(forgotten)
}

/// Gives free pages back to the file system; each step of the statement moves one.
fn give_back(connection: &Connection) -> Result<()> {
    let mut statement = connection.prepare_cached("PRAGMA incremental_vacuum(1024)")?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Bytes of pages in use.
fn used_bytes(connection: &Connection) -> Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?) as u64)
}

/// Forgets a chunk of what began before `limit`. Ids within a block are nearly in order of time, so each block is
/// looked at from its start, up to the first row that is young enough.
fn forget_before(connection: &Connection, limit: i64) -> Result<bool> {
    let mut blocks = connection.prepare_cached("SELECT first_id, end_id FROM id_blocks ORDER BY first_id")?;
    let blocks: Vec<(i64, i64)> =
        blocks.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?;
    let mut forgotten = false;
    for (first, end) in blocks {
        let last: Option<i64> = connection
            .prepare_cached(
                "SELECT max(exchange_id) FROM (SELECT exchange_id, started_at FROM net_events \
                 WHERE exchange_id >= ? AND exchange_id < ? ORDER BY exchange_id LIMIT ?) WHERE started_at < ?",
            )?
            .query_row((first, end, CHUNK, limit), |row| row.get(0))?;
        if let Some(last) = last {
            forget_exchanges(connection, first, last, limit)?;
            forgotten = true;
            break;
        }
    }
    Ok(forget_beside(connection, limit)? || forgotten)
}

/// Forgets a chunk of what hangs on no exchange.
fn forget_beside(connection: &Connection, limit: i64) -> Result<bool> {
    let mut forgotten = false;
    let transaction = connection.unchecked_transaction()?;
    for (table, id) in [("dns_events", "dns_id"), ("commits", "commit_id")] {
        let first = format!("SELECT at < ? FROM {table} ORDER BY {id} LIMIT 1");
        if !connection
            .prepare_cached(&first)?
            .query_row([limit], |row| row.get(0))
            .optional()?
            .unwrap_or(false)
        {
            continue;
        }
        schema::note_last_id(connection, table, id)?;
        let oldest = format!("SELECT {id} FROM {table} ORDER BY {id} LIMIT {CHUNK}");
        let sql = format!("DELETE FROM {table} WHERE {id} IN ({oldest}) AND at < ?");
        forgotten |= connection.prepare_cached(&sql)?.execute([limit])? > 0;
    }
    if forgotten {
        segments::forget_commits(connection)?;
    }
    transaction.commit()?;
    Ok(forgotten)
}

/// Forgets the chunk of exchanges that comes first, and what is older than the next one.
fn forget_oldest(connection: &Connection) -> Result<bool> {
    let oldest: Option<(i64, i64)> = connection
        .query_row(
            "SELECT min(exchange_id), max(exchange_id) FROM \
             (SELECT exchange_id FROM net_events ORDER BY exchange_id LIMIT ?)",
            [CHUNK],
            |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?)),
        )
        .optional()?
        .flatten();
    let Some((first, last)) = oldest else { return Ok(false) };
    forget_exchanges(connection, first, last, i64::MAX)?;
    let next = "SELECT started_at FROM net_events ORDER BY exchange_id LIMIT 1";
    if let Some(limit) = connection.query_row(next, [], |row| row.get(0)).optional()? {
        forget_beside(connection, limit)?;
    }
    Ok(true)
}

/// Forgets the exchanges from `first` to `last` that began before `limit`, with all that hangs on them.
fn forget_exchanges(connection: &Connection, first: i64, last: i64, limit: i64) -> Result<()> {
    let transaction = connection.unchecked_transaction()?;
    for (table, id) in [("model_calls", "call_id"), ("upstream_errors", "error_id")] {
        schema::note_last_id(&transaction, table, id)?;
    }
    segments::forget_exchanges(&transaction, first, last)?;
    let of_calls =
        "IN (SELECT call_id FROM model_calls WHERE exchange_id BETWEEN ?1 AND ?2 AND started_at < ?3)";
    for sql in [
        &format!("DELETE FROM tool_calls WHERE call_id {of_calls}"),
        &format!("DELETE FROM tool_results WHERE call_id {of_calls}"),
        "DELETE FROM model_calls WHERE exchange_id BETWEEN ?1 AND ?2 AND started_at < ?3",
        "DELETE FROM upstream_errors WHERE exchange_id BETWEEN ?1 AND ?2 AND at < ?3",
        "DELETE FROM bodies WHERE exchange_id IN (SELECT exchange_id FROM net_events \
         WHERE exchange_id BETWEEN ?1 AND ?2 AND started_at < ?3)",
        "DELETE FROM net_events WHERE exchange_id BETWEEN ?1 AND ?2 AND started_at < ?3",
    ] {
        transaction.prepare_cached(sql)?.execute((first, last, limit))?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "INSERT OR IGNORE INTO sessions VALUES ('s', NULL, NULL, 0, NULL, '', ''); \
        INSERT OR IGNORE INTO id_blocks (first_id, end_id, session_id) VALUES (1, 100, 's'); \
        INSERT INTO net_events (session_id, connection_id, started_at, listener, scheme, decision, total_us) \
        VALUES ('s', 1, 0, '', '', 'allowed', 0); \
        INSERT INTO bodies (exchange_id, request) SELECT max(exchange_id), x'00' FROM net_events;";

    /// Inserts a row into each table whose ids are places to go on from; gives the ids.
    fn insert(connection: &Connection) -> [i64; 4] {
        connection.execute_batch(ROWS).expect("inserted");
        let row = |table, column, values: &str| {
            let id = schema::next_id(connection, table, column).expect("an id");
            let sql = format!("INSERT INTO {table} ({column}, {values}");
            connection.execute(&sql, [id]).expect("inserted");
            id
        };
        let exchange = "(SELECT max(exchange_id) FROM net_events)";
        [
            row("commits", "commit_id", "at, net_events) VALUES (?, 0, '[]')"),
            row(
                "dns_events",
                "dns_id",
                "session_id, at, name, type, decision) VALUES (?, 's', 0, '', '', '')",
            ),
            row(
                "upstream_errors",
                "error_id",
                &format!("exchange_id, at, phase) VALUES (?, {exchange}, 0, '')"),
            ),
            row(
                "model_calls",
                "call_id",
                &format!(
                    "exchange_id, session_id, started_at, provider, api, stream, usage_state, total_us) \
                     VALUES (?, {exchange}, 's', 0, '', '', 0, 'none', 0)"
                ),
            ),
        ]
    }

    #[test]
    fn ids_go_on_after_everything_was_forgotten() {
        let mut connection = Connection::open_in_memory().expect("memory");
        schema::migrate(&mut connection).expect("migrated");
        connection.pragma_update(None, "foreign_keys", false).expect("set");
        let retention = Retention { age: Some(1), size: None };
        let mut before = [0; 4];
        for _ in 0..3 {
            let ids = insert(&connection);
            assert!(ids.iter().zip(&before).all(|(id, before)| id > before), "{ids:?} after {before:?}");
            before = ids;
            while forget(&connection, retention, 1000) {}
            for table in ["net_events", "bodies", "commits", "dns_events", "upstream_errors", "model_calls"] {
                let sql = format!("SELECT count(*) FROM {table}");
                let left: i64 = connection.query_row(&sql, [], |row| row.get(0)).expect("counted");
                assert_eq!(left, 0, "{table}");
            }
        }
    }
}
