//! `tests/tables/policy.txt` through the evaluator: several hundred requests, each with its verdict, rule and layer.

mod policy_support;

use policy_support::{Block, blocks, target};
use tollgate::config::file::Text;
use tollgate::config::policy::{LoadedPolicy, from_text};
use tollgate::policy::{Allow, HostVerdict};

#[test]
fn p9_every_case_of_the_table_is_decided_as_written() {
    let blocks = blocks();
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
    for block in blocks() {
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

fn load(block: &Block<'_>) -> LoadedPolicy {
    let text = |name: &str, text: &Option<String>| text.as_ref().map(|text| Text::new(name, text.as_str()));
    let (user, corp) = (text("user.toml", &block.user), text("corp.toml", &block.corp));
    from_text(user.as_ref(), corp.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", block.name))
}
