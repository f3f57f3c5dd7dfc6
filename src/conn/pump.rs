//! Moving a body from one leg to the other: decoded in place, framed anew, seen by the tap, never held.
//!
//! What is there leaves at once (P27): a head that waits goes along with the first data in one TLS record. Moving
//! stops while [`HIGH_MARK`] bytes wait towards the reader (P23).

use std::io::IoSlice;
use std::ops::Range;

use crate::leg::Leg;
use crate::wire::body::{BodyError, ChunkHead, Decoder, write_last_chunk};

use super::HIGH_MARK;

/// One body on its way.
#[derive(Debug)]
pub struct Flow {
    /// Reads the sender's framing.
    pub decoder: Decoder,
    /// Whether it goes on in chunks.
    pub chunked: bool,
    /// Its last byte has been handed on.
    pub done: bool,
}

impl Flow {
    /// A body of which nothing has moved yet.
    pub fn new(decoder: Decoder, chunked: bool) -> Self {
        let done = decoder.is_done();
        Self { decoder, chunked, done }
    }

    /// Moves what can be moved now. `prefix` goes first (a head that was just written) and is taken. `see` is shown
    /// each piece after it was handed on. On an error the prefix stays if nothing was handed on, so that another
    /// answer can be given (P18).
    pub fn pump(
        &mut self,
        from: &mut Leg,
        to: &mut Leg,
        prefix: &mut Vec<u8>,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BodyError> {
        while !self.done && to.queued() < HIGH_MARK {
            let input = from.inbox();
            if input.is_empty() {
                break;
            }
            let batch = Batch::read(&mut self.decoder, input);
            if let (Some(error), false) = (batch.error, prefix.is_empty()) {
                return Err(error);
            }
            self.done = batch.done;
            batch.hand_on(self, input, to, prefix);
            batch.pieces(input).for_each(&mut *see);
            let used = batch.used;
            from.consume(used);
            if let Some(error) = batch.error {
                return Err(error);
            }
            if used == 0 {
                break;
            }
        }
        to.send(prefix);
        prefix.clear();
        Ok(())
    }

    /// The sender's connection ended. Fine where that ends the body.
    pub fn end(&mut self, to: &mut Leg) -> Result<(), BodyError> {
        if self.done {
            return Ok(());
        }
        self.decoder.eof()?;
        self.done = true;
        if self.chunked {
            to.send(&self.last_chunk());
        }
        Ok(())
    }

    fn last_chunk(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8);
        write_last_chunk(self.decoder.trailers(), &mut out);
        out
    }
}

/// How many pieces of data are handed on together.
const PIECES: usize = 16;

/// Some pieces of data that lie in one input.
struct Batch {
    pieces: [Range<usize>; PIECES],
    count: usize,
    used: usize,
    done: bool,
    /// What stands behind the pieces is no body.
    error: Option<BodyError>,
}

impl Batch {
    fn read(decoder: &mut Decoder, input: &[u8]) -> Self {
        let mut batch =
            Self { pieces: [const { 0..0 }; PIECES], count: 0, used: 0, done: false, error: None };
        while batch.count < PIECES && !batch.done {
            let step = match decoder.step(&input[batch.used..]) {
                Ok(step) => step,
                Err(error) => {
                    batch.error = Some(error);
                    break;
                }
            };
            if !step.data.is_empty() {
                batch.pieces[batch.count] = batch.used + step.data.start..batch.used + step.data.end;
                batch.count += 1;
            }
            batch.used += step.used;
            batch.done = step.done;
            if step.used == 0 {
                break;
            }
        }
        batch
    }

    fn pieces<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.pieces[..self.count].iter().map(|range| &input[range.clone()])
    }

    fn hand_on(&self, flow: &Flow, input: &[u8], to: &mut Leg, prefix: &mut Vec<u8>) {
        let total: usize = self.pieces[..self.count].iter().map(ExactSizeIterator::len).sum();
        let framed = flow.chunked && total > 0;
        let head = framed.then(|| ChunkHead::new(total));
        let last = if flow.chunked && self.done { flow.last_chunk() } else { Vec::new() };
        let mut parts = [IoSlice::new(&[]); PIECES + 4];
        let mut count = 0;
        let mut add = |bytes| {
            parts[count] = IoSlice::new(bytes);
            count += 1;
        };
        add(prefix.as_slice());
        if let Some(head) = &head {
            add(head.as_bytes());
        }
        self.pieces(input).for_each(&mut add);
        if framed {
            add(b"\r\n");
        }
        add(&last);
        to.send_parts(&parts[..count]);
        prefix.clear();
    }
}
