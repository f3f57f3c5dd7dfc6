//! The last answer leaves. What the guest still sends is read and thrown away for a while, because closing on unread
//! bytes makes the kernel reset the connection and the guest may lose the answer (RFC 9112 §9.6).

use crate::exchange::Exchange;
use crate::limits::{Micros, SECOND};
use crate::wire::head::Version;

use super::state::{State, Step, Turn};
use super::{Cx, Legs, Life};

/// How long the guest has to close, once it has the last answer.
const LINGER: Micros = 2 * SECOND;

/// Ending.
#[derive(Debug)]
pub struct Drain {
    /// When it ends in any case.
    pub deadline: Micros,
    manner: Manner,
    /// Longest silence of a guest that still has bytes to take.
    silence: Micros,
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
        Self::begin(Manner::Polite, legs, cx)
    }

    /// After a TLS alert: nothing more can be said.
    pub fn alerted(legs: &Legs, cx: &Cx<'_>) -> Self {
        Self::begin(Manner::Polite, legs, cx)
    }

    /// After half an answer. No `close_notify`; where the end of the connection would be taken for the end of the
    /// body, a reset (P18).
    pub fn abrupt(legs: &Legs, exchange: Option<&Exchange>, cx: &Cx<'_>) -> Self {
        Self::begin(Manner::Abrupt { reset: would_look_whole(legs, exchange) }, legs, cx)
    }

    fn begin(manner: Manner, legs: &Legs, cx: &Cx<'_>) -> Self {
        let silence = cx.world.timeouts.body;
        let mut drain = Self { deadline: 0, manner, silence };
        drain.note_room(cx.now.mono, legs.guest.queued());
        drain
    }

    /// Bytes have left, and so many still wait.
    pub fn note_room(&mut self, now: Micros, queued: usize) {
        self.deadline = now + if queued > 0 { self.silence } else { LINGER };
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
            Manner::Polite => legs.guest.is_fin() && legs.guest.queued() == 0,
            Manner::Abrupt { .. } => legs.guest.queued() == 0,
        };
        if over || cx.now.mono >= self.deadline {
            let reset = self.manner == Manner::Abrupt { reset: true };
            return Ok(Step::Done(Life::Over { reset }));
        }
        Ok(Step::Wait(State::Drain(self)))
    }
}

/// Whether the end of the connection would be taken for the end of the body.
pub fn would_look_whole(legs: &Legs, exchange: Option<&Exchange>) -> bool {
    let unframed = exchange.is_some_and(|exchange| exchange.version == Version::H10);
    unframed && !legs.guest.is_tls()
}
