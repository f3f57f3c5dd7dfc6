//! A digest of what a policy means: the same for files that differ in comments, order of keys, order within lists,
//! file names and line numbers; another one where anything that decides or is shown differs.

use std::collections::BTreeSet;
use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

use crate::policy::draft::{Draft, Exception, Rule, Sourced};

/// SHA-256 in hex over a canonical writing of the merged policy.
pub(super) fn of(draft: &Draft) -> String {
    let mut hex = String::with_capacity(64);
    for byte in digest(&SHA256, canonical(draft).as_bytes()).as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Every value stands quoted, so that no text can pass for another part of the policy.
fn canonical(draft: &Draft) -> String {
    let lists = [("allow", &draft.allow), ("block", &draft.block), ("splice", &draft.splice)];
    let mut lines = vec![
        scalar("mode", &draft.mode),
        scalar("default", &draft.default),
        scalar("private_addresses", &draft.private_addresses),
        format!(
            "ports {:?} {:?}",
            draft.ports.source.layer,
            draft.ports.value.iter().collect::<BTreeSet<_>>()
        ),
        format!("allow_locked {}", draft.allow_locked),
        format!("private_allow {:?}", set(&draft.private_allow, exception)),
    ];
    lines.extend(lists.map(|(name, list)| format!("{name} {:?}", set(list, ToString::to_string))));
    lines.extend(draft.http.iter().map(rule));
    lines.join("\n")
}

fn scalar<T: std::fmt::Debug>(name: &str, field: &Sourced<T>) -> String {
    format!("{name} {:?} {:?}", field.source.layer, field.value)
}

fn set<T>(list: &[Sourced<T>], text: impl Fn(&T) -> String) -> BTreeSet<(&'static str, String)> {
    list.iter().map(|entry| (entry.source.layer.as_str(), text(&entry.value))).collect()
}

fn exception(exception: &Exception) -> String {
    match exception {
        Exception::Range(range) => range.to_string(),
        Exception::Host(pattern) => pattern.to_string(),
    }
}

fn rule(rule: &Rule) -> String {
    let paths: BTreeSet<_> = rule.paths.iter().map(crate::policy::path::PathPattern::as_str).collect();
    let who = (&rule.processes, &rule.users, &rule.listeners);
    let what = (rule.host.to_string(), &rule.ports, &rule.methods, paths);
    format!(
        "http {:?} {:?} {what:?} {who:?} {:?} {:?}",
        rule.source.layer, rule.name, rule.action, rule.reason
    )
}
