//! `tests/tables/policy.txt` through a running proxy: what the evaluator says is what happens (LESSONS 20), in clear,
//! through CONNECT with TLS, and on redirected TLS whose server name says where to.
//!
//! Rules by process, user and listener need a relay: `tests/policy_client.rs` has those.

mod policy_support;
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use policy_support::{Block, Case, blocks, target};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use support::SOON;
use support::ledger::Row;
use support::proxy::{Proxy, Setup};

/// How a request reaches the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In absolute form, in clear.
    Plain,
    /// CONNECT, then TLS.
    Tunnel,
    /// TLS at once, as from a redirect.
    Redirected,
}

#[test]
fn lesson_20_the_running_proxy_decides_as_the_table_says() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for block in blocks().iter().filter(|block| !observes(block)) {
        let stage = Stage::new(block);
        let rounds = [Way::Plain, Way::Tunnel, Way::Redirected].map(|way| (way, stage.cases(way)));
        let answers: Vec<(Way, &Case<'_>, u16)> = rounds
            .into_iter()
            .flat_map(|(way, cases)| cases.into_iter().map(move |case| (way, case)))
            .map(|(way, case)| (way, case, stage.ask(way, case)))
            .collect();
        let rows = stage.proxy.ledger().net_events(answers.len());
        asked += answers.len();
        for ((way, case, status), row) in answers.iter().zip(&rows) {
            if let Some(found) = differs(*way, case, *status, row) {
                let expected = case.expected;
                wrong.push(format!("{} {way:?}: {}: {found}, not {expected:?}", block.name, case.request));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked >= 900, "{asked} cases were asked");
}

fn observes(block: &Block<'_>) -> bool {
    [&block.user, &block.corp].into_iter().flatten().any(|text| text.contains("observe"))
}

/// A proxy with the policy of a block before an origin for all its hosts.
struct Stage<'b> {
    block: &'b Block<'b>,
    proxy: Proxy,
    /// Trusts the proxy's authority and, for what is spliced, that of the origin.
    trust: Arc<ClientConfig>,
}

impl<'b> Stage<'b> {
    /// What may be talked to is dialled at the test's origin; addresses that must be refused are not in the map, because
    /// the map is exempt from their rule.
    fn new(block: &'b Block<'b>) -> Self {
        let mut setup = Setup::default().user(block.user.as_deref().unwrap_or_default());
        if let Some(corp) = &block.corp {
            setup = setup.corp(corp);
        }
        let open = |case: &&Case<'_>| matches!(case.expected.0, "allow" | "splice");
        let targets: Vec<_> = block.cases.iter().filter(open).map(|case| target(case.request)).collect();
        let hosts: BTreeSet<String> = targets.iter().map(|to| to.host.as_str().to_owned()).collect();
        let origin = origin(setup.origins.server_for(hosts));
        for to in &targets {
            setup = setup.map(&format!("{}:{}", to.host, to.port), origin);
        }
        let origins = setup.origins.file().to_owned();
        let proxy = setup.start();
        let trust = trust(&[&proxy.ca_file(), &origins]);
        Self { block, proxy, trust }
    }

    /// The cases that can be asked this way: no TLS to the port of plain HTTP; redirected TLS has a server name and
    /// nothing else here.
    fn cases(&self, way: Way) -> Vec<&'b Case<'b>> {
        let askable = |case: &&Case<'_>| {
            let to = target(case.request);
            let fits = match way {
                Way::Plain => true,
                Way::Tunnel => to.port != 80,
                Way::Redirected => to.port == 443 && to.host.ip().is_none(),
            };
            fits && case.request.split(' ').count() == 2
        };
        self.block.cases.iter().filter(askable).collect()
    }

    /// Sends a request and gives the status of whatever refused it, or of the answer.
    fn ask(&self, way: Way, case: &Case<'_>) -> u16 {
        let request = case.request;
        let Typed { method, host, port, path } = Typed::of(request);
        let authority = format!("{host}:{port}");
        let form = if way == Way::Plain { format!("http://{authority}{path}") } else { path };
        let head = format!(
            "{method} {form} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nAccept: application/json\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let mut stream = TcpStream::connect(self.proxy.address()).expect("the proxy");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        if way == Way::Tunnel {
            write!(stream, "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").expect("sent");
            match status(&mut stream, request) {
                200 => {}
                refused => return refused,
            }
        }
        if way == Way::Plain {
            return exchange(&mut stream, &head, request);
        }
        let name = server_name(&target(request).host);
        let connection = ClientConnection::new(Arc::clone(&self.trust), name).expect("a client");
        exchange(&mut StreamOwned::new(connection, stream), &head, request)
    }
}

/// A request as the table has it: the host's own spelling, as far as it fits on the wire.
struct Typed<'r> {
    method: &'r str,
    host: String,
    port: u16,
    path: String,
}

impl<'r> Typed<'r> {
    fn of(request: &'r str) -> Self {
        let to = target(request);
        let (method, url) = request.split_once(' ').expect("a method");
        let (_, rest) = url.split_once("://").expect("a scheme");
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let digits = |(_, port): &(&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
        let host = authority.rsplit_once(':').filter(digits).map_or(authority, |(host, _)| host);
        let host = if host.is_ascii() { host.to_owned() } else { to.host.to_string() };
        let path = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
        Self { method, host, port: to.port, path }
    }
}

/// How a case came out, where it is not as the table says.
fn differs(way: Way, case: &Case<'_>, status: u16, row: &Row) -> Option<String> {
    let (verdict, layer, rule) = case.expected;
    let text = |column: &str| row.text(column).unwrap_or_default();
    let (expected, decision) = match verdict {
        "allow" => (200, "allowed"),
        // Only TLS is passed through; what comes in clear is read.
        "splice" if way == Way::Plain => (200, "allowed"),
        "splice" => (200, "spliced"),
        "ambiguous" => (400, "denied"),
        _ => (403, "denied"),
    };
    // A request that HTTP itself refuses names no rule.
    let named = verdict == "ambiguous" || (text("rule") == rule && text("rule_layer") == layer);
    let same = status == expected && text("decision") == decision && named;
    (!same).then(|| format!("{status} {} {} {}", text("decision"), text("rule_layer"), text("rule")))
}

fn exchange(stream: &mut (impl Read + Write), head: &str, request: &str) -> u16 {
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.flush());
    sent.unwrap_or_else(|error| panic!("{request}: {error}"));
    let status = status(stream, request);
    let _ = stream.read_to_end(&mut Vec::new());
    status
}

/// Reads one head and gives its status.
fn status(stream: &mut impl Read, request: &str) -> u16 {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            other => panic!("{request}: {other:?} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    let line = String::from_utf8_lossy(&head);
    line.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{request}: {line}"))
}

fn server_name(host: &tollgate::policy::host::Host) -> ServerName<'static> {
    tollgate::upstream::trust::server_name(host).expect("a server name")
}

fn trust(files: &[&std::path::Path]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for file in files {
        let certificate = rustls::pki_types::CertificateDer::from_pem_file(file).expect("a certificate");
        roots.add(certificate).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.expect("default versions").with_root_certificates(roots).with_no_client_auth())
}

/// Answers every request with 200, in clear and in TLS, whichever comes.
fn origin(tls: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = Arc::clone(&tls);
            thread::spawn(move || {
                let mut first = [0];
                let secure = matches!(stream.peek(&mut first), Ok(1)) && first == [0x16];
                if secure {
                    let connection = ServerConnection::new(tls).expect("a server");
                    answer(StreamOwned::new(connection, stream));
                } else {
                    answer(stream);
                }
            });
        }
    });
    address
}

fn answer(mut stream: impl Read + Write) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.flush();
}
