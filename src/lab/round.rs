//! One whole conversation, played by a script: what the guest sends, what the origins answer. The same script must
//! come out the same however the bytes are cut.

use crate::limits::SECOND;
use crate::telemetry::event::{Decision, NetEvent, Phase};
use crate::wire::head::Method;

use super::cuts::Cuts;
use super::normal::{self, Message};
use super::peer::End;
use super::{Lab, world};

/// How the guest comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// HTTP in clear.
    Plain,
    /// TLS at once, for this host.
    Tls(&'static str),
    /// CONNECT to port 443 of this host, then TLS.
    Connect(&'static str),
}

/// A conversation.
#[derive(Clone, Debug)]
pub struct Script {
    /// How the guest comes in.
    pub entrance: Entrance,
    /// What it sends then.
    pub guest: Vec<u8>,
    /// How its stream ends after that, if it does.
    pub guest_end: Option<End>,
    /// What origins answer: one reply for each whole request, in turn, then the last again and again.
    pub replies: Vec<Reply>,
    /// The user's policy.
    pub policy: &'static str,
}

/// What an origin does once it has read a whole request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What it sends.
    pub bytes: Vec<u8>,
    /// How its stream ends after that, if it does.
    pub end: Option<End>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that the guest received.
    pub guest: Vec<Message>,
    /// How its connection ended.
    pub guest_ended: Option<End>,
    /// The machine said goodbye in TLS.
    pub goodbye: bool,
    /// Whole requests in the order in which origins read them.
    pub requests: Vec<Message>,
    /// Requests that origins got a part of.
    pub unfinished: usize,
    /// The rows.
    pub rows: Vec<Row>,
    /// What origin connections were asked for. Whether one is kept may depend on when its end comes.
    pub asked: Vec<String>,
    /// Origin connections in the pool at the end.
    pub pooled: usize,
}

/// What is compared of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of NetEvent")]
pub struct Row {
    pub decision: Decision,
    pub phase: Option<Phase>,
    pub fault: Option<String>,
    pub status: Option<u16>,
    pub method: Option<Method>,
    pub path: Option<Box<[u8]>>,
}

impl Script {
    /// A plain guest in a world that allows everything.
    pub fn plain(guest: &[u8], replies: Vec<Reply>) -> Self {
        Self {
            entrance: Entrance::Plain,
            guest: guest.to_vec(),
            guest_end: None,
            replies,
            policy: world::ALLOW,
        }
    }
}

impl Reply {
    /// Bytes, and the connection stays.
    pub fn keep(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), end: None }
    }

    /// Bytes, and then an end.
    pub fn end(bytes: &[u8], end: End) -> Self {
        Self { bytes: bytes.to_vec(), end: Some(end) }
    }
}

/// Plays a script; `seed` says how the streams are cut (0 nowhere, 1 everywhere).
pub fn run(seed: u64, script: &Script) -> Outcome {
    let mut lab = Lab::with(world::world(script.policy), Cuts::from_seed(seed));
    match script.entrance {
        Entrance::Plain => {}
        Entrance::Tls(host) => lab.guest_begins_tls(host),
        Entrance::Connect(host) => lab.guest_connects(host),
    }
    lab.guest.send(&script.guest);
    if let Some(end) = script.guest_end {
        lab.guest.finish(end);
    }
    let mut played = Played::default();
    while lab.step() || played.answer(&mut lab, script) {}
    played.outcome(&mut lab)
}

/// What origins have read.
#[derive(Default)]
struct Played {
    requests: Vec<Message>,
    methods: Vec<Method>,
    unfinished: usize,
}

impl Played {
    /// Answers the request that has just become whole, if one has.
    fn answer(&mut self, lab: &mut Lab, script: &Script) -> bool {
        if !lab.has_origin() {
            return false;
        }
        let origin = lab.origin();
        let Some((message, used)) = normal::first_request(origin.received()) else { return false };
        if !message.complete {
            return false;
        }
        let rest = origin.take_received().split_off(used);
        origin.put_back(rest);
        let reply = script.replies.get(self.requests.len()).or(script.replies.last());
        if let Some(reply) = reply {
            origin.send(&reply.bytes);
            if let Some(end) = reply.end {
                origin.finish(end);
            }
        }
        self.methods.push(message.method);
        self.requests.push(message);
        true
    }

    fn outcome(mut self, lab: &mut Lab) -> Outcome {
        self.unfinished += lab.origins.iter().filter(|origin| !origin.received().is_empty()).count();
        if !lab.is_over() && lab.guest.ended.is_some() {
            // The guest sees the end and closes, or is given up after a while.
            lab.wait(10 * SECOND);
        }
        Outcome {
            guest: normal::responses(lab.guest.received(), &self.methods),
            guest_ended: lab.guest.ended,
            goodbye: lab.guest.was_told_goodbye(),
            requests: self.requests,
            unfinished: self.unfinished,
            rows: lab.rows().into_iter().map(Row::of).collect(),
            asked: lab.asked.iter().filter(|asked| asked.contains(' ')).cloned().collect(),
            pooled: lab.pooled(),
        }
    }
}

impl Row {
    fn of(row: &NetEvent) -> Self {
        Self {
            decision: row.decision,
            phase: row.fault_phase,
            fault: row.fault.clone(),
            status: row.status,
            method: row.method,
            path: row.path.clone(),
        }
    }
}
