//! Bytes both ways: what the policy splices, and a WebSocket after its 101. Nothing is held: what comes from one
//! side leaves to the other, and a tap walks a WebSocket's frames beside it.

use crate::exchange::record::Failure;
use crate::exchange::websocket::{Frames, Recorder};
use crate::exchange::{Exchange, Refusal, decide};
use crate::limits::Micros;
use crate::policy::{HostVerdict, Policy, Why};
use crate::telemetry::event::{Decision, Event, NetEvent, Phase};

use super::dial::{Dial, Goal};
use super::drain::Drain;
use super::fault::{Fault, Tell};
use super::session::Target;
use super::state::{State, Step, Turn};
use super::{Ask, Cx, HIGH_MARK, Legs, Session};

/// A connection that is to be spliced.
#[derive(Debug)]
pub struct Splice {
    /// Where it goes.
    pub target: Target,
    /// Its row.
    pub row: Box<NetEvent>,
}

/// Whether a policy has what goes to this host read or refused, so that a splice under way is one that it would not begin.
pub fn may_not_splice(target: &Target, policy: &Policy) -> bool {
    !policy.observe() && policy.host(&target.host, target.port).0 != HostVerdict::Splice
}

/// What is known of bytes that are spliced: the ledger's `scheme`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// They began with a ClientHello.
    Tls,
    /// They are neither TLS nor HTTP.
    Tcp,
}

/// Begins to splice: an origin connection is asked for, the guest's bytes wait untouched.
pub fn splice(target: Target, scheme: Scheme, why: &Why, session: &Session, cx: &mut Cx<'_>) -> State {
    let mut row = Box::new(session.row((cx.next_id)(), cx.now));
    row.scheme = match scheme {
        Scheme::Tls => "tls",
        Scheme::Tcp => "tcp",
    };
    row.protocol = Some("opaque");
    row.host = Some(target.host.shared());
    row.port = Some(target.port);
    row.rule = Some(why.rule.clone());
    row.rule_layer = Some(why.layer.as_str());
    row.reason.clone_from(&why.reason);
    Dial::begin(Goal::Splice(Box::new(Splice { target, row })), true, cx)
}

/// Bytes both ways.
#[derive(Debug)]
pub struct Tunnel {
    kind: Kind,
    idle: Micros,
    /// When both sides have been silent for too long.
    pub deadline: Micros,
}

#[derive(Debug)]
enum Kind {
    Splice(Target, Box<NetEvent>),
    WebSocket(Box<Exchange>, Box<Frames>),
}

impl Tunnel {
    /// Splices, now that the origin is connected.
    pub fn splice(splice: Splice, session: &mut Session, cx: &Cx<'_>) -> State {
        session.speaks_http = false;
        Self::begin(Kind::Splice(splice.target, splice.row), cx)
    }

    /// A WebSocket whose 101 has just gone to the guest.
    pub fn websocket(exchange: Box<Exchange>, cx: &Cx<'_>) -> State {
        let frames = Frames::new(&exchange, cx.world.limits.inspect);
        Self::begin(Kind::WebSocket(exchange, Box::new(frames)), cx)
    }

    fn begin(kind: Kind, cx: &Cx<'_>) -> State {
        let idle = cx.world.timeouts.body;
        State::Tunnel(Box::new(Self { kind, idle, deadline: cx.now.mono + idle }))
    }

    /// Whether a policy denies what is under way.
    pub fn is_denied_by(&self, policy: &Policy) -> bool {
        match &self.kind {
            Kind::WebSocket(exchange, _) => decide::is_denied(exchange, policy),
            Kind::Splice(target, _) => may_not_splice(target, policy),
        }
    }

    /// A byte came.
    pub fn touch(&mut self, now: Micros) {
        self.deadline = now + self.idle;
    }

    /// Moves what can be moved.
    pub fn turn(mut self: Box<Self>, legs: &mut Legs, _session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        let Some(origin) = legs.origin.as_deref_mut() else { return Err(self.fail(Fault::guest_gone(), cx)) };
        let guest = &mut legs.guest;
        while !guest.inbox().is_empty() && origin.queued() < HIGH_MARK {
            let piece = guest.inbox();
            origin.send(piece);
            self.kind.see(true, piece, cx);
            let len = piece.len();
            guest.consume(len);
        }
        while !origin.inbox().is_empty() && guest.queued() < HIGH_MARK {
            let piece = origin.inbox();
            guest.send(piece);
            self.kind.see(false, piece, cx);
            let len = piece.len();
            origin.consume(len);
        }
        let both_ended = guest.is_exhausted() && origin.is_exhausted();
        let one_ended = guest.is_exhausted() || origin.is_exhausted();
        let all_left = guest.queued() == 0 && origin.queued() == 0;
        let websocket = matches!(self.kind, Kind::WebSocket(..));
        if all_left && (both_ended || (websocket && one_ended) || self.kind.is_over()) {
            return Ok(self.finish(legs, cx));
        }
        Ok(Step::Wait(State::Tunnel(self)))
    }

    fn finish(self, legs: &mut Legs, cx: &mut Cx<'_>) -> Step {
        legs.origin = None;
        cx.asks.push(Ask::HangUp);
        match self.kind {
            Kind::Splice(_, mut row) => {
                row.decision = Decision::Spliced;
                row.total_us = (cx.now.wall - row.started_at).max(0) as u64;
                cx.events.push(Event::Net(row));
            }
            Kind::WebSocket(exchange, frames) => {
                let (decision, failure) = match (frames.was_closed(), legs.guest.is_exhausted()) {
                    (true, _) => (Decision::Allowed, None),
                    (false, true) => (Decision::Aborted, Some("the guest left without a close frame")),
                    (false, false) => (Decision::Failed, Some("the origin left without a close frame")),
                };
                let failure = failure.map(|label| Failure { phase: Phase::Body, label: label.to_owned() });
                let with = Recorder { events: cx.events, pricing: &cx.world.pricing };
                frames.finish(exchange, decision, failure, cx.now, with);
            }
        }
        Step::Go(State::Drain(Drain::polite(legs, cx)))
    }

    /// Both sides were silent for too long.
    pub fn expire(self: Box<Self>, cx: &mut Cx<'_>) -> Box<Fault> {
        let message = "timeout: both sides were silent".to_owned();
        let mut fault = *Fault::refused(Refusal::upstream(504, Phase::Body, message), None);
        fault.tell = Tell::Nothing;
        self.fail(fault, cx)
    }

    /// A fault that came from outside a turn.
    pub fn into_fault(self, fault: Fault, cx: &mut Cx<'_>) -> Fault {
        let mut fault = fault.at(Phase::Body);
        match self.kind {
            Kind::Splice(_, row) => {
                // A splice that was established is one, however it ended.
                fault.decision = Decision::Spliced;
                fault.row = Some(row);
            }
            Kind::WebSocket(exchange, frames) => {
                let with = Recorder { events: cx.events, pricing: &cx.world.pricing };
                fault.exchange = Some(frames.settle(exchange, cx.now, with));
            }
        }
        fault.answered = true;
        fault
    }

    fn fail(self, fault: Fault, cx: &mut Cx<'_>) -> Box<Fault> {
        Box::new(self.into_fault(fault, cx))
    }
}

impl Kind {
    /// Whether nothing more can come: a WebSocket's end was agreed on (RFC 6455 §7.1.4).
    fn is_over(&self) -> bool {
        matches!(self, Self::WebSocket(_, frames) if frames.is_over())
    }

    fn see(&mut self, from_guest: bool, piece: &[u8], cx: &mut Cx<'_>) {
        let row = match self {
            Self::Splice(_, row) => row,
            Self::WebSocket(exchange, frames) => {
                let with = Recorder { events: cx.events, pricing: &cx.world.pricing };
                frames.see(exchange, from_guest, piece, cx.now, with);
                &mut exchange.row
            }
        };
        let count = if from_guest { &mut row.request_bytes } else { &mut row.response_bytes };
        *count += piece.len() as u64;
    }
}
