//! A refusal as the guest sees it: an HTTP answer that names the rule or the phase, in the shape its reader knows
//! (LESSONS 30). It refuses to guess: what is not known is not said.

use std::io::Write as _;

use crate::model::ModelTable;
use crate::model::refusal::{self, refusal_body};
use crate::policy::Why;
use crate::telemetry::event::{Decision, Phase};

use super::Exchange;

/// Why a request is answered by us and not by an origin.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What the row says.
    pub decision: Decision,
    /// The policy decided, so that observe mode lets it pass.
    pub by_policy: bool,
    /// The rule that decided.
    pub why: Option<Why>,
    /// The phase that failed.
    pub phase: Option<Phase>,
    /// A sentence for people.
    pub message: String,
    /// What becomes of the guest's connection.
    pub reply: Reply,
}

/// What becomes of the guest's connection after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It goes on, if the request had no body and the guest wants it to.
    KeepAlive,
    /// It ends.
    Close,
}

impl Refusal {
    fn new(status: u16, decision: Decision, phase: Option<Phase>, message: String) -> Box<Self> {
        let (by_policy, why, reply) = (false, None, Reply::Close);
        Box::new(Self { status, decision, by_policy, why, phase, message, reply })
    }

    /// A request that the policy denies; `what` says so, and the answer adds rule, layer and reason.
    pub fn denied(why: Why, what: String) -> Box<Self> {
        let plain = Self::new(403, Decision::Denied, None, what);
        Box::new(Self { by_policy: true, why: Some(why), reply: Reply::KeepAlive, ..*plain })
    }

    /// A request that could be read as another one than the host's rules judge: 400, by policy.
    pub fn two_readings(why: Why) -> Box<Self> {
        let plain = Self::bad_request(400, "the request can be read in two ways".into());
        Box::new(Self { by_policy: true, why: Some(why), ..*plain })
    }

    /// A request that HTTP forbids.
    pub fn bad_request(status: u16, message: String) -> Box<Self> {
        Self::new(status, Decision::Denied, Some(Phase::Head), message)
    }

    /// A request that names another identity than its connection (421, RFC 9110 §15.5.20).
    pub fn misdirected(phase: Phase, message: String) -> Box<Self> {
        Self::new(421, Decision::Denied, Some(phase), message)
    }

    /// An origin that could not be reached or understood: 502, or 504 where it was too slow.
    pub fn upstream(status: u16, phase: Phase, message: String) -> Box<Self> {
        Self::new(status, Decision::Failed, Some(phase), message)
    }

    /// The same, and the guest's connection ends with it.
    pub fn closing(mut self: Box<Self>) -> Box<Self> {
        self.reply = Reply::Close;
        self
    }

    /// One word for machines.
    fn error(&self) -> &'static str {
        match (self.decision, self.status) {
            (Decision::Denied, 403) => "denied",
            (Decision::Denied, 421) => "misdirected_request",
            (Decision::Denied, _) => "bad_request",
            (_, 408) => "request_timeout",
            (_, 503) => "ledger_unavailable",
            (_, 504) => "upstream_timeout",
            _ => "upstream_failed",
        }
    }
}

/// What the answer's shape depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader<'a> {
    /// The provider whose SDK may be reading.
    pub provider: Option<&'static str>,
    /// The request's Accept field.
    pub accept: Option<&'a [u8]>,
    /// The request was HEAD: the body stays away.
    pub head_only: bool,
    /// `Connection: close` goes along.
    pub close: bool,
}

impl Exchange {
    /// How this exchange's answer is to be shaped.
    pub fn reader(&self, models: &ModelTable, close: bool) -> Reader<'_> {
        Reader {
            provider: models.provider_of(self.destination.host.as_str()),
            accept: self.accept.as_deref(),
            head_only: self.method == crate::wire::head::Method::Head,
            close,
        }
    }
}

/// The whole answer, ready to send.
pub fn answer(refusal: &Refusal, reader: Reader<'_>) -> Vec<u8> {
    let facts = refusal::Refusal {
        status: refusal.status,
        error: refusal.error(),
        rule: refusal.why.as_ref().map(|why| &*why.rule),
        layer: refusal.why.as_ref().map(|why| why.layer.as_str()),
        reason: refusal.why.as_ref().and_then(|why| why.reason.as_deref()),
        phase: refusal.phase.map(Phase::as_str),
        message: &refusal.message,
    };
    let (content_type, body) = refusal_body(reader.provider, &facts, reader.accept);
    let mut out = Vec::with_capacity(256 + body.len());
    let status = refusal.status;
    let written = write!(
        out,
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\n{}\r\n",
        phrase(status),
        body.len(),
        if reader.close { "Connection: close\r\n" } else { "" },
    );
    debug_assert!(written.is_ok(), "a Vec takes every write");
    if !reader.head_only {
        out.extend_from_slice(&body);
    }
    out
}

/// Reason phrases of RFC 9110 §15 for what we answer ourselves.
pub fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
