//! A door between a test and a thread of its origin.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::SOON;

/// Closed until someone opens it; then open for ever. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate {
    inner: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    /// Opens the gate.
    pub fn open(&self) {
        *self.inner.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.inner.1.notify_all();
    }

    /// Whether it has been opened.
    pub fn is_open(&self) -> bool {
        *self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until the gate is open, or for half a minute.
    pub fn wait_long(&self) {
        let open = self.inner.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.inner.1.wait_timeout_while(open, SOON * 6, |open| !*open));
    }

    /// Blocks until the gate is open; panics after a while, so that a broken test ends.
    pub fn wait(&self) {
        let open = self.inner.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.inner.1.wait_timeout_while(open, SOON * 2, |open| !*open);
        assert!(!waited.unwrap_or_else(PoisonError::into_inner).1.timed_out(), "nobody opened the gate");
    }
}
