//! AWS event stream frames (sketch of the interface).

/// Splits an `application/vnd.amazon.eventstream` body into messages.
pub struct Messages {
    cap: usize,
}

impl Messages {
    /// Refuses messages longer than `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self { cap }
    }

    /// Takes the next bytes of the body; each message that they complete is given to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(&Message<'_>)) -> Result<(), StreamError> {
        let _ = (bytes, out, self.cap);
        Ok(())
    }
}

/// One message, its checksums verified.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The value of the string header `name`.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let _ = (name, self.headers);
        None
    }

    /// `:message-type`: `event`, `exception` or `error`.
    pub fn message_type(&self) -> Option<&'a str> {
        self.header(":message-type")
    }

    /// `:event-type`, such as `chunk`.
    pub fn event_type(&self) -> Option<&'a str> {
        self.header(":event-type")
    }
}

/// Why the frames cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// A message longer than the cap.
    TooLarge,
}

impl StreamError {
    /// For the record.
    pub fn as_str(self) -> &'static str {
        "message too large"
    }
}
