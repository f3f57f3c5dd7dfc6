//! The schema and its migrations. `PRAGMA user_version` says which version a file has; each step leads to the next.

use rusqlite::{Connection, TransactionBehavior};

/// Step `n` leads from version `n` to `n + 1`; the first makes a new file.
const STEPS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("schema/policies.sql"),
    include_str!("schema/bodies.sql"),
    include_str!("schema/original.sql"),
    include_str!("schema/sums.sql"),
];

/// The version that this program reads and writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// The first version that keeps bodies.
pub(super) const BODIES: i64 = 3;

/// The first version that says where guests' packets were going.
pub(super) const ORIGINAL: i64 = 4;

/// The first version that keeps sums beside the rows.
pub(super) const SUMS: i64 = 5;

/// The id that the next row of a table gets: higher than any that a row has or had.
pub(super) fn next_id(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<i64> {
    let sql = format!(
        "SELECT 1 + max(coalesce((SELECT max({column}) FROM {table}), 0), \
         coalesce((SELECT id FROM last_ids WHERE source = '{table}'), 0))"
    );
    connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))
}

/// Notes how high the ids of a table went, before rows are forgotten.
pub(super) fn note_last_id(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO last_ids (source, id) \
         SELECT '{table}', max({column}) FROM {table} HAVING max({column}) IS NOT NULL"
    );
    connection.prepare_cached(&sql)?.execute([]).map(drop)
}

/// `PRAGMA application_id`: "TOLL".
const APPLICATION_ID: i64 = 0x544f_4c4c;

/// The version of a file; 0 where nothing is there yet.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings a file to [`VERSION`], step by step in one transaction. Two processes may do so at once.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    if version(connection)? >= VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from = version(&transaction)?;
    for step in STEPS.iter().skip(from as usize) {
        transaction.execute_batch(step)?;
    }
    if from < VERSION {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement =
            connection.prepare("SELECT sql FROM sqlite_schema ORDER BY name").expect("readable");
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).expect("readable");
        rows.filter_map(|row| row.expect("text")).collect()
    }

    #[test]
    fn every_older_version_becomes_the_newest() {
        let mut newest = Connection::open_in_memory().expect("memory");
        migrate(&mut newest).expect("migrated");
        for from in 0..STEPS.len() {
            let mut old = Connection::open_in_memory().expect("memory");
            STEPS[..from].iter().for_each(|step| old.execute_batch(step).expect("step"));
            old.pragma_update(None, "user_version", from as i64).expect("set");
            migrate(&mut old).expect("migrated");
            assert_eq!(version(&old).expect("readable"), VERSION);
            assert_eq!(tables(&old), tables(&newest));
        }
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection).expect("migrated");
        let before = tables(&connection);
        migrate(&mut connection).expect("nothing to do");
        assert_eq!(tables(&connection), before);
    }
}
