//! What can never take effect: an error where one file contradicts itself beyond doubt, a notice where two files
//! together do, or where the intent may be another.

use std::collections::{HashMap, HashSet};

use super::Ignored;
use super::read::PolicyFile;
use crate::config::error::ConfigError;
use crate::policy::Allow;
use crate::policy::draft::{Draft, Rule, Sourced};
use crate::policy::host::{Host, HostPattern};
use crate::policy::path::PathPattern;

/// Refuses a rule that an earlier rule of the same file leaves nothing to decide.
pub(super) fn shadowed(file: &PolicyFile<'_>) -> Result<(), ConfigError> {
    let rules: Vec<&Rule> = file.http.iter().map(|rule| &rule.value).collect();
    match first_shadowed(&rules) {
        None => Ok(()),
        Some((later, earlier)) => {
            let (later, earlier) = (&file.http[later], &file.http[earlier]);
            let message = format!(
                "rule {:?} can never match: {:?} at {} matches all of it first",
                later.value.name,
                earlier.value.name,
                earlier.spot.place()
            );
            Err(later.spot.fail(message).help("move it up, make the earlier one narrower, or remove it"))
        }
    }
}

/// What is worth a word.
pub(super) fn notices(draft: &Draft, ignored: &[Ignored]) -> Vec<String> {
    let mut notices: Vec<String> = ignored
        .iter()
        .map(|field| format!("{}: {} is ignored: it is locked by {}", field.place, field.key, field.by))
        .collect();
    notices.extend(overruled_entries(draft));
    notices.extend(unasked_rules(draft));
    notices.extend(overruled_rules(draft));
    if draft.default.value == Allow::Deny && draft.allow.is_empty() && draft.splice.is_empty() {
        notices
            .push("no host is allowed: every request will be refused until network.allow names one".into());
    }
    notices
}

/// Entries of `allow` and `splice` that a block list overrules.
fn overruled_entries(draft: &Draft) -> Vec<String> {
    let blocked = index(&draft.block);
    let lists = [("allow", &draft.allow), ("splice", &draft.splice)];
    let entries = lists.into_iter().flat_map(|(name, list)| list.iter().map(move |entry| (name, entry)));
    entries
        .filter_map(|(name, entry)| {
            let block = covering(&blocked, &entry.value)?;
            let text = format!("network.{name} {} has no effect: network.block {}", entry.value, block.value);
            Some(format!("{}: {text} ({}) wins", place(entry), place(block)))
        })
        .collect()
}

/// Rules for hosts that are never asked about: blocked, spliced, or named by no list.
fn unasked_rules(draft: &Draft) -> Vec<String> {
    let [blocked, allowed, spliced] = [&draft.block, &draft.allow, &draft.splice].map(|list| index(list));
    let named = [&draft.allow, &draft.splice].into_iter().flatten();
    let around: HashSet<HostPattern> = named.flat_map(|entry| wider(&entry.value)).collect();
    let mut notices = Vec::new();
    for rule in draft.http.iter().filter(|rule| rule.host != HostPattern::Any) {
        let may_be_asked = draft.default.value == Allow::Allow
            || around.contains(&rule.host)
            || covering(&allowed, &rule.host).or(covering(&spliced, &rule.host)).is_some();
        let why = if let Some(block) = covering(&blocked, &rule.host) {
            format!("network.block {} refuses its hosts", block.value)
        } else if covering(&spliced, &rule.host).is_some() && covering(&allowed, &rule.host).is_none() {
            "its hosts are spliced, so that only plain HTTP is read".into()
        } else if !may_be_asked {
            format!("no list names its hosts; add {} to network.allow", rule.host)
        } else {
            continue;
        };
        notices.push(format!("{}: rule {:?} is not asked: {why}", rule_place(rule), rule.name));
    }
    notices
}

/// The user's rules that corp's leave nothing to decide, and deny rules that an unknown client slips past.
fn overruled_rules(draft: &Draft) -> Vec<String> {
    let mut notices = Vec::new();
    let rules: Vec<&Rule> = draft.http.iter().collect();
    if let Some((later, earlier)) = first_shadowed(&rules) {
        let (later, earlier) = (rules[later], rules[earlier]);
        let by = format!("{:?} ({}) matches all of it first", earlier.name, rule_place(earlier));
        notices.push(format!("{}: rule {:?} has no effect: {by}", rule_place(later), later.name));
    }
    let by_client = |rule: &&Rule| !rule.processes.is_empty() || !rule.users.is_empty();
    for rule in rules.into_iter().filter(|rule| rule.action == Allow::Deny).filter(by_client) {
        let but = "does not match clients whose process or user is unknown; allow rules by process are safer";
        notices.push(format!("{}: rule {:?} {but}", rule_place(rule), rule.name));
    }
    notices
}

/// The first rule that an earlier one covers, with that one.
fn first_shadowed(rules: &[&Rule]) -> Option<(usize, usize)> {
    let mut earlier: HashMap<(HostPattern, Option<Vec<u8>>), Vec<usize>> = HashMap::new();
    for (later, rule) in rules.iter().enumerate() {
        let leads = wider_leads(rule);
        let found = wider(&rule.host)
            .flat_map(|host| leads.iter().map(move |lead| (host.clone(), lead.clone())))
            .filter_map(|key| earlier.get(&key))
            .flatten()
            .find(|&&index| rules[index].covers(rule));
        if let Some(&index) = found {
            return Some((later, index));
        }
        let own = rule.paths.iter().map(|path| leads_of(path).pop());
        let no_path = rule.paths.is_empty().then_some(None);
        for lead in own.chain(no_path) {
            earlier.entry((rule.host.clone(), lead)).or_default().push(later);
        }
    }
    None
}

/// What leads some path of every earlier rule that covers this one: no path at all, or literal segments that lead this
/// rule's paths too. One of its paths is enough to tell; the one with the longest lead has the fewest company.
fn wider_leads(rule: &Rule) -> Vec<Option<Vec<u8>>> {
    let longest = rule.paths.iter().map(leads_of).max_by_key(Vec::len).unwrap_or_default();
    [None].into_iter().chain(longest.into_iter().map(Some)).collect()
}

/// The literal segments before the first wildcard, none of them, one, and so on to all.
fn leads_of(path: &PathPattern) -> Vec<Vec<u8>> {
    let mut leads = vec![Vec::new()];
    for segment in path.literal_prefix() {
        leads.push([leads.last().map_or(&[][..], Vec::as_slice), b"/", segment].concat());
    }
    leads
}

fn index(list: &[Sourced<HostPattern>]) -> HashMap<&HostPattern, &Sourced<HostPattern>> {
    list.iter().map(|entry| (&entry.value, entry)).collect()
}

fn covering<'l>(
    index: &HashMap<&HostPattern, &'l Sourced<HostPattern>>,
    pattern: &HostPattern,
) -> Option<&'l Sourced<HostPattern>> {
    wider(pattern).find_map(|wider| index.get(&wider).copied())
}

/// The pattern itself and every pattern that covers it.
fn wider(pattern: &HostPattern) -> impl Iterator<Item = HostPattern> {
    let name = match pattern {
        HostPattern::Exact(host) | HostPattern::Below(host) if host.ip().is_none() => host.shared(),
        _ => "".into(),
    };
    let dots: Vec<usize> = name.match_indices('.').map(|(at, _)| at + 1).collect();
    let above = dots.into_iter().filter_map(move |at| Host::parse(&name.as_bytes()[at..]).ok());
    [pattern.clone()].into_iter().chain(above.map(HostPattern::Below)).chain([HostPattern::Any])
}

fn place<T>(entry: &Sourced<T>) -> &str {
    entry.source.place.as_deref().unwrap_or("built in")
}

fn rule_place(rule: &Rule) -> &str {
    rule.source.place.as_deref().unwrap_or("built in")
}
