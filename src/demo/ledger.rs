//! The ledger as any user reads it: a SQLite file with the tables of `schema.sql`.
//!
//! Read with plain SQL on purpose, not with `telemetry`'s queries: the demo judges what lies in the file.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row as SqlRow};
use serde_json::Value;

/// One row: an object of column names and values.
pub type Row = Value;

/// What a run left behind.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// `net_events`, in the order of `exchange_id`.
    pub net_events: Vec<Row>,
    /// `model_calls`, in the order of `call_id`, each with `tool_calls` and `tool_results` as arrays of rows.
    pub model_calls: Vec<Row>,
    /// `dropped`: empty in a healthy ledger.
    pub dropped: Vec<Row>,
}

impl Ledger {
    /// Reads the whole file.
    pub fn read(file: &Path) -> rusqlite::Result<Self> {
        let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let all = |sql: &str| rows(&database, sql);
        let mut model_calls = all("SELECT * FROM model_calls ORDER BY call_id")?;
        for table in ["tool_calls", "tool_results"] {
            let parts = all(&format!("SELECT * FROM {table} ORDER BY call_id, position"))?;
            for call in &mut model_calls {
                let own = parts.iter().filter(|part| part["call_id"] == call["call_id"]);
                call[table] = own.cloned().collect();
            }
        }
        Ok(Self {
            net_events: all("SELECT * FROM net_events ORDER BY exchange_id")?,
            model_calls,
            dropped: all("SELECT * FROM dropped")?,
        })
    }

    /// The rows of `net_events` that policy refused.
    pub fn denied(&self) -> impl Iterator<Item = &Row> {
        self.net_events.iter().filter(|row| row["decision"] == "denied")
    }
}

fn rows(database: &Connection, sql: &str) -> rusqlite::Result<Vec<Row>> {
    let mut statement = database.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    statement.query_map([], |row| read(&names, row))?.collect()
}

fn read(names: &[String], row: &SqlRow) -> rusqlite::Result<Row> {
    names.iter().enumerate().map(|(at, name)| Ok((name.clone(), json(row.get_ref(at)?)))).collect()
}

fn json(value: ValueRef) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into(),
    }
}
