//! Calls on their way into sums: one pass, in which nothing overflows whatever an origin claimed, and what is unknown
//! stays so.

use std::cmp::Reverse;
use std::collections::HashMap;

use rusqlite::Row;

use super::{RequestRow, Totals, UsageSum};

/// What is read of a call, in the order in which [`Gathering::add`] reads it.
pub(super) const COLUMNS: &str = "c.error_type IS NOT NULL, c.usage_state = 'partial', c.input_tokens, c.cache_read_tokens, \
    c.cache_write_tokens, c.output_tokens, c.reasoning_tokens, c.cost_pico_usd, c.first_token_us";

/// The calls of one group.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    totals: Totals,
    /// Input read from a cache and all input, of calls that say both.
    cached: (i128, i128),
    first_tokens: Vec<i64>,
}

/// Groups by their name.
#[derive(Debug, Default)]
pub(super) struct Groups {
    named: HashMap<String, Gathering>,
    nameless: Option<Gathering>,
}

impl Groups {
    pub(super) fn of(&mut self, name: Option<&str>) -> &mut Gathering {
        let Some(name) = name else { return self.nameless.get_or_insert_default() };
        if !self.named.contains_key(name) {
            self.named.insert(name.to_owned(), Gathering::default());
        }
        self.named.get_mut(name).expect("it is there, or was just put there")
    }

    /// The sums of one group, which is not asked for again.
    pub(super) fn take(&mut self, name: &str) -> Totals {
        self.named.remove(name).unwrap_or_default().totals
    }
}

impl IntoIterator for Groups {
    type Item = (Option<String>, Gathering);
    type IntoIter = Box<dyn Iterator<Item = Self::Item>>;

    fn into_iter(self) -> Self::IntoIter {
        let named = self.named.into_iter().map(|(name, gathering)| (Some(name), gathering));
        Box::new(named.chain(self.nameless.map(|gathering| (None, gathering))))
    }
}

/// Requests counted by host and decision.
#[derive(Debug, Default)]
pub(super) struct Counts {
    rows: Vec<RequestRow>,
    /// Where the row of a host and a decision is.
    places: HashMap<(Option<String>, String), usize>,
    /// Where the row that was counted last is.
    last: usize,
}

impl Counts {
    pub(super) fn add(&mut self, host: Option<&str>, decision: &str) {
        let is = |row: &RequestRow| row.host.as_deref() == host && row.decision == decision;
        if !self.rows.get(self.last).is_some_and(is) {
            self.last = self.place(host, decision);
        }
        self.rows[self.last].requests += 1;
    }

    fn place(&mut self, host: Option<&str>, decision: &str) -> usize {
        let key = (host.map(str::to_owned), decision.to_owned());
        *self.places.entry(key).or_insert_with_key(|(host, decision)| {
            self.rows.push(RequestRow { host: host.clone(), decision: decision.clone(), requests: 0 });
            self.rows.len() - 1
        })
    }

    /// The most first, then by name.
    pub(super) fn end(mut self) -> Vec<RequestRow> {
        self.rows.sort_by(|a, b| {
            let order = |row: &RequestRow| (Reverse(row.requests), row.host.clone(), row.decision.clone());
            order(a).cmp(&order(b))
        });
        self.rows
    }
}

impl Gathering {
    /// Adds a call whose [`COLUMNS`] begin at `first`.
    pub(super) fn add(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<()> {
        let count = |column: usize| row.get::<_, Option<i64>>(first + column);
        let (input, cache_read, output, cost) = (count(2)?, count(3)?, count(5)?, count(7)?);
        let call = Totals {
            calls: 1,
            failed: row.get(first)?,
            partial: row.get(first + 1)?,
            input_tokens: input,
            cache_read_tokens: cache_read,
            cache_write_tokens: count(4)?,
            output_tokens: output,
            reasoning_tokens: count(6)?,
            cost_pico_usd: cost,
            unpriced: i64::from(cost.is_none() && input.or(output).is_some()),
        };
        self.totals = self.totals.and(&call);
        if let (Some(read), Some(all)) = (cache_read, input) {
            self.cached = (self.cached.0 + i128::from(read), self.cached.1 + i128::from(all));
        }
        self.first_tokens.extend(count(8)?);
        Ok(())
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.totals = self.totals.and(&other.totals);
        self.cached = (self.cached.0 + other.cached.0, self.cached.1 + other.cached.1);
        self.first_tokens.extend_from_slice(&other.first_tokens);
    }

    pub(super) fn end(mut self) -> UsageSum {
        let (read, all) = self.cached;
        UsageSum {
            totals: self.totals,
            cache_hit_share: (all > 0).then(|| (read as f64 / all as f64).min(1.0)),
            first_token_p50_us: percentile(&mut self.first_tokens, 50),
            first_token_p99_us: percentile(&mut self.first_tokens, 99),
        }
    }
}

impl Totals {
    /// Both together; what is known of neither stays unknown.
    fn and(&self, other: &Self) -> Self {
        let known = |a: Option<i64>, b: Option<i64>| a.map_or(b, |a| Some(a.saturating_add(b.unwrap_or(0))));
        Self {
            calls: self.calls + other.calls,
            failed: self.failed + other.failed,
            partial: self.partial + other.partial,
            input_tokens: known(self.input_tokens, other.input_tokens),
            cache_read_tokens: known(self.cache_read_tokens, other.cache_read_tokens),
            cache_write_tokens: known(self.cache_write_tokens, other.cache_write_tokens),
            output_tokens: known(self.output_tokens, other.output_tokens),
            reasoning_tokens: known(self.reasoning_tokens, other.reasoning_tokens),
            cost_pico_usd: known(self.cost_pico_usd, other.cost_pico_usd),
            unpriced: self.unpriced + other.unpriced,
        }
    }
}

/// The smallest value that at least `percent` of all do not exceed (nearest rank); of no values none.
fn percentile(values: &mut [i64], percent: usize) -> Option<i64> {
    let rank = (values.len() * percent).div_ceil(100);
    let at = rank.checked_sub(1)?;
    Some(*values.select_nth_unstable(at).1)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let cases: &[(&[i64], Option<i64>, Option<i64>)] = &[
            (&[], None, None),
            (&[7], Some(7), Some(7)),
            (&[9, 1], Some(1), Some(9)),
            (&[3, 1, 2], Some(2), Some(3)),
            (&[4, 3, 2, 1], Some(2), Some(4)),
            (&[5, 5, 5, 1], Some(5), Some(5)),
        ];
        for (values, half, most) in cases {
            let of = |percent| percentile(&mut values.to_vec(), percent);
            assert_eq!((of(50), of(99)), (*half, *most), "{values:?}");
        }
        let mut hundred: Vec<i64> = (1..=100).rev().collect();
        assert_eq!((percentile(&mut hundred, 50), percentile(&mut hundred, 99)), (Some(50), Some(99)));
        let mut more: Vec<i64> = (1..=101).collect();
        assert_eq!((percentile(&mut more, 50), percentile(&mut more, 99)), (Some(51), Some(100)));
    }
}
