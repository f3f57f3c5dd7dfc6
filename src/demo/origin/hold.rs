//! Answers that stop after their first event until the client has seen it.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::clock;

/// The request field that asks for a hold; its value is a number that names it.
pub const HOLD_FIELD: &str = "x-demo-hold";

/// A held answer goes on by itself after this long, so that a proxy that buffers fails instead of hanging.
const LONGEST: Duration = Duration::from_secs(2);

/// All holds of one origin, by number.
#[derive(Default)]
pub struct Holds {
    held: Mutex<HashMap<u64, Hold>>,
    changed: Condvar,
}

#[derive(Default)]
struct Hold {
    sent: Option<Instant>,
    released: bool,
    timed_out: bool,
}

impl Holds {
    /// Lets the answer go on.
    pub fn release(&self, id: u64) {
        self.with(id, |hold| hold.released = true);
        self.changed.notify_all();
    }

    /// When the origin wrote the first event.
    pub fn sent(&self, id: u64) -> Option<Instant> {
        self.with(id, |hold| hold.sent)
    }

    /// Whether the client saw the first event while the answer was held.
    pub fn was_seen_in_time(&self, id: u64) -> bool {
        self.with(id, |hold| hold.sent.is_some() && hold.released && !hold.timed_out)
    }

    /// Notes the moment just before the first event is written.
    pub(super) fn sending(&self, id: u64) {
        self.with(id, |hold| hold.sent = Some(clock()));
    }

    /// Blocks until the client lets the answer go on.
    pub(super) fn wait(&self, id: u64) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |held: &mut HashMap<u64, Hold>| !held.entry(id).or_default().released;
        let (mut held, result) =
            self.changed.wait_timeout_while(held, LONGEST, waiting).unwrap_or_else(PoisonError::into_inner);
        held.entry(id).or_default().timed_out = result.timed_out();
    }

    fn with<T>(&self, id: u64, act: impl FnOnce(&mut Hold) -> T) -> T {
        act(self.held.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default())
    }
}
