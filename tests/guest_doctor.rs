//! `tollgate doctor` outside of a jail, inside one, and where nothing is in order.

mod support;

use std::process::Command;

use serde_json::Value;
use support::jail::{Stage, as_each_user};
use support::tools::{program, skipped};

/// The document, and the checks of one name in it.
fn checks(stdout: &[u8]) -> (Value, impl Fn(&str) -> Vec<(bool, String)>) {
    let document: Value = serde_json::from_slice(stdout).expect("one JSON document");
    let all = document["checks"].as_array().expect("checks").clone();
    let named = move |name: &str| {
        let found = all.iter().filter(|check| check["name"] == name);
        found
            .map(|check| (check["ok"] == true, check["found"].as_str().unwrap_or_default().to_owned()))
            .collect()
    };
    (document, named)
}

fn holds(checks: &[(bool, String)]) -> bool {
    !checks.is_empty() && checks.iter().all(|(ok, _)| *ok)
}

#[test]
fn outside_it_builds_a_jail_and_looks_from_within() {
    as_each_user(|stage| {
        drop(stage.sh("true")); // makes the CA and its bundle
        let mut command = stage.tollgate();
        command.args(["doctor", "--json", "--place", "host", "--config"]).arg(stage.path("tollgate.toml"));
        let output = command.output().expect("the built binary");
        let (document, named) = checks(&output.stdout);
        assert_eq!((output.status.code(), &document["ok"]), (Some(0), &Value::Bool(true)), "{document:#}");
        for name in [
            "clock",
            "authority",
            "bundle",
            "policy",
            "ledger",
            "confine",
            "jail relay v4",
            "jail relay v6",
            "jail denied v4",
            "jail denied v6",
            "jail dns tcp",
            "jail udp v6",
            "jail allowed",
            "jail streaming",
            "jail roots",
        ] {
            assert!(holds(&named(name)), "{name}: {document:#}");
        }
    });
}

#[test]
fn inside_it_judges_by_the_policy_in_force() {
    as_each_user(|stage| {
        let doctor = env!("CARGO_BIN_EXE_tollgate");
        let allowed = stage.sh(&format!("{doctor} doctor --json --url https://ok.test/page"));
        let (document, named) = checks(allowed.stdout.as_bytes());
        assert_eq!(allowed.code, Some(0), "{document:#}");
        assert_eq!(document["place"], "guest", "found out by itself");
        assert!(named("allowed")[0].1.ends_with("200"), "{document:#}");
        assert!(named("roots").len() > 2 && holds(&named("roots")), "{document:#}");
        let denied =
            stage.sh(&format!("{doctor} doctor --url https://ok.test/secret --stream https://ok.test/"));
        assert_eq!(denied.code, Some(1));
        assert!(
            denied.stdout.contains("MEND  allowed") && denied.stdout.contains("not for guests"),
            "{denied:?}"
        );
        assert!(denied.stdout.contains("MEND  streaming"), "what comes at once proves nothing: {denied:?}");
    });
}

#[test]
fn a_store_without_the_ca_is_found() {
    let stage = Stage::new(nix::unistd::geteuid().as_raw());
    let other = support::certs::Authority::new(&stage.path("own"));
    let script =
        format!("AWS_CA_BUNDLE={} {} doctor", other.file().display(), env!("CARGO_BIN_EXE_tollgate"));
    let said = stage.sh(&script);
    if said.stdout.is_empty() {
        return skipped(&format!("a kernel that builds jails: {}", said.stderr)).unwrap_or(());
    }
    assert_eq!(said.code, Some(1));
    let line = said.stdout.lines().find(|line| line.contains("AWS_CA_BUNDLE")).expect("a line about it");
    assert!(line.starts_with("MEND") && line.contains("UnknownIssuer"), "{line}");
}

#[test]
fn where_nothing_is_captured_both_families_are_to_be_mended() {
    if program("unshare").is_none() {
        return;
    }
    let doctor = env!("CARGO_BIN_EXE_tollgate");
    let output =
        Command::new("unshare").args(["-Urn", doctor, "doctor", "--json"]).output().expect("unshare");
    if output.stdout.is_empty() {
        return skipped("user namespaces").unwrap_or(());
    }
    let (document, named) = checks(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    for name in ["relay v4", "relay v6", "denied v4", "denied v6", "dns v4", "dns v6", "dns tcp"] {
        assert!(!holds(&named(name)), "{name}: {document:#}");
    }
}
