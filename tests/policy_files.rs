//! Mistakes in policy files are refused with their place and what to do; two files merge field by field.

use tollgate::config::ConfigError;
use tollgate::config::file::Text;
use tollgate::config::policy::{LoadedPolicy, from_text};

fn load(user: &str, corp: Option<&str>) -> Result<LoadedPolicy, ConfigError> {
    let corp = corp.map(|corp| Text::new("corp.toml", corp));
    from_text(Some(&Text::new("user.toml", user)), corp.as_ref())
}

fn good(user: &str, corp: Option<&str>) -> LoadedPolicy {
    load(user, corp).unwrap_or_else(|error| panic!("{error}\n{user}\n{corp:?}"))
}

#[test]
fn lesson_21_every_mistake_is_refused_with_its_place_and_what_to_do() {
    for (text, error) in MISTAKES {
        assert_eq!(load(text, None).expect_err(text).to_string(), *error, "{text}");
    }
}

const MISTAKES: &[(&str, &str)] = &[
    ("[network]\nalow = []", "user.toml:2:1: unknown key \"alow\" in [network]; did you mean \"allow\"?"),
    ("[netwrok]\nallow = []", "user.toml:1:2: unknown key \"netwrok\"; did you mean \"network\"?"),
    ("[network\nallow = []", "user.toml:1:9: unclosed table, expected `]`"),
    (
        "[network]\ndefault = \"alow\"",
        "user.toml:2:11: network.default is \"alow\", not \"allow\" or \"deny\"; did you mean \"allow\"?",
    ),
    ("[network]\nallow = \"a.test\"", "user.toml:2:9: network.allow must be a list in [brackets]"),
    (
        "[network]\nallow = [\n  \"a.test\",\n  \"B.test\",\n]",
        "user.toml:4:3: \"B.test\" can never match: hosts are compared in canonical form; write \"b.test\"",
    ),
    (
        "[network]\nallow = [\"bücher.example\"]",
        "user.toml:2:10: \"bücher.example\" can never match: hosts are compared in canonical form; write \"xn--bcher-kva.example\"",
    ),
    (
        "[network]\nallow = [\"a.test:443\"]",
        "user.toml:2:10: a host pattern has no port; ports belong in network.ports or a rule's port; write \"a.test\"",
    ),
    (
        "[network]\nallow = [\"https://a.test/\"]",
        "user.toml:2:10: a host pattern has no scheme; write \"a.test\"",
    ),
    (
        "[network]\nallow = [\"a.*.test\"]",
        "user.toml:2:10: a wildcard stands only at the start, as in *.example.com",
    ),
    (
        "[network]\nallow = [\"10.0.0.0/8\"]",
        "user.toml:2:10: an address range is no host pattern; ranges belong in private_allow; write \"10.0.0.0\"",
    ),
    ("[network]\nports = [0]", "user.toml:2:10: network.ports must be a whole number from 1 to 65535"),
    (
        "[network]\nports = []",
        "user.toml:2:9: an empty list of ports matches nothing; name a port, or leave the key out",
    ),
    (
        "[network]\nprivate_allow = [\"10.0.0.1/8\"]",
        "user.toml:2:18: \"10.0.0.1/8\" is no address range; write it as in 10.1.0.0/16 or fd00::/8, with the bits after the prefix zero",
    ),
    ("mode = \"watch\"", "user.toml:1:8: mode is \"watch\", not \"enforce\" or \"observe\""),
    (
        "[[http]]\naction = \"deny\"",
        "user.toml:1:1: a rule without a host; add host = \"api.example.com\", or \"*\" for every host",
    ),
    (
        "[[http]]\nhost = \"a.test\"",
        "user.toml:1:1: a rule without an action; add action = \"allow\" or action = \"deny\"",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\npath = [\"/\"]",
        "user.toml:4:1: unknown key \"path\" in [http]; did you mean \"paths\"?",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\nmethods = [\"reads\"]",
        "user.toml:4:12: \"reads\" is neither a class of methods (\"read\", \"write\") nor a method; did you mean \"read\"?",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\nmethods = [\"get\"]",
        "user.toml:4:12: \"get\" is neither a class of methods (\"read\", \"write\") nor a method; methods are case-sensitive: write \"GET\"",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\nmethods = []",
        "user.toml:4:11: an empty list matches nothing, so the rule never would; leave the key out",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\npaths = [\"admin/**\"]",
        "user.toml:4:10: \"admin/**\" can never match: it does not begin with a slash; write \"/admin/**\"",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\npaths = [\"/a/../b\"]",
        "user.toml:4:10: \"/a/../b\" can never match: it has a dot segment",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\npaths = [\"/a?b\"]",
        "user.toml:4:10: \"/a?b\" can never match: it has a query or fragment, which rules never see; write \"/a\"",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\nprocess = \"a-name-of-20-bytes!\"",
        "user.toml:4:11: \"a-name-of-20-bytes!\" can never match: the kernel keeps 1 to 15 bytes of a process's name; write \"a-name-of-20-by\"",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\nlistener = \"127.0.0.1:1\"",
        "user.toml:4:12: \"127.0.0.1:1\" has no scheme; write tcp://127.0.0.1:1",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\nlistener = \"tcp://127.0.0.1:0\"",
        "user.toml:4:12: \"tcp://127.0.0.1:0\" can never match: the system chooses the port that requests come in at; give the listener a port of its own, and name that",
    ),
    (
        "[[http]]\nhost = \"a.test\"\naction = \"deny\"\nreason = \"a\\r\\nb\"",
        "user.toml:4:10: these words are empty or have control characters in them",
    ),
    (
        "[[sample]]\n",
        "user.toml:1:1: a sample that says neither allow nor deny; add allow = \"GET https://example.com/\" or deny = \"…\"",
    ),
    (
        "[[sample]]\nallow = \"a.test\"",
        "user.toml:2:9: \"a.test\" is no request; write METHOD URL, as in \"GET https://example.com/\"",
    ),
    (
        "[[sample]]\ndeny = \"GET ftp://a.test\"",
        "user.toml:2:8: \"ftp://a.test\" is no URL; write it as in https://api.example.com/path",
    ),
];

#[test]
fn two_rules_of_one_name_are_refused() {
    let rule = |path: &str| {
        format!("[[http]]\nname = \"x\"\nhost = \"a.test\"\npaths = [\"{path}\"]\naction = \"deny\"\n")
    };
    let error = load(&(rule("/a") + &rule("/b")), None).expect_err("two names").to_string();
    assert_eq!(
        error,
        "user.toml:6:1: two rules are named \"x\"; the first stands at user.toml:1; give each rule a name of its own"
    );
}

#[test]
fn a_rule_that_an_earlier_one_leaves_nothing_is_refused() {
    let rule = |host: &str, rest: &str| format!("[[http]]\nhost = \"{host}\"\n{rest}\naction = \"deny\"\n");
    for (earlier, later, shadowed) in [
        (("a.test", ""), ("a.test", "methods = [\"GET\"]"), true),
        (("*.test", ""), ("a.test", "paths = [\"/x\"]"), true),
        (("*", ""), ("*.a.test", ""), true),
        (("a.test", "paths = [\"/x/**\"]"), ("a.test", "paths = [\"/x/y\"]"), true),
        (("a.test", "paths = [\"/x/**\", \"/z\"]"), ("a.test", "paths = [\"/z\", \"/x\"]"), true),
        (("a.test", "paths = [\"/**\"]"), ("a.test", "paths = [\"/x/*\"]"), true),
        (("a.test", "paths = [\"/x/*\"]"), ("a.test", "paths = [\"/x/y\"]"), true),
        (("a.test", "paths = [\"/*/y\", \"/z\"]"), ("a.test", "paths = [\"/z\", \"/x/y\"]"), true),
        (("*.test", "paths = [\"/**/secret\"]"), ("a.test", "paths = [\"/x/secret\"]"), true),
        (("a.test", "paths = [\"/x/*\"]"), ("a.test", "paths = [\"/x/y\", \"/x/y/z\"]"), false),
        (("a.test", "paths = [\"/x/y\"]"), ("a.test", "paths = [\"/x/*\"]"), false),
        (("a.test", "methods = [\"write\"]"), ("a.test", "methods = [\"POST\"]"), true),
        (("a.test", "port = [80, 443]"), ("a.test", "port = 443"), true),
        (("a.test", "methods = [\"GET\"]"), ("a.test", ""), false),
        (("a.test", ""), ("*.test", ""), false),
        (("a.test", ""), ("b.test", ""), false),
        (("a.test", "paths = [\"/x\"]"), ("a.test", "paths = [\"/x/**\"]"), false),
        (("a.test", "paths = [\"/x/**\"]"), ("a.test", "paths = [\"/x/y\", \"/z\"]"), false),
        (("a.test", "port = 80"), ("a.test", ""), false),
        (("a.test", "process = \"git\""), ("a.test", ""), false),
        (("a.test", "process = \"git\""), ("a.test", "process = \"curl\""), false),
    ] {
        let text = rule(earlier.0, earlier.1) + &rule(later.0, later.1);
        let outcome = load(&text, None);
        assert_eq!(outcome.is_err(), shadowed, "{text}");
        if let Err(error) = outcome {
            assert!(error.place.starts_with("user.toml:5:"), "{error}");
            assert!(error.to_string().contains("can never match: \"http #1"), "{error}");
        }
    }
}

#[test]
fn lesson_22_a_policy_that_fails_its_own_samples_is_refused() {
    let user = "[network]\nallow = [\"a.test\"]\n[[sample]]\ndeny = \"GET https://a.test/x\"\n";
    let error = load(user, None).expect_err("a failing sample").to_string();
    assert!(
        error.starts_with("user.toml:3:1: this sample fails: GET https://a.test/x should be denied"),
        "{error}"
    );
    assert!(error.contains("\"network.allow a.test\" (user, user.toml:2) says allow"), "{error}");
    let kept = "[network]\nallow = [\"a.test\"]\n[[sample]]\nallow = \"GET https://a.test/x\"\n";
    assert_eq!(good(kept, None).samples.len(), 1);
}

#[test]
fn a_user_may_narrow_what_corp_allows_and_is_told() {
    let corp = "[network]\nallow = [\"a.test\"]\n[[sample]]\nallow = \"GET https://a.test/\"\n";
    let loaded = good("[network]\nblock = [\"a.test\"]\n", Some(corp));
    assert!(loaded.notices.iter().any(|line| line.contains("this sample fails")), "{:?}", loaded.notices);
    let broken =
        "[network]\nblock = [\"a.test\"]\n".to_owned() + "[[sample]]\nallow = \"GET https://a.test/\"\n";
    assert!(load("", Some(&broken)).is_err());
}

#[test]
fn a_sample_of_the_users_that_corp_overrules_is_refused_by_name() {
    let user = "[network]\nallow = [\"a.test\"]\n[[sample]]\nallow = \"GET https://a.test/\"\n";
    let error = load(user, Some("[network]\nblock = [\"a.test\"]\n")).expect_err("overruled").to_string();
    assert!(error.contains("\"network.block a.test\" (corp, corp.toml:2) says deny"), "{error}");
}

#[test]
fn lesson_28_what_corp_sets_is_locked_and_the_user_is_told() {
    let user = "mode = \"observe\"\n[network]\ndefault = \"allow\"\nallow = [\"u.test\"]\nports = [22]\n\
                private_addresses = \"allow\"\nprivate_allow = [\"10.0.0.0/8\"]\nsplice = [\"s.test\"]\n";
    let corp = "[network]\ndefault = \"deny\"\nallow = [\"c.test\"]\nports = [443]\nprivate_addresses = \"deny\"\n\
                splice = []\n";
    let loaded = good(user, Some(corp));
    let ignored: Vec<(&str, &str)> =
        loaded.ignored.iter().map(|field| (field.key, field.place.as_str())).collect();
    assert_eq!(
        ignored,
        [
            ("mode", "user.toml:1"),
            ("network.private_allow", "user.toml:7"),
            ("network.default", "user.toml:3"),
            ("network.ports", "user.toml:5"),
            ("network.private_addresses", "user.toml:6"),
            ("network.allow", "user.toml:4"),
            ("network.splice", "user.toml:8"),
        ]
    );
    assert!(
        loaded
            .notices
            .iter()
            .any(|line| line.contains("network.ports is ignored: it is locked by corp.toml:4"))
    );
    assert!(!loaded.policy.observe());
    assert_eq!(loaded.draft.allow.len(), 1);
}

#[test]
fn only_corps_file_may_say_observe_where_there_is_one() {
    assert!(good("mode = \"observe\"", None).policy.observe());
    assert!(!good("mode = \"observe\"", Some("")).policy.observe());
    assert!(good("", Some("mode = \"observe\"")).policy.observe());
    assert!(!good("mode = \"observe\"", Some("mode = \"enforce\"")).policy.observe());
}

#[test]
fn what_has_no_effect_is_said() {
    for (user, corp, words) in [
        ("", None, "no host is allowed: every request will be refused"),
        (
            "[network]\nallow = [\"a.test\"]\nblock = [\"*.test\"]",
            None,
            "network.allow a.test has no effect: network.block *.test (user.toml:3) wins",
        ),
        (
            "[network]\nallow = [\"a.test\"]",
            Some("[network]\nblock = [\"a.test\"]"),
            "network.block a.test (corp.toml:2) wins",
        ),
        (
            "[[http]]\nhost = \"a.test\"\naction = \"allow\"",
            None,
            "no list names its hosts; add a.test to network.allow",
        ),
        (
            "[network]\nsplice = [\"a.test\"]\n[[http]]\nhost = \"a.test\"\naction = \"deny\"",
            None,
            "its hosts are spliced",
        ),
        (
            "[network]\nallow = [\"a.test\"]\n[[http]]\nhost = \"a.test\"\naction = \"allow\"",
            Some("[[http]]\nname = \"c\"\nhost = \"*\"\naction = \"deny\""),
            "rule \"http #1 a.test\" has no effect: \"c\" (corp.toml:1) matches all of it first",
        ),
        (
            "[network]\nallow = [\"a.test\"]\n[[http]]\nhost = \"a.test\"\nprocess = \"npm\"\naction = \"deny\"",
            None,
            "does not match clients whose process or user is unknown",
        ),
    ] {
        let notices = good(user, corp).notices;
        assert!(notices.iter().any(|line| line.contains(words)), "{user}: {notices:?}");
    }
    let quiet = "[network]\nallow = [\"*.a.test\"]\nblock = [\"x.a.test\"]\n[[http]]\nhost = \"y.a.test\"\naction = \"deny\"";
    assert_eq!(good(quiet, None).notices, Vec::<String>::new());
}

#[test]
fn a_digest_follows_the_meaning_and_not_the_writing() {
    let digest = |user: &str, corp: Option<&str>| good(user, corp).policy.digest().to_owned();
    let base = digest("[network]\nallow = [\"a.test\", \"b.test\"]\nports = [80, 443]\n", None);
    assert_eq!(base.len(), 64);
    assert_eq!(
        digest("# words\n\n[network]\nports = [443, 80]\nallow = [\"b.test\", \"a.test\"]\n", None),
        base
    );
    for (user, corp) in [
        ("[network]\nallow = [\"a.test\"]\nports = [80, 443]\n", None),
        ("[network]\nallow = [\"a.test\", \"b.test\"]\nports = [443]\n", None),
        ("mode = \"observe\"\n[network]\nallow = [\"a.test\", \"b.test\"]\nports = [80, 443]\n", None),
        ("", Some("[network]\nallow = [\"a.test\", \"b.test\"]\nports = [80, 443]\n")),
        (
            "[network]\nallow = [\"a.test\", \"b.test\"]\nports = [80, 443]\n[[http]]\nhost = \"a.test\"\naction = \"deny\"",
            None,
        ),
    ] {
        assert_ne!(digest(user, corp), base, "{user}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let missing = std::path::Path::new("/nonexistent/corp.toml");
    let error = tollgate::config::policy::load(None, Some(missing)).expect_err("no file").to_string();
    assert!(error.starts_with("/nonexistent/corp.toml: cannot be read: "), "{error}");
    assert!(error.ends_with("create it, or correct the path that names it"), "{error}");
}
