//! Everything that is written about one host, gathered in one pass over its labels.

use super::draft::{Allow, Layer, Rule};
use super::host::Host;
use super::index::RuleIndex;
use super::path::Normal;
use super::table::HostTable;

/// How many lists of host patterns there are.
pub(super) const LISTS: usize = 4;

/// What is written under one host pattern: indices into the policy's lists and rules; the smaller index stands first.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// For each list the first entry with this pattern, else [`NONE`].
    lists: [u32; LISTS],
    /// Boxed, because most hosts have none.
    rules: Option<Box<Rules>>,
}

/// No entry in a list.
const NONE: u32 = u32::MAX;

impl Default for Entry {
    fn default() -> Self {
        Self { lists: [NONE; LISTS], rules: None }
    }
}

/// The rules under one host pattern.
#[derive(Clone, Debug, Default)]
struct Rules {
    index: RuleIndex,
    facts: Vec<Facts>,
}

/// What the rules under one pattern have in them, for one port or (`None`) for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    port: Option<u16>,
    /// Some rule looks at paths.
    pub path_rules: bool,
    /// Some rule looks at methods.
    pub method_rules: bool,
    /// Some rule is corp's.
    pub corp_rules: bool,
    /// The highest layer with an allow rule.
    pub named_by: Option<Layer>,
}

impl Entry {
    /// Adds an entry of a list; call in the order of the entries.
    pub(super) fn list(&mut self, list: usize, index: u32) {
        self.lists[list] = self.lists[list].min(index);
    }

    /// Adds a rule; call in the order of the rules.
    pub(super) fn rule(&mut self, index: u32, rule: &Rule) {
        let rules = self.rules.get_or_insert_default();
        rules.index.insert(index, &rule.paths);
        match &rule.ports[..] {
            [] => rules.note(Facts::of(rule, None)),
            ports => ports.iter().for_each(|&port| rules.note(Facts::of(rule, Some(port)))),
        }
    }
}

impl Rules {
    fn note(&mut self, facts: Facts) {
        match self.facts.iter_mut().find(|known| known.port == facts.port) {
            Some(known) => known.add(facts),
            None => self.facts.push(facts),
        }
    }
}

impl Facts {
    fn of(rule: &Rule, port: Option<u16>) -> Self {
        Self {
            port,
            path_rules: !rule.paths.is_empty(),
            method_rules: !rule.methods.is_every(),
            corp_rules: rule.source.layer == Layer::Corp,
            named_by: (rule.action == Allow::Allow).then_some(rule.source.layer),
        }
    }

    fn add(&mut self, other: Self) {
        self.path_rules |= other.path_rules;
        self.method_rules |= other.method_rules;
        self.corp_rules |= other.corp_rules;
        self.named_by = [self.named_by, other.named_by].into_iter().flatten().min();
    }
}

/// The entries of all patterns that match one host, on the stack.
pub(super) struct Site<'p> {
    entries: [Option<&'p Entry>; MOST],
    count: usize,
}

/// A name of 253 bytes has at most 127 labels: one exact pattern, 126 wildcards, and `*`.
const MOST: usize = 128;

impl<'p> Site<'p> {
    pub(super) fn new(table: &'p HostTable<Entry>, host: &'p Host) -> Self {
        let mut site = Self { entries: [None; MOST], count: 0 };
        for (slot, entry) in site.entries.iter_mut().zip(table.matching(host)) {
            *slot = Some(entry);
            site.count += 1;
        }
        site
    }

    /// For each list the index of the entry that stands first among those that match.
    pub(super) fn listed(&self) -> [Option<u32>; LISTS] {
        let mut first = [NONE; LISTS];
        for entry in self.entries() {
            for (slot, index) in first.iter_mut().zip(entry.lists) {
                *slot = index.min(*slot);
            }
        }
        first.map(|index| (index != NONE).then_some(index))
    }

    /// What the host's rules for this port have in them.
    pub(super) fn facts(&self, port: u16) -> Facts {
        let mut all = Facts::default();
        let about = |facts: &&Facts| facts.port.is_none_or(|wanted| wanted == port);
        self.rules().flat_map(|rules| &rules.facts).filter(about).for_each(|facts| all.add(*facts));
        all
    }

    /// The first rule that `matches`: the smallest index among the first of each pattern.
    pub(super) fn first_rule(&self, path: Option<Normal<'_>>, matches: impl Fn(u32) -> bool) -> Option<u32> {
        self.rules().filter_map(|rules| rules.index.first(path, &matches)).min()
    }

    fn rules(&self) -> impl Iterator<Item = &'p Rules> {
        self.entries().filter_map(|entry| entry.rules.as_deref())
    }

    fn entries(&self) -> impl Iterator<Item = &'p Entry> {
        self.entries[..self.count].iter().copied().flatten()
    }
}
