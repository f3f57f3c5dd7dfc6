//! Whom to believe at the other end: TLS client configurations for origins.
//!
//! Roots are the system's, or Mozilla's where the system has none, and the files that the operator adds. A
//! host may have its own: CA files that replace all roots (a pin), a client certificate, a higher TLS
//! version. Each variant has a session cache of its own, so a session made under one trust is never resumed
//! under another. There is no switch that turns verification off (P28).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::config::{HostTrust, MinTls, Upstream};
use crate::policy::host::{Host, HostPattern};

/// Servers whose sessions a variant remembers.
const SESSIONS: usize = 256;

/// Why trust cannot be set up. Nothing is guessed in its place.
#[derive(Debug)]
pub enum TrustError {
    /// A file cannot be read.
    Io(PathBuf, io::Error),
    /// A file holds no certificate, or one that is broken.
    NoCertificate(PathBuf),
    /// A file holds no private key.
    NoKey(PathBuf),
    /// The same pattern stands twice.
    Twice(HostPattern),
    /// The TLS library refuses; its own words.
    Tls(String),
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::NoCertificate(path) => {
                write!(f, "{} holds no usable certificate in PEM form", path.display())
            }
            Self::NoKey(path) => write!(f, "{} holds no unencrypted private key in PEM form", path.display()),
            Self::Twice(hosts) => write!(f, "{hosts} has two trust entries"),
            Self::Tls(why) => write!(f, "TLS towards origins: {why}"),
        }
    }
}

impl std::error::Error for TrustError {}

impl From<rustls::Error> for TrustError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error.to_string())
    }
}

/// Client configurations for all hosts; shared by all reactors.
pub struct Trust {
    /// The first is everybody's.
    variants: Vec<Arc<ClientConfig>>,
    /// Pattern and variant of those that have one of their own; few, so that a walk is cheap.
    hosts: Vec<(HostPattern, u32)>,
}

impl Trust {
    /// Reads all files and builds all variants.
    pub fn new(settings: &Upstream) -> Result<Self, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(roots(&settings.extra_ca_files)?);
        let common = Variant { roots: Arc::clone(&roots), min_tls: settings.min_tls, client: None };
        let mut variants = vec![common.config(&provider)?];
        let mut hosts: Vec<(HostPattern, u32)> = Vec::new();
        for own in &settings.hosts {
            if hosts.iter().any(|(pattern, _)| *pattern == own.host) {
                return Err(TrustError::Twice(own.host.clone()));
            }
            hosts.push((own.host.clone(), variants.len() as u32));
            variants.push(variant_of(own, &roots, settings.min_tls)?.config(&provider)?);
        }
        Ok(Self { variants, hosts })
    }

    /// The configuration to meet a host with.
    pub fn client_config(&self, host: &Host) -> Arc<ClientConfig> {
        Arc::clone(&self.variants[self.key(host) as usize])
    }

    /// Which variant that is, for the pool: connections of different variants are never exchanged.
    pub fn key(&self, host: &Host) -> u32 {
        self.hosts.iter().find(|(pattern, _)| pattern.matches(host)).map_or(0, |(_, variant)| *variant)
    }
}

/// The name to send as SNI and to verify: the host's own, an address as an address.
pub fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host.ip() {
        Some(ip) => Some(ServerName::IpAddress(ip.into())),
        None => ServerName::try_from(host.as_str().to_owned()).ok(),
    }
}

/// What one client configuration is made of.
struct Variant {
    roots: Arc<RootCertStore>,
    min_tls: MinTls,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Variant {
    fn config(self, provider: &Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, TrustError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions(self.min_tls))?
            .with_root_certificates(self.roots);
        let mut config = match self.client {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Arc::new(config))
    }
}

fn versions(min: MinTls) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static FROM_13: [&SupportedProtocolVersion; 1] = [&TLS13];
    match min {
        MinTls::Tls12 => &FROM_12,
        MinTls::Tls13 => &FROM_13,
    }
}

fn variant_of(own: &HostTrust, common: &Arc<RootCertStore>, min_tls: MinTls) -> Result<Variant, TrustError> {
    let roots = if own.ca_files.is_empty() {
        Arc::clone(common)
    } else {
        let mut pinned = RootCertStore::empty();
        add_files(&mut pinned, &own.ca_files)?;
        Arc::new(pinned)
    };
    let client = own.client_certificate.as_ref().map(|(cert, key)| read_client(cert, key)).transpose()?;
    Ok(Variant { roots, min_tls: own.min_tls.unwrap_or(min_tls), client })
}

fn read_client(
    cert: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TrustError> {
    match PrivateKeyDer::from_pem_file(key) {
        Ok(der) => Ok((certificates(cert)?, der)),
        Err(pem::Error::Io(error)) => Err(TrustError::Io(key.to_owned(), error)),
        Err(_) => Err(TrustError::NoKey(key.to_owned())),
    }
}

/// A damaged certificate in the system's store is passed over, as every program does; one that the operator
/// names is not.
fn roots(extra: &[PathBuf]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    add_files(&mut roots, extra)?;
    Ok(roots)
}

fn add_files(roots: &mut RootCertStore, files: &[PathBuf]) -> Result<(), TrustError> {
    for file in files {
        for cert in certificates(file)? {
            roots.add(cert).map_err(|_| TrustError::NoCertificate(file.clone()))?;
        }
    }
    Ok(())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match found {
        Ok(certs) if !certs.is_empty() => Ok(certs),
        Err(pem::Error::Io(error)) => Err(TrustError::Io(file.to_owned(), error)),
        _ => Err(TrustError::NoCertificate(file.to_owned())),
    }
}
