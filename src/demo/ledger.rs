//! The ledger that a run left behind, as JSON rows with the names of `schema.sql`.

use std::path::Path;

use serde_json::Value;

use crate::telemetry::query::{Filter, QueryError, Range, Reader, Source};

/// One row: an object of column names and values.
pub type Row = Value;

/// What a run left behind.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// `net_events`, in the order of `exchange_id`.
    pub net_events: Vec<Row>,
    /// `model_calls`, in the order of `exchange_id`, each with `tool_calls` and `tool_results` as arrays of rows.
    pub model_calls: Vec<Row>,
}

impl Ledger {
    /// Reads the whole file.
    pub fn read(file: &Path) -> Result<Self, QueryError> {
        let reader = Reader::open(file)?;
        Ok(Self { net_events: rows(&reader, Source::Events)?, model_calls: rows(&reader, Source::Calls)? })
    }

    /// The rows of `net_events` that policy refused.
    pub fn denied(&self) -> impl Iterator<Item = &Row> {
        self.net_events.iter().filter(|row| row["decision"] == "denied")
    }
}

/// All rows of a source. The reader gives them as they were committed; a person reads them as they were asked for.
fn rows(reader: &Reader, source: Source) -> Result<Vec<Row>, QueryError> {
    let mut rows = Vec::new();
    reader.rows(source, &Filter::default(), Range::default(), |record| {
        let mut json = Vec::new();
        record.write_json(&mut json);
        rows.push(serde_json::from_slice(&json).expect("a row is written as JSON"));
        true
    })?;
    rows.sort_by_key(|row: &Row| row["exchange_id"].as_i64());
    Ok(rows)
}
