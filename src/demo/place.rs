//! A private directory for one run, removed at its end.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// The directory. Only its owner may look inside: a CA key lies there.
pub struct Place(PathBuf);

impl Place {
    /// Makes a directory that did not exist before (LESSONS 39: never one that someone else prepared).
    pub fn new() -> io::Result<Self> {
        let base = std::env::temp_dir();
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        for n in 0..u32::MAX {
            let path = base.join(format!("tollgate-{}-{n}", std::process::id()));
            match builder.create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self(path)),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// A path inside it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0)); // what is left in a temporary directory harms nobody
    }
}
