//! `tollgate demo`: shows the proxy at work, with an origin and a client of its own.

use std::io::{self, Write};

use super::Failure;
use crate::demo::{self, report};

/// Shows the proxy at work: streams model replies through it and prints what it recorded.
///
/// An embedded TLS origin answers as Anthropic Messages, OpenAI chat completions, OpenAI Responses and Gemini do,
/// streamed and plain, gzip and identity. The proxy runs before it with a user's and a company's policy, which deny
/// one host and one path. A client sends its requests through the proxy over real sockets; the origin holds each
/// stream open after its first event until the client has it. Nothing leaves this machine, and nothing stays on it.
///
/// The exit code is 0 only if every number in the ledger equals what the origin sent.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Args {
    /// Print one JSON document instead of tables: `net_events`, `model_calls`, `denied`, `first_event_added_us`.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let outcome = demo::run().map_err(|error| Failure::failed(error.to_string()))?;
    let text = if args.json { report::document(&outcome) } else { report::text(&outcome) };
    writeln!(io::stdout().lock(), "{}", text.trim_end())
        .map_err(|error| Failure::failed(error.to_string()))?;
    let mismatches = &outcome.checks.mismatches;
    if mismatches.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} of {} values are wrong:\n  {}",
        mismatches.len(),
        outcome.checks.compared,
        mismatches.join("\n  ")
    )))
}
