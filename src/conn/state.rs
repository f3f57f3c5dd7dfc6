//! All states of a guest connection and every transition between them.
//!
//! ```text
//!                 0x05 (SOCKS5)          reply                 CONNECT answered 200
//!               +---------------> Greet -----+     +--------------------------------------+
//!               |                            v     v                                      |
//!   accept --> Greet --- 0x16 ----------> Hello (ClientHello) -- splice --> Dial --> Tunnel
//!     ^         |                            |                                ^        |
//!     |         |                            v intercept                      |        |
//!   PROXY v2    +--- a method ---+       Handshake                            |        |
//!                                |           |                                |        |
//!                                v           v                                |        |
//!                              Request (head, verdict) ---- allowed ---------+|        |
//!                                ^   |  refused                              v         |
//!                                |   |                     Dial (pool | dns, connect, tls)
//!                                |   v                                       |         |
//!                                | Drain <---- close ---- Stream <-----------+         |
//!                                |   |                      |  |                       |
//!                                +---|------ keep-alive ----+  +--- 101 --> Tunnel ----+
//!                                    v                                      |
//!                                  closed <---------------------------------+
//! ```
//!
//! A connection to port 53 goes from Greet to Dns and stays there.
//!
//! A turn consumes its state and gives the next: a failed machine cannot be used again, and illegal combinations
//! cannot be written. A fault in any state ends in `fault::conclude`: an answer where the guest can read one (then
//! Drain), else the end.

use crate::exchange::decide;
use crate::limits::Micros;
use crate::policy::Policy;
use crate::telemetry::event::Phase;

use super::dial::Dial;
use super::dns::Dns;
use super::drain::Drain;
use super::fault::Fault;
use super::greet::Greet;
use super::hello::{Handshake, Hello};
use super::request::Request;
use super::stream::Stream;
use super::tunnel::Tunnel;
use super::{Answer, Cx, Legs, Life, READ, Session};

/// A state of a guest connection.
#[derive(Debug)]
pub enum State {
    /// Nothing understood yet: PROXY v2 header, then the first byte says what it is.
    Greet(Greet),
    /// Answering a guest's DNS queries.
    Dns(Dns),
    /// Reading a ClientHello.
    Hello(Box<Hello>),
    /// TLS handshake with the guest.
    Handshake(Handshake),
    /// Waiting for a request head, or reading one.
    Request(Request),
    /// Getting an origin connection.
    Dial(Box<Dial>),
    /// Request and response bodies under way.
    Stream(Box<Stream>),
    /// Bytes both ways: spliced TLS, or a WebSocket.
    Tunnel(Box<Tunnel>),
    /// The last answer leaves; what the guest still sends is thrown away.
    Drain(Drain),
}

const _: () = assert!(size_of::<State>() <= 256, "State is moved at every turn");

/// What a turn returned.
#[derive(Debug)]
pub enum Step {
    /// Run this state at once.
    Go(State),
    /// Run this state when something happened.
    Wait(State),
    /// The connection has ended.
    Done(Life),
}

/// The outcome of a turn.
pub type Turn = Result<Step, Box<Fault>>;

impl State {
    /// The state of a connection that was just accepted.
    pub fn first(session: &Session) -> Self {
        Self::Greet(Greet::new(session))
    }

    /// Lets the state do what it can.
    pub fn turn(
        self,
        legs: &mut Legs,
        session: &mut Session,
        cx: &mut Cx<'_>,
        answer: Option<Answer>,
    ) -> Turn {
        match self {
            Self::Greet(state) => state.turn(legs, session, cx),
            Self::Dns(state) => state.turn(legs, session, cx),
            Self::Hello(state) => state.turn(legs, session, cx),
            Self::Handshake(state) => state.turn(legs, session, cx),
            Self::Request(state) => state.turn(legs, session, cx),
            Self::Dial(state) => state.turn(legs, session, cx, answer),
            Self::Stream(state) => state.turn(legs, session, cx),
            Self::Tunnel(state) => state.turn(legs, session, cx),
            Self::Drain(state) => state.turn(legs, cx),
        }
    }

    /// The deadline has passed.
    pub fn expire(self, session: &Session, cx: &mut Cx<'_>) -> Result<Self, Box<Fault>> {
        match self {
            Self::Request(state) => state.expire(session, cx).map(Self::Request),
            Self::Dial(state) => Err(state.expire(cx)),
            Self::Stream(state) => state.expire(cx).map(|stream| Self::Stream(Box::new(stream))),
            Self::Tunnel(state) => Err(state.expire(cx)),
            Self::Greet(_) | Self::Hello(_) => Err(Fault::late_hello(session)),
            Self::Handshake(_) => Err(Fault::late_handshake()),
            Self::Drain(_) | Self::Dns(_) => Err(Fault::drained()),
        }
    }

    /// When `expire` is to be called.
    pub fn deadline(&self) -> Micros {
        match self {
            Self::Greet(state) => state.deadline,
            Self::Dns(state) => state.deadline,
            Self::Hello(state) => state.deadline,
            Self::Handshake(state) => state.deadline,
            Self::Request(state) => state.deadline,
            Self::Dial(state) => state.deadline,
            Self::Stream(state) => state.deadline(),
            Self::Tunnel(state) => state.deadline,
            Self::Drain(state) => state.deadline,
        }
    }

    /// A byte came: what counts silence counts anew.
    pub fn touch(&mut self, now: Micros) {
        match self {
            Self::Stream(state) => state.touch(now),
            Self::Tunnel(state) => state.touch(now),
            _ => {}
        }
    }

    /// Bytes have left; so many still wait towards the guest.
    pub fn note_room(&mut self, now: Micros, queued: usize) {
        match self {
            Self::Request(state) => state.note_room(now),
            Self::Drain(state) => state.note_room(now, queued),
            other => other.touch(now),
        }
    }

    /// Whether nothing is to be done before a peer sends something: between two requests, and while the origin thinks
    /// about a request that is whole.
    pub fn rests(&self, legs: &Legs) -> bool {
        let silent = legs.guest.unread() == 0 && !legs.guest.has_ended();
        match self {
            Self::Request(state) => silent && state.is_idle(),
            Self::Stream(state) => silent && state.awaits_answer(legs),
            _ => false,
        }
    }

    /// Bytes have left while the state rests.
    pub fn note_sent(&mut self, legs: &Legs, now: Micros) {
        if let (Self::Stream(state), Some(origin)) = (self, &legs.origin) {
            state.note_sent(origin, now);
        }
    }

    /// The origin's transport broke.
    pub fn origin_lost(&mut self) {
        if let Self::Stream(state) = self {
            state.origin_lost();
        }
    }

    /// How much the guest may send ahead before it has to wait.
    pub fn guest_mark(&self) -> usize {
        match self {
            Self::Greet(_) => 96 << 10,
            Self::Hello(state) => state.mark,
            Self::Request(state) => state.mark,
            Self::Stream(_) => READ / 2,
            Self::Tunnel(_) | Self::Dns(_) | Self::Handshake(_) | Self::Dial(_) | Self::Drain(_) => READ,
        }
    }

    /// How much the origin may send ahead before it has to wait.
    pub fn origin_mark(&self) -> usize {
        match self {
            Self::Stream(state) => state.origin_mark(),
            _ => READ,
        }
    }

    /// Whether nothing would be lost by closing now.
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Greet(_) | Self::Dns(_) | Self::Hello(_) | Self::Handshake(_) => true,
            Self::Request(state) => state.is_idle(),
            Self::Dial(_) | Self::Stream(_) | Self::Tunnel(_) | Self::Drain(_) => false,
        }
    }

    /// Whether a policy denies what is under way.
    pub fn is_denied_by(&self, policy: &Policy) -> bool {
        match self {
            Self::Dial(state) => state.is_denied_by(policy),
            Self::Stream(state) => decide::is_denied(state.exchange(), policy),
            Self::Tunnel(state) => state.is_denied_by(policy),
            _ => false,
        }
    }

    /// A fault that came from outside a turn, with what this state was doing.
    pub fn into_fault(self, fault: Fault, session: &Session, cx: &mut Cx<'_>) -> Fault {
        match self {
            Self::Dial(state) => state.into_fault(fault),
            Self::Stream(state) => state.into_fault(fault),
            Self::Tunnel(state) => state.into_fault(fault, cx),
            Self::Request(state) if state.is_idle() && session.requests > 0 => fault.farewell(),
            Self::Greet(_) if !session.received => fault.silent(),
            Self::Drain(_) | Self::Dns(_) => fault.silent(),
            Self::Greet(_) => fault.at(Phase::Greet),
            Self::Hello(_) => fault.at(Phase::Hello),
            Self::Handshake(_) => fault.at(Phase::Handshake),
            Self::Request(_) => fault.at(Phase::Head),
        }
    }
}
