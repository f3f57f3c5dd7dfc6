//! Sums of model calls and requests that can be added to each other: the writer keeps them beside the rows, readers add
//! them and the rows up. Nothing overflows whatever an origin claimed, and what is unknown stays so.

mod histogram;

use std::collections::HashMap;

use serde::Serialize;

pub(super) use histogram::Histogram;

/// Sums over model calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Calls.
    pub calls: i64,
    /// Calls that ended in an error.
    pub failed: i64,
    /// Calls whose counts are not the provider's last word.
    pub partial: i64,
    /// All input, cache reads and writes included.
    pub input_tokens: Option<i64>,
    /// Input read from a cache.
    pub cache_read_tokens: Option<i64>,
    /// Input written to a cache.
    pub cache_write_tokens: Option<i64>,
    /// All output, reasoning included.
    pub output_tokens: Option<i64>,
    /// Output that was reasoning.
    pub reasoning_tokens: Option<i64>,
    /// Known cost, in 1e-12 USD.
    pub cost_pico_usd: Option<i64>,
    /// Calls with tokens whose cost is unknown.
    pub unpriced: i64,
}

impl Totals {
    /// Adds others; what is known of neither stays unknown.
    fn merge(&mut self, other: &Self) {
        let sum = |a: &mut i64, b: i64| *a = a.saturating_add(b);
        let known = |a: &mut Option<i64>, b: Option<i64>| {
            *a = a.map_or(b, |a| Some(a.saturating_add(b.unwrap_or(0))));
        };
        sum(&mut self.calls, other.calls);
        sum(&mut self.failed, other.failed);
        sum(&mut self.partial, other.partial);
        sum(&mut self.unpriced, other.unpriced);
        known(&mut self.input_tokens, other.input_tokens);
        known(&mut self.cache_read_tokens, other.cache_read_tokens);
        known(&mut self.cache_write_tokens, other.cache_write_tokens);
        known(&mut self.output_tokens, other.output_tokens);
        known(&mut self.reasoning_tokens, other.reasoning_tokens);
        known(&mut self.cost_pico_usd, other.cost_pico_usd);
    }
}

/// What can be said of some model calls together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CallSum {
    pub(super) totals: Totals,
    /// Input read from a cache and all input, of the calls that say both.
    pub(super) cached: (f64, f64),
    /// Microseconds to the first token, of the calls that had one.
    pub(super) first_tokens: Histogram,
}

impl CallSum {
    /// Adds one call, of which `totals` are the facts; whether it is priced follows from them.
    pub(super) fn add(&mut self, mut totals: Totals, first_token_us: Option<i64>) {
        totals.calls = 1;
        let has_tokens = totals.input_tokens.or(totals.output_tokens).is_some();
        totals.unpriced = i64::from(totals.cost_pico_usd.is_none() && has_tokens);
        if let (Some(read), Some(all)) = (totals.cache_read_tokens, totals.input_tokens) {
            self.cached = (self.cached.0 + read as f64, self.cached.1 + all as f64);
        }
        self.totals.merge(&totals);
        if let Some(time) = first_token_us {
            self.first_tokens.add(time);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
        self.cached = (self.cached.0 + other.cached.0, self.cached.1 + other.cached.1);
        self.first_tokens.merge(&other.first_tokens);
    }
}

/// Sums by a name of several parts, each of which may be unknown.
#[derive(Clone, Debug)]
pub(super) struct Groups<S> {
    rows: Vec<(Box<[u8]>, S)>,
    places: HashMap<Box<[u8]>, usize>,
    /// Where the row that was asked for last is: neighbours are mostly alike.
    last: usize,
    /// The name that is looked for.
    name: Vec<u8>,
    /// Bytes of all names.
    size: usize,
}

/// Bytes that UTF-8 has not: the end of a part, and a part that is unknown.
const END: u8 = 0xfe;
const UNKNOWN: u8 = 0xff;

impl<S> Default for Groups<S> {
    fn default() -> Self {
        Self { rows: Vec::new(), places: HashMap::new(), last: 0, name: Vec::new(), size: 0 }
    }
}

impl<S: Default> Groups<S> {
    /// The sums of a name; new ones where it was not there.
    pub(super) fn of(&mut self, parts: &[Option<&str>]) -> &mut S {
        write_name(parts, &mut self.name);
        if self.rows.get(self.last).is_none_or(|(name, _)| **name != *self.name) {
            self.last = self.place();
        }
        &mut self.rows[self.last].1
    }

    fn place(&mut self) -> usize {
        if let Some(place) = self.places.get(&*self.name) {
            return *place;
        }
        let name: Box<[u8]> = self.name.as_slice().into();
        self.size += name.len();
        self.rows.push((name.clone(), S::default()));
        self.places.insert(name, self.rows.len() - 1);
        self.rows.len() - 1
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of all names.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Every name with its sums, in the order in which names came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Vec<Option<&str>>, &S)> {
        self.rows.iter().map(|(name, sums)| (parts(name), sums))
    }
}

fn write_name(parts: &[Option<&str>], name: &mut Vec<u8>) {
    name.clear();
    for part in parts {
        match part {
            Some(text) => name.extend_from_slice(text.as_bytes()),
            None => name.push(UNKNOWN),
        }
        name.push(END);
    }
}

fn parts(name: &[u8]) -> Vec<Option<&str>> {
    let ended = name.strip_suffix(&[END]).unwrap_or_default();
    // What is no text is the mark of an unknown part.
    ended.split(|byte| *byte == END).map(|part| std::str::from_utf8(part).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_several_parts_are_told_apart() {
        let names: [&[Option<&str>]; 6] = [
            &[Some("a"), Some("b")],
            &[Some("ab"), Some("")],
            &[Some(""), Some("ab")],
            &[None, Some("ab")],
            &[Some("ab"), None],
            &[None, None],
        ];
        let mut groups = Groups::<u64>::default();
        for round in 1..=3 {
            for (n, name) in names.iter().enumerate() {
                *groups.of(name) += n as u64;
                *groups.of(name) += 1;
                assert_eq!(*groups.of(name), round * (n as u64 + 1));
            }
        }
        assert_eq!(groups.len(), names.len());
        assert!(groups.iter().map(|(name, _)| name).eq(names.iter().map(|name| name.to_vec())));
    }
}
