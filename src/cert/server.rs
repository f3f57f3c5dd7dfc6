//! The TLS server that a guest meets: one configuration for each host, from a bounded, expiring cache.
//!
//! TLS 1.2 and 1.3, ALPN `http/1.1` or `http/1.0`, no client certificates, no early data, no session store: resumption
//! is by ticket, and a ticket is bound to the host whose connection it was issued on. Minting happens on the
//! caller's thread outside any lock.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, server::ResolvesServerCertUsingSni};

use super::cache::Cache;
use super::mint::{LeafKey, Validity};
use super::{Authority, CertError};
use crate::policy::host::Host;

const DAY: i64 = 86_400;
/// How far back a leaf's validity starts, for guests whose clock is behind (LESSONS 32).
const BACKDATE: i64 = 30 * DAY;
/// How long a leaf is valid from its minting on; with the time before it, 90 days.
const LIFETIME: i64 = 60 * DAY;
/// How long a leaf is handed out before a fresh one takes its place.
const FRESH: i64 = DAY;

/// Settings of a [`Minter`].
#[derive(Clone, Debug)]
pub struct MintOptions {
    /// How many hosts' configurations are kept.
    pub cache: usize,
}

impl Default for MintOptions {
    fn default() -> Self {
        Self { cache: crate::limits::Limits::default().leaf_cache }
    }
}

/// Gives each host its server configuration; shared by all reactors.
pub struct Minter {
    authority: Authority,
    leaf_key: LeafKey,
    signing_key: Arc<dyn SigningKey>,
    /// What all hosts share; cloned and given a leaf.
    template: ServerConfig,
    cache: Mutex<Cache<Minted>>,
    /// Leaves minted so far.
    minted: AtomicU64,
}

#[derive(Clone)]
struct Minted {
    config: Arc<ServerConfig>,
    /// When it was minted, Unix seconds.
    at: i64,
    not_after: i64,
}

impl Minted {
    /// A clock that jumped either way makes a leaf stale, too.
    fn is_fresh(&self, now: i64) -> bool {
        now.abs_diff(self.at) < FRESH as u64 && now < self.not_after
    }
}

impl Minter {
    /// Makes the process-wide leaf key and the ticket keys.
    pub fn new(authority: Authority, options: &MintOptions) -> Result<Self, CertError> {
        let leaf_key = LeafKey::generate()?;
        let signing_key = aws_lc_rs::sign::any_ecdsa_type(&leaf_key.private_der())?;
        Ok(Self {
            authority,
            leaf_key,
            signing_key,
            template: template(Arc::new(aws_lc_rs::default_provider()))?,
            cache: Mutex::new(Cache::new(options.cache)),
            minted: AtomicU64::new(0),
        })
    }

    /// The configuration to serve a host with: cached, or minted now (some 25 µs).
    pub fn server_config(&self, host: &Host, now_wall_us: i64) -> Result<Arc<ServerConfig>, CertError> {
        let now = now_wall_us / 1_000_000;
        let cached = self.cache().get(host.as_str());
        if let Some(minted) = cached.filter(|minted| minted.is_fresh(now)) {
            return Ok(minted.config);
        }
        let minted = self.mint(host, now)?;
        self.minted.fetch_add(1, Relaxed);
        let config = Arc::clone(&minted.config);
        self.cache().insert(host.shared(), minted);
        Ok(config)
    }

    /// How many hosts' configurations are held, and how many were minted so far.
    pub fn cached_and_minted(&self) -> (usize, u64) {
        (self.cache().len(), self.minted.load(Relaxed))
    }

    /// The authority that signs.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    fn mint(&self, host: &Host, now: i64) -> Result<Minted, CertError> {
        let wanted = Validity { not_before: now - BACKDATE, not_after: now + LIFETIME };
        let (leaf, valid) = self.authority.sign(host, &self.leaf_key, wanted)?;
        if now >= valid.not_after {
            return Err(CertError::Expired(valid.not_after));
        }
        let mut config = self.template.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(self.certified(leaf)));
        config.ticketer =
            Arc::new(HostTickets { shared: Arc::clone(&self.template.ticketer), host: host.shared() });
        Ok(Minted { config: Arc::new(config), at: now, not_after: valid.not_after })
    }

    fn certified(&self, leaf: CertificateDer<'static>) -> CertifiedKey {
        let mut chain = vec![leaf];
        chain.extend_from_slice(self.authority.chain());
        CertifiedKey::new(chain, Arc::clone(&self.signing_key))
    }

    /// The cache holds no invariant that a panic elsewhere could break.
    fn cache(&self) -> std::sync::MutexGuard<'_, Cache<Minted>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn template(provider: Arc<CryptoProvider>) -> Result<ServerConfig, CertError> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new())); // empty: knows no host until given one
    // `curl --http1.0` offers http/1.0 alone; it means the same connection to us.
    config.alpn_protocols = [&b"http/1.1"[..], b"http/1.0"].map(<[u8]>::to_vec).into();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// Tickets that only the host they were issued for can redeem. rustls compares the SNI, but connections to
/// two addresses both have none.
struct HostTickets {
    shared: Arc<dyn ProducesTickets>,
    host: Arc<str>,
}

impl ProducesTickets for HostTickets {
    fn enabled(&self) -> bool {
        self.shared.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.shared.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut bound = Vec::with_capacity(self.host.len() + 1 + plain.len());
        bound.extend_from_slice(self.host.as_bytes());
        bound.push(0); // no host holds a NUL
        bound.extend_from_slice(plain);
        self.shared.encrypt(&bound)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let bound = self.shared.decrypt(cipher)?;
        let plain = bound.strip_prefix(self.host.as_bytes())?.strip_prefix(b"\0")?;
        Some(plain.to_vec())
    }
}

impl fmt::Debug for HostTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostTickets").field("host", &self.host).finish_non_exhaustive()
    }
}

impl From<rustls::Error> for CertError {
    fn from(error: rustls::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::cert::authority::tests::NOW;

    const DAY_US: i64 = DAY * 1_000_000;

    fn host(text: &str) -> Host {
        Host::parse(text.as_bytes()).unwrap()
    }

    fn minter(options: &MintOptions) -> (tempfile::TempDir, Minter) {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(dir.path(), NOW).unwrap();
        (dir, Minter::new(authority, options).unwrap())
    }

    #[test]
    fn a_configuration_is_kept_for_a_day_whichever_way_the_clock_jumps() {
        let (_dir, minter) = minter(&MintOptions::default());
        let config = |at| minter.server_config(&host("a.example"), at).unwrap();
        let first = config(NOW);
        assert!(Arc::ptr_eq(&first, &config(NOW + DAY_US - 1_000_000)));
        assert!(Arc::ptr_eq(&first, &config(NOW - DAY_US + 1_000_000)));
        let later = config(NOW + DAY_US);
        assert!(!Arc::ptr_eq(&first, &later));
        assert!(!Arc::ptr_eq(&later, &config(NOW - 9 * DAY_US)), "the clock went back for good");
    }

    #[test]
    fn p4_any_number_of_names_stays_within_the_bound() {
        let (_dir, minter) = minter(&MintOptions { cache: 8 });
        for n in 0..100 {
            minter.server_config(&host(&format!("n{n}.example")), NOW).unwrap();
            assert!(minter.cache().len() <= 8);
        }
    }

    #[test]
    fn no_leaf_outlives_the_ca_and_an_expired_ca_signs_nothing() {
        let (_dir, minter) = minter(&MintOptions::default());
        let end = minter.authority().facts().not_after;
        let minted = minter.mint(&host("a.example"), end - 10).unwrap();
        assert_eq!(minted.not_after, end);
        assert!(!minted.is_fresh(end), "not even from the cache");
        assert!(matches!(
            minter.server_config(&host("a.example"), end * 1_000_000),
            Err(CertError::Expired(_))
        ));
    }

    #[test]
    fn a_ticket_is_bound_to_its_host() {
        let shared = aws_lc_rs::Ticketer::new().unwrap();
        let bound = |host: &str| HostTickets { shared: Arc::clone(&shared), host: host.into() };
        let ticket = bound("a.example").encrypt(b"session").unwrap();
        assert_eq!(bound("a.example").decrypt(&ticket).unwrap(), b"session");
        for other in ["b.example", "a.exampl", "a.example.org", ""] {
            assert_eq!(bound(other).decrypt(&ticket), None, "{other}");
        }
    }
}
