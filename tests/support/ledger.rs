//! The ledger as a user reads it: with SQL, while the proxy writes.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use super::eventually;

/// A ledger file.
pub struct Ledger {
    file: PathBuf,
}

/// One row, by column name.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Vec<(String, Value)>,
}

impl Ledger {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// The SQLite file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Runs a query.
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        self.try_rows(sql).expect("a readable ledger")
    }

    /// One number, such as a count.
    pub fn number(&self, sql: &str) -> i64 {
        let rows = self.rows(sql);
        match &rows[0].columns[0].1 {
            Value::Integer(number) => *number,
            other => panic!("{sql}: {other:?} is no number"),
        }
    }

    /// Waits until `net_events` has exactly `count` rows, and gives them in the order of their ids.
    pub fn net_events(&self, count: usize) -> Vec<Row> {
        self.exactly("net_events", "exchange_id", count)
    }

    /// Waits until `net_events` has exactly `count` rows.
    pub fn net_events_count(&self, count: i64) {
        let counted = eventually(&format!("{count} rows of net_events"), || {
            let counted = self.number("SELECT count(*) FROM net_events");
            (counted >= count).then_some(counted)
        });
        assert_eq!(counted, count, "too many rows in net_events");
    }

    /// Waits until `model_calls` has exactly `count` rows, and gives them in the order of their ids.
    pub fn model_calls(&self, count: usize) -> Vec<Row> {
        self.exactly("model_calls", "call_id", count)
    }

    fn exactly(&self, table: &str, key: &str, count: usize) -> Vec<Row> {
        let rows = eventually(&format!("{count} rows of {table}"), || {
            let rows = self.try_rows(&format!("SELECT * FROM {table} ORDER BY {key}")).ok()?;
            (rows.len() >= count).then_some(rows)
        });
        assert_eq!(rows.len(), count, "too many rows in {table}: {rows:#?}");
        rows
    }

    fn try_rows(&self, sql: &str) -> rusqlite::Result<Vec<Row>> {
        let database = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut statement = database.prepare(sql)?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let row = |row: &rusqlite::Row| {
            let value = |(at, name): (usize, &String)| Ok((name.clone(), row.get(at)?));
            Ok(Row { columns: names.iter().enumerate().map(value).collect::<rusqlite::Result<_>>()? })
        };
        statement.query_map([], row)?.collect()
    }
}

impl Row {
    /// A column as text; `None` for NULL.
    pub fn text(&self, column: &str) -> Option<&str> {
        match self.value(column) {
            Value::Null => None,
            Value::Text(text) => Some(text),
            other => panic!("{column} is no text: {other:?}"),
        }
    }

    /// A column as a number; `None` for NULL.
    pub fn int(&self, column: &str) -> Option<i64> {
        match self.value(column) {
            Value::Null => None,
            Value::Integer(number) => Some(*number),
            other => panic!("{column} is no number: {other:?}"),
        }
    }

    fn value(&self, column: &str) -> &Value {
        let found = self.columns.iter().find(|(name, _)| name == column);
        &found.unwrap_or_else(|| panic!("no column {column}")).1
    }
}
