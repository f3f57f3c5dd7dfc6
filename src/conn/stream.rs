//! Request and response on their way: two bodies pumped at once, each from its own sender at its own pace.
//!
//! A response may begin before its request has ended; then the guest's connection ends with it, because what is left
//! of the request cannot be told from the next one (P16). After half a response nothing is added that could make it
//! look whole (P18). A request is sent again only if it is idempotent, has no body, and the pooled connection ended
//! before a byte of an answer (P30).

use crate::exchange::{Exchange, Refusal};
use crate::leg::Leg;
use crate::limits::Micros;
use crate::telemetry::event::{Decision, Phase};
use crate::wire::body::{BodyLimits, Decoder, Framing};
use crate::wire::head::{HeadLimits, HeadScan, ResponseHead, Upgrade, Version, parse_response};
use crate::wire::websocket;

use super::dial::{Dial, Goal, guest_left};
use super::drain::Drain;
use super::fault::Fault;
use super::pump::Flow;
use super::request::Request;
use super::state::{State, Step, Turn};
use super::tunnel::Tunnel;
use super::{Ask, Cx, Legs, READ, Session};

/// An exchange under way.
#[derive(Debug)]
pub struct Stream {
    exchange: Box<Exchange>,
    upload: Flow,
    download: Download,
    /// The guest's connection ends after this exchange.
    close: bool,
    /// The origin's connection can carry another exchange.
    origin_keeps: bool,
    /// The origin connection has served before.
    reused: bool,
    /// The origin's transport broke: what it sent before still counts.
    origin_lost: bool,
    /// The final head has gone to the guest, so that another answer cannot be given.
    begun: bool,
    /// When the last byte of the request left.
    sent_at: Option<Micros>,
    /// When a byte last came or left.
    activity: Micros,
    first_byte: Micros,
    body_idle: Micros,
    /// How large a response head may be.
    head_mark: usize,
}

#[derive(Debug)]
enum Download {
    /// Waiting for a response head, or reading one.
    Head { scan: HeadScan, interim: u32 },
    /// The body is on its way.
    Body(Flow),
}

impl Stream {
    /// Sends the request head to the origin.
    pub fn begin(mut exchange: Box<Exchange>, reused: bool, legs: &mut Legs, cx: &mut Cx<'_>) -> State {
        if let Some(origin) = &mut legs.origin {
            origin.send(&exchange.onward);
        }
        exchange.note_sent();
        let upload = flow(exchange.framing, exchange.framing == Framing::Chunked, cx);
        let timeouts = &cx.world.timeouts;
        State::Stream(Box::new(Self {
            close: !exchange.keep_alive,
            exchange,
            upload,
            download: Download::Head { scan: HeadScan::for_response(), interim: 0 },
            origin_keeps: true,
            reused,
            origin_lost: false,
            begun: false,
            sent_at: None,
            activity: cx.now.mono,
            first_byte: timeouts.first_byte,
            body_idle: timeouts.body,
            head_mark: cx.world.limits.response_head + READ,
        }))
    }

    /// The exchange under way.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// A byte came or left.
    pub fn touch(&mut self, now: Micros) {
        self.activity = now;
    }

    /// While a body moves, silence counts; while the origin thinks, the time since the request was sent, which
    /// interim responses do not extend.
    pub fn deadline(&self) -> Micros {
        match (&self.download, self.sent_at) {
            (Download::Head { .. }, Some(sent)) => sent + self.first_byte,
            _ => self.activity + self.body_idle,
        }
    }

    /// How much the origin may send ahead: a whole head, since nothing of it goes on before it is complete.
    pub fn origin_mark(&self) -> usize {
        match self.download {
            Download::Head { .. } => self.head_mark,
            Download::Body(_) => READ,
        }
    }

    /// The origin's transport broke: what it sent before still counts.
    pub fn origin_lost(&mut self) {
        self.origin_lost = true;
    }

    /// Whether the request is whole and nothing of an answer has come.
    pub fn awaits_answer(&self, legs: &Legs) -> bool {
        let silent = legs.origin.as_ref().is_some_and(|origin| origin.unread() == 0 && !origin.has_ended());
        silent && self.upload.done && matches!(self.download, Download::Head { .. })
    }

    /// The last byte of the request may have left.
    pub fn note_sent(&mut self, origin: &Leg, now: Micros) {
        if self.sent_at.is_none() && self.upload.done && origin.queued() == 0 {
            self.sent_at = Some(now);
        }
    }

    /// Moves what can be moved.
    pub fn turn(mut self: Box<Self>, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        if guest_left(legs) {
            return Err(self.abort(Fault::guest_gone()));
        }
        let Some(mut origin) = legs.origin.take() else { return Err(self.abort(Fault::guest_gone())) };
        let outcome = self.move_bodies(legs, &mut origin, cx);
        legs.origin = Some(origin);
        match outcome {
            Err(fault) => Err(self.abort(*fault)),
            Ok(Progress::Waiting) => Ok(Step::Wait(State::Stream(self))),
            Ok(Progress::Stale) => Ok(Step::Go(self.again(legs, cx))),
            Ok(Progress::Upgraded) => {
                session.speaks_http = false;
                Ok(Step::Go(Tunnel::websocket(self.exchange, cx)))
            }
            Ok(Progress::Done) => Ok(Step::Go(self.finish(legs, cx))),
        }
    }

    fn move_bodies(
        &mut self,
        legs: &mut Legs,
        origin: &mut Leg,
        cx: &mut Cx<'_>,
    ) -> Result<Progress, Box<Fault>> {
        self.upload(&mut legs.guest, origin)?;
        self.note_sent(origin, cx.now.mono);
        let mut head = std::mem::take(&mut cx.scratch.out);
        head.clear();
        let progress = self.download(&mut legs.guest, origin, &mut head, cx);
        cx.scratch.out = head;
        self.exchange.report_errors(cx.now, cx.events);
        progress
    }

    fn upload(&mut self, guest: &mut Leg, origin: &mut Leg) -> Result<(), Box<Fault>> {
        if self.upload.done {
            return Ok(());
        }
        let exchange = &mut self.exchange;
        let see = &mut |piece: &[u8]| exchange.request_data(piece);
        if let Err(error) = self.upload.pump(guest, origin, &mut Vec::new(), see) {
            let message = format!("the request's body: {}", error.as_str());
            let mut refusal = Refusal::bad_request(error.status(), message);
            refusal.phase = Some(Phase::Body);
            return Err(Fault::refused(refusal, None));
        }
        if !self.upload.done && guest.is_exhausted() {
            return Err(Box::new(Fault::guest_gone()));
        }
        Ok(())
    }

    fn download(
        &mut self,
        guest: &mut Leg,
        origin: &mut Leg,
        out: &mut Vec<u8>,
        cx: &mut Cx<'_>,
    ) -> Result<Progress, Box<Fault>> {
        while let Download::Head { .. } = self.download {
            match self.read_head(guest, origin, out, cx)? {
                Some(Progress::Done) => {}
                Some(progress) => return Ok(progress),
                None => return self.wait_for_head(origin),
            }
        }
        self.pump_response(guest, origin, out, cx)
    }

    /// Reads one response head. `Done` when there was one, `None` when it is not complete.
    fn read_head(
        &mut self,
        guest: &mut Leg,
        origin: &mut Leg,
        out: &mut Vec<u8>,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Progress>, Box<Fault>> {
        let Download::Head { scan, .. } = &mut self.download else { return Ok(Some(Progress::Done)) };
        let limits = response_limits(cx);
        let found = match scan.find(origin.inbox(), &limits) {
            Ok(None) if origin.gather() => scan.find(origin.inbox(), &limits),
            other => other,
        };
        let broken = |label: &str| bad_response(format!("the origin's response head: {label}"));
        let Some(len) = found.map_err(|error| broken(error.as_str()))? else { return Ok(None) };
        if self.exchange.row.first_byte_us.is_none() {
            let waited = self.sent_at.map_or(0, |sent| cx.now.mono.saturating_sub(sent));
            self.exchange.row.first_byte_us = Some(waited);
        }
        let mut head = std::mem::take(&mut cx.scratch.response);
        let outcome = parse_response(&origin.inbox()[..len], &self.exchange.method, &mut head, &limits)
            .map_err(|error| broken(error.as_str()))
            .and_then(|()| self.take_head(&head, guest, out, cx));
        origin.consume(len);
        cx.scratch.response = head;
        outcome.map(Some)
    }

    fn take_head(
        &mut self,
        head: &ResponseHead,
        guest: &mut Leg,
        out: &mut Vec<u8>,
        cx: &mut Cx<'_>,
    ) -> Result<Progress, Box<Fault>> {
        if head.is_interim() {
            return self.take_interim(head, guest, cx);
        }
        if head.status == 101 {
            return self.take_upgrade(head, guest, out, cx);
        }
        self.close |= !self.upload.done || cx.draining;
        self.exchange.response_head(head, cx.world.keep_headers);
        let framing = self.exchange.write_response(head, self.close, out);
        self.close |= framing == Framing::Close;
        self.origin_keeps = head.keep_alive;
        self.download = Download::Body(flow(head.framing, framing == Framing::Chunked, cx));
        Ok(Progress::Done)
    }

    /// 1xx go on to guests that know them (RFC 9110 §15.2), up to a count.
    fn take_interim(
        &mut self,
        head: &ResponseHead,
        guest: &mut Leg,
        cx: &Cx<'_>,
    ) -> Result<Progress, Box<Fault>> {
        let Download::Head { scan, interim } = &mut self.download else { return Ok(Progress::Done) };
        *interim += 1;
        scan.reset();
        if *interim > cx.world.limits.interim {
            return Err(bad_response("the origin sent too many interim responses".into()));
        }
        if self.exchange.version == Version::H11 {
            let mut bytes = Vec::with_capacity(64);
            self.exchange.write_response(head, false, &mut bytes);
            guest.send(&bytes);
        }
        Ok(Progress::Done)
    }

    /// A 101 that was asked for, with the right key; any other one is a broken origin (P12).
    fn take_upgrade(
        &mut self,
        head: &ResponseHead,
        guest: &mut Leg,
        out: &mut Vec<u8>,
        cx: &Cx<'_>,
    ) -> Result<Progress, Box<Fault>> {
        let key = self.exchange.websocket_key.as_deref().unwrap_or_default();
        let accepted = head.fields.get(b"sec-websocket-accept") == Some(&websocket::accept_key(key)[..]);
        let asked =
            self.exchange.upgrade == Some(Upgrade::WebSocket) && head.upgrade == Some(Upgrade::WebSocket);
        if !asked || !accepted || head.fields.get(b"sec-websocket-extensions").is_some() {
            return Err(bad_response("the origin switched protocols unasked or wrongly".into()));
        }
        self.exchange.response_head(head, cx.world.keep_headers);
        self.exchange.write_response(head, false, out);
        guest.send(out);
        out.clear();
        Ok(Progress::Upgraded)
    }

    fn wait_for_head(&self, origin: &Leg) -> Result<Progress, Box<Fault>> {
        if !origin.has_ended() {
            return Ok(Progress::Waiting);
        }
        let nothing_came = origin.unread() == 0 && self.exchange.row.first_byte_us.is_none();
        if self.reused && nothing_came && self.exchange.may_retry() {
            return Ok(Progress::Stale);
        }
        let what = if nothing_came {
            "the origin closed without an answer"
        } else {
            "the origin broke off in its head"
        };
        Err(Fault::refused(Refusal::upstream(502, Phase::FirstByte, what.into()), None))
    }

    fn pump_response(
        &mut self,
        guest: &mut Leg,
        origin: &mut Leg,
        out: &mut Vec<u8>,
        cx: &mut Cx<'_>,
    ) -> Result<Progress, Box<Fault>> {
        let Download::Body(flow) = &mut self.download else { return Ok(Progress::Waiting) };
        let (exchange, now) = (&mut self.exchange, cx.now);
        let see = &mut |piece: &[u8]| exchange.response_data(piece, now);
        let moved = flow.pump(origin, guest, out, see);
        self.begun |= out.is_empty();
        moved.map_err(|error| broken_body(error.as_str()))?;
        if !flow.done && origin.is_exhausted() {
            if self.origin_lost && !origin.says_farewell() {
                return Err(broken_body("the origin's connection was reset"));
            }
            flow.end(guest).map_err(|error| broken_body(error.as_str()))?;
        }
        Ok(if flow.done { Progress::Done } else { Progress::Waiting })
    }

    /// The same request on a fresh connection.
    fn again(self, legs: &mut Legs, cx: &mut Cx<'_>) -> State {
        legs.origin = None;
        cx.asks.push(Ask::HangUp);
        Dial::begin(Goal::Exchange(self.exchange), true, cx)
    }

    /// The response is whole. The origin's connection is kept only if nothing can have been left on it (P16).
    fn finish(self, legs: &mut Legs, cx: &mut Cx<'_>) -> State {
        if let Some(origin) = legs.origin.take() {
            let clean = origin.unread() == 0 && !origin.has_ended() && !self.origin_lost;
            let keep = clean && self.upload.done && self.origin_keeps && origin.queued() == 0;
            cx.asks.push(if keep { Ask::Park(origin) } else { Ask::HangUp });
        }
        self.exchange.finish(Decision::Allowed, None, cx.now, &cx.world.pricing, cx.events);
        if self.close || !self.upload.done || cx.draining {
            State::Drain(Drain::polite(legs, cx))
        } else {
            State::Request(Request::next(cx))
        }
    }

    /// The deadline has passed.
    pub fn expire(self: Box<Self>, cx: &Cx<'_>) -> Result<Self, Box<Fault>> {
        if cx.now.mono < self.deadline() {
            return Ok(*self);
        }
        let (phase, what) = match self.download {
            Download::Head { .. } if self.sent_at.is_some() => {
                (Phase::FirstByte, "no answer came from the origin in time")
            }
            Download::Head { .. } => (Phase::Body, "the request's body stopped coming"),
            Download::Body(_) => (Phase::Body, "the response's body stopped coming"),
        };
        let fault = Fault::refused(Refusal::upstream(504, phase, format!("timeout: {what}")), None);
        Err(self.abort(*fault))
    }

    /// A fault that came from outside a turn.
    pub fn into_fault(self: Box<Self>, fault: Fault) -> Fault {
        let waits = matches!(self.download, Download::Head { .. }) && self.sent_at.is_some();
        let mut fault = fault.at(if waits { Phase::FirstByte } else { Phase::Body });
        fault.answered = self.begun;
        fault.exchange = Some(self.exchange);
        fault
    }

    fn abort(self: Box<Self>, fault: Fault) -> Box<Fault> {
        Box::new(self.into_fault(fault))
    }
}

/// What came of a turn.
enum Progress {
    Waiting,
    Done,
    Upgraded,
    Stale,
}

fn flow(framing: Framing, chunked: bool, cx: &Cx<'_>) -> Flow {
    let limits = &cx.world.limits;
    let limits = BodyLimits { chunk_line: limits.chunk_line, trailers: limits.trailers };
    Flow::new(Decoder::new(framing, limits), chunked)
}

fn response_limits(cx: &Cx<'_>) -> HeadLimits {
    let limits = &cx.world.limits;
    HeadLimits {
        request_line: limits.request_line,
        header_block: limits.response_head,
        header_fields: limits.header_fields,
    }
}

fn bad_response(message: String) -> Box<Fault> {
    Fault::refused(Refusal::upstream(502, Phase::FirstByte, message), None)
}

fn broken_body(label: &str) -> Box<Fault> {
    let message = format!("the response's body: {label}");
    Fault::refused(Refusal::upstream(502, Phase::Body, message), None)
}
