//! The settings of a lab: one certificate authority for guests and origins, a fixed date, policies from text.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::cert::{Authority, MintOptions, Minter};
use crate::config::file::Text;
use crate::config::policy::from_text;
use crate::conn::World;
use crate::exchange::Tariff;
use crate::leg::Leg;
use crate::limits::{Limits, Timeouts};
use crate::model::ModelTable;
use crate::model::price::PriceTable;
use crate::policy::host::Host;
use crate::upstream::trust::server_name;

/// 2026-07-01, in Unix microseconds.
pub const WALL: i64 = 1_782_864_000_000_000;

/// A user's policy that allows everything.
pub const ALLOW: &str = "[network]\ndefault = \"allow\"\nports = [80, 443, 8080, 8443]\n";

static MINTER: LazyLock<Arc<Minter>> = LazyLock::new(|| {
    let authority = Authority::unsaved(WALL).expect("a CA of our own making");
    Arc::new(Minter::new(authority, &MintOptions::default()).expect("a leaf key"))
});

static TRUST: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let pem = MINTER.authority().cert_pem();
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a PEM of our own making");
    roots.add(root).expect("a CA of our own making");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(FixedDate))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
});

/// Default limits and deadlines, and the policy that a `user.toml` of this text makes.
///
/// # Panics
///
/// When that is no policy.
pub fn world(user: &str) -> World {
    let policy = from_text(Some(&Text::new("user.toml", user)), None).expect("a policy");
    World {
        limits: Limits::default(),
        timeouts: Timeouts::default(),
        minter: Arc::clone(&MINTER),
        policy: Arc::new(policy.policy),
        models: Arc::new(ModelTable::default()),
        pricing: Arc::new(Tariff { prices: PriceTable::built_in().clone(), models: Arc::default() }),
        is_mapped: Arc::new(|_, _| false),
        keep_headers: false,
        keep_bodies: 0,
    }
}

/// A client's end of TLS towards a host.
pub(super) fn towards(host: &Host) -> Leg {
    let name = server_name(host).expect("a host is a server name");
    Leg::client(Arc::clone(&TRUST), name).expect("a client's settings")
}

/// A client's end of TLS that offers these protocols (RFC 7301).
pub(super) fn offering(host: &Host, protocols: &[&[u8]]) -> Leg {
    let mut config = ClientConfig::clone(&TRUST);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = server_name(host).expect("a host is a server name");
    Leg::client(Arc::new(config), name).expect("a client's settings")
}

/// A server's end of TLS for a host.
pub(super) fn serving(host: &Host) -> Leg {
    let config = MINTER.server_config(host, WALL).expect("a certificate of our own making");
    Leg::server(config).expect("a server's settings")
}

/// The lab's certificates are looked at on the lab's date.
#[derive(Debug)]
struct FixedDate;

impl TimeProvider for FixedDate {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_micros(WALL.cast_unsigned())))
    }
}
