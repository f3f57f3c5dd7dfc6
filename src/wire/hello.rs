//! The TLS ClientHello, read before any TLS stack sees it: who is asked for, by which protocols and versions.
//!
//! RFC 8446 §4.1.2 and §5.1, RFC 5246 §7.4.1.2, RFC 6066 §3, RFC 7301. The bytes may be cut anywhere and spread over
//! any number of records; nothing is allocated, and each byte is looked at once. This file strips the record layer,
//! `message` reads the handshake message field by field, `name` says what a server name may look like.
//!
//! Refuses, as early as the bytes allow: other protocols, broken or inconsistent lengths, repeated extensions or
//! names, names that no host has, and clients that offer nothing newer than TLS 1.1. Decides nothing else: cipher
//! suites, groups and signatures are the TLS stack's business.

mod message;
mod name;

use message::Message;

/// Longest plaintext record (RFC 8446 §5.1).
const MAX_RECORD: usize = 1 << 14;
/// Content type of handshake records.
const HANDSHAKE: u8 = 22;

/// Reads one ClientHello.
#[derive(Debug)]
pub struct HelloReader {
    cap: usize,
    at: usize,
    record: Record,
    message: Message,
}

/// Where the record layer stands.
#[derive(Clone, Copy, Debug)]
enum Record {
    /// Inside a header: how many of its five bytes were seen, and the length so far.
    Header { seen: u8, length: usize },
    /// Inside a fragment: bytes left of it.
    Fragment { left: usize },
}

impl Record {
    const START: Self = Self::Header { seen: 0, length: 0 };
}

impl HelloReader {
    /// A reader that refuses hellos of more than `cap` bytes on the wire, record headers included.
    pub fn new(cap: usize) -> Self {
        Self { cap, at: 0, record: Record::START, message: Message::new(cap) }
    }

    /// Reads on. `all` is every byte received so far, from the first; reading resumes where it stopped.
    ///
    /// `None` asks for more bytes. Bytes behind the hello's last record are left alone (early data, RFC 8446 §4.2.10).
    pub fn read(&mut self, all: &[u8]) -> Result<Option<Hello>, HelloError> {
        let end = all.len().min(self.cap);
        while self.at < end {
            self.at += match self.record {
                Record::Header { seen, length } => self.header(seen, length, all[self.at])?,
                Record::Fragment { left } => self.fragment(left, &all[self.at..end])?,
            };
            if let Some(hello) = self.message.whole() {
                return match self.record {
                    Record::Header { .. } => Ok(Some(Hello { wire_len: self.at, ..hello.clone() })),
                    Record::Fragment { .. } => Err(HelloError::TrailingBytes),
                };
            }
        }
        if end == self.cap { Err(HelloError::TooLarge) } else { Ok(None) }
    }

    /// Takes one byte of a record header.
    fn header(&mut self, seen: u8, length: usize, byte: u8) -> Result<usize, HelloError> {
        let length = match seen {
            0 if byte == HANDSHAKE => 0,
            0 if self.at == 0 => return Err(not_tls(byte)),
            0 => return Err(HelloError::NotHandshake),
            1 if byte != 3 => return Err(HelloError::RecordVersion),
            1 | 2 => 0,
            _ => length << 8 | usize::from(byte),
        };
        self.record = match (seen, length) {
            (4, 0) => return Err(HelloError::EmptyRecord),
            (4, 1..=MAX_RECORD) => Record::Fragment { left: length },
            (4, _) => return Err(HelloError::RecordTooLong),
            _ => Record::Header { seen: seen + 1, length },
        };
        Ok(1)
    }

    /// Takes what is there of a fragment with `left` bytes to come.
    fn fragment(&mut self, left: usize, bytes: &[u8]) -> Result<usize, HelloError> {
        let used = self.message.feed(&bytes[..bytes.len().min(left)])?;
        self.record = if used == left { Record::START } else { Record::Fragment { left: left - used } };
        Ok(used)
    }
}

/// A hello of SSL 2 starts with its length and the top bit set; the rest is no TLS at all.
fn not_tls(first: u8) -> HelloError {
    if first & 0x80 == 0 { HelloError::NotTls } else { HelloError::ProtocolVersion }
}

/// What a ClientHello said.
#[derive(Clone, Debug)]
pub struct Hello {
    name: [u8; name::MAX],
    name_len: u8,
    /// ALPN was offered at all.
    pub has_alpn: bool,
    /// ALPN offers `h2`.
    pub offers_h2: bool,
    /// ALPN offers `http/1.1`.
    pub offers_http11: bool,
    /// TLS 1.2 is offered, by `supported_versions` where that is present, else by `legacy_version`.
    pub tls12: bool,
    /// TLS 1.3 is offered.
    pub tls13: bool,
    /// An encrypted hello (or its GREASE) is present: the name that is seen may be the outer one.
    pub ech: bool,
    /// Bytes of the hello on the wire, record headers included.
    pub wire_len: usize,
}

impl Hello {
    const EMPTY: Self = Self {
        name: [0; name::MAX],
        name_len: 0,
        has_alpn: false,
        offers_h2: false,
        offers_http11: false,
        tls12: false,
        tls13: false,
        ech: false,
        wire_len: 0,
    };

    /// The server name as it was sent: letters in their case, a trailing dot kept.
    ///
    /// `None` also for an IP literal: RFC 6066 §3 forbids it, clients send it all the same, and it names nobody that
    /// the connection's own destination does not name better.
    pub fn sni(&self) -> Option<&str> {
        let name = &self.name[..usize::from(self.name_len)];
        if name.is_empty() { None } else { str::from_utf8(name).ok() }
    }
}

/// Why bytes are no ClientHello that Tollgate serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// The first byte belongs to no TLS record.
    NotTls,
    /// A record of another content type came before the hello was whole.
    NotHandshake,
    /// A record whose major version is not 3.
    RecordVersion,
    /// A record without content.
    EmptyRecord,
    /// A record of more than 2^14 bytes.
    RecordTooLong,
    /// A handshake message other than ClientHello.
    NotClientHello,
    /// More bytes than the cap.
    TooLarge,
    /// A length that runs past what encloses it, falls short of it, or is not allowed where it stands.
    BadLength,
    /// Bytes behind the hello in its last record.
    TrailingBytes,
    /// No compression method 0.
    NoNullCompression,
    /// An extension that came before.
    DuplicateExtension,
    /// More extensions of high number than any client sends.
    TooManyExtensions,
    /// Two server names.
    TwoNames,
    /// A server name of a type that is not defined.
    NameType,
    /// A server name without a byte.
    EmptyName,
    /// A server name of more than 253 characters, or a label of more than 63.
    LongName,
    /// A server name that no host has.
    IllegalName,
    /// Nothing from TLS 1.2 on is offered.
    ProtocolVersion,
}

impl HelloError {
    /// The reason in words, for records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotTls => "not TLS",
            Self::NotHandshake => "not a handshake record",
            Self::RecordVersion => "record version is not 3.x",
            Self::EmptyRecord => "empty record",
            Self::RecordTooLong => "record longer than 2^14",
            Self::NotClientHello => "not a ClientHello",
            Self::TooLarge => "ClientHello too large",
            Self::BadLength => "inconsistent length in ClientHello",
            Self::TrailingBytes => "bytes after ClientHello",
            Self::NoNullCompression => "null compression not offered",
            Self::DuplicateExtension => "duplicate extension",
            Self::TooManyExtensions => "too many extensions",
            Self::TwoNames => "two server names",
            Self::NameType => "unknown server name type",
            Self::EmptyName => "empty server name",
            Self::LongName => "server name too long",
            Self::IllegalName => "illegal server name",
            Self::ProtocolVersion => "TLS 1.2 or later not offered",
        }
    }

    /// The TLS alert description that answers it (RFC 8446 §6.2).
    pub fn alert(self) -> u8 {
        match self {
            Self::NotTls
            | Self::NotHandshake
            | Self::NotClientHello
            | Self::EmptyRecord
            | Self::TrailingBytes => UNEXPECTED_MESSAGE,
            Self::RecordTooLong => RECORD_OVERFLOW,
            Self::RecordVersion | Self::ProtocolVersion => PROTOCOL_VERSION,
            Self::NoNullCompression | Self::DuplicateExtension | Self::TwoNames => ILLEGAL_PARAMETER,
            Self::LongName | Self::IllegalName => UNRECOGNIZED_NAME,
            Self::TooLarge | Self::BadLength | Self::TooManyExtensions | Self::NameType | Self::EmptyName => {
                DECODE_ERROR
            }
        }
    }
}

const UNEXPECTED_MESSAGE: u8 = 10;
const RECORD_OVERFLOW: u8 = 22;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const PROTOCOL_VERSION: u8 = 70;
const UNRECOGNIZED_NAME: u8 = 112;

/// A fatal alert as one plaintext record.
pub fn alert_record(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

#[cfg(test)]
mod tests;
