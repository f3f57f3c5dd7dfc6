//! What a process gives up once it has started, so that whoever takes it over has little of it: files and ports by
//! Landlock ([`files`]), system calls by seccomp ([`calls`]).
//!
//! Both hold for good and for everything that is started afterwards. Refuses to call half of it the whole: what is not
//! in force is said.

pub mod calls;
pub mod files;

use std::fmt;

use calls::{CallsError, Threads};
use files::{Files, FilesError};

/// What is in force.
#[derive(Debug)]
pub struct Confinement {
    /// The version of Landlock's rules.
    pub files: Result<u32, FilesError>,
    /// Seccomp.
    pub calls: Result<(), CallsError>,
}

impl Confinement {
    /// Whether nothing that matters is missing.
    pub fn is_whole(&self) -> bool {
        self.files.as_ref().is_ok_and(|version| *version >= files::WHOLE) && self.calls.is_ok()
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.files {
            Ok(version) => write!(out, "Landlock {version}")?,
            Err(error) => write!(out, "no {error}")?,
        }
        match &self.calls {
            Ok(()) => out.write_str(", seccomp"),
            Err(error) => write!(out, ", no {error}"),
        }
    }
}

/// Confines this process to `files` and to what a proxy does. Landlock holds for the threads that this one starts, so
/// this comes after everything is open and before they start.
pub fn confine(files: &Files) -> Confinement {
    Confinement {
        files: files::forbid_others(files),
        calls: calls::forbid_what_a_proxy_never_does(Threads::All),
    }
}

/// What [`confine`] would do here, seen on a thread that ends at once.
pub fn trial() -> Confinement {
    let trial = || Confinement {
        files: files::forbid_others(&Files::default()),
        calls: calls::forbid_what_a_proxy_never_does(Threads::This),
    };
    std::thread::spawn(trial).join().expect("neither part panics: both return what went wrong")
}
