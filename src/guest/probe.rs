//! The proof of capture (LESSONS 37): before a command starts, its last ancestor connects to places that do not exist,
//! in both families and by DNS, and the proxy's side must see each arrive with its true destination.
//!
//! The word to go on comes back over such a connection: where nothing is carried, nothing starts.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::jail::{JailError, Plan, network};
use crate::wire::dns::{self, Answer};
use crate::wire::proxy_header;

/// Nobody's addresses: RFC 2544's, and one of the network that synthetic IPv6 answers come from.
const NOWHERE_V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 19, 255, 253));
const NOWHERE_V6: IpAddr =
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd74, 0x6f6c, 0x6c67, 0x6174, 0xffff, 0xffff, 0xffff, 0xfffd));
/// Ports of the probe and of the question whether to go on. Any port is captured, so unusual ones prove more.
const PROBE: u16 = 4;
const READY: u16 = 5;
const DNS: u16 = 53;
const SEEN: &[u8] = b"seen";
const GO: &[u8] = b"go";
/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Inside the jail: proves the capture, then waits for the word to start the command.
pub fn prove(plan: &Plan) -> Result<(), JailError> {
    if network() == plan.host_network {
        return Err(JailError::new("the command would be in the proxy's own network"));
    }
    only_loopback()?;
    knock(NOWHERE_V4, &plan.token, PROBE, SEEN).map_err(|error| unproved("TCP over IPv4", &error))?;
    if Path::new("/proc/net/if_inet6").exists() {
        knock(NOWHERE_V6, &plan.token, PROBE, SEEN).map_err(|error| unproved("TCP over IPv6", &error))?;
    }
    ask_name(&plan.token).map_err(|error| unproved("DNS", &error))?;
    nothing_answers().map_err(|error| unproved("UDP", &error))?;
    knock(NOWHERE_V4, &plan.token, READY, GO).map_err(|_| JailError::new("the proxy did not start"))
}

fn unproved(what: &str, error: &io::Error) -> JailError {
    JailError::new(format!("{what} is not captured, so the command was not started: {error}"))
}

/// There must be no device that leads anywhere.
fn only_loopback() -> Result<(), JailError> {
    let listed = std::fs::read_to_string("/proc/net/dev")
        .map_err(|error| JailError::new(format!("/proc/net/dev: {error}")))?;
    let other =
        listed.lines().skip(2).filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() != "lo");
    match other {
        Some((name, _)) => {
            Err(JailError::new(format!("network device {} would lead around the proxy", name.trim())))
        }
        None => Ok(()),
    }
}

/// Says the token at an address that does not exist, and expects an answer that only the proxy's side gives.
fn knock(ip: IpAddr, token: &str, port: u16, expected: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, port), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(token.as_bytes())?;
    let mut said = vec![0; expected.len()];
    stream.read_exact(&mut said)?;
    if said == expected {
        Ok(())
    } else {
        Err(io::Error::new(ErrorKind::InvalidData, "somebody else answered"))
    }
}

/// Asks a name server that does not exist for a name that only the proxy's side knows.
fn ask_name(token: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect((NOWHERE_V4, DNS))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(&query(token))?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let is_ours = answer[..length].windows(token.len()).any(|part| part == token.as_bytes());
    if is_ours { Ok(()) } else { Err(io::Error::new(ErrorKind::InvalidData, "somebody else answered")) }
}

/// A query for the token's own name, type A.
fn query(token: &str) -> Vec<u8> {
    let mut query = vec![0x74, 0x67, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [token, "invalid"] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}

/// QUIC's port: a datagram is refused, or vanishes.
fn nothing_answers() -> io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect((NOWHERE_V4, 443))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    if socket.send(b"tollgate").is_err() {
        return Ok(());
    }
    match socket.recv(&mut [0; 16]) {
        Ok(_) => Err(io::Error::new(ErrorKind::InvalidData, "UDP to port 443 was answered")),
        Err(_) => Ok(()),
    }
}

/// Outside: hears the probe, and holds the connection that waits for the word.
pub struct Witness {
    listener: UnixListener,
    token: String,
    seen: [bool; 3],
}

/// The jail waits for the word to start.
pub struct Ready(UnixStream);

impl Ready {
    /// Lets the command start.
    pub fn go(mut self) -> io::Result<()> {
        self.0.write_all(GO)
    }
}

impl Witness {
    /// Listens where the proxy will.
    pub fn bind(socket: &Path, token: &str) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, token: token.to_owned(), seen: [false; 3] })
    }

    /// Takes one connection if one waits. Gives the last one, when all before it were seen.
    pub fn turn(&mut self) -> io::Result<Option<Ready>> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        self.hear(stream)
    }

    fn hear(&mut self, mut stream: UnixStream) -> io::Result<Option<Ready>> {
        let mut said = Vec::new();
        let (ip, port, used) = loop {
            let mut chunk = [0; 1024];
            let length = stream.read(&mut chunk)?;
            said.extend_from_slice(&chunk[..length]);
            let header = proxy_header::parse(&said).map_err(|error| io::Error::other(error.as_str()))?;
            match header {
                Some((header, used))
                    if said[used..].windows(self.token.len()).any(|part| part == self.token.as_bytes()) =>
                {
                    let (ip, port) = header.destination.ok_or_else(|| io::Error::other("no destination"))?;
                    break (ip, port, used);
                }
                _ if length == 0 => return Ok(None), // somebody who does not know the token
                _ => {}
            }
        };
        match (ip, port) {
            (_, DNS) => self.answer_name(&mut stream, &said[used..]),
            (NOWHERE_V4, PROBE) => self.confirm(&mut stream, 0),
            (NOWHERE_V6, PROBE) => self.confirm(&mut stream, 1),
            (NOWHERE_V4, READY) if self.seen[0] && self.seen[2] => return Ok(Some(Ready(stream))),
            other => Err(io::Error::other(format!("the probe arrived as one to {other:?}"))),
        }?;
        Ok(None)
    }

    fn confirm(&mut self, stream: &mut UnixStream, which: usize) -> io::Result<()> {
        self.seen[which] = true;
        stream.write_all(SEEN)
    }

    fn answer_name(&mut self, stream: &mut UnixStream, framed: &[u8]) -> io::Result<()> {
        let query = framed.get(2..).unwrap_or_default();
        let question = dns::parse(query).map_err(|error| io::Error::other(error.as_str()))?;
        let mut answer = vec![0; 2];
        dns::write(query, &question, Answer::NoData, &mut answer);
        let length = (answer.len() - 2) as u16;
        answer[..2].copy_from_slice(&length.to_be_bytes());
        self.seen[2] = true;
        stream.write_all(&answer)
    }
}
