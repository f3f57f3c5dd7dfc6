//! Reads answers just well enough to know where they end, and finds the moments inside event streams.

/// One answer being read.
pub struct Reply {
    head: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    /// Inside a chunk-size line: the size so far.
    Size(u64),
    /// Bytes left of a chunk and the CRLF behind it.
    Chunk(u64),
    /// Behind the last chunk: bytes of the closing CRLF still to come (no trailers are expected).
    Last(u8),
    Done,
}

impl Reply {
    /// Waits for a head.
    pub fn new() -> Self {
        Self { head: Vec::new(), state: State::Head }
    }

    /// Whether the head has been read.
    pub fn begun(&self) -> bool {
        self.state != State::Head
    }

    /// Whether the whole answer has been read.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads on; returns how many body bytes `bytes` held.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<u64, String> {
        let mut body = 0;
        while !bytes.is_empty() && self.state != State::Done {
            let (used, data) = self.step(bytes)?;
            bytes = &bytes[used..];
            body += data;
        }
        Ok(body)
    }

    /// One piece: how many bytes were used, and how many of them were body.
    fn step(&mut self, bytes: &[u8]) -> Result<(usize, u64), String> {
        Ok(match self.state {
            State::Head => (self.read_head(bytes)?, 0),
            State::Length(left) => {
                let used = left.min(bytes.len() as u64);
                self.state = if used == left { State::Done } else { State::Length(left - used) };
                (used as usize, used)
            }
            State::Size(size) => {
                self.state = match bytes[0] {
                    b'\r' => State::Size(size),
                    b'\n' if size == 0 => State::Last(2),
                    b'\n' => State::Chunk(size + 2),
                    digit => State::Size(size * 16 + hex(digit)?),
                };
                (1, 0)
            }
            State::Chunk(left) => {
                let used = left.min(bytes.len() as u64);
                self.state = if used == left { State::Size(0) } else { State::Chunk(left - used) };
                (used as usize, left.saturating_sub(2).min(used))
            }
            State::Last(left) => {
                self.state = if left == 1 { State::Done } else { State::Last(left - 1) };
                (1, 0)
            }
            State::Done => (0, 0),
        })
    }

    fn read_head(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n") else { return Ok(bytes.len()) };
        let head = String::from_utf8_lossy(&self.head[..end + 2]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(head.lines().next().unwrap_or_default().to_string());
        }
        let length = head.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.lines().next());
        self.state = match length.and_then(|text| text.trim().parse().ok()) {
            Some(0) => State::Done,
            Some(length) => State::Length(length),
            None => State::Size(0),
        };
        Ok(end + 4 - before)
    }
}

fn hex(digit: u8) -> Result<u64, String> {
    let value = char::from(digit).to_digit(16).ok_or(format!("chunk size holds {digit:#x}"))?;
    Ok(u64::from(value))
}

/// Finds `@` and 16 digits in a byte stream that is cut anywhere.
#[derive(Default)]
pub struct Moments {
    digits: u32,
    value: u64,
}

impl Moments {
    /// Calls `found` with each moment.
    pub fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(u64)) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.digits == 0 {
                let Some(at) = memchr::memchr(b'@', bytes) else { return };
                bytes = &bytes[at + 1..];
                (self.digits, self.value) = (1, 0);
                continue;
            }
            bytes = rest;
            self.value = self.value * 10 + u64::from(byte.wrapping_sub(b'0'));
            self.digits = if byte.is_ascii_digit() { self.digits + 1 } else { 0 };
            if self.digits == 17 {
                self.digits = 0;
                found(self.value);
            }
        }
    }
}
