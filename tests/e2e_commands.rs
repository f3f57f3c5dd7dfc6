//! The commands that look at a proxy's files: they say what the proxy did, and the policy commands ask the very
//! evaluator that it runs.

mod support;

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use support::certs::Flaw;
use support::client::Client;
use support::origin::{Origin as RawOrigin, response};
use support::proxy::{Proxy, Setup, tollgate};
use support::tools::{output, program};
use tollgate::demo::client::{Client as DemoClient, Request, Route};
use tollgate::demo::origin::Origin;
use tollgate::demo::script::{self, Script};

/// Runs a command that must succeed; gives its standard output.
fn say(args: &[&str]) -> String {
    let output = tollgate(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&say(args)).expect("one JSON document")
}

fn json_lines(args: &[&str]) -> Vec<Value> {
    say(args).lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// A proxy through which every script has gone once; the origin that answered.
fn after_every_script() -> (Origin, Proxy, Vec<Script>) {
    let scripts = script::all();
    let setup = Setup::default();
    let authority = Arc::clone(&setup.origins);
    let origin =
        Origin::start(Box::new(move |name| Ok(authority.server(name, Flaw::None)))).expect("an origin");
    let hosts = scripts.iter().map(|script| format!("{}:443", script.host));
    let proxy = hosts.fold(setup, |setup, host| setup.map(&host, origin.address())).start();
    let client = DemoClient::new(Route::Connect(proxy.address()), &proxy.ca_file()).expect("a client");
    for Script { host, target, request, .. } in &scripts {
        let request = Request { method: "POST", host, target, fields: &[], body: request.as_bytes() };
        assert_eq!(client.once(&request).expect("an answer").status, 200);
    }
    proxy.ledger().model_calls(scripts.len());
    (origin, proxy, scripts)
}

#[test]
fn log_and_usage_say_what_the_ledger_holds() {
    let (_origin, proxy, scripts) = after_every_script();
    let db = proxy.ledger().file().to_string_lossy().into_owned();

    let events = json_lines(&["log", "events", "--json", "--db", &db]);
    assert_eq!(events.len(), scripts.len());
    assert!(
        events.iter().all(|event| event["decision"] == "allowed" && event["status"] == 200),
        "{events:#?}"
    );
    let calls = json_lines(&["log", "calls", "--json", "--db", &db]);
    for (call, script) in calls.iter().zip(&scripts) {
        assert_eq!(call["model"], Value::from(script.truth.model.clone()), "{}", script.name);
        assert_eq!(call["output_tokens"], Value::from(script.truth.usage.output), "{}", script.name);
        assert_eq!(call["cost_pico_usd"], Value::from(script.truth.cost_pico_usd), "{}", script.name);
    }
    let only = json_lines(&["log", "calls", "--json", "--db", &db, "--model", "gemini-*"]);
    assert_eq!(only.len(), scripts.iter().filter(|script| script.truth.provider == "google").count());

    let usage = json(&["usage", "--by", "model", "--json", "--db", &db]).to_string();
    let table = say(&["usage", "--db", &db]);
    for model in ["claude-haiku-4-5-20251001", "gpt-5-2025-08-07", "gemini-2.5-pro"] {
        let of = |count: fn(&Script) -> Option<u64>| -> u64 {
            scripts
                .iter()
                .filter(|script| script.truth.model.as_deref() == Some(model))
                .filter_map(count)
                .sum()
        };
        let input = of(|script| script.truth.usage.input);
        let output = of(|script| script.truth.usage.output);
        assert!(usage.contains(&format!("\"input_tokens\":{input}")), "{model}: {input} in {usage}");
        assert!(usage.contains(&format!("\"output_tokens\":{output}")), "{model}: {output} in {usage}");
        assert!(table.contains(model), "{model} in {table}");
    }
    for text in [say(&["log", "events", "--db", &db]), say(&["log", "calls", "--db", &db])] {
        assert!(text.lines().count() >= scripts.len(), "{text}");
    }
}

const POLICY: &str = r#"
[network]
default = "deny"
allow = ["api.github.com", "*.example.org"]
block = ["bad.example.org"]

[[http]]
name = "read acme"
host = "api.github.com"
methods = ["read"]
paths = ["/repos/acme/**"]
action = "allow"
"#;

#[test]
fn policy_why_says_what_the_proxy_does() {
    let hosts = ["api.github.com", "www.example.org", "bad.example.org", "elsewhere.example"];
    let setup = Setup::default().user(POLICY);
    let origins: Vec<_> = hosts
        .map(|host| RawOrigin::answering(setup.origins.server(host, Flaw::None), &response(200, "", b"ok")))
        .into();
    let setup = hosts
        .iter()
        .zip(&origins)
        .fold(setup, |setup, (host, origin)| setup.map(&format!("{host}:443"), origin.address()));
    let config = setup.path("tollgate.toml").to_string_lossy().into_owned();
    let proxy = setup.start();

    let mut asked = 0;
    for (method, host, path) in [
        ("GET", "api.github.com", "/repos/acme/x"),
        ("POST", "api.github.com", "/repos/acme/x"),
        ("GET", "api.github.com", "/repos/other/x"),
        ("DELETE", "www.example.org", "/"),
        ("GET", "bad.example.org", "/"),
        ("GET", "elsewhere.example", "/"),
    ] {
        let why =
            json(&["policy", "why", "--json", "--config", &config, method, &format!("https://{host}{path}")]);
        let mut client = Client::plain(proxy.address());
        client.send(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes());
        let tunnel = client.head().expect("an answer").status().expect("a status");
        let status = if tunnel == 200 {
            let mut client = client.upgrade(host, &proxy.ca_file());
            client
                .ask(
                    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n")
                        .as_bytes(),
                )
                .status
        } else {
            tunnel
        };
        asked += 1;
        let row = proxy.ledger().net_events(asked).remove(asked - 1);
        let (verdict, decision) = if status == 200 { ("allow", "allowed") } else { ("deny", "denied") };
        assert_eq!(why["verdict"], verdict, "{method} {host}{path}: {why:#}");
        assert_eq!(row.text("decision"), Some(decision), "{method} {host}{path}");
        assert_eq!(why["rule"], Value::from(row.text("rule")), "{method} {host}{path}");
        assert_eq!(why["layer"], Value::from(row.text("rule_layer")), "{method} {host}{path}");
    }
}

#[test]
fn policy_check_accepts_what_serve_accepts_and_refuses_the_rest_with_the_same_words() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("user.toml");
    let path = file.to_string_lossy().into_owned();
    std::fs::write(&file, POLICY).expect("a writable directory");
    assert!(json(&["policy", "check", "--json", "--user-policy", &path]).is_object());
    assert!(say(&["policy", "check", "--user-policy", &path]).contains("api.github.com"));

    let broken = POLICY.replace("paths", "pathes");
    std::fs::write(&file, &broken).expect("a writable directory");
    let refused = tollgate(&["policy", "check", "--user-policy", &path]);
    assert_eq!(refused.status.code(), Some(1));
    let checked = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(checked.contains("user.toml:11") && checked.contains("pathes"), "{checked}");
    let (_, served) = Setup::default().user(&broken).start_refused();
    let words = |said: &str| said.split("user.toml:").nth(1).map(str::trim_end).map(str::to_owned);
    assert_eq!(words(&checked), words(&served));
}

#[test]
fn the_ca_that_a_proxy_uses_can_be_made_shown_and_spread_beforehand() {
    let setup = Setup::default();
    let state = setup.path("state").to_string_lossy().into_owned();
    let made = json(&["ca", "init", "--json", "--state-dir", &state]);
    let proxy = setup.start();
    let shown = json(&["ca", "show", "--json", "--state-dir", &state]);
    assert_eq!(made["fingerprint_sha256"], shown["fingerprint_sha256"], "the proxy kept it");
    assert_eq!(shown["usable"], true);

    let bundle = say(&["ca", "bundle", "--state-dir", &state]);
    let certificate = say(&["ca", "show", "--pem", "--state-dir", &state]);
    assert!(bundle.contains(certificate.trim()), "the bundle holds the CA");
    assert!(bundle.matches("BEGIN CERTIFICATE").count() > 50, "and the system's roots");

    let Some(shell) = program("sh") else { return };
    let script = format!(
        "eval \"$('{}' ca env --state-dir '{state}')\"; cat \"$SSL_CERT_FILE\"",
        env!("CARGO_BIN_EXE_tollgate")
    );
    let seen = output(Command::new(shell).args(["-c", &script]));
    assert!(
        String::from_utf8_lossy(&seen.stdout).contains(certificate.trim()),
        "{}",
        String::from_utf8_lossy(&seen.stderr)
    );
    drop(proxy);
}
