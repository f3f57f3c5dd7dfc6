//! Origin connections: from the pool, or resolved, raced and connected; through the corporate proxy where there is
//! one. What a connection machine gets is a leg that reaches the origin; the TLS handshake in it is the machine's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::net::TcpStream;

use crate::conn::{Answer, Carriage, OriginAsk};
use crate::leg::Leg;
use crate::limits::{Micros, SECOND};
use crate::policy::host::Host;
use crate::upstream::pool::{PoolId, PoolKey, Put, Route};
use crate::upstream::race::Race;
use crate::upstream::resolve::{Lookup, ResolveError, Ticket};
use crate::upstream::trust::server_name;
use crate::upstream::via::{Via, ViaStep};

use super::Reactor;
use super::socket::{Owner, Received, Socket};

/// An idle origin connection.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) port: usize,
    leg: Box<Leg>,
    dialed: SocketAddr,
    since: Micros,
}

/// An idle connection that rested longer than this is looked at before it is used again: a request that must not be
/// sent twice should not meet an origin that has just gone (P30).
const RESTED: Micros = SECOND / 2;

/// A connect under way for one connection.
#[derive(Debug)]
pub(super) struct Dial {
    conn: usize,
    serial: u64,
    ask: OriginAsk,
    race: Race,
    attempts: Vec<(usize, SocketAddr)>,
    talk: Option<Box<Talk>>,
    last_error: String,
}

/// The conversation that asks a corporate proxy for a tunnel.
#[derive(Debug)]
struct Talk {
    leg: Leg,
    machine: Via,
    request: Vec<u8>,
    port: usize,
    dialed: SocketAddr,
}

impl Reactor {
    /// Finds an idle connection, or addresses to dial.
    pub(super) fn find_origin(&mut self, key: usize, ask: OriginAsk) {
        let Some(entry) = self.conns.get_mut(key) else { return };
        entry.asked = Some(ask.clone());
        let ticket = Ticket { reactor: self.index, token: token_of(key, entry.serial) };
        if !ask.fresh
            && let Some(parked) = self.take_idle(&ask)
        {
            return self.attach(key, parked.port, parked.leg, parked.dialed, true);
        }
        match self.route(&ask) {
            Route::Mapped(address) => self.answer(key, Answer::Mapped(vec![address])),
            Route::Direct => self.look_up(key, &ask.host, ticket),
            Route::Via => {
                let proxy = self.shared.via.as_ref().map(|via| via.host.clone());
                self.look_up(key, &proxy.unwrap_or(ask.host), ticket);
            }
        }
    }

    fn take_idle(&mut self, ask: &OriginAsk) -> Option<Parked> {
        let key = self.pool_key(ask);
        while let Some(mut parked) = self.pool.take(&key) {
            let rested = self.now.mono.saturating_sub(parked.since) > RESTED;
            let fresh_news = self.ports.get(parked.port).is_some_and(|port| port.readable);
            if !(rested || fresh_news) || self.is_still_good(&mut parked) {
                return Some(parked);
            }
            self.close_port(parked.port, false);
        }
        None
    }

    fn route(&self, ask: &OriginAsk) -> Route {
        if let Some(address) = self.shared.mapped(&ask.host, ask.port) {
            return Route::Mapped(address);
        }
        match &self.shared.via {
            Some(via) if !via.no_proxy.matches(&ask.host, ask.port) => Route::Via,
            _ => Route::Direct,
        }
    }

    fn pool_key(&self, ask: &OriginAsk) -> PoolKey {
        PoolKey {
            host: ask.host.shared(),
            port: ask.port,
            tls: ask.carriage == Carriage::Tls,
            route: self.route(ask),
            trust: self.shared.trust.key(&ask.host),
        }
    }

    fn look_up(&mut self, key: usize, host: &Host, ticket: Ticket) {
        if let Lookup::Ready(answer) = self.shared.resolver.ask(host, ticket, self.now.mono) {
            self.resolved(ticket.token, answer.map_err(ResolveError::as_str));
        } else {
            log::trace!("connection {key}: {host} is being looked up");
        }
    }

    /// An answer of the resolver; nobody may be waiting for it any more.
    pub(super) fn resolved(&mut self, token: u64, result: Result<Arc<[IpAddr]>, &'static str>) {
        let key = (token & 0xffff_ffff) as usize;
        let Some(entry) = self.conns.get(key).filter(|entry| token_of(key, entry.serial) == token) else {
            return;
        };
        let Some(ask) = entry.asked.clone().filter(|_| entry.origin.is_none() && entry.dial.is_none()) else {
            return;
        };
        let answer = match (result, self.route(&ask)) {
            (Err(why), Route::Via) => {
                let proxy = self.shared.via.as_ref().map_or(String::new(), |via| via.host.to_string());
                Answer::Unreachable(format!("corporate proxy {proxy}: {why}"))
            }
            (Err(why), _) => Answer::Unresolved(why),
            (Ok(list), Route::Via) => {
                let port = self.shared.via.as_ref().map_or(0, |via| via.port);
                Answer::Via(list.iter().map(|&ip| SocketAddr::new(ip, port)).collect())
            }
            (Ok(list), _) => Answer::Addresses { list },
        };
        self.answer(key, answer);
    }

    /// Starts to connect.
    pub(super) fn begin_dial(&mut self, key: usize, addresses: &[SocketAddr]) {
        if addresses.iter().any(|&address| self.shared.own.holds(address)) {
            return self.answer(key, Answer::Own);
        }
        let Some(entry) = self.conns.get_mut(key) else { return };
        let (Some(ask), Some(port)) = (entry.asked.clone(), addresses.first().map(SocketAddr::port)) else {
            return;
        };
        let list: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        let dial = self.dials.insert(Dial {
            conn: key,
            serial: entry.serial,
            ask,
            race: Race::new(&list, port, self.now.mono),
            attempts: Vec::new(),
            talk: None,
            last_error: "no address".to_owned(),
        });
        entry.dial = Some(dial);
        self.attempt(dial);
    }

    /// Starts the attempts that are due.
    fn attempt(&mut self, key: usize) {
        let now = self.now.mono;
        while let Some(address) = self.dials.get_mut(key).and_then(|dial| dial.race.next_attempt(now)) {
            let port = connect(address).and_then(|socket| {
                self.add_port(socket, Owner::Dial(key))
                    .ok_or_else(|| io::Error::other("cannot watch the socket"))
            });
            let Some(dial) = self.dials.get_mut(key) else { return };
            match port {
                Ok(port) => dial.attempts.push((port, address)),
                Err(error) => dial.fail(address, &error),
            }
            if let Some((port, _)) = dial.attempts.last().copied()
                && let Some(port) = self.ports.get_mut(port)
            {
                (port.readable, port.writable) = (false, false); // the connect tells when
            }
        }
        let Some(dial) = self.dials.get(key) else { return };
        if dial.race.is_lost() && dial.talk.is_none() {
            self.give_up(key);
        } else if let Some(when) = dial.race.deadline() {
            let serial = dial.serial;
            self.wheel.wake_at(when, super::Timer::Dial { key, conn: serial });
        }
    }

    /// The time for a further attempt may have come.
    pub(super) fn dial_due(&mut self, key: usize, serial: u64) {
        if self.dials.get(key).is_some_and(|dial| dial.serial == serial) {
            self.attempt(key);
        }
    }

    fn give_up(&mut self, key: usize) {
        let dial = self.dials.remove(key);
        for (port, _) in dial.attempts {
            self.close_port(port, false);
        }
        if let Some(talk) = dial.talk {
            self.close_port(talk.port, false);
        }
        if let Some(entry) = self.conns.get_mut(dial.conn) {
            entry.dial = None;
        }
        self.answer(dial.conn, Answer::Unreachable(dial.last_error));
    }

    /// Something happened on a port that is connecting, or that talks to the corporate proxy.
    pub(super) fn dial_event(&mut self, key: usize, port: usize) {
        let Some(dial) = self.dials.get_mut(key) else { return };
        if dial.talk.as_ref().is_some_and(|talk| talk.port == port) {
            return self.talk(key);
        }
        let Some(index) = dial.attempts.iter().position(|(attempt, _)| *attempt == port) else { return };
        let address = dial.attempts[index].1;
        let outcome = match self.ports[port].socket.take_error() {
            Ok(None) if self.ports[port].socket.peer_address().is_some() => Ok(true),
            Ok(None) => Ok(false),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        match outcome {
            Ok(false) => {}
            Ok(true) => self.connected(key, port, address),
            Err(error) => {
                dial.attempts.swap_remove(index);
                dial.fail(address, &error);
                self.close_port(port, false);
                self.attempt(key);
            }
        }
    }

    fn connected(&mut self, key: usize, port: usize, address: SocketAddr) {
        let Some(dial) = self.dials.get_mut(key) else { return };
        let losers: Vec<usize> =
            dial.attempts.drain(..).map(|(attempt, _)| attempt).filter(|attempt| *attempt != port).collect();
        let ask = dial.ask.clone();
        for loser in losers {
            self.close_port(loser, false);
        }
        if self.route(&ask) == Route::Via {
            return self.begin_talk(key, port, address, &ask);
        }
        self.hand_over(key, port, address, None);
    }

    /// The connection reaches the origin: the machine gets its leg.
    fn hand_over(&mut self, key: usize, port: usize, dialed: SocketAddr, talked: Option<Leg>) {
        let dial = self.dials.remove(key);
        if let Some(entry) = self.conns.get_mut(dial.conn) {
            entry.dial = None;
        }
        match self.origin_leg(&dial.ask, talked) {
            Ok(leg) => self.attach(dial.conn, port, Box::new(leg), dialed, false),
            Err(why) => {
                self.close_port(port, false);
                self.answer(dial.conn, Answer::Unreachable(why));
            }
        }
    }

    fn origin_leg(&self, ask: &OriginAsk, talked: Option<Leg>) -> Result<Leg, String> {
        let leg = match ask.carriage {
            Carriage::Tls => {
                let name = server_name(&ask.host).ok_or("no TLS server can have this name")?;
                Leg::client(self.shared.trust.client_config(&ask.host), name)
                    .map_err(|error| error.to_string())?
            }
            Carriage::Plain | Carriage::Opaque => Leg::plain(),
        };
        match talked {
            Some(carrier) => leg
                .inside(carrier)
                .map_err(|error| format!("no TLS came through the corporate proxy: {error}")),
            None => Ok(leg),
        }
    }

    fn attach(&mut self, key: usize, port: usize, leg: Box<Leg>, dialed: SocketAddr, reused: bool) {
        let Some(entry) = self.conns.get_mut(key) else { return self.close_port(port, false) };
        entry.origin = Some(port);
        entry.dialed = Some(dialed);
        entry.shut[1] = false;
        if let Some(port) = self.ports.get_mut(port) {
            port.owner = Owner::Origin(key);
        }
        self.answer(key, Answer::Origin { leg, dialed, reused });
    }

    /// Keeps an origin connection for others.
    pub(super) fn park(&mut self, key: usize, leg: Box<Leg>) {
        let Some(entry) = self.conns.get_mut(key) else { return };
        let (Some(port), Some(ask), Some(dialed)) =
            (entry.origin.take(), entry.asked.take(), entry.dialed.take())
        else {
            return;
        };
        if ask.carriage == Carriage::Opaque || self.draining {
            return self.close_port(port, false);
        }
        let key = self.pool_key(&ask);
        self.put_idle(key, Parked { port, leg, dialed, since: self.now.mono });
    }

    fn put_idle(&mut self, key: PoolKey, parked: Parked) {
        let port = parked.port;
        match self.pool.put(key, parked, self.now.mono) {
            Put::Refused(parked) => self.close_port(parked.port, false),
            Put::Kept(id, evicted) => {
                if let Some(port) = self.ports.get_mut(port) {
                    port.owner = Owner::Pool(id);
                }
                if let Some(evicted) = evicted {
                    self.close_port(evicted.port, false);
                }
            }
        }
    }

    /// An idle connection says something: session tickets are fine, anything else ends it (P16).
    pub(super) fn pool_event(&mut self, id: PoolId, port: usize) {
        if !self.ports.get(port).is_some_and(|port| port.readable || port.dead) {
            return;
        }
        let Some(key) = self.pool.key(id).cloned() else { return };
        let Some(mut parked) = self.pool.remove(id) else { return };
        if self.is_still_good(&mut parked) {
            self.put_idle(key, parked);
        } else {
            self.close_port(parked.port, false);
        }
    }

    fn is_still_good(&mut self, parked: &mut Parked) -> bool {
        let Some(port) = self.ports.get_mut(parked.port) else { return false };
        if port.dead {
            return false;
        }
        port.readable = true;
        while port.readable {
            match port.receive(&mut self.buffer) {
                Ok(Received::Nothing) => break,
                Ok(Received::Bytes(len)) if parked.leg.feed(&self.buffer[..len]).is_ok() => {}
                Ok(Received::Bytes(_) | Received::End) | Err(_) => return false,
            }
        }
        parked.leg.unread() == 0 && !parked.leg.has_ended()
    }

    /// Closes the origin connection, or stops dialling.
    pub(super) fn hang_up(&mut self, key: usize) {
        let Some(entry) = self.conns.get_mut(key) else { return };
        entry.asked = None;
        entry.dialed = None;
        let (origin, dial) = (entry.origin.take(), entry.dial.take());
        if let Some(port) = origin {
            self.close_port(port, false);
        }
        let Some(dial) = dial.and_then(|dial| self.dials.try_remove(dial)) else { return };
        dial.attempts.into_iter().for_each(|(port, _)| self.close_port(port, false));
        if let Some(talk) = dial.talk {
            self.close_port(talk.port, false);
        }
    }

    fn begin_talk(&mut self, key: usize, port: usize, dialed: SocketAddr, ask: &OriginAsk) {
        let Some(via) = self.shared.via.clone() else { return self.give_up(key) };
        let (machine, request) = Via::new(&via, &ask.host, ask.port);
        let leg = if via.tls {
            let name = server_name(&via.host).ok_or_else(|| "no TLS server can have this name".to_owned());
            let config = self.shared.trust.client_config(&via.host);
            name.and_then(|name| Leg::client(config, name).map_err(|error| error.to_string()))
        } else {
            Ok(Leg::plain())
        };
        let Some(dial) = self.dials.get_mut(key) else { return };
        match leg {
            Ok(leg) => dial.talk = Some(Box::new(Talk { leg, machine, request, port, dialed })),
            Err(why) => {
                dial.last_error = why;
                self.close_port(port, false);
                return self.give_up(key);
            }
        }
        if let Some(port) = self.ports.get_mut(port) {
            (port.readable, port.writable) = (true, true);
        }
        self.talk(key);
    }

    fn talk(&mut self, key: usize) {
        let Some(mut talk) = self.dials.get_mut(key).and_then(|dial| dial.talk.take()) else { return };
        let outcome = self.talk_on(&mut talk);
        let (port, dialed) = (talk.port, talk.dialed);
        match outcome {
            Ok(true) => self.hand_over(key, port, dialed, Some(talk.leg)),
            Ok(false) => {
                if let Some(dial) = self.dials.get_mut(key) {
                    dial.talk = Some(talk);
                }
            }
            Err(why) => {
                self.close_port(port, false);
                if let Some(dial) = self.dials.get_mut(key) {
                    dial.last_error = format!("{why} (corporate proxy {dialed})");
                }
                self.give_up(key);
            }
        }
    }

    fn talk_on(&mut self, talk: &mut Talk) -> Result<bool, String> {
        let Some(port) = self.ports.get_mut(talk.port) else { return Err("the connection is gone".into()) };
        loop {
            if !talk.leg.is_handshaking() && !talk.request.is_empty() {
                talk.leg.send(&std::mem::take(&mut talk.request));
            }
            if talk.leg.queued() > 0 && port.writable {
                port.writable = talk.leg.flush(&mut port.socket).map_err(|error| error.to_string())?;
            }
            let input = talk.leg.inbox();
            if !input.is_empty() {
                let len = input.len();
                match talk.machine.read(input).map_err(|error| error.label.to_owned())? {
                    ViaStep::NeedMore => talk.leg.consume(len),
                    ViaStep::Established { used } => {
                        talk.leg.consume(used);
                        return Ok(true);
                    }
                }
            }
            if !port.readable {
                return Ok(false);
            }
            match port.receive(&mut self.buffer).map_err(|error| error.to_string())? {
                Received::Nothing => {}
                Received::End => return Err(talk.machine.closed().label.to_owned()),
                Received::Bytes(len) => {
                    talk.leg.feed(&self.buffer[..len]).map_err(|error| error.to_string())?;
                }
            }
        }
    }
}

impl Dial {
    fn fail(&mut self, address: SocketAddr, error: &io::Error) {
        self.last_error = format!("{address}: {error}");
        self.race.failed(address);
    }
}

fn connect(address: SocketAddr) -> io::Result<Socket> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(Socket::Tcp(stream))
}

/// What the resolver is given to find the connection again.
fn token_of(key: usize, serial: u64) -> u64 {
    key as u64 & 0xffff_ffff | serial << 32
}
