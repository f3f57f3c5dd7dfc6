//! The certificate authority on disk: `ca.crt` and `ca.key` in the state directory.
//!
//! Made once, then the same for ever (P36). It refuses a key that others can read or write, a certificate
//! that is expired, not yet valid or no CA, and a key that does not fit. A CA that an operator brings is held
//! to the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::mint::{self, LeafKey, Signer, Validity};
use super::{CertError, Facts, facts, file};
use crate::policy::host::Host;

const DAY: i64 = 86_400;
/// How long a new CA is valid.
const LIFETIME: i64 = 3650 * DAY;
/// How far back validity starts, for guests whose clock is behind (LESSONS 32).
const BACKDATE: i64 = 30 * DAY;

/// Where a CA lies in a state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The certificate, PEM, readable by everybody.
    pub cert: PathBuf,
    /// The private key, PEM, mode 0600.
    pub key: PathBuf,
}

impl Paths {
    /// `ca.crt` and `ca.key` in that directory.
    pub fn in_dir(dir: &Path) -> Self {
        Self { cert: dir.join("ca.crt"), key: dir.join("ca.key") }
    }
}

/// A CA that has been checked and can sign.
pub struct Authority {
    cert_pem: String,
    chain: Vec<CertificateDer<'static>>,
    facts: Facts,
    signer: Signer,
}

impl Authority {
    /// Opens the CA of a state directory, or makes it where there is none. Of several processes that start at
    /// once one makes it and all get the same.
    pub fn open_or_create(dir: &Path, now_wall_us: i64) -> Result<Self, CertError> {
        match Self::create(dir, &[], now_wall_us) {
            Err(CertError::Exists(_)) => Self::open(&Paths::in_dir(dir), now_wall_us),
            outcome => outcome,
        }
    }

    /// Makes a CA in a directory (made too), constrained to the given domains where there are any.
    /// [`CertError::Exists`] where there is one.
    pub fn create(dir: &Path, permitted: &[Host], now_wall_us: i64) -> Result<Self, CertError> {
        let paths = Paths::in_dir(dir);
        if !paths.cert.exists() {
            file::make_dir(dir)?;
            let _lock = file::lock(&dir.join("ca.lock"))?;
            if !paths.cert.exists() {
                write_new(&paths, permitted, now_wall_us)?;
                return Self::open(&paths, now_wall_us);
            }
        }
        Err(CertError::Exists(paths.cert))
    }

    /// Opens a CA from its two files and checks everything.
    pub fn open(paths: &Paths, now_wall_us: i64) -> Result<Self, CertError> {
        let cert_pem = facts::certificate_text(&paths.cert)?;
        refuse_exposed(&paths.key)?;
        let key_pem = file::read(&paths.key)?.ok_or_else(|| CertError::Missing(paths.key.clone()))?;
        Self::load(&cert_pem, &key_pem, now_wall_us)
    }

    /// Takes a CA from PEM texts and checks everything but the files' permissions. The first certificate
    /// signs; where it is not self-issued, it and those after it are sent along with each leaf.
    pub fn load(cert_pem: &str, key_pem: &str, now_wall_us: i64) -> Result<Self, CertError> {
        let certs = certificates(cert_pem)?;
        let facts = Facts::parse(&certs[0])?;
        refuse_unfit(&facts, now_wall_us)?;
        let signer = Signer::load(&certs[0], key_pem)?;
        if signer.public_key_der() != facts.public_key_der {
            return Err(CertError::Unusable("the key does not belong to the certificate"));
        }
        let chain = if facts.self_issued { Vec::new() } else { certs };
        let authority = Self { cert_pem: cert_pem.to_owned(), chain, facts, signer };
        authority.refuse_inexact_name()?;
        Ok(authority)
    }

    /// Makes a CA that is kept nowhere, for the lab.
    pub fn unsaved(now_wall_us: i64) -> Result<Self, CertError> {
        let key = mint::new_key()?;
        Self::load(&mint::self_signed(&key, &[], validity(now_wall_us))?, &key, now_wall_us)
    }

    /// The certificate file's text.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// What the certificate says.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Certificates to send after each leaf: none for a self-signed CA, since guests hold it already (RFC
    /// 8446 §4.4.2 lets the root be left out, and every handshake is smaller by it).
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Signs a leaf whose validity stays inside the CA's own.
    pub(super) fn sign(
        &self,
        host: &Host,
        key: &LeafKey,
        wanted: Validity,
    ) -> Result<(CertificateDer<'static>, Validity), CertError> {
        let valid = Validity {
            not_before: wanted.not_before.max(self.facts.not_before),
            not_after: wanted.not_after.min(self.facts.not_after),
        };
        if valid.not_after <= valid.not_before {
            return Err(CertError::Expired(self.facts.not_after));
        }
        Ok((self.signer.leaf(host, key, valid)?, valid))
    }

    /// Verifiers chain by the exact bytes of the name. A name that the signing library would write in other
    /// bytes (several values of one kind, rare string types) must not be found out by guests.
    fn refuse_inexact_name(&self) -> Result<(), CertError> {
        let host = Host::parse(b"probe.invalid").map_err(|_| CertError::Unusable("no probe"))?;
        let all = Validity { not_before: self.facts.not_before, not_after: self.facts.not_after };
        let (leaf, _) = self.sign(&host, &LeafKey::generate()?, all)?;
        if Facts::parse(&leaf)?.issuer_der == self.facts.subject_der {
            return Ok(());
        }
        Err(CertError::Unusable(
            "its subject has a form that cannot be copied exactly; use a simple O and CN",
        ))
    }
}

/// The key first and its certificate last: a crash between the two leaves a key for which the next start
/// makes the very same CA (its name follows from the key).
fn write_new(paths: &Paths, permitted: &[Host], now_wall_us: i64) -> Result<(), CertError> {
    let key = match file::read(&paths.key)? {
        Some(left_over) => left_over,
        None => mint::new_key()?,
    };
    let cert = mint::self_signed(&key, permitted, validity(now_wall_us))?;
    if !paths.key.exists() {
        file::write(&paths.key, key.as_bytes(), file::PRIVATE)?;
    }
    file::write(&paths.cert, cert.as_bytes(), file::PUBLIC)
}

/// A new CA's.
fn validity(now_wall_us: i64) -> Validity {
    let now = now_wall_us / 1_000_000;
    Validity { not_before: now - BACKDATE, not_after: now + LIFETIME }
}

fn refuse_exposed(key: &Path) -> Result<(), CertError> {
    match fs::metadata(key) {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            Err(CertError::Exposed { path: key.to_owned(), mode: meta.permissions().mode() & 0o7777 })
        }
        Ok(_) => Ok(()),
        Err(_) => Err(CertError::Missing(key.to_owned())),
    }
}

fn refuse_unfit(facts: &Facts, now_wall_us: i64) -> Result<(), CertError> {
    let now = now_wall_us / 1_000_000;
    if !facts.is_ca {
        return Err(CertError::Unusable("the certificate is no CA certificate (basicConstraints)"));
    }
    if !facts.may_sign {
        return Err(CertError::Unusable("the certificate may not sign others (keyUsage)"));
    }
    if now < facts.not_before {
        return Err(CertError::NotYetValid(facts.not_before));
    }
    if now >= facts.not_after {
        return Err(CertError::Expired(facts.not_after));
    }
    Ok(())
}

/// All certificates of a PEM text; at least one.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(certs) if !certs.is_empty() => Ok(certs),
        _ => Err(facts::NO_PEM),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(super) mod tests {
    use super::*;

    /// 2026-07-01, in Unix microseconds.
    pub(in crate::cert) const NOW: i64 = 1_782_864_000_000_000;
    const DAY_US: i64 = DAY * 1_000_000;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn p36_the_ca_is_private_and_stable_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        let first = Authority::open_or_create(&state, NOW).unwrap();
        let second = Authority::open_or_create(&state, NOW + DAY_US).unwrap();
        assert_eq!(first.facts(), second.facts());
        let paths = Paths::in_dir(&state);
        assert_eq!((mode(&paths.key), mode(&paths.cert)), (0o600, 0o644));
    }

    #[test]
    fn p36_processes_that_start_at_once_get_one_ca() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Authority::open_or_create(dir.path(), NOW).unwrap().facts().fingerprint;
        let prints: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(prints.iter().all(|print| *print == prints[0]));
    }

    #[test]
    fn a_crash_between_key_and_certificate_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let before = Authority::open_or_create(dir.path(), NOW).unwrap();
        fs::remove_file(dir.path().join("ca.crt")).unwrap();
        let after = Authority::open_or_create(dir.path(), NOW).unwrap();
        assert_eq!(before.facts().public_key_der, after.facts().public_key_der);
        assert_eq!(before.facts().subject_der, after.facts().subject_der, "old leaves still chain");
    }

    #[test]
    fn a_ca_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        Authority::create(dir.path(), &[], NOW).unwrap();
        let before = fs::read(dir.path().join("ca.crt")).unwrap();
        assert!(matches!(Authority::create(dir.path(), &[], NOW), Err(CertError::Exists(_))));
        assert_eq!(fs::read(dir.path().join("ca.crt")).unwrap(), before);
    }

    #[test]
    fn p36_a_key_that_others_can_touch_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        Authority::open_or_create(dir.path(), NOW).unwrap();
        let key = dir.path().join("ca.key");
        for mode in [0o640, 0o604, 0o602, 0o620, 0o666] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let error = Authority::open_or_create(dir.path(), NOW).err().unwrap().to_string();
            assert!(error.contains(&format!("chmod 600 {}", key.display())), "{mode:o}: {error}");
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(Authority::open_or_create(dir.path(), NOW).is_ok());
    }

    #[test]
    fn a_missing_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        Authority::open_or_create(dir.path(), NOW).unwrap();
        fs::remove_file(dir.path().join("ca.key")).unwrap();
        assert!(matches!(Authority::open_or_create(dir.path(), NOW), Err(CertError::Missing(_))));
    }

    #[test]
    fn what_cannot_be_a_ca_is_refused() {
        let key = mint::new_key().unwrap();
        let valid = Validity { not_before: 1_000, not_after: 2_000 };
        let cert = mint::self_signed(&key, &[], valid).unwrap();
        let at = |second: i64| Authority::load(&cert, &key, second * 1_000_000).err();
        assert!(at(1_500).is_none());
        assert!(matches!(at(999), Some(CertError::NotYetValid(1_000))));
        assert!(matches!(at(2_000), Some(CertError::Expired(2_000))));

        let refusal =
            |cert: &str, key: &str| Authority::load(cert, key, 1_500_000_000).err().unwrap().to_string();
        let other = mint::new_key().unwrap();
        assert!(refusal(&cert, &other).contains("does not belong"));
        assert!(refusal(&cert, "nonsense").contains("no unencrypted private key"));
        assert!(refusal("nonsense", &key).contains("no certificate"));
    }

    #[test]
    fn a_leaf_is_no_ca() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(dir.path(), NOW).unwrap();
        let host = Host::parse(b"leaf.example").unwrap();
        let valid = Validity { not_before: 0, not_after: i64::MAX };
        let (leaf, _) = authority.sign(&host, &LeafKey::generate().unwrap(), valid).unwrap();
        let refused = refuse_unfit(&Facts::parse(&leaf).unwrap(), NOW).unwrap_err().to_string();
        assert!(refused.contains("no CA certificate"), "{refused}");
    }

    #[test]
    fn constraints_are_in_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let domain = Host::parse(b"example.com").unwrap();
        let authority = Authority::create(dir.path(), &[domain], NOW).unwrap();
        assert_eq!(authority.facts().constraints, ["example.com"]);
    }
}
