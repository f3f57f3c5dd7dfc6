//! Host patterns to what is written about them. Patterns that match one host are nested, so that finding the closest
//! one is enough where each knows the next wider one: one hash lookup for each label of the host, or less.

use std::collections::HashMap;

use super::host::{Host, HostPattern};

/// For each pattern a `T`; looked up by host.
///
/// The map holds small numbers only, so that a hundred thousand names stay close together in memory, and names with
/// a count of labels that no pattern has are not looked up at all.
#[derive(Clone, Debug, Default)]
pub(super) struct HostTable<T> {
    names: HashMap<Box<str>, Node>,
    entries: Vec<T>,
    any: Option<u32>,
    /// Bit n: some exact pattern has n labels. A name has at most 127.
    exact_depths: u128,
    /// Bit n: some `*.x` has an x of n labels.
    below_depths: u128,
}

/// Indices into the entries.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    exact: Option<u32>,
    below: Option<u32>,
}

impl<T: Default> HostTable<T> {
    /// What is written under `pattern`, to be filled in.
    pub(super) fn entry(&mut self, pattern: &HostPattern) -> &mut T {
        let next = self.entries.len() as u32;
        let index = match pattern {
            HostPattern::Any => self.any.get_or_insert(next),
            HostPattern::Exact(host) => {
                self.exact_depths |= depth(host.as_str());
                self.names.entry(host.as_str().into()).or_default().exact.get_or_insert(next)
            }
            HostPattern::Below(host) => {
                self.below_depths |= depth(host.as_str());
                self.names.entry(host.as_str().into()).or_default().below.get_or_insert(next)
            }
        };
        let index = *index as usize;
        if index == self.entries.len() {
            self.entries.push(T::default());
        }
        &mut self.entries[index]
    }

    /// Shows each entry the one of the next wider pattern, with its index; widest first, so that what an entry takes over
    /// is whole. Call once, when all patterns are in.
    pub(super) fn link(&mut self, mut show: impl FnMut(&mut T, &T, u32)) {
        let mut links = Vec::with_capacity(self.entries.len());
        for (name, node) in &self.names {
            let Some(wider) = self.wider(name) else { continue };
            let entries = [node.below, node.exact].into_iter().flatten();
            links.extend(entries.map(|index| (depth(name), index, wider)));
        }
        links.sort_unstable();
        for (_, index, wider) in links {
            let pair = self.entries.get_disjoint_mut([index as usize, wider as usize]);
            let [entry, above] = pair.expect("two entries of the table: a pattern is not wider than itself");
            show(entry, above, wider);
        }
    }

    /// What is written under the closest pattern that matches `host`.
    pub(super) fn closest(&self, host: &Host) -> Option<&T> {
        let name = host.as_str();
        let exact = (self.exact_depths & depth(name) != 0).then(|| self.names.get(name)?.exact).flatten();
        exact.or_else(|| self.wider(name)).map(|index| self.at(index))
    }

    /// The entry with this index.
    pub(super) fn at(&self, index: u32) -> &T {
        &self.entries[index as usize]
    }

    /// The closest wildcard above a name, for its host and for all hosts below it alike.
    fn wider(&self, name: &str) -> Option<u32> {
        let mut labels = depth(name);
        let mut below = memchr::memchr_iter(b'.', name.as_bytes()).filter_map(|dot| {
            labels >>= 1;
            (self.below_depths & labels != 0).then(|| self.names.get(&name[dot + 1..])?.below).flatten()
        });
        below.next().or(self.any)
    }
}

/// The bit for a name's count of labels.
fn depth(name: &str) -> u128 {
    2 << memchr::memchr_iter(b'.', name.as_bytes()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number, and those of all wider patterns.
    type Numbers = Vec<u32>;

    fn table(patterns: &[(&str, u32)]) -> HostTable<Numbers> {
        let mut table = HostTable::<Numbers>::default();
        for (text, number) in patterns {
            table.entry(&HostPattern::parse(text).expect("a pattern")).push(*number);
        }
        table.link(|entry, wider, _| entry.extend_from_slice(wider));
        table
    }

    #[test]
    fn the_closest_pattern_is_found_and_knows_all_wider_ones() {
        let table = table(&[("*", 1), ("*.com", 2), ("*.b.com", 3), ("a.b.com", 4), ("b.com", 5)]);
        for (host, expected) in [
            ("a.b.com", &[4, 3, 2, 1][..]),
            ("b.com", &[5, 2, 1]),
            ("com", &[1]),
            ("x.y.b.com", &[3, 2, 1]),
            ("127.0.0.1", &[1]),
            ("::1", &[1]),
        ] {
            let host = Host::parse(host.as_bytes()).expect("a host");
            assert_eq!(table.closest(&host).map(Vec::as_slice), Some(expected), "{host}");
        }
    }

    #[test]
    fn the_longest_name_finds_its_patterns() {
        let longest = ["a"; 127].join(".");
        let table = table(&[(&longest, 1), (&format!("*.{}", &longest[2..]), 2), ("*.a", 3)]);
        let host = Host::parse(longest.as_bytes()).expect("a host");
        assert_eq!(table.closest(&host), Some(&vec![1, 2, 3]));
    }
}
