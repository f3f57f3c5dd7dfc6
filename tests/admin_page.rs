//! The admin page in a real browser, on real traffic: what it shows, that it stays live, and that nothing which guests
//! or origins send becomes markup.

mod admin_support;
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use admin_support::Bench;
use support::certs::Flaw;
use support::client::Client;
use support::origin::{Origin, response};
use support::proxy::Setup;
use support::tools::{node_with, program};

const MODEL_HOST: &str = "api.mistral.ai";

/// A model call whose model is markup with marks that reorder text and begin a terminal's sequence, and whose answer is
/// an error with markup in it.
fn attack(bench: &Bench) {
    let model = r"<b>model</b><img src=x onerror=owned()>\u202egpj.exe\u001b";
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {MODEL_HOST}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = Client::connect(bench.proxy.address(), MODEL_HOST, &bench.proxy.ca_file());
    assert_eq!(client.ask(request.as_bytes()).status, 400);
}

#[test]
fn the_page_shows_what_happens_and_no_more_than_text() {
    let Some(chromium) = program("chromium") else { return };
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
    let Some((node, place)) = node_with("page", &scripts, &["page.mjs"]) else { return };
    let setup = Setup::default();
    let error = response(
        400,
        "content-type: application/json\r\n",
        br#"{"error":{"type":"bad","message":"<img src=x onerror=owned()><script>owned()</script>"}}"#,
    );
    let origin = Origin::answering(setup.origins.server(MODEL_HOST, Flaw::None), &error);
    let bench = Bench::start(setup.map(&format!("{MODEL_HOST}:443"), origin.address()));
    bench.traffic();
    attack(&bench);
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&shots).expect("a writable directory");
    let mut browser = Command::new(node)
        .arg(place.join("page.mjs"))
        .arg(chromium)
        .args([&format!("http://{}", bench.admin), &bench.token])
        .arg(&shots)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut line = String::new();
    BufReader::new(browser.stdout.take().expect("a pipe")).read_line(&mut line).expect("a reader");
    if line == "ready\n" {
        bench.denied("/while-you-watch");
        browser.stdin.take().expect("a pipe").write_all(b"go\n").expect("a reader");
    }
    let mut said = String::new();
    browser.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert!(browser.wait().expect("node ends").success(), "{said}");
}
