//! The key that secrets are hashed with: 32 random bytes in a file of their own, made at first use.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::rand;

/// Bytes of a key.
const LENGTH: usize = 32;

/// Reads the key, or makes one with mode 0600 whatever the umask. Two processes that start at once agree on one.
pub fn load_key(path: &Path) -> io::Result<[u8; LENGTH]> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path)?;
            read(path)
        }
        result => result,
    }
}

fn read(path: &Path) -> io::Result<[u8; LENGTH]> {
    let mut file = fs::File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others can read this key; `chmod 600` it, or delete it to have a new one made",
        ));
    }
    let mut key = [0; LENGTH];
    file.read_exact(&mut key)?;
    Ok(key)
}

/// Writes a whole key under a name of its own, then links it to the final name, which fails where there is one.
fn create(path: &Path) -> io::Result<()> {
    let mut key = [0; LENGTH];
    rand::fill(&mut key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p36_the_key_is_private_and_stays_the_same() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("redaction.key");
        let key = load_key(&path).expect("made");
        assert_eq!(load_key(&path).expect("read"), key);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("redaction.key");
        load_key(&path).expect("made");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
        assert_eq!(load_key(&path).expect_err("refused").kind(), io::ErrorKind::PermissionDenied);
    }
}
