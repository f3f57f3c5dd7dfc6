//! What every turn of a connection machine is given: the time, the shared settings, and where to put what it wants.

use std::sync::Arc;

use crate::cert::Minter;
use crate::exchange::{Pricing, Scratch};
use crate::limits::{Limits, Now, Timeouts};
use crate::model::ModelTable;
use crate::policy::host::Host;
use crate::policy::{Policy, Why};
use crate::telemetry::event::Event;

use super::Ask;
use super::session::Target;

/// A question about a host and port.
pub type IsMapped = Arc<dyn Fn(&Host, u16) -> bool + Send + Sync>;

/// Settings that all connections of a reactor share. The policy is the newest one at the start of each turn.
#[derive(Clone)]
pub struct World {
    /// Sizes and counts.
    pub limits: Limits,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Gives each host its certificate.
    pub minter: Arc<Minter>,
    /// Judges.
    pub policy: Arc<Policy>,
    /// Which hosts serve models.
    pub models: Arc<ModelTable>,
    /// What tokens cost.
    pub pricing: Pricing,
    /// Whether the operator says where a host and port are dialled, exempt from the rule about addresses.
    pub is_mapped: IsMapped,
    /// Whether heads are copied for the ledger.
    pub keep_headers: bool,
    /// Bytes of each body that are copied for the ledger.
    pub keep_bodies: usize,
}

impl World {
    /// Why an address that a guest named itself, or `localhost`, may not be reached: no resolver is needed to know (P7).
    /// What a name leads to is checked when it is dialled.
    pub fn denied_address(&self, target: &Target) -> Option<Why> {
        let why = self.policy.fixed_address(&target.host).err()?;
        let exempt = self.policy.observe() || (self.is_mapped)(&target.host, target.port);
        (!exempt).then_some(why)
    }
}

/// Whether the ledger takes new requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// Go on.
    #[default]
    Open,
    /// Take no new request until it opens again.
    Wait,
    /// Answer 503: the ledger has failed, and the operator chose to refuse.
    Refuse,
}

/// One turn's surroundings.
pub struct Cx<'a> {
    /// Both clocks.
    pub now: Now,
    /// Shared settings.
    pub world: &'a World,
    /// Whether the ledger takes new requests.
    pub gate: Gate,
    /// The proxy is ending: connections are not kept alive.
    pub draining: bool,
    /// Requests to the world, in order.
    pub asks: &'a mut Vec<Ask>,
    /// Events for the ledger, in order.
    pub events: &'a mut Vec<Event>,
    /// Gives the next exchange id.
    pub next_id: &'a dyn Fn() -> u64,
    /// Buffers that live for one turn.
    pub scratch: &'a mut Scratch,
}
