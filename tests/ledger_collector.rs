//! A collector that is reached by TLS: trusted as an origin of its name, and sent nothing where it is not.

mod support;

use support::certs::{Authority, Flaw};
use support::client::Client;
use support::eventually;
use support::origin::Origin;
use support::proxy::{Proxy, Setup};

fn collector(authority: &Authority) -> Origin {
    Origin::answering(
        authority.server("localhost", Flaw::None),
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    )
}

fn proxy(setup: Setup, collector: &Origin) -> Proxy {
    let endpoint = format!("https://localhost:{}/prefix", collector.address().port());
    setup
        .user("[network]\ndefault = \"deny\"\n")
        .more(&format!("[telemetry.otlp]\nendpoint = \"{endpoint}\"\ninterval = \"100ms\"\n[telemetry.otlp.headers]\nx-key = \"v\""))
        .start()
}

/// One request, which the policy denies.
fn request(proxy: &Proxy) {
    let answer = Client::plain(proxy.address()).ask(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(answer.status, 403);
}

#[test]
fn rows_reach_a_collector_by_tls() {
    let setup = Setup::default();
    let collector = collector(&setup.origins);
    let proxy = proxy(setup, &collector);
    request(&proxy);
    let posted = |path: &str| {
        let head = format!("POST /prefix{path} HTTP/1.1\r\n");
        eventually(path, || {
            let all = collector.received();
            all.into_iter()
                .find(|bytes| bytes.starts_with(head.as_bytes()))
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        })
    };
    let traces = posted("/v1/traces");
    assert!(traces.contains("\r\nx-key: v\r\n") && traces.contains("a.test"), "{traces}");
    posted("/v1/metrics");
    let sent = "SELECT count(*) FROM cursors WHERE name = 'live' AND source = 'net_events'";
    eventually("the cursor", || (proxy.ledger().number(sent) == 1).then_some(()));
}

#[test]
fn p28_a_collector_that_is_not_trusted_is_sent_nothing() {
    let other = tempfile::tempdir().expect("a temporary directory");
    let collector = collector(&Authority::new(other.path()));
    let proxy = proxy(Setup::default(), &collector);
    request(&proxy);
    eventually("a notice", || proxy.stderr().contains("exporting to the collector").then_some(()));
    assert!(collector.received().iter().all(Vec::is_empty));
    assert_eq!(proxy.ledger().number("SELECT count(*) FROM cursors"), 0);
}
