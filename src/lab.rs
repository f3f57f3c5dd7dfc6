//! Drives a whole [`Conn`] with no sockets: a guest and origins on byte pipes in memory, plain or with real TLS, a
//! virtual clock, scripted answers to every [`Ask`], and every byte stream cut wherever a seed says.
//!
//! It stands in the reactor's place and keeps the reactor's manners: it reads only what [`Conn::wants`], tells the end
//! of a stream once, flushes before it looks whether the connection is over. What the reactor must not do, it cannot
//! do: it has no clock and no randomness but the seed's.
//!
//! [`Lab`] is led by hand, for promises about one moment; [`round::run`] plays a whole script, for comparing cuts.

pub mod cuts;
pub mod normal;
pub mod peer;
pub mod round;
pub mod storm;
pub mod world;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::conn::world::{Gate, World};
use crate::conn::{Answer, Ask, Carriage, Conn, Cx, Life, OriginAsk, Session, Side};
use crate::exchange::Scratch;
use crate::leg::Leg;
use crate::limits::{Micros, Now};
use crate::telemetry::event::{Client, Event, NetEvent};

use cuts::Cuts;
use peer::{End, Peer};

/// The address that every name has here: a public one, for documentation (RFC 5737).
pub const ORIGIN: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// What becomes of a question for addresses.
#[derive(Clone, Debug)]
pub enum Names {
    /// These addresses.
    Are(Vec<IpAddr>),
    /// The operator's own mapping.
    Mapped(SocketAddr),
    /// A corporate proxy's address, which resolves names itself.
    Via(SocketAddr),
    /// No such name.
    Fail(&'static str),
    /// No answer ever comes.
    Silent,
}

/// What becomes of a connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It succeeds at once.
    Connects,
    /// It fails.
    Refused,
    /// Nothing ever comes.
    BlackHole,
    /// It would lead back to the proxy.
    Own,
}

/// An origin connection that was parked.
struct Parked {
    ask: OriginAsk,
    leg: Box<Leg>,
    origin: usize,
}

/// One connection machine with its surroundings.
pub struct Lab {
    /// The machine.
    pub conn: Conn,
    /// Its settings; change them before the first byte.
    pub world: World,
    /// Both clocks.
    pub now: Now,
    /// Whether the ledger takes requests.
    pub gate: Gate,
    /// The proxy is ending.
    pub draining: bool,
    /// The guest's end.
    pub guest: Peer,
    /// Every origin connection so far, in the order of connecting.
    pub origins: Vec<Peer>,
    /// Answers to questions for addresses.
    pub names: Names,
    /// Answers to connects.
    pub reach: Reach,
    /// What an origin sends before it is asked, as soon as it is connected.
    pub origin_speaks_first: Option<&'static [u8]>,
    /// Everything that was asked of the world, as text.
    pub asked: Vec<String>,
    /// Everything that was recorded.
    pub events: Vec<Event>,
    /// How the machine's life ended.
    pub life: Life,
    /// Idle origin connections are watched, and dropped at the first sign of life. A test turns this off to have an
    /// exchange meet one that has just gone.
    pub watches_pool: bool,
    cuts: Cuts,
    current: Option<usize>,
    pool: Vec<Parked>,
    wanted: Option<OriginAsk>,
    todo: VecDeque<Ask>,
    scratch: Scratch,
    next_id: u64,
}

impl Lab {
    /// A machine that has just accepted a guest, with default limits and a policy that allows everything.
    pub fn new(cuts: Cuts) -> Self {
        Self::with(world::world(world::ALLOW), cuts)
    }

    /// The same with settings of one's own.
    pub fn with(world: World, cuts: Cuts) -> Self {
        let now = Now { mono: 1_000_000, wall: world::WALL };
        let conn = Conn::new(session(now), now.mono + world.timeouts.hello);
        Self {
            conn,
            world,
            now,
            gate: Gate::Open,
            draining: false,
            guest: Peer::plain(),
            origins: Vec::new(),
            names: Names::Are(vec![ORIGIN]),
            reach: Reach::Connects,
            origin_speaks_first: None,
            asked: Vec::new(),
            events: Vec::new(),
            life: Life::Open,
            watches_pool: true,
            cuts,
            current: None,
            pool: Vec::new(),
            wanted: None,
            todo: VecDeque::new(),
            scratch: Scratch::default(),
            next_id: 1,
        }
    }

    /// The guest sends bytes, and everything that follows from it happens.
    pub fn guest_sends(&mut self, bytes: &[u8]) {
        self.guest.send(bytes);
        self.settle();
    }

    /// The guest begins TLS for a host, on what it has (a tunnel or a fresh connection); the handshake is run.
    pub fn guest_begins_tls(&mut self, host: &str) {
        self.guest.begin_tls(host);
        self.settle();
    }

    /// The guest opens a tunnel, begins TLS in it, and what it received so far is forgotten.
    pub fn guest_connects(&mut self, host: &str) {
        self.guest_sends(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes());
        let answer = self.guest.take_received();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&answer));
        self.guest_begins_tls(host);
    }

    /// The guest's stream ends.
    pub fn guest_ends(&mut self, end: End) {
        self.guest.finish(end);
        self.settle();
    }

    /// The origin that serves now sends bytes.
    pub fn origin_sends(&mut self, bytes: &[u8]) {
        self.origin().send(bytes);
        self.settle();
    }

    /// The stream of the origin that serves now ends.
    pub fn origin_ends(&mut self, end: End) {
        self.origin().finish(end);
        self.settle();
    }

    /// The origin connection that was used last.
    ///
    /// # Panics
    ///
    /// When there was none.
    pub fn origin(&mut self) -> &mut Peer {
        let last = self.current.or(self.origins.len().checked_sub(1));
        &mut self.origins[last.expect("an origin connection")]
    }

    /// Whether an origin connection is attached now.
    pub fn has_origin(&self) -> bool {
        self.current.is_some()
    }

    /// How many origin connections lie in the pool.
    pub fn pooled(&self) -> usize {
        self.pool.len()
    }

    /// The origin connections in the pool end.
    pub fn pooled_ends(&mut self, end: End) {
        for parked in &self.pool {
            self.origins[parked.origin].finish(end);
        }
    }

    /// The origin connections in the pool say something unasked.
    pub fn pooled_sends(&mut self, bytes: &[u8]) {
        for parked in &self.pool {
            self.origins[parked.origin].send(bytes);
        }
    }

    /// Cuts differently from now on.
    pub fn set_cuts(&mut self, cuts: Cuts) {
        self.cuts = cuts;
    }

    /// Lets time pass; the machine's deadline fires where it is reached.
    pub fn wait(&mut self, micros: Micros) {
        self.now.mono += micros;
        self.now.wall += micros.cast_signed();
        if self.conn.is_due(self.now.mono) {
            self.with_conn(|conn, cx| {
                conn.expire(cx);
                conn.run(cx);
            });
        }
        self.settle();
    }

    /// Lets something be done to the machine, as the reactor would, and what follows.
    pub fn act(&mut self, act: impl FnOnce(&mut Conn, &mut Cx<'_>)) {
        self.with_conn(act);
        self.settle();
    }

    /// Whether the machine has ended.
    pub fn is_over(&self) -> bool {
        self.life != Life::Open
    }

    /// The net events so far.
    pub fn rows(&self) -> Vec<&NetEvent> {
        self.events.iter().filter_map(net_event).collect()
    }

    /// Runs until nothing moves any more.
    pub fn settle(&mut self) {
        while self.step() {}
    }

    /// One move of each kind, in the order that the seed says; false when nothing moved.
    pub fn step(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let sides = if self.cuts.flip() { [Side::Guest, Side::Origin] } else { [Side::Origin, Side::Guest] };
        let mut moved = false;
        if self.watches_pool {
            let origins = &self.origins;
            self.pool.retain(|parked| !origins[parked.origin].has_news());
        }
        for side in sides {
            moved |= self.deliver(side);
            moved |= self.flush(side);
        }
        while self.carry_out() {
            moved = true;
        }
        self.note_life();
        moved
    }

    fn peer(&mut self, side: Side) -> Option<&mut Peer> {
        match side {
            Side::Guest => Some(&mut self.guest),
            Side::Origin => self.current.map(|index| &mut self.origins[index]),
        }
    }

    /// Gives the machine a piece of what a peer sent, or the end.
    fn deliver(&mut self, side: Side) -> bool {
        let wanted = self.conn.wants(side);
        let most = self.cuts.size();
        let Some(peer) = self.peer(side) else { return false };
        if let Some(piece) = peer.next_piece(wanted.min(most)) {
            self.with_conn(|conn, cx| {
                conn.receive(side, &piece, cx);
                conn.run(cx);
            });
            return true;
        }
        match peer.next_end(wanted > 0) {
            None => false,
            Some(End::Reset) => {
                self.with_conn(|conn, cx| {
                    conn.lost(side, cx);
                    conn.run(cx);
                });
                true
            }
            Some(End::Fin | End::Cut) => {
                self.with_conn(|conn, cx| {
                    conn.end_of_input(side);
                    conn.run(cx);
                });
                true
            }
        }
    }

    /// Hands a peer what waits for it, as far as it reads.
    fn flush(&mut self, side: Side) -> bool {
        let room = self.peer(side).map_or(0, |peer| peer.room());
        let Some(leg) = self.conn.leg(side).filter(|_| room > 0) else { return false };
        let before = leg.queued();
        let mut window = Window { bytes: Vec::new(), room };
        if before > 0 {
            let flushed = leg.flush(&mut window);
            debug_assert!(flushed.is_ok(), "a window takes bytes or would block");
        }
        let left = self.conn.queued(side);
        let shut = left == 0 && self.conn.shuts_down(side);
        if let Some(peer) = self.peer(side) {
            peer.take(&window.bytes);
            if shut {
                peer.ended.get_or_insert(End::Fin);
            }
        }
        if left < before && self.conn.note_left(before, self.now.mono, self.draining) {
            self.with_conn(Conn::run);
        }
        left < before
    }

    fn note_life(&mut self) {
        self.life = self.conn.life();
        if let Life::Over { reset } = self.life {
            self.flush(Side::Guest);
            self.guest.ended = Some(if reset { End::Reset } else { End::Fin });
            self.hang_up();
        }
    }

    fn with_conn(&mut self, act: impl FnOnce(&mut Conn, &mut Cx<'_>)) {
        let mut asks = Vec::new();
        let first = self.next_id;
        let given = std::cell::Cell::new(first);
        let next_id = || given.replace(given.get() + 1);
        let mut cx = Cx {
            now: self.now,
            world: &self.world,
            gate: self.gate,
            draining: self.draining,
            asks: &mut asks,
            events: &mut self.events,
            next_id: &next_id,
            scratch: &mut self.scratch,
        };
        act(&mut self.conn, &mut cx);
        self.next_id = given.get();
        self.todo.extend(asks);
    }

    /// Carries out the next ask; false when there is none.
    fn carry_out(&mut self) -> bool {
        let Some(ask) = self.todo.pop_front() else { return false };
        match ask {
            Ask::Origin(ask) => self.find(&ask),
            Ask::Dial(addresses) => self.dial(&addresses),
            Ask::Park(leg) => self.park(leg),
            Ask::HangUp => self.hang_up(),
        }
        true
    }

    fn find(&mut self, ask: &OriginAsk) {
        self.asked.push(format!("origin {}:{} {:?} fresh={}", ask.host, ask.port, ask.carriage, ask.fresh));
        self.wanted = Some(ask.clone());
        let same = |parked: &Parked| {
            (&parked.ask.host, parked.ask.port, parked.ask.carriage) == (&ask.host, ask.port, ask.carriage)
        };
        let found = self.pool.iter().rposition(same).filter(|_| !ask.fresh);
        let answer = match (found, &self.names) {
            (Some(at), _) => {
                let parked = self.pool.remove(at);
                self.current = Some(parked.origin);
                let dialed = SocketAddr::new(ORIGIN, ask.port);
                Answer::Origin { leg: parked.leg, dialed, reused: true }
            }
            (None, Names::Are(list)) => Answer::Addresses { list: Arc::from(&list[..]) },
            (None, Names::Mapped(address)) => Answer::Mapped(vec![*address]),
            (None, Names::Via(address)) => Answer::Via(vec![*address]),
            (None, Names::Fail(why)) => Answer::Unresolved(why),
            (None, Names::Silent) => return,
        };
        self.answer(answer);
    }

    fn dial(&mut self, addresses: &[SocketAddr]) {
        self.asked.push(format!("dial {addresses:?}"));
        let (Some(ask), Some(&dialed)) = (self.wanted.clone(), addresses.first()) else { return };
        match self.reach {
            Reach::BlackHole => {}
            Reach::Own => self.answer(Answer::Own),
            Reach::Refused => self.answer(Answer::Unreachable("connection refused".into())),
            Reach::Connects => {
                let (mut leg, peer) = match ask.carriage {
                    Carriage::Tls => (world::towards(&ask.host), Peer::tls_server(&ask.host)),
                    Carriage::Plain | Carriage::Opaque => (Leg::plain(), Peer::plain()),
                };
                if let Some(bytes) = self.origin_speaks_first {
                    let fed = leg.feed(bytes);
                    debug_assert!(fed.is_ok(), "only plain origins speak first here");
                }
                self.current = Some(self.origins.len());
                self.origins.push(peer);
                self.answer(Answer::Origin { leg: Box::new(leg), dialed, reused: false });
            }
        }
    }

    fn park(&mut self, leg: Box<Leg>) {
        self.asked.push("park".into());
        if let (Some(origin), Some(ask)) = (self.current.take(), self.wanted.clone()) {
            self.pool.push(Parked { ask, leg, origin });
        }
    }

    fn hang_up(&mut self) {
        if let Some(index) = self.current.take() {
            self.asked.push("hangup".into());
            self.origins[index].ended.get_or_insert(End::Fin);
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.with_conn(|conn, cx| {
            conn.answer(answer);
            conn.run(cx);
        });
    }
}

fn net_event(event: &Event) -> Option<&NetEvent> {
    if let Event::Net(row) = event { Some(row) } else { None }
}

/// What a guest's connection is known by here.
fn session(now: Now) -> Session {
    let begun = Session::begin(1, Arc::from("lab"), Arc::new(Client::default()), now);
    Session { local_port: 3128, ..begun }
}

/// Takes so many bytes, then would block.
struct Window {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.room);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= len;
        self.bytes.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
