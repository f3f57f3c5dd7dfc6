//! Which address of a name to try next, and when: Happy Eyeballs (RFC 8305 §4, §5) without sockets or clock.
//!
//! Families alternate, beginning with that of the first address: the system's resolver sorted them by RFC
//! 6724, so IPv6 leads where there is a route for it. A further attempt starts [`STEP`] after the last one,
//! or at once when one fails, with at most [`PARALLEL`] under way. The whole has no deadline here; the
//! caller's connect timeout is it.

use core::net::{IpAddr, SocketAddr};

use crate::limits::Micros;

/// Time between attempts, "Connection Attempt Delay" (RFC 8305 §8 recommends 250 ms).
pub const STEP: Micros = 250_000;
/// Attempts under way at once.
pub const PARALLEL: usize = 3;

/// The state of connecting to one of several addresses.
#[derive(Debug)]
pub struct Race {
    order: Vec<SocketAddr>,
    /// Addresses before this one have been tried.
    next: usize,
    running: Vec<SocketAddr>,
    /// Not before this moment, unless an attempt fails first.
    not_before: Micros,
}

impl Race {
    /// Orders the addresses; the first is due at `now`.
    pub fn new(addresses: &[IpAddr], port: u16, now: Micros) -> Self {
        let order = interleave(addresses).map(|ip| SocketAddr::new(ip, port)).collect();
        Self { order, next: 0, running: Vec::new(), not_before: now }
    }

    /// The address to connect to now, if one is due. Ask again until there is none, and again at
    /// [`Self::deadline`] and after every [`Self::failed`].
    pub fn next_attempt(&mut self, now: Micros) -> Option<SocketAddr> {
        if self.running.len() >= PARALLEL || now < self.not_before {
            return None;
        }
        let address = *self.order.get(self.next)?;
        self.next += 1;
        self.running.push(address);
        self.not_before = now.saturating_add(STEP);
        Some(address)
    }

    /// When the next attempt is due; none while all are tried or enough are under way.
    pub fn deadline(&self) -> Option<Micros> {
        let more = self.next < self.order.len() && self.running.len() < PARALLEL;
        more.then_some(self.not_before)
    }

    /// An attempt failed, so that the next is due at once.
    pub fn failed(&mut self, address: SocketAddr) {
        let before = self.running.len();
        self.running.retain(|running| *running != address);
        if self.running.len() < before {
            self.not_before = 0;
        }
    }

    /// Whether every address was tried and failed.
    pub fn is_lost(&self) -> bool {
        self.running.is_empty() && self.next == self.order.len()
    }

    /// The attempts under way: to be closed once one of them wins.
    pub fn running(&self) -> &[SocketAddr] {
        &self.running
    }
}

/// Alternates between the family of the first address and the other one; order within a family is kept.
fn interleave(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let mut leading = addresses.iter().copied().filter(move |ip| ip.is_ipv6() == first_is_v6);
    let mut other = addresses.iter().copied().filter(move |ip| ip.is_ipv6() != first_is_v6);
    let mut turn = false;
    core::iter::from_fn(move || {
        turn = !turn;
        if turn { leading.next().or_else(|| other.next()) } else { other.next().or_else(|| leading.next()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|text| text.parse().expect("an address")).collect()
    }

    fn attempts(race: &mut Race, now: Micros) -> Vec<String> {
        std::iter::from_fn(|| race.next_attempt(now)).map(|a| a.ip().to_string()).collect()
    }

    #[test]
    fn families_alternate_beginning_with_the_resolvers_choice() {
        for (given, order) in [
            (vec!["::1", "::2", "::3", "1.1.1.1"], vec!["::1", "1.1.1.1", "::2", "::3"]),
            (vec!["1.1.1.1", "2.2.2.2", "::1"], vec!["1.1.1.1", "::1", "2.2.2.2"]),
            (vec!["::1"], vec!["::1"]),
            (vec![], vec![]),
        ] {
            let order: Vec<IpAddr> = addresses(&order);
            assert_eq!(interleave(&addresses(&given)).collect::<Vec<_>>(), order);
        }
    }

    #[test]
    fn p26_a_silent_address_delays_the_next_by_one_step_only() {
        let mut race = Race::new(&addresses(&["::1", "1.1.1.1", "::2", "2.2.2.2"]), 443, 1000);
        assert_eq!(attempts(&mut race, 1000), ["::1"]);
        assert_eq!(race.deadline(), Some(1000 + STEP));
        assert_eq!(attempts(&mut race, 1000 + STEP - 1), [""; 0]);
        assert_eq!(attempts(&mut race, 1000 + STEP), ["1.1.1.1"]);
        assert_eq!(attempts(&mut race, 1000 + 2 * STEP), ["::2"]);
        assert_eq!(race.deadline(), None, "three are under way");
        assert_eq!(attempts(&mut race, 1000 + 9 * STEP), [""; 0]);
        assert_eq!(race.running().len(), PARALLEL);
    }

    #[test]
    fn a_refusal_starts_the_next_at_once_until_all_are_lost() {
        let mut race = Race::new(&addresses(&["::1", "1.1.1.1"]), 80, 0);
        let first = race.next_attempt(0).expect("one is due");
        race.failed(first);
        assert!(!race.is_lost());
        assert_eq!(race.deadline(), Some(0));
        let second = race.next_attempt(1).expect("the other is due");
        race.failed(first); // a stale report changes nothing
        assert!(!race.is_lost());
        race.failed(second);
        assert!(race.is_lost());
        assert_eq!((race.next_attempt(2), race.deadline()), (None, None));
    }

    #[test]
    fn no_address_is_lost_from_the_start() {
        assert!(Race::new(&[], 80, 0).is_lost());
    }
}
