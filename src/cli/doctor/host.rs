//! The checks on a machine that runs the proxy.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Args, Check};
use crate::cert::Authority;
use crate::cert::authority::Paths;
use crate::config::{self, Confine, Listen, ListenAddress, Overrides, Settings};
use crate::confine;
use crate::guest::redirect::Tool;
use crate::reactor::wall_clock;
use crate::telemetry::query::Reader;

/// 2025-01-01: no clock that is right shows less.
const EARLIEST: i64 = 1_735_689_600_000_000;

/// Everything that can be looked at from outside of a guest.
pub(super) fn checks(args: &Args) -> Vec<Check> {
    let mut checks = vec![clock()];
    let overrides = Overrides { state_dir: args.state_dir.clone(), ..Overrides::default() };
    match config::load(args.config.as_deref(), &overrides) {
        Ok(settings) => {
            checks.push(Check::ok("settings", settings.state_dir.display().to_string()));
            checks.extend([authority(&settings), policy(&settings), ledger(&settings)]);
            checks.extend(settings.listeners().iter().map(listener));
            checks.push(confinement(settings.confine));
        }
        Err(error) => checks.push(Check::bad("settings", error.to_string(), "mend the configuration file")),
    }
    checks.push(redirect());
    checks.push(jail());
    checks
}

fn clock() -> Check {
    let now = wall_clock();
    if now > EARLIEST {
        Check::ok("clock", crate::telemetry::text::utc(now))
    } else {
        Check::bad("clock", "far in the past", "set the clock: certificates are judged by it")
    }
}

fn authority(settings: &Settings) -> Check {
    let paths = Paths::in_dir(&settings.state_dir);
    if !paths.cert.exists() {
        return Check::ok("authority", "none yet; serve and run make one");
    }
    let opened = Authority::open(&paths, wall_clock()).map(|_| paths.cert.display().to_string());
    Check::of("authority", opened, "see `tollgate ca show`")
}

fn policy(settings: &Settings) -> Check {
    let files = &settings.policy;
    let loaded = config::policy::load(files.user.as_deref(), files.corp.as_deref());
    let said = loaded.map(|loaded| format!("in order, digest {:.12}", loaded.policy.digest()));
    Check::of("policy", said, "mend the file; see `tollgate policy check`")
}

fn ledger(settings: &Settings) -> Check {
    let path = &settings.telemetry.db;
    if !path.exists() {
        return Check::ok("ledger", "none yet");
    }
    let sessions = Reader::open(path).and_then(|reader| reader.sessions());
    let said = sessions.map(|sessions| format!("{}: {} sessions", path.display(), sessions.len()));
    Check::of("ledger", said, "move the file away; a new one is made")
}

fn listener(listen: &Listen) -> Check {
    let answers = match &listen.address {
        ListenAddress::Tcp(address) => connects(*address),
        ListenAddress::Unix(path) => UnixStream::connect(path).is_ok(),
        ListenAddress::Vsock { .. } => false, // this machine's own port cannot be dialled from here
    };
    let state = if answers { "somebody listens" } else { "nobody listens" };
    Check::ok("listener", format!("{}: {state}", listen.address))
}

fn connects(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// Whether a proxy that starts here can give up what it does not need.
fn confinement(wanted: Confine) -> Check {
    let here = confine::trial();
    match wanted {
        Confine::Off => Check::ok("confine", "off by the configuration"),
        _ if here.is_whole() => Check::ok("confine", here.to_string()),
        Confine::Auto => Check::ok("confine", format!("in part: {here}")),
        Confine::Require => {
            Check::bad("confine", here.to_string(), "boot with lsm=landlock,… or set confine = \"auto\"")
        }
    }
}

fn redirect() -> Check {
    let found = Tool::find().map(|tool| match tool {
        Tool::Nft(path) => path.display().to_string(),
        Tool::Iptables(_) => "iptables and ip6tables".to_owned(),
    });
    Check::of("redirect", found, "install nftables: run, redirect and relay --capture need it")
}

/// Builds a jail, whose own probe proves redirect, relay and DNS, and runs `true` in it.
fn jail() -> Check {
    const MEND: &str = "`tollgate run` will not start commands here";
    let trial = || -> std::io::Result<(bool, String)> {
        let dir = std::env::temp_dir().join(format!("tollgate-doctor-{}", std::process::id()));
        let output = Command::new(std::env::current_exe()?)
            .args(["run", "--quiet", "--state-dir"])
            .arg(&dir)
            .args(["--", "true"])
            .stdin(Stdio::null())
            .output();
        let _ = std::fs::remove_dir_all(&dir); // ours, and of no use to anybody
        let output = output?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    };
    match trial() {
        Ok((true, _)) => Check::ok("jail", "built, and its capture proved"),
        Ok((false, said)) => Check::bad("jail", said, MEND),
        Err(error) => Check::bad("jail", error.to_string(), MEND),
    }
}
