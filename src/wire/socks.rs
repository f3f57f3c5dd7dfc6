//! SOCKS5, the server's side of the handshake (RFC 1928), with or without user and password (RFC 1929).
//!
//! A pure machine: bytes in, answers out. It never checks a password, since whoever reaches the listener may use it;
//! the user name is kept so that it can be recorded. Only CONNECT is served; BIND and UDP ASSOCIATE are refused, and
//! so is SOCKS4.
//!
//! ```text
//! Greeting --no auth--------------------> Request --CONNECT--> done
//!     `-----user/password--> Password -------^
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const VERSION: u8 = 5;
/// Version of the user/password exchange.
const PASSWORD_VERSION: u8 = 1;

const METHOD_NONE: u8 = 0;
const METHOD_PASSWORD: u8 = 2;
const METHOD_UNACCEPTABLE: u8 = 0xff;

const CONNECT: u8 = 1;

/// Reply code: the connection stands.
pub const SUCCEEDED: u8 = 0;
/// Reply code: something else went wrong.
pub const GENERAL_FAILURE: u8 = 1;
/// Reply code: policy forbids it.
pub const NOT_ALLOWED: u8 = 2;
/// Reply code: the network cannot be reached.
pub const NETWORK_UNREACHABLE: u8 = 3;
/// Reply code: the host cannot be reached, or its name does not resolve.
pub const HOST_UNREACHABLE: u8 = 4;
/// Reply code: nobody listens there.
pub const CONNECTION_REFUSED: u8 = 5;
/// Reply code: the time is up.
pub const TTL_EXPIRED: u8 = 6;
/// Reply code: a command other than CONNECT.
pub const COMMAND_NOT_SUPPORTED: u8 = 7;
/// Reply code: an address type that RFC 1928 does not know.
pub const ADDRESS_NOT_SUPPORTED: u8 = 8;

/// The server's side of one handshake.
#[derive(Debug)]
pub struct Socks {
    stage: Stage,
    /// Bytes of the stages behind us.
    at: usize,
    user: Option<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Greeting,
    Password,
    Request,
}

/// Where a step led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocksStep {
    /// To a wait for more bytes.
    NeedMore,
    /// To the client's request; it waits for a [`reply`].
    Request(SocksRequest),
}

/// A request to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocksRequest {
    /// Where to.
    pub target: SocksTarget,
    /// The port there.
    pub port: u16,
    /// Bytes of the whole handshake, from the first; what follows belongs to the connection.
    pub used: usize,
}

/// Where a client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocksTarget {
    /// An address.
    Ip(IpAddr),
    /// A name, 1 to 255 bytes, as it was sent: not checked, not canonical.
    Name(Box<[u8]>),
}

impl Default for Socks {
    fn default() -> Self {
        Self::new()
    }
}

impl Socks {
    /// A machine that waits for the greeting.
    pub fn new() -> Self {
        Self { stage: Stage::Greeting, at: 0, user: None }
    }

    /// Reads on. `all` is every byte received so far, from the first; reading resumes where it stopped.
    ///
    /// Answers that are due are appended to `out`, the refusal before an error too. A handshake has at most 1032
    /// bytes. Not to be called again after a request or an error.
    pub fn step(&mut self, all: &[u8], out: &mut Vec<u8>) -> Result<SocksStep, SocksError> {
        loop {
            let mut input = Input { rest: all.get(self.at..).unwrap_or_default() };
            let before = input.rest.len();
            let stage = match self.stage {
                Stage::Greeting => greeting(&mut input, out)?,
                Stage::Password => self.password(&mut input, out)?,
                Stage::Request => {
                    let request = request(&mut input, out)?;
                    let used = self.at + before - input.rest.len();
                    return Ok(request.map_or(SocksStep::NeedMore, |(target, port)| {
                        SocksStep::Request(SocksRequest { target, port, used })
                    }));
                }
            };
            let Some(stage) = stage else { return Ok(SocksStep::NeedMore) };
            self.at += before - input.rest.len();
            self.stage = stage;
        }
    }

    /// The user name, where the client sent one.
    pub fn user(&self) -> Option<&[u8]> {
        self.user.as_deref()
    }

    fn password(&mut self, input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<Option<Stage>, SocksError> {
        let Some(version) = input.byte() else { return Ok(None) };
        if version != PASSWORD_VERSION {
            out.extend_from_slice(&[PASSWORD_VERSION, GENERAL_FAILURE]);
            return Err(SocksError::PasswordVersion);
        }
        let (Some(user), Some(_password)) = (input.string(), input.string()) else { return Ok(None) };
        self.user = Some(user.into());
        out.extend_from_slice(&[PASSWORD_VERSION, SUCCEEDED]);
        Ok(Some(Stage::Request))
    }
}

fn greeting(input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<Option<Stage>, SocksError> {
    let Some(version) = input.byte() else { return Ok(None) };
    if version != VERSION {
        return Err(if version == 4 { SocksError::Socks4 } else { SocksError::Version });
    }
    let Some(methods) = input.string() else { return Ok(None) };
    let (method, next) = if methods.contains(&METHOD_NONE) {
        (METHOD_NONE, Ok(Some(Stage::Request)))
    } else if methods.contains(&METHOD_PASSWORD) {
        (METHOD_PASSWORD, Ok(Some(Stage::Password)))
    } else {
        (METHOD_UNACCEPTABLE, Err(SocksError::Method))
    };
    out.extend_from_slice(&[VERSION, method]);
    next
}

/// Reads target and port; a refusal is answered.
fn request(input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<Option<(SocksTarget, u16)>, SocksError> {
    let request = parse_request(input);
    if let Err(error) = request {
        out.extend_from_slice(&reply(error.reply()));
    }
    request
}

fn parse_request(input: &mut Input<'_>) -> Result<Option<(SocksTarget, u16)>, SocksError> {
    let Some([version, command, reserved, kind]) = input.array() else { return Ok(None) };
    if version != VERSION {
        return Err(SocksError::Version);
    }
    if command != CONNECT {
        return Err(SocksError::Command);
    }
    if reserved != 0 {
        return Err(SocksError::Reserved);
    }
    let target = match kind {
        1 => input.array::<4>().map(|octets| SocksTarget::Ip(Ipv4Addr::from(octets).into())),
        3 => match input.string() {
            Some([]) => return Err(SocksError::EmptyName),
            name => name.map(|name| SocksTarget::Name(name.into())),
        },
        4 => input.array::<16>().map(|octets| SocksTarget::Ip(Ipv6Addr::from(octets).into())),
        _ => return Err(SocksError::AddressType),
    };
    Ok(target.zip(input.array().map(u16::from_be_bytes)))
}

/// Bytes to read from, front to back.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    /// Bytes with their count before them.
    fn string(&mut self) -> Option<&'a [u8]> {
        let (&length, rest) = self.rest.split_first()?;
        let (string, rest) = rest.split_at_checked(usize::from(length))?;
        self.rest = rest;
        Some(string)
    }
}

/// The answer to a request. The bound address is given as unspecified: what ours is concerns nobody.
pub fn reply(code: u8) -> [u8; 10] {
    [VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocksError {
    /// SOCKS4 or 4a.
    Socks4,
    /// A version other than 5.
    Version,
    /// No authentication method that is served was offered.
    Method,
    /// A user/password exchange of a version other than 1.
    PasswordVersion,
    /// A command other than CONNECT.
    Command,
    /// The reserved byte is not 0.
    Reserved,
    /// An address type that is not defined.
    AddressType,
    /// A name without a byte.
    EmptyName,
}

impl SocksError {
    /// The reason in words, for records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Socks4 => "SOCKS4 is not served",
            Self::Version => "not SOCKS5",
            Self::Method => "no acceptable SOCKS method",
            Self::PasswordVersion => "unknown SOCKS password version",
            Self::Command => "SOCKS command is not CONNECT",
            Self::Reserved => "reserved SOCKS byte is not 0",
            Self::AddressType => "unknown SOCKS address type",
            Self::EmptyName => "empty SOCKS name",
        }
    }

    /// The reply code for a refused request.
    fn reply(self) -> u8 {
        match self {
            Self::Command => COMMAND_NOT_SUPPORTED,
            Self::AddressType => ADDRESS_NOT_SUPPORTED,
            _ => GENERAL_FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that a client says, in one piece; the answers and the outcome.
    fn run(all: &[u8]) -> (Vec<u8>, Result<SocksStep, SocksError>) {
        let mut out = Vec::new();
        let step = Socks::new().step(all, &mut out);
        (out, step)
    }

    const BY_NAME: &[u8] = b"\x05\x01\x00\x05\x01\x00\x03\x03a.b\x01\xbb";
    const WITH_PASSWORD: &[u8] =
        b"\x05\x02\x01\x02\x01\x03bob\x01x\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50rest";

    #[test]
    fn connect_by_name_and_address() {
        let (out, step) = run(BY_NAME);
        assert_eq!(out, [5, 0]);
        let target = SocksTarget::Name((*b"a.b").into());
        assert_eq!(step, Ok(SocksStep::Request(SocksRequest { target, port: 443, used: BY_NAME.len() })));
        let v6 = [b"\x05\x01\x00\x05\x01\x00\x04".as_slice(), &[0x20; 16], b"\x00\x50"].concat();
        let target = SocksTarget::Ip(Ipv6Addr::from([0x20; 16]).into());
        assert_eq!(run(&v6).1, Ok(SocksStep::Request(SocksRequest { target, port: 80, used: v6.len() })));
    }

    #[test]
    fn any_password_is_accepted_and_the_user_kept() {
        let mut socks = Socks::new();
        let mut out = Vec::new();
        let target = SocksTarget::Ip(Ipv4Addr::new(192, 0, 2, 1).into());
        let request = SocksRequest { target, port: 80, used: WITH_PASSWORD.len() - 4 };
        assert_eq!(socks.step(WITH_PASSWORD, &mut out), Ok(SocksStep::Request(request)));
        assert_eq!(out, [5, 2, 1, 0]);
        assert_eq!(socks.user(), Some(&b"bob"[..]));
    }

    #[test]
    fn no_authentication_is_preferred() {
        assert_eq!(run(b"\x05\x02\x02\x00").0, [5, 0]);
    }

    #[test]
    fn refusals_are_answered() {
        let unsupported = |code| [&[5, 0][..], &reply(code)].concat();
        let cases: [(&[u8], Vec<u8>, SocksError); 10] = [
            (b"\x04\x01\x00\x50", vec![], SocksError::Socks4),
            (b"\x06", vec![], SocksError::Version),
            (b"\x05\x00", vec![5, 0xff], SocksError::Method),
            (b"\x05\x01\x01", vec![5, 0xff], SocksError::Method),
            (b"\x05\x01\x02\x02", vec![5, 2, 1, 1], SocksError::PasswordVersion),
            (b"\x05\x01\x00\x05\x02\x00\x01", unsupported(7), SocksError::Command),
            (b"\x05\x01\x00\x05\x03\x00\x01", unsupported(7), SocksError::Command),
            (b"\x05\x01\x00\x05\x01\x00\x02", unsupported(8), SocksError::AddressType),
            (b"\x05\x01\x00\x05\x01\x01\x01", unsupported(1), SocksError::Reserved),
            (b"\x05\x01\x00\x05\x01\x00\x03\x00", unsupported(1), SocksError::EmptyName),
        ];
        for (all, answer, error) in cases {
            assert_eq!(run(all), (answer, Err(error)), "{}", all.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(all in prop_oneof![
            Just(BY_NAME.to_vec()), Just(WITH_PASSWORD.to_vec()), any::<Vec<u8>>(),
            any::<Vec<u8>>().prop_map(|tail| [b"\x05\x01\x00\x05\x01\x00", &tail[..]].concat()),
        ]) {
            let mut socks = Socks::new();
            let mut out = Vec::new();
            let mut step = Ok(SocksStep::NeedMore);
            for end in 0..=all.len() {
                step = socks.step(&all[..end], &mut out);
                if step != Ok(SocksStep::NeedMore) {
                    break;
                }
            }
            prop_assert_eq!((out, step), run(&all));
        }
    }
}
