//! `tollgate demo`: an embedded origin, the proxy, and an embedded client, over real sockets.
//!
//! - [`script`]: what is asked and answered in each wire format, and what it amounts to, as data.
//! - [`origin`], with [`http1`] and [`gzip`]: the model providers, over TLS on loopback.
//! - [`proxy`]: a whole proxy before it, with a real policy.
//! - [`client`], [`play`]: the guest, and what it does.
//! - [`ledger`], [`check`], [`report`]: what was recorded, whether it is true, and how it is shown.
//!
//! The demo stands outside the proxy and judges it: it shares neither parsers nor meters with it, reads its own clock,
//! and blocks. It never leaves loopback.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cert::{Authority, CertError, MintOptions, Minter};
use crate::policy::host::Host;
use crate::telemetry::query::QueryError;
use check::Checks;
use ledger::Ledger;
use origin::Origin;
use place::Place;
use play::{Played, SECRET, Stage};
use proxy::{Proxy, Remains};

pub mod check;
pub mod client;
pub mod gzip;
pub mod http1;
pub mod ledger;
pub mod origin;
pub mod place;
pub mod play;
pub mod proxy;
pub mod report;
pub mod script;

/// What a run showed.
pub struct Outcome {
    /// What the proxy recorded.
    pub ledger: Ledger,
    /// Whether it is what the origin sent.
    pub checks: Checks,
    /// Median delay of the first event through the proxy.
    pub proxied: Duration,
    /// Median delay of the first event on a direct connection.
    pub direct: Duration,
    /// How many streams the medians are of.
    pub streams: usize,
    /// How long the run took.
    pub elapsed: Duration,
}

impl Outcome {
    /// What the proxy adds to the first event, in microseconds.
    pub fn first_event_added_us(&self) -> i64 {
        self.proxied.as_micros() as i64 - self.direct.as_micros() as i64
    }
}

/// Why there is nothing to show.
#[derive(Debug)]
pub enum DemoError {
    /// A socket, a file or the proxy's process; the first part says what was done.
    Io(&'static str, io::Error),
    /// The origin's certificates.
    Cert(CertError),
    /// The ledger cannot be read.
    Ledger(QueryError),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(doing, error) => write!(f, "{doing}: {error}"),
            Self::Cert(error) => write!(f, "the origin's certificates: {error}"),
            Self::Ledger(error) => write!(f, "reading the ledger: {error}"),
        }
    }
}

/// Plays the whole demo once.
pub fn run() -> Result<Outcome, DemoError> {
    let start = clock();
    let place = Place::new().map_err(|error| DemoError::Io("making a private directory", error))?;
    let origin_dir = place.join("origin");
    let origin = start_origin(&origin_dir)?;
    let origin_ca = origin_dir.join("ca.crt");
    let proxy = Proxy::start(&place, origin.address(), &origin_ca)
        .map_err(|error| DemoError::Io("starting the proxy", error))?;
    let stage =
        Stage { origin: &origin, origin_ca: &origin_ca, proxy: proxy.address(), proxy_ca: &proxy.ca_file() };
    let played = stage.play().map_err(|error| DemoError::Io("talking through the proxy", error))?;
    let remains = proxy.stop().map_err(|error| DemoError::Io("stopping the proxy", error))?;
    let ledger = Ledger::read(&remains.ledger).map_err(DemoError::Ledger)?;
    let checks = judge(&played, &ledger, &origin, &remains);
    Ok(Outcome {
        ledger,
        checks,
        proxied: median(&played.proxied),
        direct: median(&played.direct),
        streams: played.proxied.len(),
        elapsed: start.elapsed(),
    })
}

/// The origin with an authority of its own, which signs a certificate for whatever name is asked for.
fn start_origin(dir: &Path) -> Result<Origin, DemoError> {
    fs::create_dir(dir).map_err(|error| DemoError::Io("making a private directory", error))?;
    let authority = Authority::open_or_create(dir, wall_clock()).map_err(DemoError::Cert)?;
    let minter = Arc::new(Minter::new(authority, &MintOptions::default()).map_err(DemoError::Cert)?);
    let identity = move |name: &str| {
        let host = Host::parse(name.as_bytes()).map_err(|_| io::Error::other("no server name"))?;
        minter.server_config(&host, wall_clock()).map_err(|error| io::Error::other(error.to_string()))
    };
    Origin::start(Box::new(identity)).map_err(|error| DemoError::Io("starting the origin", error))
}

fn judge(played: &Played, ledger: &Ledger, origin: &Origin, remains: &Remains) -> Checks {
    let mut checks = Checks::of(played, ledger);
    checks.holds("no event was lost", remains.lost == 0);
    let secret_at_rest = fs::read(&remains.ledger)
        .is_ok_and(|bytes| memchr::memmem::find(&bytes, SECRET.as_bytes()).is_some());
    checks.holds("the client's key is not at rest in the ledger", !secret_at_rest);
    for step in played.steps.iter().filter(|step| step.decision == "denied") {
        let reached = origin.seen().iter().any(|seen| {
            seen.host == step.host
                && step.request.is_none_or(|(method, target)| {
                    (seen.method.as_str(), seen.target.as_str()) == (method, target)
                })
        });
        checks.holds(&format!("{}: nothing of it reached the origin", step.what), !reached);
    }
    checks
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The demo's clock.
#[expect(clippy::disallowed_methods, reason = "the demo stands outside the proxy and measures it")]
fn clock() -> Instant {
    Instant::now()
}

/// Unix microseconds, for the origin's certificates.
#[expect(clippy::disallowed_methods, reason = "the demo stands outside the proxy and is its own origin")]
fn wall_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::client::{Client, Opened, Request, Route};
    use super::origin::HOLD_FIELD;
    use super::*;

    /// Asks the origin directly, with or without gzip.
    fn ask(origin: &Origin, ca: &Path, script: &script::Script, gzip: bool, hold: u64) -> client::Reply {
        let client = Client::new(Route::Direct(origin.address()), ca).expect("a client");
        let Opened::Link(mut link) = client.open(script.host).expect("an origin") else {
            panic!("no proxy here")
        };
        let hold_id = hold.to_string();
        let coding = if gzip { "gzip" } else { "identity" };
        let fields = [("Accept-Encoding", coding), (HOLD_FIELD, hold_id.as_str())];
        let (host, target, body) = (script.host, script.target, script.request.as_bytes());
        let request = Request { method: "POST", host, target, fields: &fields, body };
        link.send(&request, &mut || origin.holds().release(hold)).expect("an answer")
    }

    #[test]
    fn the_origin_speaks_every_script_and_holds_streams() {
        let place = Place::new().expect("a private directory");
        let origin = start_origin(&place.join("origin")).expect("an origin");
        let ca = place.join("origin").join("ca.crt");
        for (n, script) in script::all().iter().enumerate() {
            for gzip in [true, false] {
                let hold = n as u64 * 2 + u64::from(gzip);
                let reply = ask(&origin, &ca, script, gzip, hold);
                assert_eq!(reply.status, 200, "{}", script.name);
                assert_eq!(reply.body, origin::coded(script, gzip), "{}", script.name);
                assert_eq!(reply.head.field("content-encoding"), gzip.then_some("gzip"));
                assert_eq!(origin.holds().was_seen_in_time(hold), script.truth.stream, "{}", script.name);
            }
        }
        assert_eq!(origin.seen().len(), script::all().len() * 2);
    }

    #[test]
    fn the_median_is_the_middle() {
        let times = [9, 1, 5].map(Duration::from_micros);
        assert_eq!(median(&times), Duration::from_micros(5));
        assert_eq!(median(&[]), Duration::ZERO);
    }
}
