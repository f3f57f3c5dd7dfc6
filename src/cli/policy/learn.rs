//! `tollgate policy learn`: the ledger's requests become a policy that allows them and nothing else.

use std::net::SocketAddr;

use super::{Failure, print};
use crate::cli::reading::{Where, session, unreadable};
use crate::config::learn::{Seen, SeenRequest, learn};
use crate::telemetry::query::{LearnRow, Reader};

/// Print the smallest user.toml that would allow what the ledger saw go through
///
/// Names exactly the hosts that were reached, never a wildcard; with --paths also the methods and paths, where many
/// siblings become one `*`. Each host, or each request with --paths, becomes a sample, so that the output passes
/// `policy check` only while it allows what was seen. Requests that were refused, or that no origin took, are left out:
/// run with mode = "observe" to see everything that is wanted.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tollgate policy learn --config tollgate.toml > user.toml
  tollgate policy learn --db ledger.db --since 1h --paths

Exit status:
  0  a policy was printed
  1  there is no ledger, or it cannot be read
  2  the command line is wrong")]
pub(super) struct Args {
    /// Rules for the methods and paths that were seen, not for hosts alone
    #[arg(long)]
    paths: bool,
    /// Only what began since then: 90s, 10m, 24h, 7d ago, or a UTC date or time
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only this session, by its id
    #[arg(long, value_name = "SESSION", value_parser = session)]
    session: Option<String>,
    #[command(flatten)]
    ledger: Where,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let reader = args.ledger.open()?;
    let since = args.since.as_deref().map(|text| moment(&reader, text)).transpose()?;
    let rows = reader.learn_rows(since, args.session.as_deref()).map_err(unreadable)?;
    let seen: Vec<Seen> = rows.into_iter().filter_map(seen).collect();
    print(&learn(&seen, args.paths))
}

fn moment(reader: &Reader, text: &str) -> Result<i64, Failure> {
    let moment = reader.moment(text).map_err(unreadable)?;
    moment.ok_or_else(|| {
        Failure::usage(format!("--since {text:?} is neither 90s, 10m, 24h, 7d nor a date or time"))
    })
}

/// What reached an origin: requests, and TLS that was passed on unread. What broke before shows nothing that a policy
/// would have to allow.
fn seen(row: LearnRow) -> Option<Seen> {
    let request = match (row.method, row.path) {
        (Some(method), Some(path)) if row.reached > 0 => Some(SeenRequest { method, path }),
        _ if row.spliced > 0 => None,
        _ => return None,
    };
    let resolved = row.resolved.as_deref().unwrap_or_default();
    let addresses = resolved.split(',').filter_map(|text| text.parse().ok());
    let addresses = addresses.map(|address: SocketAddr| address.ip()).collect();
    Some(Seen { host: row.host, port: row.port, request, addresses })
}
