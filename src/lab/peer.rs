//! One end of a byte pipe: a guest or an origin, plain or with a real TLS stack, that sends and reads what it is told.

use std::mem;

use crate::leg::Leg;
use crate::policy::host::Host;

use super::world;

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Properly: `close_notify` on TLS, then FIN.
    Fin,
    /// FIN alone; on TLS that is a truncation.
    Cut,
    /// RST.
    Reset,
}

/// One end.
pub struct Peer {
    leg: Leg,
    /// Bytes on their way to the machine.
    sent: Vec<u8>,
    /// How the stream towards the machine ends once they have arrived.
    end: Option<End>,
    told: bool,
    received: Vec<u8>,
    /// How many bytes it still reads; [`usize::MAX`] for all.
    reads: usize,
    /// How the machine's direction ended.
    pub ended: Option<End>,
    /// What its TLS stack complained about.
    pub tls_error: Option<String>,
}

impl Peer {
    /// Without TLS.
    pub fn plain() -> Self {
        Self::over(Leg::plain())
    }

    /// An origin that shows a certificate for `host`.
    pub fn tls_server(host: &Host) -> Self {
        Self::over(world::serving(host))
    }

    /// A guest that begins TLS at once and offers these protocols.
    ///
    /// # Panics
    ///
    /// When `host` is none.
    pub fn offering(host: &str, protocols: &[&[u8]]) -> Self {
        let host = Host::parse(host.as_bytes()).expect("a legal host");
        let mut peer = Self::over(world::offering(&host, protocols));
        peer.push_out();
        peer
    }

    fn over(leg: Leg) -> Self {
        Self {
            leg,
            sent: Vec::new(),
            end: None,
            told: false,
            received: Vec::new(),
            reads: usize::MAX,
            ended: None,
            tls_error: None,
        }
    }

    /// Begins TLS towards `host`, as a client that trusts the machine's authority.
    ///
    /// # Panics
    ///
    /// When `host` is none.
    pub fn begin_tls(&mut self, host: &str) {
        let host = Host::parse(host.as_bytes()).expect("a legal host");
        self.leg = world::towards(&host);
        self.push_out();
    }

    /// Sends bytes, inside TLS where there is TLS.
    pub fn send(&mut self, bytes: &[u8]) {
        self.leg.send(bytes);
        self.push_out();
    }

    /// Sends bytes past the TLS stack.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
    }

    /// Sends no more.
    pub fn finish(&mut self, end: End) {
        if end == End::Fin {
            self.leg.close();
            self.push_out();
        }
        self.end = Some(end);
    }

    /// Reads `bytes` more from now on, and then stops.
    pub fn reads_only(&mut self, bytes: usize) {
        self.reads = bytes;
    }

    /// Everything it received so far and has not taken.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Takes what it received.
    pub fn take_received(&mut self) -> Vec<u8> {
        mem::take(&mut self.received)
    }

    pub(super) fn put_back(&mut self, rest: Vec<u8>) {
        self.received = rest;
    }

    /// Takes what it has sent and what has not arrived, so that another one can send it.
    pub fn take_sent(&mut self) -> Vec<u8> {
        mem::take(&mut self.sent)
    }

    /// Whether its TLS handshake is still going on.
    pub fn is_handshaking(&self) -> bool {
        self.leg.is_handshaking()
    }

    /// Whether the machine said that nothing follows (`close_notify`).
    pub fn was_told_goodbye(&self) -> bool {
        self.leg.says_farewell()
    }

    /// Whether bytes or an end are on their way.
    pub(super) fn has_news(&self) -> bool {
        !self.sent.is_empty() || self.end.is_some()
    }

    pub(super) fn room(&self) -> usize {
        self.reads
    }

    pub(super) fn next_piece(&mut self, most: usize) -> Option<Vec<u8>> {
        let len = most.min(self.sent.len());
        (len > 0).then(|| self.sent.drain(..len).collect())
    }

    /// The end, once, after everything before it has arrived; a reset comes through whatever is wanted.
    pub(super) fn next_end(&mut self, wanted: bool) -> Option<End> {
        let end =
            self.end.filter(|end| !self.told && (wanted && self.sent.is_empty() || *end == End::Reset))?;
        self.told = true;
        Some(end)
    }

    /// Bytes from the machine.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.reads != usize::MAX {
            self.reads -= bytes.len();
        }
        let fed = self.leg.feed(bytes);
        self.note(fed);
        loop {
            let piece = self.leg.inbox();
            let len = piece.len();
            self.received.extend_from_slice(piece);
            self.leg.consume(len);
            let resumed = self.leg.resume();
            self.note(resumed);
            if len == 0 {
                break;
            }
        }
        self.push_out();
    }

    fn note(&mut self, outcome: Result<(), rustls::Error>) {
        if let Err(error) = outcome {
            self.tls_error.get_or_insert(error.to_string());
        }
    }

    fn push_out(&mut self) {
        let flushed = self.leg.flush(&mut self.sent);
        debug_assert!(flushed.is_ok(), "a Vec takes every write");
    }
}
