//! Other people's clients through the proxy: curl, OpenSSL, and the providers' SDKs for Python and Node, whose own
//! counts must equal the ledger's.

mod support;

use std::fs;
use std::process::Command;
use std::sync::Arc;

use support::certs::{Authority, Flaw};
use support::counts::assert_counts;
use support::origin::{Origin as RawOrigin, response};
use support::proxy::{Proxy, Setup};
use support::tools::{clients, node_with_sdks, output, program, python_with_sdks};
use tollgate::demo::origin::Origin;
use tollgate::demo::script;

/// What the SDK clients ask for: four APIs, streamed and plain.
const CALLS: usize = 8;

/// The demo's origin behind a proxy that allows everything.
fn models() -> (Origin, Proxy) {
    let setup = Setup::default();
    let authority: Arc<Authority> = Arc::clone(&setup.origins);
    let identity = move |name: &str| Ok(authority.server(name, Flaw::None));
    let origin = Origin::start(Box::new(identity)).expect("an origin");
    let hosts = script::all().into_iter().map(|script| format!("{}:443", script.host));
    let proxy = hosts.fold(setup, |setup, host| setup.map(&host, origin.address())).start();
    (origin, proxy)
}

/// An origin for `www.example.test` that answers `hello`, behind a proxy.
fn web() -> (RawOrigin, Proxy) {
    let setup = Setup::default();
    let hello = response(200, "content-type: text/plain\r\n", b"hello");
    let origin = RawOrigin::answering(setup.origins.server("www.example.test", Flaw::None), &hello);
    let proxy = setup.map("www.example.test:443", origin.address()).start();
    (origin, proxy)
}

#[test]
fn curl_through_connect_and_redirected() {
    let Some(curl) = program("curl") else { return };
    let (_origin, proxy) = web();
    let ca = proxy.ca_file();
    let connect = output(
        Command::new(&curl)
            .args(["--silent", "--show-error", "--max-time", "10", "--cacert"])
            .arg(&ca)
            .arg("https://www.example.test/by-connect")
            .env("https_proxy", format!("http://{}", proxy.address())),
    );
    assert_eq!(
        String::from_utf8_lossy(&connect.stdout),
        "hello",
        "{}",
        String::from_utf8_lossy(&connect.stderr)
    );
    let redirected = output(
        Command::new(&curl)
            .args(["--silent", "--show-error", "--max-time", "10", "--noproxy", "*", "--cacert"])
            .arg(&ca)
            .args(["--connect-to", &format!("www.example.test:443:{}", proxy.address())])
            .arg("https://www.example.test/redirected"),
    );
    assert_eq!(
        String::from_utf8_lossy(&redirected.stdout),
        "hello",
        "{}",
        String::from_utf8_lossy(&redirected.stderr)
    );
    let rows = proxy.ledger().net_events(2);
    let paths: Vec<_> = rows.iter().map(|row| row.text("path")).collect();
    assert_eq!(paths, [Some("/by-connect"), Some("/redirected")]);
}

#[test]
fn curl_shows_a_denial() {
    let Some(curl) = program("curl") else { return };
    let rule = "[network]\ndefault = \"allow\"\n[[http]]\nname = \"no uploads\"\nhost = \"www.example.test\"\n\
        methods = [\"write\"]\naction = \"deny\"\nreason = \"uploads need a ticket\"\n";
    let proxy = Setup::default().user(rule).start();
    let denied = output(
        Command::new(curl)
            .args(["--silent", "--show-error", "--max-time", "10", "--data", "x", "--cacert"])
            .arg(proxy.ca_file())
            .args(["--write-out", "\n%{http_code}", "https://www.example.test/file"])
            .env("https_proxy", format!("http://{}", proxy.address())),
    );
    let said = String::from_utf8_lossy(&denied.stdout).into_owned();
    assert!(said.ends_with("\n403"), "{said}");
    assert!(said.contains("no uploads") && said.contains("uploads need a ticket"), "{said}");
}

#[test]
fn openssl_verifies_the_minted_certificate_strictly_and_speaks_both_versions() {
    let Some(openssl) = program("openssl") else { return };
    let (_origin, proxy) = web();
    for version in ["-tls1_2", "-tls1_3"] {
        let request = proxy.dir().join("request");
        fs::write(&request, "GET / HTTP/1.1\r\nHost: www.example.test\r\nConnection: close\r\n\r\n")
            .expect("a file");
        let said = Command::new(&openssl)
            .args(["s_client", "-quiet", "-x509_strict", "-verify_return_error", "-verify", "3", version])
            .args(["-verify_hostname", "www.example.test", "-servername", "www.example.test", "-connect"])
            .arg(proxy.address().to_string())
            .arg("-CAfile")
            .arg(proxy.ca_file())
            .stdin(fs::File::open(&request).expect("a file"))
            .output()
            .expect("a program that starts");
        let stdout = String::from_utf8_lossy(&said.stdout);
        assert!(stdout.ends_with("hello"), "{version}: {stdout}\n{}", String::from_utf8_lossy(&said.stderr));
    }
    proxy.ledger().net_events(2);
}

#[test]
fn openssl_is_refused_below_tls_1_2() {
    let Some(openssl) = program("openssl") else { return };
    let (origin, proxy) = web();
    let said = Command::new(openssl)
        .args([
            "s_client",
            "-tls1_1",
            "-cipher",
            "DEFAULT:@SECLEVEL=0",
            "-servername",
            "www.example.test",
            "-connect",
        ])
        .arg(proxy.address().to_string())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("a program that starts");
    assert!(!said.status.success());
    assert_eq!(origin.accepted(), 0);
    proxy.ledger().net_events(1);
}

#[test]
fn python_sdks_count_what_the_ledger_counts() {
    let Some(python) = python_with_sdks() else { return };
    let (_origin, proxy) = models();
    let said = output(
        Command::new(python)
            .arg(clients().join("python_sdks.py"))
            .env("HTTPS_PROXY", format!("http://{}", proxy.address()))
            .env("SSL_CERT_FILE", proxy.ca_file()),
    );
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_counts(&proxy, &said.stdout, CALLS);
}

/// Runs the Node client; `via` is its way through the proxy.
fn node_sdks_count_what_the_ledger_counts(via: &str) {
    let Some((node, place)) = node_with_sdks() else { return };
    let (_origin, proxy) = models();
    let said = output(
        Command::new(node)
            .arg(place.join("node_sdks.mjs"))
            .env("VIA", via)
            .env("TOLLGATE_ADDRESS", proxy.address().to_string())
            .env("HTTPS_PROXY", format!("http://{}", proxy.address()))
            .env("NODE_EXTRA_CA_CERTS", proxy.ca_file()),
    );
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_counts(&proxy, &said.stdout, CALLS);
}

#[test]
fn node_sdks_count_what_the_ledger_counts_by_connect() {
    node_sdks_count_what_the_ledger_counts("connect");
}

#[test]
fn node_sdks_count_what_the_ledger_counts_transparently() {
    node_sdks_count_what_the_ledger_counts("transparent");
}
