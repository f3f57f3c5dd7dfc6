//! Idle origin connections: bounded for each origin and in all, the most recent taken first, the oldest given
//! up first.
//!
//! Pure: it stores whatever stands for a connection, and hands back what must be closed. Two connections
//! share a key only if nothing distinguishes them (LESSONS 26). Every operation is O(1).

use core::net::SocketAddr;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use slab::Slab;

use crate::limits::Micros;

/// Everything that makes two origin connections different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolKey {
    /// Canonical host: what SNI names and what the certificate was verified for.
    pub host: Arc<str>,
    /// Port at the origin.
    pub port: u16,
    /// TLS or plain.
    pub tls: bool,
    /// How it is dialled.
    pub route: Route,
    /// Trust variant with its client certificate: [`super::trust::Trust::key`].
    pub trust: u32,
}

/// Few pieces, because each costs the keyed hash as much as eight bytes do; routes of one host are told apart by
/// comparing.
impl Hash for PoolKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.host.as_bytes());
        state.write_u64(u64::from(self.trust) << 32 | u64::from(self.tls) << 16 | u64::from(self.port));
    }
}

/// How an origin is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// At an address that its name resolves to.
    Direct,
    /// At an address that the configuration names (`[upstream.map]`).
    Mapped(SocketAddr),
    /// Through the corporate proxy.
    Via,
}

/// Bounds of a [`Pool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Idle connections of one key.
    pub per_origin: usize,
    /// Idle connections in all.
    pub total: usize,
    /// How long one may stay idle.
    pub idle: Micros,
}

/// Names one idle connection for as long as it is in the pool; a stale one names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolId {
    slot: usize,
    serial: u64,
}

/// What became of a connection offered to the pool.
#[derive(Debug, PartialEq, Eq)]
pub enum Put<T> {
    /// It is kept under this name; a connection that had to make room is to be closed.
    Kept(PoolId, Option<T>),
    /// The pool keeps nothing (a bound is zero): close it.
    Refused(T),
}

/// A store of idle connections.
#[derive(Debug)]
pub struct Pool<T> {
    limits: PoolLimits,
    idle: Slab<Idle<T>>,
    origins: Slab<Origin>,
    /// Where each key's origin is: looked up once for a take and once for a put.
    by_key: HashMap<Arc<PoolKey>, usize>,
    all: Chain,
    serial: u64,
}

/// What is idle under one key: never nothing.
#[derive(Debug)]
struct Origin {
    key: Arc<PoolKey>,
    chain: Chain,
}

#[derive(Debug)]
struct Idle<T> {
    /// Index of its [`Origin`].
    origin: usize,
    value: T,
    since: Micros,
    serial: u64,
    /// Neighbours in its origin's chain and in that of all.
    links: [Link; 2],
}

/// Older and newer neighbour.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    older: Option<usize>,
    newer: Option<usize>,
}

/// A doubly linked list through the slab, oldest to newest.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    oldest: Option<usize>,
    newest: Option<usize>,
    len: usize,
}

/// Index into [`Idle::links`]: the chain of one origin.
const ORIGIN: usize = 0;
/// Index into [`Idle::links`]: the chain of all.
const ALL: usize = 1;

impl<T> Pool<T> {
    /// An empty pool.
    pub fn new(limits: PoolLimits) -> Self {
        let (idle, origins) = (Slab::new(), Slab::new());
        Self { limits, idle, origins, by_key: HashMap::new(), all: Chain::default(), serial: 0 }
    }

    /// Takes the connection of this key that became idle last.
    pub fn take(&mut self, key: &PoolKey) -> Option<T> {
        let origin = *self.by_key.get(key)?;
        let newest = self.origins[origin].chain.newest?;
        Some(self.unlink(newest))
    }

    /// Keeps an idle connection. `now` never goes back between calls.
    pub fn put(&mut self, key: PoolKey, value: T, now: Micros) -> Put<T> {
        if self.limits.per_origin == 0 || self.limits.total == 0 {
            return Put::Refused(value);
        }
        let known = self.by_key.get(&key).copied();
        let evicted = self.crowded(known).map(|slot| self.unlink(slot));
        // What had to go may have been the last of this very origin.
        let origin = match known.filter(|&origin| self.origins.contains(origin)) {
            Some(origin) => origin,
            None => self.add_origin(key),
        };
        Put::Kept(self.link(origin, value, now), evicted)
    }

    /// Takes one connection that was idle for too long, oldest first; call until there is none.
    pub fn expire(&mut self, now: Micros) -> Option<T> {
        self.next_expiry().filter(|due| *due <= now)?;
        self.all.oldest.map(|slot| self.unlink(slot))
    }

    /// When the oldest connection will have been idle for too long.
    pub fn next_expiry(&self) -> Option<Micros> {
        self.all.oldest.map(|slot| self.idle[slot].since.saturating_add(self.limits.idle))
    }

    /// Takes a certain connection: its peer closed it, or sent what nobody asked for.
    pub fn remove(&mut self, id: PoolId) -> Option<T> {
        self.idle.get(id.slot).filter(|idle| idle.serial == id.serial)?;
        Some(self.unlink(id.slot))
    }

    /// What the connection of this name is kept under.
    pub fn key(&self, id: PoolId) -> Option<&PoolKey> {
        let idle = self.idle.get(id.slot).filter(|idle| idle.serial == id.serial)?;
        Some(&self.origins[idle.origin].key)
    }

    /// Takes any connection, oldest first: for drain and for a change of trust.
    pub fn pop(&mut self) -> Option<T> {
        self.all.oldest.map(|slot| self.unlink(slot))
    }

    /// Connections held.
    pub fn len(&self) -> usize {
        self.idle.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }

    /// The connection that has to go before another of this origin comes in.
    fn crowded(&self, origin: Option<usize>) -> Option<usize> {
        match origin.map(|origin| self.origins[origin].chain) {
            Some(chain) if chain.len >= self.limits.per_origin => chain.oldest,
            _ if self.idle.len() >= self.limits.total => self.all.oldest,
            _ => None,
        }
    }

    fn add_origin(&mut self, key: PoolKey) -> usize {
        let key = Arc::new(key);
        let origin = self.origins.insert(Origin { key: Arc::clone(&key), chain: Chain::default() });
        self.by_key.insert(key, origin);
        origin
    }

    fn link(&mut self, origin: usize, value: T, since: Micros) -> PoolId {
        self.serial += 1;
        let chain = &mut self.origins[origin].chain;
        let links = [chain.newest, self.all.newest].map(|older| Link { older, newer: None });
        let slot = self.idle.insert(Idle { origin, value, since, serial: self.serial, links });
        append::<T, ORIGIN>(&mut self.idle, chain, slot);
        append::<T, ALL>(&mut self.idle, &mut self.all, slot);
        PoolId { slot, serial: self.serial }
    }

    fn unlink(&mut self, slot: usize) -> T {
        let gone = self.idle.remove(slot);
        cut::<T, ALL>(&mut self.idle, &mut self.all, gone.links[ALL]);
        let chain = &mut self.origins[gone.origin].chain;
        cut::<T, ORIGIN>(&mut self.idle, chain, gone.links[ORIGIN]);
        if chain.len == 0 {
            let origin = self.origins.remove(gone.origin);
            self.by_key.remove(&origin.key);
        }
        gone.value
    }
}

/// Makes a slot, whose older neighbour is set already, the newest of a chain.
fn append<T, const WHICH: usize>(idle: &mut Slab<Idle<T>>, chain: &mut Chain, slot: usize) {
    match chain.newest.replace(slot) {
        Some(older) => idle[older].links[WHICH].newer = Some(slot),
        None => chain.oldest = Some(slot),
    }
    chain.len += 1;
}

/// Joins the neighbours of a slot that is gone.
fn cut<T, const WHICH: usize>(idle: &mut Slab<Idle<T>>, chain: &mut Chain, gone: Link) {
    match gone.older {
        Some(older) => idle[older].links[WHICH].newer = gone.newer,
        None => chain.oldest = gone.newer,
    }
    match gone.newer {
        Some(newer) => idle[newer].links[WHICH].older = gone.older,
        None => chain.newest = gone.older,
    }
    chain.len -= 1;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: PoolLimits = PoolLimits { per_origin: 2, total: 3, idle: 100 };

    fn key(host: &str) -> PoolKey {
        PoolKey { host: host.into(), port: 443, tls: true, route: Route::Direct, trust: 0 }
    }

    fn kept<T>(put: Put<T>) -> (PoolId, Option<T>) {
        match put {
            Put::Kept(id, evicted) => (id, evicted),
            Put::Refused(_) => panic!("refused"),
        }
    }

    #[test]
    fn the_most_recent_connection_is_taken_first() {
        let mut pool = Pool::new(LIMITS);
        kept(pool.put(key("a"), 1, 0));
        kept(pool.put(key("a"), 2, 1));
        assert_eq!(
            [pool.take(&key("a")), pool.take(&key("a")), pool.take(&key("a"))],
            [Some(2), Some(1), None]
        );
    }

    #[test]
    fn lesson_26_whatever_differs_is_another_connection() {
        let mut pool = Pool::new(PoolLimits { per_origin: 9, total: 99, idle: 100 });
        let address = "127.0.0.1:9443".parse().expect("an address");
        let others = [
            key("b"),
            PoolKey { port: 8443, ..key("a") },
            PoolKey { tls: false, ..key("a") },
            PoolKey { trust: 1, ..key("a") },
            PoolKey { route: Route::Via, ..key("a") },
            PoolKey { route: Route::Mapped(address), ..key("a") },
        ];
        for other in others {
            kept(pool.put(other.clone(), 1, 0));
            assert_eq!(pool.take(&key("a")), None, "{other:?}");
        }
    }

    #[test]
    fn the_oldest_makes_room_of_its_origin_and_of_all() {
        let mut pool = Pool::new(LIMITS);
        assert_eq!(kept(pool.put(key("a"), 1, 0)).1, None);
        assert_eq!(kept(pool.put(key("a"), 2, 1)).1, None);
        assert_eq!(kept(pool.put(key("a"), 3, 2)).1, Some(1), "two of one origin");
        assert_eq!(kept(pool.put(key("b"), 4, 3)).1, None);
        assert_eq!(kept(pool.put(key("c"), 5, 4)).1, Some(2), "three in all");
    }

    #[test]
    fn idle_ones_expire_in_order_and_at_their_moment() {
        let mut pool = Pool::new(LIMITS);
        kept(pool.put(key("a"), 1, 0));
        kept(pool.put(key("b"), 2, 50));
        assert_eq!(pool.expire(99), None);
        assert_eq!((pool.expire(100), pool.expire(100)), (Some(1), None));
        assert_eq!(pool.next_expiry(), Some(150));
        assert_eq!((pool.expire(150), pool.next_expiry()), (Some(2), None));
    }

    #[test]
    fn a_stale_name_removes_nothing() {
        let mut pool = Pool::new(LIMITS);
        let (first, _) = kept(pool.put(key("a"), 1, 0));
        assert_eq!(pool.key(first), Some(&key("a")));
        assert_eq!(pool.remove(first), Some(1));
        let (second, _) = kept(pool.put(key("b"), 2, 0));
        assert_eq!(first.slot, second.slot, "the slot is used again");
        assert_eq!((pool.key(first), pool.key(second)), (None, Some(&key("b"))));
        assert_eq!(pool.remove(first), None);
        assert_eq!(pool.remove(second), Some(2));
        assert!(pool.is_empty());
    }

    #[test]
    fn a_bound_of_zero_keeps_nothing() {
        let mut pool = Pool::new(PoolLimits { per_origin: 0, ..LIMITS });
        assert_eq!(pool.put(key("a"), 1, 0), Put::Refused(1));
    }

    /// The same pool, kept in one list, oldest first.
    #[derive(Default)]
    struct Naive(Vec<(u8, u32)>);

    impl Naive {
        fn put(&mut self, origin: u8, value: u32) -> Option<u32> {
            let mine = self.0.iter().filter(|held| held.0 == origin).count();
            let at = if mine >= LIMITS.per_origin {
                self.0.iter().position(|held| held.0 == origin)
            } else {
                (self.0.len() >= LIMITS.total).then_some(0)
            };
            let evicted = at.map(|at| self.0.remove(at).1);
            self.0.push((origin, value));
            evicted
        }

        fn take(&mut self, origin: u8) -> Option<u32> {
            let at = self.0.iter().rposition(|held| held.0 == origin)?;
            Some(self.0.remove(at).1)
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_list(steps in prop::collection::vec((0..4u8, 0..3u8), 0..200)) {
            let (mut pool, mut naive) = (Pool::new(LIMITS), Naive::default());
            for (n, (what, origin)) in steps.into_iter().enumerate() {
                let (n, name) = (n as u32, key(&origin.to_string()));
                match what {
                    0 => prop_assert_eq!(pool.take(&name), naive.take(origin)),
                    1 => prop_assert_eq!(pool.pop(), (!naive.0.is_empty()).then(|| naive.0.remove(0).1)),
                    _ => prop_assert_eq!(kept(pool.put(name, n, 0)).1, naive.put(origin, n)),
                }
                prop_assert_eq!(pool.len(), naive.0.len());
                prop_assert_eq!(pool.origins.iter().map(|(_, origin)| origin.chain.len).sum::<usize>(), pool.len());
                prop_assert_eq!(pool.origins.len(), pool.by_key.len());
            }
        }
    }
}
