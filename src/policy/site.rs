//! Everything that is written about one host: one lookup, then from each pattern with rules to the next wider one.

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
    /// For each list the first entry with this pattern or a wider one, else [`NONE`].
    lists: [u32; LISTS],
    /// Boxed, because most hosts have none.
    rules: Option<Box<Rules>>,
    /// The next wider pattern with rules.
    wider: Option<u32>,
}

/// No entry in a list.
const NONE: u32 = u32::MAX;

impl Default for Entry {
    fn default() -> Self {
        Self { lists: [NONE; LISTS], rules: None, wider: None }
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

    /// Takes over what the next wider pattern says, which has taken over what is wider still.
    pub(super) fn widen(&mut self, wider: &Self, index: u32) {
        for (first, other) in self.lists.iter_mut().zip(wider.lists) {
            *first = other.min(*first);
        }
        self.wider = if wider.rules.is_some() { Some(index) } else { wider.wider };
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

/// The closest pattern that matches one host, and through it all others that do.
pub(super) struct Site<'p> {
    table: &'p HostTable<Entry>,
    closest: Option<&'p Entry>,
}

impl<'p> Site<'p> {
    pub(super) fn new(table: &'p HostTable<Entry>, host: &Host) -> Self {
        Self { table, closest: table.closest(host) }
    }

    /// For each list the index of the entry that stands first among those that match.
    pub(super) fn listed(&self) -> [Option<u32>; LISTS] {
        let first = self.closest.map_or([NONE; LISTS], |entry| entry.lists);
        first.map(|index| (index != NONE).then_some(index))
    }

    /// Whether any rule names the host.
    pub(super) fn has_rules(&self) -> bool {
        self.rules().next().is_some()
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
        let wider = |entry: &&'p Entry| entry.wider.map(|index| self.table.at(index));
        core::iter::successors(self.closest, wider).filter_map(|entry| entry.rules.as_deref())
    }
}
