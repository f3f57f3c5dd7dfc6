//! `tollgate doctor`: what is in order on this machine, or inside this guest, and what to do about the rest.
//!
//! It changes nothing. The trial jail uses a state directory of its own, which it removes.

mod guest;
mod host;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::Failure;
use crate::guest::jail::mounts::PUBLIC;

/// Check trust, capture, DNS, listeners and the ledger, and say what to mend
///
/// On a machine: the configuration, the CA, the policy, the ledger, the listeners, and whether jails can be built, by
/// building one. Inside a guest or a jail: that nothing but the proxy is reachable, that names are answered by it, and
/// that the CA is trusted.
#[derive(clap::Args, Debug)]
#[command(after_help = "Exit code: 0 if all is well, 1 if something is to be mended.")]
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
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    name: &'static str,
    /// Whether it is in order.
    ok: bool,
    /// What was found.
    found: String,
    /// What to do, where it is not in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<&'static str>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, ok: true, found: found.into(), mend: None }
    }

    fn bad(name: &'static str, found: impl Into<String>, mend: &'static str) -> Self {
        Self { name, ok: false, found: found.into(), mend: Some(mend) }
    }

    fn of<E: std::fmt::Display>(name: &'static str, outcome: Result<String, E>, mend: &'static str) -> Self {
        match outcome {
            Ok(found) => Self::ok(name, found),
            Err(error) => Self::bad(name, error.to_string(), mend),
        }
    }
}

/// Runs the checks.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let inside = is_guest();
    let checks = if inside { guest::checks() } else { host::checks(args) };
    let ok = checks.iter().all(|check| check.ok);
    if args.json {
        let place = if inside { "guest" } else { "host" };
        let document = serde_json::json!({ "ok": ok, "place": place, "checks": checks });
        println!("{document}");
    } else {
        checks.iter().for_each(print);
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A jail has our directory; a guest of ours has no device but loopback.
fn is_guest() -> bool {
    std::path::Path::new(PUBLIC).exists() || guest::devices().iter().all(|device| device == "lo")
}

fn print(check: &Check) {
    let word = if check.ok { "ok  " } else { "MEND" };
    println!("{word}  {:<12} {}", check.name, check.found);
    if let Some(mend) = check.mend {
        println!("                    {mend}");
    }
}
