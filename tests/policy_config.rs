//! The shipped configuration files: every default that they show is the real one, every key is shown, and the example
//! policies can be used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tollgate::config::file::Text;
use tollgate::config::policy::from_text;
use tollgate::config::{self, ConfigError, Overrides, Settings};
use tollgate::model::detect::PROVIDERS;

const TOLLGATE: &str = include_str!("../config/tollgate.toml");
const USER: &str = include_str!("../config/user.example.toml");
const CORP: &str = include_str!("../config/corp.example.toml");

fn parse(text: &str) -> Result<Settings, ConfigError> {
    let overrides = Overrides { state_dir: Some("/state".into()), ..Overrides::default() };
    config::parse(&Text::new("/etc/tollgate/tollgate.toml", text), &overrides)
}

/// The file with its commented defaults switched on.
fn switched_on() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    TOLLGATE.lines().map(on).collect::<Vec<_>>().join("\n")
}

/// The file with its examples switched on as well.
fn examples_on() -> String {
    let is_code = |rest: &str| rest.starts_with('[') || rest.starts_with('"') || rest.contains(" = ");
    let on = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_code(rest) && !rest.contains(": ") && !rest.ends_with(['.', ',']) => rest.to_owned(),
        _ => line.to_owned(),
    };
    switched_on().lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_commented_default_is_the_real_one() {
    assert_eq!(parse(&switched_on()), parse(""));
    assert_eq!(parse(TOLLGATE), parse(""));
    let defaults = switched_on().lines().filter(|line| line.contains(" = ")).count();
    assert!(defaults >= 35, "{defaults} defaults");
}

#[test]
fn every_key_is_shown_in_its_section() {
    let text = examples_on();
    for section in [
        "",
        "[[listen]]\naddress = \"tcp://127.0.0.1:1\"",
        "[admin]\naddress = \"tcp://127.0.0.1:1\"",
        "[policy]",
        "[reload]",
        "[upstream]",
        "[[upstream.host]]\nhost = \"a.test\"",
        "[timeouts]",
        "[limits]",
        "[telemetry]",
        "[telemetry.retention]",
        "[telemetry.otlp]\nendpoint = \"http://127.0.0.1:1\"",
        "[model]",
    ] {
        let error = parse(&format!("{section}\nqqqqqqqqqqqqqqqq = 1\n")).expect_err("an unknown key");
        let help = error.help.expect("the known keys");
        let known: BTreeSet<&str> = help.strip_prefix("known here: ").expect(&help).split(", ").collect();
        let head = section.lines().next().unwrap_or("");
        for key in known {
            assert!(shows(&text, head, key), "{head} {key}");
        }
    }
}

fn shows(text: &str, head: &str, key: &str) -> bool {
    let start =
        if head.is_empty() { 0 } else { text.find(&format!("\n{head}\n")).expect(head) + head.len() + 2 };
    let section = text[start..].split("\n[").next().unwrap_or("");
    let below = [format!("\n[{key}]"), format!("\n[[{key}]]"), format!("{}.{key}]", head.trim_matches(']'))];
    section.lines().any(|line| line.split(" = ").next() == Some(key))
        || below.iter().any(|head| text.contains(head))
}

#[test]
fn every_example_can_be_used() {
    let text = examples_on().replace("via_auth_env = \"PROXY_CREDENTIALS\"\n", ""); // one of the two
    let settings = parse(&text).expect("the examples");
    assert_eq!(settings.listen.len(), 1);
    assert_eq!(settings.upstream.hosts.len(), 1);
    assert_eq!(settings.policy.user.as_deref(), Some(Path::new("/etc/tollgate/user.toml")));
    assert!(settings.upstream.via.is_some() && settings.telemetry.otlp.is_some());
}

#[test]
fn the_example_policies_can_be_used_alone_and_together() {
    let (user, corp) = (Text::new("user.toml", USER), Text::new("corp.toml", CORP));
    for (user, corp) in [(Some(&user), None), (None, Some(&corp)), (Some(&user), Some(&corp))] {
        let loaded = from_text(user, corp).unwrap_or_else(|error| panic!("{error}"));
        assert!(!loaded.samples.is_empty());
    }
    let both = from_text(Some(&user), Some(&corp)).expect("both");
    let ignored: Vec<&str> = both.ignored.iter().map(|field| field.key).collect();
    assert_eq!(ignored, ["network.private_allow", "network.ports", "network.private_addresses"]);
}

#[test]
fn the_command_line_beats_the_file() {
    let overrides = Overrides {
        listen: vec!["tcp://127.0.0.1:1".parse().expect("an address")],
        admin: Some("unix:///run/a.sock".parse().expect("an address")),
        state_dir: Some("/other".into()),
        db: Some("/db".into()),
        user_policy: Some("u".into()),
        corp_policy: Some("c".into()),
    };
    let text = "state_dir = \"/x\"\n[policy]\nuser = \"a\"\ncorp = \"b\"\n[[listen]]\naddress = \"tcp://127.0.0.1:2\"\n";
    let settings = config::parse(&Text::new("t.toml", text), &overrides).expect("settings");
    assert_eq!(settings.listen.len(), 1);
    assert_eq!(settings.listen[0].address.to_string(), "tcp://127.0.0.1:1");
    let admin = settings.admin.expect("an admin listener");
    assert_eq!(
        (admin.address.to_string(), admin.token_file),
        ("unix:///run/a.sock".into(), "/other/admin.token".into())
    );
    assert_eq!(settings.state_dir, Path::new("/other"));
    assert_eq!(settings.telemetry.db, Path::new("/db"));
    assert_eq!(
        (settings.policy.user, settings.policy.corp),
        (Some(PathBuf::from("u")), Some(PathBuf::from("c")))
    );
}

#[test]
fn an_extra_host_may_be_of_any_provider_that_the_ledger_knows() {
    let hosts = |text: &str| parse(&format!("[model.hosts]\n{text}")).expect(text).model.hosts;
    for provider in PROVIDERS {
        assert_eq!(hosts(&format!("\"llm.test\" = \"{provider}\"")), [("llm.test".to_owned(), *provider)]);
    }
    assert_eq!(hosts("\"*.gw.test\" = \"vertex\""), [("*.gw.test".to_owned(), "google")]);
}

#[test]
fn mistakes_name_their_place_and_what_to_do() {
    for (text, place, words) in [
        ("[timeouts]\nhello = 10\n", "2:9", "a duration with its unit"),
        ("[timeouts]\nhello = \"0s\"\n", "2:9", "more than zero"),
        ("[timeouts]\nhelo = \"1s\"\n", "2:1", "did you mean \"hello\"?"),
        ("[limits]\nmemory = 5\n", "2:10", "a size with its unit"),
        ("[limits]\nheader_fields = 0\n", "2:17", "a whole number from 1"),
        ("[[listen]]\nadress = \"tcp://127.0.0.1:1\"\n", "1:1", "a listener without an address"),
        ("[[listen]]\naddress = \"127.0.0.1:1\"\n", "2:11", "write tcp://127.0.0.1:1"),
        ("[listen]\naddress = \"tcp://127.0.0.1:1\"\n", "1:1", "listen must be a list"),
        ("[admin]\naddress = \"tcp://0.0.0.0:1\"\n", "2:11", "reachable from outside"),
        ("[upstream.map]\n\"A:443\" = \"x\"\n", "2:11", "is no address to dial"),
        ("[upstream.map]\n\"a.test\" = \"127.0.0.1:1\"\n", "2:12", "write \"HOST:PORT\""),
        ("[upstream]\nvia = \"http://u:p@h:1\"\n", "2:7", "via_auth_file"),
        ("[upstream]\nvia = \"socks5://h:1\"\n", "2:7", "http://HOST:PORT"),
        ("[telemetry]\nqueue = 10\n", "2:9", "from 65536"),
        ("[telemetry]\non_failure = \"refuze\"\n", "2:14", "did you mean \"refuse\"?"),
        ("[model.hosts]\n\"X.test\" = \"openai\"\n", "2:12", "write \"x.test\""),
        ("state_dir = \"a\nb\"\n", "1:", ""),
        ("[a\n", "1:3", ""),
        ("x = 1\nx = 2\n", "2:1", "duplicate key"),
    ] {
        let error = parse(text).expect_err(text);
        let place = format!("/etc/tollgate/tollgate.toml:{place}");
        assert!(error.place.starts_with(&place), "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}

#[test]
fn a_collector_that_cannot_be_reached_like_that_is_refused_with_its_place() {
    for (line, text) in [
        (2, "[telemetry.otlp]\nendpoint = \"ftp://x\""),
        (2, "[telemetry.otlp]\nendpoint = \"https://user@x\""),
        (2, "[telemetry.otlp]\nendpoint = \"http://\""),
        (4, "[telemetry.otlp]\nendpoint = \"http://x\"\n[telemetry.otlp.headers]\na = \"b\\r\\nc: d\""),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(&format!("tollgate.toml:{line}")), "{error}");
    }
    assert!(parse("[telemetry.otlp]\nendpoint = \"https://collector.test/otlp\"").is_ok());
}

#[test]
fn bodies_are_bounded_in_the_configuration_too() {
    let telemetry =
        parse("[telemetry]\nbodies = \"full\"\nfull_limit = \"1KiB\"").expect("settings").telemetry;
    assert_eq!(telemetry.kept_of_bodies(), 4 << 10, "no less than a preview");
    for key in
        ["preview_limit = \"65KiB\"", "full_limit = \"2MiB\"", "preview_limit = \"0B\"", "full_limit = 5"]
    {
        assert!(parse(&format!("[telemetry]\n{key}")).is_err(), "{key}");
    }
}
