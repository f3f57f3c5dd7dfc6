//! What the commands that read a ledger share: which file, which rows, and how lines leave.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::Failure;
use crate::config::{self, Overrides, Settings};
use crate::telemetry::query::{Filter, Pattern, QueryError, Reader, StatusRange};
use crate::telemetry::text::printable_json;

/// Which ledger is read.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Which ledger")]
pub struct Where {
    /// The ledger's file.
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// The configuration that names it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory that `ledger.db` lies in [default: as for `serve`].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Where {
    /// The file that is meant.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(db) = &self.db {
            return Ok(db.clone());
        }
        Ok(self.settings()?.telemetry.db)
    }

    /// The configuration that is meant.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let overrides = Overrides { state_dir: self.state_dir.clone(), ..Overrides::default() };
        config::load(self.config.as_deref(), &overrides).map_err(|error| Failure::usage(error.to_string()))
    }

    /// Opens it for reading.
    pub fn open(&self) -> Result<Reader, Failure> {
        let path = self.path()?;
        Reader::open(&path).map_err(|error| match (error, fs::metadata(&path)) {
            (QueryError::Missing, Err(error)) if error.kind() != ErrorKind::NotFound => {
                Failure::failed(format!("{}: {error}", path.display()))
            }
            (QueryError::Missing, _) => Failure::failed(format!(
                "no ledger at {}: has `tollgate serve` run? (--db, --config and --state-dir say where to look)",
                path.display()
            )),
            (error, _) => Failure::failed(format!("{}: {error}", path.display())),
        })
    }
}

/// Which rows are read.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Only this host; `*` stands for any run of characters.
    #[arg(long, value_name = "HOST")]
    host: Option<Pattern>,
    /// Only this decision.
    #[arg(long, value_parser = ["allowed", "denied", "failed", "aborted", "spliced"])]
    decision: Option<String>,
    /// Only this model (answered or asked for); `*` stands for any run of characters.
    #[arg(long, value_name = "MODEL")]
    model: Option<Pattern>,
    /// Only this provider of model calls.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only this process, by name or id.
    #[arg(long, value_name = "NAME|PID")]
    process: Option<String>,
    /// Only this status: 404, 4xx or 400-499.
    #[arg(long, value_name = "STATUS")]
    status: Option<StatusRange>,
    /// Only what began since then: 90s, 10m, 24h, 7d ago, or a UTC date or time (2026-11-22T08:00:00Z).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only what began before then; as --since.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only this session: its name, its id or the start of its id.
    #[arg(long, value_name = "SESSION", value_parser = session)]
    session: Option<String>,
}

impl Filters {
    /// Whether something was typed that leaves rows out.
    pub fn any(&self) -> bool {
        let Self { host, decision, model, provider, process, status, since, until, session } = self;
        let words = [decision, provider, process, since, until, session];
        host.is_some() || model.is_some() || status.is_some() || words.iter().any(|word| word.is_some())
    }

    /// What was typed, with moments made out.
    pub fn meant(&self, reader: &Reader) -> Result<Filter, Failure> {
        Ok(Filter {
            host: self.host.clone(),
            decision: self.decision.clone(),
            model: self.model.clone(),
            provider: self.provider.clone(),
            process: self.process.clone(),
            status: self.status,
            since: moment(reader, "--since", self.since.as_deref())?,
            until: moment(reader, "--until", self.until.as_deref())?,
            session: self.session.clone(),
        })
    }
}

/// A session as it is typed. An empty one would be the start of every session's id.
pub fn session(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("a session has a name or an id") } else { Ok(text.to_owned()) }
}

fn moment(reader: &Reader, option: &str, text: Option<&str>) -> Result<Option<i64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let moment = reader.moment(text).map_err(unreadable)?;
    let unclear =
        || Failure::usage(format!("{option} {text:?} is neither 90s, 10m, 24h, 7d nor a date or time"));
    moment.ok_or_else(unclear).map(Some)
}

/// A failure to read, for the person at the terminal.
pub fn unreadable(error: QueryError) -> Failure {
    match error {
        QueryError::NoSuchFilter(_) => Failure::usage(error.to_string()),
        error => Failure::failed(format!("reading the ledger: {error}")),
    }
}

/// A document for programs, which a person may look at too.
pub fn document(value: &impl Serialize) -> String {
    printable_json(serde_json::to_string_pretty(value).expect("texts and numbers have a JSON form"))
}

/// Bytes of rows that are written to stdout at once.
pub const BUFFER: usize = 64 << 10;

/// Writes one line to stdout; false when nobody reads any more.
pub fn line(out: &mut impl Write, text: impl AsRef<[u8]>) -> Result<bool, Failure> {
    said(out.write_all(text.as_ref()).and_then(|()| out.write_all(b"\n")))
}

/// Whether writing went well; a reader that went away is no failure.
pub fn said(result: io::Result<()>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed(format!("writing to stdout: {error}"))),
    }
}
