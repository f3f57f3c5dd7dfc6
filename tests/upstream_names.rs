//! Names and addresses with a name server of the test's own, in a network of its own: what is looked up, what of the
//! answer may be dialled, and that nothing leads back to the proxy.
//!
//! The test runs itself again in new user, mount and network namespaces, where 203.0.113.0/24 is this machine and
//! `/etc/resolv.conf` names the test's server. Where the kernel refuses that, it says so.

mod support;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use support::client::{Client, Response};
use support::proxy::{Proxy, Setup};
use tollgate::wire::dns::{self, Answer, Kind};

const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Every kind of address that no name may lead to (P7).
const REFUSED: &[&str] = &[
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.1.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::127.0.0.1",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
];

const NETWORK: &str = r#"
ip link set lo up && ip route add local 203.0.113.0/24 dev lo &&
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' > "$0" && mount --bind "$0" /etc/resolv.conf &&
exec "$1" --ignored --exact inside_a_network_of_its_own --nocapture
"#;

#[test]
fn p7_p8_p13_p26_names_lead_where_the_policy_lets_them() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = Command::new("unshare")
        .args(["-Urnm", "sh", "-c", NETWORK])
        .arg(dir.path().join("resolv.conf"))
        .arg(std::env::current_exe().expect("this binary"))
        .output();
    let output = run.expect("unshare is there");
    let said = String::from_utf8_lossy(&output.stderr);
    if ["unshare:", "mount:", "RTNETLINK", "sh:"].iter().any(|tool| said.contains(tool)) {
        eprintln!("not tested: no network of its own can be made here: {said}");
        return;
    }
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "run by p7_p8_p13_p26_names_lead_where_the_policy_lets_them in a network of its own"]
fn inside_a_network_of_its_own() {
    let names = NameServer::start();
    let (origin, inner) = (listen(PUBLIC, 80), listen(LOOPBACK, 80));
    private_addresses_are_refused_under_every_name(&names);
    assert_eq!(inner.load(Ordering::SeqCst), 0, "nothing was dialled on loopback");
    an_answer_is_dialled_as_it_was_checked(&names);
    assert_eq!(inner.load(Ordering::SeqCst), 0, "a second answer is not asked for");
    denied_names_are_not_looked_up(&names);
    slow_names_delay_no_other(&names);
    our_own_listeners_are_nobodys_origin(&names);
    assert!(origin.load(Ordering::SeqCst) > 0);
}

fn private_addresses_are_refused_under_every_name(names: &NameServer) {
    let proxy = Setup::default().start();
    for (n, address) in REFUSED.iter().enumerate() {
        let name = format!("refused{n}.example");
        names.put(&name, &[address]);
        let answer = get(&proxy, &format!("http://{name}/"));
        assert_eq!(answer.status, 403, "{address}: {answer:?}");
        assert!(names.asked(&name) > 0);
    }
    let rows = proxy.ledger().net_events(REFUSED.len());
    for row in rows {
        assert_eq!(
            (row.text("rule"), row.text("dialed")),
            (Some("network.private_addresses"), None),
            "{row:?}"
        );
    }
}

/// A name server that gives a public address first and loopback from then on.
fn an_answer_is_dialled_as_it_was_checked(names: &NameServer) {
    let proxy = Setup::default().start();
    names.put("rebinding.example", &[&PUBLIC.to_string(), "127.0.0.1"]);
    for _ in 0..3 {
        assert_eq!(get(&proxy, "http://rebinding.example/").status, 200);
    }
    assert_eq!(names.asked("rebinding.example"), 1, "checked and dialled from one answer");
    let rows = proxy.ledger().net_events(3);
    assert!(rows.iter().all(|row| row.text("dialed") == Some("203.0.113.10:80")), "{rows:?}");
}

fn denied_names_are_not_looked_up(names: &NameServer) {
    let user = "[network]\ndefault = \"deny\"\nallow = [\"good.example\", \"*.wild.example\"]\nblock = [\"bad.wild.example\"]\n";
    let proxy = Setup::default().user(user).start();
    names.put("good.example", &[&PUBLIC.to_string()]);
    for name in
        ["denied.example", "DENIED.example.", "wild.example", "bad.wild.example", "good.example.evil.example"]
    {
        names.put(&name.to_lowercase(), &[&PUBLIC.to_string()]);
        assert_eq!(get(&proxy, &format!("http://{name}/")).status, 403, "{name}");
        let connect = format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n");
        assert_eq!(Client::plain(proxy.address()).ask(connect.as_bytes()).status, 403, "{name}");
        let mut redirected =
            Client::transparent(proxy.address(), name.trim_end_matches('.'), &proxy.ca_file());
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
        assert_eq!(redirected.ask(request.as_bytes()).status, 403, "{name}");
        assert_eq!(names.asked(name.trim_end_matches('.')), 0, "{name} was looked up");
    }
    assert_eq!(get(&proxy, "http://good.example/").status, 200);
    assert_eq!(names.asked("good.example"), 1);
}

/// A hundred names whose server says nothing: the system gives each up after a second.
fn slow_names_delay_no_other(names: &NameServer) {
    let proxy = Setup::default().start();
    let mut waiting: Vec<Client> = (0..100)
        .map(|n| {
            let host = format!("silent{n}.example");
            let mut client = Client::plain(proxy.address());
            client.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
            client
        })
        .collect();
    support::eventually("all of them are asked for", || {
        (0..100).all(|n| names.asked(&format!("silent{n}.example")) > 0).then_some(())
    });
    names.put("quick.example", &[&PUBLIC.to_string()]);
    let began = support::now();
    assert_eq!(get(&proxy, "http://quick.example/").status, 200);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    for client in &mut waiting {
        let answer = client.response().expect("an answer");
        assert_eq!(answer.status, 502, "{answer:?}");
    }
}

fn our_own_listeners_are_nobodys_origin(names: &NameServer) {
    let more = "[[listen]]\naddress = \"tcp://0.0.0.0:8099\"\n[admin]\naddress = \"tcp://127.0.0.1:8098\"\n";
    let proxy = Setup::default().more(more).start();
    let port = proxy.address().port();
    let user = format!(
        "[network]\ndefault = \"allow\"\nprivate_addresses = \"allow\"\nports = [80, 8098, 8099, {port}]\n"
    );
    proxy.reload_user(&user);
    support::eventually("the reload is reported", || proxy.stderr().contains("is in force").then_some(()));
    names.put("me.example", &["127.0.0.1"]);
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://me.example:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        "http://me.example:8098/healthz".to_owned(),
        "http://[::ffff:127.0.0.1]:8098/metrics".to_owned(),
        "http://[::]:8098/v1/usage".to_owned(),
        "http://127.0.0.1:8099/".to_owned(),
        "http://127.8.8.8:8099/".to_owned(),
        "http://203.0.113.77:8099/".to_owned(),
        "http://localhost:8099/".to_owned(),
    ] {
        let answer = get(&proxy, &url);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status == 403 && text.contains("this proxy itself"), "{url}: {answer:?}");
    }
    // The same port at another host is that host's.
    listen(PUBLIC, port);
    names.put("other.example", &[&PUBLIC.to_string()]);
    assert_eq!(get(&proxy, &format!("http://other.example:{port}/")).status, 200);
    let row = proxy.ledger().net_events(11).remove(10);
    let dialed = format!("203.0.113.10:{port}");
    assert_eq!((row.int("port"), row.text("dialed")), (Some(i64::from(port)), Some(&*dialed)));
}

fn get(proxy: &Proxy, url: &str) -> Response {
    let host = url.split('/').nth(2).expect("a URL");
    let request = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    Client::plain(proxy.address()).ask(request.as_bytes())
}

/// Answers every connection with 200, and counts them.
fn listen(ip: Ipv4Addr, port: u16) -> Arc<AtomicUsize> {
    use std::io::{Read, Write};
    let listener = TcpListener::bind((ip, port)).expect("an address of this network");
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || {
                let mut room = [0; 4096];
                if stream.read(&mut room).is_ok_and(|n| n > 0) {
                    drop(
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
                    );
                }
            });
        }
    });
    accepted
}

/// What the names are, and how often each was asked for its IPv4 address.
#[derive(Default)]
struct Names {
    zone: HashMap<String, Vec<IpAddr>>,
    asked: HashMap<String, usize>,
}

#[derive(Clone, Default)]
struct NameServer(Arc<Mutex<Names>>);

impl NameServer {
    fn start() -> Self {
        let socket = UdpSocket::bind(SocketAddr::from((LOOPBACK, 53))).expect("port 53 of this network");
        let server = Self::default();
        let serving = server.clone();
        thread::spawn(move || {
            let mut room = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut room) {
                let query = &room[..len];
                let question = dns::parse(query).expect("a query of the system's resolver");
                let mut out = Vec::new();
                if let Some(answer) = serving.answer(&question.name, question.kind) {
                    dns::write(query, &question, answer, &mut out);
                    drop(socket.send_to(&out, from));
                }
            }
        });
        server
    }

    /// The addresses of a name: the n-th question for its IPv4 address gets the n-th, and at last the last.
    fn put(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        let name = name.trim_end_matches('.').to_owned();
        self.0.lock().expect("no panic elsewhere").zone.insert(name, addresses);
    }

    /// How often a name was looked up.
    fn asked(&self, name: &str) -> usize {
        let names = self.0.lock().expect("no panic elsewhere");
        names.asked.get(&name.to_lowercase()).copied().unwrap_or(0)
    }

    /// What is said about a name; nothing about those that begin with `silent`.
    fn answer(&self, name: &str, kind: Kind) -> Option<Answer> {
        let mut names = self.0.lock().expect("no panic elsewhere");
        let name = name.to_lowercase();
        let before = names.asked.get(&name).copied().unwrap_or(0);
        *names.asked.entry(name.clone()).or_default() += usize::from(kind == Kind::A);
        if name.starts_with("silent") {
            return None;
        }
        let Some(all) = names.zone.get(&name) else { return Some(Answer::NoSuchName) };
        let current = all.get(before).or(all.last()).copied();
        let fits = |ip: &IpAddr| ip.is_ipv4() == (kind == Kind::A) && [Kind::A, Kind::AAAA].contains(&kind);
        Some(current.filter(fits).map_or(Answer::NoData, Answer::Address))
    }
}
