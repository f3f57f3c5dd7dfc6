//! Takes rows out of a ledger in other people's formats, from a cursor, so that an absent collector loses nothing.

mod answer;
pub mod har;
pub mod otlp;
mod post;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rusqlite::{Connection, OpenFlags};
use rustls::ClientConfig;

use self::otlp::Names;
use super::query::{Filter, Position, QueryError, Range, Reader, Record, Source};

pub use answer::Answer;
pub use post::Endpoint;

/// Most rows of one source in one request to a collector.
const BATCH: usize = 500;

/// How long the last rows may take at the end; a collector that hangs does not hold up a proxy that is to stop.
const LAST: Duration = Duration::from_secs(2);

/// Why an export did not go on.
#[derive(Debug)]
pub enum ExportError {
    /// The ledger cannot be read, or the cursor not be kept in it.
    Ledger(QueryError),
    /// The collector cannot be reached, or breaks off.
    Io(std::io::Error),
    /// The collector refused.
    Refused(Answer),
}

impl ExportError {
    /// How long the collector wants to be left alone, where it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(answer) => answer.retry_after,
            Self::Ledger(_) | Self::Io(_) => None,
        }
    }

    /// Whether the collector is not to be had at all now, and no other request is worth a try (OTLP specification,
    /// OTLP/HTTP Response, Retryable Response Codes).
    fn is_away(&self) -> bool {
        match self {
            Self::Refused(answer) => matches!(answer.status, 429 | 502..=504),
            Self::Ledger(_) | Self::Io(_) => true,
        }
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ledger(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the collector: {error}"),
            Self::Refused(Answer { status, message, .. }) if message.is_empty() => {
                write!(f, "the collector answered {status}")
            }
            Self::Refused(Answer { status, message, .. }) => {
                write!(f, "the collector answered {status}: {message}")
            }
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
/// under a name, for spans and for metrics, so that a collector which takes one and refuses the other gets nothing
/// twice; each row is sent at least once.
#[derive(Debug)]
pub struct Exporter {
    path: PathBuf,
    cursor: String,
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    names: Names,
    /// Rows of one source in one request; less than [`BATCH`] where that was too much for the collector.
    batch: Cell<usize>,
}

/// What a collector takes, each at a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Spans,
    Metrics,
}

/// Rows that follow one another, of each of [`SOURCES`].
struct Batch {
    from: [Position; 2],
    to: [Position; 2],
    rows: [Vec<Record>; 2],
}

const SOURCES: [Source; 2] = [Source::Events, Source::Calls];

/// The collector's word for too much at once.
const TOO_LARGE: u16 = 413;

impl Exporter {
    /// For a collector; `tls` is whom to trust where it is reached by TLS.
    pub fn new(
        path: &Path,
        cursor: &str,
        endpoint: Endpoint,
        tls: Option<Arc<ClientConfig>>,
        names: Names,
    ) -> Self {
        let batch = Cell::new(BATCH);
        Self { path: path.to_owned(), cursor: cursor.to_owned(), endpoint, tls, names, batch }
    }

    /// Sends one batch of what is new; of how many rows the spans and the metrics went. Nothing is remembered of a
    /// batch that failed.
    pub fn send(&self) -> Result<[usize; 2], ExportError> {
        let reader = Reader::open(&self.path)?;
        let batch = self.read(&reader, self.position(&reader, Signal::Spans)?)?;
        let at = self.position(&reader, Signal::Metrics)?;
        let behind = if at == batch.from { None } else { Some(self.read(&reader, at)?) };
        let spans = match self.deliver(Signal::Spans, &batch) {
            Err(error) if error.is_away() => return Err(error),
            spans => spans,
        };
        let metrics = self.deliver(Signal::Metrics, behind.as_ref().unwrap_or(&batch));
        Ok([spans?, metrics?])
    }

    fn deliver(&self, signal: Signal, batch: &Batch) -> Result<usize, ExportError> {
        let [events, calls] = &batch.rows;
        let rows = events.len() + calls.len();
        if rows == 0 {
            return Ok(0);
        }
        let document = match signal {
            Signal::Spans => otlp::traces(events, calls, self.names),
            Signal::Metrics => otlp::metrics(events, calls),
        };
        match self.endpoint.post(self.tls.as_ref(), signal.path(), &document) {
            Ok(words) if words.is_empty() => {}
            Ok(words) => log::warn!("the collector took {} in part: {words}", signal.path()),
            Err(ExportError::Refused(Answer { status: TOO_LARGE, .. })) if self.batch.get() > 1 => {
                self.batch.set(self.batch.get() / 2);
                return self.deliver(signal, &self.read(&Reader::open(&self.path)?, batch.from)?);
            }
            Err(error) => return Err(error),
        }
        for (source, at) in SOURCES.into_iter().zip(batch.to) {
            save(&self.path, &self.name(signal), source, at)?;
        }
        Ok(rows)
    }

    /// Goes on sending in a thread of its own, looking for new rows every so often. A collector that is away is
    /// tried again, and not before it wants to be.
    pub fn spawn(self, every: Duration) -> std::io::Result<Live> {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let (ending, ended) = crossbeam_channel::bounded::<()>(0);
        let work = move || {
            let _ending = ending;
            let (mut troubled, mut wait) = (false, every);
            loop {
                let last = matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Disconnected));
                let outcome = self.send_all();
                wait = outcome.as_ref().err().and_then(ExportError::retry_after).unwrap_or(every).max(every);
                if let Err(error) = &outcome
                    && !troubled
                {
                    log::warn!("exporting to the collector: {error}; trying again every {every:?}");
                }
                troubled = outcome.is_err();
                if last {
                    return;
                }
            }
        };
        thread::Builder::new().name("otlp".to_owned()).spawn(work)?;
        Ok(Live { stop, ended })
    }

    fn send_all(&self) -> Result<(), ExportError> {
        while self.send()? != [0, 0] {}
        Ok(())
    }

    /// The name of a signal's cursor.
    fn name(&self, signal: Signal) -> Cow<'_, str> {
        match signal {
            Signal::Spans => Cow::Borrowed(&self.cursor),
            Signal::Metrics => Cow::Owned(format!("{}/metrics", self.cursor)),
        }
    }

    fn position(&self, reader: &Reader, signal: Signal) -> Result<[Position; 2], ExportError> {
        let name = self.name(signal);
        let [events, calls] = SOURCES.map(|source| reader.cursor(&name, source));
        Ok([events?, calls?])
    }

    fn read(&self, reader: &Reader, from: [Position; 2]) -> Result<Batch, ExportError> {
        let mut batch = Batch { from, to: from, rows: [Vec::new(), Vec::new()] };
        for (index, source) in SOURCES.into_iter().enumerate() {
            let range = Range { after: from[index], limit: Some(self.batch.get()), ..Range::default() };
            batch.to[index] = reader.rows(source, &Filter::default(), range, |record| {
                batch.rows[index].push(record.clone());
                true
            })?;
        }
        Ok(batch)
    }
}

impl Signal {
    /// The path that OTLP/HTTP gives it.
    fn path(self) -> &'static str {
        match self {
            Self::Spans => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// An export that goes on until it is stopped.
#[derive(Debug)]
pub struct Live {
    stop: Sender<()>,
    /// Closed when the thread ends, by a panic too.
    ended: Receiver<()>,
}

impl Live {
    /// Sends what is there, once, and ends. What a collector does not take in time stays in the ledger for the next start.
    pub fn stop(self) {
        drop(self.stop);
        let ended = self.ended.recv_timeout(LAST);
        if matches!(ended, Err(RecvTimeoutError::Timeout)) {
            log::warn!(
                "the collector did not take the last rows in time; they are sent after the next start"
            );
        }
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
