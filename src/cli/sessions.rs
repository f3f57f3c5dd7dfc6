//! `tollgate sessions`: every `serve` and `run` that wrote to this ledger, with totals.

use std::borrow::Cow;
use std::io::stdout;

use super::Failure;
use super::reading::{Where, document, line, unreadable};
use super::table::{Column, Table, count, left, right, time, usd};
use crate::telemetry::query::SessionTotals;

/// List the sessions of a ledger: every `serve` and `run`, with totals.
///
/// A session without an end is still running, or was killed.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
JSON: one document, an array of objects with the columns of the table sessions, the counts requests, denied and
failed_requests, and the sums of `tollgate usage --json`.")]
pub struct Args {
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

const COLUMNS: &[Column] = &[
    left("SESSION", 17),
    left("STARTED (UTC)", 14),
    left("ENDED (UTC)", 14).wide(),
    right("REQUESTS", 10),
    right("DENIED", 8).wide(),
    right("CALLS", 7),
    right("INPUT", 12).wide(),
    right("OUTPUT", 10).wide(),
    right("COST", 10),
    left("WHAT", 0),
];

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let sessions = args.place.open()?.sessions().map_err(unreadable)?;
    let mut out = stdout().lock();
    if args.json {
        return line(&mut out, document(&sessions)).map(drop);
    }
    let table = Table::for_stdout(COLUMNS);
    let rows = sessions.iter().map(|session| table.row(&cells(session)));
    for text in std::iter::once(table.head()).chain(rows) {
        if !line(&mut out, &text)? {
            break;
        }
    }
    Ok(())
}

fn cells(session: &SessionTotals) -> [Cow<'_, str>; 10] {
    let what = session.name.as_deref().or(session.command.as_deref()).unwrap_or("serve");
    [
        session.session_id.as_str().into(),
        time(Some(session.started_at)),
        time(session.ended_at),
        count(Some(session.requests)),
        count(Some(session.denied)),
        count(Some(session.totals.calls)),
        count(session.totals.input_tokens),
        count(session.totals.output_tokens),
        usd(session.totals.cost_pico_usd),
        what.into(),
    ]
}
