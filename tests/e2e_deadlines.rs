//! Every stage has a deadline that counts from its start (P21); a peer that stalls gets an answer that names the phase
//! at the promised moment (P29), and a row.

mod support;

use std::io;
use std::thread;
use std::time::Duration;

use support::certs::Flaw;
use support::client::Client;
use support::now;
use support::origin::{Conn, Origin, chunk};
use support::proxy::{Proxy, Setup};

const HOST: &str = "slow.example";
const MAPPED: &str = "slow.example:443";
const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: slow.example\r\n\r\n";

/// The deadline under test; everything else keeps its default.
const DEADLINE: Duration = Duration::from_millis(400);
/// How late it may be noticed, on a busy machine.
const SLACK: Duration = Duration::from_millis(1200);

fn setup(stage: &str) -> Setup {
    Setup::default().more(&format!("[timeouts]\n{stage} = \"400ms\""))
}

/// Runs `wait`, which must end at the deadline and not before.
fn at_the_deadline<T>(wait: impl FnOnce() -> T) -> T {
    let start = now();
    let result = wait();
    let took = start.elapsed();
    assert!(took >= DEADLINE && took < DEADLINE + SLACK, "ended after {took:?}");
    result
}

fn assert_row(proxy: &Proxy, phase: &str, status: Option<i64>) {
    let row = proxy.ledger().net_events(1).remove(0);
    assert_eq!(row.text("fault_phase"), Some(phase), "{row:?}");
    assert_eq!(row.int("status"), status, "{row:?}");
    assert_ne!(row.text("decision"), Some("allowed"), "{row:?}");
}

/// Asks an origin that stalls in `phase`; 504 at the deadline.
fn stalls(phase: &str, tls: bool, origin: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static) {
    let setup = setup(phase);
    let config = setup.origins.server(HOST, Flaw::None);
    let origin = if tls { Origin::tls(config, origin) } else { Origin::plain(origin) };
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    let response = at_the_deadline(|| client.ask(ASK));
    assert_eq!(response.status, 504);
    let body = String::from_utf8_lossy(&response.body).into_owned();
    assert!(body.contains(phase), "the body names the phase {phase}: {body}");
    assert_row(&proxy, phase, Some(504));
}

#[test]
fn p29_an_origin_that_never_shakes_hands_is_504_tls() {
    stalls("tls", false, Conn::until_closed);
}

#[test]
fn p29_an_origin_that_never_answers_is_504_first_byte() {
    stalls("first_byte", true, |conn| {
        conn.request()?;
        conn.until_closed()
    });
}

#[test]
fn p21_a_body_that_falls_silent_is_cut() {
    let setup = setup("body");
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), |conn| {
        conn.request()?;
        conn.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        conn.send(&chunk(b"a beginning"))?;
        conn.until_closed()
    });
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    client.send(ASK);
    let rest = at_the_deadline(|| client.rest());
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(rest.contains("a beginning") && !rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_row(&proxy, "body", Some(200));
}

#[test]
fn p21_a_guest_that_says_nothing_is_closed() {
    let proxy = setup("hello").start();
    let mut client = Client::plain(proxy.address());
    let rest = at_the_deadline(|| client.rest());
    assert_eq!(rest, b"");
    let row = proxy.ledger().net_events(1).remove(0);
    assert!(matches!(row.text("fault_phase"), Some("greet" | "hello")), "{row:?}");
    assert_eq!((row.text("decision"), row.int("status")), (Some("failed"), None));
}

#[test]
fn p21_single_bytes_do_not_extend_the_deadline_of_a_head() {
    let setup = setup("head");
    let origin =
        Origin::answering(setup.origins.server(HOST, Flaw::None), b"HTTP/1.1 204 No Content\r\n\r\n");
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    client.send(b"G");
    at_the_deadline(|| {
        for byte in b"ET /a/long/path/that/never/ends".iter().cycle().take(60) {
            if client.try_send(&[*byte]).is_err() {
                return;
            }
            if client.has_answer() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    client.rest();
    assert_eq!(origin.accepted(), 0);
    proxy.ledger().net_events(1);
}

#[test]
fn p21_an_idle_kept_alive_connection_is_closed_without_a_row_of_its_own() {
    let setup = setup("keep_alive");
    let origin =
        Origin::answering(setup.origins.server(HOST, Flaw::None), b"HTTP/1.1 204 No Content\r\n\r\n");
    let proxy = setup.map(MAPPED, origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    assert_eq!(client.ask(ASK).status, 204);
    at_the_deadline(|| client.rest());
    assert_eq!(proxy.ledger().net_events(1)[0].text("decision"), Some("allowed"));
}
