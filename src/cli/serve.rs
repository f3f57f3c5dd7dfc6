//! `tollgate serve`: the proxy in the foreground, until a signal ends it.
//!
//! SIGTERM and SIGINT drain (a second one cuts), SIGHUP reads the policy again. Standard output carries one line for
//! each listener, once it accepts; everything else goes to standard error.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use crate::config::{self, ListenAddress, Overrides, Settings};
use crate::service::{Identity, Service};

/// Run the proxy in the foreground.
///
/// One listener takes everything: redirected or SNI-addressed TLS, CONNECT, plain HTTP and SOCKS5. Every request is
/// judged by the policy (see `tollgate policy`), forwarded to its origin over verified TLS, and recorded in the ledger
/// (see `tollgate log` and `tollgate usage`).
///
/// Prints `listening on ADDRESS` for each listener once it accepts. SIGTERM or SIGINT: no new connections, running
/// exchanges may end within the grace period, the ledger is written out, exit 0; a second signal ends at once. SIGHUP
/// reads the policy files again; a policy that cannot be read leaves the old one in force.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Configuration file (TOML). Without it the defaults hold.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here instead of where the file says: `tcp://ADDR:PORT`, `unix:///PATH` or `vsock://any:PORT`. May be repeated.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddress>,
    /// Serve the usage API, metrics and page here: `tcp://127.0.0.1:PORT` or `unix:///PATH`.
    #[arg(long, value_name = "ADDR")]
    admin: Option<ListenAddress>,
    /// Where the CA, its bundle, the ledger and the keys lie.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The ledger's SQLite file.
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// The user's policy.
    #[arg(long, value_name = "FILE")]
    user_policy: Option<PathBuf>,
    /// The corporate policy, which stands above the user's.
    #[arg(long, value_name = "FILE")]
    corp_policy: Option<PathBuf>,
    /// A name for this session in the ledger.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let name = args.name.clone();
    let settings = settings(args)?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|error| Failure::failed(format!("cannot take signals: {error}")))?;
    let service = Service::start(settings, Identity { name, command: None }, &mut notice)
        .map_err(|error| Failure::failed(error.to_string()))?;
    if let Some(confinement) = service.confinement().filter(|confinement| confinement.is_whole()) {
        notice(&format!("confined: {confinement}"));
    }
    for address in service.listening() {
        println!("listening on {address}");
    }
    steer(&service, &mut signals);
    let closed = service.finish().map_err(|error| Failure::failed(error.to_string()))?;
    if closed.lost > 0 {
        return Err(Failure::failed(format!("{} events could not be written to the ledger", closed.lost)));
    }
    Ok(())
}

fn settings(args: Args) -> Result<Settings, Failure> {
    let overrides = Overrides {
        listen: args.listen,
        admin: args.admin,
        state_dir: args.state_dir,
        db: args.db,
        user_policy: args.user_policy,
        corp_policy: args.corp_policy,
    };
    let mut settings = config::load(args.config.as_deref(), &overrides)
        .map_err(|error| Failure::failed(error.to_string()))?;
    settings.listen = settings.listeners();
    Ok(settings)
}

fn notice(line: &str) {
    eprintln!("tollgate: {line}");
}

/// Obeys signals until the reactors have ended.
fn steer(service: &Service, signals: &mut Signals) {
    let mut draining = false;
    while !service.has_ended() {
        for signal in signals.pending() {
            match signal {
                SIGHUP => reload(service),
                _ if draining => service.cut(),
                _ => {
                    draining = true;
                    service.drain();
                }
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn reload(service: &Service) {
    match service.reload(&mut notice) {
        Ok(()) => notice("the policy was read again and is in force"),
        Err(error) => notice(&format!("the policy was not reloaded, the old one stays in force: {error}")),
    }
}
