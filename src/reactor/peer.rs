//! Whether a guest that ended its direction is still there to read an answer (P31).
//!
//! TCP does not tell: a peer that closed its socket and one that only shut its own direction down both sent a FIN
//! (RFC 9293 §3.6). Where the guest's socket is on this machine the kernel does (`sock_diag(7)`): one that was closed
//! belongs to no inode any more. It refuses to guess: whoever cannot be asked about is still there.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// `SOCK_DIAG_BY_FAMILY`, of the question and of its answer.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `idiag_inode` in the answer: behind four bytes, `struct inet_diag_sockid`, and four numbers.
const INODE: usize = HEADER + 4 + 48 + 16;

/// Whether the TCP socket at `guest`, connected to `other`, is known to have been closed by its process.
pub fn has_closed(guest: SocketAddr, other: SocketAddr) -> bool {
    ask(&question(guest, other)).is_some_and(|answer| is_orphan(&answer))
}

fn ask(question: &[u8]) -> Option<Vec<u8>> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let diag =
        socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkSockDiag).ok()?;
    sendto(diag.as_raw_fd(), question, &NetlinkAddr::new(0, 0), MsgFlags::empty()).ok()?;
    let mut answer = vec![0; 512];
    let len = recv(diag.as_raw_fd(), &mut answer, MsgFlags::empty()).ok()?;
    answer.truncate(len);
    Some(answer)
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2` about one socket.
fn question(guest: SocketAddr, other: SocketAddr) -> Vec<u8> {
    const ANY_STATE: u32 = u32::MAX;
    const NO_COOKIE: u64 = u64::MAX;
    let (guest, other) = (canonical(guest), canonical(other));
    let family = if guest.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let tcp = nix::libc::IPPROTO_TCP as u8;
    let mut body = vec![family as u8, tcp, 0, 0];
    body.extend(ANY_STATE.to_ne_bytes());
    body.extend([guest.port().to_be_bytes(), other.port().to_be_bytes()].concat());
    body.extend([words(guest.ip()), words(other.ip())].concat());
    body.extend(0_u32.to_ne_bytes()); // any device
    body.extend(NO_COOKIE.to_ne_bytes());
    let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend([BY_FAMILY.to_ne_bytes(), REQUEST.to_ne_bytes()].concat());
    message.extend([0; 8]); // sequence, port
    message.extend(body);
    message
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An address in the sixteen bytes that it has there.
fn words(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
    }
}

/// Whether an answer describes a socket, and no process has it. An error (`NLMSG_ERROR`) describes none.
fn is_orphan(answer: &[u8]) -> bool {
    let kind = answer.get(4..6).map(|bytes| [bytes[0], bytes[1]]);
    kind == Some(BY_FAMILY.to_ne_bytes()) && answer.get(INODE..INODE + 4) == Some(&[0; 4])
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    /// A connection over loopback: the guest's end, ours, and both addresses.
    fn pair(on: &str) -> (TcpStream, TcpStream, SocketAddr, SocketAddr) {
        let listener = TcpListener::bind(on).expect("loopback");
        let other = listener.local_addr().expect("an address");
        let guest = TcpStream::connect(other).expect("a listener");
        let (ours, address) = listener.accept().expect("a connection");
        (guest, ours, address, other)
    }

    #[test]
    fn p31_a_guest_that_closed_is_told_from_one_that_waits() {
        for on in ["127.0.0.1:0", "[::1]:0"] {
            let (guest, _ours, address, other) = pair(on);
            assert!(!has_closed(address, other), "{on}: an open one");
            guest.shutdown(Shutdown::Write).expect("a socket");
            assert!(!has_closed(address, other), "{on}: one that still reads");
            drop(guest);
            assert!(has_closed(address, other), "{on}: one that was closed");
        }
    }

    #[test]
    fn who_is_not_here_is_not_gone() {
        let far: SocketAddr = "203.0.113.9:4711".parse().expect("an address");
        assert!(!has_closed(far, "127.0.0.1:1".parse().expect("an address")));
        assert!(!is_orphan(&[]));
    }
}
