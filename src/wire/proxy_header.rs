//! The PROXY protocol, version 2, both ways: what a load balancer or our own relay says about a connection it carries.
//!
//! Source: haproxy's `doc/proxy-protocol.txt` §2.2. Refuses version 1 (text), unknown commands, families and
//! transports, headers of more than [`MAX`] bytes, values that run over, repeated values and wrong checksums.
//! Values of unknown type are passed over. Local sockets (`AF_UNIX`) and unknown families are accepted without
//! addresses, and so is a LOCAL header, which speaks of nobody.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::coding::crc::Crc32c;

/// Longest header, signature included.
pub const MAX: usize = 4096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// TLV: the name that the client asked for (`PP2_TYPE_AUTHORITY`).
const TLV_AUTHORITY: u8 = 0x02;
/// TLV: CRC-32C of the header with this value as zeros (`PP2_TYPE_CRC32C`).
const TLV_CHECKSUM: u8 = 0x03;
/// TLV, ours: name of the process that owns the connection, as the kernel's `comm` has it
/// (`PP2_TYPE_MIN_CUSTOM`).
pub const TLV_PROCESS_NAME: u8 = 0xe0;
/// TLV, ours: its process id, four bytes.
pub const TLV_PROCESS_ID: u8 = 0xe1;
/// TLV, ours: its user id, four bytes.
pub const TLV_USER_ID: u8 = 0xe2;

/// Whom a header speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// The sender itself, as in a health check: the connection's own addresses are the true ones.
    Local,
    /// A client whose connection the sender carries.
    #[default]
    Proxy,
}

/// One header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Whom it speaks of.
    pub command: Command,
    /// The client's address and port.
    pub source: Option<(IpAddr, u16)>,
    /// The address and port that the client connected to.
    pub destination: Option<(IpAddr, u16)>,
    /// The name that the client asked for.
    pub authority: Option<String>,
    /// Name of the client's process.
    pub process_name: Option<String>,
    /// Its process id.
    pub process_id: Option<u32>,
    /// Its user id.
    pub user_id: Option<u32>,
}

/// Parses the header at the start of `bytes`; says with it how many bytes it took. `None` asks for more bytes.
pub fn parse(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    if bytes.iter().zip(SIGNATURE).any(|(byte, expected)| byte != expected) {
        return Err(if bytes.starts_with(b"PROXY") { ProxyError::VersionOne } else { ProxyError::NotProxy });
    }
    let command = bytes.get(12).copied().map(command).transpose()?;
    let family = bytes.get(13).copied().map(Family::new).transpose()?;
    let (Some(command), Some(family), Some(length)) = (command, family, bytes.get(14..FIXED)) else {
        return Ok(None);
    };
    let end = FIXED + usize::from(u16::from_be_bytes([length[0], length[1]]));
    if end > MAX {
        return Err(ProxyError::TooLarge);
    }
    let Some(header) = bytes.get(..end) else { return Ok(None) };
    Ok(Some((content(command, family, header)?, end)))
}

fn command(byte: u8) -> Result<Command, ProxyError> {
    match byte {
        0x20 => Ok(Command::Local),
        0x21 => Ok(Command::Proxy),
        0x22..=0x2f => Err(ProxyError::Command),
        _ => Err(ProxyError::Version),
    }
}

/// Address family; the transport makes no difference here.
#[derive(Clone, Copy, Debug)]
enum Family {
    Unspecified,
    V4,
    V6,
    Unix,
}

impl Family {
    fn new(byte: u8) -> Result<Self, ProxyError> {
        match (byte >> 4, byte & 0xf) {
            (0, 0..=2) => Ok(Self::Unspecified),
            (1, 0..=2) => Ok(Self::V4),
            (2, 0..=2) => Ok(Self::V6),
            (3, 0..=2) => Ok(Self::Unix),
            _ => Err(ProxyError::Family),
        }
    }
}

/// Reads a whole header behind its fixed part.
fn content(command: Command, family: Family, header: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let mut content = ProxyHeader { command, ..ProxyHeader::default() };
    if command == Command::Local {
        return Ok(content);
    }
    let block = &header[FIXED..];
    let values = match family {
        Family::Unspecified => block,
        Family::Unix => block.get(216..).ok_or(ProxyError::Truncated)?,
        Family::V4 => {
            let (addresses, rest) = block.split_first_chunk::<12>().ok_or(ProxyError::Truncated)?;
            content.source = Some((v4(addresses, 0), port(addresses, 8)));
            content.destination = Some((v4(addresses, 4), port(addresses, 10)));
            rest
        }
        Family::V6 => {
            let (addresses, rest) = block.split_first_chunk::<36>().ok_or(ProxyError::Truncated)?;
            content.source = Some((v6(addresses, 0), port(addresses, 32)));
            content.destination = Some((v6(addresses, 16), port(addresses, 34)));
            rest
        }
    };
    content.values(values, header)?;
    Ok(content)
}

fn v4(block: &[u8; 12], at: usize) -> IpAddr {
    Ipv4Addr::from(core::array::from_fn::<u8, 4, _>(|n| block[at + n])).into()
}

fn v6(block: &[u8; 36], at: usize) -> IpAddr {
    Ipv6Addr::from(core::array::from_fn::<u8, 16, _>(|n| block[at + n])).into()
}

fn port(block: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([block[at], block[at + 1]])
}

impl ProxyHeader {
    fn values(&mut self, mut rest: &[u8], header: &[u8]) -> Result<(), ProxyError> {
        while let Some((&[kind, high, low], tail)) = rest.split_first_chunk::<3>() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let (value, behind) = tail.split_at_checked(length).ok_or(ProxyError::Truncated)?;
            if kind == TLV_CHECKSUM {
                check(header, header.len() - tail.len(), number(value)?)?;
            } else {
                self.value(kind, value)?;
            }
            rest = behind;
        }
        if rest.is_empty() { Ok(()) } else { Err(ProxyError::Truncated) }
    }

    fn value(&mut self, kind: u8, value: &[u8]) -> Result<(), ProxyError> {
        match kind {
            TLV_AUTHORITY => once(&mut self.authority, text(value)?),
            // The kernel allows any byte in `comm`.
            TLV_PROCESS_NAME => once(&mut self.process_name, String::from_utf8_lossy(value).into_owned()),
            TLV_PROCESS_ID => once(&mut self.process_id, number(value)?),
            TLV_USER_ID => once(&mut self.user_id, number(value)?),
            _ => Ok(()),
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), ProxyError> {
    if slot.replace(value).is_some() { Err(ProxyError::Repeated) } else { Ok(()) }
}

fn text(value: &[u8]) -> Result<String, ProxyError> {
    str::from_utf8(value).map(str::to_owned).map_err(|_| ProxyError::Value)
}

fn number(value: &[u8]) -> Result<u32, ProxyError> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| ProxyError::Value)
}

/// Checks the checksum that stands at `at` in the header.
fn check(header: &[u8], at: usize, expected: u32) -> Result<(), ProxyError> {
    let mut crc = Crc32c::default();
    crc.update(&header[..at]);
    crc.update(&[0; 4]);
    crc.update(&header[at + 4..]);
    if crc.value() == expected { Ok(()) } else { Err(ProxyError::Checksum) }
}

/// Appends `header` to `out`. Addresses of two families, or one alone, cannot be said and are left out; texts are
/// cut so that the whole stays within [`MAX`].
pub fn write(header: &ProxyHeader, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(SIGNATURE);
    out.push(if header.command == Command::Local { 0x20 } else { 0x21 });
    out.extend_from_slice(&[0; 3]);
    out[start + 13] = write_addresses(header, out);
    for (kind, text) in [(TLV_AUTHORITY, &header.authority), (TLV_PROCESS_NAME, &header.process_name)] {
        if let Some(text) = text {
            write_value(out, kind, &text.as_bytes()[..text.floor_char_boundary(MAX / 4)]);
        }
    }
    for (kind, number) in [(TLV_PROCESS_ID, header.process_id), (TLV_USER_ID, header.user_id)] {
        if let Some(number) = number {
            write_value(out, kind, &number.to_be_bytes());
        }
    }
    let length = (out.len() - start - FIXED) as u16;
    out[start + 14..start + FIXED].copy_from_slice(&length.to_be_bytes());
}

/// Writes the address block; says its family.
fn write_addresses(header: &ProxyHeader, out: &mut Vec<u8>) -> u8 {
    let (Some((source, source_port)), Some((destination, destination_port))) =
        (header.source, header.destination)
    else {
        return 0;
    };
    let family = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
            0x11
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
            0x21
        }
        _ => return 0,
    };
    out.extend_from_slice(&source_port.to_be_bytes());
    out.extend_from_slice(&destination_port.to_be_bytes());
    family
}

fn write_value(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

/// Why bytes are no PROXY v2 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// Another protocol.
    NotProxy,
    /// The text form of version 1.
    VersionOne,
    /// A version other than 2.
    Version,
    /// A command other than LOCAL and PROXY.
    Command,
    /// An address family or transport that is not defined.
    Family,
    /// Longer than [`MAX`].
    TooLarge,
    /// Addresses or a value run past the header's end.
    Truncated,
    /// A value of the wrong size or encoding.
    Value,
    /// A value that may stand once stands twice.
    Repeated,
    /// The checksum is wrong.
    Checksum,
}

impl ProxyError {
    /// The reason in words, for records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotProxy => "no PROXY header",
            Self::VersionOne => "PROXY version 1 is not accepted",
            Self::Version => "unknown PROXY version",
            Self::Command => "unknown PROXY command",
            Self::Family => "unknown PROXY address family",
            Self::TooLarge => "PROXY header too large",
            Self::Truncated => "PROXY value runs past the header",
            Self::Value => "malformed PROXY value",
            Self::Repeated => "repeated PROXY value",
            Self::Checksum => "wrong PROXY checksum",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wire(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        [SIGNATURE, &[command, family][..], &(block.len() as u16).to_be_bytes(), block].concat()
    }

    fn v4_block() -> Vec<u8> {
        vec![10, 0, 0, 2, 192, 0, 2, 1, 0xc0, 0, 1, 0xbb]
    }

    /// A v4 header with these values behind the addresses.
    fn with(values: &[u8]) -> Vec<u8> {
        wire(0x21, 0x11, &[&v4_block(), values].concat())
    }

    fn accept(bytes: &[u8]) -> ProxyHeader {
        let (header, used) = parse(bytes).expect("valid").expect("whole");
        assert_eq!(used, bytes.len());
        header
    }

    #[test]
    fn addresses_of_both_families() {
        let header = accept(&with(&[]));
        assert_eq!(header.source, Some((Ipv4Addr::new(10, 0, 0, 2).into(), 49152)));
        assert_eq!(header.destination, Some((Ipv4Addr::new(192, 0, 2, 1).into(), 443)));
        let block = [&[0xfd; 16][..], &[0x20; 16], &[0, 1, 0, 80]].concat();
        let header = accept(&wire(0x21, 0x21, &block));
        assert_eq!(header.source, Some((Ipv6Addr::from([0xfd; 16]).into(), 1)));
        assert_eq!(header.destination, Some((Ipv6Addr::from([0x20; 16]).into(), 80)));
    }

    #[test]
    fn local_unspecified_and_unix_have_no_addresses() {
        assert_eq!(accept(&wire(0x20, 0x11, &v4_block())).command, Command::Local);
        assert_eq!(accept(&wire(0x20, 0x00, b"whatever")).source, None);
        assert_eq!(accept(&wire(0x21, 0x00, &[0xe1, 0, 4, 0, 0, 1, 0])).process_id, Some(256));
        assert_eq!(accept(&wire(0x21, 0x31, &[0; 216])).destination, None);
    }

    #[test]
    fn identity_values_are_read_and_unknown_ones_passed_over() {
        let values =
            b"\x02\0\x03a.b\x04\0\x02\0\0\xe0\0\x04cu\xffl\xe1\0\x04\0\0\0\x07\xe2\0\x04\0\0\x03\xe8\xee\0\0";
        let header = accept(&with(values));
        assert_eq!(header.authority.as_deref(), Some("a.b"));
        assert_eq!(header.process_name.as_deref(), Some("cu\u{fffd}l"));
        assert_eq!((header.process_id, header.user_id), (Some(7), Some(1000)));
    }

    #[test]
    fn a_checksum_is_verified() {
        let mut bytes = with(b"\x03\0\x04\0\0\0\0\xe1\0\x04\0\0\0\x07");
        let crc = Crc32c::of(&bytes);
        let at = FIXED + 12 + 3;
        bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(accept(&bytes).process_id, Some(7));
        *bytes.last_mut().expect("bytes") ^= 1;
        assert_eq!(parse(&bytes), Err(ProxyError::Checksum));
    }

    #[test]
    fn malformed_headers_are_refused() {
        let cases = [
            (b"PROXY TCP4 1.2.3.4 ".to_vec(), ProxyError::VersionOne),
            (b"GET / HTTP/1.1".to_vec(), ProxyError::NotProxy),
            (vec![22, 3, 1], ProxyError::NotProxy),
            (wire(0x11, 0x11, &v4_block()), ProxyError::Version),
            (wire(0x22, 0x11, &v4_block()), ProxyError::Command),
            (wire(0x21, 0x41, &v4_block()), ProxyError::Family),
            (wire(0x21, 0x13, &v4_block()), ProxyError::Family),
            (wire(0x21, 0x11, &v4_block()[..11]), ProxyError::Truncated),
            (wire(0x21, 0x21, &[0; 35]), ProxyError::Truncated),
            (wire(0x21, 0x31, &[0; 215]), ProxyError::Truncated),
            (wire(0x21, 0x00, &[0; 4081]), ProxyError::TooLarge),
            (with(&[0xe0, 0]), ProxyError::Truncated),
            (with(&[0xe0, 0, 2, b'a']), ProxyError::Truncated),
            (with(&[0xe1, 0, 3, 0, 0, 0]), ProxyError::Value),
            (with(&[0x03, 0, 1, 0]), ProxyError::Value),
            (with(&[0x02, 0, 1, 0xff]), ProxyError::Value),
            (with(&[0xe0, 0, 1, b'a', 0xe0, 0, 1, b'a']), ProxyError::Repeated),
        ];
        for (bytes, error) in cases {
            assert_eq!(parse(&bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_partial_header_asks_for_more_and_a_following_byte_is_left() {
        let mut bytes = with(b"\xe1\0\x04\0\0\0\x07");
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "cut at {end}");
        }
        let whole = bytes.len();
        bytes.push(22);
        assert_eq!(parse(&bytes).expect("valid").expect("whole").1, whole);
    }

    #[test]
    fn long_texts_stay_within_the_limit() {
        let long = Some("ä".repeat(3000));
        let header = ProxyHeader { authority: long.clone(), process_name: long, ..ProxyHeader::default() };
        let mut bytes = Vec::new();
        write(&header, &mut bytes);
        assert!(accept(&bytes).authority.is_some_and(|text| text.len() == 1024));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            addresses in prop_oneof![
                (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
                (any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            ],
            ports: (u16, u16),
            authority in prop::option::of(".{0,60}"),
            process_name in prop::option::of(".{0,15}"),
            process_id: Option<u32>,
            user_id: Option<u32>,
        ) {
            let source = Some((addresses.0, ports.0));
            let destination = Some((addresses.1, ports.1));
            let header = ProxyHeader {
                command: Command::Proxy, source, destination, authority, process_name, process_id, user_id,
            };
            let mut bytes = b"before".to_vec();
            write(&header, &mut bytes);
            let length = bytes.len() - 6;
            prop_assert_eq!(parse(&bytes[6..]), Ok(Some((header, length))));
        }

        #[test]
        fn p3_no_bytes_panic(command in 0x20u8..0x23, family: u8, block: Vec<u8>) {
            let _ = parse(&wire(command, family, &block));
            let _ = parse(&block);
        }
    }
}
