//! A non-blocking stream socket of any family, and what readiness we have been told of it.
//!
//! Registered once, edge-triggered: a latch is set by an event and cleared only when the kernel said "would block"
//! or gave less than was asked for (epoll(7)), so there is no arming to forget.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use mio::event::Event;
use mio::net::{TcpStream, UnixStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use vsock::VsockStream;

use crate::guest::redirect::original_destination;
use crate::upstream::pool::PoolId;

use super::peer;

/// A stream socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP, either family.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
    /// `AF_VSOCK`.
    Vsock(VsockStream),
}

impl Socket {
    /// Takes over a Unix stream.
    pub fn from_unix(stream: StdUnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::Unix(UnixStream::from_std(stream)))
    }

    /// Asks for all events, edge-triggered, once and for all.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => registry.register(stream, token, both),
            Self::Unix(stream) => registry.register(stream, token, both),
            Self::Vsock(stream) => registry.register(&mut SourceFd(&stream.as_raw_fd()), token, both),
        }
    }

    /// The peer's address, where it has an IP one.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) | Self::Vsock(_) => None,
        }
    }

    /// Whether the peer is known to have closed its socket, and not only its own direction.
    pub fn peer_has_closed(&self) -> bool {
        let Self::Tcp(stream) = self else { return false };
        let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return false };
        peer::has_closed(peer, original_destination(stream, local).unwrap_or(local))
    }

    /// The pending error of a connect that was started, if it failed.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
            Self::Vsock(_) => Ok(None),
        }
    }

    /// Makes the coming close a reset, so that the peer cannot take what it got for a whole message.
    pub fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            let linger = Some(std::time::Duration::ZERO);
            if let Err(error) = socket2::SockRef::from(stream).set_linger(linger) {
                log::debug!("cannot make the close a reset: {error}");
            }
        }
    }

    /// Ends our direction: the peer sees the end of the stream after what was sent.
    pub fn shutdown_write(&self) {
        let outcome = match self {
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Vsock(stream) => stream.shutdown(std::net::Shutdown::Write),
        };
        if let Err(error) = outcome {
            log::trace!("shutdown: {error}");
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
            Self::Vsock(stream) => stream.as_raw_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Vsock(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Vsock(stream) => stream.write(bytes),
        }
    }

    /// One piece, which is the rule, goes the shorter way through the kernel: send(2) instead of writev(2).
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [whole] = parts {
            return self.write(whole);
        }
        match self {
            Self::Tcp(stream) => stream.write_vectored(parts),
            Self::Unix(stream) => stream.write_vectored(parts),
            Self::Vsock(stream) => stream.write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket with its latches.
#[derive(Debug)]
pub struct Port {
    /// The socket.
    pub socket: Socket,
    /// Distinguishes this port from an earlier one in the same slot, against stale events of one batch.
    pub generation: u32,
    /// Whom its events wake.
    pub owner: Owner,
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer sends no more: keep reading until the end is seen, even after a short read.
    pub ending: bool,
    /// The connection is dead both ways (reset, or closed by both).
    pub dead: bool,
}

/// Whom a port belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The guest's side of a connection.
    Guest(usize),
    /// The origin's side of a connection.
    Origin(usize),
    /// A connect that is under way.
    Dial(usize),
    /// Idle in the pool.
    Pool(PoolId),
}

/// What one read gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// This many bytes.
    Bytes(usize),
    /// The end of the stream.
    End,
    /// Nothing now.
    Nothing,
}

impl Port {
    /// A port that may be readable and writable until the kernel says otherwise.
    pub fn new(socket: Socket, generation: u32, owner: Owner) -> Self {
        Self { socket, generation, owner, readable: false, writable: false, ending: false, dead: false }
    }

    /// Takes in what an event says.
    pub fn latch(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed();
        self.writable |= event.is_writable() || event.is_write_closed();
        self.ending |= event.is_read_closed();
        self.dead |= event.is_error() || (event.is_read_closed() && event.is_write_closed());
    }

    /// Reads once into `buffer`.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => {
                    self.readable = false;
                    return Ok(Received::End);
                }
                Ok(len) => {
                    self.readable = len == buffer.len() || self.ending;
                    return Ok(Received::Bytes(len));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(Received::Nothing);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
