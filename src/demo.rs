//! `tollgate demo`: an embedded origin, the proxy, and an embedded client, over real sockets.

use std::time::Instant;

pub mod client;
pub mod gzip;
pub mod http1;
pub mod origin;
pub mod script;

/// The demo's clock: it measures from outside, so it reads time itself.
#[expect(clippy::disallowed_methods, reason = "the demo stands outside the proxy and measures it")]
fn clock() -> Instant {
    Instant::now()
}
