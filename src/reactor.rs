//! The loop: poll, latch, mail, timers, run list. The only place that owns sockets and reads the clock.
//!
//! One reactor is one thread with its own listeners, connections, origin pool and timers; nothing is shared but
//! counters, the policy and the certificate cache. A turn (DESIGN §4): poll until the nearest timer, read the clock
//! once, latch readiness, take mail, fire timers, work the run list, free what was closed.

mod dialer;
pub mod figures;
pub mod listen;
pub mod mailbox;
mod peer;
mod run;
pub mod server;
pub mod shared;
pub mod socket;
mod token;
mod wheel;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;
use mio::event::Event as IoEvent;
use mio::{Events, Poll, Token};
use slab::Slab;

use crate::conn::world::World;
use crate::conn::{Ask, Conn, OriginAsk, Session};
use crate::exchange::Scratch;
use crate::limits::{Micros, Now, SECOND};
use crate::telemetry::event::{Client, Event};
use crate::upstream::pool::{Pool, PoolLimits};

use dialer::{Dial, Parked};
use listen::{Accepted, Listener};
use mailbox::Mail;
use shared::{Local, Shared, WatchedPolicy};
use socket::{Owner, Port};
use token::Source;
use wheel::Wheel;

pub use server::Server;

/// Connections accepted in one turn, so that running ones are not kept waiting.
const ACCEPTS: usize = 64;
/// When a listener that could not accept (no descriptors, too many connections) is tried again.
const ACCEPT_AGAIN: Micros = 20_000;

/// How often it is asked whether a guest that sends no more is still there: twice within the second of P31.
const LOOK_AGAIN: Micros = SECOND / 2 - 50_000;
/// Longest sleep, so that counters and the policy are looked at now and then.
const LONGEST_SLEEP: Micros = 1_000_000;

/// Whom a timer wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Conn { key: usize, serial: u64 },
    Dial { key: usize, conn: u64 },
    Accept,
}

/// A connection with its sockets.
struct Entry {
    conn: Conn,
    /// Distinguishes it from an earlier one in the same slot.
    serial: u64,
    guest: usize,
    origin: Option<usize>,
    dial: Option<usize>,
    /// The origin connection that was last asked for: the pool's key when it is parked.
    asked: Option<OriginAsk>,
    /// The address that the origin connection goes to.
    dialed: Option<std::net::SocketAddr>,
    /// Memory that was last counted for it.
    held: usize,
    /// The earliest time for which the wheel holds an entry.
    timer_at: Micros,
    queued: bool,
    /// Our direction has been shut down: guest, origin.
    shut: [bool; 2],
}

/// One reactor.
struct Reactor {
    index: u16,
    poll: Poll,
    listeners: Vec<Listener>,
    ports: Slab<Port>,
    conns: Slab<Entry>,
    dials: Slab<Dial>,
    pool: Pool<Parked>,
    wheel: Wheel<Timer>,
    run_list: VecDeque<usize>,
    /// The connection that is being worked on.
    working: Option<usize>,
    /// Ports to be freed after the batch of events, so that a stale event finds no newcomer in their slot.
    freed: Vec<usize>,
    mail: Receiver<Mail>,
    shared: std::sync::Arc<Shared>,
    local: Local,
    world: World,
    policy: WatchedPolicy,
    start: Instant,
    now: Now,
    generation: u32,
    buffer: Vec<u8>,
    scratch: Scratch,
    asks: Vec<Ask>,
    events: Vec<Event>,
    accept_paused: bool,
    draining: bool,
    drain_deadline: Micros,
}

impl Reactor {
    fn new(
        index: u16,
        poll: Poll,
        listeners: Vec<Listener>,
        mail: Receiver<Mail>,
        local: Local,
        world: World,
    ) -> io::Result<Self> {
        let shared = std::sync::Arc::clone(&local.shared);
        let shared_start = shared.start;
        let policy = shared.watch_policy();
        let limits = &world.limits;
        let pool = PoolLimits {
            per_origin: limits.pool_per_origin,
            total: limits.pool_total,
            idle: limits.pool_idle,
        };
        let mut reactor = Self {
            index,
            poll,
            listeners,
            ports: Slab::new(),
            conns: Slab::new(),
            dials: Slab::new(),
            pool: Pool::new(pool),
            wheel: Wheel::new(0),
            run_list: VecDeque::new(),
            working: None,
            freed: Vec::new(),
            mail,
            shared,
            local,
            world,
            policy,
            start: shared_start,
            now: Now::default(),
            generation: 0,
            buffer: vec![0; crate::conn::READ],
            scratch: Scratch::default(),
            asks: Vec::new(),
            events: Vec::new(),
            accept_paused: false,
            draining: false,
            drain_deadline: Micros::MAX,
        };
        for (index, listener) in reactor.listeners.iter_mut().enumerate() {
            listener.register(reactor.poll.registry(), token::listener(index))?;
        }
        reactor.read_clock();
        Ok(reactor)
    }

    /// Runs until it has been told to end.
    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut due = Vec::new();
        loop {
            self.sleep(&mut events)?;
            self.read_clock();
            events.iter().for_each(|event| self.latch(event));
            self.take_mail();
            self.fire_timers(&mut due);
            self.accept_all();
            self.work();
            self.freed.drain(..).for_each(|key| drop(self.ports.remove(key)));
            self.local.publish(self.pool.len());
            if self.has_ended() {
                return Ok(());
            }
        }
    }

    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let busy =
            !self.run_list.is_empty() || (!self.accept_paused && self.listeners.iter().any(|l| l.ready));
        let pool_due = self.pool.next_expiry().unwrap_or(Micros::MAX);
        let due = self.wheel.next_due().unwrap_or(Micros::MAX).min(pool_due).min(self.drain_deadline);
        let timeout = if busy { 0 } else { due.saturating_sub(self.now.mono).min(LONGEST_SLEEP) };
        // mio rounds down to milliseconds: without the extra one the loop would spin through the last of them.
        let timeout = if timeout == 0 { 0 } else { timeout + 999 };
        match self.poll.poll(events, Some(Duration::from_micros(timeout))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    fn read_clock(&mut self) {
        self.now = Now { mono: elapsed(self.start), wall: wall_clock() };
    }

    fn latch(&mut self, event: &IoEvent) {
        match token::source(event.token()) {
            Source::Mailbox => {}
            Source::Listener(index) => self.listeners[index].ready = true,
            Source::Port { key, generation } => {
                let Some(port) = self.ports.get_mut(key).filter(|port| port.generation == generation) else {
                    return;
                };
                port.latch(event);
                match port.owner {
                    Owner::Guest(conn) | Owner::Origin(conn) => self.queue(conn),
                    Owner::Dial(dial) => self.dial_event(dial, key),
                    Owner::Pool(id) => self.pool_event(id, key),
                }
            }
        }
    }

    fn take_mail(&mut self) {
        while let Ok(mail) = self.mail.try_recv() {
            match mail {
                Mail::Resolved { token, result } => self.resolved(token, result),
                Mail::Accepted(accepted) => self.open(*accepted),
                Mail::PolicyChanged { cut } => self.policy_changed(cut),
                Mail::Drain => self.begin_drain(),
                Mail::Cut => self.cut_all("the proxy was told to end at once"),
            }
        }
    }

    fn fire_timers(&mut self, due: &mut Vec<Timer>) {
        self.wheel.take_due(self.now.mono, due);
        for timer in due.drain(..) {
            match timer {
                Timer::Accept => self.accept_paused = false,
                Timer::Dial { key, conn } => self.dial_due(key, conn),
                Timer::Conn { key, serial } => self.conn_due(key, serial),
            }
        }
        while let Some(parked) = self.pool.expire(self.now.mono) {
            self.close_port(parked.port, false);
        }
        if self.now.mono >= self.drain_deadline {
            self.cut_all("the proxy ends: the grace period is over");
        }
    }

    /// Accepts what waits, as far as there is room (P25).
    fn accept_all(&mut self) {
        if self.accept_paused || self.draining {
            return;
        }
        for index in 0..self.listeners.len() {
            let mut left = ACCEPTS;
            while self.listeners[index].ready && left > 0 {
                left -= 1;
                if !self.local.has_room(&self.world.limits) {
                    return self.pause_accepting();
                }
                match self.listeners[index].accept() {
                    Ok(accepted) => self.place(accepted, self.listeners[index].is_shared()),
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => self.listeners[index].ready = false,
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                        _ => return self.pause_accepting(),
                    },
                }
            }
        }
    }

    fn pause_accepting(&mut self) {
        self.accept_paused = true;
        self.wheel.wake_at(self.now.mono + ACCEPT_AGAIN, Timer::Accept);
    }

    /// Keeps a connection, or hands it to the reactor whose turn it is.
    fn place(&mut self, accepted: Accepted, shared: bool) {
        match self.shared.next_reactor() {
            next if shared && next != usize::from(self.index) => {
                self.shared.post(next, Mail::Accepted(Box::new(accepted)));
            }
            _ => self.open(accepted),
        }
    }

    fn open(&mut self, accepted: Accepted) {
        let entrance = accepted.entrance;
        let client = std::sync::Arc::new(Client { address: accepted.client, ..Client::default() });
        let (id, listener) = (self.local.sink.next_connection_id(), std::sync::Arc::clone(&entrance.name));
        let session = Session {
            local_port: entrance.port,
            proxy_header: entrance.proxy_header,
            original: accepted.original,
            ..Session::begin(id, listener, client, self.now)
        };
        let key = self.conns.vacant_key();
        let Some(guest) = self.add_port(accepted.socket, Owner::Guest(key)) else { return };
        let serial = session.connection_id;
        let conn = Conn::new(session, self.now.mono + self.world.timeouts.hello);
        self.conns.insert(Entry {
            timer_at: Micros::MAX,
            conn,
            serial,
            guest,
            origin: None,
            dial: None,
            asked: None,
            dialed: None,
            held: 0,
            queued: false,
            shut: [false; 2],
        });
        self.local.opened();
        self.arm(key);
        self.queue(key);
    }

    fn add_port(&mut self, socket: socket::Socket, owner: Owner) -> Option<usize> {
        self.generation = (self.generation + 1) & 0x00ff_ffff;
        let entry = self.ports.vacant_entry();
        let key = entry.key();
        let port = entry.insert(Port::new(socket, self.generation, owner));
        let token: Token = token::port(key, port.generation);
        if let Err(error) = port.socket.register(self.poll.registry(), token) {
            log::error!("cannot watch a socket: {error}");
            self.ports.remove(key);
            return None;
        }
        // A fresh socket may have bytes already; the first read says.
        port.readable = true;
        port.writable = true;
        Some(key)
    }

    /// Closes a port; its slot is free after this batch of events.
    fn close_port(&mut self, key: usize, reset: bool) {
        let Some(port) = self.ports.get_mut(key) else { return };
        if reset {
            port.socket.reset_on_close();
        }
        port.generation = u32::MAX; // no event fits any more
        self.freed.push(key);
    }

    fn queue(&mut self, key: usize) {
        if let Some(entry) = self.conns.get_mut(key)
            && !entry.queued
        {
            entry.queued = true;
            self.run_list.push_back(key);
        }
    }

    /// Makes sure that the wheel wakes this connection no later than its deadline.
    fn arm(&mut self, key: usize) {
        let Some(entry) = self.conns.get_mut(key) else { return };
        let look = if entry.conn.serves_half_closed() { self.now.mono + LOOK_AGAIN } else { Micros::MAX };
        let deadline = entry.conn.deadline().min(look);
        if deadline < entry.timer_at {
            entry.timer_at = deadline;
            self.wheel.wake_at(deadline, Timer::Conn { key, serial: entry.serial });
        }
    }

    fn begin_drain(&mut self) {
        self.draining = true;
        self.listeners.clear();
        self.drain_deadline = self.now.mono + self.world.timeouts.drain;
        let keys: Vec<usize> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.end_if_idle(key);
        }
    }

    fn has_ended(&self) -> bool {
        self.draining && self.conns.is_empty()
    }
}

/// The one door to the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the reactor's clock")]
fn now_instant() -> Instant {
    Instant::now()
}

fn elapsed(start: Instant) -> Micros {
    now_instant().duration_since(start).as_micros() as Micros
}

/// The one door to the wall clock, in Unix microseconds.
#[expect(clippy::disallowed_methods, reason = "this is the reactor's clock")]
pub fn wall_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
