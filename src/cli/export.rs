//! `tollgate export`: the ledger in other people's formats.

use std::io::{BufWriter, Write, stdout};
use std::thread;
use std::time::Duration;

use super::Failure;
use super::reading::{BUFFER, Filters, Where, line, said, unreadable};
use super::table::counted;
use crate::config::{Upstream, units};
use crate::service;
use crate::telemetry::export::otlp::Names;
use crate::telemetry::export::{Cursors, Endpoint, har};
use crate::telemetry::query::{Filter, Position, Range, Reader, Record, Source};

/// Export the ledger: HAR for network panels, JSON lines, OTLP for collectors.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tollgate export har --host api.example.com > requests.har
  tollgate export jsonl --cursor nightly >> archive.jsonl     only what is new since the last time
  tollgate export otlp --endpoint http://127.0.0.1:4318       what is there and was not sent yet, then ends
  tollgate export otlp --endpoint http://127.0.0.1:4318 --follow 5s

jsonl: one object a line, {\"table\": \"net_events\", …the columns…}, for net_events, model_calls (with tools),
upstream_errors and dns_events. otlp: spans for requests, spans with gen_ai attributes for model calls, and histograms
of durations and tokens, by OTLP/HTTP JSON. How far it came is kept in the ledger under the name of the cursor, so an
absent collector loses nothing; filters are for har and jsonl.")]
pub struct Args {
    /// The format.
    #[arg(value_enum)]
    format: Format,
    /// Go on after what was exported under this name before, and remember how far this came.
    #[arg(long, value_name = "NAME")]
    cursor: Option<String>,
    /// otlp: the collector's URL.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// otlp: a header field for the collector, as NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// otlp: go on for ever, looking for new rows so often (5s); a collector that is away is tried again.
    #[arg(long, value_name = "DURATION")]
    follow: Option<String>,
    /// otlp: names of attributes: those of semantic conventions 1.37 to 1.41 (default), or the latest with cached and reasoning tokens.
    #[arg(long, value_enum)]
    semconv: Option<Semconv>,
    /// har and jsonl: with bodies, as far as the ledger keeps them.
    #[arg(long)]
    bodies: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    place: Where,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// HTTP Archive 1.2: one document on stdout.
    Har,
    /// One JSON object a line on stdout.
    Jsonl,
    /// OpenTelemetry over HTTP, JSON.
    Otlp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Semconv {
    Released,
    Latest,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    if args.format == Format::Otlp {
        return otlp(args);
    }
    if args.endpoint.is_some() || args.follow.is_some() || args.semconv.is_some() || !args.header.is_empty() {
        return Err(Failure::usage("--endpoint, --header, --follow and --semconv are for `export otlp`"));
    }
    let reader = args.place.open()?;
    let filter = args.filters.meant(&reader)?;
    match args.format {
        Format::Har => har(args, &reader, &filter),
        _ => jsonl(args, &reader, &filter),
    }
}

fn har(args: &Args, reader: &Reader, filter: &Filter) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(BUFFER, stdout().lock());
    if !line(&mut out, har::opening())? {
        return Ok(());
    }
    let (mut outcome, mut first) = (Ok(true), true);
    let at = rows(args, reader, filter, Source::Events, |record| {
        let Some(entry) = har::entry(record) else { return true };
        let separator = if std::mem::take(&mut first) { "" } else { "," };
        outcome = said(out.write_all(separator.as_bytes()))
            .and_then(|goes_on| Ok(goes_on && line(&mut out, entry)?));
        matches!(outcome, Ok(true))
    })?;
    if outcome? && line(&mut out, har::CLOSING)? && said(out.flush())? {
        remember(args, Source::Events, at)?;
    }
    Ok(())
}

fn jsonl(args: &Args, reader: &Reader, filter: &Filter) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(BUFFER, stdout().lock());
    for source in [Source::Events, Source::Calls, Source::Errors, Source::Dns] {
        if filter.check(source).is_err() {
            continue;
        }
        let opening = format!("{{\"table\":\"{}\",", source.table());
        let (mut row, mut outcome) = (Vec::new(), Ok(true));
        let at = rows(args, reader, filter, source, |record| {
            row.clear();
            row.extend_from_slice(opening.as_bytes());
            record.write_members(&mut row);
            row.push(b'}');
            outcome = line(&mut out, &row);
            matches!(outcome, Ok(true))
        })?;
        if !outcome? || !said(out.flush())? {
            return Ok(());
        }
        remember(args, source, at)?;
    }
    Ok(())
}

fn rows(
    args: &Args,
    reader: &Reader,
    filter: &Filter,
    source: Source,
    each: impl FnMut(&Record) -> bool,
) -> Result<Position, Failure> {
    let cursor =
        args.cursor.as_deref().map(|name| reader.cursor(name, source)).transpose().map_err(unreadable)?;
    let range = Range { after: cursor.unwrap_or_default(), bodies: args.bodies, ..Range::default() };
    reader.rows(source, filter, range, each).map_err(unreadable)
}

fn remember(args: &Args, source: Source, at: Position) -> Result<(), Failure> {
    let Some(name) = &args.cursor else { return Ok(()) };
    let saved =
        Cursors::open(&args.place.path()?).and_then(|mut cursors| cursors.save(name, &[(source, at)]));
    saved.map_err(|error| Failure::failed(error.to_string()))
}

fn otlp(args: &Args) -> Result<(), Failure> {
    if args.filters.any() || args.bodies {
        return Err(Failure::usage("filters and --bodies are for `export har` and `export jsonl`"));
    }
    let Some(endpoint) = &args.endpoint else {
        return Err(Failure::usage("export otlp needs --endpoint, for example http://127.0.0.1:4318"));
    };
    let endpoint = with_headers(endpoint, &args.header)?;
    let every = match args.follow.as_deref().map(units::duration) {
        Some(None) => return Err(Failure::usage("--follow takes a duration such as 5s")),
        every => every.flatten().map(Duration::from_micros),
    };
    let names = if args.semconv == Some(Semconv::Latest) { Names::Latest } else { Names::Released };
    let cursor = args.cursor.as_deref().unwrap_or("otlp");
    args.place.open()?;
    let upstream = if endpoint.is_secure() { args.place.settings()?.upstream } else { Upstream::default() };
    let exporter = service::exporter(&upstream, &args.place.path()?, cursor, endpoint, names)
        .map_err(|error| Failure::failed(error.to_string()))?;
    let mut sent = [0, 0];
    loop {
        match (exporter.send_all(&mut sent), every) {
            (Ok(()), None) => break,
            (Ok(()), Some(every)) => thread::sleep(every),
            (Err(error), None) => return Err(Failure::failed(format!("after {}: {error}", rows_of(sent)))),
            (Err(error), Some(every)) => {
                let wait = error.retry_after().unwrap_or(every).max(every);
                eprintln!("tollgate: {error}; trying again in {wait:?}");
                thread::sleep(wait);
            }
        }
    }
    eprintln!("sent {}", rows_of(sent));
    Ok(())
}

fn rows_of([spans, metrics]: [usize; 2]) -> String {
    counted(spans.max(metrics) as i64, "row")
}

fn with_headers(url: &str, headers: &[String]) -> Result<Endpoint, Failure> {
    let mut endpoint = Endpoint::parse(url).map_err(Failure::usage)?;
    for field in headers {
        let (name, value) = field.split_once('=').ok_or_else(|| Failure::usage("--header is NAME=VALUE"))?;
        endpoint = endpoint.with_header(name, value).map_err(Failure::usage)?;
    }
    Ok(endpoint)
}
