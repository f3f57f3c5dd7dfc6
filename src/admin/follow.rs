//! Rows as they are written, as server-sent events: `event: row`, one line of JSON as `data`, and the place in the
//! ledger as `id`, from which a follower that lost its connection goes on.
//!
//! With `newest` a look sends at most so many rows and leaves older ones out: a page that shows the last few hundred
//! must not cost a busy proxy a copy of each row.
//!
//! A follower costs a look at a counter ten times a second; the ledger is read when that has moved. One that has gone
//! is noticed at the next look, so that its seat is free for whoever comes back.

use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::State;
use super::http::{Response, head};
use super::listen::Stream;
use super::rows::Wanted;
use crate::telemetry::query::{Position, QueryError, Range, Reader};

/// Followers at once; more are answered 503.
const FOLLOWERS: usize = 8;
/// How often the counter is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two readings for whoever wants the newest rows only: reading them means reading a whole commit.
const PAGED: u32 = 5;
/// Bytes from which on rows are sent before more are read.
const BATCH: usize = 1 << 20;
/// Looks after which the ledger is read all the same: another process may write to it.
const ANYWAY: u32 = 10;
/// Looks without a row after which a comment shows that both sides are there.
const QUIET: u32 = 100;
/// What no reader of events takes for one.
const COMMENT: &[u8] = b":\n\n";

/// Rows from some place on.
pub(super) struct Follow {
    wanted: Wanted,
}

/// One of the [`FOLLOWERS`].
struct Seat<'s>(&'s State);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.followers.fetch_sub(1, Relaxed);
    }
}

impl Follow {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self { wanted }
    }

    /// Writes until the peer has gone or the proxy ends.
    pub(super) fn run(self, state: &State, out: &mut Stream) -> io::Result<()> {
        let taken = state.followers.fetch_add(1, Relaxed);
        let _seat = Seat(state);
        if taken >= FOLLOWERS {
            let full = Response::problem(503, "too many followers").with("retry-after", "5");
            return full.write(out, false);
        }
        out.write_all((head(200, "text/event-stream", "connection: close\r\n") + "\r\n").as_bytes())?;
        let mut at = self.begin(state, out)?;
        let (mut seen, mut looks, mut quiet) = (state.sink().written(), 0, 0);
        let least = if self.wanted.newest.is_some() { PAGED } else { 1 };
        let mut ear = Ear::default();
        while !state.is_draining() {
            ear.wait(out)?;
            (looks, quiet) = (looks + 1, quiet + 1);
            let written = state.sink().written();
            if (written != seen && looks >= least) || looks >= ANYWAY {
                (seen, looks) = (written, 0);
                let sent;
                (at, sent) = self.send(state, at, out)?;
                quiet = if sent { 0 } else { quiet };
            }
            if quiet >= QUIET {
                out.write_all(COMMENT)?;
                quiet = 0;
            }
        }
        Ok(())
    }

    /// Sends what is wanted of what is there already; where to go on.
    fn begin(&self, state: &State, out: &mut impl Write) -> io::Result<Position> {
        let newest = self.wanted.newest;
        if let (None, Some(after)) = (newest, self.wanted.after) {
            return Ok(self.send(state, after, out)?.0);
        }
        let reader = state.ledger.reader().map_err(|error| failed(&error))?;
        let end = reader.end(self.wanted.source).map_err(|error| failed(&error))?;
        if newest.is_none() {
            out.write_all(place(end).as_bytes())?;
            return Ok(end);
        }
        let batch = self.batch(&reader, self.wanted.after.unwrap_or_default().within(end))?;
        let at = batch.at.max(end);
        batch.send(at, out)?;
        Ok(at)
    }

    /// Sends rows behind `at`: the place behind them, and whether there were any. A ledger that cannot be read now is
    /// tried again at the next look.
    fn send(&self, state: &State, mut at: Position, out: &mut impl Write) -> io::Result<(Position, bool)> {
        let Ok(reader) = state.ledger.reader() else { return Ok((at, false)) };
        let mut sent = false;
        loop {
            // What is there before the rows are read will have been read: rows that the filter left out are not read
            // again.
            let end = reader.end(self.wanted.source).map_err(|error| failed(&error))?;
            at = at.within(end);
            let batch = self.batch(&reader, at)?;
            if batch.text.is_empty() {
                return Ok((at.max(end), sent));
            }
            sent = true;
            at = if batch.whole { batch.at.max(end) } else { batch.at };
            let whole = batch.whole;
            batch.send(at, out)?;
            if whole {
                return Ok((at, sent));
            }
        }
    }

    /// Reads rows before any is written, so that a peer that is slow to take them holds no snapshot of the ledger.
    fn batch(&self, reader: &Reader, after: Position) -> io::Result<Batch> {
        let Wanted { newest, bodies, .. } = self.wanted;
        let range = Range { after, newest, bodies, ..Range::default() };
        let mut batch = Batch { text: Vec::new(), at: after, whole: true };
        let at = reader.rows(self.wanted.source, &self.wanted.filter, range, |record| {
            batch.text.extend_from_slice(b"event: row\ndata: ");
            record.write_json(&mut batch.text);
            batch.text.extend_from_slice(b"\n\n");
            batch.whole = range.newest.is_some() || batch.text.len() < BATCH;
            batch.whole
        });
        batch.at = at.map_err(|error| failed(&error))?;
        Ok(batch)
    }
}

/// Hears whether the peer is still there, between looks.
#[derive(Default)]
struct Ear {
    /// The peer says nothing more, but may read on.
    deaf: bool,
}

impl Ear {
    /// Waits for the time of the next look. A peer that ended its side is sent something: one that has gone altogether
    /// answers with a reset, at which the next writing fails.
    fn wait(&mut self, peer: &mut Stream) -> io::Result<()> {
        if !self.deaf && peer.has_ended(LOOK)? {
            self.deaf = true;
            peer.write_all(COMMENT)?;
            std::thread::sleep(LOOK);
            peer.write_all(COMMENT)?;
        } else if self.deaf {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Rows as they are sent at once.
struct Batch {
    text: Vec<u8>,
    /// The place behind them.
    at: Position,
    /// There were no more.
    whole: bool,
}

impl Batch {
    /// Sends them at once, and from where to go on.
    fn send(mut self, at: Position, out: &mut impl Write) -> io::Result<()> {
        self.text.extend_from_slice(place(at).as_bytes());
        out.write_all(&self.text)
    }
}

/// From where a follower goes on that lost its connection.
fn place(at: Position) -> String {
    format!("id: {at}\n\n")
}

fn failed(error: &QueryError) -> io::Error {
    io::Error::other(error.to_string())
}
