//! Netfilter rules that send TCP and DNS to a relay and refuse everything else: as text for `nft`, or for
//! `iptables-restore` where that is all there is.
//!
//! Both families always (LESSONS 38), in one transaction each. The scope is a network namespace of its own, or one user
//! of a host, so that the proxy never captures itself (LESSONS 36).

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// The program that puts rules in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// nftables.
    Nft(PathBuf),
    /// iptables and ip6tables.
    Iptables {
        /// `iptables-restore`.
        v4: PathBuf,
        /// `ip6tables-restore`.
        v6: PathBuf,
    },
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
        match (program("iptables-restore"), program("ip6tables-restore")) {
            (Some(v4), Some(v6)) => Ok(Self::Iptables { v4, v6 }),
            _ => Err(RedirectError::NoTool),
        }
    }

    /// The text of the rules for each program that is run.
    pub fn texts(&self, rules: Rules) -> Vec<(&Path, String)> {
        match self {
            Self::Nft(nft) => vec![(nft, rules.nft())],
            Self::Iptables { v4, v6 } => {
                vec![(v4, rules.iptables(Family::V4)), (v6, rules.iptables(Family::V6))]
            }
        }
    }

    /// Puts rules in force, in place of older ones of the same scope.
    pub fn install(&self, rules: Rules) -> Result<(), RedirectError> {
        self.texts(rules).iter().try_for_each(|(program, text)| self.feed(program, text))
    }

    fn feed(&self, program: &Path, text: &str) -> Result<(), RedirectError> {
        let arguments: &[&str] = match self {
            Self::Nft(_) => &["-f", "-"],
            Self::Iptables { .. } => &["--noflush"],
        };
        run(program, arguments, text).map(drop)
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
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
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

    /// Two chains for one family, flushed and filled in one go.
    fn iptables(self, family: Family) -> String {
        let (name, port) = (self.name(), self.port);
        let loopback = if family == Family::V4 { "127.0.0.0/8" } else { "::1/128" };
        let jump = match self.scope {
            Scope::Namespace => format!("-A OUTPUT -j {name}"),
            Scope::User(uid) => format!("-A OUTPUT -m owner --uid-owner {uid} -j {name}"),
        };
        format!(
            "*nat\n:{name} - [0:0]\n-F {name}
-A {name} -p tcp --dport 53 -j REDIRECT --to-ports {port}
-A {name} -p udp --dport 53 -j REDIRECT --to-ports {port}
-A {name} -d {loopback} -j RETURN
-A {name} -p tcp -j REDIRECT --to-ports {port}
{jump}\nCOMMIT
*filter\n:{name} - [0:0]\n-F {name}
-A {name} -m conntrack --ctstate DNAT -j RETURN
-A {name} -m conntrack --ctstate RELATED -j RETURN
-A {name} -d {loopback} -j RETURN
-A {name} -j REJECT
{jump}\nCOMMIT
"
        )
    }
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
        for part in ["table inet tollgate_1234", "meta skuid != 1234 accept", "reject", "redirect to :15001"] {
            assert!(nft[0].1.contains(part), "{part}");
        }
        let both = Tool::Iptables { v4: "4".into(), v6: "6".into() };
        let both = both.texts(rules);
        assert_eq!(both.len(), 2);
        for (_, text) in &both {
            assert_eq!(text.matches("--uid-owner 1234").count(), 2);
            assert!(text.contains("-p udp --dport 53") && text.contains("-j REJECT"));
        }
    }

    #[test]
    fn lesson_36_a_namespace_asks_for_no_user() {
        let rules = Rules { scope: Scope::Namespace, port: 1 };
        assert!(!rules.nft().contains("skuid") && !rules.iptables(Family::V4).contains("owner"));
    }
}
