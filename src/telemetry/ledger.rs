//! Opens a ledger and closes it: the file, the session, the queue and the writer thread.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::Sender;

use super::database::{Database, SessionRow, Settings};
use super::options::{LedgerOptions, SessionInfo};
use super::redact::{Redactor, load_key};
use super::rows::Scratch;
use super::segments::Segments;
use super::sink::{Message, Shared, Sink};
use super::writer::{self, Writer};
use crate::limits::Micros;

/// A ledger that is open for writing. Dropping it without [`Ledger::close`] lets the writer finish by itself.
#[derive(Debug)]
pub struct Ledger {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    thread: JoinHandle<Closed>,
    session_id: String,
}

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
        let key =
            load_key(&options.key_file).map_err(|error| LedgerError::Io(options.key_file.clone(), error))?;
        let settings = Settings {
            path: options.path.clone(),
            synchronous: options.synchronous,
            on_corrupt: options.on_corrupt,
        };
        let redactor = Redactor::new(&key, &options.clear_headers);
        let session = session_row(&options.session, &redactor);
        let mut database = Database::open(&settings, session.started_at)?;
        let block = database
            .reserve(&session)
            .map_err(|error| LedgerError::Database(options.path.clone(), error.to_string()))?;
        let shared = Arc::new(Shared::new(&options, block));
        let (sender, queue) = crossbeam_channel::bounded(options.queue.max(1));
        let session_id = session.id.clone();
        let segments = Segments::new(&session.id);
        let writer = Writer {
            queue,
            shared: Arc::clone(&shared),
            settings,
            database: Some(database),
            session,
            block,
            scratch: Scratch::new(redactor, options.headers, options.preview),
            gather: Duration::from_micros(options.commit_every / 2),
            retention: options.retention,
            forget_at: writer::mono(),
            sum_at: writer::mono(),
            unconfirmed: None,
            segments,
        };
        let thread = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| LedgerError::Io(options.path, error))?;
        Ok(Self { sender, shared, thread, session_id })
    }

    /// A sender for one reactor.
    pub fn sender(&self) -> Sink {
        Sink::new(self.sender.clone(), Arc::clone(&self.shared))
    }

    /// The id of this process's session.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Writes what waits, for at most `deadline` microseconds, ends the session, and folds the log into the file.
    pub fn close(self, deadline: Micros) -> Closed {
        let by = writer::mono() + Duration::from_micros(deadline);
        self.shared.closing.get_or_init(|| by);
        // A full queue means that the writer is awake and will see `closing`.
        let _ = self.sender.try_send(Message::Close);
        drop(self.sender);
        self.thread.join().unwrap_or(Closed { written: 0, lost: 0 })
    }
}

fn session_row(session: &SessionInfo, redactor: &Redactor) -> SessionRow {
    let started_at = writer::wall();
    let command =
        session.command.as_ref().map(|words| serde_json::Value::from(redactor.command(words)).to_string());
    let name =
        session.name.as_ref().map(|name| String::from_utf8_lossy(&redactor.text(name.as_bytes())).into());
    SessionRow {
        id: session_id(started_at),
        name,
        command,
        started_at,
        policy_digest: session.policy_digest.clone(),
    }
}

/// A name that sorts by time and that two processes do not share: seconds in hex, then 32 random bits.
fn session_id(started_at: i64) -> String {
    let mut random = [0; 4];
    // Without randomness the microseconds have to do.
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        random = (started_at as u32).to_be_bytes();
    }
    format!("{:08x}-{:08x}", started_at / 1_000_000, u32::from_be_bytes(random))
}
