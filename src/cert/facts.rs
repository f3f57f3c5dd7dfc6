//! What a certificate says about itself: the fields that decide whether it can sign, and those a person wants
//! to see.
//!
//! Reads only; it verifies no signature.

use std::path::Path;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{
    ASN1Time, AttributeTypeAndValue, FromDer, GeneralName, ParsedExtension, X509Certificate,
};

use super::{CertError, file};

const NOT_X509: CertError = CertError::Unusable("it is no X.509 certificate");
pub(super) const NO_PEM: CertError =
    CertError::Unusable("the certificate file holds no certificate in PEM form");

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
        let (_, cert) = X509Certificate::from_der(der).map_err(|_| NOT_X509)?;
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

/// What the first certificate of a PEM file says.
pub fn of_file(path: &Path) -> Result<Facts, CertError> {
    let text = certificate_text(path)?;
    Facts::parse(&CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| NO_PEM)?)
}

/// A certificate file's text; it must be there.
pub fn certificate_text(path: &Path) -> Result<String, CertError> {
    file::read(path)?.ok_or_else(|| CertError::Missing(path.to_owned()))
}

/// The name that OpenSSL expects of this certificate's file in a directory of roots (`X509_NAME_hash`): SHA-1
/// over the subject in canonical form, which is lower case with single spaces, in UTF-8.
pub(super) fn subject_hash(pem: &str) -> Result<u32, CertError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| NO_PEM)?;
    let (_, cert) = X509Certificate::from_der(&der).map_err(|_| NOT_X509)?;
    let mut canonical = Vec::new();
    for rdn in cert.subject().iter() {
        let attributes: Vec<u8> = rdn.iter().flat_map(canonical_attribute).collect();
        canonical.extend(tagged(0x31, &attributes));
    }
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &canonical);
    let start = digest.as_ref().first_chunk().expect("SHA-1 is 20 bytes long");
    Ok(u32::from_le_bytes(*start))
}

/// A Unix second as a date for people, in UTC.
pub fn date(second: i64) -> String {
    ASN1Time::from_timestamp(second)
        .ok()
        .and_then(|time| time.to_rfc2822().ok())
        .unwrap_or_else(|| second.to_string())
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 is 32 bytes long")
}

fn constraints(cert: &X509Certificate<'_>) -> Vec<String> {
    let permitted = cert.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(found) => found.permitted_subtrees.as_ref(),
        _ => None,
    });
    permitted.into_iter().flatten().map(|tree| general_name(&tree.base)).collect()
}

fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(domain) => (*domain).to_owned(),
        other => other.to_string(),
    }
}

fn canonical_attribute(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let text = attribute.as_str().unwrap_or_default().to_ascii_lowercase();
    let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let mut pair = tagged(0x06, attribute.attr_type().as_bytes());
    pair.extend(tagged(0x0c, text.as_bytes()));
    tagged(0x30, &pair)
}

/// DER with a short or a two-byte length; parts of a name are never longer.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match content.len() {
        short @ 0..128 => der.push(short as u8),
        long => der.extend_from_slice(&[0x82, (long >> 8) as u8, long as u8]),
    }
    der.extend_from_slice(content);
    der
}
