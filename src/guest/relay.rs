//! The relay: takes redirected TCP and DNS, and carries each connection to the proxy with a PROXY v2 header that says
//! where it was going and which process it belongs to.
//!
//! One thread, one poll, edge-triggered; a second thread finds processes ([`super::identify`]). A DNS datagram becomes a
//! connection to port 53 with the query framed as over TCP, so that the host knows one form. Bounded: connections,
//! bytes in each direction, waiting datagrams. Refuses to carry what was not redirected: its own port is no service.

mod buffer;
mod dial;
mod pair;

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use slab::Slab;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::identify::{self, Process, Question, Transport};
use super::redirect::original_destination;
use crate::wire::proxy_header::{self, ProxyHeader};
use dial::Dialed;
use pair::{Client, End, Outcome, Pair, Stage};

pub use dial::To;

/// What a relay is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port that TCP and DNS datagrams are redirected to; 0 lets the system choose.
    pub port: u16,
    /// Where the proxy listens.
    pub to: To,
    /// Connections carried at once; past it they wait in the backlog.
    pub connections: usize,
}

/// Connections that one relay carries unless told otherwise; each holds at most 32 KiB.
pub const CONNECTIONS: usize = 8192;

/// Raises the soft limit of open files to the hard one: a connection takes two. A limit that cannot be raised is a
/// lower bound on connections, which then wait.
fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard); // as said above
    }
}

/// A relay with its sockets bound.
pub struct Relay {
    poll: Poll,
    port: u16,
    to: To,
    most: usize,
    listeners: Vec<TcpListener>,
    /// Which listeners may have connections to accept.
    ready: [bool; 2],
    datagrams: Vec<UdpSocket>,
    waiting_datagrams: usize,
    pairs: Slab<Pair>,
    serial: u64,
    /// Places of pairs that are to be turned, dialled again, or freed after the batch.
    runnable: Vec<usize>,
    dialing: Vec<usize>,
    over: Vec<usize>,
    questions: SyncSender<Question>,
    processes: Receiver<(u64, Process)>,
    began: Instant,
    swept: Duration,
}

/// Where a redirect leads what this machine itself sends (`nft(8)`, REDIRECT); index 0 and 1 of listeners and datagram
/// sockets. An answer to a datagram must come from there too, or conntrack does not know it.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
const WAKE: Token = Token(usize::MAX - 1);
/// Tokens from here on are listeners, then datagram sockets; below are pairs, two each.
const LISTENERS: usize = usize::MAX - 16;
const DATAGRAMS: usize = usize::MAX - 8;
/// How often a host that is not there is asked again, and for how long.
const REDIAL: Duration = Duration::from_millis(20);
const DIAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a DNS answer and the other half of a half-closed connection may take.
const DNS_PATIENCE: Duration = Duration::from_secs(5);
const HALF_CLOSED: Duration = Duration::from_mins(5);
const SWEEP: Duration = Duration::from_secs(1);
/// Datagrams that wait for their answers.
const MOST_DATAGRAMS: usize = 1024;

impl Relay {
    /// Binds the port in both families and starts the thread that finds processes.
    pub fn bind(options: &Options) -> io::Result<Self> {
        raise_open_files();
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (told, processes) = channel();
        let questions = identify::start(move |id, process| {
            if told.send((id, process)).is_ok() {
                let _ = waker.wake(); // fails only when the loop is gone
            }
        })?;
        let (listeners, datagrams, port) = bind_both(options.port)?;
        let mut relay = Self {
            poll,
            port,
            to: options.to.clone(),
            most: options.connections,
            listeners,
            ready: [true; 2],
            datagrams,
            waiting_datagrams: 0,
            pairs: Slab::new(),
            serial: 0,
            runnable: Vec::new(),
            dialing: Vec::new(),
            over: Vec::new(),
            questions,
            processes,
            began: clock(),
            swept: Duration::ZERO,
        };
        relay.register()?;
        Ok(relay)
    }

    /// The port that was bound.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn register(&mut self) -> io::Result<()> {
        let registry = self.poll.registry();
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            registry.register(listener, Token(LISTENERS + at), Interest::READABLE)?;
        }
        for (at, socket) in self.datagrams.iter_mut().enumerate() {
            registry.register(socket, Token(DATAGRAMS + at), Interest::READABLE)?;
        }
        Ok(())
    }

    /// Carries until the poll itself fails.
    pub fn run(mut self) -> io::Result<Infallible> {
        let mut events = Events::with_capacity(1024);
        loop {
            if let Err(error) = self.poll.poll(&mut events, self.patience())
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in &events {
                self.latch(event);
            }
            self.accept();
            while let Ok((serial, process)) = self.processes.try_recv() {
                self.identified(serial, &process);
            }
            self.redial();
            self.turn();
            self.sweep();
        }
    }

    fn now(&self) -> Duration {
        clock().saturating_duration_since(self.began)
    }

    fn patience(&self) -> Option<Duration> {
        if !self.runnable.is_empty() {
            Some(Duration::ZERO)
        } else if !self.dialing.is_empty() {
            Some(REDIAL)
        } else if !self.pairs.is_empty() {
            Some(SWEEP)
        } else {
            None
        }
    }

    fn latch(&mut self, event: &Event) {
        match event.token() {
            WAKE => {}
            Token(at) if at >= DATAGRAMS => self.receive(at - DATAGRAMS),
            Token(at) if at >= LISTENERS => self.ready[at - LISTENERS] = true,
            Token(at) => {
                let end = if at.is_multiple_of(2) { End::Client } else { End::Host };
                if let Some(pair) = self.pairs.get_mut(at / 2) {
                    pair.latch(end, event.is_readable(), event.is_writable(), event.is_write_closed());
                    self.runnable.push(at / 2);
                }
            }
        }
    }

    fn accept(&mut self) {
        for at in 0..self.listeners.len() {
            while self.ready[at] && self.pairs.len() < self.most {
                match self.listeners[at].accept() {
                    Ok((stream, peer)) => self.take(stream, peer),
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.ready[at] = false,
                    Err(_) => break, // no descriptor is free: again at the next turn
                }
            }
        }
    }

    /// A redirected connection. One that was not redirected came to our own port, where nothing is served.
    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        let Some(destination) = original_destination(&stream, local) else { return };
        let _ = stream.set_nodelay(true); // a courtesy
        let pair = Pair::new(self.serial, Client::Stream(stream), peer, destination);
        self.admit(pair, Transport::Tcp);
    }

    /// Takes every datagram that waits.
    fn receive(&mut self, socket: usize) {
        let mut query = [0; 1500];
        while let Ok((length, peer)) = self.datagrams[socket].recv_from(&mut query) {
            if self.waiting_datagrams >= MOST_DATAGRAMS || self.pairs.len() >= self.most {
                continue;
            }
            let destination = SocketAddr::new(LOOPBACK[socket], 53);
            let mut pair = Pair::new(self.serial, Client::Datagram { socket, peer }, peer, destination);
            pair.up.push(&(length as u16).to_be_bytes());
            pair.up.push(&query[..length]);
            pair.deadline = Some(self.now() + DNS_PATIENCE);
            self.waiting_datagrams += 1;
            self.admit(pair, Transport::Udp);
        }
    }

    fn admit(&mut self, pair: Pair, transport: Transport) {
        let place = self.pairs.insert(pair);
        let id = (self.serial << 24) | place as u64;
        self.serial += 1;
        let local = self.pairs[place].source;
        if self.questions.try_send(Question { id, transport, local }).is_err() {
            self.identified(id, &Process::default());
        }
    }

    /// Says with the header who it is, and dials.
    fn identified(&mut self, id: u64, process: &Process) {
        let place = (id & 0xff_ffff) as usize;
        let Some(pair) = self.pairs.get_mut(place).filter(|pair| pair.serial == id >> 24) else { return };
        let header = ProxyHeader {
            source: Some((pair.source.ip().to_canonical(), pair.source.port())),
            destination: Some((pair.destination.ip().to_canonical(), pair.destination.port())),
            process_name: process.name.clone(),
            process_id: process.pid,
            user_id: process.uid,
            ..ProxyHeader::default()
        };
        let mut first = Vec::with_capacity(128);
        proxy_header::write(&header, &mut first);
        first.extend_from_slice(pair.up.waiting());
        pair.up = buffer::Buffer::default();
        pair.up.push(&first);
        pair.stage = Stage::Dial;
        self.dial(place);
    }

    fn redial(&mut self) {
        for place in std::mem::take(&mut self.dialing) {
            if self.pairs.get(place).is_some_and(|pair| pair.stage == Stage::Dial) {
                self.dial(place);
            }
        }
    }

    fn dial(&mut self, place: usize) {
        let now = self.now();
        let pair = &mut self.pairs[place];
        match self.to.dial() {
            Ok(Dialed::Socket(host)) => {
                let interest = Interest::READABLE | Interest::WRITABLE;
                let registry = self.poll.registry();
                let done = registry
                    .register(&mut SourceFd(&host.as_raw_fd()), Token(place * 2 + 1), interest)
                    .and_then(|()| match &mut pair.client {
                        Client::Stream(stream) => registry.register(stream, Token(place * 2), interest),
                        Client::Datagram { .. } => Ok(()),
                    });
                match done {
                    Ok(()) => pair.attach(host),
                    Err(_) => self.over.push(place),
                }
            }
            Ok(Dialed::Busy) if now < *pair.deadline.get_or_insert(now + DIAL_PATIENCE) => {
                self.dialing.push(place);
            }
            Ok(Dialed::Busy) | Err(_) => {
                pair.reset_client();
                self.over.push(place);
            }
        }
    }

    fn turn(&mut self) {
        for place in std::mem::take(&mut self.runnable) {
            let Some(pair) = self.pairs.get_mut(place) else { continue };
            match pair.turn() {
                Outcome::Wait => {}
                Outcome::Again => self.runnable.push(place),
                Outcome::Over => self.over.push(place),
            }
            if let Some((answer, socket, peer)) = pair.framed_answer() {
                let _ = self.datagrams[socket].send_to(answer, peer); // a datagram may be lost
                self.over.push(place);
            }
        }
        self.bury();
    }

    /// Frees places only after the whole batch, so that none of its events meets a stranger.
    fn bury(&mut self) {
        for place in std::mem::take(&mut self.over) {
            if let Some(pair) = self.pairs.try_remove(place)
                && matches!(pair.client, Client::Datagram { .. })
            {
                self.waiting_datagrams -= 1;
            }
        }
    }

    /// Gives up what has taken too long.
    fn sweep(&mut self) {
        let now = self.now();
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        for (place, pair) in &mut self.pairs {
            if pair.stage == Stage::Carry && pair.is_half_closed() {
                pair.deadline.get_or_insert(now + HALF_CLOSED);
            }
            if pair.deadline.is_some_and(|deadline| deadline <= now) && pair.stage != Stage::Dial {
                self.over.push(place);
            }
        }
        self.bury();
    }
}

#[expect(clippy::disallowed_methods, reason = "a relay is a process or thread of its own, with its own loop")]
fn clock() -> Instant {
    Instant::now()
}

type Bound = (Vec<TcpListener>, Vec<UdpSocket>, u16);

/// One port, both families, both transports. A machine without IPv6 has no second family.
fn bind_both(port: u16) -> io::Result<Bound> {
    let (mut listeners, mut datagrams, mut port) = (Vec::new(), Vec::new(), port);
    for ip in LOOPBACK {
        let listener = match bind(SocketAddr::new(ip, port), Type::STREAM) {
            Err(error) if ip.is_ipv6() && is_missing(&error) => break,
            other => other?,
        };
        listener.listen(BACKLOG)?;
        let listener = TcpListener::from_std(listener.into());
        port = listener.local_addr()?.port();
        datagrams.push(UdpSocket::from_std(bind(SocketAddr::new(ip, port), Type::DGRAM)?.into()));
        listeners.push(listener);
    }
    Ok((listeners, datagrams, port))
}

fn is_missing(error: &io::Error) -> bool {
    [nix::libc::EAFNOSUPPORT, nix::libc::EADDRNOTAVAIL].map(Some).contains(&error.raw_os_error())
}

const BACKLOG: i32 = 4096;

fn bind(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}
