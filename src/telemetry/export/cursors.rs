//! Keeps in a ledger how far exports of it have come. Nothing else is written to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::ExportError;
use crate::telemetry::query::{Position, Source};

/// A ledger opened for that.
#[derive(Debug)]
pub struct Cursors {
    path: PathBuf,
    connection: Connection,
}

impl Cursors {
    /// Opens the file, which must be there.
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let connection = connect(path).map_err(|error| ExportError::Cursor(path.to_owned(), error))?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Remembers under a name how far its export has come, in all of these sources or in none.
    pub fn save(&mut self, name: &str, places: &[(Source, Position)]) -> Result<(), ExportError> {
        self.write(name, places).map_err(|error| ExportError::Cursor(self.path.clone(), error))
    }

    fn write(&mut self, name: &str, places: &[(Source, Position)]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (source, at) in places {
            transaction.execute(
                "INSERT INTO cursors (name, source, position) VALUES (?, ?, ?) \
                 ON CONFLICT (name, source) DO UPDATE SET position = excluded.position",
                (name, source.table(), at.to_string()),
            )?;
        }
        transaction.commit()
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    // The log is folded by the proxy's writer; this connection leaves it alone while that runs.
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = NORMAL")?;
    Ok(connection)
}
