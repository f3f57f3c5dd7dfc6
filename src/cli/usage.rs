//! `tollgate usage`: tokens and money, added up.

mod reprice;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::io::stdout;

use super::Failure;
use super::reading::{Filters, Where, document, line, unreadable};
use super::table::{Column, Table, count, left, right, usd};
use crate::service::price_table;
use crate::telemetry::query::{Group, Totals, UsageReport};

/// Add up tokens and cost of model calls.
///
/// Input includes what caches were read and written; output includes reasoning. A cost that is unknown, because the
/// model has no known price or the provider gave no counts, is not counted as 0: such calls are counted beside the sum.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tollgate usage                          by model
  tollgate usage --by day --since 30d     each day of the last thirty
  tollgate usage --by process --json      one JSON document
  tollgate usage --reprice                costs by today's price table

JSON: {\"by\": \"model\", \"rows\": [{\"key\", \"calls\", \"failed\", \"partial\", \"input_tokens\", \"cache_read_tokens\",
\"cache_write_tokens\", \"output_tokens\", \"reasoning_tokens\", \"cost_pico_usd\", \"unpriced\"}], \"total\": {…}}.
Money is in 1e-12 USD; what is unknown is null. Days are UTC.")]
pub struct Args {
    /// What to add up by.
    #[arg(long, value_enum, default_value_t = By::Model)]
    by: By,
    /// Compute costs anew by today's price table (that of --config where it names one), as of each call's own time.
    /// What the provider itself charged stays.
    #[arg(long)]
    reprice: bool,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    place: Where,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Model,
    Provider,
    Host,
    Process,
    Day,
    Session,
}

impl By {
    fn group(self) -> Group {
        match self {
            Self::Model => Group::Model,
            Self::Provider => Group::Provider,
            Self::Host => Group::Host,
            Self::Process => Group::Process,
            Self::Day => Group::Day,
            Self::Session => Group::Session,
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let reader = args.place.open()?;
    let filter = args.filters.meant(&reader)?;
    let mut rows = reader.usage(Some(args.by.group()), &filter).map_err(unreadable)?;
    let mut total = reader.usage(None, &filter).map_err(unreadable)?;
    if args.reprice {
        let table =
            price_table(&args.place.settings()?).map_err(|error| Failure::failed(error.to_string()))?;
        reprice::reprice(&reader, &filter, &table, Some(args.by), &mut rows).map_err(unreadable)?;
        reprice::reprice(&reader, &filter, &table, None, &mut total).map_err(unreadable)?;
        rows.sort_by(|a, b| {
            (Reverse(a.totals.cost_pico_usd), &a.key).cmp(&(Reverse(b.totals.cost_pico_usd), &b.key))
        });
    }
    let total = total.into_iter().next().map(|row| row.totals).unwrap_or_default();
    let report = UsageReport { by: args.by.group(), rows, total };
    if args.json {
        return line(&mut stdout().lock(), &document(&report)).map(drop);
    }
    print(&report)
}

const COLUMNS: &[Column] = &[
    right("CALLS", 8),
    right("FAILED", 6).wide(),
    right("INPUT", 13),
    right("CACHE READ", 13).wide(),
    right("CACHE WRITE", 11).wide(),
    right("OUTPUT", 11),
    right("REASONING", 11).wide(),
    right("COST", 10),
    left("OF", 0),
];

fn print(report: &UsageReport) -> Result<(), Failure> {
    let mut out = stdout().lock();
    let table = Table::for_stdout(COLUMNS);
    let mut lines = vec![table.head()];
    for row in &report.rows {
        lines.push(table.row(&cells(&row.totals, row.key.as_deref().unwrap_or("(unknown)"))));
    }
    lines.push(table.row(&cells(&report.total, "total")));
    if report.total.unpriced > 0 {
        lines.push(format!(
            "{} calls with tokens have no known price and are not in the sum.",
            report.total.unpriced
        ));
    }
    if report.total.partial > 0 {
        lines.push(format!(
            "{} calls were cut off; their counts are what had been said until then.",
            report.total.partial
        ));
    }
    for text in lines {
        if !line(&mut out, &text)? {
            break;
        }
    }
    Ok(())
}

fn cells<'a>(totals: &Totals, name: &'a str) -> [Cow<'a, str>; 9] {
    [
        count(Some(totals.calls)),
        count(Some(totals.failed)),
        count(totals.input_tokens),
        count(totals.cache_read_tokens),
        count(totals.cache_write_tokens),
        count(totals.output_tokens),
        count(totals.reasoning_tokens),
        usd(totals.cost_pico_usd),
        name.into(),
    ]
}
