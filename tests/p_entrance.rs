//! The ways in over real sockets: SOCKS5 as curl speaks it, PROXY v2, a socket file, and hellos that are none (P1, P2).

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use support::certs::Flaw;
use support::client::Client;
use support::origin::{Origin, response};
use support::proxy::Setup;
use support::{now, tools};

const HOST: &str = "in.example";

fn origins(setup: &Setup) -> (Origin, Origin) {
    let tls = Origin::answering(setup.origins.server(HOST, Flaw::None), &response(200, "", b"over TLS"));
    let plain = Origin::plain(|conn| {
        while conn.request()?.is_some() {
            conn.send(&response(200, "", b"in clear"))?;
        }
        Ok(())
    });
    (tls, plain)
}

#[test]
fn socks5_by_name_and_by_address_as_curl_speaks_it() {
    let Some(curl) = tools::program("curl") else { return };
    let setup = Setup::default();
    let (tls, plain) = origins(&setup);
    let proxy = setup.map("in.example:443", tls.address()).map("in.example:80", plain.address()).start();
    let run = |scheme: &str, user: &str, url: &str| {
        let mut command = Command::new(&curl);
        command.args([
            "-sS",
            "--max-time",
            "10",
            "--proxy",
            &format!("{scheme}://{user}{}", proxy.address()),
        ]);
        command.args(["--resolve", "in.example:443:203.0.113.9", "--resolve", "in.example:80:203.0.113.9"]);
        let output = tools::output(command.arg("--cacert").arg(proxy.ca_file()).arg(url));
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for scheme in ["socks5h", "socks5"] {
        for user in ["", "name:secret@"] {
            for (url, body) in [("https://in.example/x", "over TLS"), ("http://in.example/x", "in clear")] {
                let (out, err) = run(scheme, user, url);
                assert_eq!(out, body, "{scheme}://{user} {url}: {err}");
            }
        }
    }
    let rows = proxy.ledger().net_events(8);
    assert!(rows.iter().all(|row| row.text("host") == Some(HOST) && row.text("decision") == Some("allowed")));
}

#[test]
fn p1_a_hello_that_does_not_wait_for_its_tunnel_is_answered_after_it() {
    let setup = Setup::default();
    let (tls, _) = origins(&setup);
    let proxy = setup.map("in.example:443", tls.address()).start();
    let connect = b"CONNECT in.example:443 HTTP/1.1\r\nHost: in.example:443\r\n\r\n".to_vec();
    let socks = b"\x05\x01\0\x05\x01\0\x03\x0ain.example\x01\xbb".to_vec();
    for (opening, answer) in [(connect, &b"HTTP/1.1 200 "[..]), (socks, b"\x05\0\x05\0")] {
        let key_exchange: &[(u16, &[u8])] = &[
            (0, &names(&[HOST.as_bytes()])),
            (10, &[0, 2, 0, 0x17]),
            (13, &[0, 2, 4, 3]),
            (11, &[1, 0]),
            (23, &[]),
        ];
        let mut client = Client::plain(proxy.address());
        client.send(&[opening, hello(0x0303, key_exchange)].concat());
        let mut got = Vec::new();
        while !got.windows(2).any(|pair| pair == [22, 3]) {
            let mut room = [0; 4096];
            let len = client.read(&mut room).expect("a tunnel, and then a ServerHello");
            assert!(len > 0, "it closed after {got:?}");
            got.extend_from_slice(&room[..len]);
        }
        assert!(got.starts_with(answer), "{got:?}");
    }
}

#[test]
fn proxy_v2_says_who_and_where_to() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("guest.sock");
    let setup = Setup::default()
        .more(&format!("[[listen]]\naddress = \"unix://{}\"\nproxy_header = true", path.display()));
    let (_tls, plain) = origins(&setup);
    let proxy = setup.map("in.example:80", plain.address()).start();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    let tlv = [&[0xe0, 0, 4][..], b"curl", &[0xe1, 0, 4, 0, 0, 1, 2], &[0xe2, 0, 4, 0, 0, 3, 232]].concat();
    header.extend(((12 + tlv.len()) as u16).to_be_bytes());
    header.extend([10, 0, 0, 2, 203, 0, 113, 9, 0x9c, 0x40, 0, 80]);
    header.extend(tlv);
    for cut in [1, header.len()] {
        let mut socket = UnixStream::connect(&path).expect("a listening proxy");
        for piece in header.chunks(cut) {
            socket.write_all(piece).expect("a reading proxy");
        }
        socket
            .write_all(b"GET /x HTTP/1.1\r\nHost: in.example\r\nConnection: close\r\n\r\n")
            .expect("a reading proxy");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("a whole answer");
        assert!(answer.ends_with("in clear"), "{answer}");
    }
    let row = proxy.ledger().net_events(2).remove(1);
    assert_eq!(
        (row.text("process_name"), row.int("process_id"), row.int("user_id")),
        (Some("curl"), Some(258), Some(1000))
    );

    let mut bad = UnixStream::connect(&path).expect("a listening proxy");
    bad.write_all(b"GET / HTTP/1.1\r\nHost: in.example\r\n\r\n").expect("a reading proxy");
    let mut rest = Vec::new();
    drop(bad.read_to_end(&mut rest));
    assert_eq!(rest, b"", "without its header nothing is understood");
    assert_eq!(proxy.ledger().net_events(3)[2].text("decision"), Some("denied"));
}

#[test]
fn a_socket_file_serves_as_a_port_does() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("guest.sock");
    let setup = Setup::default().more(&format!("[[listen]]\naddress = \"unix://{}\"", path.display()));
    let (_tls, plain) = origins(&setup);
    let proxy = setup.map("in.example:80", plain.address()).start();
    for _ in 0..4 {
        let mut socket = UnixStream::connect(&path).expect("a listening proxy");
        socket.write_all(b"GET http://in.example/ HTTP/1.0\r\n\r\n").expect("a reading proxy");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("a whole answer");
        assert!(answer.ends_with("in clear"), "{answer}");
    }
    proxy.ledger().net_events(4);
}

/// A ClientHello with these extensions, in one record.
fn hello(version: u16, extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]); // random
    body.extend([0, 0, 4, 0x13, 0x01, 0xc0, 0x2b, 1, 0]); // no session, two suites, no compression
    let all: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat())
        .collect();
    body.extend((all.len() as u16).to_be_bytes());
    body.extend(all);
    let mut record = vec![22, 3, 1];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

fn names(all: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> =
        all.iter().flat_map(|name| [&[0][..], &(name.len() as u16).to_be_bytes(), name].concat()).collect();
    [&(list.len() as u16).to_be_bytes()[..], &list].concat()
}

#[test]
fn p2_a_malformed_hello_is_refused_within_a_second_in_one_row() {
    let proxy = Setup::default().start();
    let name = |name: &[u8]| hello(0x0303, &[(0, &names(&[name]))]);
    let good = names(&[b"a.test"]);
    let cases: [(&str, Vec<u8>); 13] = [
        ("TLS 1.1 alone", hello(0x0302, &[(0, &good)])),
        ("old supported_versions", hello(0x0303, &[(0, &good), (43, &[2, 3, 2])])),
        ("two names", hello(0x0303, &[(0, &names(&[b"a.test", b"b.test"]))])),
        ("the extension twice", hello(0x0303, &[(0, &good), (0, &good)])),
        ("a NUL", name(b"a\0b.test")),
        ("no name at all", name(b"")),
        ("an oversized name", name(&[b'a'; 300])),
        ("a wildcard", name(b"*.test")),
        ("a path", name(b"../../x")),
        ("a line end", name(b"a\r\nb")),
        ("a record that is too long", [&[22, 3, 1, 0x40, 1][..], &[1; 200]].concat()),
        ("a length that runs over", [&[22, 3, 1, 0, 8][..], &[1, 0, 0, 4, 3, 3, 9, 9]].concat()),
        ("SSLv2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec()),
    ];
    for (at, (what, bytes)) in cases.iter().enumerate() {
        let start = now();
        let mut client = Client::plain(proxy.address());
        client.send(bytes);
        let answer = client.rest();
        assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
        assert!(answer.is_empty() || answer.starts_with(&[21, 3]), "{what}: {answer:?}");
        let rows = proxy.ledger().net_events(at + 1);
        let row = &rows[at];
        assert_eq!(row.text("decision"), Some("denied"), "{what}: {row:?}");
        assert!(matches!(row.text("fault_phase"), Some("hello" | "greet")), "{what}: {row:?}");
    }
}
