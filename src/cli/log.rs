//! `tollgate log`: the rows of a ledger, for people or as JSON lines; and its backup.

use std::borrow::Cow;
use std::io::{BufWriter, Write, stdout};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Failure;
use super::reading::{BUFFER, Filters, Where, line, said, unreadable};
use super::table::{Column, Table, bytes, count, duration, left, right, time, usd};
use crate::telemetry::query::{Filter, Position, QueryError, Range, Reader, Record, Source, identity};
use crate::telemetry::text::printable;

/// Show what the ledger holds: requests, model calls, tools, errors, look-ups.
///
/// Rows come in the order in which they were written, oldest first; times are UTC. It works while a proxy writes to
/// the same file. Control characters in what guests and origins sent are shown escaped.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tollgate log                                    every request
  tollgate log -n 20 --follow                     the last 20, then new ones as they end
  tollgate log --decision denied --since 1h       what was refused in the last hour
  tollgate log calls --model 'claude-*' --json    model calls as JSON, one object a line
  tollgate log --bodies -n 5                      the last 5 with what was sent and answered
  tollgate log backup copy.db                     a consistent copy, also while the proxy runs

JSON: one object a line, with the columns of the table as keys; absent values are null. Times are Unix microseconds,
durations microseconds, sizes bytes, money 1e-12 USD. `events` are rows of net_events; `calls` rows of model_calls with
host, method, path, status, decision and process of their exchange, and the lists tool_calls and tool_results; `tools`
are tool calls and tool results in the order in which they passed; `errors` rows of upstream_errors; `dns` of dns_events. With --bodies, events
have request_body and response_body (text, secrets hashed; null where nothing is kept), and request_cut and response_cut:
0 where the body is whole.")]
pub struct Args {
    /// What to show, or `backup`.
    #[arg(value_enum, default_value_t = What::Events)]
    what: What,
    /// With `backup`: the file to write, which must not exist yet.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Go on with new rows as they are written; where there is no ledger yet, wait for one.
    #[arg(long, short)]
    follow: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Only the newest N rows.
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<usize>,
    /// With bodies, as far as the ledger keeps them (`[telemetry] bodies`); for `events`.
    #[arg(long)]
    bodies: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    place: Where,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Requests, and connections that ended before one.
    Events,
    /// Model calls.
    Calls,
    /// Tool calls and tool results.
    Tools,
    /// Errors of origins, and failures to reach them.
    Errors,
    /// Name look-ups of guests.
    Dns,
    /// Copy the ledger to FILE.
    Backup,
}

/// How long `--follow` waits before it looks again.
const POLL: Duration = Duration::from_millis(200);

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let view = match (args.what, &args.file) {
        (What::Backup, Some(file)) => return backup(args, file),
        (What::Backup, None) => return Err(Failure::usage("log backup needs the file to write")),
        (_, Some(_)) => return Err(Failure::usage("a FILE is for `log backup` only")),
        (What::Events, None) => &EVENTS,
        (What::Calls, None) => &CALLS,
        (What::Tools, None) => &TOOLS,
        (What::Errors, None) => &ERRORS,
        (What::Dns, None) => &DNS,
    };
    if args.bodies && view.source != Source::Events {
        return Err(Failure::usage("--bodies is for `log events`"));
    }
    let Some(reader) = open(args)? else { return Ok(()) };
    let filter = args.filters.meant(&reader)?;
    filter.check(view.source).map_err(unreadable)?;
    let out = BufWriter::with_capacity(BUFFER, stdout().lock());
    let mut printer = Printer { out, view, table: (!args.json).then(|| view.table()) };
    if !printer.head()? {
        return Ok(());
    }
    let range = Range { newest: args.limit, bodies: args.bodies, ..Range::default() };
    match printer.rows(&reader, &filter, range)? {
        Some(after) if args.follow => {
            follow(args, &mut printer, &filter, Range { after, newest: None, ..range })
        }
        _ => Ok(()),
    }
}

/// Opens the ledger; a follower waits until there is one, or nobody reads.
fn open(args: &Args) -> Result<Option<Reader>, Failure> {
    let path = args.place.path()?;
    let mut told = false;
    while args.follow && is_yet_to_come(&path) {
        if !std::mem::replace(&mut told, true) {
            eprintln!("tollgate: no ledger at {} yet: waiting for one", path.display());
        }
        if !read_for(POLL)? {
            return Ok(None);
        }
    }
    args.place.open().map(Some)
}

/// Whether a proxy that starts may make a ledger there, or is about to have made one.
fn is_yet_to_come(path: &Path) -> bool {
    match Reader::open(path) {
        Err(QueryError::Missing) => path.try_exists().is_ok(),
        Err(QueryError::Empty) => true,
        _ => false,
    }
}

/// Goes on until nobody reads. The file is opened anew each time: the proxy may have set it aside or made it again, and
/// then everything in the new one is new.
fn follow(
    args: &Args,
    printer: &mut Printer<impl Write>,
    filter: &Filter,
    mut range: Range,
) -> Result<(), Failure> {
    let path = args.place.path()?;
    let mut file = identity(&path);
    while read_for(POLL)? {
        let (now, Ok(reader)) = (identity(&path), Reader::open(&path)) else { continue };
        if now != file {
            (file, range.after) = (now, Position::default());
        }
        range.after = range.after.within(reader.end(printer.view.source).map_err(unreadable)?);
        match printer.rows(&reader, filter, range)? {
            Some(after) => range.after = after,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Waits so long; false as soon as what stdout leads to has no reader any more.
fn read_for(wait: Duration) -> Result<bool, Failure> {
    let out = stdout();
    let mut ends = [PollFd::new(out.as_fd(), PollFlags::empty())];
    match poll(&mut ends, PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)) {
        Ok(0) | Err(Errno::EINTR) => Ok(true),
        Ok(_) => Ok(false),
        Err(error) => Err(Failure::failed(format!("waiting: {error}"))),
    }
}

/// A copy is of everything, so that nobody takes it for less.
fn backup(args: &Args, file: &Path) -> Result<(), Failure> {
    if args.follow || args.json || args.bodies || args.limit.is_some() || args.filters.any() {
        return Err(Failure::usage(
            "log backup copies the whole ledger: it takes no filters, -f, -n, --json or --bodies",
        ));
    }
    let reader = args.place.open()?;
    reader.backup(file).map_err(|error| Failure::failed(format!("{}: {error}", file.display())))
}

struct Printer<W: Write> {
    out: W,
    view: &'static View,
    /// None for JSON.
    table: Option<Table>,
}

impl<W: Write> Printer<W> {
    fn head(&mut self) -> Result<bool, Failure> {
        self.table.as_ref().map_or(Ok(true), |table| line(&mut self.out, table.head()))
    }

    /// Prints rows; where to go on, or nothing when nobody reads any more.
    fn rows(&mut self, reader: &Reader, filter: &Filter, range: Range) -> Result<Option<Position>, Failure> {
        let (mut json, mut outcome) = (Vec::new(), Ok(true));
        let at = reader.rows(self.view.source, filter, range, |record| {
            outcome = match &self.table {
                None => {
                    json.clear();
                    record.write_json(&mut json);
                    line(&mut self.out, &json)
                }
                Some(table) => line(&mut self.out, table.row(&(self.view.cells)(record)))
                    .and_then(|goes_on| Ok(goes_on && bodies(&mut self.out, record)?)),
            };
            matches!(outcome, Ok(true))
        });
        let at = at.map_err(unreadable)?;
        Ok((outcome? && said(self.out.flush())?).then_some(at))
    }
}

/// The bodies of a request line by line, those that came back after those that went out.
fn bodies(out: &mut impl Write, record: &Record) -> Result<bool, Failure> {
    for (column, cut, mark) in [("request_body", "request_cut", '>'), ("response_body", "response_cut", '<')]
    {
        let Some(body) = record.bytes(column) else { continue };
        let text = String::from_utf8_lossy(body);
        let end = (record.int(cut) == Some(1)).then_some("[cut]");
        for text in text.lines().chain(end) {
            if !line(out, format!("  {mark} {}", printable(text)))? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// How rows of one source look in a table.
pub(super) struct View {
    pub(super) source: Source,
    pub(super) columns: &'static [Column],
    pub(super) cells: for<'r> fn(&'r Record) -> Vec<Cow<'r, str>>,
}

impl View {
    fn table(&self) -> Table {
        Table::for_stdout(self.columns)
    }
}

/// The first of the columns that says something.
pub(super) fn first<'r>(record: &'r Record, columns: &[&str]) -> Cow<'r, str> {
    columns.iter().map(|column| record.text(column)).find(|text| !text.is_empty()).unwrap_or("-").into()
}

fn number<'r>(record: &Record, column: &str) -> Cow<'r, str> {
    record.int(column).map_or(Cow::Borrowed("-"), |number| Cow::Owned(number.to_string()))
}

pub(super) const EVENTS: View = View {
    source: Source::Events,
    columns: &[
        left("TIME (UTC)", 14),
        left("DECISION", 8),
        right("STATUS", 6),
        left("METHOD", 7),
        right("UP", 7).wide(),
        right("DOWN", 7).wide(),
        right("TOOK", 8),
        left("PROCESS", 12).wide(),
        left("WHAT", 0),
    ],
    cells: |record| {
        vec![
            time(record.int("started_at")),
            record.text("decision").into(),
            number(record, "status"),
            first(record, &["method"]),
            bytes(record.int("request_bytes")),
            bytes(record.int("response_bytes")),
            duration(record.int("total_us")),
            first(record, &["process_name"]),
            what(record).into(),
        ]
    },
};

/// Where the request went and, unless all was well, what stood in its way.
fn what(record: &Record) -> String {
    std::iter::once(place(record).as_str()).chain(why(record)).collect::<Vec<_>>().join(" · ")
}

/// Where the request went.
pub(super) fn place(record: &Record) -> String {
    let port = match (record.int("port"), record.text("scheme")) {
        (None, _) | (Some(443), "https" | "wss" | "tls") | (Some(80), "http" | "ws") => String::new(),
        (Some(port), _) => format!(":{port}"),
    };
    let host = first(record, &["host"]);
    let host = if host.contains(':') { format!("[{host}]").into() } else { host };
    let space = if record.text("path") == "*" { " " } else { "" };
    format!("{host}{port}{space}{}", record.text("path"))
}

/// What decided against a request or broke it. A rule that let it pass stood in nobody's way.
pub(super) fn why(record: &Record) -> Vec<&str> {
    let columns: &[_] = match record.text("decision") {
        "allowed" => &[],
        "failed" | "aborted" => &["fault_phase", "fault"],
        _ => &["rule", "reason", "fault_phase", "fault"],
    };
    columns.iter().map(|column| record.text(column)).filter(|why| !why.is_empty()).collect()
}

pub(super) const CALLS: View = View {
    source: Source::Calls,
    columns: &[
        left("TIME (UTC)", 14),
        left("PROVIDER", 9).wide(),
        left("MODEL", 22).roomy(26),
        right("INPUT", 9),
        right("CACHED", 10).wide(),
        right("OUTPUT", 8),
        right("COST", 9),
        right("FIRST", 8).wide(),
        right("TOOK", 8).wide(),
        left("ENDED", 0),
    ],
    cells: |record| {
        vec![
            time(record.int("started_at")),
            record.text("provider").into(),
            first(record, &["model", "model_requested"]),
            count(record.int("input_tokens")),
            count(record.int("cache_read_tokens")),
            count(record.int("output_tokens")),
            usd(record.int("cost_pico_usd")),
            duration(record.int("first_token_us")),
            duration(record.int("total_us")),
            ended(record).into(),
        ]
    },
};

fn ended(record: &Record) -> String {
    let partial = if record.text("usage_state") == "partial" { " (cut off)" } else { "" };
    match (record.text("error_type"), record.text("error_message")) {
        ("", _) => format!("{}{partial}", first(record, &["stop_reason"])),
        (kind, "") => kind.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    }
}

const TOOLS: View = View {
    source: Source::Tools,
    columns: &[
        left("TIME (UTC)", 14),
        left("MODEL", 22).roomy(26),
        left("KIND", 6),
        left("TOOL", 16),
        left("ID", 30).wide(),
        left("TEXT", 0),
    ],
    cells: |record| {
        let failed = record.int("is_error") == Some(1);
        vec![
            time(record.int("started_at")),
            first(record, &["model"]),
            if failed { "error".into() } else { record.text("kind").into() },
            first(record, &["name"]),
            first(record, &["tool_call_id"]),
            record.text("text").into(),
        ]
    },
};

const ERRORS: View = View {
    source: Source::Errors,
    columns: &[
        left("TIME (UTC)", 14),
        left("HOST", 22),
        left("PHASE", 10).wide(),
        right("STATUS", 6),
        left("TYPE", 20),
        left("MESSAGE", 0),
    ],
    cells: |record| {
        vec![
            time(record.int("at")),
            first(record, &["host"]),
            record.text("phase").into(),
            number(record, "status"),
            first(record, &["type", "code"]),
            record.text("message").into(),
        ]
    },
};

const DNS: View = View {
    source: Source::Dns,
    columns: &[
        left("TIME (UTC)", 14),
        left("DECISION", 8),
        left("TYPE", 5),
        left("RCODE", 9).wide(),
        left("PROCESS", 12).wide(),
        left("NAME", 30),
        left("ANSWERS", 0),
    ],
    cells: |record| {
        vec![
            time(record.int("at")),
            record.text("decision").into(),
            record.text("type").into(),
            first(record, &["rcode"]),
            first(record, &["process_name"]),
            record.text("name").into(),
            record.text("answers").into(),
        ]
    },
};
