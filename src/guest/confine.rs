//! System calls that lead past a network namespace are taken from a jailed process by seccomp.
//!
//! A network namespace holds Internet sockets only: `AF_VSOCK` reaches the hypervisor from any of them, and `io_uring`
//! makes sockets that a filter never sees. Both are refused as if the kernel did not have them. What stays is what
//! ordinary programs use: Unix, IPv4, IPv6 and netlink sockets.

use std::collections::BTreeMap;
use std::fmt;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

/// Why a process cannot be confined.
#[derive(Debug)]
pub struct ConfineError(String);

impl fmt::Display for ConfineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "seccomp: {}", self.0)
    }
}

impl std::error::Error for ConfineError {}

fn failed(error: impl fmt::Display) -> ConfineError {
    ConfineError(error.to_string())
}

/// Confines this thread and all that it starts, for good.
pub fn forbid_other_sockets() -> Result<(), ConfineError> {
    for filter in filters()? {
        apply_filter(&filter).map_err(failed)?;
    }
    Ok(())
}

/// A filter has one answer for all that it matches; two answers are two filters.
fn filters() -> Result<[BpfProgram; 2], ConfineError> {
    use nix::libc;
    const NEITHER: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let other_family = NEITHER.map(|family| condition(family).map_err(failed));
    let other_family = other_family.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rule = SeccompRule::new(other_family).map_err(failed)?;
    let sockets = numbers(libc::SYS_socket).map(|number| (number, vec![rule.clone()])).into();
    let rings = numbers(libc::SYS_io_uring_setup).map(|number| (number, Vec::new())).into();
    Ok([filter(sockets, libc::EAFNOSUPPORT)?, filter(rings, libc::ENOSYS)?])
}

fn condition(family: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family as u64)
}

/// The call's number, and the one by which x32 programs know it (x86-64 only).
fn numbers(call: i64) -> [i64; 2] {
    const X32: i64 = 0x4000_0000;
    [call, call | X32]
}

fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, ConfineError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(failed)?;
    let answer = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).map_err(failed)?;
    filter.try_into().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    use super::*;

    #[test]
    fn vsock_is_gone_and_ordinary_sockets_stay() {
        let open = |family| socket(family, SockType::Stream, SockFlag::empty(), None);
        thread::spawn(move || {
            forbid_other_sockets().expect("a kernel with seccomp");
            assert_eq!(open(AddressFamily::Vsock).expect_err("refused"), nix::Error::EAFNOSUPPORT);
            for family in [AddressFamily::Unix, AddressFamily::Inet, AddressFamily::Inet6] {
                assert!(open(family).is_ok(), "{family:?}");
            }
        })
        .join()
        .expect("no panic");
    }
}
