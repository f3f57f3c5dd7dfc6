//! `tollgate doctor`: what is in order on this machine, or inside this guest, and what to do about the rest.
//!
//! It changes nothing. The trial jail uses a directory of its own, which it removes.

mod fetch;
mod guest;
mod host;
mod stores;
mod trial;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::guest::jail::mounts;
use fetch::Url;

/// Check trust, capture, DNS, listeners and the ledger, and say what to mend
///
/// On a machine: the configuration, the CA and what was made of it, the policy, the ledger, the listeners, the users that
/// are captured, and whether jails can be built, by building one and checking it from inside. Inside a guest or a jail:
/// that both families and every port lead to the proxy and nothing leads elsewhere, that names are answered, that a
/// denied request is refused and an allowed one passes, that a reply streams, and that each store of roots holds the CA.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tollgate doctor --config tollgate.toml
  tollgate run -- tollgate doctor --url https://api.anthropic.com/
  sudo -u agent tollgate doctor --place guest            a user that `redirect` captures

Exit code: 0 if all is well, 1 if something is to be mended.")]
pub struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Configuration file, the same as for `serve`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the CA and the ledger lie
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where this runs; by default it is found out
    #[arg(long, value_enum)]
    place: Option<Place>,
    /// Inside a guest: a page that the policy allows; by default the first of a few well-known hosts that it allows
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// Inside a guest: a page that is sent slowly, to see that its first bytes do not wait for its last
    #[arg(long, value_name = "URL")]
    stream: Option<Url>,
}

/// Where the doctor looks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    /// The machine that the proxy runs on.
    Host,
    /// What is captured: a VM, a container, a jail, a user.
    Guest,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    name: String,
    /// Whether it is in order.
    ok: bool,
    /// What was found.
    found: String,
    /// What to do, where it is not in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Check {
    fn ok(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok: true, found: found.into(), mend: None }
    }

    fn bad(name: &str, found: impl Into<String>, mend: &str) -> Self {
        Self { name: name.to_owned(), ok: false, found: found.into(), mend: Some(mend.to_owned()) }
    }

    fn of<E: std::fmt::Display>(name: &str, outcome: Result<String, E>, mend: &str) -> Self {
        match outcome {
            Ok(found) => Self::ok(name, found),
            Err(error) => Self::bad(name, error.to_string(), mend),
        }
    }
}

/// Runs the checks.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let place = args.place.unwrap_or_else(place);
    let checks = match place {
        Place::Guest => guest::checks(args.url.as_ref(), args.stream.as_ref()),
        Place::Host => host::checks(args),
    };
    let ok = checks.iter().all(|check| check.ok);
    if args.json {
        let place = if place == Place::Guest { "guest" } else { "host" };
        let document = serde_json::json!({ "ok": ok, "place": place, "checks": checks });
        println!("{document}");
    } else {
        checks.iter().for_each(print);
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A jail has our list of name servers; a guest of ours has no device but loopback.
fn place() -> Place {
    let jailed = Path::new(mounts::PUBLIC).join(mounts::NAME_SERVER_FILE).exists();
    if jailed || guest::devices().iter().all(|device| device == "lo") { Place::Guest } else { Place::Host }
}

fn print(check: &Check) {
    let word = if check.ok { "ok  " } else { "MEND" };
    println!("{word}  {:<16} {}", check.name, check.found);
    if let Some(mend) = &check.mend {
        println!("                        {mend}");
    }
}

/// 2025-01-01: no clock that is right shows less.
const EARLIEST: i64 = 1_735_689_600_000_000;

/// Certificates are judged by the clock, on both sides.
fn clock() -> Check {
    let now = crate::reactor::wall_clock();
    if now > EARLIEST {
        Check::ok("clock", crate::telemetry::text::utc(now))
    } else {
        Check::bad("clock", "far in the past", "set the clock: certificates are judged by it")
    }
}
