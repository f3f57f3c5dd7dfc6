//! Files and TCP ports taken away by Landlock: what a running proxy does not need it cannot open.
//!
//! A rule is for a file as it is now, and what is replaced by renaming is another file. So what is read again later, a
//! policy or the name servers, is named by its directory. Connecting is left alone: an origin may have any port.

use std::fmt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// Before this version a file that may not be written can be emptied: truncation was no right of its own.
pub const WHOLE: u32 = ABI::V3 as u32;
/// The newest rights that are asked for where the kernel knows them: devices, abstract sockets.
const WANTED: ABI = ABI::V6;

/// What a process may still open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Files, and directories with all below them, that are read.
    pub read: Vec<PathBuf>,
    /// Directories that are the process's own.
    pub own: Vec<PathBuf>,
    /// Directories that hold its sockets, which are removed at the end.
    pub sockets: Vec<PathBuf>,
    /// TCP ports that are bound again, once for each reactor.
    pub ports: Vec<u16>,
}

/// Why files cannot be taken away.
#[derive(Debug)]
pub enum FilesError {
    /// This kernel has no Landlock.
    Missing,
    /// It refused.
    Refused(RulesetError),
}

impl fmt::Display for FilesError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str(
                "Landlock (not in this kernel, or not in its list of security modules: lsm=landlock,…)",
            ),
            Self::Refused(error) => write!(out, "Landlock ({error})"),
        }
    }
}

impl std::error::Error for FilesError {}

impl From<RulesetError> for FilesError {
    fn from(error: RulesetError) -> Self {
        Self::Refused(error)
    }
}

/// Takes all other files from this thread and those that it starts, for good. Gives the version of the kernel's rules.
pub fn forbid_others(files: &Files) -> Result<u32, FilesError> {
    let status = ruleset()?.rules(files)?.restrict_self()?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Err(FilesError::Missing),
        (_, LandlockStatus::Available { effective_abi, .. }) => Ok(effective_abi as u32),
        _ => Err(FilesError::Missing),
    }
}

fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::AbstractUnixSocket)?
        .create()
}

trait Rules: Sized {
    fn rules(self, files: &Files) -> Result<Self, RulesetError>;
}

impl Rules for RulesetCreated {
    /// What is not there needs no rule.
    fn rules(self, files: &Files) -> Result<Self, RulesetError> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let own = AccessFs::from_all(WANTED) & !BitFlags::from(AccessFs::Execute);
        let device = AccessFs::ReadFile | AccessFs::WriteFile;
        let sockets = AccessFs::MakeSock | AccessFs::RemoveFile;
        self.add_rules(path_beneath_rules(SYSTEM, read))?
            .add_rules(path_beneath_rules(DEVICES, device))?
            .add_rules(path_beneath_rules(&files.read, read))?
            .add_rules(path_beneath_rules(&files.own, own))?
            .add_rules(path_beneath_rules(&files.sockets, sockets))?
            .add_rules(files.ports.iter().map(|port| Ok(NetPort::new(*port, AccessNet::BindTcp))))
    }
}

/// What the C library reads to look a name up: its settings, its plug-ins and the services behind them. Trust stores lie
/// below the same directories.
const SYSTEM: &[&str] = &[
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/nscd",
    "/run/avahi-daemon",
    "/var/lib/sss",
    "/var/lib/ca-certificates",
];

const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

/// The directories in which a file lies, as named and as it is: links are followed, and what is replaced later is found.
pub fn places_of(file: &Path) -> Vec<PathBuf> {
    let named = std::path::absolute(file).ok();
    let real = file.canonicalize().ok();
    let mut places: Vec<PathBuf> =
        [named, real].into_iter().flatten().filter_map(|path| Some(path.parent()?.to_owned())).collect();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_keeps_its_own_directory_and_loses_the_rest() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [own, other] = ["own", "other"].map(|name| dir.path().join(name));
        for place in [&own, &other] {
            fs::create_dir(place).expect("a directory");
            fs::write(place.join("file"), "text").expect("a file");
        }
        thread::spawn(move || {
            let files = Files { own: vec![own.clone()], ..Files::default() };
            match forbid_others(&files) {
                Err(FilesError::Missing) => return eprintln!("skipped: a kernel with Landlock"),
                outcome => outcome.expect("a ruleset"),
            };
            fs::write(own.join("more"), "text").expect("its own");
            assert!(fs::read("/etc/hosts").is_ok(), "names are looked up");
            for denied in [fs::read(other.join("file")).map(drop), fs::write(other.join("more"), "text")] {
                assert_eq!(denied.expect_err("not its own").kind(), std::io::ErrorKind::PermissionDenied);
            }
            assert!(fs::write("/etc/tollgate-test", "").is_err(), "what is read is not written");
            assert!(TcpListener::bind("127.0.0.1:0").is_err(), "no port was named");
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn a_link_has_two_places() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let base = dir.path().canonicalize().expect("a directory");
        fs::create_dir(base.join("real")).expect("a directory");
        fs::write(base.join("real/file"), "").expect("a file");
        std::os::unix::fs::symlink("real/file", base.join("link")).expect("a link");
        assert_eq!(places_of(&base.join("link")), [base.clone(), base.join("real")]);
        assert_eq!(places_of(&base.join("real/file")), [base.join("real")]);
    }
}
