//! The table of policies and requests (`tests/tables/policy.txt`), for the evaluator and for a running proxy.
#![allow(dead_code, reason = "each test binary uses its own part")]

use tollgate::config::policy::Target;

const TABLE: &str = include_str!("../tables/policy.txt");

/// A policy and its cases.
pub struct Block<'t> {
    pub name: &'t str,
    pub user: Option<String>,
    pub corp: Option<String>,
    pub cases: Vec<Case<'t>>,
}

/// A request and what is expected of it.
pub struct Case<'t> {
    /// Verdict, layer and rule.
    pub expected: (&'t str, &'t str, &'t str),
    /// `METHOD URL`, then who asks.
    pub request: &'t str,
}

/// All policies of the table.
pub fn blocks() -> Vec<Block<'static>> {
    read(TABLE)
}

/// The request of a case.
pub fn target(request: &str) -> Target {
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
