//! `tollgate policy`: is a policy good, what does it say to a request and why, and what would allow what was seen.

mod check;
mod learn;
mod why;

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Failure;
use crate::config::policy::LoadedPolicy;
use crate::config::policy::document::file_and_line;
use crate::config::{self, ConfigError, Overrides, PolicyFiles};
use crate::policy::Why;

/// Check a policy, ask it about a request, or learn one from the ledger
///
/// A policy is written in two files that hold the same fields: user.toml and corp.toml. A field that corp.toml sets
/// is locked; block lists add up and win over allow lists; corp's `[[http]]` rules are asked before the user's. The
/// commands here run the very evaluator that the proxy runs.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Check(check::Args),
    Why(why::Args),
    Learn(learn::Args),
}

/// Which policy is meant.
#[derive(clap::Args, Debug)]
struct Files {
    /// The proxy's configuration, whose [policy] section names the policy files
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The user's policy, in place of the one that the configuration names
    #[arg(long, value_name = "FILE")]
    user_policy: Option<PathBuf>,
    /// The corporate policy, in place of the one that the configuration names
    #[arg(long, value_name = "FILE")]
    corp_policy: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Check(args) => check::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Learn(args) => learn::run(&args),
    }
}

impl Files {
    fn load(&self) -> Result<LoadedPolicy, ConfigError> {
        let PolicyFiles { user, corp } = self.paths()?;
        config::policy::load(user.as_deref(), corp.as_deref())
    }

    fn paths(&self) -> Result<PolicyFiles, ConfigError> {
        let overrides = Overrides {
            user_policy: self.user_policy.clone(),
            corp_policy: self.corp_policy.clone(),
            state_dir: Some(PathBuf::new()), // where state lies does not matter here
            ..Overrides::default()
        };
        Ok(config::load(self.config.as_deref(), &overrides)?.policy)
    }

    /// Refuses to judge by nothing but the built-in policy, which nobody can have meant.
    fn named(&self) -> Result<(), Failure> {
        match (&self.config, &self.user_policy, &self.corp_policy) {
            (None, None, None) => {
                Err(Failure::usage("name a policy: --config, --user-policy or --corp-policy"))
            }
            _ => Ok(()),
        }
    }
}

/// Writes to stdout; a reader that has gone is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(error.to_string())),
        _ => Ok(()),
    }
}

fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Says what is wrong, as a document on stdout too where one was asked for.
fn refused(error: &ConfigError, json: bool) -> Failure {
    if json {
        let document = json!({"ok": false, "place": error.place, "error": error.message, "help": error.help});
        if let Err(failure) = print_json(&document) {
            return failure;
        }
    }
    Failure::failed(error.to_string())
}

/// `user (user.toml:12)`.
fn whose(why: &Why) -> String {
    match &why.place {
        Some(place) => format!("{} ({place})", why.layer.as_str()),
        None => why.layer.as_str().to_owned(),
    }
}

fn why_json(why: &Why) -> Value {
    let (file, line) = file_and_line(why.place.as_deref());
    let reason = why.reason.as_deref();
    json!({"rule": &*why.rule, "layer": why.layer.as_str(), "reason": reason, "file": file, "line": line})
}
