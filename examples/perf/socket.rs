//! One TLS connection on a non-blocking socket: readiness latches, one large read, one gathered write.
//!
//! Shared by the floor, the origin and the load generator, so that all three are equally well made. It refuses to
//! know what the bytes mean.

use std::io::{self, BufRead, ErrorKind, Read, Write};

use mio::event::Event;
use mio::net::TcpStream;
use rustls::Connection;

/// How much one `recv` may bring; shared by all connections of a thread.
pub const SCRATCH: usize = 64 << 10;

/// A TLS connection and what the kernel last said about its socket.
pub struct TlsSocket {
    /// The socket, registered edge-triggered by its owner.
    pub tcp: TcpStream,
    tls: Connection,
    readable: bool,
    writable: bool,
    hangup: bool,
    eof: bool,
}

impl TlsSocket {
    /// Wraps a socket; without a buffer limit, because every caller stops reading while [`Self::backlog`] holds.
    pub fn new(tcp: TcpStream, tls: impl Into<Connection>) -> Self {
        let mut tls = tls.into();
        tls.set_buffer_limit(None);
        let _ = tcp.set_nodelay(true);
        Self { tcp, tls, readable: true, writable: true, hangup: false, eof: false }
    }

    /// Remembers what an edge-triggered event said until the socket says `WouldBlock`.
    pub fn latch(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.hangup |= event.is_read_closed() || event.is_error();
    }

    /// Reads once and hands every decrypted piece to `sink`. False: nothing to read now.
    pub fn fill(&mut self, scratch: &mut [u8], mut sink: impl FnMut(&[u8])) -> io::Result<bool> {
        if !self.readable || self.eof {
            return Ok(false);
        }
        let count = match self.tcp.read(scratch) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        // A short read has emptied the socket: the next byte brings a new edge, unless the end is already there.
        self.readable = count == scratch.len() || self.hangup;
        self.eof = count == 0;
        let mut wire = &scratch[..count];
        while !wire.is_empty() {
            if self.tls.read_tls(&mut wire)? == 0 {
                break;
            }
            self.eof |= self.tls.process_new_packets().map_err(io::Error::other)?.peer_has_closed();
            self.drain(&mut sink)?;
        }
        Ok(true)
    }

    fn drain(&mut self, sink: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut reader = self.tls.reader();
        loop {
            let used = match reader.fill_buf() {
                Ok(piece) => {
                    sink(piece);
                    piece.len()
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if used == 0 {
                return Ok(());
            }
            reader.consume(used);
        }
    }

    /// Encrypts `bytes` for the next [`Self::flush`].
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.tls.writer().write_all(bytes); // without a limit it takes everything
    }

    /// Sends what is encrypted, as far as the socket takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.writable && self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether encrypted bytes still wait for the socket.
    pub fn backlog(&self) -> bool {
        self.tls.wants_write()
    }

    /// Whether the peer has ended its side.
    pub fn eof(&self) -> bool {
        self.eof
    }

    /// Says goodbye with the next [`Self::flush`].
    pub fn close(&mut self) {
        self.tls.send_close_notify();
    }
}
