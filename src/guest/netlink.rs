//! A network namespace made ready by rtnetlink(7): loopback up, and every address local.
//!
//! With `local default dev lo` in both families a packet to anywhere is delivered to this namespace itself, where the
//! redirect takes it; no other device is needed, and there is none. Refuses nothing; says which request the kernel
//! refused.

use std::io;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket,
};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const ASK: u16 = 0x0001 | 0x0004;
/// `NLM_F_CREATE | NLM_F_REPLACE`.
const CREATE: u16 = 0x0400 | 0x0100;
/// Loopback is the first device of every namespace.
const LOOPBACK: u32 = 1;

/// Sets loopback up and makes every address local.
pub fn prepare() -> io::Result<()> {
    ask(RTM_NEWLINK, ASK, &set_up()).map_err(|error| of("loopback cannot be set up", &error))?;
    route(AddressFamily::Inet)
        .map_err(|error| of("a local default route for IPv4 cannot be added", &error))?;
    match route(AddressFamily::Inet6) {
        Err(error) if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => Ok(()), // a kernel without IPv6
        other => other.map_err(|error| of("a local default route for IPv6 cannot be added", &error)),
    }
}

fn of(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn route(family: AddressFamily) -> io::Result<()> {
    ask(RTM_NEWROUTE, ASK | CREATE, &local_default(family as u8))
}

/// `struct ifinfomsg`: family, pad, type, index, flags, change.
fn set_up() -> Vec<u8> {
    const IFF_UP: u32 = 1;
    [0, LOOPBACK, IFF_UP, IFF_UP].map(u32::to_ne_bytes).concat()
}

/// `struct rtmsg` (family, two prefix lengths, tos, table, protocol, scope, type, flags) and `RTA_OIF`.
fn local_default(family: u8) -> Vec<u8> {
    const TABLE_LOCAL: u8 = 255;
    const PROTOCOL_BOOT: u8 = 3;
    const SCOPE_HOST: u8 = 254;
    const TYPE_LOCAL: u8 = 2;
    const OUTPUT_DEVICE: u16 = 4;
    let mut message = vec![family, 0, 0, 0, TABLE_LOCAL, PROTOCOL_BOOT, SCOPE_HOST, TYPE_LOCAL, 0, 0, 0, 0];
    message.extend_from_slice(&8_u16.to_ne_bytes());
    message.extend_from_slice(&OUTPUT_DEVICE.to_ne_bytes());
    message.extend_from_slice(&LOOPBACK.to_ne_bytes());
    message
}

/// Sends one request and waits for its acknowledgement.
fn ask(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let fd =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let fd = &fd;
    bind(std::os::fd::AsRawFd::as_raw_fd(fd), &NetlinkAddr::new(0, 0))?;
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend_from_slice(&(16 + body.len() as u32).to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&flags.to_ne_bytes());
    message.extend_from_slice(&[0; 8]); // sequence, port
    message.extend_from_slice(body);
    let raw = std::os::fd::AsRawFd::as_raw_fd(fd);
    sendto(raw, &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut reply = [0; 4096];
    let length = recv(raw, &mut reply, MsgFlags::empty())?;
    acknowledged(&reply[..length])
}

/// Reads `struct nlmsgerr` behind the header: 0 or a negated errno.
fn acknowledged(reply: &[u8]) -> io::Result<()> {
    let field = |at: usize| reply.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    let kind = reply.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match (kind, field(16).map(i32::from_ne_bytes)) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(error)) => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no acknowledgement")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_an_error_of_zero() {
        let reply = |error: i32| {
            [&[36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &error.to_ne_bytes()].concat()
        };
        assert!(acknowledged(&reply(0)).is_ok());
        assert_eq!(acknowledged(&reply(-1)).expect_err("EPERM").raw_os_error(), Some(nix::libc::EPERM));
        assert!(acknowledged(&[]).is_err());
    }
}
