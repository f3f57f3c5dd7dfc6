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
            Scope::Namespace => "tollgate".to_owned(),
            Scope::User(uid) => format!("tollgate_{uid}"),
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
    fn lesson_36_a_namespace_asks_for_no_user() {
        let rules = Rules { scope: Scope::Namespace, port: 1 };
        assert!(!rules.nft().contains("skuid") && !rules.jump().contains("owner"));
        let user = Rules { scope: Scope::User(7), ..rules };
        assert!(user.nft().contains("skuid != 7 accept") && user.jump().contains("--uid-owner 7 "));
    }
}
