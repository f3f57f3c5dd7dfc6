//! Netfilter rules that send TCP and DNS to a relay and refuse everything else: as text for `nft`, or for
//! `iptables-restore` where that is all there is.
//!
//! Both families always (LESSONS 38), in one transaction each. The scope is a network namespace of its own, or one user
//! of a host, so that the proxy never captures itself (LESSONS 36).

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::socket::{getsockopt, sockopt};

/// Whose packets are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything in this network namespace, which has no device but loopback.
    Namespace,
    /// Those of one user of this host.
    User(u32),
}

impl Scope {
    /// The scope whose rules have this name.
    fn of(name: &str) -> Option<Self> {
        match name.strip_prefix(NAME)? {
            "" => Some(Self::Namespace),
            user => user.strip_prefix('_')?.parse().ok().map(Self::User),
        }
    }
}

/// What our tables and chains are called, or begin with.
const NAME: &str = "tollgate";

/// Rules for one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whose packets.
    pub scope: Scope,
    /// The relay's port.
    pub port: u16,
}

/// The programs that put rules in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// nftables.
    Nft(PathBuf),
    /// iptables, for IPv4 and IPv6.
    Iptables([Iptables; 2]),
}

/// iptables for one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iptables {
    family: Family,
    /// `iptables`, for single rules.
    single: PathBuf,
    /// `iptables-restore`, for many at once.
    restore: PathBuf,
}

/// Why rules are not in force.
#[derive(Debug)]
pub enum RedirectError {
    /// Neither program is here.
    NoTool,
    /// A program cannot be run.
    Io(PathBuf, std::io::Error),
    /// A program refused the rules; what it said.
    Refused(PathBuf, String),
}

impl fmt::Display for RedirectError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTool => out.write_str(
                "neither nft nor iptables is here; install nftables (apt install nftables, dnf install nftables, \
                 apk add nftables)",
            ),
            Self::Io(path, error) => write!(out, "{}: {error}", path.display()),
            Self::Refused(path, said) => write!(out, "{} refused the rules: {}", path.display(), said.trim()),
        }
    }
}

impl std::error::Error for RedirectError {}

impl fmt::Display for Rules {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match self.scope {
            _ if port == 0 => write!(out, "{}: one family has no rules", self.name()),
            Scope::Namespace => {
                write!(out, "all TCP and DNS, IPv4 and IPv6, to port {port}; the rest is refused")
            }
            Scope::User(uid) => {
                write!(out, "user {uid}: TCP and DNS, IPv4 and IPv6, to port {port}; the rest is refused")
            }
        }
    }
}

impl Tool {
    /// The one that is here, nft first. `PATH` of an ordinary user often lacks the directories for administrators.
    pub fn find() -> Result<Self, RedirectError> {
        if let Some(nft) = program("nft") {
            return Ok(Self::Nft(nft));
        }
        match (Iptables::find(Family::V4), Iptables::find(Family::V6)) {
            (Some(v4), Some(v6)) => Ok(Self::Iptables([v4, v6])),
            _ => Err(RedirectError::NoTool),
        }
    }

    /// The rules as text, each with the program that takes it.
    pub fn texts(&self, rules: Rules) -> Vec<(&Path, String)> {
        match self {
            Self::Nft(nft) => vec![(nft, rules.nft())],
            Self::Iptables(both) => {
                both.iter().map(|one| (one.restore.as_path(), rules.iptables(one.family))).collect()
            }
        }
    }

    /// Puts rules in force, in place of older ones of the same scope. At no moment is the scope open.
    pub fn install(&self, rules: Rules) -> Result<(), RedirectError> {
        match self {
            Self::Nft(nft) => run(nft, &["-f", "-"], &rules.nft()).map(drop),
            Self::Iptables(both) => both.iter().try_for_each(|one| one.install(rules)),
        }
    }

    /// Whether these rules are in force, with this port.
    pub fn is_installed(&self, rules: Rules) -> bool {
        let port = rules.port.to_string();
        let has_port = |said: String| said.split(|c: char| !c.is_ascii_digit()).any(|word| word == port);
        match self {
            Self::Nft(nft) => run(nft, &["list", "table", "inet", &rules.name()], "").is_ok_and(has_port),
            Self::Iptables(both) => both.iter().all(|one| {
                one.has_jumps(rules)
                    && run(&one.single, &["-w", "-t", "nat", "-S", &rules.name()], "").is_ok_and(has_port)
            }),
        }
    }

    /// Rules of ours that are in force here, for every scope. The port is 0 where a family lacks them. Empty too where
    /// this user may not look.
    pub fn installed(&self) -> Vec<Rules> {
        let names = match self {
            Self::Nft(nft) => run(nft, &["list", "tables"], "").map(|said| names(&said, "table inet ")),
            Self::Iptables([v4, _]) => {
                run(&v4.single, &["-w", "-t", "nat", "-S"], "").map(|said| names(&said, "-N "))
            }
        };
        let scopes = names.unwrap_or_default().into_iter().filter_map(|name| Scope::of(&name));
        scopes.map(|scope| Rules { scope, port: self.port(scope).unwrap_or(0) }).collect()
    }

    /// Where a scope's rules lead, if both families agree.
    fn port(&self, scope: Scope) -> Option<u16> {
        let name = Rules { scope, port: 0 }.name();
        match self {
            Self::Nft(nft) => {
                port_after("redirect to :", &run(nft, &["list", "table", "inet", &name], "").ok()?)
            }
            Self::Iptables(both) => {
                let ports = both.each_ref().map(|one| {
                    port_after("--to-ports ", &run(&one.single, &["-w", "-t", "nat", "-S", &name], "").ok()?)
                });
                ports[0].filter(|_| ports[0] == ports[1])
            }
        }
    }

    /// Takes the rules of a scope out of force. It is no error if there are none.
    pub fn uninstall(&self, scope: Scope) -> Result<(), RedirectError> {
        let rules = Rules { scope, port: 0 };
        match self {
            Self::Nft(nft) => {
                let name = rules.name();
                run(nft, &["-f", "-"], &format!("table inet {name}\ndelete table inet {name}\n")).map(drop)
            }
            Self::Iptables(both) => {
                for one in both {
                    one.uninstall(rules);
                }
                if both.iter().any(|one| one.has_jumps(rules)) {
                    return Err(RedirectError::Refused(
                        both[0].single.clone(),
                        "the rules are still there".to_owned(),
                    ));
                }
                Ok(())
            }
        }
    }
}

/// What follows `before` in the lines that begin with it, where it is a name of ours.
fn names(said: &str, before: &str) -> Vec<String> {
    said.lines().filter_map(|line| line.trim().strip_prefix(before)).map(str::to_owned).collect()
}

fn port_after(before: &str, said: &str) -> Option<u16> {
    let rest = &said[said.find(before)? + before.len()..];
    rest.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

/// Tables that our chains stand in.
const TABLES: [&str; 2] = ["nat", "filter"];

impl Iptables {
    fn find(family: Family) -> Option<Self> {
        let name = if family == Family::V4 { "iptables" } else { "ip6tables" };
        Some(Self { family, single: program(name)?, restore: program(&format!("{name}-restore"))? })
    }

    /// Fills the chains, then leads to them where nothing does yet.
    fn install(&self, rules: Rules) -> Result<(), RedirectError> {
        run(&self.restore, &["--noflush", "-w"], &rules.iptables(self.family))?;
        for table in TABLES {
            if !self.has_jump(table, rules) {
                self.jump(table, "-A", rules)?;
            }
        }
        Ok(())
    }

    fn has_jumps(&self, rules: Rules) -> bool {
        TABLES.iter().any(|table| self.has_jump(table, rules))
    }

    fn has_jump(&self, table: &str, rules: Rules) -> bool {
        self.jump(table, "-C", rules).is_ok()
    }

    fn jump(&self, table: &str, action: &str, rules: Rules) -> Result<(), RedirectError> {
        let jump = rules.jump();
        let words = ["-w", "-t", table, action, "OUTPUT"].into_iter().chain(jump.split(' '));
        run(&self.single, &words.collect::<Vec<_>>(), "").map(drop)
    }

    fn uninstall(&self, rules: Rules) {
        for table in TABLES {
            while self.jump(table, "-D", rules).is_ok() {}
            for action in ["-F", "-X"] {
                let _ = run(&self.single, &["-w", "-t", table, action, &rules.name()], ""); // it may not be there
            }
        }
    }
}

/// Runs a program with `input` on its standard input; gives what it printed.
fn run(program: &Path, arguments: &[&str], input: &str) -> Result<String, RedirectError> {
    let io = |error| RedirectError::Io(program.to_owned(), error);
    let mut child = Command::new(program)
        .args(arguments)
        .env("XTABLES_LOCKFILE", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes()); // a program that did not read says why on stderr
    }
    let output = child.wait_with_output().map_err(io)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(RedirectError::Refused(program.to_owned(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Looks along `PATH` and where administrators' programs lie.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(OsStr::new(name))).find(|file| file.is_file())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Rules {
    /// The name of our table or the prefix of our chains: one for each scope.
    pub fn name(self) -> String {
        match self.scope {
            Scope::Namespace => NAME.to_owned(),
            Scope::User(uid) => format!("{NAME}_{uid}"),
        }
    }

    /// One table, replaced as a whole. `ct status dnat` is what a redirect leaves behind: after it the output device
    /// is not known to be loopback yet.
    fn nft(self) -> String {
        let (name, port) = (self.name(), self.port);
        let other = match self.scope {
            Scope::Namespace => String::new(),
            Scope::User(uid) => format!("    meta skuid != {uid} accept\n"),
        };
        format!(
            "table inet {name}\ndelete table inet {name}\ntable inet {name} {{
  chain capture {{
    type nat hook output priority -100; policy accept;
{other}    meta l4proto {{ tcp, udp }} th dport 53 redirect to :{port}
    ip daddr 127.0.0.0/8 accept
    ip6 daddr ::1 accept
    meta l4proto tcp redirect to :{port}
  }}
  chain close {{
    type filter hook output priority 10; policy accept;
{other}    ct status dnat accept
    ct state related accept
    ip daddr 127.0.0.0/8 accept
    ip6 daddr ::1 accept
    reject with icmpx admin-prohibited
  }}
}}
"
        )
    }

    /// What leads from OUTPUT to our chain.
    fn jump(self) -> String {
        match self.scope {
            Scope::Namespace => format!("-j {}", self.name()),
            Scope::User(uid) => format!("-m owner --uid-owner {uid} -j {}", self.name()),
        }
    }

    /// Two chains for one family, flushed and filled in one go.
    fn iptables(self, family: Family) -> String {
        let (name, port) = (self.name(), self.port);
        let loopback = if family == Family::V4 { "127.0.0.0/8" } else { "::1/128" };
        format!(
            "*nat\n:{name} - [0:0]\n-F {name}
-A {name} -p tcp --dport 53 -j REDIRECT --to-ports {port}
-A {name} -p udp --dport 53 -j REDIRECT --to-ports {port}
-A {name} -d {loopback} -j RETURN
-A {name} -p tcp -j REDIRECT --to-ports {port}
COMMIT
*filter\n:{name} - [0:0]\n-F {name}
-A {name} -m conntrack --ctstate DNAT -j RETURN
-A {name} -m conntrack --ctstate RELATED -j RETURN
-A {name} -d {loopback} -j RETURN
-A {name} -j REJECT
COMMIT
"
        )
    }
}

/// Where a connection that such a rule took was going (`SO_ORIGINAL_DST` and its IPv6 twin, netfilter's conntrack);
/// `None` if it was coming to `local`.
pub fn original_destination(stream: &impl AsFd, local: SocketAddr) -> Option<SocketAddr> {
    let original = if local.ip().to_canonical().is_ipv4() {
        let found = getsockopt(stream, sockopt::OriginalDst).ok()?;
        let ip = IpAddr::from(u32::from_be(found.sin_addr.s_addr).to_be_bytes());
        SocketAddr::new(ip, u16::from_be(found.sin_port))
    } else {
        let found = getsockopt(stream, sockopt::Ip6tOriginalDst).ok()?;
        SocketAddr::new(IpAddr::from(found.sin6_addr.s6_addr), u16::from_be(found.sin6_port))
    };
    (original != local).then_some(original)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lesson_38_both_families_and_all_transports_are_covered() {
        let rules = Rules { scope: Scope::User(1234), port: 15_001 };
        let nft = Tool::Nft("nft".into());
        let nft = nft.texts(rules);
        assert_eq!(nft.len(), 1);
        for part in ["table inet tollgate_1234", "meta skuid != 1234 accept", "reject", "redirect to :15001"]
        {
            assert!(nft[0].1.contains(part), "{part}");
        }
        let one = |family| Iptables { family, single: "x".into(), restore: "y".into() };
        let both = Tool::Iptables([Family::V4, Family::V6].map(one));
        let both = both.texts(rules);
        assert_eq!(both.len(), 2);
        for (_, text) in &both {
            assert!(text.contains("-p udp --dport 53") && text.contains("-j REJECT"));
        }
    }

    #[test]
    fn rules_are_known_again_by_their_name() {
        for scope in [Scope::Namespace, Scope::User(4242)] {
            assert_eq!(Scope::of(&Rules { scope, port: 1 }.name()), Some(scope));
        }
        for other in ["tollgateway", "tollgate_", "tollgate_x", "nat"] {
            assert_eq!(Scope::of(other), None, "{other}");
        }
        let rules = Rules { scope: Scope::User(7), port: 15_001 };
        assert_eq!(port_after("redirect to :", &rules.nft()), Some(15_001));
        assert_eq!(port_after("--to-ports ", &rules.iptables(Family::V6)), Some(15_001));
    }

    #[test]
    fn lesson_36_a_namespace_asks_for_no_user() {
        let rules = Rules { scope: Scope::Namespace, port: 1 };
        assert!(!rules.nft().contains("skuid") && !rules.jump().contains("owner"));
        let user = Rules { scope: Scope::User(7), ..rules };
        assert!(user.nft().contains("skuid != 7 accept") && user.jump().contains("--uid-owner 7 "));
    }
}
