//! A bounded cache of what was used last, in two generations: O(1), no list, no clock.
//!
//! New and used entries are young. When the young are half of the bound, the old are dropped and the young
//! become the old. So whatever names a guest invents, at most `bound` entries are held (P4, LESSONS 33).

use std::collections::HashMap;
use std::sync::Arc;

/// Values by host name.
pub(super) struct Cache<V> {
    young: HashMap<Arc<str>, V>,
    old: HashMap<Arc<str>, V>,
    half: usize,
}

impl<V: Clone> Cache<V> {
    /// Holds at most `bound` values, and at least two.
    pub(super) fn new(bound: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (bound / 2).max(1) }
    }

    /// The value under a key, which becomes young by being used.
    pub(super) fn get(&mut self, key: &str) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    /// Adds or replaces a value.
    pub(super) fn insert(&mut self, key: Arc<str>, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// How many values are held.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lesson_33_any_number_of_names_stays_within_the_bound() {
        let mut cache = Cache::new(100);
        for n in 0..10_000 {
            cache.insert(n.to_string().into(), n);
            assert!(cache.len() <= 100, "{} entries after {n}", cache.len());
        }
        assert_eq!(cache.get("9999"), Some(9999));
        assert_eq!(cache.get("1"), None);
    }

    #[test]
    fn what_is_used_survives_a_flood_of_new_names() {
        let mut cache = Cache::new(100);
        cache.insert("kept".into(), 0);
        for n in 1..10_000 {
            cache.insert(n.to_string().into(), n);
            assert_eq!(cache.get("kept"), Some(0), "lost after {n}");
        }
    }

    #[test]
    fn a_value_is_replaced_not_doubled() {
        let mut cache = Cache::new(4);
        cache.insert("a".into(), 1);
        cache.insert("a".into(), 2);
        assert_eq!((cache.get("a"), cache.len()), (Some(2), 1));
    }
}
