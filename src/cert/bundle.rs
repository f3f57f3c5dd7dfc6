//! Certificates as one PEM file: the system's roots and ours, and whatever a user already had.
//!
//! `SSL_CERT_FILE` and its kin replace a tool's roots (LESSONS 34), so a bundle always holds the system's
//! too. A bundle holds each certificate once and nothing that does not decode: one broken block makes some
//! tools refuse the file.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{CertError, facts, file};

/// Where distributions keep their roots in one file: Debian, Arch, Alpine; Fedora and RHEL; openSUSE; the
/// BSDs.
const SYSTEM_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The name of the bundle in the state directory.
pub const FILE: &str = "bundle.crt";

/// The files that hold a distribution's roots, whether they are here or not.
pub fn system_files() -> impl Iterator<Item = &'static str> {
    SYSTEM_FILES.into_iter()
}

/// Certificates in PEM form, each once, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    text: String,
    ders: Vec<CertificateDer<'static>>,
    seen: HashSet<[u8; 32]>,
}

impl Bundle {
    /// The roots of the distribution; empty where it has none.
    pub fn system() -> Self {
        let mut bundle = Self::default();
        if let Some(text) = SYSTEM_FILES.iter().find_map(|path| fs::read_to_string(path).ok()) {
            bundle.add(&text);
        }
        bundle
    }

    /// Adds the certificates of a PEM text that are not there yet, as they are written there. Says how many.
    pub fn add(&mut self, pem: &str) -> usize {
        let before = self.ders.len();
        for block in blocks(pem) {
            let Ok(der) = CertificateDer::from_pem_slice(block.as_bytes()) else { continue };
            if self.seen.insert(facts::sha256(&der)) {
                self.text.push_str(block);
                self.text.push('\n');
                self.ders.push(der);
            }
        }
        self.ders.len() - before
    }

    /// The PEM text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The certificates in DER form.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.ders
    }
}

/// The system's roots and our CA, written to `bundle.crt` in the state directory where that would change it.
pub fn write(state_dir: &Path, ca_pem: &str) -> Result<(PathBuf, Bundle), CertError> {
    let mut bundle = Bundle::system();
    bundle.add(ca_pem);
    let path = state_dir.join(FILE);
    file::write_if_changed(&path, bundle.as_str().as_bytes(), file::PUBLIC)?;
    Ok((path, bundle))
}

/// Writes any bundle to a file of the caller's choice, in one step.
pub fn write_to(path: &Path, bundle: &Bundle) -> Result<(), CertError> {
    file::write(path, bundle.as_str().as_bytes(), file::PUBLIC)
}

/// The certificate blocks of a PEM text, armour included, without what stands between them.
fn blocks(pem: &str) -> impl Iterator<Item = &str> {
    let mut rest = pem;
    std::iter::from_fn(move || {
        let from_begin = &rest[rest.find(BEGIN)?..];
        let end = from_begin.find(END)? + END.len();
        rest = &from_begin[end..];
        Some(&from_begin[..end])
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::cert::Authority;
    use crate::cert::authority::tests::NOW;

    fn ca() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let pem = Authority::open_or_create(dir.path(), NOW).unwrap().cert_pem().to_owned();
        (dir, pem)
    }

    #[test]
    fn a_certificate_stands_in_a_bundle_once() {
        let (_dir, pem) = ca();
        let mut bundle = Bundle::default();
        assert_eq!(bundle.add(&pem), 1);
        assert_eq!(bundle.add(&pem.replace('\n', "\r\n")), 0, "other line ends, the same certificate");
        assert_eq!(bundle.as_str(), pem);
    }

    #[test]
    fn comments_keys_and_broken_blocks_stay_out() {
        let (_dir, pem) = ca();
        let broken = format!("{BEGIN}\n!!!!\n{END}\n");
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let mut bundle = Bundle::default();
        assert_eq!(bundle.add(&format!("# a comment\n{broken}{key}{pem}{BEGIN}\ncut off")), 1);
        assert_eq!(bundle.as_str(), pem);
    }

    #[test]
    fn lesson_34_the_bundle_file_holds_the_systems_roots_and_ours() {
        let (dir, pem) = ca();
        let (path, bundle) = write(dir.path(), &pem).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), bundle.as_str());
        assert!(bundle.as_str().ends_with(&pem));
        assert_eq!(bundle.certificates().len(), Bundle::system().certificates().len() + 1);
    }
}
