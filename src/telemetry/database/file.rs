//! The files themselves: mode 0600 whatever the umask, which file a path leads to, and setting one aside.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::telemetry::sink::Trouble;

/// Makes the file where there is none, and private where it is not; SQLite gives its side files the same mode.
/// Returns its size. A log without its database belongs to a file that is gone, and goes too.
///
/// A file that is there is not opened: closing it would give up the locks that this process holds on it through
/// SQLite.
pub(super) fn prepare(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => {
            if metadata.permissions().mode() & 0o777 != 0o600 {
                fs::set_permissions(path, Permissions::from_mode(0o600))?;
            }
            Ok(metadata.len())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for side in ["-wal", "-shm"] {
                remove(&with_suffix(path, side))?;
            }
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Watches whether a database's path and that of its log still lead to the files that were opened, and whether these
/// still look like what they were: SQLite itself would go on writing to a file that was deleted or overwritten.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    log_path: PathBuf,
    database_id: (u64, u64),
    /// None before the first write.
    log_id: Option<(u64, u64)>,
    /// Stays open for as long as the connection, for the reason that [`prepare`] gives.
    database: File,
}

impl Watch {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let log_path = with_suffix(path, "-wal");
        let log_id = fs::metadata(&log_path).ok().map(|metadata| id(&metadata));
        let database = File::open(path)?;
        Ok(Self { path: path.to_owned(), log_path, database_id: id(&database.metadata()?), log_id, database })
    }

    /// Bytes in the write-ahead log, or what became of the files.
    pub(super) fn look(&mut self) -> Result<u64, Trouble> {
        let in_place = fs::metadata(&self.path).is_ok_and(|metadata| id(&metadata) == self.database_id);
        let log = fs::metadata(&self.log_path).ok();
        let log_id = log.as_ref().map(id);
        if !in_place || (self.log_id.is_some() && self.log_id != log_id) {
            return Err(Trouble::Deleted);
        }
        self.log_id = log_id;
        let size = log.map_or(0, |metadata| metadata.len());
        if !self.is_database() || (size > 0 && !self.is_log()) {
            return Err(Trouble::Corrupt);
        }
        Ok(size)
    }

    fn is_database(&self) -> bool {
        let mut head = [0; DATABASE_MAGIC.len()];
        self.database.read_exact_at(&mut head, 0).is_ok() && head == *DATABASE_MAGIC
    }

    /// A log that cannot be opened now (no descriptor is left) is not looked at: that says nothing about it.
    fn is_log(&self) -> bool {
        let mut head = [0; 4];
        let Ok(mut log) = File::open(&self.log_path) else { return true };
        log.read_exact(&mut head).is_ok() && u32::from_be_bytes(head) & !1 == LOG_MAGIC
    }
}

/// How a database begins (SQLite file format, 1.3).
const DATABASE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// How a write-ahead log begins, but for the last bit, which is the byte order of its checksums (4.1).
const LOG_MAGIC: u32 = 0x377f_0682;

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
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
