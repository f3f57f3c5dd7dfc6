//! The end of an exchange: exactly one net event, the model calls, and the errors that an origin reported (P32).

use std::sync::Arc;

use crate::limits::Now;
use crate::model::price;
use crate::model::usage::{Call, OriginError};
use crate::telemetry::event::{CallEvent, Decision, ErrorEvent, Event, Phase};

use super::tap::{Tap, TapHead};
use super::{Exchange, Pricing};

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// Why an exchange did not end well.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Where.
    pub phase: Phase,
    /// What.
    pub label: String,
}

impl Exchange {
    /// Hands on errors that an origin reported, as soon as they are known.
    pub fn report_errors(&mut self, now: Now, events: &mut Vec<Event>) {
        let Some(tap) = &mut self.tap else { return };
        for error in tap.take_errors() {
            events.push(self.error_event(error, Phase::Body, now));
        }
    }

    /// An error that belongs to this exchange.
    pub fn error_event(&self, error: OriginError, phase: Phase, now: Now) -> Event {
        Event::Error(Box::new(ErrorEvent { exchange_id: self.row.exchange_id, at: now.wall, phase, error }))
    }

    /// Ends the exchange.
    pub fn finish(
        mut self,
        decision: Decision,
        failure: Option<Failure>,
        now: Now,
        pricing: &Pricing,
        events: &mut Vec<Event>,
    ) {
        let complete = decision == Decision::Allowed;
        self.row.decision = decision;
        self.row.total_us = now.mono.saturating_sub(self.started.mono);
        if let Some(failure) = failure {
            self.note_failure(failure, now, events);
        }
        self.row.request_body = self.request_copy.take().and_then(|copy| copy.end(complete));
        self.row.response_body = self.response_copy.take().and_then(|copy| copy.end(complete));
        self.finish_taps(complete, now, pricing, events);
        events.push(Event::Net(self.row));
    }

    fn note_failure(&mut self, failure: Failure, now: Now, events: &mut Vec<Event>) {
        self.row.fault_phase = Some(failure.phase);
        let reached_out = matches!(
            failure.phase,
            Phase::Dns | Phase::Connect | Phase::Tls | Phase::FirstByte | Phase::Body
        );
        if reached_out && self.row.decision == Decision::Failed {
            let error = OriginError {
                status: self.row.status,
                kind: Some(failure.phase.as_str().into()),
                message: Some(failure.label.clone()),
                ..OriginError::default()
            };
            events.push(self.error_event(error, failure.phase, now));
        }
        self.row.fault = Some(failure.label);
    }

    fn finish_taps(&mut self, complete: bool, now: Now, pricing: &Pricing, events: &mut Vec<Event>) {
        let facts = self.request_tap.take().map(|tap| tap.end(complete));
        let billed = self.sent && self.tap.is_none() && self.row.status.is_none_or(|status| status != 101);
        if let (true, Some(found)) = (billed, &self.detected) {
            let unanswered = TapHead { status: 200, ..TapHead::default() };
            self.tap = Some(Box::new(Tap::new(found, &unanswered, self.inspect)));
        }
        let Some(mut tap) = self.tap.take() else { return };
        if let Some(facts) = facts {
            tap.set_request_facts(facts);
        }
        let report = tap.end(complete, now.mono.saturating_sub(self.started.mono));
        self.row.response_decoded = report.decoded;
        self.row.tap = report.off;
        for error in report.errors {
            events.push(self.error_event(error, Phase::Body, now));
        }
        for call in report.calls {
            events.push(self.call_event(call, pricing));
        }
    }

    /// A model run, with its price.
    pub fn call_event(&self, mut call: Call, pricing: &Pricing) -> Event {
        pricing.models.name_models(&mut call);
        if let Some((cost, version)) =
            price::price(&pricing.prices, &call, self.started.wall.div_euclid(SECOND))
        {
            call.price_version = Some(version.to_owned());
            call.cost_pico_usd = Some(cost);
        }
        let (host, client) = (self.row.host.clone(), Arc::clone(&self.row.client));
        let (exchange_id, started_at) = (self.row.exchange_id, self.started.wall);
        Event::Call(Box::new(CallEvent { exchange_id, host, client, started_at, call }))
    }
}
