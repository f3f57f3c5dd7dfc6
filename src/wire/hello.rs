//! ClientHello (sketch of the interface).

/// Reads one ClientHello.
pub struct HelloReader {
    cap: usize,
}

impl HelloReader {
    /// A reader that refuses hellos longer than `cap` bytes on the wire.
    pub fn new(cap: usize) -> Self {
        Self { cap }
    }

    /// Reads on; `all` is every byte received so far.
    pub fn read(&mut self, all: &[u8]) -> Result<Option<Hello>, HelloError> {
        if all.len() > self.cap { Err(HelloError::TooLarge) } else { Ok(None) }
    }
}

/// What a ClientHello said.
#[derive(Clone, Debug)]
pub struct Hello {
    name: [u8; 255],
    name_len: u8,
    /// ALPN was offered at all.
    pub has_alpn: bool,
    /// ALPN offers `h2`.
    pub offers_h2: bool,
    /// ALPN offers `http/1.1`.
    pub offers_http11: bool,
    /// TLS 1.2 is offered.
    pub tls12: bool,
    /// TLS 1.3 is offered.
    pub tls13: bool,
    /// Encrypted ClientHello (or its GREASE) is present.
    pub ech: bool,
    /// Bytes of the hello on the wire, record headers included.
    pub wire_len: usize,
}

impl Hello {
    /// The server name.
    pub fn sni(&self) -> Option<&str> {
        if self.name_len == 0 {
            return None;
        }
        std::str::from_utf8(&self.name[..usize::from(self.name_len)]).ok()
    }
}

/// Why bytes are no acceptable ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// Longer than the cap.
    TooLarge,
}

impl HelloError {
    /// For the record.
    pub fn as_str(self) -> &'static str {
        "hello too large"
    }

    /// The TLS alert that answers it.
    pub fn alert(self) -> u8 {
        50
    }
}

/// A fatal alert as one plaintext record.
pub fn alert_record(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}
