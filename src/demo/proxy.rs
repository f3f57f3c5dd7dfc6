//! The proxy under demonstration: a whole [`Service`] on loopback, with files as an administrator writes them.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::clock;
use super::place::Place;
use super::script;
use crate::config::{self, Overrides};
use crate::service::{Identity, Service};

/// Longest wait for running exchanges at the end.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// A running proxy.
pub struct Proxy {
    service: Service,
    address: SocketAddr,
    state: PathBuf,
}

/// What a proxy leaves behind.
pub struct Remains {
    /// The ledger's file.
    pub ledger: PathBuf,
    /// Events that could not be written to it.
    pub lost: u64,
}

impl Proxy {
    /// Starts it before `origin`, whose certificates `origin_ca` signs.
    pub fn start(place: &Place, origin: SocketAddr, origin_ca: &Path) -> io::Result<Self> {
        let state = place.join("state");
        let file = place.join("tollgate.toml");
        fs::write(place.join("user.toml"), USER)?;
        fs::write(place.join("corp.toml"), CORP)?;
        fs::write(&file, config(place, &state, origin, origin_ca))?;
        let settings = config::load(Some(&file), &Overrides::default()).map_err(io::Error::other)?;
        let identity = Identity { name: Some("demo".to_owned()), command: None };
        let service = Service::start(settings, identity, &mut |_| ()).map_err(io::Error::other)?;
        let address = service.listening().first().and_then(|name| name.strip_prefix("tcp://")?.parse().ok());
        let address = address.ok_or_else(|| io::Error::other("it listens nowhere"))?;
        Ok(Self { service, address, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that its guests trust.
    pub fn ca_file(&self) -> PathBuf {
        self.state.join("ca.crt")
    }

    /// Ends it in good order, all rows written.
    pub fn stop(self) -> io::Result<Remains> {
        self.service.drain();
        let end = clock() + PATIENCE;
        while !self.service.has_ended() && clock() < end {
            thread::sleep(Duration::from_millis(2));
        }
        self.service.cut();
        let closed = self.service.finish().map_err(io::Error::other)?;
        Ok(Remains { ledger: self.state.join("ledger.db"), lost: closed.lost })
    }
}

/// Not confined: this process is the client, the origin and the one who clears up, too.
fn config(place: &Place, state: &Path, origin: SocketAddr, origin_ca: &Path) -> String {
    let quoted = |path: &Path| format!("{:?}", path.to_string_lossy());
    let mut text = format!(
        "state_dir = {}\nconfine = \"off\"\n\n[[listen]]\naddress = \"tcp://127.0.0.1:0\"\n\n\
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
