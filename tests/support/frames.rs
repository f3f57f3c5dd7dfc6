//! WebSocket frames (RFC 6455 §5), for scripted ends: written apart from `wire`, so that a test does not read with the
//! proxy's eyes.

use std::io::{self, Read};

/// A text message, or the first piece of one.
pub const TEXT: u8 = 1;
/// The end of the conversation.
pub const CLOSE: u8 = 8;
/// A question whether the peer is there.
pub const PING: u8 = 9;
/// The answer to it.
pub const PONG: u8 = 10;

/// One frame, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The last one of its message.
    pub last: bool,
    /// Its opcode.
    pub opcode: u8,
    /// What it carries.
    pub payload: Vec<u8>,
    /// It came masked.
    pub masked: bool,
}

impl Frame {
    /// A whole text message.
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(TEXT, payload)
    }

    /// A close frame with its code.
    pub fn close(code: u16) -> Self {
        Self::new(CLOSE, code.to_be_bytes())
    }

    /// A frame that is a message by itself.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { last: true, opcode, payload: payload.into(), masked: false }
    }

    /// Reads one.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let [first, second] = array(from)?;
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(array(from)?)),
            127 => u64::from_be_bytes(array(from)?),
            short => u64::from(short),
        };
        let masked = second & 0x80 != 0;
        let key = if masked { array(from)? } else { [0; 4] };
        let mut payload = Vec::new();
        from.take(length).read_to_end(&mut payload)?;
        if payload.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        mask(&mut payload, key);
        assert_eq!(first & 0x70, 0, "a reserved bit without an extension");
        Ok(Self { last: first & 0x80 != 0, opcode: first & 0xf, payload, masked })
    }

    /// Its bytes as a server sends them.
    pub fn bytes(&self) -> Vec<u8> {
        self.head(0)
    }

    /// Its bytes as a client sends them.
    pub fn masked_bytes(&self) -> Vec<u8> {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = self.head(0x80);
        let at = bytes.len() - self.payload.len();
        mask(&mut bytes[at..], key);
        bytes.splice(at..at, key);
        bytes
    }

    /// The frame with an unmasked payload, and the mask bit as given.
    fn head(&self, mask_bit: u8) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.last) << 7 | self.opcode];
        match self.payload.len() {
            short @ ..126 => bytes.push(mask_bit | short as u8),
            medium @ 126..0x1_0000 => {
                bytes.push(mask_bit | 0x7e);
                bytes.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                bytes.push(mask_bit | 0x7f);
                bytes.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

fn mask(payload: &mut [u8], key: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
