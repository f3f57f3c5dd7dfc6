//! `tollgate redirect`: everything that one user of this machine sends goes to a relay, or nowhere.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Subcommand;

use super::Failure;
use crate::guest::redirect::{RedirectError, Rules, Scope, Tool};

/// Capture what one user of this machine sends
///
/// TCP and DNS of that user, IPv4 and IPv6, go to a relay on this machine; everything else but loopback is refused. The
/// proxy itself must run as somebody else. Where the relay is not running the user reaches nothing: a crash opens no way
/// out. Rules are replaced as a whole, so installing twice is the same as once; a restart of the machine forgets them.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tollgate redirect install --uid agent --create-user
  tollgate relay --to unix:///run/tollgate/guest.sock     the relay, as root or as the proxy's user
  sudo -u agent claude                                    captured
  tollgate redirect uninstall --uid agent")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Put the rules in force
    Install {
        #[command(flatten)]
        who: Who,
        /// Make the user, who cannot log in, where there is none
        #[arg(long)]
        create_user: bool,
        /// Print the rules and change nothing
        #[arg(long)]
        print: bool,
    },
    /// Say whether the rules are in force (exit code 1 if not)
    Status {
        #[command(flatten)]
        who: Who,
    },
    /// Take the rules out of force
    Uninstall {
        #[command(flatten)]
        who: Who,
    },
}

#[derive(clap::Args, Debug)]
struct Who {
    /// The user, by name or number
    #[arg(long, value_name = "USER")]
    uid: String,
    /// The relay's port
    #[arg(long, value_name = "PORT", default_value_t = 15001)]
    port: u16,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Install { who, create_user, print } => install(who, *create_user, *print),
        Action::Status { who } => status(who),
        Action::Uninstall { who } => {
            Tool::find()?.uninstall(Scope::User(who.find()?))?;
            println!("user {} is not captured", who.uid);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn install(who: &Who, create_user: bool, print: bool) -> Result<ExitCode, Failure> {
    if create_user && !print && who.find().is_err() {
        make_user(&who.uid)?;
    }
    let uid = who.find()?;
    if uid == 0 {
        return Err(Failure::usage(
            "root is not captured: this machine's own services would be, and the proxy",
        ));
    }
    if let Some(pid) = proxy_of(uid).filter(|_| !print) {
        return Err(Failure::usage(format!(
            "user {} runs a proxy (process {pid}), which would capture itself: run it as somebody else",
            who.uid
        )));
    }
    let (tool, rules) = (Tool::find()?, Rules { scope: Scope::User(uid), port: who.port });
    if print {
        for (program, text) in tool.texts(rules) {
            print!("# {}\n{text}", program.display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    tool.install(rules)?;
    status(who)
}

/// A `tollgate serve` that runs as this user in this network.
fn proxy_of(uid: u32) -> Option<u32> {
    let network = |process: &Path| fs::read_link(process.join("ns/net")).ok();
    let here = network(Path::new("/proc/self"));
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let serves = |line: Vec<u8>| {
        let mut words = line.split(|byte| *byte == 0);
        words.next().is_some_and(|program| program.ends_with(b"tollgate")) && words.next() == Some(b"serve")
    };
    let owned = processes.filter(|process| process.metadata().is_ok_and(|found| found.uid() == uid));
    let near = owned.filter(|process| network(&process.path()) == here);
    let mut proxies = near.filter(|process| fs::read(process.path().join("cmdline")).is_ok_and(serves));
    proxies.next()?.file_name().to_str()?.parse().ok()
}

fn status(who: &Who) -> Result<ExitCode, Failure> {
    let rules = Rules { scope: Scope::User(who.find()?), port: who.port };
    if Tool::find()?.is_installed(rules) {
        println!("user {} is captured: TCP and DNS go to port {}, the rest is refused", who.uid, who.port);
        Ok(ExitCode::SUCCESS)
    } else {
        println!("user {} is not captured on port {}", who.uid, who.port);
        Ok(ExitCode::from(1))
    }
}

fn make_user(name: &str) -> Result<(), Failure> {
    let made = Command::new("useradd")
        .args(["--system", "--create-home", "--shell", "/usr/sbin/nologin", name])
        .status();
    match made {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::failed(format!("useradd {name}: {status}"))),
        Err(error) => Err(Failure::failed(format!("useradd: {error}"))),
    }
}

impl Who {
    /// The user's number.
    fn find(&self) -> Result<u32, Failure> {
        if let Ok(number) = self.uid.parse() {
            return Ok(number);
        }
        match nix::unistd::User::from_name(&self.uid) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            Ok(None) => {
                Err(Failure::usage(format!("--uid {}: no such user; --create-user makes one", self.uid)))
            }
            Err(error) => Err(Failure::failed(format!("--uid {}: {error}", self.uid))),
        }
    }
}

impl From<RedirectError> for Failure {
    fn from(error: RedirectError) -> Self {
        Self::failed(error.to_string())
    }
}
