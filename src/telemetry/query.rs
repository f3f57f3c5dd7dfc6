//! Reads a ledger: rows with filters, from a cursor, in the order in which they were committed; and sums over them.
//!
//! A [`Reader`] opens the file read-only and works while a proxy writes to it, in this process or another.
//!
//! The order is that of commits and not that of ids: an exchange gets its id when it begins and its row when it ends,
//! so only the commit order is one that new rows always extend. A [`Position`] in it loses nothing.

mod filter;
mod record;
mod sums;

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params_from_iter};

use super::schema;

pub use super::sums::Totals;
pub use filter::{Filter, Pattern, StatusRange};
pub use record::{Field, Record};
pub(super) use sums::{Addend, Sums, name};
pub use sums::{Group, LearnRow, RequestRow, SessionTotals, UsageReport, UsageRow, UsageSum};

/// What rows are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `net_events`.
    Events,
    /// `model_calls`, each with the exchange's host, path, status and process, and its tools.
    Calls,
    /// `tool_calls` and `tool_results`, in the order in which they passed.
    Tools,
    /// `upstream_errors`, each with the exchange's host, method and path.
    Errors,
    /// `dns_events`.
    Dns,
}

/// A place between two rows of one source. Its text form is `17` or `17.4`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Commit, or the row's id where ids are in the order of commits.
    major: i64,
    /// Exchange within the commit.
    minor: i64,
}

impl Position {
    /// The place before the row that ends here.
    fn before(self) -> Self {
        match self.minor {
            0 => Self { major: self.major - 1, minor: i64::MAX },
            minor => Self { minor: minor - 1, ..self },
        }
    }

    /// This place, or the start where the ledger ends before it: then it is another file than the one that the place
    /// was in, or nothing is left that was there.
    pub fn within(self, end: Self) -> Self {
        if end < self { Self::default() } else { self }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self { major: major.parse()?, minor: minor.parse()? })
    }
}

/// Which part of a source's rows is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Only rows after this place.
    pub after: Position,
    /// Only rows up to this place.
    pub until: Option<Position>,
    /// Only so many, the newest.
    pub newest: Option<usize>,
    /// Only so many, the first.
    pub limit: Option<usize>,
    /// With what is kept of bodies: `request_body`, `response_body`, and whether each is cut.
    pub bodies: bool,
}

/// Why a ledger cannot be read.
#[derive(Debug)]
pub enum QueryError {
    /// There is no file.
    Missing,
    /// The path leads to a directory.
    Directory,
    /// The file holds nothing, or nothing yet: a proxy that starts makes it so.
    Empty,
    /// The file is something else.
    Foreign,
    /// A newer Tollgate wrote it; the number is its schema version.
    Newer(i64),
    /// This source has no such column to filter by.
    NoSuchFilter(&'static str),
    /// SQLite's word.
    Database(rusqlite::Error),
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no ledger here"),
            Self::Directory => f.write_str("it is a directory, not a ledger"),
            Self::Empty => f.write_str("it is empty, so it is no ledger of tollgate"),
            Self::Foreign => f.write_str("it is no ledger of tollgate"),
            Self::Newer(version) => write!(f, "schema version {version} was written by a newer tollgate"),
            Self::NoSuchFilter(name) => write!(f, "these rows have no {name} to filter by"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for QueryError {}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign,
            _ => Self::Database(error),
        }
    }
}

/// A result of reading.
pub type Result<T> = std::result::Result<T, QueryError>;

/// A ledger opened for reading.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    /// The schema's version; a file of an older one is read as it is.
    version: i64,
}

/// From now on SQLite puts what a large sort does not hold in memory into this directory, and not into the system's
/// temporary one, which a confined process cannot write. For the whole process, so before any thread uses a database.
pub fn keep_temporary_files(directory: &Path) -> Result<()> {
    let directory = directory.to_string_lossy();
    Ok(Connection::open_in_memory()?.pragma_update(None, "temp_store_directory", directory.as_ref())?)
}

impl Reader {
    /// Opens the file, read-only.
    pub fn open(path: &Path) -> Result<Self> {
        match path.metadata() {
            Err(_) => return Err(QueryError::Missing),
            Ok(found) if found.is_dir() => return Err(QueryError::Directory),
            Ok(_) => {}
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cache_size = -8192;")?;
        let version = version(&connection)?;
        if version > schema::VERSION {
            Err(QueryError::Newer(version))
        } else {
            Ok(Self { connection, version })
        }
    }

    /// Hands each row to `each` until that says false, and returns the place after the last one handed over.
    ///
    /// Rows are streamed: none is held back.
    pub fn rows(
        &self,
        source: Source,
        filter: &Filter,
        range: Range,
        mut each: impl FnMut(&Record) -> bool,
    ) -> Result<Position> {
        if range.newest == Some(0) {
            return Ok(range.after.max(self.end(source)?));
        }
        self.at_one_moment(|reader| reader.rows_now(source, filter, range, &mut each))
    }

    /// Everything that `read` reads is of one moment, whatever is written meanwhile.
    pub fn at_one_moment<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let within = !self.connection.is_autocommit();
        let _snapshot = if within { None } else { Some(self.connection.unchecked_transaction()?) };
        read(self)
    }

    fn rows_now(
        &self,
        source: Source,
        filter: &Filter,
        range: Range,
        each: &mut impl FnMut(&Record) -> bool,
    ) -> Result<Position> {
        let (condition, values) = filter.condition(source, self.version)?;
        let since = self.before_since(source, filter)?.map_or(range.after, |place| place.max(range.after));
        let within = Range { after: since, ..range };
        let after = self.before_newest(source, &condition, &values, within)?.unwrap_or(since);
        let limit = range.limit.map_or(-1, |limit| limit as i64);
        let sql = format!(
            "{} WHERE {} AND {condition} ORDER BY {} LIMIT ?3",
            source.select(self.version, range.bodies),
            source.after(),
            source.order()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut record = Record::of(&statement);
        let mut rows = statement.query(params_from_iter(fixed(after, limit).chain(values)))?;
        let mut at = range.after;
        while let Some(row) = rows.next()? {
            let place = Position { major: row.get(0)?, minor: row.get(1)? };
            if range.until.is_some_and(|until| place > until) {
                break;
            }
            at = place;
            record.read(row)?;
            if !each(&record) {
                break;
            }
        }
        Ok(at)
    }

    /// The place before the first row that can have begun when it is asked for, or later; none where all can have.
    fn before_since(&self, source: Source, filter: &Filter) -> Result<Option<Position>> {
        let Some(since) = filter.since else { return Ok(None) };
        // With its sign an id is not looked for in the order of ids, but by the index of times.
        let (oldest, first) = match source {
            Source::Events if self.version >= schema::SUMS => (
                "SELECT latest >= ? FROM commits ORDER BY commit_id LIMIT 1",
                "SELECT min(+commit_id) FROM commits WHERE latest >= ?",
            ),
            Source::Calls | Source::Tools => (
                "SELECT started_at >= ? FROM model_calls ORDER BY call_id LIMIT 1",
                "SELECT min(+call_id) FROM model_calls WHERE started_at >= ?",
            ),
            _ => return Ok(None),
        };
        let ask = |sql| self.connection.prepare_cached(sql)?.query_row([since], |row| row.get(0)).optional();
        if ask(oldest)? == Some(Some(1)) {
            return Ok(None);
        }
        let first: Option<i64> = ask(first)?.flatten();
        Ok(Some(Position { major: first.unwrap_or(i64::MAX), minor: 0 }.before()))
    }

    /// The place before the newest rows; none where there are not so many.
    fn before_newest(
        &self,
        source: Source,
        condition: &str,
        values: &[Value],
        range: Range,
    ) -> Result<Option<Position>> {
        let Some(last) = range.newest.and_then(|newest| newest.checked_sub(1)) else { return Ok(None) };
        let (major, minor) = (source.major(), source.minor());
        let rows = format!("FROM {} WHERE {} AND {condition}", source.tables(), source.after());
        // In the order of the major number alone rows are found from the last; only what is left is sorted.
        let sql = format!(
            "SELECT {major}, {minor} {rows} AND {major} >= \
             (SELECT {major} {rows} ORDER BY {major} DESC LIMIT 1 OFFSET ?3) ORDER BY {} LIMIT 1 OFFSET ?3",
            source.newest_first()
        );
        let values = fixed(range.after, last as i64).chain(values.iter().cloned());
        let first = self.connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| {
            Ok(Position { major: row.get(0)?, minor: row.get(1)? }.before())
        });
        Ok(first.optional()?)
    }

    /// The place after everything that is there now.
    pub fn end(&self, source: Source) -> Result<Position> {
        // One table each, so that SQLite looks at its last row only; tools come with their call.
        let sql = match source {
            Source::Events => "SELECT max(commit_id) FROM commits",
            Source::Calls | Source::Tools => "SELECT max(call_id) FROM model_calls",
            Source::Errors => "SELECT max(error_id) FROM upstream_errors",
            Source::Dns => "SELECT max(dns_id) FROM dns_events",
        };
        let major: Option<i64> = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(Position { major: major.unwrap_or(0), minor: i64::MAX })
    }

    /// How far the export of this name has come.
    pub fn cursor(&self, name: &str, source: Source) -> Result<Position> {
        let sql = "SELECT position FROM cursors WHERE name = ? AND source = ?";
        let at: Option<String> =
            self.connection.query_row(sql, (name, source.table()), |row| row.get(0)).optional()?;
        Ok(at.and_then(|at| at.parse().ok()).unwrap_or_default())
    }

    /// Unix microseconds of a moment: a duration before now (`90s`, `10m`, `24h`, `7d`), or a date or time in UTC
    /// as SQLite reads it (`2026-11-22`, `2026-11-22T02:05:00Z`). `None` when it is neither.
    pub fn moment(&self, text: &str) -> Result<Option<i64>> {
        let (sql, text) = match text.split_at_checked(text.len().saturating_sub(1)) {
            Some((number, unit)) if number.parse::<u32>().is_ok() => {
                let seconds = match unit {
                    "s" => 1,
                    "m" => 60,
                    "h" => 3600,
                    "d" => 86_400,
                    _ => return Ok(None),
                };
                let before = number.parse::<i64>().unwrap_or(0) * seconds;
                ("SELECT unixepoch('now', ?)", format!("-{before} seconds"))
            }
            // SQLite takes a time alone for one in the year 2000, and a number for a Julian day.
            _ if text != "now" && !is_dated(text) => return Ok(None),
            _ => ("SELECT unixepoch(?)", text.to_owned()),
        };
        let seconds: Option<i64> = self.connection.query_row(sql, [text], |row| row.get(0))?;
        Ok(seconds.map(|seconds| seconds.saturating_mul(1_000_000)))
    }

    /// Copies the ledger, with what its log holds, to a new private file: one consistent moment of it.
    pub fn backup(&self, to: &Path) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        let copy = || -> rusqlite::Result<()> {
            let mut target = Connection::open(to)?;
            let backup = rusqlite::backup::Backup::new(&self.connection, &mut target)?;
            // All in one step: a writer would make a stepwise copy begin again and again.
            while backup.step(-1)? != rusqlite::backup::StepResult::Done {
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(backup);
            target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
        };
        copy().map_err(std::io::Error::other)
    }
}

/// The version of a ledger's schema; other files are told by their tables.
fn version(connection: &Connection) -> Result<i64> {
    let sql = "SELECT count(*) = 0, count(*) FILTER (WHERE name = 'net_events') = 1 FROM sqlite_schema";
    match connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))? {
        (true, _) => Err(QueryError::Empty),
        (false, true) => Ok(schema::version(connection)?),
        (false, false) => Err(QueryError::Foreign),
    }
}

/// Which file a path leads to, so that it can be told when another has taken its place.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// The parameters before those of filters.
fn fixed(place: Position, count: i64) -> impl Iterator<Item = Value> {
    [place.major, place.minor, count].map(Value::Integer).into_iter()
}

/// Whether a moment begins with a date.
fn is_dated(text: &str) -> bool {
    let date = text.get(..10).unwrap_or_default().as_bytes();
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    date.len() == 10 && date.iter().zip(b"0000-00-00").all(fits)
}

/// Columns of `net_events`, but for bodies.
const EVENT: &str = "k.commit_id, e.exchange_id, e.exchange_id, e.session_id, e.connection_id, e.started_at, e.listener, \
    e.client, e.process_name, e.process_id, e.user_id, e.scheme, e.protocol, e.host, e.port, e.dialed, e.method, \
    e.path, e.query, e.decision, e.rule, e.rule_layer, e.reason, e.fault_phase, e.fault, e.status, e.request_bytes, \
    e.response_bytes, e.response_decoded, e.request_headers, e.response_headers, e.tap, e.dns_us, e.connect_us, \
    e.tls_us, e.first_byte_us, e.total_us, e.websocket";

/// Bodies, as far as they are kept.
const BODIES: &str = "coalesce(b.request, e.request_preview) AS request_body, e.request_cut, \
    coalesce(b.response, e.response_preview) AS response_body, e.response_cut";

impl Source {
    /// The table that rows mainly come from.
    pub fn table(self) -> &'static str {
        match self {
            Self::Events => "net_events",
            Self::Calls => "model_calls",
            Self::Tools => "tool_calls",
            Self::Errors => "upstream_errors",
            Self::Dns => "dns_events",
        }
    }

    /// Tables with the aliases that filters use: `e` for `net_events`, `c` for `model_calls`, `k` for `commits`, `u` for
    /// `upstream_errors`, `d` for `dns_events`, `t` for tools.
    pub(super) fn tables(self) -> &'static str {
        match self {
            Self::Events => {
                "commits k CROSS JOIN json_each(k.net_events) r \
                 CROSS JOIN net_events e ON e.exchange_id BETWEEN r.value ->> 0 AND r.value ->> 1"
            }
            Self::Calls => "model_calls c LEFT JOIN net_events e USING (exchange_id)",
            Self::Tools => {
                "(SELECT 'result' AS kind, call_id, position, position AS place, tool_call_id, NULL AS name, \
                  is_error, preview AS text FROM tool_results UNION ALL \
                  SELECT 'call', call_id, position, position + 1000000000, tool_call_id, name, NULL, arguments \
                  FROM tool_calls) t \
                 JOIN model_calls c USING (call_id) LEFT JOIN net_events e ON e.exchange_id = c.exchange_id"
            }
            Self::Errors => "upstream_errors u LEFT JOIN net_events e USING (exchange_id)",
            Self::Dns => "dns_events d",
        }
    }

    /// What is read of a file of this version.
    fn select(self, version: i64, bodies: bool) -> String {
        let original = if version >= schema::ORIGINAL { ", e.original" } else { "" };
        let columns = match self {
            Self::Events if bodies && version >= schema::BODIES => {
                return format!(
                    "SELECT {EVENT}{original}, {BODIES} FROM {} LEFT JOIN bodies b USING (exchange_id)",
                    self.tables()
                );
            }
            Self::Events => return format!("SELECT {EVENT}{original} FROM {}", self.tables()),
            Self::Calls => {
                "c.call_id, 0, c.*, e.host, e.method, e.path, e.status, e.decision, e.process_name, e.process_id, \
                 e.request_headers, \
                 (SELECT json_group_array(json_object('position', position, 'tool_call_id', tool_call_id, \
                  'name', name, 'arguments', arguments)) FROM tool_calls t WHERE t.call_id = c.call_id) AS tool_calls, \
                 (SELECT json_group_array(json_object('position', position, 'tool_call_id', tool_call_id, \
                  'is_error', is_error, 'preview', preview)) FROM tool_results t WHERE t.call_id = c.call_id) \
                 AS tool_results"
            }
            Self::Tools => {
                "t.call_id, t.place, t.kind, t.call_id, t.position, t.tool_call_id, t.name, t.is_error, t.text, \
                 c.exchange_id, c.session_id, c.started_at, c.provider, c.model, e.host"
            }
            Self::Errors => "u.error_id, 0, u.*, e.session_id, e.host, e.method, e.path, e.process_name",
            Self::Dns => "d.dns_id, 0, d.*",
        };
        format!("SELECT {columns} FROM {}", self.tables())
    }

    fn major(self) -> &'static str {
        match self {
            Self::Events => "k.commit_id",
            Self::Calls => "c.call_id",
            Self::Tools => "t.call_id",
            Self::Errors => "u.error_id",
            Self::Dns => "d.dns_id",
        }
    }

    /// What tells rows of the same major number apart.
    fn minor(self) -> &'static str {
        match self {
            Self::Events => "e.exchange_id",
            Self::Tools => "t.place",
            Self::Calls | Self::Errors | Self::Dns => "0",
        }
    }

    fn newest_first(self) -> String {
        match self.minor() {
            "0" => format!("{} DESC", self.major()),
            minor => format!("{} DESC, {minor} DESC", self.major()),
        }
    }

    /// Rows after a place: `?1` is its major number, `?2` its minor.
    fn after(self) -> &'static str {
        match self {
            Self::Events => "k.commit_id >= ?1 AND (k.commit_id > ?1 OR e.exchange_id > ?2)",
            Self::Calls => "c.call_id > ?1 AND ?2 = ?2",
            // Calls behind the last that has tools are not looked at one by one.
            Self::Tools => {
                "t.call_id >= ?1 AND (t.call_id > ?1 OR t.place > ?2) AND c.call_id <= \
                 max((SELECT coalesce(max(call_id), 0) FROM tool_calls), \
                     (SELECT coalesce(max(call_id), 0) FROM tool_results))"
            }
            Self::Errors => "u.error_id > ?1 AND ?2 = ?2",
            Self::Dns => "d.dns_id > ?1 AND ?2 = ?2",
        }
    }

    /// Within a commit the ranges of ids are ascending, so the join's own order is the right one.
    fn order(self) -> &'static str {
        match self {
            Self::Tools => "t.call_id, t.place",
            _ => self.major(),
        }
    }
}

#[cfg(test)]
mod tests;
