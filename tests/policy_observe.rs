//! Observe mode and what is learnt from it, through the running proxy: nothing that policy would refuse is refused, each
//! row says what would have been; and the policy that `policy learn` makes of it allows the same and nothing else.

mod support;

use support::client::Client;
use support::origin::{Origin, response};
use support::proxy::{Proxy, Setup, tollgate};

const OBSERVE: &str = r#"
mode = "observe"
[network]
allow = ["ruled.example", "localhost"]
block = ["blocked.example"]
ports = [80, PORT]

[[http]]
name = "read only"
host = "ruled.example"
methods = ["read"]
paths = ["/docs/**"]
action = "allow"
"#;

fn origin() -> Origin {
    Origin::plain(|conn| {
        while conn.request()?.is_some() {
            conn.send(&response(200, "", b""))?;
        }
        Ok(())
    })
}

fn start(origin: &Origin, user: &str) -> Proxy {
    let mut setup = Setup::default().user(user);
    for host in ["ruled.example", "blocked.example", "unknown.example"] {
        setup = setup.map(&format!("{host}:80"), origin.address());
    }
    setup.start()
}

fn ask(proxy: &Proxy, method: &str, url: &str, fields: &str) -> u16 {
    let host = url.split('/').nth(2).expect("a URL");
    let request = format!(
        "{method} {url} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    Client::plain(proxy.address()).ask(request.as_bytes()).status
}

#[test]
fn what_would_be_refused_passes_and_its_row_says_so() {
    let origin = origin();
    let port = origin.address().port().to_string();
    let proxy = start(&origin, &OBSERVE.replace("PORT", &port));
    let private = format!("http://localhost:{port}/");
    let cases = [
        ("GET", "http://ruled.example/docs/x", "", None),
        ("GET", "http://ruled.example/else", "", Some("http.unmatched")),
        ("POST", "http://ruled.example/docs/x", "", Some("http.unmatched")),
        ("GET", "http://ruled.example/docs//x", "", Some("http.path")),
        ("GET", "http://ruled.example/docs/x", "X-HTTP-Method-Override: PUT\r\n", Some("http.override")),
        ("GET", "http://blocked.example/", "", Some("network.block blocked.example")),
        ("GET", "http://unknown.example/", "", Some("network.default")),
        ("GET", &private, "", Some("network.private_addresses")),
    ];
    for (method, url, fields, _) in &cases {
        assert_eq!(ask(&proxy, method, url, fields), 200, "{method} {url} {fields}");
    }
    let rows = proxy.ledger().net_events(cases.len());
    for ((method, url, _, rule), row) in cases.iter().zip(&rows) {
        assert_eq!(row.text("decision"), Some("allowed"), "{method} {url}");
        let would = row.text("reason").is_some_and(|reason| reason.starts_with("observe: would be denied: "));
        assert_eq!(would.then(|| row.text("rule").expect("a rule")), *rule, "{method} {url}: {row:?}");
    }
}

#[test]
fn what_was_observed_becomes_a_policy_that_allows_it_and_nothing_else() {
    let origin = origin();
    let port = origin.address().port().to_string();
    let observing = start(&origin, &OBSERVE.replace("PORT", &port));
    let private = format!("http://localhost:{port}/status");
    let mut seen = vec![("GET", "http://ruled.example/docs/x".to_owned()), ("POST", private)];
    seen.extend((0..12).map(|n| ("GET", format!("http://unknown.example/files/{n}/info"))));
    for (method, url) in &seen {
        assert_eq!(ask(&observing, method, url, ""), 200, "{method} {url}");
    }
    assert_eq!(ask(&observing, "GET", "http://localhost:1/", ""), 502, "nobody is there");
    observing.ledger().net_events(seen.len() + 1);

    let ledger = observing.ledger().file().display().to_string();
    let learnt = tollgate(&["policy", "learn", "--paths", "--db", &ledger]);
    assert!(learnt.status.success(), "{learnt:?}");
    let text = String::from_utf8(learnt.stdout).expect("UTF-8");
    let enforcing = start(&origin, &text); // it starts, so that its samples hold
    for (method, url) in &seen {
        assert_eq!(ask(&enforcing, method, url, ""), 200, "{method} {url}:\n{text}");
    }
    assert_eq!(ask(&enforcing, "GET", "http://unknown.example/files/99/info", ""), 200, "siblings are one");
    for (method, url) in [
        ("POST", "http://ruled.example/docs/x"),
        ("GET", "http://ruled.example/docs/y"),
        ("GET", "http://unknown.example/files"),
        ("GET", "http://blocked.example/"),
        ("GET", "http://127.0.0.1/"),
        ("GET", "http://localhost:1/"),
    ] {
        assert_eq!(ask(&enforcing, method, url, ""), 403, "{method} {url}:\n{text}");
    }
}
