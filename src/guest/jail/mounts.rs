//! What a jailed process sees of the file system: everything, but not the proxy's files, the sockets of this machine's
//! services, or the roots and name servers that it must not use.
//!
//! `/run` is new and holds only links (some distributions keep the system there) and our own directory. Sockets
//! elsewhere and disks are covered one by one. Not covered: sockets outside of `/run` that other programs of the same user make
//! later.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::JailError;

/// Where a jail keeps what the command may see: the bundle and its kin.
pub const PUBLIC: &str = "/run/tollgate";

/// The file in [`PUBLIC`] that stands in for the system's list of name servers.
pub const NAME_SERVER_FILE: &str = "resolv.conf";

/// Every name server is ours, whatever its address.
const RESOLV_CONF: &str =
    "# by tollgate: names are answered by the policy\nnameserver 198.18.0.53\noptions timeout:2\n";

/// A fresh `/run` with [`PUBLIC`] in it, and `XDG_RUNTIME_DIR` for a user.
pub fn fresh_run(runtime_dir: Option<(PathBuf, u32, u32)>) -> Result<PathBuf, JailError> {
    let links = symlinks(Path::new("/run"));
    tmpfs(Path::new("/run"), "mode=0755,size=64m").map_err(|error| JailError::of("/run", error))?;
    let made = || -> io::Result<()> {
        for (from, to) in links {
            symlink(to, from)?;
        }
        DirBuilder::new().mode(0o755).create(PUBLIC)?;
        fs::create_dir("/run/lock")?;
        fs::set_permissions("/run/lock", fs::Permissions::from_mode(0o1777))?;
        if let Some((dir, uid, gid)) = runtime_dir.filter(|(dir, ..)| dir.starts_with("/run/user")) {
            fs::create_dir_all(dir.parent().unwrap_or(&dir))?;
            DirBuilder::new().mode(0o700).create(&dir)?;
            chown(&dir, Some(uid), Some(gid))?;
        }
        Ok(())
    };
    made().map_err(|error| JailError::of("/run", error))?;
    Ok(PUBLIC.into())
}

fn symlinks(dir: &Path) -> Vec<(PathBuf, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.path(), fs::read_link(entry.path()).ok()?))).collect()
}

/// Puts our name server in place of the system's.
pub fn name_server(public: &Path) -> Result<(), JailError> {
    let ours = public.join(NAME_SERVER_FILE);
    let placed = || -> io::Result<()> {
        fs::write(&ours, RESOLV_CONF)?;
        overlay_link(Path::new("/etc/resolv.conf"), &ours)
    };
    placed().map_err(|error| JailError::of("/etc/resolv.conf", error))
}

/// Covers a file, or what a link that led into the old `/run` led to. Without the file there is nothing to cover.
fn overlay_link(path: &Path, ours: &Path) -> io::Result<()> {
    if let Ok(real) = path.canonicalize() {
        return bind(ours, &real);
    }
    let Ok(target) = fs::read_link(path) else { return Ok(()) };
    let target = path.parent().unwrap_or(Path::new("/")).join(target);
    let target = clean(&target);
    if let Some(parent) = target.parent().filter(|parent| parent.starts_with("/run")) {
        fs::create_dir_all(parent)?;
        fs::copy(ours, &target)?;
    }
    Ok(())
}

/// Resolves `..` by name: what it led through is gone.
fn clean(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, part| {
        if part.as_os_str() == ".." {
            clean.pop();
        } else {
            clean.push(part);
        }
        clean
    })
}

/// Puts `ours` in place of each of `files` that exists, so that tools without any setting trust our CA too.
pub fn roots<'a>(ours: &Path, files: impl Iterator<Item = &'a str>) -> Result<(), JailError> {
    let mut covered: Vec<PathBuf> = Vec::new();
    for file in files.filter_map(|file| Path::new(file).canonicalize().ok()) {
        if !covered.contains(&file) {
            bind(ours, &file).map_err(|error| JailError::of(&file.display().to_string(), error))?;
            covered.push(file);
        }
    }
    Ok(())
}

/// Makes directories look empty and files too. What is not there needs no hiding.
pub fn hide(paths: &[&Path]) -> Result<(), JailError> {
    for path in paths {
        let hidden = match fs::metadata(path) {
            Ok(found) if found.is_dir() => tmpfs(path, "mode=0555,size=4k,ro"),
            Ok(_) => cover(path),
            Err(_) => Ok(()),
        };
        hidden.map_err(|error| JailError::of(&path.display().to_string(), error))?;
    }
    Ok(())
}

/// Covers every socket that some process of this machine listens on, as `/proc/net/unix` of its network lists them.
pub fn hide_sockets(listed: &str) -> Result<(), JailError> {
    for path in socket_paths(listed) {
        let is_socket = fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket());
        if is_socket {
            cover(&path).map_err(|error| JailError::of(&path.display().to_string(), error))?;
        }
    }
    Ok(())
}

/// What root may write without any capability, and what then acts on the whole machine: a `core_pattern` is a program that
/// the kernel starts outside of every namespace.
const KERNEL: [&str; 8] = [
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/irq",
    "/proc/bus",
    "/proc/fs",
    "/proc/scsi",
    "/proc/acpi",
    "/sys",
];

/// Makes the kernel's settings read-only, for commands that root starts.
pub fn protect_kernel() -> Result<(), JailError> {
    for path in KERNEL.map(Path::new) {
        if path.exists() {
            read_only(path).map_err(|error| JailError::of(&path.display().to_string(), error))?;
        }
    }
    Ok(())
}

/// Lets the command read files and not change them: the rules that it is held to, for the next time.
pub fn seal(files: &[PathBuf]) -> Result<(), JailError> {
    for file in files.iter().filter_map(|file| file.canonicalize().ok()) {
        read_only(&file).map_err(|error| JailError::of(&file.display().to_string(), error))?;
    }
    Ok(())
}

/// A read-only view of all that is mounted there and below.
fn read_only(path: &Path) -> io::Result<()> {
    mount(Some(path), path, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
    let mounted = fs::read_to_string("/proc/self/mounts")?;
    let places = mounted.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    let below = places.filter(|place| place.starts_with(path) && *place != path);
    for place in std::iter::once(path).chain(below) {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | kept(place)?;
        mount(None::<&str>, place, None::<&str>, flags, None::<&str>)?;
    }
    Ok(())
}

/// Flags that a mount has, which an inner namespace may not take away.
fn kept(place: &Path) -> io::Result<MsFlags> {
    let flags = statvfs(place)?.flags();
    let pairs = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    Ok(pairs.into_iter().filter(|(has, _)| flags.contains(*has)).map(|(_, keep)| keep).collect())
}

/// Covers every disk, and what reads one or the memory raw: who may do that reads what was hidden.
pub fn hide_disks() -> Result<(), JailError> {
    let mut directories = vec![PathBuf::from("/dev")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_block_device() || kind.is_char_device() && is_raw(&entry.path()) {
                cover(&entry.path())
                    .map_err(|error| JailError::of(&entry.path().display().to_string(), error))?;
            }
        }
    }
    Ok(())
}

/// Character devices that lead to disks (SCSI generic and `NVMe`), to memory, or to other machines.
fn is_raw(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let numbered = |prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
    };
    ["sg", "nvme", "ng", "mtd", "raw"].into_iter().any(numbered)
        || path.starts_with("/dev/bsg")
        || ["mem", "kmem", "port", "loop-control", "vsock", "vhost-vsock"].contains(&name)
}

/// Paths of bound sockets (`proc(5)`, `/proc/net/unix`: the eighth word, which may hold spaces).
fn socket_paths(listed: &str) -> Vec<PathBuf> {
    let path = |line: &str| Some(line.get(line.find(" /")? + 1..)?.into());
    let mut paths: Vec<PathBuf> = listed.lines().filter_map(path).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Process 1's own view of processes. A container that hides parts of `/proc` allows no other: then the old view stays,
/// whose processes are out of reach in any case.
pub fn own_processes() {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let _ = mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>);
}

fn cover(path: &Path) -> io::Result<()> {
    bind(Path::new("/dev/null"), path)
}

fn bind(from: &Path, over: &Path) -> io::Result<()> {
    Ok(mount(Some(from), over, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

fn tmpfs(over: &Path, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("tmpfs"), over, Some("tmpfs"), flags, Some(options))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_sockets_are_listed_by_path_and_abstract_ones_are_not() {
        let listed = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000: 00000002 00000000 00010000 0001 01 123 /run/a b.sock\n\
            0000: 00000002 00000000 00010000 0001 01 124 @/tmp/abstract\n\
            0000: 00000003 00000000 00000000 0001 03 125\n\
            0000: 00000003 00000000 00000000 0001 03 126 /run/a b.sock\n";
        assert_eq!(socket_paths(listed), [PathBuf::from("/run/a b.sock")]);
    }

    #[test]
    fn raw_devices_are_told_from_ordinary_ones() {
        for raw in ["/dev/sg0", "/dev/nvme0", "/dev/ng0n1", "/dev/mem", "/dev/bsg/0:0:0:0", "/dev/vsock"] {
            assert!(is_raw(Path::new(raw)), "{raw}");
        }
        for ordinary in
            ["/dev/null", "/dev/tty1", "/dev/kvm", "/dev/nvidia0", "/dev/random", "/dev/sgx_enclave"]
        {
            assert!(!is_raw(Path::new(ordinary)), "{ordinary}");
        }
    }

    #[test]
    fn a_dangling_link_is_followed_by_name() {
        assert_eq!(clean(Path::new("/etc/../run/systemd/stub.conf")), Path::new("/run/systemd/stub.conf"));
    }
}
