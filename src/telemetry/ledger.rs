//! Opens a ledger and closes it: the file, the session, the queue and the writer thread.

use std::fmt;
use std::path::PathBuf;

use super::options::LedgerOptions;
use super::sink::Sink;
use crate::limits::Micros;

/// A ledger that is open for writing. Dropping it without [`Ledger::close`] lets the writer finish by itself.
#[derive(Debug)]
pub struct Ledger {}

/// What became of the events of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Rows committed.
    pub written: u64,
    /// Events lost.
    pub lost: u64,
}

/// Why a ledger cannot be opened.
#[derive(Debug)]
pub enum LedgerError {
    /// The file or its directory cannot be used.
    Io(PathBuf, std::io::Error),
    /// SQLite cannot use the file.
    Database(PathBuf, String),
    /// The file is damaged, and [`super::OnCorrupt::Refuse`] was chosen.
    Corrupt(PathBuf, String),
    /// A newer Tollgate wrote the file; the number is its schema version.
    Newer(PathBuf, i64),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Database(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Corrupt(path, why) => write!(f, "{} is damaged: {why}", path.display()),
            Self::Newer(path, version) => {
                write!(f, "{} has schema version {version}, written by a newer tollgate", path.display())
            }
        }
    }
}

impl std::error::Error for LedgerError {}

impl Ledger {
    /// Opens or creates the database, writes the session's row, and starts the writer.
    pub fn open(options: LedgerOptions) -> Result<Self, LedgerError> {
        let _ = options;
        Ok(Self {})
    }

    /// A sender for one reactor.
    pub fn sender(&self) -> Sink {
        unimplemented!("next commit")
    }

    /// The id of this process's session.
    pub fn session_id(&self) -> &str {
        ""
    }

    /// Writes what waits, for at most `deadline`, ends the session, and checkpoints.
    pub fn close(self, deadline: Micros) -> Closed {
        let _ = deadline;
        Closed { written: 0, lost: 0 }
    }
}
