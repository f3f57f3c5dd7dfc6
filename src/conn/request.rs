//! Reading a request head and judging it. Every request is judged anew, against the newest policy and with the same
//! identity as its connection (P6, LESSONS 27).

use crate::exchange::decide::judge;
use crate::exchange::{Destination, Exchange, Refusal, Settings};
use crate::limits::Micros;
use crate::policy::HostVerdict;
use crate::policy::host::Host;
use crate::telemetry::event::{Decision, Phase};
use crate::wire::head::{HeadError, HeadLimits, HeadScan, Method, RequestHead, parse_request};

use super::dial::{Dial, Goal};
use super::drain::Drain;
use super::fault::{Fault, Tell};
use super::greet::Greet;
use super::identity;
use super::session::Target;
use super::state::{State, Step, Turn};
use super::world::Gate;
use super::{Cx, HIGH_MARK, Legs, READ, Session};

/// Waiting for a request, or reading one.
#[derive(Debug)]
pub struct Request {
    scan: HeadScan,
    /// When it has taken too long.
    pub deadline: Micros,
    /// How much may wait unread: a head as large as allowed, and some of what follows it.
    pub mark: usize,
    /// How long the connection may idle, if it has served a request before.
    keep_alive: Option<Micros>,
    /// The first byte of the head has come. Empty lines before it are none (RFC 9112 §2.2).
    began: bool,
    /// The request line is whole and is one.
    line_read: bool,
    /// The ledger takes no new request: the head is complete and waits.
    held: bool,
}

/// How often a request that the ledger holds back looks whether it may go on.
const HOLD: Micros = 20_000;

impl Request {
    /// The first request of a connection; `deadline` covers the wait for it.
    pub fn first(deadline: Micros, cx: &Cx<'_>) -> Self {
        let limits = &cx.world.limits;
        let mark = limits.request_line + limits.header_block + READ;
        Self {
            scan: HeadScan::new(),
            deadline,
            mark,
            keep_alive: None,
            began: false,
            line_read: false,
            held: false,
        }
    }

    /// The next request on a connection that was kept alive.
    pub fn next(cx: &Cx<'_>) -> Self {
        let idle = cx.world.timeouts.keep_alive;
        Self { keep_alive: Some(idle), ..Self::first(cx.now.mono + idle, cx) }
    }

    /// Bytes of the last answer have left: the wait for the next request begins when the guest has it all.
    pub fn note_room(&mut self, now: Micros) {
        if let (Some(idle), false) = (self.keep_alive, self.began) {
            self.deadline = now + idle;
        }
    }

    /// Whether nothing of a head has come yet.
    pub fn is_idle(&self) -> bool {
        !self.began
    }

    /// Reads on, once the guest has taken most of the answers that wait for it.
    pub fn turn(mut self, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        if legs.guest.queued() >= HIGH_MARK {
            return Ok(Step::Wait(State::Request(self)));
        }
        if legs.guest.unread() == 0 {
            return self.wait(legs, session, cx);
        }
        session.received = true;
        if !self.began && legs.guest.inbox().iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            self.began = true;
            self.deadline = cx.now.mono + cx.world.timeouts.head;
        }
        let limits = head_limits(cx);
        let found = match self.scan.find(legs.guest.inbox(), &limits) {
            Ok(None) if legs.guest.gather() => self.scan.find(legs.guest.inbox(), &limits),
            other => other,
        };
        if let Ok(Some(len)) = found {
            return self.complete(len, legs, session, cx);
        }
        self.read_line(legs.guest.inbox(), session, cx)?;
        match found {
            Err(error) => Err(bad_head(error, None, session, cx)),
            Ok(_) => self.wait(legs, session, cx),
        }
    }

    /// Refuses what is no request line as soon as it is whole: a peer of another protocol may wait for us (P2).
    fn read_line(&mut self, inbox: &[u8], session: &mut Session, cx: &mut Cx<'_>) -> Result<(), Box<Fault>> {
        let start = inbox.iter().take_while(|&&byte| matches!(byte, b'\r' | b'\n')).count();
        let line = inbox[start..].split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
        if self.line_read || !line.ends_with(b"\n") {
            return Ok(());
        }
        self.line_read = true;
        let mut head = std::mem::take(&mut cx.scratch.request);
        let outcome = match parse_request(&[line, b"\r\n"].concat(), &mut head, &head_limits(cx)) {
            Ok(()) | Err(HeadError::NoHost) => Ok(()),
            Err(error) => Err(bad_head(error, Some(&head), session, cx)),
        };
        cx.scratch.request = head;
        outcome
    }

    fn wait(self, legs: &mut Legs, session: &Session, cx: &Cx<'_>) -> Turn {
        let nothing_lost = !self.began && (session.requests > 0 || !session.received);
        let over = legs.guest.has_ended();
        if nothing_lost && (over || cx.draining) {
            return Ok(Step::Go(State::Drain(Drain::polite(legs, cx))));
        }
        if over { Err(left_in_head()) } else { Ok(Step::Wait(State::Request(self))) }
    }

    /// The head is complete. It waits where the ledger is behind; nothing is read on until then.
    fn complete(mut self, len: usize, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        if cx.gate == Gate::Wait {
            self.held = true;
            self.scan.reset();
            self.deadline = cx.now.mono + HOLD;
            return Ok(Step::Wait(State::Request(self)));
        }
        let mut head = std::mem::take(&mut cx.scratch.request);
        let outcome = parse_request(&legs.guest.inbox()[..len], &mut head, &head_limits(cx));
        legs.guest.consume(len);
        session.requests += 1;
        let turn = match outcome {
            Ok(()) if head.method == Method::Connect => connect(&head, legs, session, cx),
            Ok(()) => accept(&head, session, cx),
            Err(error) => Err(bad_head(error, Some(&head), session, cx)),
        };
        cx.scratch.request = head;
        turn
    }

    /// The head, or the wait for it, has taken too long. A held head looks again.
    pub fn expire(mut self, session: &Session, cx: &Cx<'_>) -> Result<Self, Box<Fault>> {
        if self.held {
            self.held = false;
            self.deadline = cx.now.mono + cx.world.timeouts.head;
            return Ok(self);
        }
        let message = "timeout: the request head did not come in time".to_owned();
        let mut fault = Fault::refused(Refusal::upstream(408, Phase::Head, message), None);
        if !self.began {
            fault.tell = if session.requests > 0 { Tell::Farewell } else { Tell::Nothing };
        }
        Err(fault)
    }
}

fn head_limits(cx: &Cx<'_>) -> HeadLimits {
    let limits = &cx.world.limits;
    HeadLimits {
        request_line: limits.request_line,
        header_block: limits.header_block,
        header_fields: limits.header_fields,
    }
}

/// A head that HTTP forbids. Its row says what was read of it before that showed.
fn bad_head(error: HeadError, head: Option<&RequestHead>, session: &mut Session, cx: &Cx<'_>) -> Box<Fault> {
    session.speaks_http = true;
    let mut row = Box::new(session.row((cx.next_id)(), cx.now));
    row.scheme = if session.tls.is_some() { "https" } else { "http" };
    row.protocol = Some("h1");
    if let Some(head) = head.filter(|head| !head.target.as_bytes().is_empty()) {
        row.method = Some(head.method);
        row.path = Some(head.path().into());
        row.query = head.query().map(Into::into);
    }
    let mut fault = Fault::refused(Refusal::bad_request(error.status(), error.as_str().to_owned()), None);
    fault.row = Some(row);
    fault
}

fn left_in_head() -> Box<Fault> {
    let mut fault = Fault::left_early();
    fault.phase = Some(Phase::Head);
    fault
}

/// CONNECT: the host is judged, nothing is dialled yet. Inside a tunnel or TLS there is none (P12).
fn connect(head: &RequestHead, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
    if session.tls.is_some() || session.target.is_some() {
        return Err(refuse_head(
            Refusal::bad_request(405, "CONNECT inside a tunnel".into()),
            head,
            session,
            cx,
        ));
    }
    let authority = head.target.authority().unwrap_or_default();
    let target = match Host::parse_authority(authority) {
        Ok((host, port)) => Target { host, port: port.expect("parse_request takes no CONNECT without one") },
        Err(error) => return Err(bad_connect(error.as_str(), session)),
    };
    let (verdict, why) = cx.world.policy.host(&target.host, target.port);
    if verdict == HostVerdict::Deny && !cx.world.policy.observe() {
        let what = format!("{}:{} may not be talked to", target.host, target.port);
        session.target = Some(target);
        return Err(refuse_head(Refusal::denied(why, what).closing(), head, session, cx));
    }
    if let Some(why) = cx.world.denied_address(&target) {
        let what = format!("{}:{} may not be reached", target.host, target.port);
        session.target = Some(target);
        return Err(refuse_head(Refusal::denied(why, what).closing(), head, session, cx));
    }
    session.target = Some(target);
    session.requests = 0;
    legs.guest.send(b"HTTP/1.1 200 Connection established\r\n\r\n");
    Ok(Step::Go(State::Greet(Greet::inside(cx))))
}

fn bad_connect(what: &str, session: &mut Session) -> Box<Fault> {
    session.speaks_http = true;
    Fault::refused(Refusal::bad_request(400, format!("CONNECT: {what}")), None)
}

/// A refusal before there is a destination: the row still says what was asked.
fn refuse_head(refusal: Box<Refusal>, head: &RequestHead, session: &Session, cx: &mut Cx<'_>) -> Box<Fault> {
    let known = session.target.clone();
    let host = known.as_ref().map(|target| target.host.clone()).or_else(|| session.known_host());
    let Some(host) = host else { return Fault::refused(refusal, None) };
    let port = session.known_port().unwrap_or(443);
    let destination = Destination { host, port, secure: session.tls.is_some() || known.is_some() };
    Fault::refused(refusal, Some(Box::new(begin(head, destination, session, cx))))
}

fn begin(head: &RequestHead, to: Destination, session: &Session, cx: &mut Cx<'_>) -> Exchange {
    let settings = Settings {
        models: &cx.world.models,
        inspect: cx.world.limits.inspect,
        keep_headers: cx.world.keep_headers,
        keep_bodies: cx.world.keep_bodies,
    };
    Exchange::begin(session.row((cx.next_id)(), cx.now), cx.now, head, to, settings)
}

/// Any other request: identity, verdict, then an origin connection.
fn accept(head: &RequestHead, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
    let to = match identity::destination(session, head) {
        Ok(to) => to,
        Err(refusal) => return Err(refuse_head(refusal, head, session, cx)),
    };
    let mut exchange = Box::new(begin(head, to, session, cx));
    if let Some(verdict) = session.verdict.take() {
        return Err(Fault::refused(verdict.refusal, Some(exchange)));
    }
    if cx.gate == Gate::Refuse {
        return Err(Fault::refused(ledger_unavailable(), Some(exchange)));
    }
    if let Err(refusal) = judge(&mut exchange, head, &cx.world.policy, &session.client, &session.listener) {
        return Err(Fault::refused(refusal, Some(exchange)));
    }
    exchange.write_onward(head);
    Ok(Step::Go(Dial::begin(Goal::Exchange(exchange), false, cx)))
}

fn ledger_unavailable() -> Box<Refusal> {
    let message =
        "the ledger cannot be written, and this proxy is set to refuse what it cannot record".to_owned();
    let mut refusal = Refusal::upstream(503, Phase::Head, message);
    refusal.decision = Decision::Failed;
    refusal
}
