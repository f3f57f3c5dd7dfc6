//! `tests/tables/policy.txt` through the evaluator: several hundred requests, each with its verdict, rule and layer.

use tollgate::config::file::Text;
use tollgate::config::policy::{LoadedPolicy, Target, from_text};
use tollgate::policy::{Allow, HostVerdict};

const TABLE: &str = include_str!("tables/policy.txt");

struct Block<'t> {
    name: &'t str,
    user: Option<String>,
    corp: Option<String>,
    cases: Vec<Case<'t>>,
}

struct Case<'t> {
    /// Verdict, layer and rule.
    expected: (&'t str, &'t str, &'t str),
    request: &'t str,
}

#[test]
fn p9_every_case_of_the_table_is_decided_as_written() {
    let blocks = read(TABLE);
    let mut wrong = Vec::new();
    for block in &blocks {
        let loaded = load(block);
        for case in &block.cases {
            let found = judge(&loaded, case.request);
            let (verdict, layer, rule) = case.expected;
            if found != (verdict.into(), layer.into(), rule.into()) {
                wrong.push(format!("{}: {}: {:?}, not {:?}", block.name, case.request, found, case.expected));
            }
        }
    }
    let count: usize = blocks.iter().map(|block| block.cases.len()).sum();
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 300, "the table has {count} cases");
}

/// Two spellings of one host always get one verdict.
#[test]
fn lesson_23_every_spelling_of_a_host_gets_the_same_verdict() {
    for block in read(TABLE) {
        let loaded = load(&block);
        for case in &block.cases {
            let target = target(case.request);
            let plain = loaded.policy.explain(&target.question());
            if target.host.ip().is_some() {
                continue;
            }
            for spelling in [target.host.as_str().to_uppercase(), format!("{}.", target.host.as_str())] {
                let mut other = target.clone();
                other.host = tollgate::policy::host::Host::parse(spelling.as_bytes()).expect("a spelling");
                assert_eq!(loaded.policy.explain(&other.question()), plain, "{}", case.request);
            }
        }
    }
}

fn judge(loaded: &LoadedPolicy, request: &str) -> (String, String, String) {
    let target = target(request);
    let explanation = loaded.policy.explain(&target.question());
    let (verdict, why) = match (explanation.verdict, explanation.host) {
        (Allow::Deny, _) if &*explanation.why.rule == "http.path" => ("ambiguous", explanation.why),
        (Allow::Deny, _) => ("deny", explanation.why),
        (Allow::Allow, (HostVerdict::Splice, why)) => ("splice", why),
        (Allow::Allow, _) => ("allow", explanation.why),
    };
    (verdict.into(), why.layer.as_str().into(), why.rule.to_string())
}

fn target(request: &str) -> Target {
    let mut words = request.split(' ');
    let (method, url) = (words.next().expect("a method"), words.next().expect("a URL"));
    let mut target = Target::new(method, url).unwrap_or_else(|error| panic!("{request}: {error}"));
    for word in words {
        match word.split_once('=').expect("KEY=VALUE") {
            ("process", name) => target.process = Some(name.into()),
            ("uid", id) => target.uid = Some(id.parse().expect("a user id")),
            ("listener", address) => target.listener = address.into(),
            (key, _) => panic!("{request}: unknown {key}"),
        }
    }
    target
}

fn load(block: &Block<'_>) -> LoadedPolicy {
    let text = |name: &str, text: &Option<String>| text.as_ref().map(|text| Text::new(name, text.as_str()));
    let (user, corp) = (text("user.toml", &block.user), text("corp.toml", &block.corp));
    from_text(user.as_ref(), corp.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", block.name))
}

fn read(table: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut part = "";
    let mut head = ("", "", "");
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("policy ") {
            blocks.push(Block { name, user: None, corp: None, cases: Vec::new() });
            part = "";
            continue;
        }
        let Some(block) = blocks.last_mut() else { continue };
        match (line, part) {
            ("user:", _) => (part, block.user) = ("user", Some(String::new())),
            ("corp:", _) => (part, block.corp) = ("corp", Some(String::new())),
            ("cases:", _) => part = "cases",
            (_, "user") => push(&mut block.user, line),
            (_, "corp") => push(&mut block.corp, line),
            ("", _) => {}
            (_, "cases") => match line.strip_prefix("  ") {
                Some(request) => block.cases.push(Case { expected: head, request }),
                None => head = heading(line),
            },
            _ => panic!("{line}"),
        }
    }
    blocks
}

fn push(file: &mut Option<String>, line: &str) {
    let file = file.get_or_insert_default();
    file.push_str(line);
    file.push('\n');
}

fn heading(line: &str) -> (&str, &str, &str) {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("{line}"));
    (word(), word(), word())
}
