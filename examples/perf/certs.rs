//! The certificates of a run: one authority, and a leaf for `NAME` and `*.NAME` that origin and floor both show.

use std::error::Error;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Writes `ca.pem` and `leaf.pem` (chain and key) into `dir`. Keys are ECDSA P-256.
pub fn write(dir: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Tollgate perf origin");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_string(), format!("*.{name}")])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&key, &Issuer::from_ca_cert_pem(&ca.pem(), &ca_key)?)?;
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("ca.pem"), ca.pem())?;
    std::fs::write(dir.join("leaf.pem"), leaf.pem() + &key.serialize_pem())?;
    Ok(())
}
