//! `tollgate top`: a live view of what goes through a proxy, from its ledger; works beside any proxy that writes one.
//!
//! [`data`] reads what is new and adds it up; [`view`] lays it out, and knows neither terminal nor ledger; [`screen`] is
//! the terminal: keys, size, and that it is left as it was.

mod data;
mod screen;
mod view;

use std::io::{BufWriter, IsTerminal, Write, stdin, stdout};
use std::time::{Duration, Instant};

use super::Failure;
use super::reading::{Filters, Where, line, said, unreadable};
use crate::config::units;
use crate::telemetry::query::Filter;

use data::Data;
use screen::{Event, Screen};
use view::{Outcome, View};

/// Watch requests, model calls, tokens and cost as they come.
///
/// Reads the ledger, also while a proxy writes it. Where stdin or stdout is no terminal it prints what there is once and
/// ends. What guests and origins sent is shown escaped.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Keys:
  q, Ctrl-C            end
  Tab, left, right     overview, requests, calls, models, hosts, denials; also 1 to 6
  up, down, PgUp, PgDn, Home
                       further rows, newest first
  space, p             hold what is shown; again: go on
  d                    only denied requests, only failed ones, all
  /                    only hosts with this text; Enter keeps it, Esc ends it

Sums count from --since on (default: one hour ago). NO_COLOR turns colours off.")]
pub struct Args {
    /// How often new rows are looked for.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    interval: String,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    place: Where,
}

/// Where sums begin when nobody says.
const SINCE: &str = "1h";

/// The shortest interval.
const LEAST: Duration = Duration::from_millis(100);

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let interval = units::duration(&args.interval)
        .ok_or_else(|| Failure::usage("--interval takes a duration such as 1s or 500ms"))?;
    let reader = args.place.open()?;
    let mut filter: Filter = args.filters.meant(&reader)?;
    filter.since = filter.since.or(reader.moment(SINCE).map_err(unreadable)?);
    let mut data = Data::new(filter, args.place.path()?);
    if stdin().is_terminal() && stdout().is_terminal() {
        return live(&mut data, Duration::from_micros(interval).max(LEAST));
    }
    while data.refresh().map_err(unreadable)? {}
    print(&data)
}

/// One look, for pipes and files.
fn print(data: &Data) -> Result<(), Failure> {
    let mut out = BufWriter::new(stdout().lock());
    for row in view::snapshot(data) {
        if !line(&mut out, &row)? {
            return Ok(());
        }
    }
    said(out.flush()).map(drop)
}

fn live(data: &mut Data, interval: Duration) -> Result<(), Failure> {
    let unusable = |error| Failure::failed(format!("the terminal: {error}"));
    let screen = Screen::enter().map_err(unusable)?;
    let mut view = View::new();
    let mut due = clock();
    loop {
        if !view.paused() && clock() >= due {
            // A ledger that is away is looked for again: the proxy may be about to make it.
            let more = data.refresh();
            view.note(more.as_ref().err().map(ToString::to_string));
            view.count(clock(), data.total.requests);
            due = clock() + if matches!(more, Ok(true)) { Duration::ZERO } else { interval };
        }
        screen.draw(&view.frame(data, Screen::size())).map_err(unusable)?;
        let wait = if view.paused() { interval } else { due.saturating_duration_since(clock()) };
        match screen.wait(wait).map_err(unusable)? {
            Event::Quit => return Ok(()),
            Event::Keys(keys) => {
                if keys.into_iter().any(|key| view.press(key) == Outcome::Quit) {
                    return Ok(());
                }
            }
            Event::Nothing => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a view that refreshes reads the clock")]
fn clock() -> Instant {
    Instant::now()
}
