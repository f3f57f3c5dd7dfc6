//! What a guest meets: leaves, versions, ALPN and tickets, seen through whole handshakes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod tls_pair;

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tls_pair::{handshake, host};
use tollgate::cert::{Authority, MintOptions, Minter};
use tollgate::policy::host::Host;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

const DAY: i64 = 86_400;

/// Unix microseconds; rustls checks certificates against the real clock.
#[expect(clippy::disallowed_methods, reason = "rustls verifies against the real clock, so must the test")]
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_micros() as i64
}

struct Bench {
    dir: tempfile::TempDir,
    minter: Minter,
    ca: CertificateDer<'static>,
}

fn bench() -> Bench {
    constrained(&[])
}

/// With a CA that may sign for these domains only, if there are any.
fn constrained(domains: &[Host]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), domains, now()).unwrap();
    let ca = CertificateDer::from_pem_slice(authority.cert_pem().as_bytes()).unwrap();
    Bench { minter: Minter::new(authority, &MintOptions::default()).unwrap(), dir, ca }
}

impl Bench {
    fn guest(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    fn leaf(&self, name: &str) -> CertificateDer<'static> {
        let guest = self.guest(rustls::ALL_VERSIONS, &[b"http/1.1"]);
        let config = self.minter.server_config(&host(name), now()).unwrap();
        let (client, _) =
            handshake(&guest, &config, &host(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let chain = client.peer_certificates().unwrap();
        assert_eq!(chain.len(), 1, "a root that guests hold already is not sent");
        chain[0].clone().into_owned()
    }
}

fn names() -> Vec<String> {
    let label = "a".repeat(63);
    let mut names: Vec<String> = [
        "api.example.com",
        "localhost",
        "xn--bcher-kva.example",
        "_dmarc.a_b.example",
        "192.0.2.1",
        "2001:db8::1",
    ]
    .map(str::to_owned)
    .into();
    names.push(format!("{label}.example"));
    names.push(format!("{label}.{label}.{label}.{}", "b".repeat(61)));
    names
}

#[test]
fn p4_a_leaf_says_exactly_what_was_asked_for() {
    let bench = bench();
    let (_, ca) = X509Certificate::from_der(&bench.ca).unwrap();
    let ca_key_id = key_identifier(&ca);
    let mut serials = HashSet::new();
    for name in names() {
        let der = bench.leaf(&name);
        let (_, leaf) = X509Certificate::from_der(&der).unwrap();
        let sans = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
        match (sans.as_slice(), host(&name).ip()) {
            ([GeneralName::DNSName(dns)], None) => assert_eq!(*dns, name),
            ([GeneralName::IPAddress([a, b, c, d])], Some(ip)) => {
                assert_eq!(ip.to_string(), format!("{a}.{b}.{c}.{d}"));
            }
            ([GeneralName::IPAddress(octets)], Some(std::net::IpAddr::V6(ip))) => {
                assert_eq!(*octets, ip.octets());
            }
            other => panic!("{name}: {other:?}"),
        }
        let basic = leaf.basic_constraints().unwrap().unwrap();
        assert!(basic.critical && !basic.value.ca);
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any);
        assert!(leaf.key_usage().unwrap().unwrap().value.digital_signature());
        assert_eq!(authority_key_identifier(&leaf), ca_key_id, "lesson 31: byte for byte");
        assert_eq!(leaf.issuer().as_raw(), ca.subject().as_raw());
        assert_ne!(leaf.public_key().raw, ca.public_key().raw, "never the CA's own key");
        let serial = leaf.raw_serial();
        assert!(serial.len() <= 20 && serial[0] & 0x80 == 0 && serials.insert(serial.to_vec()));
    }
}

#[test]
fn lesson_32_validity_starts_well_in_the_past_and_ends_within_90_days() {
    let bench = bench();
    let der = bench.leaf("api.example.com");
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    let (start, end) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let now = now() / 1_000_000;
    assert!(
        now - start >= 2 * DAY && end - now >= 30 * DAY && end - now <= 90 * DAY && end - start <= 199 * DAY
    );
}

#[test]
fn p4_openssl_accepts_every_leaf_under_its_strict_rules() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return;
    }
    let bench = bench();
    let ca = bench.dir.path().join("ca.crt");
    for name in names() {
        let which = if host(&name).ip().is_some() { "-verify_ip" } else { "-verify_hostname" };
        let path = bench.dir.path().join("leaf.der");
        std::fs::write(&path, bench.leaf(&name)).unwrap();
        let pem = openssl(&["x509", "-inform", "DER", "-in", path.to_str().unwrap()], b"");
        let arguments = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca.to_str().unwrap()];
        let said = openssl(&[&arguments[..], &[which, &name]].concat(), pem.as_bytes());
        assert!(said.contains("OK"), "{name}: {said}");
    }
}

#[test]
fn lesson_34_the_certificate_directory_is_named_as_openssl_expects() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return;
    }
    let bench = bench();
    let ca = bench.dir.path().join("ca.crt");
    let pem = std::fs::read_to_string(&ca).unwrap();
    let (path, bundle) = tollgate::cert::bundle::write(bench.dir.path(), &pem).unwrap();
    let source = tollgate::cert::environment::Source { path: &path, bundle: &bundle, ca_pem: &pem };
    tollgate::cert::environment::prepare(&bench.dir.path().join("trust"), source, &|_| None).unwrap();
    let hash = openssl(&["x509", "-noout", "-hash", "-in", ca.to_str().unwrap()], b"");
    assert!(bench.dir.path().join("trust/certs").join(format!("{}.0", hash.trim())).exists(), "{hash}");
}

#[test]
fn p5_a_client_that_offers_only_h2_is_not_answered_with_http_1() {
    let bench = bench();
    let (name, config) = (host("a.example"), bench.minter.server_config(&host("a.example"), now()).unwrap());
    let chosen = |alpn: &[&[u8]]| {
        let pair = handshake(&bench.guest(rustls::ALL_VERSIONS, alpn), &config, &name)?;
        Ok::<_, rustls::Error>(pair.0.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(chosen(&[b"http/1.0"]).expect("a version").as_deref(), Some(&b"http/1.0"[..]));
    assert_eq!(chosen(&[b"http/1.0", b"http/1.1"]).expect("the newer").as_deref(), Some(&b"http/1.1"[..]));
    assert!(matches!(chosen(&[b"h2"]), Err(rustls::Error::NoApplicationProtocol)));
    assert_eq!(chosen(&[b"h2", b"http/1.1"]).unwrap().unwrap(), b"http/1.1");
    assert_eq!(chosen(&[]).unwrap(), None);
}

#[test]
fn both_versions_resume_by_ticket() {
    let bench = bench();
    for (versions, version) in [
        (&[&rustls::version::TLS12], ProtocolVersion::TLSv1_2),
        (&[&rustls::version::TLS13], ProtocolVersion::TLSv1_3),
    ] {
        for name in ["a.example", "192.0.2.1"] {
            let guest = bench.guest(versions, &[b"http/1.1"]);
            let config = bench.minter.server_config(&host(name), now()).unwrap();
            let (first, _) = handshake(&guest, &config, &host(name)).unwrap();
            assert_eq!(first.protocol_version(), Some(version));
            let (second, _) = handshake(&guest, &config, &host(name)).unwrap();
            assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed), "{name} {version:?}");
        }
    }
}

#[test]
fn a_ticket_survives_a_fresh_leaf_for_the_same_host() {
    let bench = bench();
    let guest = bench.guest(rustls::ALL_VERSIONS, &[b"http/1.1"]);
    let name = host("a.example");
    let today = bench.minter.server_config(&name, now()).unwrap();
    let tomorrow = bench.minter.server_config(&name, now() + DAY * 1_000_000).unwrap();
    assert!(!Arc::ptr_eq(&today, &tomorrow));
    handshake(&guest, &today, &name).unwrap();
    let (second, _) = handshake(&guest, &tomorrow, &name).unwrap();
    assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
}

/// The guest presents a ticket of one host to the configuration of another; it carries the first one's name
/// (or none, for addresses), so only the binding of tickets to hosts can tell.
#[test]
fn p6_a_ticket_of_one_host_opens_no_other() {
    let bench = bench();
    for (one, other) in [("a.example", "b.example"), ("192.0.2.1", "192.0.2.2")] {
        for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
            let guest = bench.guest(versions, &[]);
            let config = |name| bench.minter.server_config(&host(name), now()).unwrap();
            handshake(&guest, &config(one), &host(one)).unwrap();
            let refused = handshake(&guest, &config(other), &host(one)).err().unwrap();
            assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{one} at {other}: {refused:?}");
        }
    }
}

#[test]
fn a_constrained_authority_is_believed_within_its_domain_only() {
    let bench = constrained(&[host("example.com")]);
    let guest = bench.guest(rustls::ALL_VERSIONS, &[]);
    for (name, believed) in [
        ("example.com", true),
        ("a.b.example.com", true),
        ("notexample.com", false),
        ("example.org", false),
        ("192.0.2.1", false),
        ("2001:db8::1", false),
    ] {
        let config = bench.minter.server_config(&host(name), now()).unwrap();
        assert_eq!(handshake(&guest, &config, &host(name)).is_ok(), believed, "{name}");
    }
}

#[test]
fn an_intermediate_authority_is_sent_along() {
    let dir = tempfile::tempdir().unwrap();
    let (root_pem, chain_pem, key_pem) = intermediate();
    let (cert, key) = (dir.path().join("ca.crt"), dir.path().join("ca.key"));
    std::fs::write(&cert, chain_pem).unwrap();
    write_private(&key, &key_pem);
    let authority = Authority::open_or_create(dir.path(), now()).unwrap();
    let minter = Minter::new(authority, &MintOptions::default()).unwrap();
    let ca = CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap();
    let bench = Bench { dir, minter, ca };
    let guest = bench.guest(rustls::ALL_VERSIONS, &[]);
    let config = bench.minter.server_config(&host("a.example"), now()).unwrap();
    let (client, _) = handshake(&guest, &config, &host("a.example")).unwrap();
    assert_eq!(client.peer_certificates().unwrap().len(), 2);
}

/// A root, an authority that it signed, and that authority's key, all PEM.
fn intermediate() -> (String, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let ca = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = ca("root").self_signed(&root_key).unwrap();
    let issuer = Issuer::new(ca("root"), root_key);
    let middle = ca("middle").signed_by(&key, &issuer).unwrap();
    (root.pem(), middle.pem(), key.serialize_pem())
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn key_identifier(cert: &X509Certificate<'_>) -> Vec<u8> {
    let found = cert.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    found.unwrap()
}

fn authority_key_identifier(cert: &X509Certificate<'_>) -> Vec<u8> {
    let found = cert.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    });
    found.unwrap()
}

/// Runs openssl with this input and gives back all it said.
fn openssl(arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
