//! Takes rows out of a ledger in other people's formats, from a cursor, so that an absent collector loses nothing.

mod answer;
mod cursors;
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
use rustls::ClientConfig;

use self::otlp::Names;
use super::query::{self, Filter, Position, QueryError, Range, Reader, Record, Source};

pub use answer::Answer;
pub use cursors::Cursors;
pub use post::Endpoint;

/// Most rows of one source in one request to a collector.
const BATCH: usize = 500;

/// How long the last rows may take at the end; a collector that hangs does not hold up a proxy that is to stop.
const LAST: Duration = Duration::from_secs(2);

/// Why an export did not go on.
#[derive(Debug)]
pub enum ExportError {
    /// The ledger cannot be read.
    Ledger(QueryError),
    /// How far the export came cannot be kept in the ledger.
    Cursor(PathBuf, rusqlite::Error),
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
            Self::Ledger(_) | Self::Cursor(..) | Self::Io(_) => None,
        }
    }

    /// Whether the collector is not to be had at all now, and no other request is worth a try (OTLP specification,
    /// OTLP/HTTP Response, Retryable Response Codes).
    fn is_away(&self) -> bool {
        match self {
            Self::Refused(answer) => matches!(answer.status, 429 | 502..=504),
            Self::Ledger(_) | Self::Cursor(..) | Self::Io(_) => true,
        }
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ledger(error) => error.fmt(f),
            Self::Cursor(path, error) => write!(
                f,
                "how far the export came cannot be kept in {}: {error}; export as the file's owner, or from a copy that \
                 can be written (`tollgate log backup`)",
                path.display()
            ),
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

/// One round: the ledger as it is opened for it, so that rows and cursors are of one file although another may take its
/// place meanwhile, and where it ended then.
struct Round<'e> {
    exporter: &'e Exporter,
    reader: Reader,
    cursors: Cursors,
    end: [Position; 2],
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

    /// Sends what is in the ledger now and was not sent yet; what comes meanwhile is left for the next time, so that this
    /// ends however fast it comes. Counts the rows whose spans and whose metrics went. Nothing is remembered of a batch
    /// that failed.
    pub fn send_all(&self, sent: &mut [usize; 2]) -> Result<(), ExportError> {
        let mut round = Round::begin(self)?;
        loop {
            let [spans, metrics] = round.send()?;
            if [spans, metrics] == [0, 0] {
                return Ok(());
            }
            *sent = [sent[0] + spans, sent[1] + metrics];
        }
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
                let outcome = self.send_all(&mut [0, 0]);
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

    /// The name of a signal's cursor.
    fn name(&self, signal: Signal) -> Cow<'_, str> {
        match signal {
            Signal::Spans => Cow::Borrowed(&self.cursor),
            Signal::Metrics => Cow::Owned(format!("{}/metrics", self.cursor)),
        }
    }
}

impl<'e> Round<'e> {
    fn begin(exporter: &'e Exporter) -> Result<Self, ExportError> {
        let reader = Reader::open(&exporter.path)?;
        let cursors = Cursors::open(&exporter.path)?;
        let end = each_source(|source| reader.end(source))?;
        Ok(Self { exporter, reader, cursors, end })
    }

    /// Sends one batch; of how many rows the spans and the metrics went.
    fn send(&mut self) -> Result<[usize; 2], ExportError> {
        let batch = self.read(self.position(Signal::Spans)?)?;
        let at = self.position(Signal::Metrics)?;
        let behind = if at == batch.from { None } else { Some(self.read(at)?) };
        let spans = match self.deliver(Signal::Spans, &batch) {
            Err(error) if error.is_away() => return Err(error),
            spans => spans,
        };
        let metrics = self.deliver(Signal::Metrics, behind.as_ref().unwrap_or(&batch));
        Ok([spans?, metrics?])
    }

    fn deliver(&mut self, signal: Signal, batch: &Batch) -> Result<usize, ExportError> {
        let [events, calls] = &batch.rows;
        let rows = events.len() + calls.len();
        if rows == 0 {
            return Ok(0);
        }
        let Exporter { endpoint, tls, names, batch: limit, .. } = self.exporter;
        let document = match signal {
            Signal::Spans => otlp::traces(events, calls, *names),
            Signal::Metrics => otlp::metrics(events, calls),
        };
        match endpoint.post(tls.as_ref(), signal.path(), &document) {
            Ok(words) if words.is_empty() => {}
            Ok(words) => log::warn!("the collector took {} in part: {words}", signal.path()),
            Err(ExportError::Refused(Answer { status: TOO_LARGE, .. })) if limit.get() > 1 => {
                limit.set(limit.get() / 2);
                return self.deliver(signal, &self.read(batch.from)?);
            }
            Err(error) => return Err(error),
        }
        let places = [(SOURCES[0], batch.to[0]), (SOURCES[1], batch.to[1])];
        self.cursors.save(&self.exporter.name(signal), &places)?;
        Ok(rows)
    }

    fn position(&self, signal: Signal) -> Result<[Position; 2], ExportError> {
        let name = self.exporter.name(signal);
        each_source(|source| self.reader.cursor(&name, source))
    }

    fn read(&self, from: [Position; 2]) -> Result<Batch, ExportError> {
        let mut batch = Batch { from, to: from, rows: [Vec::new(), Vec::new()] };
        for (index, source) in SOURCES.into_iter().enumerate() {
            let limit = Some(self.exporter.batch.get());
            let range = Range { after: from[index], until: Some(self.end[index]), limit, ..Range::default() };
            batch.to[index] = self.reader.rows(source, &Filter::default(), range, |record| {
                batch.rows[index].push(record.clone());
                true
            })?;
        }
        Ok(batch)
    }
}

/// A place in each of [`SOURCES`].
fn each_source(place: impl Fn(Source) -> query::Result<Position>) -> Result<[Position; 2], ExportError> {
    let [events, calls] = SOURCES.map(place);
    Ok([events?, calls?])
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
