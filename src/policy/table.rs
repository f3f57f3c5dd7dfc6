//! Host patterns to what is written about them: one hash lookup for each label of the host asked about, or less.

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

    /// What is written under every pattern that matches `host`, the closest first.
    pub(super) fn matching<'t>(&'t self, host: &'t Host) -> impl Iterator<Item = &'t T> {
        let name = host.as_str();
        let mut labels = depth(name);
        let exact = (self.exact_depths & labels != 0).then(|| self.names.get(name)?.exact).flatten();
        let below = memchr::memchr_iter(b'.', name.as_bytes()).filter_map(move |dot| {
            labels >>= 1;
            (self.below_depths & labels != 0).then(|| self.names.get(&name[dot + 1..])?.below).flatten()
        });
        exact.into_iter().chain(below).chain(self.any).map(|index| &self.entries[index as usize])
    }
}

/// The bit for a name's count of labels.
fn depth(name: &str) -> u128 {
    2 << memchr::memchr_iter(b'.', name.as_bytes()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_pattern_comes_first() {
        let mut table = HostTable::<u32>::default();
        for (text, number) in [("*", 1), ("*.com", 2), ("*.b.com", 3), ("a.b.com", 4), ("b.com", 5)] {
            *table.entry(&HostPattern::parse(text).expect("a pattern")) = number;
        }
        for (host, expected) in [
            ("a.b.com", &[4, 3, 2, 1][..]),
            ("b.com", &[5, 2, 1]),
            ("com", &[1]),
            ("x.y.b.com", &[3, 2, 1]),
            ("127.0.0.1", &[1]),
            ("::1", &[1]),
        ] {
            let host = Host::parse(host.as_bytes()).expect("a host");
            assert_eq!(table.matching(&host).copied().collect::<Vec<_>>(), expected, "{host}");
        }
    }

    #[test]
    fn the_longest_name_finds_its_patterns() {
        let longest = ["a"; 127].join(".");
        let mut table = HostTable::<u32>::default();
        *table.entry(&HostPattern::parse(&longest).expect("a pattern")) = 1;
        *table.entry(&HostPattern::parse(&format!("*.{}", &longest[2..])).expect("a pattern")) = 2;
        *table.entry(&HostPattern::parse("*.a").expect("a pattern")) = 3;
        let host = Host::parse(longest.as_bytes()).expect("a host");
        assert_eq!(table.matching(&host).copied().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
