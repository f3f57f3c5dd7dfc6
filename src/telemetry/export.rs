//! Takes rows out of a ledger in other people's formats, from a cursor, so that an absent collector loses nothing.

pub mod har;
pub mod otlp;
mod post;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use rusqlite::{Connection, OpenFlags};
use rustls::ClientConfig;

use self::otlp::Names;
use super::query::{Filter, Position, QueryError, Range, Reader, Source};

pub use post::Endpoint;

/// Rows of one source in one request to a collector.
const BATCH: usize = 500;

/// Why an export did not go on.
#[derive(Debug)]
pub enum ExportError {
    /// The ledger cannot be read, or the cursor not be kept in it.
    Ledger(QueryError),
    /// The collector cannot be reached, or breaks off.
    Io(std::io::Error),
    /// The collector refused; its status.
    Refused(u16),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ledger(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the collector: {error}"),
            Self::Refused(status) => write!(f, "the collector answered {status}"),
        }
    }
}

impl std::error::Error for ExportError {}

impl From<QueryError> for ExportError {
    fn from(error: QueryError) -> Self {
        Self::Ledger(error)
    }
}

impl From<rusqlite::Error> for ExportError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<std::io::Error> for ExportError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Sends a ledger's rows to an OpenTelemetry collector (OTLP/HTTP, JSON). What was sent is remembered in the ledger
/// under a name; each row is sent at least once.
#[derive(Debug)]
pub struct Exporter {
    path: PathBuf,
    cursor: String,
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    names: Names,
}

impl Exporter {
    /// For a collector; `tls` is whom to trust where it is reached by TLS.
    pub fn new(
        path: &Path,
        cursor: &str,
        endpoint: Endpoint,
        tls: Option<Arc<ClientConfig>>,
        names: Names,
    ) -> Self {
        Self { path: path.to_owned(), cursor: cursor.to_owned(), endpoint, tls, names }
    }

    /// Sends one batch of what is new; how many rows went. Nothing is remembered of a batch that failed.
    pub fn send(&self) -> Result<usize, ExportError> {
        let reader = Reader::open(&self.path)?;
        let (events, events_at) = self.batch(&reader, Source::Events)?;
        let (calls, calls_at) = self.batch(&reader, Source::Calls)?;
        if events.is_empty() && calls.is_empty() {
            return Ok(0);
        }
        let tls = self.tls.as_ref();
        self.endpoint.post(tls, "/v1/traces", &otlp::traces(&events, &calls, self.names))?;
        self.endpoint.post(tls, "/v1/metrics", &otlp::metrics(&events, &calls))?;
        for (source, at) in [(Source::Events, events_at), (Source::Calls, calls_at)] {
            save(&self.path, &self.cursor, source, at)?;
        }
        Ok(events.len() + calls.len())
    }

    /// Goes on sending in a thread of its own, looking for new rows every so often. A collector that is away is
    /// tried again.
    pub fn spawn(self, every: Duration) -> std::io::Result<Live> {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let work = move || {
            let mut troubled = false;
            loop {
                let ended = matches!(stopped.recv_timeout(every), Err(RecvTimeoutError::Disconnected));
                let outcome = self.send_all();
                if let Err(error) = &outcome
                    && !troubled
                {
                    log::warn!("exporting to the collector: {error}; trying again every {every:?}");
                }
                troubled = outcome.is_err();
                if ended {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("otlp".to_owned()).spawn(work)?;
        Ok(Live { stop, thread })
    }

    fn send_all(&self) -> Result<(), ExportError> {
        while self.send()? > 0 {}
        Ok(())
    }

    fn batch(
        &self,
        reader: &Reader,
        source: Source,
    ) -> Result<(Vec<super::query::Record>, Position), ExportError> {
        let after = reader.cursor(&self.cursor, source)?;
        let mut records = Vec::new();
        let range = Range { after, limit: Some(BATCH), ..Range::default() };
        let at = reader.rows(source, &Filter::default(), range, |record| {
            records.push(record.clone());
            true
        })?;
        Ok((records, at))
    }
}

/// An export that goes on until it is stopped.
#[derive(Debug)]
pub struct Live {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Live {
    /// Sends what is there, once, and ends.
    pub fn stop(self) {
        drop(self.stop);
        // A panic in the exporter is reported where it happens and must not end the proxy.
        let _ = self.thread.join();
    }
}

/// Remembers how far an export has come.
pub fn save(path: &Path, name: &str, source: Source, at: Position) -> Result<(), ExportError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    // The log is folded by the proxy's writer; this connection leaves it alone while that runs.
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = NORMAL")?;
    connection.execute(
        "INSERT INTO cursors (name, source, position) VALUES (?, ?, ?) \
         ON CONFLICT (name, source) DO UPDATE SET position = excluded.position",
        (name, source.table(), at.to_string()),
    )?;
    Ok(())
}
