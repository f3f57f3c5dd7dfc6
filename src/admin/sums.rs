//! `/v1/usage`: sums over all calls cost in proportion to the ledger, so what polls them must not cost a busy proxy more
//! than a set share of one core, whatever the ledger holds.
//!
//! An answer is kept and given again while no call was written since. Where sums take long, it is also given again while
//! computing all that are asked for anew would take more than [`SHARE`]; the field `age` says how old it is, in seconds.

use std::sync::{Mutex, PoisonError};

use super::State;
use super::http::{JSON, Response};
use super::query::{Params, unreadable};
use crate::limits::{Micros, SECOND};
use crate::telemetry::query::{Group, Position, Reader, Source};
use crate::telemetry::text::printable_json;

/// Sums may take one part in so many of the time.
const SHARE: Micros = 100;
/// Sums that take no longer than this are computed whenever they are asked for and calls were written.
const QUICK: Micros = 1_000;
/// How long an answer holds while no call is written: the host of one may become known later, and old ones are forgotten.
const QUIET: Micros = 5 * SECOND;
/// Different questions whose answers are kept.
const KEPT: usize = 32;

/// Answers that were computed, the oldest first.
#[derive(Default)]
pub(super) struct Sums(Mutex<Vec<Sum>>);

#[derive(Clone)]
struct Sum {
    question: String,
    body: String,
    /// When it was computed, and how long that took.
    at: Micros,
    took: Micros,
    /// The place behind the calls that it is of.
    end: Position,
}

impl Sum {
    /// Whether it can be given at `now`, where so many questions are asked.
    fn holds(&self, now: Micros, end: Position, questions: usize) -> bool {
        let age = now.saturating_sub(self.at);
        let unchanged = self.end == end && age < QUIET;
        unchanged || (self.took > QUICK && age < self.took * SHARE * questions as Micros)
    }
}

impl Sums {
    /// Answers a request for sums.
    pub(super) fn answer(&self, state: &State, params: Params) -> Result<Response, Response> {
        let question = params.to_string();
        let reader = state.ledger.reader().map_err(|error| unreadable(&error))?;
        let end = reader.end(Source::Calls).map_err(|error| unreadable(&error))?;
        let now = state.shared.now().mono;
        if let Some(sum) = self.kept(&question, now, end) {
            let age = now.saturating_sub(sum.at) / SECOND;
            return Ok(Response::new(JSON, sum.body).with("age", &age.to_string()));
        }
        let body = compute(state, &reader, params)?;
        let took = state.shared.now().mono.saturating_sub(now);
        self.keep(Sum { question, body: body.clone(), at: now + took, took, end });
        Ok(Response::new(JSON, body).with("age", "0"))
    }

    fn kept(&self, question: &str, now: Micros, end: Position) -> Option<Sum> {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let questions = sums.len();
        sums.iter().find(|sum| sum.question == question && sum.holds(now, end, questions)).cloned()
    }

    fn keep(&self, sum: Sum) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.retain(|known| known.question != sum.question);
        sums.push(sum);
        if sums.len() > KEPT {
            sums.remove(0);
        }
    }
}

fn compute(state: &State, reader: &Reader, mut params: Params) -> Result<String, Response> {
    let by = group(params.take("group_by").as_deref().unwrap_or("model"))?;
    let filter = params.filter(reader, &state.session)?;
    params.finish()?;
    let report = reader.usage_report(by, &filter).map_err(|error| unreadable(&error))?;
    let json = serde_json::to_string(&report).expect("texts and numbers have a JSON form");
    Ok(printable_json(json + "\n"))
}

fn group(word: &str) -> Result<Group, Response> {
    Ok(match word {
        "model" => Group::Model,
        "provider" => Group::Provider,
        "host" => Group::Host,
        "process" => Group::Process,
        "day" => Group::Day,
        "session" => Group::Session,
        _ => {
            return Err(Response::problem(400, "group_by is model, provider, host, process, day or session"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(took: Micros) -> Sum {
        Sum { question: "q".into(), body: String::new(), at: 0, took, end: end("7") }
    }

    fn end(text: &str) -> Position {
        text.parse().expect("a place")
    }

    #[test]
    fn quick_sums_hold_while_no_call_is_written() {
        let quick = sum(QUICK);
        assert!(quick.holds(QUIET - 1, end("7"), 1) && !quick.holds(QUIET, end("7"), 1));
        assert!(!quick.holds(1, end("8"), 1), "a call was written");
    }

    #[test]
    fn slow_sums_take_no_more_than_their_share() {
        let slow = sum(SECOND / 10);
        for questions in [1, 8] {
            let held = SECOND / 10 * SHARE * questions as Micros;
            assert!(slow.holds(held - 1, end("8"), questions) && !slow.holds(held, end("8"), questions));
        }
    }

    #[test]
    fn questions_are_bounded() {
        let sums = Sums::default();
        for n in 0..2 * KEPT {
            sums.keep(Sum { question: n.to_string(), ..sum(1) });
        }
        assert!(
            sums.kept("0", 0, end("7")).is_none()
                && sums.kept(&(2 * KEPT - 1).to_string(), 0, end("7")).is_some()
        );
        assert_eq!(sums.0.lock().expect("no panic").len(), KEPT);
    }
}
