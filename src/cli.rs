//! The command line: one file per subcommand; what was typed becomes what is meant here and nowhere else.

pub mod ca;
pub mod demo;
pub mod doctor;
pub mod export;
pub mod jail;
pub mod log;
mod logger;
pub mod policy;
mod reading;
pub mod redirect;
pub mod relay;
pub mod run;
pub mod serve;
pub mod sessions;
mod table;
pub mod top;
pub mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Egress proxy for AI agents and other sandboxed guests.
#[derive(Parser, Debug)]
#[command(name = "tollgate", version, about, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Run(run::Args),
    Relay(relay::Args),
    Redirect(redirect::Args),
    Doctor(doctor::Args),
    #[command(hide = true)]
    Jail(jail::Args),
    Ca(ca::Args),
    Policy(policy::Args),
    Log(log::Args),
    Top(top::Args),
    Usage(usage::Args),
    Sessions(sessions::Args),
    Export(export::Args),
}

/// Why a command ended: the exit code and what to say on stderr.
#[derive(Debug)]
pub struct Failure {
    /// 1 failure, 2 usage.
    pub code: u8,
    /// What went wrong and what to do, without the `tollgate: ` prefix. Empty: say nothing more.
    pub message: String,
}

impl Failure {
    /// A failure while running (exit code 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// A mistake in what was typed (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}

/// Parses the command line, runs it, and maps the outcome to an exit code.
pub fn main() -> ExitCode {
    logger::start();
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Demo(args) => succeeded(demo::run(args)),
        Command::Serve(args) => succeeded(serve::run(args)),
        Command::Run(args) => run::run(&args),
        Command::Relay(args) => relay::run(args),
        Command::Redirect(args) => redirect::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Jail(args) => jail::run(args),
        Command::Ca(args) => succeeded(ca::run(args)),
        Command::Policy(args) => succeeded(policy::run(args)),
        Command::Log(args) => succeeded(log::run(&args)),
        Command::Top(args) => succeeded(top::run(&args)),
        Command::Usage(args) => succeeded(usage::run(&args)),
        Command::Sessions(args) => succeeded(sessions::run(&args)),
        Command::Export(args) => succeeded(export::run(&args)),
    };
    ended(outcome)
}

/// Carry a guest's redirected TCP and DNS to a proxy on the host: `tollgate relay` as a program of its own.
#[derive(Parser, Debug)]
#[command(name = "tollgate-relay", version, max_term_width = 100)]
struct RelayCli {
    #[command(flatten)]
    args: relay::Args,
}

/// As [`main`], for the program that is the relay alone.
pub fn relay_main() -> ExitCode {
    logger::start();
    ended(relay::run(RelayCli::parse().args))
}

/// The exit code of an outcome; a failure says why on standard error.
fn ended(outcome: Result<ExitCode, Failure>) -> ExitCode {
    outcome.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            eprintln!("tollgate: {}", failure.message);
        }
        ExitCode::from(failure.code)
    })
}

/// For commands that know no other outcome.
fn succeeded(outcome: Result<(), Failure>) -> Result<ExitCode, Failure> {
    outcome.map(|()| ExitCode::SUCCESS)
}
