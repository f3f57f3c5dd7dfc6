//! Users of a user namespace (`user_namespaces(7)`): the same numbers inside as outside.

use std::ffi::CString;
use std::fs;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};

use nix::unistd::{Gid, Uid, initgroups, setgid, setuid};

use super::User;

/// Maps one user and one group of the namespace that this process has just made; anybody may do that.
pub fn map_self(inner_uid: u32, outer_uid: u32, inner_gid: u32, outer_gid: u32) -> io::Result<()> {
    deny_setgroups()?;
    fs::write("/proc/self/uid_map", format!("{inner_uid} {outer_uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{inner_gid} {outer_gid} 1"))
}

/// An ordinary user must give up `setgroups` before groups are mapped. It may be denied already, by an outer namespace.
fn deny_setgroups() -> io::Result<()> {
    if fs::read_to_string("/proc/self/setgroups")?.trim() == "deny" {
        return Ok(());
    }
    fs::write("/proc/self/setgroups", "deny")
}

/// Maps the users of a namespace that does not exist yet. To map more than oneself, one must stand outside of it: with
/// root's rights a process of ours waits there.
pub enum Mapper {
    /// A process outside, which maps all users that there are.
    Outside(Child),
    /// Only root, which is who we are in a namespace of an ordinary user.
    Alone,
}

impl Mapper {
    /// Before the namespace is made. `all` users can be mapped by this machine's root alone.
    pub fn start(all: bool) -> io::Result<Self> {
        if !all {
            return Ok(Self::Alone);
        }
        let program = std::env::current_exe()?;
        // As /proc counts, which may be the view of an outer namespace: a container can forbid any other.
        let target = fs::read_link("/proc/self")?;
        let child = Command::new(program).args(["jail", "map"]).arg(target).stdin(Stdio::piped()).spawn()?;
        Ok(Self::Outside(child))
    }

    /// After the namespace was made.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Alone => map_self(0, 0, 0, 0),
            Self::Outside(mut child) => {
                drop(child.stdin.take()); // the end of its input tells it to begin
                let status = child.wait()?;
                if status.success() { Ok(()) } else { Err(io::Error::other("the mapping process failed")) }
            }
        }
    }
}

/// The mapping process: waits for the end of its input, then maps all users that there are to themselves.
pub fn map_other(pid: u32) -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    for map in ["uid_map", "gid_map"] {
        let ours = fs::read_to_string(format!("/proc/self/{map}"))?;
        fs::write(format!("/proc/{pid}/{map}"), identity(&ours))?;
    }
    Ok(())
}

/// The ranges of a map, each to itself.
fn identity(map: &str) -> String {
    let ranges = map.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (inner, count) = (words.next()?, words.nth(1)?);
        Some(format!("{inner} {inner} {count}\n"))
    });
    ranges.collect()
}

/// Gives up root for a user, with the user's groups.
pub fn become_user(user: &User) -> nix::Result<()> {
    let name = CString::new(user.name.as_str()).map_err(|_| nix::Error::EINVAL)?;
    initgroups(&name, Gid::from_raw(user.gid))?;
    setgid(Gid::from_raw(user.gid))?;
    setuid(Uid::from_raw(user.uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_mapped_to_itself() {
        assert_eq!(identity("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity("0 100000 1000\n1000 5 1\n"), "0 0 1000\n1000 1000 1\n");
    }
}
