//! Files that appear whole or not at all, with the mode they should have whatever the umask (P36).
//!
//! A file is written beside its final name, flushed to disk and renamed: a reader or a second process never
//! sees half of it, and a crash leaves the old one.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::CertError;

/// Mode of files that only their owner may read.
pub(super) const PRIVATE: u32 = 0o600;
/// Mode of files that everybody may read.
pub(super) const PUBLIC: u32 = 0o644;

/// Writes a file under its final name in one step.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CertError> {
    let part = part_name(path);
    let outcome = write_part(&part, content, mode)
        .and_then(|()| fs::rename(&part, path).map_err(CertError::io("write", path)));
    if outcome.is_err() {
        let _ = fs::remove_file(&part); // best effort: the error that matters is the one returned
    }
    outcome
}

/// Writes a file only where its content would change; says whether it did.
pub(super) fn write_if_changed(path: &Path, content: &[u8], mode: u32) -> Result<bool, CertError> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    write(path, content, mode).map(|()| true)
}

/// Makes a directory with its parents, where there is none. Others may look in (tools of other users read the
/// bundle); what they must not read has a mode of its own.
pub(super) fn make_dir(dir: &Path) -> Result<(), CertError> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(CertError::io("create", dir))
}

/// Reads a text file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, CertError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CertError::io("read", path)(error)),
    }
}

/// Holds an exclusive lock among processes until the returned file is dropped.
pub(super) fn lock(path: &Path) -> Result<File, CertError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path)
        .map_err(CertError::io("open", path))?;
    file.lock().map_err(CertError::io("lock", path))?;
    Ok(file)
}

/// Unique among processes and threads, so that two writers never share a part file.
fn part_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{:?}.part", std::process::id(), std::thread::current().id()));
    PathBuf::from(name)
}

fn write_part(part: &Path, content: &[u8], mode: u32) -> Result<(), CertError> {
    let _ = fs::remove_file(part); // left by a process of the same id that was killed
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(part)
        .map_err(CertError::io("create", part))?;
    file.set_permissions(Permissions::from_mode(mode)) // the umask may have taken bits away
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all())
        .map_err(CertError::io("write", part))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write(&path, b"one", PUBLIC).unwrap();
        write(&path, b"two", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn equal_content_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(write_if_changed(&path, b"one", PUBLIC).unwrap());
        assert!(!write_if_changed(&path, b"one", PUBLIC).unwrap());
        assert!(write_if_changed(&path, b"two", PUBLIC).unwrap());
    }

    #[test]
    fn a_failed_write_leaves_no_part_behind() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("taken");
        fs::create_dir(&target).unwrap();
        assert!(write(&target, b"x", PUBLIC).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
