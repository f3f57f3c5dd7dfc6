//! Host patterns to what is written about them: one hash lookup for each label of the host asked about.

use std::collections::HashMap;

use super::host::{Host, HostPattern};

/// For each pattern a `T`; looked up by host.
#[derive(Clone, Debug, Default)]
pub(super) struct HostTable<T> {
    names: HashMap<Box<str>, Node<T>>,
    any: T,
}

#[derive(Clone, Debug, Default)]
struct Node<T> {
    exact: Option<T>,
    below: Option<T>,
}

impl<T: Default> HostTable<T> {
    /// What is written under `pattern`, to be filled in.
    pub(super) fn entry(&mut self, pattern: &HostPattern) -> &mut T {
        match pattern {
            HostPattern::Any => &mut self.any,
            HostPattern::Exact(host) => self.node(host).exact.get_or_insert_default(),
            HostPattern::Below(host) => self.node(host).below.get_or_insert_default(),
        }
    }

    /// What is written under every pattern that matches `host`, the closest first.
    pub(super) fn matching<'t>(&'t self, host: &'t Host) -> impl Iterator<Item = &'t T> {
        let name = host.as_str();
        let exact = self.names.get(name).and_then(|node| node.exact.as_ref());
        let below = memchr::memchr_iter(b'.', name.as_bytes());
        let below = below.filter_map(|dot| self.names.get(&name[dot + 1..])?.below.as_ref());
        exact.into_iter().chain(below).chain([&self.any])
    }

    fn node(&mut self, host: &Host) -> &mut Node<T> {
        self.names.entry(host.as_str().into()).or_insert_with(|| Node { exact: None, below: None })
    }
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
        for (host, expected) in
            [("a.b.com", &[4, 3, 2, 1][..]), ("b.com", &[5, 2, 1]), ("com", &[1]), ("127.0.0.1", &[1])]
        {
            let host = Host::parse(host.as_bytes()).expect("a host");
            assert_eq!(table.matching(&host).copied().collect::<Vec<_>>(), expected, "{host}");
        }
    }
}
