//! Working the run list: read while there is something and room for it, let the machine turn, write what waits.
//! At most [`QUANTUM`] bytes for one connection, then the next one has its turn.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::conn::world::{Cx, Gate, World};
use crate::conn::{Answer, Ask, Conn, Life, Side};
use crate::telemetry::{Health, OnFailure};

use super::shared::WatchedPolicy;
use super::socket::Received;
use super::{Entry, Reactor};

/// Bytes moved for one connection before the next has its turn.
const QUANTUM: usize = 256 << 10;

impl Reactor {
    /// Works the run list once.
    pub(super) fn work(&mut self) {
        for _ in 0..self.run_list.len() {
            let Some(key) = self.run_list.pop_front() else { break };
            if let Some(entry) = self.conns.get_mut(key) {
                entry.queued = false;
                self.work_on(key);
            }
        }
    }

    /// Moves what can be moved. Whoever is on the list has a turn, even where nothing came and nothing left.
    fn work_on(&mut self, key: usize) {
        self.working = Some(key);
        let (mut moved, mut turned) = (0, false);
        loop {
            let received = self.receive(key, Side::Guest) + self.receive(key, Side::Origin);
            let sent = self.flush(key, Side::Guest) | self.flush(key, Side::Origin);
            if !self.settle(key) {
                self.working = None;
                return;
            }
            moved += received;
            if moved > QUANTUM {
                self.queue(key);
                break;
            }
            let stirred = received > 0 || sent;
            if !stirred && turned {
                break;
            }
            if !stirred {
                self.turn(key, Conn::run);
            }
            turned = true;
        }
        self.working = None;
        self.arm(key);
        if let Some(entry) = self.conns.get_mut(key) {
            let held = entry.conn.held();
            self.local.held(entry.held, held);
            entry.held = held;
        }
    }

    /// Reads once from a side, if it may be read and the machine wants it.
    fn receive(&mut self, key: usize, side: Side) -> usize {
        let Some(entry) = self.conns.get_mut(key) else { return 0 };
        let Some(port) = port_of(entry, side).and_then(|port| self.ports.get_mut(port)) else { return 0 };
        let wanted = entry.conn.wants(side).min(self.buffer.len());
        if !port.readable || wanted == 0 {
            return self.note_death(key, side);
        }
        match port.receive(&mut self.buffer[..wanted]) {
            Ok(Received::Bytes(len)) => {
                let buffer = std::mem::take(&mut self.buffer);
                self.turn(key, |conn, cx| {
                    conn.receive(side, &buffer[..len], cx);
                    conn.run(cx);
                });
                self.buffer = buffer;
                len
            }
            Ok(Received::End) => {
                self.turn(key, |conn, cx| {
                    conn.end_of_input(side);
                    conn.run(cx);
                });
                0
            }
            Ok(Received::Nothing) => 0,
            Err(error) => {
                self.lose(key, side, &error);
                0
            }
        }
    }

    /// A connection that is dead both ways is noticed although nothing may be read from it now (P31).
    fn note_death(&mut self, key: usize, side: Side) -> usize {
        let Some(entry) = self.conns.get(key) else { return 0 };
        let port = port_of(entry, side).and_then(|port| self.ports.get(port));
        if side == Side::Guest && port.is_some_and(|port| port.dead) {
            self.lose(key, side, &io::ErrorKind::ConnectionReset.into());
        }
        0
    }

    fn lose(&mut self, key: usize, side: Side, error: &io::Error) {
        log::debug!("{side:?} lost: {error}");
        if let Some(entry) = self.conns.get(key)
            && let Some(port) = port_of(entry, side).and_then(|port| self.ports.get_mut(port))
        {
            (port.readable, port.writable, port.dead) = (false, false, false);
        }
        self.turn(key, |conn, cx| {
            conn.lost(side, cx);
            conn.run(cx);
        });
    }

    /// Writes what waits; true if room was made, so that the machine may have more.
    fn flush(&mut self, key: usize, side: Side) -> bool {
        let Some(entry) = self.conns.get_mut(key) else { return false };
        let Some(port) = port_of(entry, side).and_then(|port| self.ports.get_mut(port)) else { return false };
        let Some(leg) = entry.conn.leg(side).filter(|leg| leg.queued() > 0) else {
            return self.shut_down(key, side);
        };
        if !port.writable {
            return false;
        }
        let before = leg.queued();
        match leg.flush(&mut port.socket) {
            Ok(true) => {
                self.shut_down(key, side);
            }
            Ok(false) => port.writable = false,
            Err(error) if side == Side::Origin => {
                self.origin_refuses(key, &error);
                return true;
            }
            Err(error) => {
                self.lose(key, side, &error);
                return true;
            }
        }
        let Some(entry) = self.conns.get_mut(key).filter(|entry| entry.conn.queued(side) < before) else {
            return false;
        };
        if entry.conn.note_left(before, self.now.mono, self.draining) {
            self.turn(key, Conn::run);
        }
        true
    }

    /// An origin takes nothing more. What it sent before it closed is still there to be read: an early answer, or the
    /// error that says how it left.
    fn origin_refuses(&mut self, key: usize, error: &io::Error) {
        log::debug!("the origin takes nothing more: {error}");
        if let Some(entry) = self.conns.get(key)
            && let Some(port) = port_of(entry, Side::Origin).and_then(|port| self.ports.get_mut(port))
        {
            (port.readable, port.writable) = (true, false);
        }
        self.turn(key, |conn, cx| {
            conn.origin_refuses();
            conn.run(cx);
        });
    }

    /// Ends our direction towards a side once everything has left, where the machine wants that.
    fn shut_down(&mut self, key: usize, side: Side) -> bool {
        let Some(entry) = self.conns.get_mut(key) else { return false };
        if entry.shut[side as usize] || !entry.conn.shuts_down(side) {
            return false;
        }
        if let Some(port) = port_of(entry, side).and_then(|port| self.ports.get_mut(port)) {
            port.socket.shutdown_write();
        }
        if let Some(entry) = self.conns.get_mut(key) {
            entry.shut[side as usize] = true;
        }
        false
    }

    /// Lets a machine turn, then carries out what it asked for and hands on what it recorded.
    pub(super) fn turn(&mut self, key: usize, act: impl FnOnce(&mut Conn, &mut Cx<'_>)) {
        let Some(entry) = self.conns.get_mut(key) else { return };
        let sink = &self.local.sink;
        let next_id = || sink.next_exchange_id();
        adopt(&mut self.policy, &mut self.world);
        let mut cx = Cx {
            now: self.now,
            world: &self.world,
            gate: gate(sink.health(self.now.mono)),
            draining: self.draining,
            asks: &mut self.asks,
            events: &mut self.events,
            next_id: &next_id,
            scratch: &mut self.scratch,
        };
        let turned = catch_unwind(AssertUnwindSafe(|| act(&mut entry.conn, &mut cx)));
        if turned.is_err() {
            log::error!("connection {}: a defect ended it; please report what stands above", entry.serial);
            entry.conn.abandon();
        }
        self.record();
        self.carry_out(key);
    }

    fn record(&mut self) {
        if self.events.is_empty() {
            return;
        }
        for event in self.events.drain(..) {
            self.local.count(&event);
            if let Err(full) = self.local.sink.try_send(event) {
                self.local.sink.count_lost(&full.0);
            }
        }
    }

    fn carry_out(&mut self, key: usize) {
        while let Some(ask) = (!self.asks.is_empty()).then(|| self.asks.remove(0)) {
            match ask {
                Ask::Origin(ask) => self.find_origin(key, ask),
                Ask::Dial(addresses) => self.begin_dial(key, &addresses),
                Ask::Park(leg) => self.park(key, leg),
                Ask::HangUp => self.hang_up(key),
            }
        }
    }

    /// Gives a machine an answer and lets it go on. One that is being worked on is looked at again anyway.
    pub(super) fn answer(&mut self, key: usize, answer: Answer) {
        self.turn(key, |conn, cx| {
            conn.answer(answer);
            conn.run(cx);
        });
        if self.working != Some(key) {
            self.queue(key);
        }
    }

    /// Obeys the machine's life; false when the connection is gone.
    fn settle(&mut self, key: usize) -> bool {
        let Some(entry) = self.conns.get(key) else { return false };
        match entry.conn.life() {
            Life::Open => true,
            Life::Over { reset } => {
                self.remove(key, reset);
                false
            }
        }
    }

    pub(super) fn remove(&mut self, key: usize, reset: bool) {
        self.hang_up(key);
        let entry = self.conns.remove(key);
        self.close_port(entry.guest, reset);
        self.local.closed(entry.held);
    }

    /// A connection's timer: its deadline, or a hint that came early.
    pub(super) fn conn_due(&mut self, key: usize, serial: u64) {
        let now = self.now.mono;
        let Some(entry) = self.conns.get_mut(key).filter(|entry| entry.serial == serial) else { return };
        entry.timer_at = u64::MAX;
        let port = self.ports.get(entry.guest);
        if entry.conn.serves_half_closed() && port.is_some_and(|port| port.socket.peer_has_closed()) {
            self.lose(key, Side::Guest, &io::ErrorKind::ConnectionReset.into());
            self.queue(key);
        } else if entry.conn.is_due(now) {
            self.turn(key, |conn, cx| {
                conn.expire(cx);
                conn.run(cx);
            });
            self.queue(key);
        }
        self.arm(key);
    }

    /// Ends a connection that has nothing under way.
    pub(super) fn end_if_idle(&mut self, key: usize) {
        if self.conns.get(key).is_some_and(|entry| entry.conn.is_idle()) {
            self.turn(key, |conn, cx| conn.cut("the proxy ends", cx));
            self.queue(key);
        }
    }

    /// Ends everything now; where an end would be taken for the end of a message, by a reset (P18).
    pub(super) fn cut_all(&mut self, why: &'static str) {
        self.draining = true;
        self.listeners.clear();
        self.drain_deadline = u64::MAX;
        let keys: Vec<usize> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.turn(key, |conn, cx| conn.cut(why, cx));
            self.flush(key, Side::Guest);
            let unsent = self.conns.get(key).is_some_and(|entry| {
                entry.conn.life() == (Life::Over { reset: true }) || entry.conn.queued(Side::Guest) > 0
            });
            self.remove(key, unsent);
        }
    }

    /// The policy changed: exchanges and tunnels that it now denies are cut where the operator wants that. Idle origin
    /// connections go in any case: their addresses were judged by the old policy.
    pub(super) fn policy_changed(&mut self, cut: bool) {
        adopt(&mut self.policy, &mut self.world);
        while let Some(parked) = self.pool.pop() {
            self.close_port(parked.port, false);
        }
        if !cut {
            return;
        }
        let keys: Vec<usize> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.turn(key, Conn::judge_again);
            self.queue(key);
        }
    }
}

/// Takes the newest policy for the turn that begins now, so that a request that came after a reload had been confirmed is
/// never judged by the policy before.
fn adopt(policy: &mut WatchedPolicy, world: &mut World) {
    let newest = policy.load();
    if !Arc::ptr_eq(newest, &world.policy) {
        world.policy = Arc::clone(newest);
    }
}

fn port_of(entry: &Entry, side: Side) -> Option<usize> {
    match side {
        Side::Guest => Some(entry.guest),
        Side::Origin => entry.origin,
    }
}

fn gate(health: Health) -> Gate {
    match health {
        Health::Healthy | Health::Failed(OnFailure::Pass) => Gate::Open,
        Health::Stalled => Gate::Wait,
        Health::Failed(OnFailure::Refuse) => Gate::Refuse,
    }
}
