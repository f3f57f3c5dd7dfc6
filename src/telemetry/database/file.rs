//! The files themselves: mode 0600 whatever the umask, which file a path leads to, and setting one aside.

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes the file where there is none, and private where it is not; SQLite gives its side files the same mode.
/// Returns its size. A log without its database belongs to a file that is gone, and goes too.
pub(super) fn prepare(path: &Path) -> io::Result<u64> {
    if !path.exists() {
        for side in ["-wal", "-shm"] {
            remove(&with_suffix(path, side))?;
        }
    }
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    if metadata.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(metadata.len())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Which files a database's path and that of its log lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    database: (u64, u64),
    /// None before the first write.
    log: Option<(u64, u64)>,
}

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        Ok(Self { database: file(path)?, log: file(&with_suffix(path, "-wal")).ok() })
    }

    /// Whether `self`, taken now, is what `opened` was.
    pub(super) fn is_same_file(&self, opened: &Self) -> bool {
        self.database == opened.database && (opened.log.is_none() || self.log == opened.log)
    }
}

/// Bytes in the write-ahead log.
pub(super) fn wal_size(path: &Path) -> u64 {
    fs::metadata(with_suffix(path, "-wal")).map_or(0, |metadata| metadata.len())
}

/// Renames a database and its side files to `….corrupt-<stamp>`; returns the new name.
pub(super) fn set_aside(path: &Path, stamp: i64) -> io::Result<PathBuf> {
    let aside = with_suffix(path, &format!(".corrupt-{stamp}"));
    fs::rename(path, &aside)?;
    for side in ["-wal", "-shm"] {
        match fs::rename(with_suffix(path, side), with_suffix(&aside, side)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p36_the_file_is_private_even_when_it_was_not() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("ledger.db");
        let mode = || fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(prepare(&path).expect("made"), 0);
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
        prepare(&path).expect("there");
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn setting_aside_takes_the_side_files_along() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("ledger.db");
        fs::write(&path, "a").expect("written");
        fs::write(with_suffix(&path, "-wal"), "b").expect("written");
        let aside = set_aside(&path, 17).expect("renamed");
        assert_eq!(aside, dir.path().join("ledger.db.corrupt-17"));
        assert_eq!(fs::read(with_suffix(&aside, "-wal")).expect("there"), b"b");
        assert!(!path.exists());
    }
}
