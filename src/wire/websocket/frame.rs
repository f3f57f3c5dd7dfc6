//! Frame headers (RFC 6455 §5.2).

use super::WsError;

/// Longest header: two bytes, an extended length of eight, a mask of four.
const MAX_HEADER: usize = 14;
/// Longest payload of a control frame.
const MAX_CONTROL: u64 = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    fn new(opcode: u8) -> Result<Self, WsError> {
        match opcode {
            0 => Ok(Self::Continuation),
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            _ => Err(WsError::Opcode),
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame whose header is whole.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// It ends its message.
    pub(super) last: bool,
    /// It begins a deflated message.
    pub(super) deflated: bool,
    /// Payload bytes that are still to come.
    pub(super) left: u64,
    /// The key, turned so that its first byte is for the next payload byte; zeros where there is none.
    key: [u8; 4],
}

impl Frame {
    /// No key, or one that changes nothing.
    pub(super) fn is_plain(&self) -> bool {
        self.key == [0; 4]
    }

    /// Takes what belongs to the payload off the front of `bytes`.
    pub(super) fn split<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let (piece, rest) = bytes.split_at((bytes.len() as u64).min(self.left) as usize);
        self.left -= piece.len() as u64;
        (piece, rest)
    }

    /// Appends the next `piece` of payload, unmasked (§5.3).
    pub(super) fn append_plain(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(piece);
        if self.is_plain() {
            return;
        }
        let [a, b, c, d] = self.key;
        let (words, rest) = out[start..].as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes([a, b, c, d, a, b, c, d])).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= key;
        }
        self.key.rotate_left(piece.len() % 4);
    }
}

/// Reads headers out of pieces.
pub(super) struct HeaderReader {
    masked: bool,
    deflate: bool,
    bytes: [u8; MAX_HEADER],
    len: usize,
}

impl HeaderReader {
    pub(super) fn new(masked: bool, deflate: bool) -> Self {
        Self { masked, deflate, bytes: [0; MAX_HEADER], len: 0 }
    }

    /// Takes bytes of one header; gives the frame once it is whole, and the bytes behind.
    pub(super) fn read<'a>(&mut self, mut bytes: &'a [u8]) -> Result<(Option<Frame>, &'a [u8]), WsError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            self.bytes[self.len] = byte;
            self.len += 1;
            match self.len {
                1 => self.check_first(byte)?,
                2 => self.check_second(byte)?,
                _ => {}
            }
            if self.len >= 2 && self.len == self.size() {
                self.len = 0;
                return Ok((Some(self.frame()?), bytes));
            }
        }
        Ok((None, bytes))
    }

    /// Final bit, reserved bits, opcode.
    fn check_first(&self, byte: u8) -> Result<(), WsError> {
        let kind = Kind::new(byte & 0xf)?;
        let may_deflate = self.deflate && matches!(kind, Kind::Text | Kind::Binary);
        if byte & 0x30 != 0 || byte & 0x40 != 0 && !may_deflate {
            return Err(WsError::ReservedBit);
        }
        if kind.is_control() && byte & 0x80 == 0 { Err(WsError::Control) } else { Ok(()) }
    }

    /// Mask bit, length.
    fn check_second(&self, byte: u8) -> Result<(), WsError> {
        if (byte & 0x80 != 0) != self.masked {
            return Err(WsError::Mask);
        }
        let control = self.bytes[0] & 0x8 != 0;
        if control && u64::from(byte & 0x7f) > MAX_CONTROL { Err(WsError::Control) } else { Ok(()) }
    }

    /// Bytes of the extended length.
    fn extension(&self) -> usize {
        match self.bytes[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn size(&self) -> usize {
        2 + self.extension() + if self.masked { 4 } else { 0 }
    }

    fn frame(&self) -> Result<Frame, WsError> {
        let (extended, key) = self.bytes[2..].split_at(self.extension());
        let value = extended.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let left = match extended.len() {
            0 => u64::from(self.bytes[1] & 0x7f),
            2 if value >= 126 => value,
            8 if value > 0xffff && value >> 63 == 0 => value,
            _ => return Err(WsError::Length),
        };
        let key = if self.masked { [key[0], key[1], key[2], key[3]] } else { [0; 4] };
        let first = self.bytes[0];
        Ok(Frame {
            kind: Kind::new(first & 0xf)?,
            last: first & 0x80 != 0,
            deflated: first & 0x40 != 0,
            left,
            key,
        })
    }
}
