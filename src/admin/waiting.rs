//! Connections that only wait for their peer make room where there is none: whoever connects and says nothing, which
//! needs no token, must not keep the others out.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::listen::Stream;

/// Those that wait, the longest first.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    next: u64,
    waiting: VecDeque<(u64, Stream)>,
}

/// One that waits, until this is dropped.
pub(super) struct Waits<'w> {
    queue: &'w Waiting,
    id: u64,
}

impl Waiting {
    /// From now on this connection may be ended. Where no second handle of it is to be had, it may not.
    pub(super) fn enter(&self, stream: &Stream) -> Waits<'_> {
        let handle = stream.handle();
        let mut queue = self.lock();
        let id = queue.next;
        queue.next += 1;
        if let Ok(handle) = handle {
            queue.waiting.push_back((id, handle));
        }
        Waits { queue: self, id }
    }

    /// Ends the one that waits longest; false where none waits.
    pub(super) fn end_longest(&self) -> bool {
        let longest = self.lock().waiting.pop_front();
        longest.is_some_and(|(_, stream)| stream.end().is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.queue.lock().waiting.retain(|(id, _)| *id != self.id);
    }
}
