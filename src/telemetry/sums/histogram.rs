//! Durations counted by how long they were, to one part in a hundred: small enough to be stored for every group, and two
//! of them add up to what one of all values would be.
//!
//! Up to [`EXACT`] each value has a bucket of its own; above, each power of two is cut into 128 (as HDR histograms do). A
//! bucket knows the mean of its values, so that few values, or equal ones, are told as they were.

/// Values below have a bucket each.
const EXACT: u64 = 1 << (BITS + 1);
/// Buckets of a power of two: 2 to this.
const BITS: u32 = 7;

/// The buckets that were met, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::telemetry) struct Histogram(Vec<Bucket>);

/// How often a bucket was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    number: u16,
    times: u64,
    /// By how much its values exceed its start, together.
    excess: u64,
}

impl Histogram {
    /// Counts a value; below 0 it is 0.
    pub(in crate::telemetry) fn add(&mut self, value: i64) {
        let value = value.max(0) as u64;
        let number = bucket(value);
        self.count(Bucket { number, times: 1, excess: value - start(number) });
    }

    pub(in crate::telemetry) fn merge(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for bucket in &other.0 {
            self.count(*bucket);
        }
    }

    fn count(&mut self, more: Bucket) {
        match self.0.binary_search_by_key(&more.number, |bucket| bucket.number) {
            Ok(at) => {
                let bucket = &mut self.0[at];
                bucket.times = bucket.times.saturating_add(more.times);
                bucket.excess = bucket.excess.saturating_add(more.excess);
            }
            Err(at) => self.0.insert(at, more),
        }
    }

    /// The value that at least `percent` of all do not exceed (nearest rank), to 1 %; of no values none.
    pub(in crate::telemetry) fn percentile(&self, percent: u64) -> Option<i64> {
        let all = self.0.iter().fold(0_u128, |sum, bucket| sum + u128::from(bucket.times));
        let rank = (all * u128::from(percent)).div_ceil(100);
        let mut below = 0;
        let found = self.0.iter().find(|bucket| {
            below += u128::from(bucket.times);
            below >= rank
        });
        found.map(|bucket| (start(bucket.number) + bucket.excess / bucket.times) as i64)
    }

    /// As bytes: for each bucket how far it is behind the one before, how often it was met, and its excess, as LEB128.
    pub(in crate::telemetry) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() * 4);
        let mut before = 0;
        for bucket in &self.0 {
            for number in [u64::from(bucket.number - before), bucket.times, bucket.excess] {
                write_number(number, &mut out);
            }
            before = bucket.number;
        }
        out
    }

    /// What [`Histogram::encode`] wrote; none for anything else.
    pub(in crate::telemetry) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let (mut buckets, mut before) = (Vec::with_capacity(bytes.len() / 3), 0_u16);
        while !bytes.is_empty() {
            let step = u16::try_from(read_number(&mut bytes)?).ok()?;
            if step == 0 && !buckets.is_empty() {
                return None;
            }
            let number = before.checked_add(step).filter(|number| *number <= LAST)?;
            let times = read_number(&mut bytes)?;
            let excess = read_number(&mut bytes)?;
            if times == 0 || excess / times >= width(number) {
                return None;
            }
            before = number;
            buckets.push(Bucket { number, times, excess });
        }
        Some(Self(buckets))
    }
}

/// The bucket of the largest value.
const LAST: u16 = bucket(i64::MAX as u64);

const fn bucket(value: u64) -> u16 {
    if value < EXACT {
        return value as u16;
    }
    let shift = value.ilog2() - BITS;
    // The first BITS + 1 bits of the value, of which the first is 1.
    let first = value >> shift;
    (first + ((shift as u64) << BITS)) as u16
}

/// The lowest value of a bucket.
fn start(number: u16) -> u64 {
    let shift = shift(number);
    (u64::from(number) - (shift << BITS)) << shift
}

/// How many values a bucket has.
fn width(number: u16) -> u64 {
    1 << shift(number)
}

fn shift(number: u16) -> u64 {
    (u64::from(number) >> BITS).saturating_sub(1)
}

fn write_number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[i64]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.add(*value);
        }
        histogram
    }

    #[test]
    fn few_values_are_exact() {
        let cases: &[(&[i64], Option<i64>, Option<i64>)] = &[
            (&[], None, None),
            (&[7], Some(7), Some(7)),
            (&[9, 1], Some(1), Some(9)),
            (&[3, 1, 2], Some(2), Some(3)),
            (&[4, 3, 2, 1], Some(2), Some(4)),
            (&[5, 5, 5, 1], Some(5), Some(5)),
            (&[-1, 127], Some(0), Some(127)),
            (&[1500], Some(1500), Some(1500)),
            (&[123_456_789, 123_456_789], Some(123_456_789), Some(123_456_789)),
            (&[1_000_000, 2_000_000, 3_000_000], Some(2_000_000), Some(3_000_000)),
        ];
        for (values, half, most) in cases {
            let histogram = of(values);
            assert_eq!((histogram.percentile(50), histogram.percentile(99)), (*half, *most), "{values:?}");
        }
        let hundred = of(&(1..=100).rev().collect::<Vec<_>>());
        assert_eq!((hundred.percentile(50), hundred.percentile(99)), (Some(50), Some(99)));
        let more = of(&(1..=101).collect::<Vec<_>>());
        assert_eq!((more.percentile(50), more.percentile(99)), (Some(51), Some(100)));
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for value in (0..100_000).chain((17..63).flat_map(|bits| (1 << bits) - 2..(1 << bits) + 2)) {
            let bucket = bucket(value);
            assert!(bucket == last || bucket == last + 1 || value > 100_000, "{value}");
            assert!((start(bucket)..start(bucket) + width(bucket)).contains(&value), "{value}");
            last = bucket;
        }
        assert_eq!(bucket(i64::MAX as u64), LAST);
    }

    #[test]
    fn what_was_not_encoded_is_refused() {
        for bytes in [
            &[5][..],
            &[5, 1],
            &[5, 1, 0, 0, 1, 0],
            &[5, 0, 0],
            &[5, 1, 1],
            &[0xff; 11],
            &[0xff, 0xff, 0x7f, 1, 0],
        ] {
            assert_eq!(Histogram::decode(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_percentile_is_that_of_the_values_to_one_percent(
            mut values in prop::collection::vec(prop_oneof![0..300_i64, 0..i64::MAX, 0..10_000_000_i64], 1..200),
            percent in 1..=100_u64,
        ) {
            let found = of(&values).percentile(percent).expect("there are values");
            values.sort_unstable();
            let exact = values[(values.len() * percent as usize).div_ceil(100) - 1];
            prop_assert!((found - exact).abs() <= exact / 100, "{found} for {exact}");
        }

        #[test]
        fn parts_add_up_and_come_back(values in prop::collection::vec(any::<i64>(), 0..100), at in any::<prop::sample::Index>()) {
            let (first, second) = values.split_at(at.index(values.len() + 1));
            let mut both = of(first);
            both.merge(&of(second));
            prop_assert_eq!(&both, &of(&values));
            prop_assert_eq!(Histogram::decode(&both.encode()), Some(both));
        }
    }
}
