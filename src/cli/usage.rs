//! `tollgate usage`: tokens, money and waiting, added up.

mod reprice;

use std::borrow::Cow;
use std::io::stdout;

use super::Failure;
use super::reading::{Filters, Where, document, line, unreadable};
use super::table::{Column, Table, count, duration, left, right, usd};
use crate::service::{model_table, price_table};
use crate::telemetry::query::{Group, UsageReport, UsageSum};

/// Add up tokens and cost of model calls.
///
/// Input includes what caches were read and written; output includes reasoning. A cost that is unknown, because the
/// model has no known price or the provider gave no counts, is not counted as 0: such calls are counted beside the sum.
/// CACHED is the part of all input that was read from a cache, over the calls that say both. TTFT is the time from a
/// request to its first generated token: half of the calls had it within P50, 99 of 100 within P99 (nearest rank to 1 %,
/// over the streamed calls that had one).
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tollgate usage                          by model
  tollgate usage --by day --since 30d     each day of the last thirty
  tollgate usage --by process --json      one JSON document
  tollgate usage --reprice                costs by today's price table

JSON: {\"by\": \"model\", \"rows\": [{\"key\", \"calls\", \"failed\", \"partial\", \"input_tokens\", \"cache_read_tokens\",
\"cache_write_tokens\", \"output_tokens\", \"reasoning_tokens\", \"cost_pico_usd\", \"unpriced\", \"cache_hit_share\",
\"first_token_p50_us\", \"first_token_p99_us\"}], \"total\": {…}}. Money is in 1e-12 USD, times are in microseconds, a
share is from 0 to 1; what is unknown is null. Days are UTC.")]
pub struct Args {
    /// What to add up by.
    #[arg(long, value_enum, default_value_t = By::Model)]
    by: By,
    /// Compute costs anew by today's price table and model aliases (those of --config where it names them), as of each
    /// call's own time. What the provider itself charged stays.
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
    let mut report = reader.usage_report(args.by.group(), &filter).map_err(unreadable)?;
    if args.reprice {
        let settings = args.place.settings()?;
        let prices = price_table(&settings).map_err(|error| Failure::failed(error.to_string()))?;
        let models = model_table(&settings);
        reprice::reprice(&reader, &filter, &prices, &models, &mut report).map_err(unreadable)?;
    }
    if args.json {
        return line(&mut stdout().lock(), document(&report)).map(drop);
    }
    print(&report)
}

const COLUMNS: &[Column] = &[
    right("CALLS", 8),
    right("FAILED", 6).wide(),
    right("INPUT", 13),
    right("CACHE READ", 13).wide(),
    right("CACHED", 6),
    right("CACHE WRITE", 11).wide(),
    right("OUTPUT", 11),
    right("REASONING", 11).wide(),
    right("TTFT P50", 8).wide(),
    right("P99", 7).wide(),
    right("COST", 10),
    left("OF", 0),
];

fn print(report: &UsageReport) -> Result<(), Failure> {
    let mut out = stdout().lock();
    let table = Table::for_stdout(COLUMNS);
    let mut lines = vec![table.head()];
    for row in &report.rows {
        lines.push(table.row(&cells(&row.sum, row.key.as_deref().unwrap_or("(unknown)"))));
    }
    lines.push(table.row(&cells(&report.total, "total")));
    let total = &report.total.totals;
    if total.unpriced > 0 {
        let calls = total.unpriced;
        lines.push(format!("{calls} calls with tokens have no known price and are not in the sum."));
    }
    if total.partial > 0 {
        let calls = total.partial;
        lines.push(format!("{calls} calls were cut off; their counts are what had been said until then."));
    }
    for text in lines {
        if !line(&mut out, &text)? {
            break;
        }
    }
    Ok(())
}

fn cells<'a>(sum: &UsageSum, name: &'a str) -> [Cow<'a, str>; 12] {
    let totals = &sum.totals;
    let cached =
        sum.cache_hit_share.map_or(Cow::Borrowed("-"), |share| format!("{:.1}%", share * 100.0).into());
    [
        count(Some(totals.calls)),
        count(Some(totals.failed)),
        count(totals.input_tokens),
        count(totals.cache_read_tokens),
        cached,
        count(totals.cache_write_tokens),
        count(totals.output_tokens),
        count(totals.reasoning_tokens),
        duration(sum.first_token_p50_us),
        duration(sum.first_token_p99_us),
        usd(totals.cost_pico_usd),
        name.into(),
    ]
}
