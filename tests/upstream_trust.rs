//! Whom we believe: P28's bad origins are refused with the right words, pins replace roots, client
//! certificates are shown.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod tls_pair;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConnection, HandshakeKind, RootCertStore, ServerConfig};
use tls_pair::{handshake, host};
use tollgate::config::{HostTrust, MinTls, Upstream};
use tollgate::leg::origin_fault;
use tollgate::policy::host::HostPattern;
use tollgate::upstream::trust::{Trust, TrustError, server_name};

/// A CA of the test's own, in a directory of its own.
struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    der: rustls::pki_types::CertificateDer<'static>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), cert.pem()).unwrap();
        Self { dir, der: cert.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn origin(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        server(cert.der().clone(), &key)
    }

    fn client_files(&self, dir: &Path) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "client");
        let files = (dir.join("client.crt"), dir.join("client.key"));
        std::fs::write(&files.0, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

fn server(cert: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Arc::new(builder().with_no_client_auth().with_single_cert(vec![cert], key).unwrap())
}

fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

fn only(authority: &Authority) -> Upstream {
    Upstream { extra_ca_files: vec![authority.file()], ..Upstream::default() }
}

fn own(pattern: &str) -> HostTrust {
    HostTrust {
        host: HostPattern::parse(pattern).unwrap(),
        ca_files: Vec::new(),
        client_certificate: None,
        min_tls: None,
    }
}

fn label(trust: &Trust, origin: &Arc<ServerConfig>, name: &str) -> Option<&'static str> {
    let name = host(name);
    handshake(&trust.client_config(&name), origin, &name).err().map(|error| origin_fault(&error))
}

#[test]
fn p28_bad_certificates_are_refused_in_the_right_words() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let trust = Trust::new(&only(&ours)).unwrap();
    let good = |_: &mut CertificateParams| {};
    let own_key = KeyPair::generate().unwrap();
    let self_signed =
        CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&own_key).unwrap();
    for (origin, expected) in [
        (ours.origin("a.example", good), None),
        (ours.origin("a.example", |p| p.not_after = date_time_ymd(2020, 1, 1)), Some("certificate expired")),
        (
            ours.origin("a.example", |p| p.not_before = date_time_ymd(2090, 1, 1)),
            Some("certificate not yet valid"),
        ),
        (ours.origin("b.example", good), Some("certificate for another name")),
        (theirs.origin("a.example", good), Some("certificate from an unknown issuer")),
        (server(self_signed.der().clone(), &own_key), Some("certificate from an unknown issuer")),
        (
            ours.origin("a.example", |p| {
                p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            }),
            Some("certificate for another purpose"),
        ),
        (
            ours.origin("a.example", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            Some("certificate self-signed (a CA certificate used by a server)"),
        ),
    ] {
        assert_eq!(label(&trust, &origin, "a.example"), expected);
    }
}

#[test]
fn addresses_are_verified_as_addresses() {
    let ours = Authority::new("ours");
    let trust = Trust::new(&only(&ours)).unwrap();
    for ip in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(label(&trust, &ours.origin(ip, |_| {}), ip), None);
        assert_eq!(
            label(&trust, &ours.origin("a.example", |_| {}), ip),
            Some("certificate for another name")
        );
    }
}

#[test]
fn p28_what_is_not_tls_1_2_or_later_is_named() {
    let ours = Authority::new("ours");
    let trust = Trust::new(&only(&ours)).unwrap();
    let mut server_hello_tls10 = vec![0x16, 3, 1, 0, 0x2a, 2, 0, 0, 0x26, 3, 1];
    server_hello_tls10.extend([7; 32]);
    server_hello_tls10.extend([0, 0xc0, 0x13, 0]);
    for (bytes, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "not TLS, or broken TLS"),
        (&[0x15, 3, 1, 0, 2, 2, 70], "TLS version refused"),
        (&[0x15, 3, 3, 0, 2, 2, 40], "TLS handshake refused"),
        (&[0x15, 3, 3, 0, 2, 2, 112], "TLS name refused"),
        (&server_hello_tls10, "TLS version too old"),
    ] {
        let name = host("a.example");
        let mut client =
            ClientConnection::new(trust.client_config(&name), server_name(&name).unwrap()).unwrap();
        client.write_tls(&mut std::io::sink()).unwrap();
        let mut input = bytes;
        client.read_tls(&mut input).unwrap();
        let error = client.process_new_packets().unwrap_err();
        assert_eq!(origin_fault(&error), expected, "{error:?}");
    }
}

#[test]
fn a_minimum_version_holds_for_its_host_alone() {
    let ours = Authority::new("ours");
    let strict = HostTrust { min_tls: Some(MinTls::Tls13), ..own("strict.example") };
    let trust = Trust::new(&Upstream { hosts: vec![strict], ..only(&ours) }).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let old = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let cert =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ours.issuer).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap())
    };
    assert_eq!(label(&trust, &old("lax.example"), "lax.example"), None);
    assert!(label(&trust, &old("strict.example"), "strict.example").is_some());
}

#[test]
fn a_pin_replaces_the_roots_of_its_hosts_and_of_no_other() {
    let (ours, pinned) = (Authority::new("ours"), Authority::new("pinned"));
    let pin = HostTrust { ca_files: vec![pinned.file()], ..own("*.corp.example") };
    let trust = Trust::new(&Upstream { hosts: vec![pin], ..only(&ours) }).unwrap();
    let unknown = Some("certificate from an unknown issuer");
    for (authority, name, expected) in [
        (&ours, "a.example", None),
        (&pinned, "a.example", unknown),
        (&pinned, "x.corp.example", None),
        (&ours, "x.corp.example", unknown),
        (&ours, "corp.example", None),
    ] {
        assert_eq!(label(&trust, &authority.origin(name, |_| {}), name), expected, "{name}");
    }
    assert_ne!(trust.key(&host("x.corp.example")), trust.key(&host("a.example")));
    assert_eq!(trust.key(&host("b.example")), trust.key(&host("a.example")));
}

#[test]
fn a_client_certificate_is_shown_to_its_host_alone() {
    let ours = Authority::new("ours");
    let dir = tempfile::tempdir().unwrap();
    let client = HostTrust { client_certificate: Some(ours.client_files(dir.path())), ..own("mtls.example") };
    let trust = Trust::new(&Upstream { hosts: vec![client], ..only(&ours) }).unwrap();
    let origin = |name: &str| {
        let mut roots = RootCertStore::empty();
        roots.add(ours.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let key = KeyPair::generate().unwrap();
        let cert =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ours.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder().with_client_cert_verifier(verifier);
        Arc::new(config.with_single_cert(vec![cert.der().clone()], key).unwrap())
    };
    assert_eq!(label(&trust, &origin("mtls.example"), "mtls.example"), None);
    assert_eq!(label(&trust, &origin("a.example"), "a.example"), Some("no certificate"));
}

#[test]
fn origins_resume_within_a_variant() {
    let ours = Authority::new("ours");
    let trust = Trust::new(&only(&ours)).unwrap();
    let (name, origin) = (host("a.example"), ours.origin("a.example", |_| {}));
    handshake(&trust.client_config(&name), &origin, &name).unwrap();
    let (second, _) = handshake(&trust.client_config(&name), &origin, &name).unwrap();
    assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
    let fresh = Trust::new(&only(&ours)).unwrap();
    let (third, _) = handshake(&fresh.client_config(&name), &origin, &name).unwrap();
    assert_eq!(third.handshake_kind(), Some(HandshakeKind::Full), "another trust knows no session");
}

#[test]
fn trust_that_cannot_be_read_is_refused_not_guessed() {
    let ours = Authority::new("ours");
    let dir = tempfile::tempdir().unwrap();
    let (absent, empty) = (dir.path().join("absent"), dir.path().join("empty"));
    std::fs::write(&empty, "nothing here\n").unwrap();
    let extra = |path: &Path| Upstream { extra_ca_files: vec![path.to_owned()], ..only(&ours) };
    assert!(matches!(Trust::new(&extra(&absent)), Err(TrustError::Io(path, _)) if path == absent));
    assert!(matches!(Trust::new(&extra(&empty)), Err(TrustError::NoCertificate(path)) if path == empty));
    let twice = Upstream { hosts: vec![own("a.example"), own("a.example")], ..only(&ours) };
    assert!(matches!(Trust::new(&twice), Err(TrustError::Twice(_))));
    let keyless = (ours.file(), empty.clone());
    let keyless = Upstream {
        hosts: vec![HostTrust { client_certificate: Some(keyless), ..own("a.example") }],
        ..only(&ours)
    };
    assert!(matches!(Trust::new(&keyless), Err(TrustError::NoKey(path)) if path == empty));
}

#[test]
fn the_system_and_mozilla_together_always_give_roots() {
    assert!(Trust::new(&Upstream::default()).is_ok());
}
