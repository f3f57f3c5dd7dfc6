//! One byte pipe to a peer, plain or TLS: received bytes go in with [`Leg::feed`], plaintext is borrowed with
//! [`Leg::inbox`], plaintext to send goes in with [`Leg::send`], bytes for the wire leave with [`Leg::flush`].
//!
//! The only file that names rustls connections. It owns no socket, reads no clock, and refuses to grow: past
//! [`PLAINTEXT_MARK`] of unread plaintext it takes no more input, and the caller asks [`Leg::queued`] before sending.

mod fault;

use std::io::{self, BufRead, IoSlice, Write};
use std::sync::Arc;

pub use fault::origin_fault;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

/// Unread plaintext past which a leg takes no more input: one TLS record.
pub const PLAINTEXT_MARK: usize = 16 << 10;

/// What a TLS record adds to its plaintext: header, content type and tag (RFC 8446 §5.2).
const RECORD_OVERHEAD: usize = 22;

/// One byte pipe, plain or TLS.
#[derive(Debug)]
pub struct Leg {
    pipe: Pipe,
    /// Plaintext gathered into one piece, before what the pipe still holds.
    gathered: Vec<u8>,
    /// How much of `gathered` was consumed.
    taken: usize,
    /// Received bytes that the pipe could not take yet.
    stash: Vec<u8>,
    /// Plaintext that waits in the pipe.
    readable: usize,
    /// Bytes that wait to leave.
    queued: usize,
    /// The transport ended.
    fin: bool,
    /// The peer ended its TLS stream properly.
    closed: bool,
    /// The pipe that carries this one: TLS inside TLS, through a corporate proxy that is https itself.
    carrier: Option<Box<Leg>>,
}

#[derive(Debug)]
enum Pipe {
    Plain(Plain),
    Server(Box<ServerConnection>),
    Client(Box<ClientConnection>),
}

#[derive(Debug, Default)]
struct Plain {
    inbox: Vec<u8>,
    start: usize,
    outbox: Vec<u8>,
    sent: usize,
}

/// Calls the same method on either kind of TLS connection.
macro_rules! tls {
    ($pipe:expr, $plain:pat => $otherwise:expr, $conn:ident => $body:expr) => {
        match $pipe {
            Pipe::Plain($plain) => $otherwise,
            Pipe::Server($conn) => $body,
            Pipe::Client($conn) => $body,
        }
    };
}

impl Leg {
    /// A pipe without TLS.
    pub fn plain() -> Self {
        Self::with(Pipe::Plain(Plain::default()))
    }

    /// The server's end of TLS, towards a guest.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let mut connection = ServerConnection::new(config)?;
        connection.set_buffer_limit(None); // `queued` and the caller's marks bound it
        Ok(Self::with(Pipe::Server(Box::new(connection))))
    }

    /// The client's end of TLS, towards an origin that must prove `name`.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, rustls::Error> {
        let mut connection = ClientConnection::new(config, name)?;
        connection.set_buffer_limit(None);
        let mut leg = Self::with(Pipe::Client(Box::new(connection)));
        leg.queued = 1; // the ClientHello
        Ok(leg)
    }

    fn with(pipe: Pipe) -> Self {
        Self {
            pipe,
            gathered: Vec::new(),
            taken: 0,
            stash: Vec::new(),
            readable: 0,
            queued: 0,
            fin: false,
            closed: false,
            carrier: None,
        }
    }

    /// This pipe, carried inside another one; what that one has received already is taken in.
    pub fn inside(mut self, mut carrier: Leg) -> Result<Self, rustls::Error> {
        self.feed_from(&mut carrier)?;
        if carrier.is_tls() {
            self.carrier = Some(Box::new(carrier));
        }
        Ok(self)
    }

    /// Takes bytes from the wire. What the pipe cannot take now is kept and taken by [`Leg::resume`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), rustls::Error> {
        let Some(mut carrier) = self.carrier.take() else { return self.feed_own(bytes) };
        let outcome = carrier.feed(bytes).and_then(|()| self.feed_from(&mut carrier));
        self.carrier = Some(carrier);
        outcome
    }

    fn feed_from(&mut self, carrier: &mut Leg) -> Result<(), rustls::Error> {
        loop {
            carrier.resume()?;
            let piece = carrier.inbox();
            let len = piece.len();
            if len == 0 {
                return Ok(());
            }
            self.feed_own(piece)?;
            carrier.consume(len);
        }
    }

    fn feed_own(&mut self, bytes: &[u8]) -> Result<(), rustls::Error> {
        if !self.stash.is_empty() {
            self.stash.extend_from_slice(bytes);
            return Ok(());
        }
        let used = self.accept(bytes)?;
        if used < bytes.len() {
            self.stash.extend_from_slice(&bytes[used..]);
        }
        Ok(())
    }

    /// Takes what [`Leg::feed`] had to keep, as far as there is room now.
    pub fn resume(&mut self) -> Result<(), rustls::Error> {
        if self.stash.is_empty() || self.readable > PLAINTEXT_MARK {
            return Ok(());
        }
        let mut stash = std::mem::take(&mut self.stash);
        let used = self.accept(&stash)?;
        stash.drain(..used);
        self.stash = if stash.is_empty() { Vec::new() } else { stash };
        Ok(())
    }

    fn accept(&mut self, bytes: &[u8]) -> Result<usize, rustls::Error> {
        if let Pipe::Plain(plain) = &mut self.pipe {
            plain.inbox.extend_from_slice(bytes);
            self.readable += bytes.len();
            return Ok(bytes.len());
        }
        let mut rest = bytes;
        while !rest.is_empty() && self.readable <= PLAINTEXT_MARK {
            if !self.accept_records(&mut rest)? {
                return Ok(bytes.len());
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Feeds one read's worth to rustls; `false` when the peer has ended its stream and nothing more counts.
    fn accept_records(&mut self, rest: &mut &[u8]) -> Result<bool, rustls::Error> {
        let state = tls!(&mut self.pipe, _ => return Ok(false), connection => {
            match connection.read_tls(rest) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(_) => return Err(rustls::Error::General("TLS record too large".into())),
            }
            connection.process_new_packets()
        });
        self.note_pending_output();
        let state = state?;
        self.readable = state.plaintext_bytes_to_read();
        self.closed |= state.peer_has_closed();
        Ok(true)
    }

    /// Handshake flights and alerts are queued by rustls itself: count them as waiting.
    fn note_pending_output(&mut self) {
        let pending = tls!(&self.pipe, _ => false, connection => connection.wants_write());
        if pending && self.queued == 0 {
            self.queued = 1;
        }
    }

    /// The transport ended: no more bytes will come.
    pub fn end_of_input(&mut self) {
        self.fin = true;
    }

    /// The next piece of received plaintext, empty when there is none.
    pub fn inbox(&mut self) -> &[u8] {
        if self.taken < self.gathered.len() {
            return &self.gathered[self.taken..];
        }
        match &mut self.pipe {
            Pipe::Plain(plain) => &plain.inbox[plain.start..],
            Pipe::Server(connection) => connection.reader().into_first_chunk().unwrap_or_default(),
            Pipe::Client(connection) => connection.reader().into_first_chunk().unwrap_or_default(),
        }
    }

    /// Joins all received plaintext into one piece, for a head that was cut; `false` when it was one already.
    pub fn gather(&mut self) -> bool {
        if self.readable == 0 || matches!(self.pipe, Pipe::Plain(_)) && self.gathered.is_empty() {
            return false;
        }
        if self.taken > 0 {
            self.gathered.drain(..self.taken);
            self.taken = 0;
        }
        while self.readable > 0 {
            let Some(len) = self.gather_piece() else { break };
            self.consume_pipe(len);
        }
        true
    }

    fn gather_piece(&mut self) -> Option<usize> {
        let piece = match &mut self.pipe {
            Pipe::Plain(plain) => &plain.inbox[plain.start..],
            Pipe::Server(connection) => connection.reader().into_first_chunk().unwrap_or_default(),
            Pipe::Client(connection) => connection.reader().into_first_chunk().unwrap_or_default(),
        };
        self.gathered.extend_from_slice(piece);
        (!piece.is_empty()).then_some(piece.len())
    }

    /// Marks the first `len` bytes of [`Leg::inbox`] as used.
    pub fn consume(&mut self, len: usize) {
        if self.taken < self.gathered.len() {
            self.taken += len;
            debug_assert!(self.taken <= self.gathered.len());
            if self.taken >= self.gathered.len() {
                self.gathered = Vec::new();
                self.taken = 0;
            }
        } else {
            self.consume_pipe(len);
        }
    }

    fn consume_pipe(&mut self, len: usize) {
        self.readable = self.readable.saturating_sub(len);
        match &mut self.pipe {
            Pipe::Plain(plain) => plain.consume(len),
            Pipe::Server(connection) => connection.reader().consume(len),
            Pipe::Client(connection) => connection.reader().consume(len),
        }
    }

    /// Plaintext that waits to be consumed, in bytes.
    pub fn unread(&self) -> usize {
        self.gathered.len() - self.taken + self.readable
    }

    /// Whether more input may be read from the wire while less than `mark` bytes wait unread.
    pub fn takes_input(&self, mark: usize) -> bool {
        let room = matches!(self.pipe, Pipe::Plain(_)) || self.readable <= PLAINTEXT_MARK;
        !self.fin && self.stash.is_empty() && room && self.unread() < mark
    }

    /// Whether input is kept back that [`Leg::resume`] could take now.
    pub fn can_resume(&self) -> bool {
        !self.stash.is_empty() && self.readable <= PLAINTEXT_MARK
    }

    /// Whether the transport ended.
    pub fn is_fin(&self) -> bool {
        self.fin && self.stash.is_empty()
    }

    /// Whether the peer said that it sends no more, with TLS `close_notify`.
    pub fn says_farewell(&self) -> bool {
        self.closed
    }

    /// Throws away what waits to leave: the transport takes nothing more.
    pub fn discard_output(&mut self) {
        let flushed = self.flush(&mut io::sink());
        debug_assert!(flushed.is_ok(), "a sink takes everything");
    }

    /// Whether no plaintext is left and none will come.
    pub fn is_exhausted(&self) -> bool {
        self.unread() == 0 && self.stash.is_empty() && (self.fin || self.closed)
    }

    /// Whether nothing more will come, whatever is still unread.
    pub fn has_ended(&self) -> bool {
        self.is_fin() || self.closed
    }

    /// Whether the TLS handshake is still going on (never, on a plain leg).
    pub fn is_handshaking(&self) -> bool {
        tls!(&self.pipe, _ => false, connection => connection.is_handshaking())
    }

    /// Whether this leg is TLS.
    pub fn is_tls(&self) -> bool {
        !matches!(self.pipe, Pipe::Plain(_))
    }

    /// Takes plaintext to send: all of it, in as few records as it fits. Ask [`Leg::queued`] first.
    pub fn send(&mut self, bytes: &[u8]) {
        self.send_parts(&[IoSlice::new(bytes)]);
    }

    /// Takes plaintext in parts that leave together, in one record where they fit.
    pub fn send_parts(&mut self, parts: &[IoSlice<'_>]) {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if total == 0 {
            return;
        }
        self.queued += total;
        let taken = tls!(&mut self.pipe, plain => {
            for part in parts {
                plain.outbox.extend_from_slice(part);
            }
            return;
        }, connection => connection.writer().write_vectored(parts));
        debug_assert_eq!(taken.ok(), Some(total), "rustls without a buffer limit takes everything");
        self.queued += RECORD_OVERHEAD * total.div_ceil(PLAINTEXT_MARK);
    }

    /// Bytes that wait to leave, about.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Writes what waits to `sink` until nothing is left (`true`) or the sink would block (`false`).
    pub fn flush(&mut self, sink: &mut dyn Write) -> io::Result<bool> {
        let Some(mut carrier) = self.carrier.take() else { return self.flush_own(sink) };
        let outcome = self.flush_own(&mut Carried(&mut carrier)).and_then(|_| carrier.flush(sink));
        self.queued = carrier.queued();
        self.carrier = Some(carrier);
        outcome
    }

    fn flush_own(&mut self, sink: &mut dyn Write) -> io::Result<bool> {
        loop {
            if self.is_flushed() {
                self.queued = 0;
                self.release_outbox();
                return Ok(true);
            }
            match self.write_once(sink) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => self.queued = self.queued.saturating_sub(sent).max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn is_flushed(&self) -> bool {
        tls!(&self.pipe, plain => plain.sent == plain.outbox.len(), connection => !connection.wants_write())
    }

    fn write_once(&mut self, sink: &mut dyn Write) -> io::Result<usize> {
        tls!(&mut self.pipe, plain => {
            let sent = sink.write(&plain.outbox[plain.sent..])?;
            plain.sent += sent;
            Ok(sent)
        }, connection => connection.write_tls(sink))
    }

    fn release_outbox(&mut self) {
        if let Pipe::Plain(plain) = &mut self.pipe {
            plain.sent = 0;
            plain.outbox.clear();
            plain.outbox.shrink_to(KEPT);
        }
    }

    /// Says that nothing more will be sent (`close_notify` on TLS).
    pub fn close(&mut self) {
        tls!(&mut self.pipe, _ => (), connection => connection.send_close_notify());
        self.note_pending_output();
    }

    /// Bytes of memory that this leg holds for its peer, about.
    pub fn held(&self) -> usize {
        self.unread() + self.stash.len() + self.queued
    }
}

/// Writes into the pipe that carries another.
struct Carried<'a>(&'a mut Leg);

impl Write for Carried<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Capacity that an empty plain buffer keeps.
const KEPT: usize = 1 << 10;

impl Plain {
    fn consume(&mut self, len: usize) {
        self.start += len;
        debug_assert!(self.start <= self.inbox.len());
        if self.start == self.inbox.len() {
            self.start = 0;
            self.inbox.clear();
            self.inbox.shrink_to(KEPT);
        } else if self.start > PLAINTEXT_MARK {
            self.inbox.drain(..self.start);
            self.start = 0;
        }
    }
}
