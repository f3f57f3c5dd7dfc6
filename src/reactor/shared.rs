//! What all reactors of a proxy share, and what one reactor tells of itself: counters, never locks on the data path.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::{ArcSwap, Cache};

use crate::cert::Minter;
use crate::config::AddressMap;
use crate::conn::World;
use crate::limits::{Limits, Now};
use crate::policy::Policy;
use crate::policy::host::Host;
use crate::telemetry::Sink;
use crate::telemetry::event::Event;
use crate::upstream::own::Own;
use crate::upstream::resolve::Resolver;
use crate::upstream::trust::Trust;
use crate::upstream::via::ViaOptions;

use super::figures::Figures;
use super::mailbox::{Mail, Postbox};

/// Memory that a connection takes beside what it buffers: TLS state, sockets' bookkeeping.
const BASE_MEMORY: usize = 24 << 10;

/// Shared by all reactors.
pub struct Shared {
    /// The newest policy.
    policy: Arc<ArcSwap<Policy>>,
    /// Settings for connection machines; the policy in it is the one at start.
    template: World,
    /// Names.
    pub resolver: Resolver,
    /// Trust towards origins.
    pub trust: Trust,
    /// The corporate proxy.
    pub via: Option<ViaOptions>,
    /// Our own listeners.
    pub own: Own,
    map: AddressMap,
    postboxes: OnceLock<Vec<Postbox>>,
    /// The moment from which all reactors count, so that their clocks agree.
    pub start: Instant,
    turn: AtomicUsize,
    /// Counters of the whole proxy.
    pub counters: Counters,
}

/// What is counted while it runs.
#[derive(Debug, Default)]
pub struct Counters {
    /// Guest connections open now.
    pub connections: AtomicUsize,
    /// Guest connections accepted so far.
    pub accepted: AtomicU64,
    /// Bytes held by all connections, about.
    pub memory: AtomicUsize,
    /// Idle origin connections.
    pub pooled: AtomicUsize,
    /// Net events by decision: allowed, denied, failed, aborted, spliced.
    pub decisions: [AtomicU64; 5],
    /// Phases towards origins, inspection that stopped, models.
    pub figures: Figures,
}

/// A copy of the newest policy that knows when there is a newer one.
pub type WatchedPolicy = Cache<Arc<ArcSwap<Policy>>, Arc<Policy>>;

impl Shared {
    /// Puts together what reactors share.
    pub fn new(
        template: World,
        resolver: Resolver,
        trust: Trust,
        via: Option<ViaOptions>,
        own: Own,
        map: AddressMap,
    ) -> Self {
        Self {
            policy: Arc::new(ArcSwap::from(Arc::clone(&template.policy))),
            template,
            resolver,
            trust,
            via,
            own,
            map,
            postboxes: OnceLock::new(),
            start: super::now_instant(),
            turn: AtomicUsize::new(0),
            counters: Counters::default(),
        }
    }

    /// Makes the reactors known to each other; once, before they run.
    pub fn introduce(&self, postboxes: Vec<Postbox>) {
        let fresh = self.postboxes.set(postboxes).is_ok();
        debug_assert!(fresh, "reactors are introduced once");
    }

    /// Settings for one reactor.
    pub fn world(&self) -> World {
        self.template.clone()
    }

    /// Both clocks, as the reactors read them.
    pub fn now(&self) -> Now {
        Now { mono: super::elapsed(self.start), wall: super::wall_clock() }
    }

    /// What gives hosts their certificates.
    pub fn minter(&self) -> &Minter {
        &self.template.minter
    }

    /// Puts a new policy into force: the next request is judged by it.
    pub fn set_policy(&self, policy: Arc<Policy>, cut: bool) {
        self.policy.store(policy);
        self.post_all(|| Mail::PolicyChanged { cut });
    }

    /// The newest policy.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// The newest policy, for one who asks at every turn.
    pub fn watch_policy(&self) -> WatchedPolicy {
        WatchedPolicy::new(Arc::clone(&self.policy))
    }

    /// Where the operator says that this host is dialled.
    pub fn mapped(&self, host: &Host, port: u16) -> Option<SocketAddr> {
        self.map.get(host, port)
    }

    /// The reactor whose turn it is to get a connection that was accepted for all.
    pub fn next_reactor(&self) -> usize {
        let count = self.postboxes.get().map_or(1, Vec::len).max(1);
        self.turn.fetch_add(1, Relaxed) % count
    }

    /// Sends a letter to one reactor.
    pub fn post(&self, reactor: usize, mail: Mail) {
        if let Some(postbox) = self.postboxes.get().and_then(|all| all.get(reactor)) {
            postbox.post(mail);
        }
    }

    /// Sends a letter to each reactor.
    pub fn post_all(&self, mail: impl Fn() -> Mail) {
        self.postboxes.get().into_iter().flatten().for_each(|postbox| postbox.post(mail()));
    }
}

/// One reactor's view: its sender, and what it last published.
pub struct Local {
    /// What all share.
    pub shared: Arc<Shared>,
    /// Towards the ledger.
    pub sink: Sink,
    pooled: usize,
}

impl Local {
    /// A reactor's own view.
    pub fn new(shared: Arc<Shared>, sink: Sink) -> Self {
        Self { shared, sink, pooled: 0 }
    }

    /// A connection was accepted.
    pub fn opened(&self) {
        let counters = &self.shared.counters;
        counters.connections.fetch_add(1, Relaxed);
        counters.accepted.fetch_add(1, Relaxed);
        counters.memory.fetch_add(BASE_MEMORY, Relaxed);
    }

    /// A connection that held so many bytes has ended.
    pub fn closed(&self, held: usize) {
        self.shared.counters.connections.fetch_sub(1, Relaxed);
        self.shared.counters.memory.fetch_sub(BASE_MEMORY + held, Relaxed);
    }

    /// A connection's buffers changed their size.
    pub fn held(&self, before: usize, now: usize) {
        if now > before {
            self.shared.counters.memory.fetch_add(now - before, Relaxed);
        } else if before > now {
            self.shared.counters.memory.fetch_sub(before - now, Relaxed);
        }
    }

    /// Whether another connection may be accepted (P25).
    pub fn has_room(&self, limits: &Limits) -> bool {
        let counters = &self.shared.counters;
        counters.connections.load(Relaxed) < limits.connections
            && counters.memory.load(Relaxed) < limits.memory
    }

    /// Counts what an ended exchange did.
    pub fn count(&self, event: &Event) {
        let counters = &self.shared.counters;
        if let Event::Net(row) = event {
            counters.decisions[row.decision as usize].fetch_add(1, Relaxed);
        }
        counters.figures.count(event);
    }

    /// Publishes how many origin connections are idle here.
    pub fn publish(&mut self, pooled: usize) {
        if pooled != self.pooled {
            let counters = &self.shared.counters;
            counters.pooled.fetch_add(pooled, Relaxed);
            counters.pooled.fetch_sub(self.pooled, Relaxed);
            self.pooled = pooled;
        }
    }
}
