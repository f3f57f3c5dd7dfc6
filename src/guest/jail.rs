//! The jail: three processes between `tollgate run` and the command, because each needs what the next must not have.
//!
//! ```text
//!  run      the proxy; this machine's network
//!   `- outer   own network and mounts: everything local, redirected to the relay, which runs here. Root, or root of
//!       |      a user namespace of its own
//!       `- inner   own users, mounts, processes and shared memory: no capability over outer's network, and outer's
//!           |      mounts are locked
//!           `- init   process 1: /proc, the user (an ordinary caller's own number takes one more user namespace, and so
//!               |     does root, lest it take away what covers the kernel's settings), seccomp, the probe; then the
//!               |     command's signals and orphans
//!               `- the command
//! ```
//!
//! Each is this program again through a hidden subcommand, so that no code runs between fork and exec. When one dies,
//! the kernel ends those below it. Refuses to go on when any part cannot be built: there is no half a jail.

pub mod mounts;
pub mod supervise;
pub mod users;

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use super::netlink;
use super::redirect::{Rules, Scope, Tool};
use super::relay::{CONNECTIONS, Options, Relay, To};
use crate::confine::calls;

/// What the processes of a jail are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The socket that the proxy takes the guest's connections on.
    pub socket: PathBuf,
    /// What the probe says, so that nobody else's connection is taken for it.
    pub token: String,
    /// The proxy's state directory, hidden from the command.
    pub state_dir: PathBuf,
    /// Other files of the proxy, hidden too: a ledger or a key elsewhere.
    pub hidden: Vec<PathBuf>,
    /// Files that the command may read and not change: the policy and the configuration.
    pub sealed: Vec<PathBuf>,
    /// The network namespace of the proxy, which must not be the command's.
    pub host_network: String,
    /// The command's soft limit of open files; the relay has the hard one.
    pub open_files: u64,
    /// Who called: user and group.
    pub caller: (u32, u32),
    /// Whom the command runs as, if not as whoever called.
    pub user: Option<User>,
}

/// A user of this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
}

/// Why a jail cannot be built, and what would help.
#[derive(Debug)]
pub struct JailError {
    what: String,
    help: Option<&'static str>,
}

impl JailError {
    /// Something failed.
    pub fn new(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), help: None }
    }

    fn of(what: &str, error: impl fmt::Display) -> Self {
        Self::new(format!("{what}: {error}"))
    }

    fn help(mut self, help: &'static str) -> Self {
        self.help = Some(help);
        self
    }
}

impl fmt::Display for JailError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.help {
            Some(help) => write!(out, "{}\n  {help}", self.what),
            None => out.write_str(&self.what),
        }
    }
}

impl std::error::Error for JailError {}

/// The network namespace of this process, as the kernel names it.
pub fn network() -> String {
    std::fs::read_link("/proc/self/ns/net").map(|link| link.display().to_string()).unwrap_or_default()
}

/// Outer, first half: gives this process a network and mounts of its own. It must have one thread.
pub fn leave_host() -> Result<(), JailError> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let mut flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    if !uid.is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags).map_err(|error| {
        let refused = JailError::of("namespaces are refused", error);
        refused.help(if uid.is_root() { NO_NAMESPACES } else { NO_USER_NAMESPACES })
    })?;
    if !uid.is_root() {
        users::map_self(0, uid.as_raw(), 0, gid.as_raw()).map_err(|error| {
            JailError::of("users of a namespace cannot be mapped", error).help(NO_USER_NAMESPACES)
        })?;
    }
    die_with_parent()?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|error| JailError::of("mounts cannot be made private", error))
}

const NO_USER_NAMESPACES: &str = "unprivileged user namespaces are needed: sysctl user.max_user_namespaces, \
    kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); or run as \
    root, with --user to name whom the command runs as";
const NO_NAMESPACES: &str = "the container lacks CAP_SYS_ADMIN: run it with --cap-add SYS_ADMIN --cap-add NET_ADMIN, \
    or run tollgate outside of it";

/// Outer, second half: everything in this network namespace goes to the returned relay, and from it to the proxy.
pub fn capture(plan: &Plan) -> Result<Relay, JailError> {
    netlink::prepare().map_err(JailError::new)?;
    let directory = hold(plan.socket.parent().unwrap_or(Path::new("/")))?;
    let name = plan.socket.file_name().unwrap_or_default();
    let options = Options { port: 0, to: To::within(directory, name), connections: CONNECTIONS };
    let relay = Relay::bind(&options).map_err(|error| JailError::of("the relay cannot listen", error))?;
    let rules = Rules { scope: Scope::Namespace, port: relay.port() };
    Tool::find().and_then(|tool| tool.install(rules)).map_err(|error| JailError::of("no redirect", error))?;
    Ok(relay)
}

/// Keeps a directory within reach, whatever is mounted over it later.
fn hold(directory: &Path) -> Result<OwnedFd, JailError> {
    open(directory, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|error| JailError::of(&directory.display().to_string(), error))
}

/// Inner: users, mounts and processes of its own. The next process that this one starts is process 1.
pub fn leave_outer(plan: &Plan) -> Result<(), JailError> {
    let limited = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, plan.open_files.min(hard), hard));
    limited.map_err(|error| JailError::of("the limit of open files", error))?;
    let mapper = users::Mapper::start(plan.caller.0 == 0)
        .map_err(|error| JailError::of("users cannot be mapped", error))?;
    let own = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC;
    unshare(own)
        .map_err(|error| JailError::of("user namespaces are refused", error).help(NO_USER_NAMESPACES))?;
    mapper.finish().map_err(|error| JailError::of("users cannot be mapped", error))?;
    die_with_parent()
}

/// Init: the last preparations before the probe.
pub fn settle(plan: &Plan) -> Result<(), JailError> {
    mounts::own_processes();
    if plan.caller.0 == 0 {
        mounts::protect_kernel()?;
        become_lesser_root()?;
        if let Some(user) = &plan.user {
            users::become_user(user).map_err(|error| JailError::of(&user.name, error))?;
        }
    } else {
        become_caller(plan.caller)?;
    }
    die_with_parent()?;
    calls::forbid_ways_out().map_err(JailError::new)
}

/// An ordinary caller was root of the namespaces so far; in one more they have their own number again.
fn become_caller((uid, gid): (u32, u32)) -> Result<(), JailError> {
    unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(|error| JailError::of("user namespaces are refused", error).help(NO_USER_NAMESPACES))?;
    users::map_self(uid, 0, gid, 0).map_err(|error| JailError::of("the caller cannot be mapped", error))
}

/// Root of one more namespace, which has all users but no right over the mounts made so far: they are locked there.
fn become_lesser_root() -> Result<(), JailError> {
    let failed = |error| JailError::of("users cannot be mapped", error);
    let mapper = users::Mapper::start(true).map_err(failed)?;
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(|error| JailError::of("user namespaces are refused", error).help(NO_USER_NAMESPACES))?;
    mapper.finish().map_err(failed)
}

/// Asks the kernel to end this process with the one that started it. A change of user forgets it.
fn die_with_parent() -> Result<(), JailError> {
    set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| JailError::of("a jail cannot be tied to its parent", error))
}
