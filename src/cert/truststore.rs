//! A Java trust store in the JKS format, which every JDK reads and which needs no password to be read.
//!
//! Format: `sun.security.provider.JavaKeyStore` in the JDK, version 2, trusted-certificate entries only.
//! Big-endian throughout; a SHA-1 over password, a fixed phrase and the content stands at the end.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use rustls::pki_types::CertificateDer;

/// The customary password of trust stores; the file holds no secret.
pub(super) const PASSWORD: &str = "changeit";

const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;
const PHRASE: &[u8] = b"Mighty Aphrodite";

/// The store's bytes; the same certificates give the same bytes.
pub(super) fn jks(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let mut store = Vec::new();
    store.extend_from_slice(&MAGIC.to_be_bytes());
    store.extend_from_slice(&VERSION.to_be_bytes());
    store.extend_from_slice(&(certificates.len() as u32).to_be_bytes());
    for (number, certificate) in certificates.iter().enumerate() {
        store.extend_from_slice(&TRUSTED_CERTIFICATE.to_be_bytes());
        push_text(&mut store, &format!("ca-{number}"));
        store.extend_from_slice(&0_u64.to_be_bytes()); // creation date: none, so that equal content is equal
        push_text(&mut store, "X.509");
        store.extend_from_slice(&(certificate.len() as u32).to_be_bytes());
        store.extend_from_slice(certificate);
    }
    let digest = digest(&store);
    store.extend_from_slice(digest.as_ref());
    store
}

fn push_text(store: &mut Vec<u8>, text: &str) {
    store.extend_from_slice(&(text.len() as u16).to_be_bytes());
    store.extend_from_slice(text.as_bytes());
}

fn digest(content: &[u8]) -> aws_lc_rs::digest::Digest {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for unit in PASSWORD.encode_utf16() {
        context.update(&unit.to_be_bytes());
    }
    context.update(PHRASE);
    context.update(content);
    context.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_java_key_stores() {
        let certificate = CertificateDer::from(vec![0xab; 3]);
        let store = jks(&[certificate]);
        let mut expected = vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 4];
        expected.extend(b"ca-0\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x03\xab\xab\xab");
        assert_eq!(store[..store.len() - 20], expected);
        assert_eq!(store[store.len() - 20..], *digest(&expected).as_ref());
    }
}
