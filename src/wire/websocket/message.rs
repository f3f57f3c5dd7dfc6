//! Messages out of frames: fragments joined, deflated ones inflated (RFC 7692 §7.2.2), bounded by a cap.

use super::frame::{Frame, Kind};
use super::{Events, WsError, WsEvent};
use crate::wire::coding::CodingError;
use crate::wire::coding::inflate::{Inflate, Inflated};

/// What a deflated message lacks at its end.
const DEFLATE_TAIL: &[u8] = &[0, 0, 0xff, 0xff];
/// A message that inflates to more than this many caps is hostile.
const HOSTILE: u64 = 64;
/// A buffer larger than this is given back after its message.
const KEPT: usize = 64 << 10;
/// Deflated bytes unmasked at a time.
const SCRATCH: usize = 4 << 10;

/// Puts messages together, one after another.
pub(super) struct Message {
    cap: usize,
    /// The message that we are in.
    current: Option<Current>,
    /// What of it is kept: all, or nothing once it is longer than the cap.
    kept: Vec<u8>,
    /// Bytes of it so far, inflated.
    length: u64,
    /// One window for all messages, whether or not the sender looks back over their borders.
    inflate: Option<Inflate>,
    /// Deflated bytes, unmasked.
    scratch: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Current {
    text: bool,
    deflated: bool,
}

impl Message {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, current: None, kept: Vec::new(), length: 0, inflate: None, scratch: Vec::new() }
    }

    /// Enters a data frame, which must begin a message or go on with one (RFC 6455 §5.4).
    pub(super) fn enter(&mut self, frame: &Frame) -> Result<(), WsError> {
        match (frame.kind, self.current) {
            (Kind::Continuation, None) => Err(WsError::NothingToContinue),
            (Kind::Continuation, Some(_)) => Ok(()),
            (_, Some(_)) => Err(WsError::Interrupted),
            (kind, None) => {
                self.current = Some(Current { text: kind == Kind::Text, deflated: frame.deflated });
                Ok(())
            }
        }
    }

    /// Takes a piece of the frame's payload, already counted off it.
    pub(super) fn take(
        &mut self,
        frame: &mut Frame,
        piece: &[u8],
        out: &mut Events<'_>,
    ) -> Result<(), WsError> {
        let Some(current) = self.current else { return Err(WsError::NothingToContinue) };
        let ends = frame.last && frame.left == 0;
        if ends && self.length == 0 && !current.deflated && frame.is_plain() && piece.len() <= self.cap {
            // The common case from servers: the message lies there whole.
            self.current = None;
            out(WsEvent::Message { text: current.text, payload: piece });
            return Ok(());
        }
        if current.deflated {
            self.take_deflated(frame, piece)?;
            if ends {
                self.inflate(DEFLATE_TAIL)?;
            }
        } else {
            self.take_plain(frame, piece);
        }
        if ends {
            self.end(current, out);
        }
        Ok(())
    }

    fn take_plain(&mut self, frame: &mut Frame, piece: &[u8]) {
        self.length += piece.len() as u64;
        if self.length <= self.cap as u64 {
            frame.append_plain(piece, &mut self.kept);
        } else {
            self.kept = Vec::new();
        }
    }

    fn take_deflated(&mut self, frame: &mut Frame, piece: &[u8]) -> Result<(), WsError> {
        if frame.is_plain() {
            return self.inflate(piece);
        }
        let mut scratch = core::mem::take(&mut self.scratch);
        for part in piece.chunks(SCRATCH) {
            scratch.clear();
            frame.append_plain(part, &mut scratch);
            self.inflate(&scratch)?;
        }
        self.scratch = scratch;
        Ok(())
    }

    fn inflate(&mut self, mut bytes: &[u8]) -> Result<(), WsError> {
        let Self { inflate, kept, length, cap, .. } = self;
        let inflate = inflate.get_or_insert_with(Inflate::bare);
        let cap = *cap as u64;
        let mut keep = |piece: &[u8]| {
            *length += piece.len() as u64;
            match *length {
                length if length <= cap => kept.extend_from_slice(piece),
                length if length > cap * HOSTILE => return Err(CodingError::Stopped),
                _ => *kept = Vec::new(),
            }
            Ok(())
        };
        // A final block may end the stream; another begins then (RFC 7692 §7.2.3.4).
        while let Inflated::End(used) = inflate.push(bytes, &mut keep).map_err(|_| WsError::Deflate)? {
            bytes = &bytes[used..];
        }
        Ok(())
    }

    fn end(&mut self, current: Current, out: &mut Events<'_>) {
        let text = current.text;
        if self.length <= self.cap as u64 {
            out(WsEvent::Message { text, payload: &self.kept });
        } else {
            out(WsEvent::Oversized { text, length: self.length });
        }
        self.current = None;
        self.length = 0;
        self.kept.clear();
        self.kept.shrink_to(KEPT);
    }
}
