//! AWS event streams (`application/vnd.amazon.eventstream`), as Bedrock answers: binary messages with checksums.
//!
//! ```text
//! u32 total length | u32 headers length | u32 CRC-32 of these eight | headers | payload | u32 CRC-32 of all before
//! header: u8 name length, name, u8 type, value
//! ```
//!
//! Both checksums are verified, lengths are bounded, and nothing is searched for after an error: a stream that lost
//! its framing cannot be trusted again.

use super::coding::crc::Crc32;

/// Lengths and their checksum.
const PRELUDE: usize = 12;
/// Prelude and the last checksum: the shortest message.
const OVERHEAD: usize = PRELUDE + 4;
/// Header type of UTF-8 text.
const STRING: u8 = 7;
/// A buffer larger than this is given back after its message.
const KEPT: usize = 64 << 10;

/// Splits a stream into messages.
pub struct Messages {
    cap: usize,
    /// The beginning of a message whose end has not come.
    pending: Vec<u8>,
}

/// One message, its checksums verified and its headers well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    headers: &'a [u8],
    /// The content, for Bedrock a JSON document.
    pub payload: &'a [u8],
}

/// The value of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text.
    String(&'a str),
    /// Of another type, as it stands.
    Other(u8, &'a [u8]),
}

impl Messages {
    /// A splitter that refuses messages of more than `cap` bytes, framing included.
    pub fn new(cap: usize) -> Self {
        Self { cap, pending: Vec::new() }
    }

    /// Takes the next bytes of the stream; each message that they complete is given to `out` before this returns.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(Message<'_>)) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            if self.pending.is_empty()
                && let Some(size) = self.size(bytes)?
                && let Some((message, rest)) = bytes.split_at_checked(size)
            {
                out(Message::parse(message)?);
                bytes = rest;
                continue;
            }
            let size = self.size(&self.pending)?.unwrap_or(PRELUDE);
            let (piece, rest) = bytes.split_at(bytes.len().min(size - self.pending.len()));
            self.pending.extend_from_slice(piece);
            bytes = rest;
            if self.size(&self.pending)? == Some(self.pending.len()) {
                out(Message::parse(&self.pending)?);
                self.pending.clear();
                self.pending.shrink_to(KEPT);
            }
        }
        Ok(())
    }

    /// The stream may end here: no message has begun that did not end.
    pub fn is_whole(&self) -> bool {
        self.pending.is_empty()
    }

    /// The length of the message that `bytes` begin, once its prelude is whole and has been checked.
    fn size(&self, bytes: &[u8]) -> Result<Option<usize>, StreamError> {
        let Some(prelude) = bytes.first_chunk::<PRELUDE>() else { return Ok(None) };
        let (total, headers) = (number(&prelude[..4]), number(&prelude[4..8]));
        if Crc32::of(&prelude[..8]) != number(&prelude[8..]) {
            return Err(StreamError::Checksum);
        }
        let total = total as usize;
        if total > self.cap {
            return Err(StreamError::TooLarge);
        }
        if total < OVERHEAD + headers as usize { Err(StreamError::Length) } else { Ok(Some(total)) }
    }
}

/// A big-endian number of four bytes.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

impl<'a> Message<'a> {
    /// Reads a whole message whose prelude was checked.
    fn parse(message: &'a [u8]) -> Result<Self, StreamError> {
        let (content, checksum) = message.split_at(message.len() - 4);
        if Crc32::of(content) != number(checksum) {
            return Err(StreamError::Checksum);
        }
        let (headers, payload) = content[PRELUDE..].split_at(number(&content[4..8]) as usize);
        let message = Self { headers, payload };
        let mut rest = headers;
        while !rest.is_empty() {
            (_, rest) = split_header(rest).ok_or(StreamError::Header)?;
        }
        Ok(message)
    }

    /// Headers in order: name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let mut rest = self.headers;
        core::iter::from_fn(move || {
            let (header, behind) = split_header(rest)?;
            rest = behind;
            Some(header)
        })
    }

    /// The text of the header of this name.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.headers().find_map(|(found, value)| match value {
            Value::String(text) if found == name => Some(text),
            _ => None,
        })
    }

    /// `event`, `exception` or `error`.
    pub fn message_type(&self) -> Option<&'a str> {
        self.text(":message-type")
    }

    /// What kind of event it is, such as `chunk`.
    pub fn event_type(&self) -> Option<&'a str> {
        self.text(":event-type")
    }

    /// What kind of exception it is, such as `throttlingException`.
    pub fn exception_type(&self) -> Option<&'a str> {
        self.text(":exception-type")
    }
}

/// A header's name and value.
type Header<'a> = (&'a str, Value<'a>);

/// Takes the first header off; `None` where it is malformed, or where there is none.
fn split_header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    let (&kind, rest) = rest.split_first()?;
    let (size, rest) = match kind {
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        5 | 8 => (8, rest),
        6 | STRING => {
            let (size, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*size)), rest)
        }
        9 => (16, rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(size)?;
    let value =
        if kind == STRING { Value::String(str::from_utf8(value).ok()?) } else { Value::Other(kind, value) };
    Some(((str::from_utf8(name).ok()?, value), rest))
}

/// Why a stream cannot be followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// A checksum is wrong.
    Checksum,
    /// A message of more bytes than the cap.
    TooLarge,
    /// Lengths that do not agree.
    Length,
    /// A header that runs over, is of an unknown type, or is not UTF-8 where it should be.
    Header,
}

impl StreamError {
    /// The reason in words, for records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checksum => "wrong checksum in event stream",
            Self::TooLarge => "event stream message too large",
            Self::Length => "inconsistent length in event stream",
            Self::Header => "malformed header in event stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: usize = 1000;

    fn string(name: &str, value: &str) -> Vec<u8> {
        let length = (value.len() as u16).to_be_bytes();
        [&[name.len() as u8], name.as_bytes(), &[STRING], &length, value.as_bytes()].concat()
    }

    fn seal(total: usize, headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut message = [(total as u32).to_be_bytes(), (headers.len() as u32).to_be_bytes()].concat();
        message.extend_from_slice(&Crc32::of(&message).to_be_bytes());
        message.extend_from_slice(headers);
        message.extend_from_slice(payload);
        message.extend_from_slice(&Crc32::of(&message).to_be_bytes());
        message
    }

    fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        seal(OVERHEAD + headers.len() + payload.len(), headers, payload)
    }

    fn chunk(payload: &[u8]) -> Vec<u8> {
        message(&[string(":event-type", "chunk"), string(":message-type", "event")].concat(), payload)
    }

    type Seen = Vec<(String, Vec<u8>)>;

    /// Event types and payloads, the stream given in pieces of `size` bytes.
    fn split(stream: &[u8], size: usize) -> (Seen, Result<bool, StreamError>) {
        let mut messages = Messages::new(CAP);
        let mut seen = Vec::new();
        let result = stream.chunks(size).try_for_each(|piece| {
            messages.push(piece, &mut |message| {
                seen.push((message.event_type().unwrap_or("none").to_owned(), message.payload.to_vec()));
            })
        });
        (seen, result.map(|()| messages.is_whole()))
    }

    fn refusal(stream: &[u8]) -> Option<StreamError> {
        let refusal = split(stream, 1000).1.err();
        assert_eq!(refusal, split(stream, 1).1.err());
        refusal
    }

    #[test]
    fn the_empty_message_of_the_sdk_tests() {
        let empty = b"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb\x7d\x98\xc8\xff";
        assert_eq!(split(empty, 5), (vec![("none".into(), vec![])], Ok(true)));
    }

    #[test]
    fn messages_are_split_and_their_headers_read() {
        let mut messages = Messages::new(CAP);
        let headers = [
            string(":message-type", "exception"),
            string(":exception-type", "throttlingException"),
            b"\x01a\x04\0\0\0\x07".to_vec(),
        ];
        let mut seen = 0;
        let result = messages.push(&message(&headers.concat(), b"{}"), &mut |message| {
            seen += 1;
            assert_eq!(message.message_type(), Some("exception"));
            assert_eq!((message.exception_type(), message.event_type()), (Some("throttlingException"), None));
            assert_eq!(message.headers().last(), Some(("a", Value::Other(4, &[0, 0, 0, 7]))));
            assert_eq!(message.payload, b"{}");
        });
        assert_eq!((result, seen), (Ok(()), 1));
    }

    #[test]
    fn a_cut_message_is_not_whole() {
        let stream = [chunk(b"one"), chunk(b"two")].concat();
        let (seen, whole) = split(&stream[..stream.len() - 1], 10);
        assert_eq!((seen.len(), whole), (1, Ok(false)));
    }

    #[test]
    fn damage_ends_the_stream() {
        let good = chunk(b"payload");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(refusal(&bad), Some(StreamError::Checksum), "byte {at}");
        }
        assert_eq!(refusal(&seal(OVERHEAD - 1, b"", b"")), Some(StreamError::Length));
        assert_eq!(refusal(&seal(OVERHEAD + 2, b"abc", b"")), Some(StreamError::Length));
        for headers in [
            &b"\x05a"[..],
            b"\x01a",
            b"\x01a\x0a",
            b"\x01a\x07\0\x02a",
            b"\x01a\x07\0\x01\xff",
            b"\x01\xff\0",
        ] {
            assert_eq!(
                refusal(&message(headers, b"")),
                Some(StreamError::Header),
                "{}",
                headers.escape_ascii()
            );
        }
    }

    #[test]
    fn p24_long_messages_are_refused_at_their_prelude() {
        let long = chunk(&[0; CAP]);
        assert_eq!(refusal(&long[..PRELUDE]), Some(StreamError::TooLarge));
        assert_eq!(split(&message(b"", &[0; CAP - OVERHEAD]), 1).1, Ok(true));
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(payloads: Vec<Vec<u8>>, size in 1usize..60) {
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| chunk(payload)).collect();
            let (seen, whole) = split(&stream, size);
            prop_assert_eq!(whole, Ok(true));
            prop_assert_eq!(seen.into_iter().map(|(_, payload)| payload).collect::<Vec<_>>(), payloads);
        }

        #[test]
        fn p3_no_bytes_panic(headers: Vec<u8>, stream: Vec<u8>) {
            let _ = split(&message(&headers, b""), 7);
            let _ = split(&stream, 7);
        }
    }
}
