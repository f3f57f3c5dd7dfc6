//! Why a connection or an exchange ended badly, what the guest is told, and the one row that says so.
//!
//! Fail closed: an answer where the guest can read one, in the protocol that it speaks; else the end. Half a message
//! is never made to look whole (P18).

use crate::exchange::record::Failure;
use crate::exchange::refuse::{self, Reader, Reply};
use crate::exchange::{Exchange, Refusal};
use crate::leg;
use crate::policy::Why;
use crate::telemetry::event::{Decision, Event, NetEvent, Phase};
use crate::wire::body::Framing;
use crate::wire::hello::alert_record;

use super::drain::{self, Drain};
use super::request::Request;
use super::state::State;
use super::{Ask, Cx, Legs, Life, Session, Side};

/// A bad end.
#[derive(Debug)]
pub struct Fault {
    /// What the row says.
    pub decision: Decision,
    /// Where it happened.
    pub phase: Option<Phase>,
    /// What happened, for the record.
    pub label: String,
    /// The rule that decided, if one did.
    pub why: Option<Why>,
    /// What the guest is told.
    pub tell: Tell,
    /// The exchange that ends with it.
    pub exchange: Option<Box<Exchange>>,
    /// The row of a tunnel that ends with it.
    pub row: Option<Box<NetEvent>>,
    /// A part of the answer has left, so that another one cannot be given.
    pub answered: bool,
}

/// What the guest is told.
#[derive(Debug)]
pub enum Tell {
    /// An answer in HTTP.
    Http(Box<Refusal>),
    /// Bytes of the protocol that the guest speaks.
    Bytes(Vec<u8>),
    /// What the leg has queued by itself: a TLS alert.
    Queued,
    /// Nothing: the connection ends.
    Nothing,
    /// Nothing, and no row either: nobody lost anything.
    Silent,
    /// The same on a connection that was idle: TLS says that nothing follows.
    Farewell,
}

/// What the first request of a connection is told, decided before there was one.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The answer.
    pub refusal: Box<Refusal>,
}

impl Fault {
    fn new(decision: Decision, phase: Phase, label: impl Into<String>, tell: Tell) -> Self {
        Self {
            decision,
            phase: Some(phase),
            label: label.into(),
            why: None,
            tell,
            exchange: None,
            row: None,
            answered: false,
        }
    }

    /// An answer of our own ends the exchange.
    pub fn refused(refusal: Box<Refusal>, exchange: Option<Box<Exchange>>) -> Box<Self> {
        Box::new(Self {
            decision: refusal.decision,
            phase: refusal.phase,
            label: refusal.message.clone(),
            why: refusal.why.clone(),
            exchange,
            row: None,
            answered: false,
            tell: Tell::Http(refusal),
        })
    }

    /// The guest left before a request was read.
    pub fn left_early() -> Box<Self> {
        Box::new(Self::new(Decision::Aborted, Phase::Greet, "the guest left", Tell::Nothing))
    }

    /// Bytes of no protocol that we know.
    pub fn garbage(label: &str) -> Box<Self> {
        Box::new(Self::new(Decision::Denied, Phase::Greet, label, Tell::Nothing))
    }

    /// A client that speaks HTTP/2 without TLS: a GOAWAY after our empty SETTINGS says `HTTP_1_1_REQUIRED`
    /// (RFC 9113 §7).
    pub fn http2_preface() -> Box<Self> {
        const GOAWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\x0d";
        let label = "HTTP/2 without TLS is not supported";
        Box::new(Self::new(Decision::Denied, Phase::Greet, label, Tell::Bytes(GOAWAY.to_vec())))
    }

    /// A ClientHello that is none, or that we refuse.
    pub fn bad_hello(label: &str, alert: u8) -> Box<Self> {
        let tell = Tell::Bytes(alert_record(alert).to_vec());
        Box::new(Self::new(Decision::Denied, Phase::Hello, label, tell))
    }

    /// The first bytes took too long.
    pub fn late_hello(session: &Session) -> Box<Self> {
        let phase = if session.received { Phase::Hello } else { Phase::Greet };
        Box::new(Self::new(Decision::Failed, phase, "timeout: no whole hello or head came", Tell::Nothing))
    }

    /// The guest's handshake took too long.
    pub fn late_handshake() -> Box<Self> {
        let label = "timeout: the TLS handshake did not end";
        Box::new(Self::new(Decision::Failed, Phase::Handshake, label, Tell::Nothing))
    }

    /// The guest left during its handshake.
    pub fn left_in_handshake() -> Box<Self> {
        let label = "the guest left during the TLS handshake: does it trust the CA?";
        Box::new(Self::new(Decision::Aborted, Phase::Handshake, label, Tell::Nothing))
    }

    /// A drain that took its time: nothing more to say.
    pub fn drained() -> Box<Self> {
        Box::new(Self::new(Decision::Allowed, Phase::Body, "", Tell::Silent))
    }

    /// Says where it happened, if all that is known is that the connection ended.
    #[must_use]
    pub fn at(mut self, phase: Phase) -> Self {
        if matches!(self.tell, Tell::Nothing | Tell::Queued) {
            self.phase = Some(phase);
        }
        self
    }

    /// Nothing was under way: no row.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.tell = Tell::Silent;
        self
    }

    /// Nothing was under way, and a guest that still reads may know that nothing follows.
    #[must_use]
    pub fn farewell(mut self) -> Self {
        self.tell = Tell::Farewell;
        self
    }

    /// A SOCKS negotiation that failed.
    pub fn socks(label: &str, reply: Option<[u8; 10]>) -> Box<Self> {
        let tell = reply.map_or(Tell::Queued, |reply| Tell::Bytes(reply.to_vec()));
        Box::new(Self::new(Decision::Denied, Phase::Greet, format!("SOCKS: {label}"), tell))
    }

    /// A SOCKS request that the policy denies.
    pub fn socks_denied(reply: [u8; 10], why: Why) -> Box<Self> {
        let mut fault =
            Self::new(Decision::Denied, Phase::Greet, "SOCKS: denied", Tell::Bytes(reply.to_vec()));
        fault.why = Some(why);
        fault.phase = None;
        Box::new(fault)
    }

    /// Neither TLS nor (where that may be) HTTP inside a tunnel (P12).
    pub fn not_tls_inside() -> Box<Self> {
        let message = "only TLS may come inside a tunnel to this port".to_owned();
        Self::refused(Refusal::bad_request(400, message), None)
    }

    /// A TLS error, before it is known what it interrupts.
    pub fn tls(side: Side, error: &rustls::Error) -> Self {
        match side {
            Side::Guest => Self::new(Decision::Failed, Phase::Handshake, error.to_string(), Tell::Queued),
            Side::Origin => {
                let label = format!("{}: {error}", leg::origin_fault(error));
                *Self::refused(Refusal::upstream(502, Phase::Tls, label), None)
            }
        }
    }

    /// The guest's connection is gone.
    pub fn guest_gone() -> Self {
        Self::new(Decision::Aborted, Phase::Body, "the guest left", Tell::Nothing)
    }

    /// The operator ends it.
    pub fn cut(why: &'static str) -> Self {
        Self::new(Decision::Aborted, Phase::Body, why, Tell::Nothing)
    }
}

/// Ends what the fault interrupts: tells the guest, records, and gives what comes next.
pub fn conclude(
    fault: Fault,
    legs: &mut Legs,
    session: &mut Session,
    cx: &mut Cx<'_>,
) -> Result<State, Life> {
    if legs.origin.take().is_some() || fault.exchange.is_some() || fault.row.is_some() {
        cx.asks.push(Ask::HangUp);
    }
    let next = tell(&fault, legs, session, cx);
    record(fault, session, cx);
    next
}

fn tell(fault: &Fault, legs: &mut Legs, session: &Session, cx: &Cx<'_>) -> Result<State, Life> {
    match &fault.tell {
        Tell::Http(_) if fault.answered => {
            Ok(State::Drain(Drain::abrupt(legs, fault.exchange.as_deref(), cx)))
        }
        Tell::Http(refusal) if session.speaks_http => Ok(answer(refusal, fault, legs, cx)),
        Tell::Bytes(bytes) => {
            legs.guest.send(bytes);
            Ok(State::Drain(Drain::polite(legs, cx)))
        }
        Tell::Queued if legs.guest.queued() > 0 => Ok(State::Drain(Drain::alerted(legs, cx))),
        Tell::Farewell => {
            legs.guest.close();
            Err(Life::Over { reset: false })
        }
        Tell::Http(_) | Tell::Queued | Tell::Nothing | Tell::Silent => {
            let exchange = fault.exchange.as_deref().filter(|_| fault.answered);
            Err(Life::Over { reset: drain::would_look_whole(legs, exchange) })
        }
    }
}

fn answer(refusal: &Refusal, fault: &Fault, legs: &mut Legs, cx: &Cx<'_>) -> State {
    let exchange = fault.exchange.as_deref();
    let bodiless =
        exchange.is_some_and(|exchange| matches!(exchange.framing, Framing::None | Framing::Length(0)));
    let keeps = refusal.reply == Reply::KeepAlive && exchange.is_some_and(|exchange| exchange.keep_alive);
    let close = !(keeps && bodiless) || cx.draining;
    let reader = exchange
        .map_or(Reader { close, ..Reader::default() }, |exchange| exchange.reader(&cx.world.models, close));
    legs.guest.send(&refuse::answer(refusal, reader));
    if close { State::Drain(Drain::polite(legs, cx)) } else { State::Request(Request::next(cx)) }
}

fn record(fault: Fault, session: &Session, cx: &mut Cx<'_>) {
    if matches!(fault.tell, Tell::Silent | Tell::Farewell) && fault.exchange.is_none() && fault.row.is_none()
    {
        return;
    }
    let failure = fault.phase.map(|phase| Failure { phase, label: fault.label.clone() });
    if let Some(mut exchange) = fault.exchange {
        note_answer(&mut exchange.row, &fault.tell, fault.answered, fault.why.as_ref());
        exchange.finish(fault.decision, failure, cx.now, &cx.world.pricing, cx.events);
        return;
    }
    let whole_connection = || Box::new(session.row((cx.next_id)(), session.opened));
    let mut row = fault.row.unwrap_or_else(whole_connection);
    note_answer(&mut row, &fault.tell, fault.answered || !session.speaks_http, fault.why.as_ref());
    row.decision = fault.decision;
    row.fault_phase = fault.phase;
    row.fault = Some(fault.label);
    row.total_us = cx.now.wall.saturating_sub(row.started_at).max(0) as u64;
    cx.events.push(Event::Net(row));
}

fn note_answer(row: &mut NetEvent, tell: &Tell, answered: bool, why: Option<&Why>) {
    if let (Tell::Http(refusal), false) = (tell, answered) {
        row.status = Some(refusal.status);
    }
    if let Some(why) = why {
        row.rule = Some(why.rule.clone());
        row.rule_layer = Some(why.layer.as_str());
        row.reason.clone_from(&why.reason);
    }
}
