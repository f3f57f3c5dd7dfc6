//! The database file as the writer sees it: created private, checked, opened, reserved in, and kept small.
//!
//! It knows what a file can suffer (locked, full, deleted, damaged) and gives each its [`Trouble`]; what to do then is
//! the writer's decision.

mod file;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::ledger::LedgerError;
use super::options::{OnCorrupt, Synchronous};
use super::sink::Trouble;
use super::{rows, schema};
use file::Watch;

/// How many exchange ids a session sets aside at once. Below 2^53 there is room for nine million such blocks; a
/// session that ends properly gives back what it did not use.
pub(super) const BLOCK: u64 = 1_000_000_000;

/// How long a statement waits for another process's lock before the writer hears of it.
const BUSY: Duration = Duration::from_millis(100);

/// The write-ahead log is folded into the database from this size on, where no reader holds it. So much of the file is
/// kept when it starts again, because pages that are given up have to be made again.
const WAL_SOFT: u64 = 8 << 20;

/// From this size on the writer waits a moment for readers.
const WAL_HARD: u64 = 16 << 20;

/// What the log adds to each page (SQLite file format, 4.1).
const FRAME_HEADER: u64 = 24;

/// Files up to this size are checked whole at start; larger ones would take too long.
const CHECKED: u64 = 256 << 20;

/// How to open the file.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) path: PathBuf,
    pub(super) synchronous: Synchronous,
    pub(super) on_corrupt: OnCorrupt,
}

/// An open database file.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    watch: Watch,
    /// Size of the log's file when it was last looked at.
    log: u64,
    /// Bytes that wait in the log at which the next attempt to fold it is made.
    fold_at: u64,
    /// Bytes of one page in the log.
    frame: u64,
}

impl Database {
    /// Opens or creates the file. A damaged one is set aside under another name, or refused; `stamp` names it.
    pub(super) fn open(settings: &Settings, stamp: i64) -> Result<Self, LedgerError> {
        match Self::open_once(settings) {
            Err(LedgerError::Corrupt(path, why)) if settings.on_corrupt == OnCorrupt::SetAside => {
                let aside =
                    file::set_aside(&path, stamp).map_err(|error| LedgerError::Io(path.clone(), error))?;
                log::warn!("{} is damaged ({why}); it was set aside as {}", path.display(), aside.display());
                Self::open_once(settings)
            }
            result => result,
        }
    }

    fn open_once(settings: &Settings) -> Result<Self, LedgerError> {
        let path = &settings.path;
        let size = file::prepare(path).map_err(|error| LedgerError::Io(path.clone(), error))?;
        let mut connection = connect(settings, size).map_err(|error| refused(path, &error))?;
        let version = schema::version(&connection).map_err(|error| refused(path, &error))?;
        if version > schema::VERSION {
            return Err(LedgerError::Newer(path.clone(), version));
        }
        schema::migrate(&mut connection).map_err(|error| refused(path, &error))?;
        connection.busy_timeout(BUSY).map_err(|error| refused(path, &error))?;
        let watch = Watch::new(path).map_err(|error| LedgerError::Io(path.clone(), error))?;
        let page: i64 = connection
            .query_row("PRAGMA page_size", [], |row| row.get(0))
            .map_err(|error| refused(path, &error))?;
        let frame = page as u64 + FRAME_HEADER;
        Ok(Self { connection, watch, log: 0, fold_at: WAL_SOFT, frame })
    }

    /// Whether what is open is still the ledger.
    pub(super) fn look(&mut self) -> Result<(), Trouble> {
        self.log = self.watch.look()?;
        Ok(())
    }

    /// Sets a block of ids aside for the session and writes its row; returns the first id.
    pub(super) fn reserve(&mut self, session: &SessionRow) -> rusqlite::Result<u64> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let first: i64 = transaction.query_row(
            "SELECT max(1, coalesce((SELECT max(end_id) FROM id_blocks), 1), \
             coalesce((SELECT max(exchange_id) + 1 FROM net_events), 1))",
            [],
            |row| row.get(0),
        )?;
        session.insert(&transaction)?;
        insert_block(&transaction, first as u64, &session.id)?;
        transaction.commit()?;
        Ok(first as u64)
    }

    /// Writes session and block again, for a file that took another's place.
    pub(super) fn reserve_again(&mut self, session: &SessionRow, first: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        session.insert(&transaction)?;
        insert_block(&transaction, first, &session.id)?;
        transaction.commit()
    }

    /// Ends the session and gives back the ids from `unused` on.
    pub(super) fn end_session(&self, id: &str, at: i64, first: u64, unused: u64) -> rusqlite::Result<()> {
        self.connection.execute("UPDATE sessions SET ended_at = ? WHERE session_id = ?", (at, id))?;
        let block = (unused as i64, first as i64);
        self.connection.execute("UPDATE id_blocks SET end_id = ? WHERE first_id = ?", block)?;
        Ok(())
    }

    /// Folds the write-ahead log into the database when it has grown. Readers cannot keep it growing: from a size on
    /// the writer waits for them, new ones read the database alone, and so the log can start again.
    pub(super) fn fold(&mut self) -> rusqlite::Result<()> {
        if self.log < self.fold_at {
            return Ok(());
        }
        let waiting = self.waiting()?;
        if waiting < self.fold_at {
            return Ok(());
        }
        let wait = if waiting < WAL_HARD { Duration::ZERO } else { BUSY };
        let folded = self.checkpoint("PRAGMA wal_checkpoint(RESTART)", wait)?;
        self.fold_at = if folded { WAL_SOFT } else { waiting + WAL_SOFT / 4 };
        Ok(())
    }

    /// Bytes of the log that are in use: none once all of it is in the database, although the file stays.
    fn waiting(&self) -> rusqlite::Result<u64> {
        let mut statement = self.connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        let (written, folded): (i64, i64) = statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?;
        Ok(if folded == written { 0 } else { written.max(0) as u64 * self.frame })
    }

    /// Moves the log's pages into the database and empties it; false where a reader did not let it.
    pub(super) fn empty_log(&self, wait: Duration) -> rusqlite::Result<bool> {
        self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)", wait)
    }

    fn checkpoint(&self, pragma: &str, wait: Duration) -> rusqlite::Result<bool> {
        self.connection.busy_timeout(wait)?;
        let busy: rusqlite::Result<i64> = self.connection.query_row(pragma, [], |row| row.get(0));
        self.connection.busy_timeout(BUSY)?;
        match busy {
            Err(error) if trouble(&error) == Some(Trouble::Locked) => Ok(false),
            busy => Ok(busy? == 0),
        }
    }
}

/// The row of `sessions` that this process is.
#[derive(Clone, Debug)]
pub(super) struct SessionRow {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) command: Option<String>,
    pub(super) started_at: i64,
    pub(super) policy_digest: String,
}

impl SessionRow {
    fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT OR IGNORE INTO sessions (session_id, name, command, started_at, version, policy_digest) \
             VALUES (?, ?, ?, ?, ?, ?)",
            (
                &self.id,
                &self.name,
                &self.command,
                self.started_at,
                env!("CARGO_PKG_VERSION"),
                &self.policy_digest,
            ),
        )?;
        Ok(())
    }
}

fn insert_block(connection: &Connection, first: u64, session: &str) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR IGNORE INTO id_blocks (first_id, end_id, session_id) VALUES (?, ?, ?)",
        (first as i64, (first + BLOCK) as i64, session),
    )?;
    Ok(())
}

fn connect(settings: &Settings, size: u64) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&settings.path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(rows::STATEMENTS + 40);
    if size == 0 {
        connection.execute_batch("PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // Rows may arrive before those that they refer to, so the bundled build's default is turned off. The checks are
    // for other writers: our words come from enums, and each `IN (…)` builds a table for every row that it checks.
    connection.execute_batch(
        "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; \
         PRAGMA cache_size = -8192; PRAGMA trusted_schema = OFF;",
    )?;
    // They are for those who change the file by hand; the writer knows what hangs on what it changes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_SOFT as i64, |_| Ok(()))?;
    connection.pragma_update(
        None,
        "synchronous",
        match settings.synchronous {
            Synchronous::Normal => "NORMAL",
            Synchronous::Full => "FULL",
        },
    )?;
    if size <= CHECKED {
        check(&connection)?;
    }
    Ok(connection)
}

fn check(connection: &Connection) -> rusqlite::Result<()> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some(verdict)))
}

fn refused(path: &Path, error: &rusqlite::Error) -> LedgerError {
    match trouble(error) {
        Some(Trouble::Corrupt) => LedgerError::Corrupt(path.to_owned(), error.to_string()),
        _ => LedgerError::Database(path.to_owned(), error.to_string()),
    }
}

/// What an error says about the file; `None` when it is one row's own fault.
pub(super) fn trouble(error: &rusqlite::Error) -> Option<Trouble> {
    match error.sqlite_error_code()? {
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => None,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Some(Trouble::Locked),
        ErrorCode::DiskFull => Some(Trouble::DiskFull),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(Trouble::Corrupt),
        _ => Some(Trouble::Io),
    }
}
