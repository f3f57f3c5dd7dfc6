//! The ClientHello message, field by field, out of pieces of any size.
//!
//! The message is a sequence of items: numbers of one to three bytes, and runs of bytes that are looked at or passed
//! over. Each item is entered only if it fits into what encloses it, so every length is checked as soon as it is read.

use super::{Hello, HelloError, name};

/// Handshake message type (RFC 8446 §4).
const CLIENT_HELLO: usize = 1;
const MAX_SESSION_ID: usize = 32;

mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const SUPPORTED_GROUPS: u16 = 10;
    pub(super) const EC_POINT_FORMATS: u16 = 11;
    pub(super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(super) const ALPN: u16 = 16;
    pub(super) const COMPRESS_CERTIFICATE: u16 = 27;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(super) const PSK_MODES: u16 = 45;
    pub(super) const SIGNATURE_ALGORITHMS_CERT: u16 = 50;
    pub(super) const KEY_SHARE: u16 = 51;
    pub(super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
    pub(super) const RENEGOTIATION_INFO: u16 = 0xff01;
}

/// A reader of one ClientHello message.
#[derive(Debug)]
pub(super) struct Message {
    item: Item,
    /// Bytes of the item that are still to come.
    left: usize,
    /// The number being read.
    value: usize,
    /// Bytes of the message taken so far.
    at: usize,
    /// Where the message ends; until its length is known, the longest that it may be.
    end: usize,
    /// Where the extension ends.
    extension_end: usize,
    seen: Seen,
    protocol: Protocol,
    legacy_tls12: bool,
    has_versions: bool,
    null_compression: bool,
    facts: Hello,
}

/// What the next bytes are, in the order of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Kind,
    Length,
    Version,
    Random,
    SessionLength,
    Session,
    SuitesLength,
    Suites,
    MethodsLength,
    Methods,
    ExtensionsLength,
    ExtensionType,
    ExtensionLength(u16),
    /// Length of the one vector that fills an extension.
    VectorLength,
    /// Content that nobody here asks about.
    Opaque,
    NamesLength,
    NameType,
    NameLength,
    Name,
    ProtocolsLength,
    ProtocolLength,
    Protocol,
    VersionsLength,
    OfferedVersion,
    Whole,
}

impl Message {
    /// A reader that refuses messages that cannot fit into `cap` bytes.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            item: Item::Kind,
            left: 1,
            value: 0,
            at: 0,
            end: cap,
            extension_end: 0,
            seen: Seen::new(),
            protocol: Protocol::default(),
            legacy_tls12: false,
            has_versions: false,
            null_compression: false,
            facts: Hello::EMPTY,
        }
    }

    /// The facts, once the message is whole.
    pub(super) fn whole(&self) -> Option<&Hello> {
        (self.item == Item::Whole).then_some(&self.facts)
    }

    /// Takes bytes up to the message's end; says how many.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize, HelloError> {
        let mut used = 0;
        while used < bytes.len() && self.item != Item::Whole {
            let piece = &bytes[used..bytes.len().min(used + self.left)];
            self.take(piece);
            used += piece.len();
            self.at += piece.len();
            self.left -= piece.len();
            while self.left == 0 && self.item != Item::Whole {
                self.advance()?;
            }
        }
        Ok(used)
    }

    /// Takes a piece of the current item.
    fn take(&mut self, piece: &[u8]) {
        match self.item {
            Item::Random | Item::Session | Item::Suites | Item::Opaque | Item::Whole => {}
            Item::Methods => self.null_compression |= piece.contains(&0),
            Item::Protocol => self.protocol.take(piece),
            Item::Name => {
                let start = usize::from(self.facts.name_len);
                self.facts.name[start..start + piece.len()].copy_from_slice(piece);
                self.facts.name_len += piece.len() as u8;
            }
            _ => self.value = piece.iter().fold(self.value, |value, &byte| value << 8 | usize::from(byte)),
        }
    }

    /// Ends the current item and enters the next.
    fn advance(&mut self) -> Result<(), HelloError> {
        let value = core::mem::take(&mut self.value);
        match self.item {
            Item::Kind if value == CLIENT_HELLO => self.enter(Item::Length, 3),
            Item::Kind => Err(HelloError::NotClientHello),
            Item::Length => self.start(value),
            Item::Version => self.version(value),
            Item::Random => self.enter(Item::SessionLength, 1),
            Item::SessionLength if value > MAX_SESSION_ID => Err(HelloError::BadLength),
            Item::SessionLength => self.enter(Item::Session, value),
            Item::Session => self.enter(Item::SuitesLength, 2),
            Item::SuitesLength if value == 0 || value % 2 == 1 => Err(HelloError::BadLength),
            Item::SuitesLength => self.enter(Item::Suites, value),
            Item::Suites => self.enter(Item::MethodsLength, 1),
            Item::MethodsLength if value == 0 => Err(HelloError::BadLength),
            Item::MethodsLength => self.enter(Item::Methods, value),
            Item::Methods if !self.null_compression => Err(HelloError::NoNullCompression),
            Item::Methods if self.at == self.end => self.finish(),
            Item::Methods => self.enter(Item::ExtensionsLength, 2),
            Item::ExtensionsLength if self.at + value != self.end => Err(HelloError::BadLength),
            Item::ExtensionsLength | Item::Opaque => self.next_extension(),
            Item::ExtensionType => self.enter(Item::ExtensionLength(value as u16), 2),
            Item::ExtensionLength(kind) => self.extension(kind, value),
            inside => self.advance_inside(inside, value),
        }
    }

    /// The same inside the extensions that are read.
    fn advance_inside(&mut self, item: Item, value: usize) -> Result<(), HelloError> {
        match item {
            Item::NamesLength | Item::ProtocolsLength | Item::VersionsLength => self.list(item, value),
            Item::VectorLength if self.at + value != self.extension_end => Err(HelloError::BadLength),
            Item::VectorLength => self.enter_inside(Item::Opaque, value),
            Item::NameType if value != 0 => Err(HelloError::NameType),
            Item::NameType if self.facts.name_len != 0 => Err(HelloError::TwoNames),
            Item::NameType => self.enter_inside(Item::NameLength, 2),
            Item::NameLength if value == 0 => Err(HelloError::EmptyName),
            Item::NameLength if value > name::MAX => Err(HelloError::LongName),
            Item::NameLength => self.enter_inside(Item::Name, value),
            Item::Name => self.next_in_list(Item::NameType, 1),
            Item::ProtocolLength if value == 0 => Err(HelloError::BadLength),
            Item::ProtocolLength => self.enter_inside(Item::Protocol, value),
            Item::Protocol => {
                self.facts.offers_h2 |= self.protocol.is(b"h2");
                self.facts.offers_http11 |= self.protocol.is(b"http/1.1");
                self.protocol = Protocol::default();
                self.next_in_list(Item::ProtocolLength, 1)
            }
            _ => {
                self.facts.tls12 |= value == 0x0303;
                self.facts.tls13 |= value == 0x0304;
                self.next_in_list(Item::OfferedVersion, 2)
            }
        }
    }

    /// Enters an item of `size` bytes, which must fit into the message.
    fn enter(&mut self, item: Item, size: usize) -> Result<(), HelloError> {
        self.enter_within(item, size, self.end)
    }

    /// Enters an item that must fit into the extension.
    fn enter_inside(&mut self, item: Item, size: usize) -> Result<(), HelloError> {
        self.enter_within(item, size, self.extension_end)
    }

    fn enter_within(&mut self, item: Item, size: usize, end: usize) -> Result<(), HelloError> {
        if self.at + size > end {
            return Err(HelloError::BadLength);
        }
        self.item = item;
        self.left = size;
        Ok(())
    }

    fn start(&mut self, length: usize) -> Result<(), HelloError> {
        if self.at + length > self.end {
            return Err(HelloError::TooLarge);
        }
        self.end = self.at + length;
        self.enter(Item::Version, 2)
    }

    fn version(&mut self, version: usize) -> Result<(), HelloError> {
        if version >> 8 != 3 {
            return Err(HelloError::ProtocolVersion);
        }
        self.legacy_tls12 = version >= 0x0303;
        self.enter(Item::Random, 32)
    }

    fn next_extension(&mut self) -> Result<(), HelloError> {
        if self.at == self.end { self.finish() } else { self.enter(Item::ExtensionType, 2) }
    }

    fn extension(&mut self, kind: u16, length: usize) -> Result<(), HelloError> {
        self.seen.insert(kind)?;
        self.enter(Item::Opaque, length)?;
        self.extension_end = self.at + length;
        self.facts.ech |= kind == extension::ENCRYPTED_CLIENT_HELLO;
        match kind {
            extension::SERVER_NAME => self.enter_inside(Item::NamesLength, 2),
            extension::ALPN => self.enter_inside(Item::ProtocolsLength, 2),
            extension::SUPPORTED_VERSIONS => self.enter_inside(Item::VersionsLength, 1),
            extension::SUPPORTED_GROUPS
            | extension::SIGNATURE_ALGORITHMS
            | extension::SIGNATURE_ALGORITHMS_CERT
            | extension::KEY_SHARE => self.enter_inside(Item::VectorLength, 2),
            extension::EC_POINT_FORMATS
            | extension::COMPRESS_CERTIFICATE
            | extension::PSK_MODES
            | extension::RENEGOTIATION_INFO => self.enter_inside(Item::VectorLength, 1),
            _ => Ok(()),
        }
    }

    /// Enters a list, which must fill its extension and must not be empty.
    fn list(&mut self, item: Item, length: usize) -> Result<(), HelloError> {
        if length == 0 || self.at + length != self.extension_end {
            return Err(HelloError::BadLength);
        }
        match item {
            Item::NamesLength => self.enter_inside(Item::NameType, 1),
            Item::ProtocolsLength => {
                self.facts.has_alpn = true;
                self.enter_inside(Item::ProtocolLength, 1)
            }
            _ => {
                self.has_versions = true;
                self.enter_inside(Item::OfferedVersion, 2)
            }
        }
    }

    fn next_in_list(&mut self, item: Item, size: usize) -> Result<(), HelloError> {
        if self.at == self.extension_end { self.end_of_list(item) } else { self.enter_inside(item, size) }
    }

    fn end_of_list(&mut self, item: Item) -> Result<(), HelloError> {
        if item == Item::NameType {
            match name::judge(&self.facts.name[..usize::from(self.facts.name_len)])? {
                name::Name::Host => {}
                name::Name::Address => self.facts.name_len = 0,
            }
        }
        self.next_extension()
    }

    fn finish(&mut self) -> Result<(), HelloError> {
        self.facts.tls12 |= self.legacy_tls12 && !self.has_versions;
        if !self.facts.tls12 && !self.facts.tls13 {
            return Err(HelloError::ProtocolVersion);
        }
        self.item = Item::Whole;
        Ok(())
    }
}

/// The start of an ALPN protocol's name: enough to tell the two that matter from all others.
#[derive(Debug, Default)]
struct Protocol {
    start: [u8; 8],
    len: usize,
}

impl Protocol {
    fn take(&mut self, piece: &[u8]) {
        for (slot, &byte) in self.start.iter_mut().skip(self.len).zip(piece) {
            *slot = byte;
        }
        self.len += piece.len();
    }

    fn is(&self, name: &[u8]) -> bool {
        self.len == name.len() && self.start[..self.len] == *name
    }
}

/// Extension types seen so far: a bit for each of the assigned low numbers, a short list for GREASE and the like.
#[derive(Debug)]
struct Seen {
    low: u128,
    high: [u16; Self::HIGH],
    high_len: usize,
}

impl Seen {
    /// Real hellos have up to six types above 127.
    const HIGH: usize = 64;

    fn new() -> Self {
        Self { low: 0, high: [0; Self::HIGH], high_len: 0 }
    }

    fn insert(&mut self, kind: u16) -> Result<(), HelloError> {
        let duplicate = if kind < 128 {
            let bit = 1 << kind;
            let before = self.low;
            self.low |= bit;
            before & bit != 0
        } else {
            self.high[..self.high_len].contains(&kind)
        };
        if duplicate {
            return Err(HelloError::DuplicateExtension);
        }
        if kind >= 128 {
            *self.high.get_mut(self.high_len).ok_or(HelloError::TooManyExtensions)? = kind;
            self.high_len += 1;
        }
        Ok(())
    }
}
