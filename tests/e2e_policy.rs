//! Policy through the running proxy (LESSONS 20): each request is judged, a denial is an HTTP answer that names its
//! rule, and what is denied reaches nobody.

mod support;

use support::certs::Flaw;
use support::client::{Client, Response};
use support::eventually;
use support::origin::{Origin, response};
use support::proxy::{Proxy, Setup};

const READ_ONLY: &str = r#"
[network]
default = "deny"
allow = ["api.github.com", "api.anthropic.com"]

[[http]]
name = "read acme"
host = "api.github.com"
methods = ["read"]
paths = ["/repos/acme/**"]
action = "allow"

[[http]]
name = "nothing else"
host = "api.github.com"
action = "deny"
reason = "only acme's repositories, read only"

[[http]]
name = "no batches"
host = "api.anthropic.com"
paths = ["/v1/messages/batches"]
action = "deny"
reason = "batches are not for agents"
"#;

/// A proxy with the policy above before an origin for `host` that answers `ok`.
fn stage(host: &str, setup: Setup) -> (Origin, Proxy) {
    let origin = Origin::answering(setup.origins.server(host, Flaw::None), &response(200, "", b"ok"));
    let proxy = setup.map(&format!("{host}:443"), origin.address()).start();
    (origin, proxy)
}

fn get(client: &mut Client, host: &str, target: &str) -> Response {
    client.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
}

#[test]
fn lesson_26_every_request_of_a_kept_alive_connection_is_judged() {
    let (origin, proxy) = stage("api.github.com", Setup::default().user(READ_ONLY));
    let mut client = Client::connect(proxy.address(), "api.github.com", &proxy.ca_file());
    assert_eq!(get(&mut client, "api.github.com", "/repos/acme/one").status, 200);
    let denied = get(&mut client, "api.github.com", "/repos/other/one");
    assert_eq!(denied.status, 403);
    assert_eq!(get(&mut client, "api.github.com", "/repos/acme/two").status, 200);
    let written = client.ask(
        b"POST /repos/acme/issues HTTP/1.1\r\nHost: api.github.com\r\nAccept: application/json\r\n\
          Content-Length: 2\r\n\r\n{}",
    );
    assert_eq!(written.status, 403);
    let said = String::from_utf8_lossy(&written.body).into_owned();
    for part in ["nothing else", "user", "only acme's repositories, read only"] {
        assert!(said.contains(part), "the denial names {part:?}: {said}");
    }

    let events = proxy.ledger().net_events(4);
    let decisions: Vec<_> = events.iter().map(|row| (row.text("decision"), row.text("rule"))).collect();
    assert_eq!(decisions[0], (Some("allowed"), Some("read acme")));
    assert_eq!(decisions[1], (Some("denied"), Some("nothing else")));
    assert_eq!(decisions[2], (Some("allowed"), Some("read acme")));
    assert_eq!(decisions[3], (Some("denied"), Some("nothing else")));
    let got = origin.received().concat();
    let got = String::from_utf8_lossy(&got);
    assert_eq!(got.matches("HTTP/1.1\r\n").count(), 2, "only the allowed requests reached the origin: {got}");
    assert!(!got.contains("/repos/other") && !got.contains("POST"), "{got}");
}

#[test]
fn p8_a_denied_host_is_refused_at_connect_and_reaches_nobody() {
    let (origin, proxy) = stage("evil.example", Setup::default().user(READ_ONLY));
    let mut client = Client::plain(proxy.address());
    let refused = client.ask(b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n");
    assert_eq!(refused.status, 403);
    assert!(String::from_utf8_lossy(&refused.body).contains("evil.example"));
    let row = proxy.ledger().net_events(1).remove(0);
    assert_eq!((row.text("decision"), row.text("host")), (Some("denied"), Some("evil.example")));
    assert!(row.text("rule").is_some() && row.text("rule_layer").is_some(), "{row:?}");
    assert_eq!(row.text("dialed"), None);
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn lesson_28_the_companys_block_beats_the_users_allow_however_the_host_is_spelled() {
    let corp = "[network]\nblock = [\"*.evil.example\"]\n";
    let user = "[network]\ndefault = \"allow\"\nallow = [\"www.evil.example\"]\n";
    let (origin, proxy) = stage("www.evil.example", Setup::default().user(user).corp(corp));
    for spelling in ["www.evil.example", "WWW.Evil.Example", "www.evil.example."] {
        let mut client = Client::plain(proxy.address());
        let refused =
            client.ask(format!("CONNECT {spelling}:443 HTTP/1.1\r\nHost: {spelling}:443\r\n\r\n").as_bytes());
        assert_eq!(refused.status, 403, "{spelling}");
    }
    let rows = proxy.ledger().net_events(3);
    assert!(rows.iter().all(|row| row.text("rule_layer") == Some("corp")), "{rows:?}");
    assert!(
        rows.iter().all(|row| row.text("host") == Some("www.evil.example")),
        "one canonical host: {rows:?}"
    );
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn lesson_30_a_denial_on_a_model_host_has_the_providers_own_shape() {
    let (_origin, proxy) = stage("api.anthropic.com", Setup::default().user(READ_ONLY));
    let mut client = Client::transparent(proxy.address(), "api.anthropic.com", &proxy.ca_file());
    let denied = client.ask(
        b"POST /v1/messages/batches HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Type: application/json\r\n\
          Content-Length: 2\r\n\r\n{}",
    );
    assert_eq!(denied.status, 403);
    let body: serde_json::Value = serde_json::from_slice(&denied.body).expect("a JSON body");
    assert_eq!(body["type"], "error", "{body}");
    let message = body["error"]["message"].as_str().expect("a message that the SDK shows");
    assert!(message.contains("no batches") && message.contains("batches are not for agents"), "{message}");
}

#[test]
fn p6_a_host_that_is_not_the_server_name_is_misdirected() {
    let (origin, proxy) = stage("api.anthropic.com", Setup::default());
    let mut client = Client::transparent(proxy.address(), "api.anthropic.com", &proxy.ca_file());
    assert_eq!(get(&mut client, "api.anthropic.com", "/first").status, 200);
    let second = get(&mut client, "api.github.com", "/second");
    assert!(matches!(second.status, 421 | 403), "{second:?}");
    assert_eq!(client.rest(), b"", "the connection is closed");
    let got = String::from_utf8_lossy(&origin.received().concat()).into_owned();
    assert!(!got.contains("/second"), "{got}");
    assert_eq!(proxy.ledger().net_events(2)[1].text("decision"), Some("denied"));
}

#[test]
fn lesson_27_a_reload_reaches_live_connections_and_a_broken_file_changes_nothing() {
    let (_origin, proxy) = stage("api.github.com", Setup::default().user(READ_ONLY));
    let mut client = Client::connect(proxy.address(), "api.github.com", &proxy.ca_file());
    assert_eq!(get(&mut client, "api.github.com", "/repos/acme/one").status, 200);
    assert_eq!(get(&mut client, "api.github.com", "/repos/other/one").status, 403);

    proxy.reload_user("[network\n");
    eventually("the proxy says that the file is broken", || {
        proxy.stderr().contains("user.toml").then_some(())
    });
    assert_eq!(
        get(&mut client, "api.github.com", "/repos/acme/one").status,
        200,
        "the last good policy stands"
    );
    assert_eq!(
        get(&mut client, "api.github.com", "/repos/other/one").status,
        403,
        "the last good policy stands"
    );

    proxy.reload_user(&READ_ONLY.replace("/repos/acme/**", "/repos/other/**"));
    eventually("the new policy decides", || {
        (get(&mut client, "api.github.com", "/repos/other/one").status == 200).then_some(())
    });
    assert_eq!(get(&mut client, "api.github.com", "/repos/acme/one").status, 403);
}

#[test]
fn p36_secrets_are_not_at_rest() {
    let (_origin, mut proxy) = stage("api.anthropic.com", Setup::default());
    let mut client = Client::connect(proxy.address(), "api.anthropic.com", &proxy.ca_file());
    let secrets = ["sk-ant-secret-one", "Bearer secret-two", "session=secret-three", "AIzasecretfour"];
    let request = format!(
        "GET /v1/models?key={3} HTTP/1.1\r\nHost: api.anthropic.com\r\nx-api-key: {0}\r\nAuthorization: {1}\r\n\
         Cookie: {2}\r\n\r\n",
        secrets[0], secrets[1], secrets[2], secrets[3]
    );
    assert_eq!(client.ask(request.as_bytes()).status, 200);
    proxy.ledger().net_events(1);
    let state = proxy.ledger().file().parent().expect("a directory").to_owned();
    assert!(proxy.stop().success());
    for file in std::fs::read_dir(state).expect("a state directory") {
        let path = file.expect("an entry").path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        for secret in ["secret-one", "secret-two", "secret-three", "secretfour"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} lies in {}", path.display());
        }
    }
}

#[test]
fn a_spliced_host_shows_its_own_certificate_and_leaves_a_row() {
    let user = "[network]\ndefault = \"deny\"\nsplice = [\"pinned.example\"]\n";
    let setup = Setup::default().user(user);
    let origins = setup.origins.file().to_owned();
    let (origin, proxy) = stage("pinned.example", setup);
    // The guest trusts the origin's authority and not the proxy's.
    let mut client = Client::connect(proxy.address(), "pinned.example", &origins);
    assert_eq!(get(&mut client, "pinned.example", "/").body, b"ok");
    client.leave();
    assert_eq!(origin.accepted(), 1);
    let row = proxy.ledger().net_events(1).remove(0);
    assert_eq!((row.text("decision"), row.text("host")), (Some("spliced"), Some("pinned.example")));
    assert!(row.int("response_bytes") > Some(100), "both directions are counted: {row:?}");
}
