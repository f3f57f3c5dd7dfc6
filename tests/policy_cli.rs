//! `tollgate policy check`, `why` and `learn` as a person at a terminal sees them.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const USER: &str = "\
[network]
allow = [\"a.test\", \"api.github.com\"]
block = [\"*.ads.test\"]

[[http]]
name = \"read only\"
host = \"api.github.com\"
methods = [\"read\"]
paths = [\"/repos/acme/**\"]
action = \"allow\"

[[http]]
host = \"api.github.com\"
action = \"deny\"
reason = \"only acme's repositories, read only\"

[[sample]]
deny = \"POST https://api.github.com/repos/acme/x/issues\"
";

struct Files {
    dir: TempDir,
}

impl Files {
    fn new(user: &str, corp: Option<&str>) -> Self {
        let files = Self { dir: tempfile::tempdir().expect("a directory") };
        let mut config = String::from("[policy]\nuser = \"user.toml\"\n");
        std::fs::write(files.path("user.toml"), user).expect("written");
        if let Some(corp) = corp {
            config.push_str("corp = \"corp.toml\"\n");
            std::fs::write(files.path("corp.toml"), corp).expect("written");
        }
        std::fs::write(files.path("tollgate.toml"), config).expect("written");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `tollgate policy ARGS…` with the configuration.
    fn policy(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.arg("policy").arg(args[0]).arg("--config").arg(self.path("tollgate.toml")).args(&args[1..]);
        command.env_remove("HOME").env_remove("XDG_STATE_HOME").output().expect("it runs")
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.policy(args);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn why_names_verdict_rule_layer_file_and_line() {
    let files = Files::new(USER, None);
    let said = files.json(&["why", "--json", "POST", "https://API.github.com./repos/acme/x?y"]);
    let user = files.path("user.toml");
    assert_eq!(said["verdict"], "deny");
    assert_eq!(said["rule"], "http #2 api.github.com");
    assert_eq!(said["layer"], "user");
    assert_eq!(said["reason"], "only acme's repositories, read only");
    assert_eq!((said["file"].as_str(), said["line"].as_u64()), (user.to_str(), Some(12)));
    assert_eq!(said["host"]["verdict"], "intercept");
    assert_eq!(said["host"]["rule"], "network.allow api.github.com");
    assert_eq!(said["runners_up"][0]["rule"], "network.allow api.github.com");

    let output = files.policy(&["why", "GET", "https://api.github.com/repos/acme/x"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    for words in [
        "verdict  allow",
        "rule     read only",
        "layer    user (",
        "user.toml:5)",
        "deny     http #2 api.github.com",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn the_exit_code_tells_a_denial_only_where_it_is_asked_for() {
    let files = Files::new(USER, None);
    let code = |args: &[&str]| files.policy(args).status.code();
    assert_eq!(code(&["why", "GET", "https://evil.test/"]), Some(0));
    assert_eq!(code(&["why", "--exit-code", "GET", "https://evil.test/"]), Some(1));
    assert_eq!(code(&["why", "--exit-code", "GET", "https://a.test/"]), Some(0));
    assert_eq!(code(&["why", "GET", "evil.test"]), Some(2));
    assert_eq!(code(&["why", "GET"]), Some(2));
}

#[test]
fn check_prints_the_merged_policy_with_where_each_field_came_from() {
    let corp = "[network]\nports = [443]\nblock = [\"evil.test\"]\n";
    let files = Files::new(&format!("mode = \"observe\"\n{USER}"), Some(corp));
    let output = files.policy(&["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for words in [
        "the policy is good",
        "network.ports",
        "corp.toml:2)",
        "evil.test",
        "*.ads.test",
        "kept: deny POST",
        "mode (",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = files.json(&["check", "--json"]);
    assert_eq!(said["ok"], true);
    assert_eq!(said["ignored"][0]["key"], "mode");
    assert_eq!(said["samples"][0]["kept"], true);
    assert_eq!(said["http"][0]["name"], "read only");
    assert_eq!(said["digest"].as_str().map(str::len), Some(64));
}

#[test]
fn lesson_21_a_broken_file_is_refused_with_file_and_line() {
    let files = Files::new(USER, Some("[network]\nblok = [\"evil.test\"]\n"));
    for args in [&["check"][..], &["why", "GET", "https://a.test/"]] {
        let output = files.policy(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said.contains("corp.toml:2:1: unknown key \"blok\" in [network]; did you mean \"block\"?"),
            "{said}"
        );
        assert!(output.stdout.is_empty());
    }
    let said = files.json(&["check", "--json"]);
    assert_eq!((&said["ok"], &said["help"]), (&Value::Bool(false), &Value::from("did you mean \"block\"?")));
}

#[test]
fn nothing_is_judged_without_a_policy_that_was_named() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["policy", "check"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--config, --user-policy or --corp-policy"));
}
