//! `tollgate policy learn` from a ledger: its output passes `policy check` and allows what was seen, no more.

mod ledger_support;

use std::process::{Command, Output};

use ledger_support::{Place, close, net};
use tollgate::telemetry::event::{Decision, Event};
use tollgate::wire::head::Method;

/// Decision, host, port, method and path.
type Row = (Decision, &'static str, u16, Option<(&'static str, &'static str)>);

const SEEN: [Row; 8] = [
    (Decision::Allowed, "api.example.com", 443, Some(("GET", "/repos/acme/x"))),
    (Decision::Allowed, "api.example.com", 443, Some(("POST", "/repos/acme/x"))),
    (Decision::Aborted, "stream.example.com", 443, Some(("POST", "/v1/messages"))),
    (Decision::Spliced, "pinned.example.com", 443, None),
    (Decision::Denied, "evil.example.com", 443, Some(("GET", "/"))),
    (Decision::Denied, "blocked.example.com", 443, None),
    (Decision::Failed, "broken.example.com", 443, None),
    (Decision::Failed, "unreached.example.com", 443, Some(("GET", "/"))),
];

fn ledger() -> Place {
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    for (id, (decision, host, port, request)) in (1..).zip(SEEN) {
        let mut event = net(id);
        event.decision = decision;
        event.host = Some(host.into());
        event.port = Some(port);
        let reached = !matches!(decision, Decision::Denied | Decision::Failed);
        event.dialed = reached.then(|| ([203, 0, 113, 7], 443).into());
        event.method = request.map(|(method, _)| Method::parse(method.as_bytes()).expect("a method"));
        event.path = request.map(|(_, path)| path.as_bytes().into());
        sink.try_send(Event::Net(Box::new(event))).expect("room");
    }
    close(ledger);
    place
}

fn policy(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate")).arg("policy").args(args).output().expect("it runs")
}

#[test]
fn what_was_learnt_passes_check_and_allows_what_was_seen() {
    let place = ledger();
    let (db, learnt) = (place.db(), place.dir.path().join("learnt.toml"));
    let (db, file) = (db.to_str().expect("UTF-8"), learnt.to_str().expect("UTF-8"));
    let output = policy(&["learn", "--db", db, "--paths"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::write(&learnt, &output.stdout).expect("written");

    let check = policy(&["check", "--user-policy", file]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let says = |method: &str, url: &str| {
        let output = policy(&["why", "--user-policy", file, "--json", method, url]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (
            said["verdict"].as_str().expect("a verdict").to_owned(),
            said["host"]["verdict"].as_str().map(str::to_owned),
        )
    };
    for (method, url, verdict) in [
        ("GET", "https://api.example.com/repos/acme/x", "allow"),
        ("POST", "https://api.example.com/repos/acme/x", "allow"),
        ("PUT", "https://api.example.com/repos/acme/x", "deny"),
        ("GET", "https://api.example.com/repos/acme/y", "deny"),
        ("POST", "https://stream.example.com/v1/messages", "allow"),
        ("GET", "https://evil.example.com/", "deny"),
        ("GET", "https://blocked.example.com/", "deny"),
        ("GET", "https://broken.example.com/", "deny"),
        ("GET", "https://unreached.example.com/", "deny"),
    ] {
        assert_eq!(says(method, url).0, verdict, "{method} {url}");
    }
    assert_eq!(says("GET", "https://pinned.example.com/").1.as_deref(), Some("splice"));
}

#[test]
fn without_a_ledger_there_is_nothing_to_learn() {
    let output = policy(&["learn", "--db", "/nonexistent/ledger.db"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}
