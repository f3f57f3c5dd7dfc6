//! What the end-to-end tests share: an origin that does exactly what a test says, the proxy as a process, a client
//! that sends raw bytes, and the finders of other people's clients.
//!
//! A test never leaves the machine: every origin is the test's own, on loopback.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod certs;
pub mod client;
pub mod counts;
pub mod frames;
pub mod gate;
pub mod jail;
pub mod ledger;
pub mod models;
pub mod origin;
pub mod proxy;
pub mod tools;

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must come soon.
pub const SOON: Duration = Duration::from_secs(5);

/// The tests' clock.
#[expect(clippy::disallowed_methods, reason = "tests stand outside the proxy and measure it")]
pub fn now() -> Instant {
    Instant::now()
}

/// Asks again every few milliseconds until `ask` gives something; panics, naming `what`, after [`SOON`].
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = now() + SOON;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(now() < end, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
