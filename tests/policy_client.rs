//! `[[http]]` rules about who asks (process, user, listener), through the running proxy: a listener that believes PROXY v2
//! headers knows, another one does not, and `policy why` says what the proxy does.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use support::SOON;
use support::origin::{Origin, response};
use support::proxy::{Proxy, Setup, tollgate};
use tollgate::wire::proxy_header::{self, ProxyHeader};

/// `LISTENER` stands for the address of the listener that believes headers.
const USER: &str = r#"
[network]
default = "allow"

[[http]]
name = "git may write"
host = "git.example"
process = ["git", "git-remote-http"]
action = "allow"
[[http]]
name = "everybody may read"
host = "git.example"
methods = ["read"]
action = "allow"

[[http]]
name = "the builder's"
host = "builds.example"
uid = [1000, 1001]
process = "cargo"
action = "allow"

[[http]]
name = "not for guests"
host = "admin.example"
listener = "LISTENER"
action = "deny"
reason = "guests have no business here"
"#;

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// On the listener that believes nothing.
    Direct,
    /// On the one that believes: what the relay says of process and user.
    Guest(Option<&'static str>, Option<u32>),
}
use Asker::{Direct, Guest};

const CASES: &[(Asker, &str, &str, u16, &str)] = &[
    (Direct, "GET", "git.example", 200, "everybody may read"),
    (Direct, "POST", "git.example", 403, "http.unmatched"),
    (Guest(Some("git"), None), "POST", "git.example", 200, "git may write"),
    (Guest(Some("git-remote-http"), Some(0)), "GET", "git.example", 200, "git may write"),
    (Guest(Some("Git"), None), "POST", "git.example", 403, "http.unmatched"),
    (Guest(Some("git "), None), "POST", "git.example", 403, "http.unmatched"),
    (Guest(None, None), "POST", "git.example", 403, "http.unmatched"),
    (Guest(Some("cargo"), Some(1000)), "GET", "builds.example", 200, "the builder's"),
    (Guest(Some("cargo"), Some(1001)), "GET", "builds.example", 200, "the builder's"),
    (Guest(Some("cargo"), Some(0)), "GET", "builds.example", 403, "http.unmatched"),
    (Guest(Some("cargo"), None), "GET", "builds.example", 403, "http.unmatched"),
    (Guest(Some("curl"), Some(1000)), "GET", "builds.example", 403, "http.unmatched"),
    (Guest(None, Some(1000)), "GET", "builds.example", 403, "http.unmatched"),
    (Direct, "GET", "builds.example", 403, "http.unmatched"),
    (Direct, "GET", "admin.example", 200, "network.default"),
    (Guest(Some("curl"), Some(1000)), "GET", "admin.example", 403, "not for guests"),
];

#[test]
fn rules_about_who_asks_hold_on_the_listener_that_knows_and_policy_why_agrees() {
    let setup = Setup::default();
    let socket = setup.path("guest.sock");
    let believing = format!("unix://{}", socket.display());
    let origin = Origin::plain(|conn| {
        while conn.request()?.is_some() {
            conn.send(&response(200, "", b""))?;
        }
        Ok(())
    });
    let mut setup = setup
        .user(&USER.replace("LISTENER", &believing))
        .more(&format!("[[listen]]\naddress = \"{believing}\"\nproxy_header = true\n"));
    for host in ["git.example", "builds.example", "admin.example"] {
        setup = setup.map(&format!("{host}:80"), origin.address());
    }
    let proxy = setup.start();

    for (asker, method, host, status, rule) in CASES {
        let case = format!("{asker:?} {method} {host}");
        assert_eq!(ask(&proxy, &socket, *asker, method, host), *status, "{case}");
        let (verdict, decided_by) = why(&proxy, &believing, *asker, method, host);
        assert_eq!((verdict == "allow", &*decided_by), (*status == 200, *rule), "policy why: {case}");
    }
    let rows = proxy.ledger().net_events(CASES.len());
    for ((asker, method, host, _, rule), row) in CASES.iter().zip(&rows) {
        assert_eq!(row.text("rule"), Some(*rule), "{asker:?} {method} {host}");
        if let Guest(process, uid) = asker {
            assert_eq!((row.text("process_name"), row.int("user_id")), (*process, uid.map(i64::from)));
            assert_eq!(row.text("listener"), Some(&*believing));
            assert_eq!(row.text("original"), Some("203.0.113.7:80"), "recorded, and not followed (P7)");
            assert_ne!(row.text("dialed"), Some("203.0.113.7:80"));
        }
    }
}

#[test]
fn nobody_is_believed_on_a_listener_without_proxy_header() {
    let proxy = Setup::default().user(&USER.replace("LISTENER", "unix:///elsewhere")).start();
    let mut stream = TcpStream::connect(proxy.address()).expect("the proxy");
    let request = request("POST", "git.example");
    stream.write_all(&[header(Some("git"), Some(1000)), request].concat()).expect("sent");
    assert_eq!(status(&mut stream), 400);
    let row = proxy.ledger().net_events(1).remove(0);
    assert_eq!((row.text("process_name"), row.int("user_id")), (None, None));
}

fn ask(proxy: &Proxy, socket: &std::path::Path, asker: Asker, method: &str, host: &str) -> u16 {
    let request = request(method, host);
    match asker {
        Direct => {
            let mut stream = TcpStream::connect(proxy.address()).expect("the proxy");
            stream.set_read_timeout(Some(SOON)).expect("a timeout");
            stream.write_all(&request).expect("sent");
            status(&mut stream)
        }
        Guest(process, uid) => {
            let mut stream = UnixStream::connect(socket).expect("the listener for guests");
            stream.set_read_timeout(Some(SOON)).expect("a timeout");
            stream.write_all(&[header(process, uid), request].concat()).expect("sent");
            status(&mut stream)
        }
    }
}

fn request(method: &str, host: &str) -> Vec<u8> {
    format!("{method} / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// What a relay says: the guest was going to some web server.
fn header(process: Option<&str>, uid: Option<u32>) -> Vec<u8> {
    let web = ("203.0.113.7".parse().expect("an address"), 80);
    let header = ProxyHeader {
        destination: Some(web),
        source: Some(("10.0.0.2".parse().expect("an address"), 40_000)),
        process_name: process.map(str::to_owned),
        user_id: uid,
        ..ProxyHeader::default()
    };
    let mut out = Vec::new();
    proxy_header::write(&header, &mut out);
    out
}

fn status(stream: &mut impl Read) -> u16 {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let line = String::from_utf8_lossy(&answer).into_owned();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
}

/// The verdict of `policy why`, and the rule that decides.
fn why(proxy: &Proxy, believing: &str, asker: Asker, method: &str, host: &str) -> (String, String) {
    let config = proxy.dir().join("tollgate.toml").display().to_string();
    let mut args = vec!["policy", "why", "--json", "--config", &config];
    let uid = match asker {
        Guest(_, Some(uid)) => uid.to_string(),
        _ => String::new(),
    };
    if let Guest(process, _) = asker {
        args.extend(["--listener", believing]);
        args.extend(process.into_iter().flat_map(|name| ["--process", name]));
    }
    if !uid.is_empty() {
        args.extend(["--uid", &uid]);
    }
    let url = format!("http://{host}/");
    args.extend([method, &url]);
    let output = tollgate(&args);
    let document: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |key: &str| document[key].as_str().expect(key).to_owned();
    (text("verdict"), text("rule"))
}
