//! System calls taken away by seccomp: from the proxy what it never does, from a jailed process what leads past its
//! network namespace.
//!
//! The proxy's list names what is refused, not what is allowed. Which calls a name lookup needs is the C library's and
//! its plug-ins' affair and changes with them, so a list of allowed ones would break somewhere; what an intruder needs
//! to become more than this process does not change. Refused calls fail with an error, because a plug-in that tries
//! one in vain goes on, and one that is killed takes the proxy along. The kernel remembers which calls pass whatever
//! their arguments, so that reading and writing cost what they did.

use std::collections::BTreeMap;
use std::fmt;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, apply_filter_all_threads,
};

/// Why system calls cannot be taken away.
#[derive(Debug)]
pub struct CallsError(String);

impl fmt::Display for CallsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "seccomp ({})", self.0)
    }
}

impl std::error::Error for CallsError {}

fn failed(error: impl fmt::Display) -> CallsError {
    CallsError(error.to_string())
}

/// Which threads a filter holds for, besides those that they start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The calling one.
    This,
    /// All of this process.
    All,
}

/// Takes from a jailed process what leads past its namespaces, for good: sockets that a network namespace does not hold
/// (`AF_VSOCK` reaches the hypervisor from any of them), `io_uring`, which makes sockets that a filter never sees, and
/// typing into the terminal that it shares with the shell of whoever started it.
pub fn forbid_ways_out() -> Result<(), CallsError> {
    const ORDINARY: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let rings = numbers(libc::SYS_io_uring_setup).map(|number| (number, Vec::new())).into();
    let typing = typing()?;
    let terminal = numbers(libc::SYS_ioctl).map(|number| (number, typing.clone())).into();
    let filters = [
        filter(sockets_but(&ORDINARY)?, libc::EAFNOSUPPORT)?,
        filter(rings, libc::ENOSYS)?,
        filter(terminal, libc::EPERM)?,
    ];
    apply(Threads::This, &filters)
}

/// `ioctl_tty(2)` and `ioctl_console(2)`; each C library has a type of its own for these numbers.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541C;

/// `ioctl` that puts characters into a terminal's input: one by one, or by the console's clipboard.
fn typing() -> Result<Vec<SeccompRule>, CallsError> {
    let is = |request: u64| {
        let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request);
        condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(failed)
    };
    [TIOCSTI, TIOCLINUX].into_iter().map(is).collect()
}

/// Takes from a proxy what it never does, for good: to run programs or start processes, to look into others, to change
/// the machine, its own identity or namespaces, to open sockets of other families than it speaks.
pub fn forbid_what_a_proxy_never_does(threads: Threads) -> Result<(), CallsError> {
    const SPOKEN: [i32; 5] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_VSOCK];
    let never = NEVER.iter().flat_map(|call| numbers(*call)).map(|number| (number, Vec::new()));
    let processes = numbers(libc::SYS_clone).map(|number| (number, processes()));
    let processes = processes.into_iter().map(|(number, rules)| Ok((number, rules?)));
    let mut refused: BTreeMap<_, _> = processes.collect::<Result<_, CallsError>>()?;
    refused.extend(never);
    // Its flags lie in memory, where no filter sees them; the C library then starts threads by `clone`.
    let unseen = numbers(libc::SYS_clone3).map(|number| (number, Vec::new())).into();
    let filters = [
        filter(refused, libc::EPERM)?,
        filter(unseen, libc::ENOSYS)?,
        filter(sockets_but(&SPOKEN)?, libc::EAFNOSUPPORT)?,
    ];
    apply(threads, &filters)
}

/// What a proxy never does.
const NEVER: &[i64] = &[
    // Programs and processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // File systems and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_mknodat,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    // The kernel and its clock.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Keys, and who we are.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_personality,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
];

/// `clone` of what is no thread.
fn processes() -> Result<Vec<SeccompRule>, CallsError> {
    let no_thread = SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64);
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, no_thread, 0).map_err(failed)?;
    Ok(vec![SeccompRule::new(vec![condition]).map_err(failed)?])
}

/// Calls of `socket` for any but these families.
fn sockets_but(families: &[i32]) -> Result<BTreeMap<i64, Vec<SeccompRule>>, CallsError> {
    let is_not = |family: &i32| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *family as u64).map_err(failed)
    };
    let other = families.iter().map(is_not).collect::<Result<Vec<_>, _>>()?;
    let rule = SeccompRule::new(other).map_err(failed)?;
    Ok(numbers(libc::SYS_socket).map(|number| (number, vec![rule.clone()])).into())
}

/// The call's number, and the one by which x32 programs know it (x86-64 only).
fn numbers(call: i64) -> [i64; 2] {
    const X32: i64 = 0x4000_0000;
    [call, call | X32]
}

/// A filter has one answer for all that it matches; two answers are two filters.
fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, CallsError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(failed)?;
    let answer = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).map_err(failed)?;
    filter.try_into().map_err(failed)
}

fn apply(threads: Threads, filters: &[BpfProgram]) -> Result<(), CallsError> {
    let apply = match threads {
        Threads::This => apply_filter,
        Threads::All => apply_filter_all_threads,
    };
    filters.iter().try_for_each(|filter| apply(filter).map_err(failed))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    use super::*;

    fn open(family: AddressFamily) -> nix::Result<std::os::fd::OwnedFd> {
        socket(family, SockType::Stream, SockFlag::empty(), None)
    }

    #[test]
    fn vsock_is_gone_from_a_jail_and_ordinary_sockets_stay() {
        thread::spawn(|| {
            forbid_ways_out().expect("a kernel with seccomp");
            assert_eq!(open(AddressFamily::Vsock).expect_err("refused"), nix::Error::EAFNOSUPPORT);
            for family in [AddressFamily::Unix, AddressFamily::Inet, AddressFamily::Inet6] {
                assert!(open(family).is_ok(), "{family:?}");
            }
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn a_proxy_starts_threads_and_no_programs() {
        thread::spawn(|| {
            forbid_what_a_proxy_never_does(Threads::This).expect("a kernel with seccomp");
            assert_eq!(thread::spawn(|| 7).join().expect("a thread"), 7);
            assert!(Command::new("/bin/true").status().is_err());
            assert_eq!(open(AddressFamily::Packet).expect_err("refused"), nix::Error::EAFNOSUPPORT);
            assert_eq!(nix::unistd::chroot("/").expect_err("refused"), nix::Error::EPERM);
            let namespace = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
            assert_eq!(namespace.expect_err("refused"), nix::Error::EPERM);
            assert!(open(AddressFamily::Inet).is_ok());
        })
        .join()
        .expect("no panic");
    }
}
