//! WebSocket frames (sketch of the interface).

/// Walks one direction of a WebSocket.
#[derive(Debug)]
pub struct Walker {
    cap: usize,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsEvent<'a> {
    /// A whole message.
    Message {
        /// Text, not binary.
        text: bool,
        /// Unmasked, inflated.
        payload: &'a [u8],
    },
    /// A message longer than the cap ended; its payload was not kept.
    Oversized {
        /// Text, not binary.
        text: bool,
    },
    /// A close frame.
    Close {
        /// Its status code, where it had one.
        code: Option<u16>,
        /// Its reason.
        reason: &'a [u8],
    },
    /// A ping.
    Ping,
    /// A pong.
    Pong,
}

impl Walker {
    /// `masked`: frames of this direction come from the client. `deflate`: permessage-deflate was agreed on.
    /// Messages longer than `cap` are reported, not kept.
    pub fn new(masked: bool, deflate: Option<Deflate>, cap: usize) -> Self {
        let _ = (masked, deflate);
        Self { cap }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(WsEvent<'_>)) -> Result<(), WsError> {
        let _ = (bytes, out, self.cap);
        Ok(())
    }
}

/// What permessage-deflate (RFC 7692) agreed on for one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The sender starts each message with an empty window.
    pub no_context_takeover: bool,
}

/// Why the frames cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsError {
    /// An opcode that RFC 6455 reserves.
    Opcode,
}

impl WsError {
    /// For the record.
    pub fn as_str(self) -> &'static str {
        "reserved opcode"
    }
}

/// The `Sec-WebSocket-Accept` value that answers `key` (RFC 6455 §4.2.2).
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let _ = key;
    [0; 28]
}

/// Is this a valid `Sec-WebSocket-Key`: the base64 of 16 bytes?
pub fn is_key(key: &[u8]) -> bool {
    key.len() == 24
}

/// Is this the one `Sec-WebSocket-Version` that exists: 13?
pub fn is_version(value: &[u8]) -> bool {
    value == b"13"
}
