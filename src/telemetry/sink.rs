//! The end of the ledger that reactors hold: a bounded queue, ids, and the ledger's health as cheap atomics.
//!
//! It never blocks, never allocates and reads no clock.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_channel::{Sender, TrySendError};

use super::event::{BodyCopy, Event};
use super::options::{LedgerOptions, OnFailure};
use crate::limits::Micros;

/// Sends events to the writer. Each reactor has a clone of its own.
#[derive(Clone, Debug)]
pub struct Sink {
    queue: Sender<Message>,
    shared: Arc<Shared>,
    /// When this holder first saw the queue above its high mark, by the holder's own clock.
    stalled_since: Cell<Option<Micros>>,
}

/// What travels in the queue.
#[derive(Debug)]
pub(super) enum Message {
    Event(Event),
    /// Wake up and look at [`Shared::closing`].
    Close,
}

/// An event that found the queue full; the caller keeps it or gives it to [`Sink::count_lost`].
#[derive(Debug)]
pub struct Full(pub Event);

/// Whether new requests may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Take requests.
    Healthy,
    /// Take no new request until this ends; it ends within the ledger's patience.
    Stalled,
    /// The ledger has failed for longer than its patience: answer 503, or go on, as chosen.
    Failed(OnFailure),
}

/// Why the ledger cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Trouble {
    /// Nothing is known to be wrong; the writer is behind.
    Behind = 0,
    /// Another process holds the write lock.
    Locked = 1,
    /// No space left.
    DiskFull = 2,
    /// The file was deleted or replaced while in use.
    Deleted = 3,
    /// The file is damaged.
    Corrupt = 4,
    /// The file or its directory cannot be written or opened, or input and output fail.
    Io = 5,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Behind => "the ledger cannot keep up",
            Self::Locked => "the ledger is locked by another process",
            Self::DiskFull => "the ledger's disk is full",
            Self::Deleted => "the ledger was deleted",
            Self::Corrupt => "the ledger is damaged",
            Self::Io => "the ledger cannot be written",
        })
    }
}

impl Trouble {
    const ALL: [Self; 6] =
        [Self::Behind, Self::Locked, Self::DiskFull, Self::Deleted, Self::Corrupt, Self::Io];
}

impl Sink {
    pub(super) fn new(queue: Sender<Message>, shared: Arc<Shared>) -> Self {
        Self { queue, shared, stalled_since: Cell::new(None) }
    }

    /// Hands an event to the writer, or gives it back when the queue is full or the writer gone.
    ///
    /// Bodies are left behind where too many wait: the queue is bounded in events, and these may be large.
    pub fn try_send(&self, mut event: Event) -> Result<(), Full> {
        let bodies = self.shared.admit_bodies(&mut event);
        match self.queue.try_send(Message::Event(event)) {
            Err(
                TrySendError::Full(Message::Event(event)) | TrySendError::Disconnected(Message::Event(event)),
            ) => {
                self.shared.bodies.fetch_sub(bodies, Relaxed);
                Err(Full(event))
            }
            _ => Ok(()),
        }
    }

    /// Counts an event that is given up; the count is written to `dropped` when that is possible again.
    pub fn count_lost(&self, event: &Event) {
        self.shared.lost[kind_index(event)].fetch_add(1, Relaxed);
    }

    /// Whether new requests may be taken; `now` is the caller's monotonic clock. Ask before each request.
    ///
    /// The last quarter of the queue is kept for exchanges that are already running.
    pub fn health(&self, now: Micros) -> Health {
        if self.shared.failed.load(Relaxed) {
            return Health::Failed(self.shared.on_failure);
        }
        if self.queue.len() < self.shared.high_mark {
            self.stalled_since.set(None);
            return Health::Healthy;
        }
        let since = self.stalled_since.get().unwrap_or(now);
        self.stalled_since.set(Some(since));
        if now.saturating_sub(since) < self.shared.patience {
            Health::Stalled
        } else {
            Health::Failed(self.shared.on_failure)
        }
    }

    /// What the writer last found wrong; [`Trouble::Behind`] when it found nothing.
    pub fn trouble(&self) -> Trouble {
        Trouble::ALL[usize::from(self.shared.trouble.load(Relaxed)) % Trouble::ALL.len()]
    }

    /// Events that wait for the writer.
    pub fn depth(&self) -> usize {
        self.queue.len()
    }

    /// Events lost so far, of all kinds.
    pub fn lost(&self) -> u64 {
        self.shared.lost_total.load(Relaxed) + self.shared.lost.iter().map(|n| n.load(Relaxed)).sum::<u64>()
    }

    /// Rows committed so far.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Relaxed)
    }

    /// The id of a new exchange: unique in the database, below 2^53.
    pub fn next_exchange_id(&self) -> u64 {
        self.shared.next_exchange.fetch_add(1, Relaxed)
    }

    /// The id of a new guest connection: unique in the database, below 2^53.
    pub fn next_connection_id(&self) -> u64 {
        self.shared.next_connection.fetch_add(1, Relaxed)
    }
}

/// What sinks and writer both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) on_failure: OnFailure,
    pub(super) patience: Micros,
    /// Queue length from which no new request is taken.
    pub(super) high_mark: usize,
    pub(super) next_exchange: AtomicU64,
    pub(super) next_connection: AtomicU64,
    /// The writer has been failing for longer than `patience`.
    pub(super) failed: AtomicBool,
    /// A [`Trouble`].
    pub(super) trouble: AtomicU8,
    /// Losses by kind that are not yet written to `dropped`; the order is that of [`KINDS`].
    pub(super) lost: [AtomicU64; KINDS.len()],
    /// Losses that are written, or known to the writer.
    pub(super) lost_total: AtomicU64,
    pub(super) written: AtomicU64,
    /// Bytes of bodies that wait for the writer.
    bodies: AtomicUsize,
    /// Set when the ledger is being closed: until when the writer may go on trying.
    pub(super) closing: OnceLock<Instant>,
}

impl Shared {
    /// Ids begin at `block`.
    pub(super) fn new(options: &LedgerOptions, block: u64) -> Self {
        Self {
            on_failure: options.on_failure,
            patience: options.patience,
            high_mark: (options.queue - options.queue / 4).max(1),
            next_exchange: AtomicU64::new(block),
            next_connection: AtomicU64::new(block),
            failed: AtomicBool::new(false),
            trouble: AtomicU8::new(Trouble::Behind as u8),
            lost: Default::default(),
            lost_total: AtomicU64::new(0),
            written: AtomicU64::new(0),
            bodies: AtomicUsize::new(0),
            closing: OnceLock::new(),
        }
    }

    /// Counts the bodies of an event, or empties them where too many wait; how many bytes were counted.
    fn admit_bodies(&self, event: &mut Event) -> usize {
        let bytes = bodies(event);
        if bytes > 0 && self.bodies.fetch_add(bytes, Relaxed) + bytes > BODIES {
            self.bodies.fetch_sub(bytes, Relaxed);
            for body in both(event).into_iter().flatten() {
                *body = BodyCopy { cut: true, ..BodyCopy::default() };
            }
            return 0;
        }
        bytes
    }

    /// The bodies of these events do not wait any more.
    pub(super) fn bodies_written(&self, events: &[Event]) {
        let bytes: usize = events.iter().map(bodies).sum();
        if bytes > 0 {
            self.bodies.fetch_sub(bytes, Relaxed);
        }
    }
}

/// Most bytes of bodies that wait for the writer.
const BODIES: usize = 64 << 20;

/// Bytes of an event's bodies.
fn bodies(event: &Event) -> usize {
    let Event::Net(row) = event else { return 0 };
    [&row.request_body, &row.response_body].into_iter().flatten().map(|body| body.bytes.len()).sum()
}

fn both(event: &mut Event) -> [Option<&mut BodyCopy>; 2] {
    match event {
        Event::Net(row) => [row.request_body.as_mut(), row.response_body.as_mut()],
        _ => [None, None],
    }
}

/// The ledger's words for the kinds of events, as in `dropped.kind`.
pub(super) const KINDS: [&str; 5] = ["net_event", "model_call", "upstream_error", "dns_event", "policy"];

/// Which of [`KINDS`] an event is.
pub(super) fn kind_index(event: &Event) -> usize {
    match event {
        Event::Net(_) => 0,
        Event::Call(_) => 1,
        Event::Error(_) => 2,
        Event::Dns(_) => 3,
        Event::Policy(_) => 4,
    }
}
