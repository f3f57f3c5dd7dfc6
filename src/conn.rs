//! One guest connection: a machine that takes bytes, answers and time, and gives bytes, events and requests to the
//! world. It owns no socket, reads no clock, and never blocks.
//!
//! The states and every transition are drawn in [`state`]. A caller (the reactor, or the lab) does this:
//!
//! ```text
//! conn.receive(side, bytes) / conn.end_of_input(side) / conn.lost(side) / conn.answer(..) / conn.expire()
//! conn.run(cx)                      until it waits
//! carry out cx.asks, hand on cx.events, flush conn.leg(side), obey conn.life()
//! ```

pub mod dial;
pub mod dns;
pub mod drain;
pub mod fault;
pub mod greet;
pub mod hello;
pub mod identity;
pub mod pump;
pub mod request;
pub mod session;
pub mod state;
pub mod stream;
pub mod tunnel;
pub mod world;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::leg::Leg;
use crate::limits::Micros;
use crate::policy::host::Host;

pub use fault::Fault;
pub use session::Session;
pub use state::{State, Step};
pub use world::{Cx, World};

/// Which peer. A connection has one guest; HTTP/2 will give it more than one origin leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The guest.
    Guest,
    /// The origin.
    Origin,
}

/// What a connection machine asks of the world.
#[derive(Debug)]
pub enum Ask {
    /// An origin connection: an idle one from the pool, or the addresses to dial.
    Origin(OriginAsk),
    /// Connect to one of these addresses, raced.
    Dial(Vec<SocketAddr>),
    /// Keep the origin connection for another exchange.
    Park(Box<Leg>),
    /// Close the origin connection, or stop dialling.
    HangUp,
}

/// Which origin connection is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginAsk {
    /// The host whose certificate must be shown.
    pub host: Host,
    /// Port.
    pub port: u16,
    /// How the bytes travel.
    pub carriage: Carriage,
    /// Whether an idle connection will do. A retry and a splice want a fresh one.
    pub fresh: bool,
}

/// How bytes travel to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carriage {
    /// HTTP over verified TLS.
    Tls,
    /// HTTP without TLS.
    Plain,
    /// The guest's own bytes, untouched.
    Opaque,
}

/// What the world answers.
#[derive(Debug)]
pub enum Answer {
    /// Addresses to choose from.
    Addresses {
        /// In the resolver's order.
        list: Arc<[IpAddr]>,
    },
    /// Where the operator says that this host is to be dialled; exempt from the private-address rule.
    Mapped(Vec<SocketAddr>),
    /// The corporate proxy's addresses: it looks names up itself, so that only hosts that are addresses can be checked.
    Via(Vec<SocketAddr>),
    /// An address among those to dial is one of our own listeners (P13).
    Own,
    /// The name has no address, and why.
    Unresolved(&'static str),
    /// An origin connection.
    Origin {
        /// The pipe, connected; on TLS the handshake may still be ahead.
        leg: Box<Leg>,
        /// The address that was connected to.
        dialed: SocketAddr,
        /// Whether it has served before.
        reused: bool,
    },
    /// No address could be connected to, and why.
    Unreachable(String),
}

/// The pipes of a connection.
#[derive(Debug)]
pub struct Legs {
    /// Towards the guest.
    pub guest: Leg,
    /// Towards the origin, while an exchange or a tunnel has one.
    pub origin: Option<Box<Leg>>,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It goes on.
    Open,
    /// It ends now; `reset` makes the end visible to a peer that got half a message.
    Over {
        /// Close with a reset.
        reset: bool,
    },
}

/// One guest connection.
pub struct Conn {
    session: Session,
    legs: Legs,
    /// `None` once the connection has ended.
    state: Option<State>,
    life: Life,
    answer: Option<Answer>,
    deadline: Micros,
    /// Bytes that waited to leave, both ways, when it last ran.
    waiting: usize,
}

/// Bytes that may wait towards a peer before reading from the other stops (P23).
pub const HIGH_MARK: usize = 32 << 10;

impl Conn {
    /// A connection that was just accepted; it has until `deadline` to say what it wants.
    pub fn new(session: Session, deadline: Micros) -> Self {
        let state = State::first(&session);
        let legs = Legs { guest: Leg::plain(), origin: None };
        Self { session, legs, state: Some(state), life: Life::Open, answer: None, deadline, waiting: 0 }
    }

    /// How many bytes may be read from a side now; 0 for none.
    pub fn wants(&self, side: Side) -> usize {
        let Some(state) = &self.state else { return 0 };
        match side {
            Side::Guest if self.legs.guest.takes_input(state.guest_mark()) => READ,
            Side::Origin => match &self.legs.origin {
                Some(leg) if leg.takes_input(state.origin_mark()) && self.legs.guest.queued() < HIGH_MARK => {
                    READ
                }
                _ => 0,
            },
            Side::Guest => 0,
        }
    }

    /// Takes bytes that a peer sent.
    pub fn receive(&mut self, side: Side, bytes: &[u8], cx: &mut Cx<'_>) {
        let Some(state) = &mut self.state else { return };
        state.touch(cx.now.mono);
        let outcome = match (side, &mut self.legs.origin) {
            (Side::Guest, _) => self.legs.guest.feed(bytes),
            (Side::Origin, Some(leg)) => leg.feed(bytes),
            (Side::Origin, None) => return,
        };
        if let Err(error) = outcome {
            self.fail(Fault::tls(side, &error), cx);
        }
    }

    /// A peer's transport ended.
    pub fn end_of_input(&mut self, side: Side) {
        match (side, &mut self.legs.origin) {
            (Side::Guest, _) => self.legs.guest.end_of_input(),
            (Side::Origin, Some(leg)) => leg.end_of_input(),
            (Side::Origin, None) => {}
        }
    }

    /// A write to the origin failed, so nothing more can be sent; an answer may still be there to be read.
    pub fn origin_refuses(&mut self) {
        if let Some(leg) = &mut self.legs.origin {
            leg.discard_output();
        }
        if let Some(state) = &mut self.state {
            state.origin_lost();
        }
    }

    /// Whether a guest that sends no more waits for what comes from an origin, as far as TCP says (RFC 9112 §9.6). It
    /// may be gone.
    pub fn serves_half_closed(&self) -> bool {
        let waits = matches!(self.state, Some(State::Dial(_) | State::Stream(_) | State::Tunnel(_)));
        waits && !self.legs.guest.is_tls() && self.legs.guest.is_fin()
    }

    /// A peer's transport broke: a reset, or a write to the guest that failed.
    pub fn lost(&mut self, side: Side, cx: &mut Cx<'_>) {
        self.end_of_input(side);
        match side {
            Side::Guest => self.fail(Fault::guest_gone(), cx),
            Side::Origin => {
                if let Some(state) = &mut self.state {
                    state.origin_lost();
                }
            }
        }
    }

    /// Takes the world's answer to an ask.
    pub fn answer(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    /// Lets the machine go on until it waits.
    pub fn run(&mut self, cx: &mut Cx<'_>) {
        self.note_room(cx.now.mono);
        loop {
            if let Err(error) = self.resume() {
                self.fail(error, cx);
            }
            self.run_turns(cx);
            if self.state.is_none() || !self.can_resume() {
                break;
            }
        }
        self.waiting = self.queued(Side::Guest) + self.queued(Side::Origin);
    }

    fn run_turns(&mut self, cx: &mut Cx<'_>) {
        let mut turns = 0;
        while let Some(state) = self.state.take() {
            turns += 1;
            debug_assert!(turns < 10_000, "a connection machine spins");
            let answer = self.answer.take();
            match state.turn(&mut self.legs, &mut self.session, cx, answer) {
                Ok(Step::Go(next)) => self.state = Some(next),
                Ok(Step::Wait(next)) => {
                    self.deadline = next.deadline();
                    self.state = Some(next);
                    break;
                }
                Ok(Step::Done(life)) => self.end(life),
                Err(fault) => self.end_badly(*fault, cx),
            }
        }
    }

    /// Bytes that have left since the last turn break a silence as bytes that came do.
    fn note_room(&mut self, now: Micros) {
        let waiting = self.queued(Side::Guest) + self.queued(Side::Origin);
        if waiting < self.waiting
            && let Some(state) = &mut self.state
        {
            state.note_room(now, self.legs.guest.queued());
        }
    }

    /// Bytes have left, and `before` had waited. Whether the machine may have something to do now: most often it waits
    /// for what comes next, and only the time counts.
    pub fn note_left(&mut self, before: usize, now: Micros, draining: bool) -> bool {
        let rests = self.state.as_ref().is_none_or(|state| state.rests(&self.legs));
        if !rests || before >= HIGH_MARK || draining || self.can_resume() {
            return true;
        }
        self.note_room(now);
        if let Some(state) = &mut self.state {
            state.note_sent(&self.legs, now);
            self.deadline = state.deadline();
        }
        self.waiting = self.queued(Side::Guest) + self.queued(Side::Origin);
        false
    }

    /// Whether input was kept back that there is room for now.
    fn can_resume(&self) -> bool {
        self.legs.guest.can_resume() || self.legs.origin.as_ref().is_some_and(|leg| leg.can_resume())
    }

    fn resume(&mut self) -> Result<(), Fault> {
        if self.legs.guest.can_resume() {
            self.legs.guest.resume().map_err(|error| Fault::tls(Side::Guest, &error))?;
        }
        if let Some(leg) = self.legs.origin.as_mut().filter(|leg| leg.can_resume()) {
            leg.resume().map_err(|error| Fault::tls(Side::Origin, &error))?;
        }
        Ok(())
    }

    /// Whether the deadline has passed.
    pub fn is_due(&self, now: Micros) -> bool {
        self.state.is_some() && now >= self.deadline
    }

    /// When [`Conn::expire`] is to be called.
    pub fn deadline(&self) -> Micros {
        self.deadline
    }

    /// The deadline has passed: the stage failed.
    pub fn expire(&mut self, cx: &mut Cx<'_>) {
        let Some(state) = self.state.take() else { return };
        match state.expire(&self.session, cx) {
            Ok(next) => {
                self.deadline = next.deadline();
                self.state = Some(next);
            }
            Err(fault) => self.end_badly(*fault, cx),
        }
    }

    /// Something outside the machine's turn went wrong.
    fn fail(&mut self, fault: Fault, cx: &mut Cx<'_>) {
        if let Some(state) = self.state.take() {
            let fault = state.into_fault(fault, &self.session, cx);
            self.end_badly(fault, cx);
        }
    }

    fn end_badly(&mut self, fault: Fault, cx: &mut Cx<'_>) {
        match fault::conclude(fault, &mut self.legs, &mut self.session, cx) {
            Ok(state) => {
                self.deadline = state.deadline();
                self.state = Some(state);
            }
            Err(life) => self.end(life),
        }
    }

    fn end(&mut self, life: Life) {
        self.state = None;
        self.life = life;
        self.legs.origin = None;
    }

    /// Ends the connection at the operator's word (drain, cut, a policy that now denies).
    pub fn cut(&mut self, why: &'static str, cx: &mut Cx<'_>) {
        self.fail(Fault::cut(why), cx);
    }

    /// Gives the connection up after a defect: nothing of it is used again (P3).
    pub fn abandon(&mut self) {
        self.end(Life::Over { reset: true });
    }

    /// Whether nothing would be lost by closing now: no exchange or tunnel is under way.
    pub fn is_idle(&self) -> bool {
        let idle = self.state.as_ref().is_none_or(State::is_idle);
        idle && self.legs.guest.queued() == 0
    }

    /// Whether our direction towards a side is to be shut down once everything has left.
    pub fn shuts_down(&self, side: Side) -> bool {
        match (&self.state, side) {
            (Some(State::Drain(drain)), Side::Guest) => drain.shuts_down(),
            (Some(State::Tunnel(_)), Side::Guest) => {
                self.legs.origin.as_ref().is_some_and(|origin| origin.is_exhausted())
            }
            (Some(State::Tunnel(_)), Side::Origin) => self.legs.guest.is_exhausted(),
            _ => false,
        }
    }

    /// The policy has changed: what it now denies is cut.
    pub fn judge_again(&mut self, cx: &mut Cx<'_>) {
        let denied = self.state.as_ref().is_some_and(|state| state.is_denied_by(&cx.world.policy));
        if denied {
            let mut fault = Fault::cut("the policy was reloaded and denies this now");
            fault.decision = crate::telemetry::event::Decision::Denied;
            self.fail(fault, cx);
        }
    }

    /// Whether the connection goes on.
    pub fn life(&self) -> Life {
        self.life
    }

    /// A side's pipe, for flushing.
    pub fn leg(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::Guest => Some(&mut self.legs.guest),
            Side::Origin => self.legs.origin.as_deref_mut(),
        }
    }

    /// Bytes that wait towards a side.
    pub fn queued(&self, side: Side) -> usize {
        match side {
            Side::Guest => self.legs.guest.queued(),
            Side::Origin => self.legs.origin.as_ref().map_or(0, |leg| leg.queued()),
        }
    }

    /// Bytes of memory held for both peers, about.
    pub fn held(&self) -> usize {
        self.legs.guest.held() + self.legs.origin.as_ref().map_or(0, |leg| leg.held())
    }
}

/// Most bytes read at once.
pub const READ: usize = 32 << 10;
