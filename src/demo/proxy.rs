//! The proxy under demonstration: `tollgate serve` of this very executable, with files as an administrator writes
//! them. Only what every user has is used: a configuration, the line that says where it listens, SIGTERM, the ledger.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clock;
use super::place::Place;
use super::script;

/// Longest wait for the start and for the end of the proxy.
const PATIENCE: Duration = Duration::from_secs(20);

/// The user's rules: the model hosts, and one repository host of which a part may be read.
const USER: &str = r#"[network]
default = "deny"
allow = ["api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com", "api.github.com"]

[[http]]
name = "read acme's repositories"
host = "api.github.com"
methods = ["read"]
paths = ["/repos/acme/**"]
action = "allow"

[[http]]
name = "nothing else on github"
host = "api.github.com"
action = "deny"
reason = "agents read acme's repositories and change nothing"

[[sample]]
deny = "POST https://api.github.com/repos/acme/tollgate/issues"
"#;

/// The company's rules, which no user can lift.
const CORP: &str = r#"[network]
block = ["*.tracker.example"]
"#;

/// A running proxy; it is ended when dropped.
pub struct Proxy {
    child: Child,
    address: SocketAddr,
    state: PathBuf,
}

impl Proxy {
    /// Starts it before `origin`, whose certificates `origin_ca` signs.
    pub fn start(place: &Place, origin: SocketAddr, origin_ca: &Path) -> io::Result<Self> {
        let state = place.join("state");
        fs::write(place.join("user.toml"), USER)?;
        fs::write(place.join("corp.toml"), CORP)?;
        fs::write(place.join("tollgate.toml"), config(place, &state, origin, origin_ca))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--config"])
            .arg(place.join("tollgate.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(place.join("stderr"))?)
            .spawn()?;
        let address = child.stdout.take().and_then(|stdout| first_address(stdout, PATIENCE));
        if let Some(address) = address {
            return Ok(Self { child, address, state });
        }
        drop(child.kill());
        drop(child.wait());
        let said = fs::read_to_string(place.join("stderr"))?;
        Err(io::Error::other(format!("the proxy did not start: {}", said.trim_end())))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that its guests trust.
    pub fn ca_file(&self) -> PathBuf {
        self.state.join("ca.crt")
    }

    /// Ends it in good order, all rows written, and gives the ledger's file.
    pub fn stop(mut self) -> io::Result<PathBuf> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?;
        let end = clock() + PATIENCE;
        while clock() < end {
            match self.child.try_wait()? {
                None => thread::sleep(Duration::from_millis(5)),
                Some(status) if status.success() => return Ok(self.state.join("ledger.db")),
                Some(status) => return Err(io::Error::other(format!("the proxy ended with {status}"))),
            }
        }
        Err(io::Error::other("the proxy did not end after SIGTERM"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The first TCP address that `tollgate serve` says it listens on; `None` when it ends or stays silent.
pub fn first_address(stdout: ChildStdout, patience: Duration) -> Option<SocketAddr> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            drop(send.send(line)); // reads on when nobody listens, so that the child never blocks on a full pipe
        }
    });
    loop {
        let line = lines.recv_timeout(patience).ok()?;
        let address = line.strip_prefix("listening on ").map(|address| address.trim_start_matches("tcp://"));
        if let Some(Ok(address)) = address.map(str::parse) {
            return Some(address);
        }
    }
}

fn config(place: &Place, state: &Path, origin: SocketAddr, origin_ca: &Path) -> String {
    let quoted = |path: &Path| format!("{:?}", path.to_string_lossy());
    let mut text = format!(
        "state_dir = {}\n\n[[listen]]\naddress = \"tcp://127.0.0.1:0\"\n\n\
         [policy]\nuser = {}\ncorp = {}\n\n[upstream]\nextra_ca_files = [{}]\n\n[upstream.map]\n",
        quoted(state),
        quoted(&place.join("user.toml")),
        quoted(&place.join("corp.toml")),
        quoted(origin_ca),
    );
    let mut hosts: Vec<_> = script::all().iter().map(|script| script.host).collect();
    hosts.push("api.github.com");
    hosts.sort_unstable();
    hosts.dedup();
    for host in hosts {
        let _ = writeln!(text, "\"{host}:443\" = \"{origin}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Overrides};

    #[test]
    fn the_configuration_is_one_that_serve_reads() {
        let place = Place::new().expect("a private directory");
        let origin: SocketAddr = "127.0.0.1:9443".parse().expect("an address");
        let file = place.join("tollgate.toml");
        let text = config(&place, &place.join("state"), origin, &place.join("ca.crt"));
        fs::write(&file, &text).expect("a writable directory");
        let settings = config::load(Some(&file), &Overrides::default()).expect(&text);
        assert_eq!(settings.state_dir, place.join("state"));
        assert_eq!(settings.listeners().len(), 1);
        assert_eq!(settings.upstream.extra_ca_files, [place.join("ca.crt")]);
        assert_eq!(settings.policy.user, Some(place.join("user.toml")));
        assert_eq!(settings.policy.corp, Some(place.join("corp.toml")));
    }
}
