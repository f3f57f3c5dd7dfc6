//! WebSocket (RFC 6455), watched: one direction's frames are followed on a copy, and its messages handed out.
//!
//! Messages come out whole, unmasked, defragmented and, where permessage-deflate (RFC 7692) was agreed on, inflated.
//! Memory is bounded by the cap on a message; longer ones are reported as such and passed over. What breaks the
//! framing rules is an error, after which the stream cannot be followed any more: whoever watches it stops, and the
//! traffic goes on. Text is not checked for UTF-8: who reads it sees.
//!
//! Parts: `frame` reads frame headers, `message` puts messages together, `handshake` has what the upgrade needs.

mod frame;
mod handshake;
mod message;

pub use handshake::{UnknownExtension, accept_key, agreed_deflate, is_key, is_version};

use frame::{Frame, HeaderReader, Kind};
use message::Message;

/// Follows one direction of a WebSocket.
pub struct Walker {
    headers: HeaderReader,
    /// The frame that we are in, once its header is whole.
    frame: Option<Frame>,
    message: Message,
    /// Payload of a control frame.
    control: Vec<u8>,
    closed: bool,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsEvent<'a> {
    /// A message ended.
    Message {
        /// It is text, not binary.
        text: bool,
        /// All of it, unmasked and inflated.
        payload: &'a [u8],
    },
    /// A message longer than the cap ended.
    Oversized {
        /// It is text, not binary.
        text: bool,
        /// Its bytes, inflated.
        length: u64,
    },
    /// The direction was closed.
    Close {
        /// The status code, where one was given.
        code: Option<u16>,
        /// The reason, as it was sent.
        reason: &'a [u8],
    },
    /// A ping.
    Ping,
    /// A pong.
    Pong,
}

/// Takes what happened.
pub type Events<'a> = dyn FnMut(WsEvent<'_>) + 'a;

impl Walker {
    /// A walker for the client's direction, whose frames are `masked`, or the server's, whose are not. `deflate`:
    /// permessage-deflate was agreed on, with whatever parameters. Messages of more than `cap` bytes are not kept.
    pub fn new(masked: bool, deflate: bool, cap: usize) -> Self {
        Self {
            headers: HeaderReader::new(masked, deflate),
            frame: None,
            message: Message::new(cap),
            control: Vec::new(),
            closed: false,
        }
    }

    /// Takes the next bytes of the stream; `out` is told what they completed before this returns.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Events<'_>) -> Result<(), WsError> {
        loop {
            if let Some(frame) = self.frame.take() {
                bytes = self.payload(frame, bytes, out)?;
                if self.frame.is_some() {
                    return Ok(());
                }
            } else if bytes.is_empty() {
                return Ok(());
            } else {
                bytes = self.header(bytes)?;
            }
        }
    }

    /// Takes what is there of a frame header.
    fn header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], WsError> {
        if self.closed {
            return Err(WsError::AfterClose);
        }
        let (frame, rest) = self.headers.read(bytes)?;
        if let Some(frame) = frame.as_ref().filter(|frame| !frame.kind.is_control()) {
            self.message.enter(frame)?;
        }
        self.frame = frame;
        Ok(rest)
    }

    /// Takes what is there of a frame's payload; puts the frame back where more is to come.
    fn payload<'a>(
        &mut self,
        mut frame: Frame,
        bytes: &'a [u8],
        out: &mut Events<'_>,
    ) -> Result<&'a [u8], WsError> {
        let (piece, rest) = frame.split(bytes);
        if frame.kind.is_control() {
            frame.append_plain(piece, &mut self.control);
            if frame.left == 0 {
                self.control(frame.kind, out)?;
            }
        } else {
            self.message.take(&mut frame, piece, out)?;
        }
        self.frame = (frame.left > 0).then_some(frame);
        Ok(rest)
    }

    /// Ends a control frame.
    fn control(&mut self, kind: Kind, out: &mut Events<'_>) -> Result<(), WsError> {
        match kind {
            Kind::Ping => out(WsEvent::Ping),
            Kind::Pong => out(WsEvent::Pong),
            _ => {
                self.closed = true;
                out(close(&self.control)?);
            }
        }
        self.control.clear();
        Ok(())
    }
}

/// Reads a close frame's payload (RFC 6455 §5.5.1).
fn close(payload: &[u8]) -> Result<WsEvent<'_>, WsError> {
    match *payload {
        [] => Ok(WsEvent::Close { code: None, reason: &[] }),
        [_] => Err(WsError::CloseLength),
        [high, low, ref reason @ ..] => {
            Ok(WsEvent::Close { code: Some(u16::from_be_bytes([high, low])), reason })
        }
    }
}

/// Why a direction cannot be followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsError {
    /// A reserved bit is set that no extension gave a meaning, or where it has none.
    ReservedBit,
    /// An opcode that is not defined.
    Opcode,
    /// A length in more bytes than it needs, or beyond 2^63.
    Length,
    /// A control frame that is fragmented or longer than 125 bytes.
    Control,
    /// A frame of the client that is not masked, or one of the server that is.
    Mask,
    /// A message began before the last one ended.
    Interrupted,
    /// A continuation without a beginning.
    NothingToContinue,
    /// A close frame with half a status code.
    CloseLength,
    /// Bytes after a close frame.
    AfterClose,
    /// A deflated message that does not inflate, or to absurd length.
    Deflate,
}

impl WsError {
    /// The reason in words, for records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReservedBit => "reserved WebSocket bit is set",
            Self::Opcode => "unknown WebSocket opcode",
            Self::Length => "malformed WebSocket length",
            Self::Control => "malformed WebSocket control frame",
            Self::Mask => "wrongly masked WebSocket frame",
            Self::Interrupted => "WebSocket message inside another",
            Self::NothingToContinue => "WebSocket continuation without a message",
            Self::CloseLength => "malformed WebSocket close frame",
            Self::AfterClose => "WebSocket bytes after close",
            Self::Deflate => "malformed deflated WebSocket message",
        }
    }
}

#[cfg(test)]
mod tests;
