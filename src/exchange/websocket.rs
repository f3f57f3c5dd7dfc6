//! A WebSocket's frames, walked on a copy of both directions: whole messages go to the meter, close codes and counts
//! to the row. Trouble turns the walk of a direction off and says why; the bytes go on (P20).

use std::fmt;

use crate::limits::Now;
use crate::model::websocket::{Run, WsMeter};
use crate::telemetry::event::{Decision, Event, Phase, WebSocketFacts};
use crate::wire::websocket::{Walker, WsEvent};

use super::record::Failure;
use super::{Exchange, Pricing};

/// Both directions of one WebSocket.
pub struct Frames {
    guest: Option<Walker>,
    origin: Option<Walker>,
    meter: Option<WsMeter>,
    facts: WebSocketFacts,
    off: Option<String>,
}

impl fmt::Debug for Frames {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Frames").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Frames {
    /// Walkers for a socket whose 101 has just passed; `cap` bounds what they and the meter hold together.
    pub fn new(exchange: &Exchange, cap: usize) -> Self {
        let share = cap / 4;
        Self {
            guest: Some(Walker::new(true, false, share)),
            origin: Some(Walker::new(false, false, share)),
            meter: exchange
                .detected()
                .filter(|found| found.websocket)
                .map(|found| WsMeter::new(found, cap / 2)),
            facts: WebSocketFacts::default(),
            off: None,
        }
    }

    /// Whether either side said goodbye properly.
    pub fn was_closed(&self) -> bool {
        self.facts.guest_close.is_some() || self.facts.origin_close.is_some()
    }

    /// Whether both sides did.
    pub fn is_over(&self) -> bool {
        self.facts.guest_close.is_some() && self.facts.origin_close.is_some()
    }

    /// Bytes that went on; runs that ended with them are recorded.
    pub fn see(
        &mut self,
        exchange: &Exchange,
        from_guest: bool,
        bytes: &[u8],
        now: Now,
        mut with: Recorder<'_>,
    ) {
        let Some(mut walker) = (if from_guest { self.guest.take() } else { self.origin.take() }) else {
            return;
        };
        let elapsed = now.mono.saturating_sub(exchange.started.mono);
        let (facts, meter) = (&mut self.facts, &mut self.meter);
        let outcome =
            walker.push(bytes, &mut |event| note(event, from_guest, facts, meter.as_mut(), elapsed));
        match outcome {
            Ok(()) if from_guest => self.guest = Some(walker),
            Ok(()) => self.origin = Some(walker),
            Err(error) => self.off = Some(format!("websocket: {}", error.as_str())),
        }
        self.report(exchange, now, &mut with);
    }

    fn report(&mut self, exchange: &Exchange, now: Now, with: &mut Recorder<'_>) {
        let Some(meter) = &mut self.meter else { return };
        for error in meter.take_errors() {
            with.events.push(exchange.error_event(error, Phase::Body, now));
        }
        for run in meter.take_runs() {
            with.events.push(run_event(exchange, run, with.pricing));
        }
    }

    /// Writes what was counted into the exchange that ends, and records the runs that were under way.
    pub fn settle(mut self, mut exchange: Box<Exchange>, now: Now, with: Recorder<'_>) -> Box<Exchange> {
        let Recorder { events, pricing } = with;
        self.report(&exchange, now, &mut Recorder { events, pricing });
        exchange.row.websocket = Some(self.facts);
        exchange.row.tap = self.off;
        if let Some(meter) = self.meter {
            let (runs, off) = meter.end(now.mono.saturating_sub(exchange.started.mono));
            events.extend(runs.into_iter().map(|run| run_event(&exchange, run, pricing)));
            exchange.row.tap = exchange.row.tap.or(off.map(str::to_owned));
        }
        exchange
    }

    /// Ends the exchange.
    pub fn finish(
        self,
        exchange: Box<Exchange>,
        decision: Decision,
        failure: Option<Failure>,
        now: Now,
        with: Recorder<'_>,
    ) {
        let Recorder { events, pricing } = with;
        let exchange = self.settle(exchange, now, Recorder { events, pricing });
        exchange.finish(decision, failure, now, pricing, events);
    }
}

/// Where records go, and what prices them.
pub struct Recorder<'a> {
    /// Events for the ledger.
    pub events: &'a mut Vec<Event>,
    /// What tokens cost.
    pub pricing: &'a Pricing,
}

fn note(
    event: WsEvent<'_>,
    from_guest: bool,
    facts: &mut WebSocketFacts,
    meter: Option<&mut WsMeter>,
    elapsed: u64,
) {
    match event {
        WsEvent::Message { payload, .. } => {
            *messages(facts, from_guest) += 1;
            match meter {
                Some(meter) if from_guest => meter.guest(payload, elapsed),
                Some(meter) => meter.origin(payload, elapsed),
                None => {}
            }
        }
        WsEvent::Oversized { .. } => {
            *messages(facts, from_guest) += 1;
            if let Some(meter) = meter {
                meter.oversized();
            }
        }
        WsEvent::Close { code, .. } => *close_code(facts, from_guest) = Some(code.unwrap_or(NO_STATUS)),
        WsEvent::Ping | WsEvent::Pong => {}
    }
}

/// A run's own times count from its own start; the event says when that was.
fn run_event(exchange: &Exchange, run: Run, pricing: &Pricing) -> Event {
    let mut event = exchange.call_event(run.call, pricing);
    if let Event::Call(call) = &mut event {
        call.started_at += run.started_us as i64;
    }
    event
}

/// What stands for a close frame without a code (RFC 6455 §7.1.5).
const NO_STATUS: u16 = 1005;

fn messages(facts: &mut WebSocketFacts, from_guest: bool) -> &mut u64 {
    if from_guest { &mut facts.guest_messages } else { &mut facts.origin_messages }
}

fn close_code(facts: &mut WebSocketFacts, from_guest: bool) -> &mut Option<u16> {
    if from_guest { &mut facts.guest_close } else { &mut facts.origin_close }
}
