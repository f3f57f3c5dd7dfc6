//! The rules of one host pattern, found by the leading literal segments of their paths.
//!
//! A path is hashed segment by segment; where as many segments as hashed so far lead some pattern, the rules that
//! they lead are met. So a request meets every rule that could match, and few others. Nothing compares the segments
//! behind a hash: a collision costs a comparison, since every rule that is met is still matched in full.

use std::collections::HashMap;

use super::path::{Normal, PathPattern, decoded};

/// Indices of rules, in order under every prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleIndex {
    /// Rules with a pattern that begins with a wildcard, and rules without patterns.
    anywhere: Vec<u32>,
    /// The others, by the hash of the segments that lead their patterns.
    led: HashMap<u64, Vec<u32>>,
    /// Bit n: some pattern is led by n segments; the last bit stands for as many or more.
    depths: u64,
}

impl RuleIndex {
    /// Adds a rule under each of its paths. Call in the order of the rules.
    pub(super) fn insert(&mut self, rule: u32, paths: &[PathPattern]) {
        if paths.is_empty() {
            self.anywhere.push(rule);
        }
        for path in paths {
            let (mut depth, mut hash) = (0, START);
            for literal in path.literal_prefix() {
                (depth, hash) = (depth + 1, add(hash, literal.iter().copied()));
            }
            self.depths |= bit(depth);
            let rules = if depth == 0 { &mut self.anywhere } else { self.led.entry(hash).or_default() };
            if rules.last() != Some(&rule) {
                rules.push(rule);
            }
        }
    }

    /// The first rule for which `matches` holds, among those that the path could match. Without a path only those
    /// with a leading wildcard, or without patterns, are met.
    pub(super) fn first(&self, path: Option<Normal<'_>>, matches: impl Fn(u32) -> bool) -> Option<u32> {
        let mut first = first_of(&self.anywhere, u32::MAX, &matches);
        let segments = path.filter(|_| !self.led.is_empty()).into_iter().flat_map(Normal::segments);
        let mut hash = START;
        for (depth, segment) in (1..).zip(segments) {
            hash = add(hash, decoded(segment));
            if self.depths >> depth.min(DEEPEST) == 0 {
                break;
            }
            if self.depths & bit(depth) != 0
                && let Some(rules) = self.led.get(&hash)
            {
                first = first_of(rules, first.unwrap_or(u32::MAX), &matches).or(first);
            }
        }
        first
    }
}

fn first_of(rules: &[u32], before: u32, matches: impl Fn(u32) -> bool) -> Option<u32> {
    rules.iter().copied().take_while(|&rule| rule < before).find(|&rule| matches(rule))
}

const DEEPEST: u32 = u64::BITS - 1;

fn bit(depth: u32) -> u64 {
    1 << depth.min(DEEPEST)
}

/// FNV-1a, with a slash before each segment.
const START: u64 = 0xcbf2_9ce4_8422_2325;

fn add(hash: u64, segment: impl Iterator<Item = u8>) -> u64 {
    [b'/']
        .into_iter()
        .chain(segment)
        .fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(rules: &[&[&str]]) -> RuleIndex {
        let mut index = RuleIndex::default();
        for (number, paths) in (0..).zip(rules) {
            let paths: Vec<_> =
                paths.iter().map(|text| PathPattern::parse(text).expect("a pattern")).collect();
            index.insert(number, &paths);
        }
        index
    }

    #[test]
    fn the_first_rule_in_order_is_found_at_whatever_depth_it_stands() {
        let rules: &[&[&str]] = &[&["/a/b/c"], &["/a/**"], &["/x/*/z", "/%2A"], &[], &["/a"]];
        let index = index(rules);
        let patterns: Vec<Vec<PathPattern>> = rules
            .iter()
            .map(|paths| paths.iter().filter_map(|text| PathPattern::parse(text).ok()).collect())
            .collect();
        for (path, expected) in [
            ("/a/b/c", 0),
            ("/a/b", 1),
            ("/a", 1),
            ("/x/y/z", 2),
            ("/%2a", 2),
            ("/*", 2),
            ("/", 3),
            ("/q/r", 3),
        ] {
            let normal = Normal::parse(path.as_bytes()).expect("a normal path");
            let matches = |rule: u32| {
                let paths = &patterns[rule as usize];
                paths.is_empty() || paths.iter().any(|pattern| pattern.matches(normal))
            };
            assert_eq!(index.first(Some(normal), matches), Some(expected), "{path}");
        }
        assert_eq!(index.first(None, |_| true), Some(3));
    }
}
