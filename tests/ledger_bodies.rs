//! Bodies in the ledger: kept where they are asked for, as text, without secrets, shown where they are asked for.

mod ledger_support;
mod support;

use std::fs;
use std::path::Path;

use ledger_support::{Place, close};
use rusqlite::Connection;
use support::client::Client;
use support::origin::{Origin, chunk};
use support::proxy::{Proxy, Setup, tollgate};
use tollgate::demo::gzip;

/// Secrets that guests and origins of these tests send, each in a place of its own.
const SECRETS: [&str; 5] = [
    "sk-ant-api03-REQUESTREQUESTREQUEST",
    "AKIARESPONSERESPONSE",
    "hunter2-form-password",
    "ghp_RESPONSERESPONSERESPONSERESPONSE",
    "MIIEresponsePrivateKey",
];

/// An origin that answers with a JSON document, compressed and in small chunks.
fn origin(answer: &str) -> Origin {
    let packed = gzip::whole(answer.as_bytes());
    Origin::plain(move |conn| {
        while conn.request()?.is_some() {
            conn.send(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\
                transfer-encoding: chunked\r\n\r\n",
            )?;
            for piece in packed.chunks(11) {
                conn.send(&chunk(piece))?;
            }
            conn.send(b"0\r\n\r\n")?;
        }
        Ok(())
    })
}

fn proxy(origin: &Origin, telemetry: &str) -> Proxy {
    let more = format!("[admin]\naddress = \"unix:///{{dir}}/admin.sock\"\n[telemetry]\n{telemetry}");
    let setup = Setup::default().map("api.test:80", origin.address());
    let dir = setup.path("").display().to_string();
    setup.more(&more.replace("/{dir}", dir.trim_end_matches('/'))).start()
}

/// Posts a body in pieces of `piece` bytes, each a chunk.
fn post(proxy: &Proxy, body: &str, piece: usize) {
    let mut client = Client::plain(proxy.address());
    client.send(b"POST http://api.test/x HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    body.as_bytes().chunks(piece).for_each(|piece| client.send(&chunk(piece)));
    client.send(b"0\r\n\r\n");
    assert_eq!(client.response().expect("an answer").status, 200);
}

fn request() -> String {
    format!("user=me&password={}&x={}&end", SECRETS[2], SECRETS[0])
}

fn answer() -> String {
    format!(
        r#"{{"aws":"{}","text":"line\n{}\n-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----"}}"#,
        SECRETS[1], SECRETS[3], SECRETS[4]
    )
}

fn stored(proxy: &Proxy, sql: &str) -> Option<String> {
    let ledger = Connection::open(proxy.ledger().file()).expect("readable");
    let bytes: Option<Vec<u8>> = ledger.query_row(sql, [], |row| row.get(0)).expect("a row");
    bytes.map(|bytes| String::from_utf8(bytes).expect("bodies are stored as UTF-8"))
}

fn no_secret_at_rest(dir: &Path) {
    for entry in fs::read_dir(dir).expect("listed").flatten() {
        let bytes = fs::read(entry.path()).expect("readable");
        for secret in SECRETS {
            let found = memchr::memmem::find(&bytes, secret.as_bytes()).is_some();
            assert!(!found, "{secret} in {}", entry.path().display());
        }
    }
}

fn log(proxy: &Proxy, words: &[&str]) -> String {
    let db = proxy.ledger().file().display().to_string();
    let output = tollgate(&[&["log", "--db", &db], words].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn p36_bodies_are_kept_without_secrets_however_they_are_cut() {
    let origin = origin(&answer());
    for (bodies, piece) in [("preview", 1), ("preview", 7), ("full", 1000)] {
        let mut proxy = proxy(&origin, &format!("bodies = \"{bodies}\""));
        post(&proxy, &request(), piece);
        proxy.ledger().net_events(1);
        let request = stored(&proxy, "SELECT request_preview FROM net_events").expect("kept");
        assert!(request.starts_with("user=me&password=hmac:") && request.ends_with("&end"), "{request}");
        let answer = stored(&proxy, "SELECT response_preview FROM net_events").expect("kept");
        assert!(answer.starts_with(r#"{"aws":"hmac:"#) && answer.contains(r"line\nhmac:"), "{answer}");
        assert_eq!(proxy.ledger().number("SELECT request_cut + response_cut FROM net_events"), 0);
        let state = proxy.dir().join("state");
        no_secret_at_rest(&state);
        assert!(proxy.stop().success());
        no_secret_at_rest(&state);
    }
}

#[test]
fn p36_bodies_are_off_by_default() {
    let origin = origin(&answer());
    let proxy = proxy(&origin, "");
    post(&proxy, &request(), 100);
    proxy.ledger().net_events(1);
    let kept = "SELECT count(request_preview) + count(response_preview) + count(request_cut) FROM net_events";
    assert_eq!(proxy.ledger().number(kept), 0);
    assert_eq!(proxy.ledger().number("SELECT count(*) FROM bodies"), 0);
}

#[test]
fn full_bodies_are_bounded_and_lie_beside_their_rows() {
    let origin = origin(&format!("{{\"long\":\"{}\"}}", "0123456789".repeat(3000)));
    let proxy = proxy(&origin, "bodies = \"full\"\npreview_limit = \"1KiB\"\nfull_limit = \"16KiB\"");
    post(&proxy, "short", 100);
    proxy.ledger().net_events(1);
    let length = |sql: &str| proxy.ledger().number(sql);
    assert_eq!(length("SELECT length(response_preview) FROM net_events"), 1 << 10);
    assert_eq!(length("SELECT length(response) FROM bodies"), 16 << 10);
    assert_eq!(stored(&proxy, "SELECT request FROM bodies"), None);
    assert_eq!(stored(&proxy, "SELECT request_preview FROM net_events").as_deref(), Some("short"));
    let row: serde_json::Value = serde_json::from_str(&log(&proxy, &["--json", "--bodies"])).expect("JSON");
    assert_eq!(row["response_body"].as_str().map(str::len), Some(16 << 10));
    assert_eq!((row["request_cut"].as_i64(), row["response_cut"].as_i64()), (Some(0), Some(1)));
}

#[test]
fn bodies_are_shown_when_asked_for_and_escaped() {
    let origin = origin("{\"a\":\n\"\x1b[2J\"}");
    let proxy = proxy(&origin, "bodies = \"preview\"");
    post(&proxy, "sent", 100);
    proxy.ledger().net_events(1);
    let table = log(&proxy, &["--bodies"]);
    assert!(table.contains("  > sent\n  < {\"a\":\n  < \"\\u{1b}[2J\"}\n"), "{table}");
    assert!(!table.contains('\x1b'), "{table}");
    for words in [&[][..], &["--json"]] {
        let plain = log(&proxy, words);
        assert!(!plain.contains("sent") && !plain.contains("body"), "{plain}");
    }
    let db = proxy.ledger().file().display().to_string();
    let refused = tollgate(&["log", "calls", "--bodies", "--db", &db]);
    assert_eq!(refused.status.code(), Some(2));
    let har = |more: &[&str]| {
        let output = tollgate(&[&["export", "har", "--db", &db], more].concat());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")["log"]["entries"][0]
            .clone()
    };
    assert_eq!(har(&["--bodies"])["request"]["postData"]["text"], "sent");
    assert!(har(&[])["request"]["postData"].is_null());
}

#[test]
fn the_admin_api_gives_bodies_when_asked() {
    let origin = origin(&answer());
    let proxy = proxy(&origin, "bodies = \"preview\"");
    post(&proxy, &request(), 9);
    proxy.ledger().net_events(1);
    let ask = |target: &str| {
        let mut socket =
            std::os::unix::net::UnixStream::connect(proxy.dir().join("admin.sock")).expect("a socket");
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut socket, request.as_bytes()).expect("sent");
        std::io::read_to_string(&mut socket).expect("an answer")
    };
    let with = ask("/v1/events?bodies=1");
    assert!(with.contains("\"request_body\":\"user=me&password=hmac:"), "{with}");
    let without = ask("/v1/events");
    assert!(without.contains("\"exchange_id\"") && !without.contains("user=me"), "{without}");
    assert!(ask("/v1/calls?bodies=1").starts_with("HTTP/1.1 400 "));
}

#[test]
fn a_ledger_of_version_1_is_read_as_it_is_and_brought_to_the_newest() {
    let place = Place::new();
    let packed = fs::read("tests/ledger_support/version_1.db.gz").expect("the file");
    let (body, _) = (&packed[10..packed.len() - 8], "gzip without a name");
    fs::write(place.db(), miniz_oxide::inflate::decompress_to_vec(body).expect("gzip")).expect("written");
    let db = place.db().display().to_string();
    let rows = || {
        let output = tollgate(&["log", "--json", "--bodies", "--db", &db]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").lines().count()
    };
    assert_eq!(rows(), 5);
    let sums = || {
        ["usage --json", "sessions --json", "log --json --since 2026-01-01"].map(|words| {
            let output = tollgate(&[words, "--db", &db].join(" ").split(' ').collect::<Vec<_>>());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("text").replace(",\"original\":null", "")
        })
    };
    let before = sums();
    assert!(before[0].contains("\"calls\": 2"), "{}", before[0]);
    assert_eq!(before[2].lines().count(), 5);
    assert_eq!(place.number("PRAGMA user_version"), 1, "reading changes nothing");
    close(place.open());
    assert_eq!(place.number("PRAGMA user_version"), 5);
    assert_eq!((rows(), place.number("SELECT count(*) FROM model_calls")), (5, 2));
    let after = sums();
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_eq!(place.number("SELECT count(request_cut) FROM net_events"), 0);
    assert_eq!(place.number("SELECT count(*) FROM bodies"), 0);
    assert_eq!(place.look().query_row("PRAGMA integrity_check", [], |row| row.get(0)), Ok("ok".to_owned()));
}
