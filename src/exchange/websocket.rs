//! A WebSocket's frames, walked on a copy of both directions: whole messages go to the meters, close codes and counts
//! to the row. Trouble turns the walk off and says why; the bytes go on.

use std::fmt;

use crate::limits::Now;
use crate::telemetry::event::{Decision, Event, WebSocketFacts};
use crate::wire::websocket::{Walker, WsEvent};

use super::record::Failure;
use super::{Exchange, Pricing};

/// Both directions of one WebSocket.
pub struct Frames {
    guest: Option<Walker>,
    origin: Option<Walker>,
    facts: WebSocketFacts,
    off: Option<String>,
}

impl fmt::Debug for Frames {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Frames").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Frames {
    /// Walkers for a socket whose 101 has just passed; `cap` bounds what one message may hold.
    pub fn new(_exchange: &Exchange, cap: usize) -> Self {
        Self {
            guest: Some(Walker::new(true, false, cap / 2)),
            origin: Some(Walker::new(false, false, cap / 2)),
            facts: WebSocketFacts::default(),
            off: None,
        }
    }

    /// Whether either side said goodbye properly.
    pub fn was_closed(&self) -> bool {
        self.facts.guest_close.is_some() || self.facts.origin_close.is_some()
    }

    /// Bytes that went on.
    pub fn see(
        &mut self,
        _exchange: &mut Exchange,
        from_guest: bool,
        bytes: &[u8],
        _now: Now,
        _events: &mut Vec<Event>,
    ) {
        let Some(mut walker) = (if from_guest { self.guest.take() } else { self.origin.take() }) else {
            return;
        };
        let facts = &mut self.facts;
        let outcome = walker.push(bytes, &mut |event| match event {
            WsEvent::Message { .. } | WsEvent::Oversized { .. } => *messages(facts, from_guest) += 1,
            WsEvent::Close { code, .. } => *close_code(facts, from_guest) = Some(code.unwrap_or(NO_STATUS)),
            WsEvent::Ping | WsEvent::Pong => {}
        });
        match outcome {
            Ok(()) if from_guest => self.guest = Some(walker),
            Ok(()) => self.origin = Some(walker),
            Err(error) => self.off = Some(format!("websocket: {}", error.as_str())),
        }
    }

    /// Writes what was counted into the exchange that ends.
    pub fn settle(self, mut exchange: Box<Exchange>) -> Box<Exchange> {
        exchange.row.websocket = Some(self.facts);
        exchange.row.tap = self.off;
        exchange
    }

    /// Ends the exchange.
    pub fn finish(
        self,
        exchange: Box<Exchange>,
        decision: Decision,
        failure: Option<Failure>,
        now: Now,
        pricing: &Pricing,
        events: &mut Vec<Event>,
    ) {
        self.settle(exchange).finish(decision, failure, now, pricing, events);
    }
}

/// What stands for a close frame without a code (RFC 6455 §7.1.5).
const NO_STATUS: u16 = 1005;

fn messages(facts: &mut WebSocketFacts, from_guest: bool) -> &mut u64 {
    if from_guest { &mut facts.guest_messages } else { &mut facts.origin_messages }
}

fn close_code(facts: &mut WebSocketFacts, from_guest: bool) -> &mut Option<u16> {
    if from_guest { &mut facts.guest_close } else { &mut facts.origin_close }
}
