//! A hashed timer wheel: one slot for each 8 ms, 16 s around. Pure; time comes in as an argument.
//!
//! Entries are hints: whoever is woken compares its own deadline with the clock and asks again when it is not yet
//! time. That makes moving a deadline later free, and a deadline past the horizon is woken at the horizon.

use crate::limits::Micros;

/// Length of a slot.
const SLOT: Micros = 8_000;
/// Slots around the wheel; a power of two.
const SLOTS: usize = 2048;

/// Timers by slot; `T` names who is to be woken.
pub struct Wheel<T> {
    slots: Vec<Vec<T>>,
    /// One bit for each slot that holds something.
    filled: [u64; SLOTS / 64],
    /// The slot up to which everything was fired.
    at: u64,
}

impl<T> Wheel<T> {
    /// An empty wheel that starts at `now`.
    pub fn new(now: Micros) -> Self {
        let slots = std::iter::repeat_with(Vec::new).take(SLOTS).collect();
        Self { slots, filled: [0; SLOTS / 64], at: now / SLOT }
    }

    /// Asks to wake `who` at `when`, or at the horizon when that is further away.
    pub fn wake_at(&mut self, when: Micros, who: T) {
        let slot = when.div_ceil(SLOT).clamp(self.at + 1, self.at + SLOTS as u64 - 1);
        let index = slot as usize % SLOTS;
        self.filled[index / 64] |= 1 << (index % 64);
        self.slots[index].push(who);
    }

    /// When the next slot that holds something is due.
    pub fn next_due(&self) -> Option<Micros> {
        let start = (self.at + 1) as usize % SLOTS;
        let distance = self.distance_from(start)?;
        Some((self.at + 1 + distance as u64) * SLOT)
    }

    /// Takes everyone who is due at `now`.
    pub fn take_due(&mut self, now: Micros, due: &mut Vec<T>) {
        let target = now / SLOT;
        let first = target.saturating_sub(SLOTS as u64).max(self.at) + 1;
        for slot in first..=target {
            let index = slot as usize % SLOTS;
            if self.filled[index / 64] & (1 << (index % 64)) != 0 {
                self.filled[index / 64] &= !(1 << (index % 64));
                due.append(&mut self.slots[index]);
            }
        }
        self.at = self.at.max(target);
    }

    fn distance_from(&self, start: usize) -> Option<usize> {
        let (word, bit) = (start / 64, start % 64);
        let first = self.filled[word] >> bit;
        if first != 0 {
            return Some(first.trailing_zeros() as usize);
        }
        (1..=self.filled.len()).find_map(|step| {
            let bits = self.filled[(word + step) % self.filled.len()];
            (bits != 0).then(|| step * 64 - bit + bits.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel<u32>, now: Micros) -> Vec<u32> {
        let mut out = Vec::new();
        wheel.take_due(now, &mut out);
        out
    }

    #[test]
    fn nobody_is_woken_early_and_everybody_within_a_slot() {
        let mut wheel = Wheel::new(0);
        wheel.wake_at(100_000, 1);
        assert!(due(&mut wheel, 99_999).is_empty());
        assert_eq!(due(&mut wheel, 100_000 + SLOT), [1]);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn the_next_due_time_is_found_across_the_whole_wheel() {
        for distance in [1, 63, 64, 65, 1000, 2040] {
            let mut wheel = Wheel::new(5 * SLOT);
            wheel.wake_at((5 + distance) * SLOT, 7);
            assert_eq!(wheel.next_due(), Some((5 + distance) * SLOT), "distance {distance}");
            assert_eq!(due(&mut wheel, (5 + distance) * SLOT), [7]);
        }
    }

    #[test]
    fn past_the_horizon_a_hint_comes_at_the_horizon() {
        let mut wheel = Wheel::new(0);
        wheel.wake_at(300 * 1_000_000, 9);
        let horizon = (SLOTS as u64 - 1) * SLOT;
        assert_eq!(wheel.next_due(), Some(horizon));
        assert_eq!(due(&mut wheel, horizon), [9]);
    }

    #[test]
    fn a_long_sleep_fires_everything_once() {
        let mut wheel = Wheel::new(0);
        (0..100).for_each(|n| wheel.wake_at(u64::from(n) * 100_000, n));
        let mut all = due(&mut wheel, 1_000_000_000);
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(due(&mut wheel, 2_000_000_000).is_empty());
    }

    #[test]
    fn a_time_in_the_past_is_due_at_the_next_slot() {
        let mut wheel = Wheel::new(1_000_000);
        wheel.wake_at(5, 1);
        assert_eq!(due(&mut wheel, 1_000_000 + SLOT), [1]);
    }
}
