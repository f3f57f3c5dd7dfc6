//! The last answer leaves. What the guest still sends is read and thrown away for a while, because closing on unread
//! bytes makes the kernel reset the connection and the guest may lose the answer (RFC 9112 §9.6).

use crate::exchange::Exchange;
use crate::limits::{Micros, SECOND};
use crate::wire::head::Version;

use super::state::{State, Step, Turn};
use super::{Cx, Legs, Life};

/// How long the guest has to take the last answer and to close.
const LINGER: Micros = 2 * SECOND;

/// Ending.
#[derive(Debug)]
pub struct Drain {
    /// When it ends in any case.
    pub deadline: Micros,
    manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// The answer is whole: wait for the guest to close.
    Polite,
    /// The answer broke off: end as soon as it has left, visibly.
    Abrupt {
        /// Nothing but a reset shows that it broke off.
        reset: bool,
    },
}

impl Drain {
    /// After a whole answer. TLS says that nothing follows.
    pub fn polite(legs: &mut Legs, cx: &Cx<'_>) -> Self {
        legs.guest.close();
        Self { deadline: cx.now.mono + LINGER, manner: Manner::Polite }
    }

    /// After a TLS alert: nothing more can be said.
    pub fn alerted(cx: &Cx<'_>) -> Self {
        Self { deadline: cx.now.mono + LINGER, manner: Manner::Polite }
    }

    /// After half an answer. No `close_notify`; where the end of the connection would be taken for the end of the
    /// body, a reset (P18).
    pub fn abrupt(legs: &Legs, exchange: Option<&Exchange>, cx: &Cx<'_>) -> Self {
        let unframed = exchange.is_some_and(|exchange| exchange.version == Version::H10);
        let reset = unframed && !legs.guest.is_tls();
        Self { deadline: cx.now.mono + LINGER, manner: Manner::Abrupt { reset } }
    }

    /// Whether our direction is to be shut down once everything has left.
    pub fn shuts_down(&self) -> bool {
        self.manner == Manner::Polite
    }

    /// Throws away what came; ends when the guest has closed or everything that can be said has left.
    pub fn turn(self, legs: &mut Legs, cx: &Cx<'_>) -> Turn {
        loop {
            let len = legs.guest.inbox().len();
            if len == 0 {
                break;
            }
            legs.guest.consume(len);
        }
        let over = match self.manner {
            Manner::Polite => legs.guest.is_fin(),
            Manner::Abrupt { .. } => legs.guest.queued() == 0,
        };
        if over || cx.now.mono >= self.deadline {
            let reset = self.manner == Manner::Abrupt { reset: true };
            return Ok(Step::Done(Life::Over { reset }));
        }
        Ok(Step::Wait(State::Drain(self)))
    }
}
