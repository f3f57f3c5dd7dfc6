//! DNS messages (RFC 1035 §4), as far as a resolver needs them that knows every answer by itself: one question in, one
//! answer out.
//!
//! Refuses what is no plain query: responses, other opcodes, several questions, compressed or odd names. Additional
//! records (EDNS) are passed over: an answer without them says that we have no extensions (RFC 6891 §7).

use core::fmt;
use core::net::IpAddr;

/// Longest query that is read; a name has at most 255 bytes, EDNS options and cookies come on top.
pub const MAX: usize = 1024;

const HEADER: usize = 12;
/// Seconds for which an answer may be kept.
const TTL: u32 = 60;

/// What a query asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name in presentation form, without the last dot.
    pub name: String,
    /// What about it.
    pub kind: Kind,
    /// Where the question section ends in the query.
    end: usize,
}

/// A record type (IANA "Resource Record (RR) TYPEs").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u16);

impl Kind {
    /// IPv4 address.
    pub const A: Self = Self(1);
    /// IPv6 address.
    pub const AAAA: Self = Self(28);
    /// Service binding for HTTPS (RFC 9460), which may carry `ech` and `h3` hints.
    pub const HTTPS: Self = Self(65);
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = [
            (1, "A"),
            (2, "NS"),
            (5, "CNAME"),
            (6, "SOA"),
            (12, "PTR"),
            (15, "MX"),
            (16, "TXT"),
            (28, "AAAA"),
            (33, "SRV"),
            (64, "SVCB"),
            (65, "HTTPS"),
            (255, "ANY"),
        ];
        match known.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => out.write_str(name),
            None => write!(out, "TYPE{}", self.0), // RFC 3597 §5
        }
    }
}

/// What a query is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This address.
    Address(IpAddr),
    /// The name exists, but has no such record (RFC 2308 §2.2).
    NoData,
    /// The name does not exist.
    NoSuchName,
}

impl Answer {
    /// The response code's mnemonic.
    pub fn rcode(self) -> &'static str {
        match self {
            Self::Address(_) | Self::NoData => "NOERROR",
            Self::NoSuchName => "NXDOMAIN",
        }
    }
}

/// Reads a query.
pub fn parse(query: &[u8]) -> Result<Question, DnsError> {
    let (header, _) = query.split_first_chunk::<HEADER>().ok_or(DnsError::Truncated)?;
    if query.len() > MAX {
        return Err(DnsError::TooLarge);
    }
    let is_query = header[2] & 0b1111_1000 == 0; // QR and OPCODE
    let questions = u16::from_be_bytes([header[4], header[5]]);
    if !is_query || questions != 1 {
        return Err(DnsError::NotAQuery);
    }
    let (name, at) = name(query)?;
    let (kind, rest) = query[at..].split_first_chunk::<2>().ok_or(DnsError::Truncated)?;
    let (class, _) = rest.split_first_chunk::<2>().ok_or(DnsError::Truncated)?;
    if *class != CLASS_IN {
        return Err(DnsError::Class);
    }
    Ok(Question { name, kind: Kind(u16::from_be_bytes(*kind)), end: at + 4 })
}

const CLASS_IN: [u8; 2] = [0, 1];

/// The name behind the header, and where it ends.
fn name(query: &[u8]) -> Result<(String, usize), DnsError> {
    let mut text = String::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at).ok_or(DnsError::Truncated)?);
        at += 1;
        if length == 0 {
            return Ok((text, at));
        }
        if length > 63 || text.len() + length > 252 {
            return Err(DnsError::Name);
        }
        let label = query.get(at..at + length).ok_or(DnsError::Truncated)?;
        if !label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.') {
            return Err(DnsError::Name);
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().map(|byte| char::from(*byte)));
        at += length;
    }
}

/// Appends the answer to `query`, whose question `question` is.
pub fn write(query: &[u8], question: &Question, answer: Answer, out: &mut Vec<u8>) {
    const RESPONSE: u8 = 0x80;
    const RECURSION_DESIRED: u8 = 0x01;
    const RECURSION_AVAILABLE: u8 = 0x80;
    const NAME_ERROR: u8 = 3;
    let rcode = if answer == Answer::NoSuchName { NAME_ERROR } else { 0 };
    let answers = u8::from(matches!(answer, Answer::Address(_)));
    out.extend_from_slice(&query[..2]);
    out.extend_from_slice(&[RESPONSE | query[2] & RECURSION_DESIRED, RECURSION_AVAILABLE | rcode]);
    out.extend_from_slice(&[0, 1, 0, answers, 0, 0, 0, 0]);
    out.extend_from_slice(&query[HEADER..question.end]);
    match answer {
        Answer::Address(IpAddr::V4(ip)) => record(Kind::A, &ip.octets(), out),
        Answer::Address(IpAddr::V6(ip)) => record(Kind::AAAA, &ip.octets(), out),
        Answer::NoData | Answer::NoSuchName => {}
    }
}

/// A record of the name that was asked for.
fn record(kind: Kind, data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xc0, HEADER as u8]); // the name stands there
    out.extend_from_slice(&kind.0.to_be_bytes());
    out.extend_from_slice(&CLASS_IN);
    out.extend_from_slice(&TTL.to_be_bytes());
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
}

/// Why a message is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// It ends too early.
    Truncated,
    /// Longer than [`MAX`].
    TooLarge,
    /// A response, another opcode, or not one question.
    NotAQuery,
    /// A name that is compressed, too long, or holds odd bytes.
    Name,
    /// Another class than `IN`.
    Class,
}

impl DnsError {
    /// The reason in words, for records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "DNS query ends too early",
            Self::TooLarge => "DNS query too large",
            Self::NotAQuery => "not one plain DNS query",
            Self::Name => "malformed name in a DNS query",
            Self::Class => "DNS class other than IN",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(name: &[u8], kind: u16) -> Vec<u8> {
        [&[0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1][..], name, &kind.to_be_bytes(), &[0, 1], b"\0\0\x29"]
            .concat()
    }

    const EXAMPLE: &[u8] = b"\x03wWw\x07example\x03com\0";

    #[test]
    fn a_query_is_read_whatever_follows_it() {
        let question = parse(&query(EXAMPLE, 28)).expect("valid");
        assert_eq!((question.name.as_str(), question.kind), ("wWw.example.com", Kind::AAAA));
        assert_eq!(parse(&query(b"\0", 2)).expect("the root").name, "");
    }

    #[test]
    fn answers_repeat_the_question_and_say_one_thing() {
        let asked = query(EXAMPLE, 1);
        let question = parse(&asked).expect("valid");
        let told = |answer| {
            let mut out = Vec::new();
            write(&asked, &question, answer, &mut out);
            assert_eq!(out[..2], [0xab, 0xcd]);
            assert_eq!(out[12..12 + EXAMPLE.len()], *EXAMPLE);
            out
        };
        let address = told(Answer::Address([198, 18, 0, 7].into()));
        assert_eq!(address[2..8], [0x81, 0x80, 0, 1, 0, 1]);
        assert!(address.ends_with(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x12\0\x07"));
        assert_eq!(told(Answer::NoData)[2..8], [0x81, 0x80, 0, 1, 0, 0]);
        assert_eq!(told(Answer::NoSuchName)[2..8], [0x81, 0x83, 0, 1, 0, 0]);
    }

    #[test]
    fn what_is_no_plain_query_is_refused() {
        let long = [&[63][..], &[b'a'; 63]].concat().repeat(4);
        let with = |at: usize, byte: u8| {
            let mut bytes = query(EXAMPLE, 1);
            bytes[at] = byte;
            bytes
        };
        let cases = [
            (vec![0; 11], DnsError::Truncated),
            (query(EXAMPLE, 1)[..20].to_vec(), DnsError::Truncated),
            (vec![0; MAX + 1], DnsError::TooLarge),
            (with(2, 0x81), DnsError::NotAQuery),
            (with(2, 0x28), DnsError::NotAQuery),
            (with(5, 2), DnsError::NotAQuery),
            (with(5, 0), DnsError::NotAQuery),
            (with(12 + EXAMPLE.len() + 3, 3), DnsError::Class),
            (query(b"\xc0\x0c", 1), DnsError::Name),
            (query(b"\x03a.b\0", 1), DnsError::Name),
            (query(b"\x03a b\0", 1), DnsError::Name),
            (query(&[&long[..], b"\0"].concat(), 1), DnsError::Name),
        ];
        for (bytes, error) in cases {
            assert_eq!(parse(&bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(question) = parse(&bytes) {
                prop_assert!(question.end <= bytes.len());
            }
        }
    }
}
