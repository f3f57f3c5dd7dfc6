//! What a certificate says about itself: the fields that decide whether it can sign, and those a person wants to see.
//!
//! Reads only; it verifies no signature.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{ASN1Time, FromDer, ParsedExtension, X509Certificate};

use super::CertError;

/// The fields of one certificate that Tollgate looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The subject as text: `O=Tollgate, CN=…`.
    pub subject: String,
    /// First second of validity, Unix time.
    pub not_before: i64,
    /// Last second of validity, Unix time.
    pub not_after: i64,
    /// SHA-256 over the DER form.
    pub fingerprint: [u8; 32],
    /// basicConstraints says CA:TRUE.
    pub is_ca: bool,
    /// keyUsage is absent or holds keyCertSign.
    pub may_sign: bool,
    /// Subject and issuer are the same name.
    pub self_issued: bool,
    /// The names it may sign for (`permittedSubtrees` of nameConstraints), as text; empty: any.
    pub constraints: Vec<String>,
    pub(super) subject_der: Vec<u8>,
    pub(super) issuer_der: Vec<u8>,
    pub(super) public_key_der: Vec<u8>,
}

impl Facts {
    /// Reads one certificate in DER form.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, CertError> {
        let (_, cert) =
            X509Certificate::from_der(der).map_err(|_| CertError::Unusable("it is no X.509 certificate"))?;
        let is_ca = matches!(cert.basic_constraints(), Ok(Some(found)) if found.value.ca);
        let may_sign = match cert.key_usage() {
            Ok(Some(usage)) => usage.value.key_cert_sign(),
            Ok(None) => true,
            Err(_) => false,
        };
        Ok(Self {
            subject: cert.subject().to_string(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            fingerprint: sha256(der),
            is_ca,
            may_sign,
            self_issued: cert.subject().as_raw() == cert.issuer().as_raw(),
            constraints: constraints(&cert),
            subject_der: cert.subject().as_raw().to_vec(),
            issuer_der: cert.issuer().as_raw().to_vec(),
            public_key_der: cert.public_key().raw.to_vec(),
        })
    }

    /// The fingerprint as people compare it: `AB:CD:…`.
    pub fn fingerprint_text(&self) -> String {
        let pairs: Vec<String> = self.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

/// A Unix second as a date for people, in UTC.
pub fn date(second: i64) -> String {
    ASN1Time::from_timestamp(second)
        .ok()
        .and_then(|time| time.to_rfc2822().ok())
        .unwrap_or_else(|| second.to_string())
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 is 32 bytes long")
}

fn constraints(cert: &X509Certificate<'_>) -> Vec<String> {
    let permitted = cert.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(found) => found.permitted_subtrees.as_ref(),
        _ => None,
    });
    permitted.into_iter().flatten().map(|tree| tree.base.to_string()).collect()
}
