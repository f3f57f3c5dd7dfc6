//! The client's part: every script with both codings, what is no model call, and what policy refuses.
//!
//! Each step notes what must be true of it in the ledger afterwards. Half of them go by CONNECT, half as those of a
//! redirected guest, TLS at once.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::client::{Client, Opened, Reply, Request, Route};
use super::origin::{self, HOLD_FIELD, Origin};
use super::script::{self, Script};
use crate::model::usage::Call;

/// A key that the client sends with every request and that must not be found in the ledger's file (P36).
pub const SECRET: &str = "sk-demo-0123456789abcdef-never-at-rest";

/// A request that was made, and what must be true of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is, for a person.
    pub what: String,
    /// The host that was asked for.
    pub host: &'static str,
    /// Method, path and query; `None` for a refused CONNECT, which has no request yet.
    pub request: Option<(&'static str, &'static str)>,
    /// The ledger's word for how it ended.
    pub decision: &'static str,
    /// Rule and layer that a denial names.
    pub rule: Option<(Option<&'static str>, &'static str)>,
    /// The status that the client must have seen.
    pub status: u16,
    /// Bytes of the request's body.
    pub request_bytes: usize,
    /// The exact body that the origin sent, coded as sent; `None` where the proxy answers itself.
    pub sent: Option<Vec<u8>>,
    /// Bytes of that body before coding.
    pub decoded: usize,
    /// The model call it is.
    pub call: Option<Call>,
    /// What the client got.
    pub reply: Reply,
}

/// Everything that happened.
#[derive(Default)]
pub struct Played {
    /// The steps through the proxy, in order.
    pub steps: Vec<Step>,
    /// Delays from the origin's write of a held first event to the client's read of it, through the proxy.
    pub proxied: Vec<Duration>,
    /// The same on direct connections.
    pub direct: Vec<Duration>,
    /// Streams whose first event did not arrive while the origin held the rest back.
    pub late: Vec<String>,
}

/// Client, origin and proxy of a run.
pub struct Stage<'a> {
    /// The origin.
    pub origin: &'a Origin,
    /// The certificate that signs the origin's.
    pub origin_ca: &'a Path,
    /// Where the proxy listens.
    pub proxy: SocketAddr,
    /// The certificate that the proxy's guests trust.
    pub proxy_ca: &'a Path,
}

impl Stage<'_> {
    /// Plays everything, one request after the other.
    pub fn play(&self) -> io::Result<Played> {
        let direct = Client::new(Route::Direct(self.origin.address()), self.origin_ca)?;
        let routes = [
            Client::new(Route::Connect(self.proxy), self.proxy_ca)?,
            Client::new(Route::Transparent(self.proxy), self.proxy_ca)?,
        ];
        let mut played = Played::default();
        let scripts = script::all();
        let exchanges = scripts.iter().flat_map(|script| [(script, true), (script, false)]);
        for (n, (script, gzip)) in exchanges.enumerate() {
            let (straight, through) = (2 * n as u64, 2 * n as u64 + 1);
            let reply = self.ask(&direct, script, gzip, straight)?;
            played.direct.extend(self.first_event_delay(&reply, straight));
            // Over all scripts, each coding goes each way.
            let reply = self.ask(&routes[(n + n / 2) % 2], script, gzip, through)?;
            played.proxied.extend(self.first_event_delay(&reply, through));
            let step = Step::model_call(script, gzip, reply);
            if script.truth.stream && !self.origin.holds().was_seen_in_time(through) {
                played.late.push(step.what.clone());
            }
            played.steps.push(step);
        }
        played.steps.extend(around(&routes)?);
        Ok(played)
    }

    /// From the origin's write of a held first event to the client's read of it; `None` where nothing was held.
    fn first_event_delay(&self, reply: &Reply, hold: u64) -> Option<Duration> {
        Some(reply.first_byte?.saturating_duration_since(self.origin.holds().sent(hold)?))
    }

    /// Sends a script's request; a streamed answer is held until its first byte has arrived.
    fn ask(&self, client: &Client, script: &Script, gzip: bool, hold: u64) -> io::Result<Reply> {
        let id = hold.to_string();
        let mut fields = vec![
            ("Content-Type", "application/json"),
            ("Accept-Encoding", if gzip { "gzip, deflate" } else { "identity" }),
            ("Authorization", SECRET),
            ("x-api-key", SECRET),
        ];
        if script.truth.stream {
            fields.push((HOLD_FIELD, &id));
        }
        let request = Request {
            method: "POST",
            host: script.host,
            target: script.target,
            fields: &fields,
            body: script.request.as_bytes(),
        };
        match client.open(script.host)? {
            Opened::Link(mut link) => link.send(&request, &mut || self.origin.holds().release(hold)),
            Opened::Refused(reply) => Ok(reply),
        }
    }
}

impl Step {
    fn model_call(script: &Script, gzip: bool, reply: Reply) -> Self {
        Self {
            what: format!("{}, {}", script.name, if gzip { "gzip" } else { "identity" }),
            host: script.host,
            request: Some(("POST", script.target)),
            decision: "allowed",
            rule: None,
            status: 200,
            request_bytes: script.request.len(),
            sent: Some(origin::coded(script, gzip)),
            decoded: script.answer().len(),
            call: Some(script.truth.clone()),
            reply,
        }
    }

    fn plain(what: &str, request: &Request<'static>, sent: &str, reply: Reply) -> Self {
        Self {
            what: what.to_owned(),
            host: request.host,
            request: Some((request.method, request.target)),
            decision: "allowed",
            rule: None,
            status: 200,
            request_bytes: request.body.len(),
            sent: Some(sent.into()),
            decoded: sent.len(),
            call: None,
            reply,
        }
    }

    fn denied(
        what: &str,
        request: &Request<'static>,
        rule: (Option<&'static str>, &'static str),
        reply: Reply,
    ) -> Self {
        Self {
            what: what.to_owned(),
            host: request.host,
            request: None,
            decision: "denied",
            rule: Some(rule),
            status: 403,
            request_bytes: 0,
            sent: None,
            decoded: 0,
            call: None,
            reply,
        }
    }
}

/// A count of tokens, which is no model call; a repository that may be read; a path and a host that are denied.
fn around(routes: &[Client; 2]) -> io::Result<Vec<Step>> {
    const COUNT: Request<'static> = Request {
        method: "POST",
        host: "api.anthropic.com",
        target: "/v1/messages/count_tokens",
        fields: &[("Content-Type", "application/json")],
        body: br#"{"model":"claude-haiku-4-5","messages":[{"role":"user","content":"Say hello."}]}"#,
    };
    const READ: Request<'static> = Request {
        method: "GET",
        host: "api.github.com",
        target: "/repos/acme/tollgate",
        fields: &[],
        body: b"",
    };
    const WRITE: Request<'static> = Request { method: "POST", target: "/repos/acme/tollgate/issues", ..READ };
    const TRACK: Request<'static> = Request { host: "pixel.tracker.example", target: "/collect", ..READ };
    let user = (Some("nothing else on github"), "user");
    Ok(vec![
        Step::plain("count of tokens", &COUNT, origin::COUNT, routes[0].once(&COUNT)?),
        Step::plain("repository read", &READ, origin::REPOSITORY, routes[1].once(&READ)?),
        Step {
            request: Some((WRITE.method, WRITE.target)),
            ..Step::denied("repository write", &WRITE, user, routes[1].once(&WRITE)?)
        },
        Step::denied("blocked host", &TRACK, (None, "corp"), routes[0].once(&TRACK)?),
    ])
}
