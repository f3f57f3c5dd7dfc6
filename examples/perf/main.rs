//! Measures what a TLS proxy costs: an origin, a load generator, and the proxy's own CPU time between them.
//!
//! `scripts/perf` drives it. Both ends speak TLS 1.3 with X25519 and AES-128-GCM only, so that every proxy does the
//! same cryptography. It refuses to judge wall-clock speed: the unit is the proxy's CPU time for one request,
//! connection, event or gigabyte.
#![expect(clippy::disallowed_methods, reason = "a measuring program reads the clock")]

mod certs;
mod load;
mod origin;
mod plan;
mod reply;
mod sample;
mod socket;
mod tls;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Origin and load generator for `scripts/perf`.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write ca.pem and leaf.pem into a directory.
    Certs {
        /// Where to.
        dir: PathBuf,
        /// The host that the leaf names.
        #[arg(long, default_value = "perf.test")]
        name: String,
    },
    /// Serve what requests ask for in their `x-perf` field.
    Origin(origin::Args),
    /// Load a proxy and print one JSON line.
    Load(load::Args),
}

fn main() -> Result<(), Box<dyn Error>> {
    match Cli::parse().command {
        Command::Certs { dir, name } => certs::write(&dir, &name),
        Command::Origin(args) => origin::run(&args),
        Command::Load(args) => load::run(&args),
    }
}
