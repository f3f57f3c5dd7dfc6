//! Signing: the CA's own certificate, and a leaf for each host. The only file that names `rcgen`.
//!
//! Takes validity as Unix seconds and reads no clock. What it signs is exactly what is asked for; whether the
//! CA may sign at all is decided in `authority`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, SanType,
    SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::CertError;
use crate::policy::host::Host;

/// X.520's upper bound of a common name; a longer host stands in the SAN alone.
const COMMON_NAME_MAX: usize = 64;

/// First and last second of validity, Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// The CA's name and key, ready to sign.
pub(super) struct Signer(Issuer<'static, KeyPair>);

impl Signer {
    /// Takes the issuer's name and key identifier from its certificate.
    pub(super) fn load(cert: &CertificateDer<'_>, key_pem: &str) -> Result<Self, CertError> {
        Ok(Self(Issuer::from_ca_cert_der(cert, key_pair(key_pem)?)?))
    }

    /// The public key as it stands in a certificate, to be compared with it.
    pub(super) fn public_key_der(&self) -> Vec<u8> {
        self.0.key().subject_public_key_info()
    }

    /// A server certificate for exactly this host (P4, LESSONS 31).
    pub(super) fn leaf(
        &self,
        host: &Host,
        key: &LeafKey,
        valid: Validity,
    ) -> Result<CertificateDer<'static>, CertError> {
        let mut params = params(valid)?;
        params.subject_alt_names = vec![san(host)?];
        if host.as_str().len() <= COMMON_NAME_MAX {
            params.distinguished_name.push(DnType::CommonName, host.as_str());
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(&key.0, &self.0)?.into())
    }
}

/// The one key that all leaves of this process share; never the CA's.
pub(super) struct LeafKey(KeyPair);

impl LeafKey {
    /// A fresh ECDSA P-256 key.
    pub(super) fn generate() -> Result<Self, CertError> {
        Ok(Self(KeyPair::generate()?))
    }

    /// The private key, for the TLS library.
    pub(super) fn private_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }
}

/// A fresh ECDSA P-256 key for a CA, in PEM.
pub(super) fn new_key() -> Result<String, CertError> {
    Ok(KeyPair::generate()?.serialize_pem())
}

/// A self-signed CA certificate over that key, in PEM. It signs leaves only (path length 0), and with
/// `permitted` for these domains and what is below them only. The name follows from the key, so the same key
/// gives the same CA.
pub(super) fn self_signed(key_pem: &str, permitted: &[Host], valid: Validity) -> Result<String, CertError> {
    let key = key_pair(key_pem)?;
    let mut params = params(valid)?;
    let id = params.key_identifier(&key).first_chunk().map_or(0, |start| u32::from_be_bytes(*start));
    params.distinguished_name.push(DnType::OrganizationName, "Tollgate");
    params.distinguished_name.push(DnType::CommonName, format!("Tollgate CA {id:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = (!permitted.is_empty()).then(|| name_constraints(permitted));
    Ok(params.self_signed(&key)?.pem())
}

/// Domains constrain DNS names only (RFC 5280 §4.2.1.10), so addresses are excluded by themselves.
fn name_constraints(permitted: &[Host]) -> NameConstraints {
    NameConstraints {
        permitted_subtrees: permitted
            .iter()
            .map(|host| GeneralSubtree::DnsName(host.as_str().to_owned()))
            .collect(),
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(Ipv4Addr::UNSPECIFIED.into(), 0)),
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(Ipv6Addr::UNSPECIFIED.into(), 0)),
        ],
    }
}

/// What every certificate has: an empty name, these dates, a random serial number.
fn params(valid: Validity) -> Result<CertificateParams, CertError> {
    let mut params = CertificateParams::default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params.not_before = epoch + Duration::from_secs(valid.not_before.max(0) as u64);
    params.not_after = epoch + Duration::from_secs(valid.not_after.max(0) as u64);
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// 126 random bits in 16 bytes: positive, never zero, of one length (RFC 5280 §4.1.2.2).
fn serial() -> Result<SerialNumber, CertError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CertError::Crypto("no randomness".to_owned()))?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn san(host: &Host) -> Result<SanType, CertError> {
    Ok(match host.ip() {
        Some(ip @ (IpAddr::V4(_) | IpAddr::V6(_))) => SanType::IpAddress(ip),
        None => SanType::DnsName(Ia5String::try_from(host.as_str())?),
    })
}

fn key_pair(pem: &str) -> Result<KeyPair, CertError> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| CertError::Unusable("the key file holds no unencrypted private key in PEM form"))?;
    KeyPair::try_from(&der)
        .map_err(|_| CertError::Unusable("the key is of no kind that can sign (ECDSA, Ed25519, RSA)"))
}

impl From<rcgen::Error> for CertError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}
