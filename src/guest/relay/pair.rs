//! One carried connection: a client inside, its twin to the host, and the bytes between. Owns both sockets; the loop in
//! [`super`] tells it what is ready.
//!
//! An end of input is passed on as a half-close where the transport can (Unix and native vsock can, `vhost-device-vsock`
//! cannot), and nothing depends on it: the pair is over when the host's side has ended and everything was written.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{SockRef, Socket};

use super::buffer::Buffer;

/// Which end of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The captured process.
    Client,
    /// The proxy.
    Host,
}

/// The client's end.
#[derive(Debug)]
pub enum Client {
    /// A redirected connection.
    Stream(TcpStream),
    /// One DNS query in a datagram; the answer goes back through the socket with this index.
    Datagram {
        /// Index of the socket.
        socket: usize,
        /// Who asked.
        peer: SocketAddr,
    },
}

/// How far a pair has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting to hear which process it is.
    Identify,
    /// Not connected to the host yet.
    Dial,
    /// Carrying.
    Carry,
}

/// What is known of a descriptor's readiness; edge-triggered, so it holds until a call would block.
#[derive(Clone, Copy, Debug, Default)]
struct Latch {
    readable: bool,
    writable: bool,
}

/// A client and its twin.
#[derive(Debug)]
pub struct Pair {
    /// Tells it from other pairs that had its place.
    pub serial: u64,
    /// How far it has come.
    pub stage: Stage,
    /// The client.
    pub client: Client,
    /// Where the client was going.
    pub destination: SocketAddr,
    /// Where it came from.
    pub source: SocketAddr,
    /// When the loop gives it up, if anything is to be waited for only so long.
    pub deadline: Option<Duration>,
    host: Option<Socket>,
    /// Towards the host.
    pub up: Buffer,
    /// Towards the client.
    pub down: Buffer,
    client_latch: Latch,
    host_latch: Latch,
    client_ended: bool,
    host_ended: bool,
    told_host: bool,
    told_client: bool,
    /// The host takes nothing any more either.
    host_gone: bool,
}

/// What is to become of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Wait for readiness.
    Wait,
    /// More could be done at once, but others are to have their turn.
    Again,
    /// Over.
    Over,
}

/// Calls in one turn before others have theirs.
const TURN: usize = 16;

impl Pair {
    /// A pair for a client; `up` already holds what goes first.
    pub fn new(serial: u64, client: Client, source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            serial,
            stage: Stage::Identify,
            client,
            destination,
            source,
            deadline: None,
            host: None,
            up: Buffer::default(),
            down: Buffer::default(),
            client_latch: Latch { readable: true, writable: true },
            host_latch: Latch::default(),
            client_ended: false,
            host_ended: false,
            told_host: false,
            told_client: false,
            host_gone: false,
        }
    }

    /// Takes the host's socket, registered already; it counts as connected once it is writable.
    pub fn attach(&mut self, host: Socket) {
        self.host = Some(host);
        self.stage = Stage::Carry;
        if let Client::Stream(_) = self.client {
            self.deadline = None;
        }
    }

    /// Something became ready; `gone` when that end takes and gives nothing any more.
    pub fn latch(&mut self, end: End, readable: bool, writable: bool, gone: bool) {
        self.host_gone |= gone && end == End::Host;
        let latch = match end {
            End::Client => &mut self.client_latch,
            End::Host => &mut self.host_latch,
        };
        latch.readable |= readable;
        latch.writable |= writable;
    }

    /// Whether the end of one direction has been reached, so that silence means that nobody is there.
    pub fn is_half_closed(&self) -> bool {
        self.client_ended || self.host_ended
    }

    /// Moves bytes both ways until nothing is ready or a fair share was moved. An error of one side is the end of both:
    /// a broken host connection is shown to the client as a reset.
    pub fn turn(&mut self) -> Outcome {
        if self.stage != Stage::Carry {
            return Outcome::Wait;
        }
        for _ in 0..TURN {
            match self.step() {
                Ok(true) if self.is_half_closed() => self.deadline = None,
                Ok(true) => {}
                Ok(false) => return if self.is_over() { Outcome::Over } else { Outcome::Wait },
                Err((End::Host, _)) => {
                    self.reset_client();
                    return Outcome::Over;
                }
                Err((End::Client, _)) => return Outcome::Over,
            }
        }
        Outcome::Again
    }

    /// One round of calls; says whether any moved something.
    fn step(&mut self) -> Result<bool, (End, io::Error)> {
        let Some(host) = &mut self.host else { return Ok(false) };
        let mut moved = false;
        if let Client::Stream(stream) = &mut self.client {
            let client = |error| (End::Client, error);
            if self.client_latch.readable && !self.client_ended && self.up.has_room() {
                let read = latched(&mut self.client_latch.readable, self.up.fill(stream)).map_err(client)?;
                self.client_ended = read == Some(0);
                moved |= read.is_some();
            }
            if self.client_latch.writable && !self.down.is_empty() {
                let written =
                    latched(&mut self.client_latch.writable, self.down.drain(stream)).map_err(client)?;
                moved |= written.is_some();
            }
        }
        let at_host = |error| (End::Host, error);
        if self.host_latch.writable && !self.up.is_empty() {
            let written = latched(&mut self.host_latch.writable, self.up.drain(host)).map_err(at_host)?;
            moved |= written.is_some();
        }
        if self.host_latch.readable && !self.host_ended && self.down.has_room() {
            let read = latched(&mut self.host_latch.readable, self.down.fill(host)).map_err(at_host)?;
            self.host_ended = read == Some(0);
            moved |= read.is_some();
        }
        self.tell();
        Ok(moved)
    }

    /// Passes ends of input on once everything before them was written.
    fn tell(&mut self) {
        if self.client_ended && self.up.is_empty() && !self.told_host {
            self.told_host = true;
            if let Some(host) = &self.host {
                let _ = host.shutdown(Shutdown::Write); // it may be gone already, which reading shows
            }
        }
        if self.host_ended && self.down.is_empty() && !self.told_client {
            self.told_client = true;
            if let Client::Stream(stream) = &self.client {
                let _ = stream.shutdown(Shutdown::Write); // as above
            }
        }
    }

    fn is_over(&self) -> bool {
        self.host_ended && self.down.is_empty() && (self.client_ended || self.host_gone)
    }

    /// Makes the end of the client's connection a reset, so that what it has got is not taken for all (P18).
    pub fn reset_client(&self) {
        if let Client::Stream(stream) = &self.client {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO)); // then it is an ordinary end
        }
    }

    /// The first message that the host framed as DNS over TCP, where the client is a datagram and it is whole.
    pub fn framed_answer(&self) -> Option<(&[u8], usize, SocketAddr)> {
        let Client::Datagram { socket, peer } = self.client else { return None };
        let (length, rest) = self.down.waiting().split_first_chunk::<2>()?;
        Some((rest.get(..usize::from(u16::from_be_bytes(*length)))?, socket, peer))
    }
}

/// Clears a latch when a call would block. `None`: nothing happened.
fn latched(latch: &mut bool, result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(moved) => Ok(Some(moved)),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
            *latch = false;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
