//! HTTP/1.1 between well-behaved peers: keep-alive on both sides, pipelining, bodiless answers, interim responses,
//! and what the origin is sent.

mod support;

use support::certs::Flaw;
use support::client::Client;
use support::origin::{Origin, response};
use support::proxy::{Proxy, Setup};

const HOST: &str = "plain.example";
const MAPPED: &str = "plain.example:443";

fn stage(origin: impl Fn(&Setup) -> Origin) -> (Origin, Proxy, Client) {
    let setup = Setup::default();
    let origin = origin(&setup);
    let proxy = setup.map(MAPPED, origin.address()).start();
    let client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    (origin, proxy, client)
}

fn answering(setup: &Setup, bytes: &[u8]) -> Origin {
    Origin::answering(setup.origins.server(HOST, Flaw::None), bytes)
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: plain.example\r\n\r\n").into_bytes()
}

#[test]
fn one_origin_connection_serves_many_guests_in_turn() {
    let (origin, proxy, mut client) = stage(|setup| answering(setup, &response(200, "", b"ok")));
    for n in 0..5 {
        assert_eq!(client.ask(&get(&format!("/{n}"))).body, b"ok");
    }
    let mut other = Client::transparent(proxy.address(), HOST, &proxy.ca_file());
    assert_eq!(other.ask(&get("/other")).body, b"ok");
    proxy.ledger().net_events(6);
    // Guests may be served by different reactors, each with a pool of its own.
    assert!(origin.accepted() <= 2, "{} connections for 6 requests", origin.accepted());
}

#[test]
fn p19_pipelined_requests_are_answered_in_order() {
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), |conn| {
        while let Some(request) = conn.request()? {
            let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default().to_vec();
            conn.send(&response(200, "", &line))?;
        }
        Ok(())
    });
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    client.send(&[get("/1"), get("/2"), get("/3")].concat());
    for n in 1..=3 {
        let expected = format!("GET /{n} HTTP/1.1");
        assert_eq!(client.response().expect("a response").body, expected.as_bytes());
    }
    let paths = proxy.ledger().net_events(3);
    assert_eq!(
        paths.iter().map(|row| row.text("path")).collect::<Vec<_>>(),
        [Some("/1"), Some("/2"), Some("/3")]
    );
}

#[test]
fn p19_answers_without_a_body_leave_the_connection_usable() {
    for (ask, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n"),
    ] {
        let (_origin, proxy, mut client) = stage(|setup| answering(setup, answer.as_bytes()));
        for _ in 0..2 {
            client.send(format!("{ask} / HTTP/1.1\r\nHost: plain.example\r\n\r\n").as_bytes());
            let head = client.head().expect("a response head");
            assert_eq!(head.status().ok(), answer.split(' ').nth(1).and_then(|status| status.parse().ok()));
        }
        proxy.ledger().net_events(2);
    }
}

#[test]
fn p19_interim_responses_come_before_the_final_one() {
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), |conn| {
        let head = conn.read_past(b"\r\n\r\n")?;
        assert!(String::from_utf8_lossy(&head).to_lowercase().contains("expect: 100-continue"));
        conn.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")?;
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        conn.read_past(b"body")?;
        conn.send(&response(200, "", b"done"))?;
        conn.until_closed()
    });
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    client
        .send(b"PUT / HTTP/1.1\r\nHost: plain.example\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.head().expect("early hints").status().ok(), Some(103));
    assert_eq!(client.head().expect("a go-ahead").status().ok(), Some(100));
    client.send(b"body");
    assert_eq!(client.response().expect("a response").body, b"done");
}

#[test]
fn a_body_until_close_is_delimited_for_the_guest() {
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), |conn| {
        conn.request()?;
        conn.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")?;
        conn.close()
    });
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    assert_eq!(client.ask(&get("/")).body, b"until the end");
    assert_eq!(proxy.ledger().net_events(1)[0].text("decision"), Some("allowed"));
}

#[test]
fn p30_an_idempotent_request_survives_a_stale_pooled_connection() {
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), |conn| {
        conn.request()?;
        conn.send(&response(200, "", b"once"))?;
        conn.close() // though it said nothing about closing
    });
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    for _ in 0..5 {
        assert_eq!(client.ask(&get("/")).body, b"once");
    }
    assert_eq!(origin.accepted(), 5);
    proxy.ledger().net_events(5);
}

#[test]
fn p15_p17_the_origin_gets_a_head_written_anew() {
    let (origin, _proxy, mut client) = stage(|setup| answering(setup, &response(200, "", b"ok")));
    client.ask(
        b"POST /a?b=c HTTP/1.1\r\nhost: PLAIN.example:443\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
          Proxy-Authorization: Basic x\r\nKeep-Alive: timeout=5\r\nX-End: to  end\r\nTE: trailers\r\n\
          Transfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\n\r\n",
    );
    let got = String::from_utf8(origin.received().concat()).expect("text");
    assert!(got.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{got}");
    assert_eq!(got.to_lowercase().matches("\r\nhost: plain.example\r\n").count(), 1, "{got}");
    assert!(got.contains("X-End: to  end\r\n"), "{got}");
    assert!(got.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{got}");
    for gone in ["x-hop", "proxy-authorization", "keep-alive", "te:", "ext=1"] {
        assert!(!got.to_lowercase().contains(&format!("\n{gone}")), "{gone} went on: {got}");
    }
}

#[test]
fn p14_the_plain_smuggling_forms_are_refused_and_reach_nobody() {
    let forms: [&str; 6] = [
        "POST / HTTP/1.1\r\nHost: plain.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: plain.example\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: plain.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: plain.example\r\nHost: other.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: plain.example\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : plain.example\r\n\r\n",
    ];
    for form in forms {
        let (origin, proxy, mut client) = stage(|setup| answering(setup, &response(200, "", b"ok")));
        let refused = client.ask(form.as_bytes());
        assert!(matches!(refused.status, 400 | 501), "{form:?}: {refused:?}");
        client.rest();
        assert!(origin.received().concat().is_empty(), "{form:?} reached the origin");
        assert_eq!(proxy.ledger().net_events(1)[0].text("decision"), Some("denied"), "{form:?}");
    }
}
