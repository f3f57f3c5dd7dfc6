//! The checks on a machine that runs the proxy.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::fetch::{PATIENCE, plain};
use super::stores::NOBODY;
use super::{Args, Check, clock, trial};
use crate::cert::authority::Paths;
use crate::cert::{Authority, bundle, facts};
use crate::config::{self, Confine, Listen, ListenAddress, Overrides, Settings};
use crate::confine;
use crate::guest::redirect::{Rules, Tool};
use crate::reactor::wall_clock;
use crate::telemetry::query::Reader;

/// Everything that can be looked at from outside of a guest.
pub(super) fn checks(args: &Args) -> Vec<Check> {
    let mut checks = vec![clock()];
    let overrides = Overrides { state_dir: args.state_dir.clone(), ..Overrides::default() };
    match config::load(args.config.as_deref(), &overrides) {
        Ok(settings) => {
            checks.push(Check::ok("settings", settings.state_dir.display().to_string()));
            checks.extend([authority(&settings), policy(&settings), ledger(&settings), names()]);
            checks.extend(copies(&settings));
            checks.extend(settings.listeners().iter().map(listener));
            checks.push(confinement(settings.confine));
        }
        Err(error) => checks.push(Check::bad("settings", error.to_string(), "mend the configuration file")),
    }
    checks.extend(redirect());
    checks.extend(trial::checks());
    checks
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

/// The bundle and what `ca env` made of it must hold the CA of today.
fn copies(settings: &Settings) -> Vec<Check> {
    let Ok(authority) = facts::certificate_text(&Paths::in_dir(&settings.state_dir).cert) else {
        return Vec::new();
    };
    let trust = fs::read_dir(settings.state_dir.join("trust")).into_iter().flatten().flatten();
    let trust =
        trust.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "crt"));
    let holds = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let place = path.display().to_string();
        if text.contains(authority.trim()) {
            Check::ok("bundle", format!("{place} holds the CA"))
        } else {
            Check::bad(
                "bundle",
                format!("{place} lacks the CA"),
                "run `tollgate ca bundle` and `tollgate ca env`",
            )
        }
    };
    let bundle = settings.state_dir.join(bundle::FILE);
    bundle.exists().then_some(bundle).into_iter().chain(trust).map(holds).collect()
}

/// Whether names can be looked up here; a proxy whose origins are mapped, or that goes through another, does not care.
fn names() -> Check {
    match (NOBODY, 80).to_socket_addrs() {
        Err(error) if error.to_string().contains("Temporary") => Check::ok(
            "names",
            "no name server answers: only mapped hosts and a corporate proxy can be reached",
        ),
        _ => Check::ok("names", "a name server answers"),
    }
}

/// Where requests are taken from anybody, one for nobody's host must be refused, and by the proxy.
fn listener(listen: &Listen) -> Check {
    let what = |state: &str| Check::ok("listener", format!("{}: {state}", listen.address));
    match &listen.address {
        ListenAddress::Tcp(address) if TcpStream::connect_timeout(address, PATIENCE).is_err() => {
            what("nobody listens; is `tollgate serve` running?")
        }
        ListenAddress::Tcp(address) if !listen.proxy_header => match plain(*address, NOBODY, "/") {
            Ok(page) if page.is_ours() => what("the proxy answers"),
            _ => Check::bad(
                "listener",
                format!("{}: somebody else answers", listen.address),
                "choose another port",
            ),
        },
        ListenAddress::Unix(path) if UnixStream::connect(path).is_err() => what("nobody listens"),
        ListenAddress::Vsock { .. } => what("not tried: a machine does not reach its own vsock"),
        ListenAddress::Tcp(_) | ListenAddress::Unix(_) => what("somebody listens"),
    }
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

/// The tool, the users whose traffic it captures, and whether their relay is there for both families.
fn redirect() -> Vec<Check> {
    const MEND: &str = "install nftables: run, redirect and relay --capture need it";
    let tool = match Tool::find() {
        Ok(tool) => tool,
        Err(error) => return vec![Check::bad("redirect", error.to_string(), MEND)],
    };
    let found = match &tool {
        Tool::Nft(path) => path.display().to_string(),
        Tool::Iptables(_) => "iptables and ip6tables".to_owned(),
    };
    std::iter::once(Check::ok("redirect", found)).chain(tool.installed().into_iter().map(captured)).collect()
}

fn captured(rules: Rules) -> Check {
    let families = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let listens =
        |ip: &IpAddr| TcpStream::connect_timeout(&SocketAddr::new(*ip, rules.port), PATIENCE).is_ok();
    if rules.port == 0 {
        Check::bad("redirect", rules.to_string(), "run `tollgate redirect install` again")
    } else if families.iter().all(listens) {
        Check::ok("redirect", rules.to_string())
    } else {
        Check::bad("redirect", format!("{rules}; no relay is there"), "start `tollgate relay --to …`")
    }
}
