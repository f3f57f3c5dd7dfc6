//! Getting an origin connection: an idle one, or name, address check, connect and TLS, each with its own deadline
//! (P21). No byte of a request leaves before the origin has proved its name (P28).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::exchange::{Exchange, Refusal, decide};
use crate::leg::Leg;
use crate::limits::Micros;
use crate::policy::{Policy, Why};
use crate::telemetry::event::{NetEvent, Phase};

use super::fault::{Fault, Tell};
use super::state::{State, Step, Turn};
use super::stream::Stream;
use super::tunnel::{self, Splice, Tunnel};
use super::{Answer, Ask, Carriage, Cx, Legs, OriginAsk, Session};

/// An origin connection is on its way.
#[derive(Debug)]
pub struct Dial {
    goal: Goal,
    ask: OriginAsk,
    stage: Stage,
    /// When the stage began.
    began: Micros,
    /// When the stage has taken too long.
    pub deadline: Micros,
    reused: bool,
}

/// What the connection is for.
#[derive(Debug)]
pub enum Goal {
    /// One exchange.
    Exchange(Box<Exchange>),
    /// The guest's own bytes.
    Splice(Box<Splice>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waiting for a pooled connection or addresses.
    Asking,
    /// Connecting.
    Connecting,
    /// TLS handshake with the origin.
    Securing,
}

impl Stage {
    fn phase(self) -> Phase {
        match self {
            Self::Asking => Phase::Dns,
            Self::Connecting => Phase::Connect,
            Self::Securing => Phase::Tls,
        }
    }
}

impl Goal {
    fn row(&mut self) -> &mut NetEvent {
        match self {
            Self::Exchange(exchange) => &mut exchange.row,
            Self::Splice(splice) => &mut splice.row,
        }
    }

    fn ask(&self, fresh: bool) -> OriginAsk {
        match self {
            Self::Exchange(exchange) => {
                let to = &exchange.destination;
                let carriage = if to.secure { Carriage::Tls } else { Carriage::Plain };
                let fresh = fresh || exchange.upgrade.is_some();
                OriginAsk { host: to.host.clone(), port: to.port, carriage, fresh }
            }
            Self::Splice(splice) => {
                let (host, port) = (splice.target.host.clone(), splice.target.port);
                OriginAsk { host, port, carriage: Carriage::Opaque, fresh: true }
            }
        }
    }

    fn into_fault(self, mut fault: Fault) -> Fault {
        match self {
            Self::Exchange(exchange) => fault.exchange = Some(exchange),
            Self::Splice(splice) => {
                // What the guest speaks inside is its own affair: no answer of ours would be understood.
                fault.tell = Tell::Nothing;
                fault.row = Some(splice.row);
            }
        }
        fault
    }
}

impl Dial {
    /// Asks for an origin connection. `fresh` refuses idle ones.
    pub fn begin(goal: Goal, fresh: bool, cx: &mut Cx<'_>) -> State {
        let ask = goal.ask(fresh);
        cx.asks.push(Ask::Origin(ask.clone()));
        let deadline = cx.now.mono + cx.world.timeouts.dns;
        let dial = Self { goal, ask, stage: Stage::Asking, began: cx.now.mono, deadline, reused: false };
        State::Dial(Box::new(dial))
    }

    /// Goes on with what the world answered, or with the handshake.
    pub fn turn(
        mut self: Box<Self>,
        legs: &mut Legs,
        session: &mut Session,
        cx: &mut Cx<'_>,
        answer: Option<Answer>,
    ) -> Turn {
        if guest_left(legs) {
            return Err(self.fail(Fault::guest_gone()));
        }
        match answer {
            Some(Answer::Addresses { list }) => self.choose(&list, cx),
            Some(Answer::Mapped(list)) => Ok(self.connect_to(list, cx)),
            Some(Answer::Via(list)) => self.connect_via(list, cx),
            Some(Answer::Own) => Err(self.refuse_own()),
            Some(Answer::Unresolved(why)) => {
                let message = format!("{} cannot be resolved: {why}", self.ask.host);
                Err(self.refuse(Refusal::upstream(502, Phase::Dns, message)))
            }
            Some(Answer::Unreachable(why)) => {
                let message = format!("cannot connect to {}:{}: {why}", self.ask.host, self.ask.port);
                Err(self.refuse(Refusal::upstream(502, Phase::Connect, message)))
            }
            Some(Answer::Origin { leg, dialed, reused }) => {
                self.attach(leg, dialed, reused, legs, cx);
                self.secure(legs, session, cx)
            }
            None if self.stage == Stage::Securing => self.secure(legs, session, cx),
            None => Ok(Step::Wait(State::Dial(self))),
        }
    }

    /// Keeps the addresses that the policy lets through, and dials exactly those (P7).
    fn choose(mut self: Box<Self>, list: &Arc<[IpAddr]>, cx: &mut Cx<'_>) -> Turn {
        self.goal.row().dns_us = Some(cx.now.mono.saturating_sub(self.began));
        let mut refused: Option<Why> = None;
        let mut allowed = Vec::with_capacity(list.len());
        for &ip in list.iter() {
            match cx.world.policy.address(&self.ask.host, ip) {
                Ok(()) => allowed.push(SocketAddr::new(ip, self.ask.port)),
                Err(why) => refused = Some(why),
            }
        }
        if let Some(why) = refused.filter(|_| allowed.is_empty()) {
            self = self.forbid(why, cx)?;
            allowed.extend(list.iter().map(|&ip| SocketAddr::new(ip, self.ask.port)));
        }
        Ok(self.connect_to(allowed, cx))
    }

    /// The address is refused; in observe mode the row says so and it goes on.
    fn forbid(mut self: Box<Self>, why: Why, cx: &Cx<'_>) -> Result<Box<Self>, Box<Fault>> {
        let verb = if self.ask.host.ip().is_some() { "is" } else { "resolves to" };
        let what = format!("{} {verb} an address that may not be reached", self.ask.host);
        let refusal = Refusal::denied(why, what).closing();
        if !cx.world.policy.observe() {
            return Err(self.refuse(refusal));
        }
        decide::note_observed(self.goal.row(), &refusal);
        Ok(self)
    }

    /// Through the corporate proxy, which looks names up itself. A host that is an address, or a name that can only be
    /// loopback, is judged here all the same (P7).
    fn connect_via(self: Box<Self>, list: Vec<SocketAddr>, cx: &mut Cx<'_>) -> Turn {
        match cx.world.policy.fixed_address(&self.ask.host) {
            Err(why) => self.forbid(why, cx).map(|dial| dial.connect_to(list, cx)),
            Ok(()) => Ok(self.connect_to(list, cx)),
        }
    }

    fn connect_to(mut self: Box<Self>, list: Vec<SocketAddr>, cx: &mut Cx<'_>) -> Step {
        self.enter(Stage::Connecting, cx.world.timeouts.connect, cx);
        cx.asks.push(Ask::Dial(list));
        Step::Wait(State::Dial(self))
    }

    fn refuse_own(self: Box<Self>) -> Box<Fault> {
        let message = format!("{}:{} is this proxy itself", self.ask.host, self.ask.port);
        let mut refusal = Refusal::bad_request(403, message);
        refusal.phase = Some(Phase::Connect);
        self.refuse(refusal)
    }

    fn enter(&mut self, stage: Stage, allowance: Micros, cx: &Cx<'_>) {
        self.stage = stage;
        self.began = cx.now.mono;
        self.deadline = cx.now.mono + allowance;
    }

    fn attach(&mut self, leg: Box<Leg>, dialed: SocketAddr, reused: bool, legs: &mut Legs, cx: &Cx<'_>) {
        let took = cx.now.mono.saturating_sub(self.began);
        let row = self.goal.row();
        row.dialed = Some(dialed);
        if !reused {
            row.connect_us = Some(took);
        }
        self.reused = reused;
        legs.origin = Some(leg);
        self.enter(Stage::Securing, cx.world.timeouts.tls, cx);
    }

    fn secure(mut self: Box<Self>, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        let Some(leg) = &legs.origin else { return Ok(Step::Wait(State::Dial(self))) };
        if leg.is_handshaking() {
            if leg.is_exhausted() {
                let message = format!("{} closed during the TLS handshake", self.ask.host);
                return Err(self.refuse(Refusal::upstream(502, Phase::Tls, message)));
            }
            return Ok(Step::Wait(State::Dial(self)));
        }
        if matches!(self.goal, Goal::Exchange(_)) && (leg.unread() > 0 || leg.has_ended()) {
            return self.spoke_unasked(legs, cx);
        }
        if leg.is_tls() && !self.reused {
            self.goal.row().tls_us = Some(cx.now.mono.saturating_sub(self.began));
        }
        match self.goal {
            Goal::Exchange(exchange) => Ok(Step::Go(Stream::begin(exchange, self.reused, legs, cx))),
            Goal::Splice(splice) => Ok(Step::Go(Tunnel::splice(*splice, session, cx))),
        }
    }

    /// Bytes came, or the end, before anything was asked (P16). Nothing was sent, so that any request may try a fresh
    /// connection after a pooled one.
    fn spoke_unasked(self: Box<Self>, legs: &mut Legs, cx: &mut Cx<'_>) -> Turn {
        if !self.reused {
            let what = "closed, or answered before it was asked";
            let message = format!("{}:{} {what}", self.ask.host, self.ask.port);
            return Err(self.refuse(Refusal::upstream(502, Phase::FirstByte, message)));
        }
        legs.origin = None;
        cx.asks.push(Ask::HangUp);
        Ok(Step::Go(Self::begin(self.goal, true, cx)))
    }

    /// The stage has taken too long.
    pub fn expire(self: Box<Self>, _cx: &Cx<'_>) -> Box<Fault> {
        let what = match self.stage {
            Stage::Asking => "resolving its name",
            Stage::Connecting => "connecting",
            Stage::Securing => "the TLS handshake",
        };
        let message = format!("timeout: {what} took too long for {}:{}", self.ask.host, self.ask.port);
        let phase = self.stage.phase();
        self.refuse(Refusal::upstream(504, phase, message))
    }

    /// Whether a policy denies what the connection is for.
    pub fn is_denied_by(&self, policy: &Policy) -> bool {
        match &self.goal {
            Goal::Exchange(exchange) => decide::is_denied(exchange, policy),
            Goal::Splice(splice) => tunnel::may_not_splice(&splice.target, policy),
        }
    }

    /// A fault that came from outside a turn.
    pub fn into_fault(self, fault: Fault) -> Fault {
        let phase = self.stage.phase();
        self.goal.into_fault(fault.at(phase))
    }

    fn refuse(self: Box<Self>, refusal: Box<Refusal>) -> Box<Fault> {
        self.fail(*Fault::refused(refusal, None))
    }

    fn fail(self, fault: Fault) -> Box<Fault> {
        Box::new(self.into_fault(fault))
    }
}

/// Whether the guest has gone away. TLS without its transport is gone; a plain guest may have closed its own
/// direction and wait for the answer (RFC 9112 §9.6).
pub fn guest_left(legs: &Legs) -> bool {
    legs.guest.is_tls() && legs.guest.is_fin()
}
