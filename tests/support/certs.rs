//! Certificates for test origins, good ones and every bad kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It names another host.
    WrongName,
    /// It is signed by its own key.
    SelfSigned,
    /// It is signed by an authority that nobody trusts.
    UnknownIssuer,
}

/// An authority for test origins; its certificate lies in a file that the proxy is told to trust.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    /// Makes an authority and writes its certificate into `dir`.
    pub fn new(dir: &Path) -> Self {
        let issuer = issuer("Test Origins");
        let file = dir.join("origins.crt");
        std::fs::write(&file, issuer.pem()).expect("a writable directory");
        Self { issuer, file }
    }

    /// The certificate's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A server configuration for `host` with the given flaw.
    pub fn server(&self, host: &str, flaw: Flaw) -> Arc<ServerConfig> {
        self.configure(vec![host.to_owned()], flaw)
    }

    /// A server configuration with one certificate for all these hosts and addresses.
    pub fn server_for(&self, hosts: impl IntoIterator<Item = String>) -> Arc<ServerConfig> {
        self.configure(hosts.into_iter().collect(), Flaw::None)
    }

    fn configure(&self, hosts: Vec<String>, flaw: Flaw) -> Arc<ServerConfig> {
        let (chain, key) = self.leaf(hosts, flaw);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("default versions")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("a key that matches its certificate");
        Arc::new(config)
    }

    fn leaf(&self, hosts: Vec<String>, flaw: Flaw) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let names = if flaw == Flaw::WrongName { vec!["other.example".to_owned()] } else { hosts };
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = match flaw {
            Flaw::Expired => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Flaw::NotYetValid => (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1)),
            _ => (date_time_ymd(2024, 1, 1), date_time_ymd(2090, 1, 1)),
        };
        let leaf = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            Flaw::UnknownIssuer => params.signed_by(&key, &issuer("Nobody's Authority")),
            _ => params.signed_by(&key, &self.issuer),
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8");
        (leaf.expect("a signature").into(), key)
    }
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(2090, 1, 1));
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a signature")
}
