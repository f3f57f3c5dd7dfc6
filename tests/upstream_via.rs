//! The corporate proxy (`via`) through the running proxy: everything goes by CONNECT with its credentials, over TLS where
//! it is https; it fails closed; what goes past it goes directly; what policy denies it never hears of.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::certs::Flaw;
use support::client::{Client, Response};
use support::origin::{Origin, response};
use support::proxy::{Proxy, Setup};

/// `al:open sesame`, as a corporation has it.
const CREDENTIALS: &str = "al:open sesame";
const BASIC: &str = "Basic YWw6b3BlbiBzZXNhbWU=";
/// How a test polls a side of a tunnel.
const PULSE: Duration = Duration::from_millis(5);

/// A corporate proxy that wants [`CREDENTIALS`] and leads to the test's origins by port.
struct Corporate {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

/// Which origin a port of the outside world is.
type World = Arc<[(u16, SocketAddr)]>;

impl Corporate {
    fn new(tls: Option<Arc<ServerConfig>>, world: &[(u16, SocketAddr)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, world): (_, World) = (Arc::clone(&heads), world.into());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, log, world) = (tls.clone(), Arc::clone(&log), Arc::clone(&world));
                stream.set_read_timeout(Some(PULSE)).expect("a timeout");
                thread::spawn(move || match tls {
                    None => serve(stream, &log, &world),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).expect("a server");
                        serve(StreamOwned::new(connection, stream), &log, &world);
                    }
                });
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic elsewhere").clone()
    }
}

fn serve(mut guest: impl Read + Write, log: &Mutex<Vec<String>>, world: &World) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match some(&mut guest) {
            Some(piece) => head.extend_from_slice(&piece),
            None => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer: &[u8] = if head.contains(BASIC) {
        b"HTTP/1.1 200 Connection established\r\nVia: 1.1 corporate\r\n\r\n"
    } else {
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    };
    let port = head.split(' ').nth(1).and_then(|to| to.rsplit(':').next()?.parse::<u16>().ok());
    log.lock().expect("no panic elsewhere").push(head);
    if guest.write_all(answer).and_then(|()| guest.flush()).is_err() || !answer.starts_with(b"HTTP/1.1 200") {
        return;
    }
    let origin = world.iter().find(|(outside, _)| Some(*outside) == port).expect("a known port").1;
    let mut origin = TcpStream::connect(origin).expect("the origin");
    origin.set_read_timeout(Some(PULSE)).expect("a timeout");
    while let (Some(up), Some(down)) = (some(&mut guest), some(&mut origin)) {
        if origin.write_all(&up).and_then(|()| guest.write_all(&down)).and_then(|()| guest.flush()).is_err() {
            return;
        }
    }
}

/// What is there now, perhaps nothing; `None` at the end.
fn some(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut room = [0; 16 << 10];
    match from.read(&mut room) {
        Ok(0) => None,
        Ok(n) => Some(room[..n].to_vec()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(Vec::new()),
        Err(_) => None,
    }
}

/// The settings that lead through a corporate proxy; to stand where `[upstream]` is the table that is open.
fn via(setup: Setup, url: &str, more: &str) -> Setup {
    let file = setup.path("credentials");
    std::fs::write(&file, format!("{CREDENTIALS}\n")).expect("a writable directory");
    setup.upstream(&format!("via = \"{url}\"\nvia_auth_file = {file:?}\n{more}"))
}

fn get_plain(proxy: &Proxy, url: &str) -> Response {
    let host = url.split('/').nth(2).expect("a URL");
    Client::plain(proxy.address()).ask(format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
}

fn get(proxy: &Proxy, host: &str) -> Response {
    let mut client = Client::connect(proxy.address(), host, &proxy.ca_file());
    client.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

#[test]
fn everything_goes_through_the_corporate_proxy_with_its_credentials() {
    for tls in [false, true] {
        let setup = Setup::default();
        let secure =
            Origin::answering(setup.origins.server("api.example", Flaw::None), &response(200, "", b"secure"));
        let plain = Origin::plain(|conn| {
            while conn.request()?.is_some() {
                conn.send(&response(200, "", b"plain"))?;
            }
            Ok(())
        });
        let own = tls.then(|| setup.origins.server("localhost", Flaw::None));
        let corporate = Corporate::new(own, &[(443, secure.address()), (80, plain.address())]);
        let port = corporate.address.port();
        let url = if tls { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let from_environment = format!("via = \"{url}\"\nvia_auth_env = \"CORPORATE\"");
        let setup = if tls {
            setup.upstream(&from_environment).env("CORPORATE", CREDENTIALS)
        } else {
            via(setup, &url, "")
        };
        let proxy = setup.start();

        assert_eq!(text(&get(&proxy, "api.example")), "secure");
        assert_eq!(text(&get_plain(&proxy, "http://api.example/")), "plain");
        let heads = corporate.heads();
        let expected = |port| {
            format!(
                "CONNECT api.example:{port} HTTP/1.1\r\nHost: api.example:{port}\r\nProxy-Authorization: {BASIC}\r\n\r\n"
            )
        };
        assert_eq!(heads, [expected(443), expected(80)], "over TLS: {tls}");
        for row in proxy.ledger().net_events(2) {
            assert_eq!(row.text("decision"), Some("allowed"), "{row:?}");
            let dialed = row.text("dialed").expect("an address");
            assert!(dialed.ends_with(&format!(":{port}")), "the row says whom we dialled: {row:?}");
        }
        let received = [secure.received().concat(), plain.received().concat()].concat();
        let received = String::from_utf8_lossy(&received).to_ascii_lowercase();
        assert!(!received.contains("proxy-authorization"), "no origin hears the credentials: {received}");
    }
}

#[test]
fn a_corporate_proxy_that_refuses_or_is_away_ends_in_502_and_never_in_a_direct_connection() {
    let setup = Setup::default();
    let origin = Origin::plain(|_| Ok(()));
    let corporate = Corporate::new(None, &[]);
    let file = setup.path("wrong");
    std::fs::write(&file, "al:guessed\n").expect("a writable directory");
    let user = format!(
        "[network]\ndefault = \"allow\"\nprivate_addresses = \"allow\"\nports = [{}]\n",
        origin.address().port()
    );
    let refusing = setup
        .user(&user)
        .upstream(&format!("via = \"http://{}\"\nvia_auth_file = {file:?}", corporate.address))
        .start();
    let nobody =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let away = via(Setup::default().user(&user), &format!("http://{nobody}"), "").start();

    // The origin could be reached directly: it listens at this very address.
    let url = format!("http://{}/", origin.address());
    for (proxy, words) in [(&refusing, "wants other credentials"), (&away, "refused")] {
        let answer = get_plain(proxy, &url);
        assert_eq!(answer.status, 502, "{answer:?}");
        assert!(
            text(&answer).contains(words) && text(&answer).contains("phase: connect"),
            "{}",
            text(&answer)
        );
        let row = proxy.ledger().net_events(1).remove(0);
        assert_eq!((row.text("decision"), row.text("fault_phase")), (Some("failed"), Some("connect")));
        assert!(!text(&answer).contains("guessed") && !proxy.stderr().contains("guessed"));
    }
    assert_eq!(corporate.heads().len(), 1);
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn p28_a_corporate_proxy_over_tls_proves_its_name_before_it_hears_the_credentials() {
    for flaw in [Flaw::WrongName, Flaw::UnknownIssuer, Flaw::Expired] {
        let setup = Setup::default();
        let corporate = Corporate::new(Some(setup.origins.server("localhost", flaw)), &[]);
        let proxy = via(setup, &format!("https://localhost:{}", corporate.address.port()), "").start();
        let answer = get(&proxy, "api.example");
        assert_eq!(answer.status, 502, "{flaw:?}: {answer:?}");
        assert_eq!(corporate.heads(), [""; 0], "{flaw:?}");
    }
}

#[test]
fn no_proxy_goes_directly_and_the_map_too() {
    let setup = Setup::default();
    let direct = Origin::plain(|conn| {
        while conn.request()?.is_some() {
            conn.send(&response(200, "", b"direct"))?;
        }
        Ok(())
    });
    let corporate = Corporate::new(None, &[]);
    let port = direct.address().port();
    let user =
        format!("[network]\ndefault = \"allow\"\nprivate_allow = [\"localhost\"]\nports = [80, {port}]\n");
    let setup = setup.user(&user).map("mapped.example:80", direct.address());
    let proxy = via(setup, &format!("http://{}", corporate.address), "no_proxy = [\"localhost\"]").start();
    assert_eq!(text(&get_plain(&proxy, &format!("http://localhost:{port}/"))), "direct");
    assert_eq!(text(&get_plain(&proxy, "http://mapped.example/")), "direct");
    assert_eq!(corporate.heads(), [""; 0]);
}

#[test]
fn p7_p8_what_is_denied_or_private_is_not_asked_of_the_corporate_proxy() {
    let corporate = Corporate::new(None, &[]);
    let user = "[network]\ndefault = \"allow\"\nblock = [\"*.evil.example\"]\n";
    let proxy = via(Setup::default().user(user), &format!("http://{}", corporate.address), "").start();
    for host in [
        "www.evil.example",
        "127.0.0.1",
        "2130706433",
        "169.254.169.254",
        "10.0.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "localhost",
        "LOCALHOST.",
        "db.localhost",
    ] {
        let answer = get_plain(&proxy, &format!("http://{host}/"));
        assert_eq!(answer.status, 403, "{host}: {}", text(&answer));
    }
    assert_eq!(corporate.heads(), [""; 0]);
}
