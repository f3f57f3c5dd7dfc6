//! Reload through the running proxy: under load no request is lost and each is judged by a policy that was in force
//! while it ran; a file that cannot be used changes nothing; what the new policy denies is cut where that is wanted.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use support::certs::Flaw;
use support::client::Client;
use support::gate::Gate;
use support::origin::{Origin, chunk, response};
use support::proxy::{Proxy, Setup};
use support::{SOON, eventually, now};

const HOST: &str = "api.example";
const PATHS: [&str; 2] = ["/a", "/b"];
const CLIENTS: usize = 4;
const FLIPS: usize = 24;

/// Allows one of the two paths and denies everything else.
fn policy(path: &str) -> String {
    format!(
        "[network]\nallow = [\"{HOST}\"]\n[[http]]\nname = \"only {path}\"\nhost = \"{HOST}\"\npaths = [\"{path}\"]\n\
         action = \"allow\"\n[[http]]\nname = \"not with {path}\"\nhost = \"{HOST}\"\naction = \"deny\"\n"
    )
}

/// A request, by the wall clock in microseconds, and which of the two policies its answer shows.
struct Asked {
    began: i64,
    ended: i64,
    judged_by: usize,
}

fn wall() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_micros() as i64
}

/// Asks for both paths in turn on one connection until told to stop.
fn ask_on(mut client: Client, stop: &AtomicBool) -> Vec<Asked> {
    let mut all = Vec::new();
    for path in (0..2).cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = wall();
        let answer = client.ask(format!("GET {} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", PATHS[path]).as_bytes());
        let judged_by = match answer.status {
            200 => path,
            403 => 1 - path,
            other => panic!("{other}: {answer:?}"),
        };
        all.push(Asked { began, ended: wall(), judged_by });
    }
    all
}

/// Puts a policy into force by the admin API, or by SIGHUP.
fn reload(proxy: &Proxy, admin: &Path, text: &str, by_signal: bool) {
    fs::write(proxy.dir().join("user.toml"), text).expect("a writable directory");
    if by_signal {
        let said =
            |proxy: &Proxy| proxy.stderr().matches("the policy was read again and is in force").count();
        let before = said(proxy);
        proxy.signal(Signal::SIGHUP);
        eventually("the reload is reported", || (said(proxy) > before).then_some(()));
    } else {
        let answer = post_reload(admin);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

fn post_reload(admin: &Path) -> String {
    use std::io::{Read, Write};
    let mut socket = std::os::unix::net::UnixStream::connect(admin).expect("the admin listener");
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    socket
        .write_all(
            b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        )
        .expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

fn with_admin(setup: Setup) -> (Setup, PathBuf) {
    let admin = setup.path("admin.sock");
    let more = format!("[admin]\naddress = \"unix://{}\"\n", admin.display());
    (setup.more(&more), admin)
}

#[test]
fn lesson_27_under_load_every_request_is_judged_by_a_policy_that_was_in_force_while_it_ran() {
    let (setup, admin) = with_admin(Setup::default().user(&policy(PATHS[0])));
    let origin = Origin::answering(setup.origins.server(HOST, Flaw::None), &response(200, "", b"ok"));
    let proxy = setup.map(&format!("{HOST}:443"), origin.address()).start();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
            let stop = Arc::clone(&stop);
            thread::spawn(move || ask_on(client, &stop))
        })
        .collect();

    // When each policy began to come into force, and since when it surely was.
    let mut changes = vec![(0, 0, 0)];
    for flip in 1..=FLIPS {
        let next = flip % 2;
        let began = wall();
        reload(&proxy, &admin, &policy(PATHS[next]), flip % 3 == 0);
        changes.push((next, began, wall()));
        thread::sleep(Duration::from_millis(60));
    }
    stop.store(true, Ordering::Relaxed);
    let asked: Vec<Asked> =
        clients.into_iter().flat_map(|client| client.join().expect("no request is lost")).collect();

    let could_judge = |request: &Asked| {
        changes.iter().enumerate().any(|(at, &(which, began, _))| {
            let gone = changes.get(at + 1).map_or(i64::MAX, |&(_, _, surely)| surely);
            which == request.judged_by && began <= request.ended && request.began <= gone
        })
    };
    let wrong = asked.iter().filter(|request| !could_judge(request)).count();
    assert_eq!(wrong, 0, "of {} requests", asked.len());
    assert!(asked.len() > 20 * CLIENTS, "{} requests are no load", asked.len());
    for which in [0, 1] {
        assert!(asked.iter().any(|request| request.judged_by == which), "both policies judged");
    }
    the_ledger_agrees(&proxy, asked.len());
}

/// Each row names a rule of a policy whose digest says that it was in force while the request ran.
fn the_ledger_agrees(proxy: &Proxy, requests: usize) {
    let ledger = proxy.ledger();
    ledger.net_events_count(requests as i64);
    let policies = ledger.rows("SELECT at, digest FROM policies ORDER BY at");
    assert_eq!(policies.len(), FLIPS + 1);
    let digest = |flip: usize| policies[flip].text("digest");
    assert!((0..=FLIPS).all(|flip| digest(flip) == digest(flip % 2)), "{policies:?}");
    assert_ne!(digest(0), digest(1));
    let since = |flip: usize| policies.get(flip).map_or(i64::MAX, |row| row.int("at").expect("a time"));
    // A turn's clock is read when it begins: what it judges may have come into force a moment later.
    let turn = 20_000;
    for row in ledger.rows("SELECT started_at, started_at + total_us AS ended_at, rule FROM net_events") {
        let rule = row.text("rule").expect("a rule");
        let which = PATHS.iter().position(|path| rule.ends_with(path)).expect("one of ours");
        let (began, ended) = (row.int("started_at").expect("a time"), row.int("ended_at").expect("a time"));
        let agrees = (0..=FLIPS)
            .filter(|flip| flip % 2 == which)
            .any(|flip| since(flip) <= ended + turn && began <= since(flip + 1).saturating_add(turn));
        assert!(agrees, "{row:?}: {policies:?}");
    }
}

#[test]
fn lesson_21_a_corporate_file_with_a_syntax_error_is_kept_out_and_reported() {
    let corp = "[network]\nblock = [\"*.evil.example\"]\n";
    let (setup, admin) = with_admin(Setup::default().corp(corp));
    let proxy = setup.start();
    let refused = || {
        let answer = Client::plain(proxy.address())
            .ask(b"GET http://www.evil.example/ HTTP/1.1\r\nHost: www.evil.example\r\n\r\n");
        assert_eq!(answer.status, 403, "{answer:?}");
    };
    refused();
    for broken in ["[network\n", "[network]\nblok = []\n", "[network]\nblock = \n", "\u{feff}\0"] {
        fs::write(proxy.dir().join("corp.toml"), broken).expect("a writable directory");
        let answer = post_reload(&admin);
        assert!(answer.starts_with("HTTP/1.1 409 ") && answer.contains("corp.toml:"), "{broken:?}: {answer}");
        refused();
    }
    fs::remove_file(proxy.dir().join("corp.toml")).expect("there is one");
    let answer = post_reload(&admin);
    assert!(answer.starts_with("HTTP/1.1 409 ") && answer.contains("corp.toml"), "{answer}");
    refused();
    proxy.signal(Signal::SIGHUP);
    eventually("the operator is told", || {
        proxy.stderr().contains("the policy was not reloaded, the old one stays in force").then_some(())
    });
    refused();
    proxy.ledger().net_events(7); // everything before them is written too
    assert_eq!(
        proxy.ledger().number("SELECT count(*) FROM policies"),
        1,
        "only what came into force is written"
    );
}

#[test]
fn a_reload_cuts_what_the_new_policy_denies_only_where_that_is_wanted() {
    for cut in [true, false] {
        let open = Gate::default();
        let origin_gate = open.clone();
        let setup = Setup::default().user("[network]\nallow = [\"api.example\", \"other.example\"]\n");
        let config = setup.origins.server_for([HOST.to_owned(), "other.example".to_owned()]);
        let origin = Origin::tls(config, move |conn| {
            conn.request()?;
            conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            conn.send(&chunk(b"first"))?;
            origin_gate.wait_long();
            conn.send(&[chunk(b"second"), b"0\r\n\r\n".to_vec()].concat())
        });
        let setup = setup.map("api.example:443", origin.address()).map("other.example:443", origin.address());
        let proxy = setup.more(&format!("[reload]\ncut = {cut}\n")).start();
        let begin = |host: &str| {
            let mut client = Client::connect(proxy.address(), host, &proxy.ca_file());
            client.send(format!("GET /stream HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
            assert_eq!(client.head().and_then(|head| head.status()).expect("a head"), 200);
            assert_eq!(client.chunked_data(5).expect("data"), b"first");
            client
        };
        let (mut denied, mut kept) = (begin(HOST), begin("other.example"));
        proxy.reload_user("[network]\nallow = [\"other.example\"]\n");
        if cut {
            let end = now() + SOON;
            assert!(denied.chunked_end().is_err(), "a stream that is cut does not look whole");
            assert!(now() < end, "and at once");
            let row = proxy.ledger().net_events(1).remove(0);
            assert_eq!((row.text("decision"), row.text("host")), (Some("denied"), Some(HOST)), "{row:?}");
        } else {
            eventually("the reload is reported", || proxy.stderr().contains("is in force").then_some(()));
        }
        open.open();
        assert_eq!(kept.chunked_end().expect("an end"), b"second");
        if !cut {
            assert_eq!(denied.chunked_end().expect("an end"), b"second");
        }
    }
}

#[test]
fn p7_a_reload_reaches_idle_connections_to_addresses_that_are_refused_now() {
    let origin = Origin::plain(|conn| {
        while conn.request()?.is_some() {
            conn.send(&response(200, "", b"ok"))?;
        }
        Ok(())
    });
    let port = origin.address().port();
    let user = |more: &str| format!("[network]\ndefault = \"allow\"\nports = [{port}]\n{more}");
    let proxy = Setup::default().user(&user("private_addresses = \"allow\"\n")).start();
    let ask = || {
        let request = format!("GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        Client::plain(proxy.address()).ask(request.as_bytes()).status
    };
    assert_eq!(ask(), 200);
    proxy.reload_user(&user(""));
    eventually("the reload is reported", || proxy.stderr().contains("is in force").then_some(()));
    assert_eq!(ask(), 403);
    assert_eq!(origin.accepted(), 1);
}
