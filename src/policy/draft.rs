//! A policy as it was written: typed, merged, every part with the place that it came from, not yet compiled.

use core::fmt;
use std::sync::Arc;

use super::address::Cidr;
use super::host::HostPattern;
use super::http::Methods;
use super::path::PathPattern;
use super::{Grounds, Why};

/// Who wrote a part of the policy; the earlier one stands above the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// `corp.toml`.
    Corp,
    /// `user.toml`.
    User,
    /// Built in.
    Default,
}

impl Layer {
    /// The ledger's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Corp => "corp",
            Self::User => "user",
            Self::Default => "default",
        }
    }
}

/// Where a part of the policy was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Whose file.
    pub layer: Layer,
    /// `user.toml:12`; `None` for what is built in.
    pub place: Option<Arc<str>>,
}

impl Source {
    /// The source of what no file says.
    pub const BUILT_IN: Self = Self { layer: Layer::Default, place: None };
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(out, "{} ({place})", self.layer.as_str()),
            None => out.write_str("built in"),
        }
    }
}

/// A value with the place that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub source: Source,
}

impl<T> Sourced<T> {
    /// A value that no file says.
    pub fn built_in(value: T) -> Self {
        Self { value, source: Source::BUILT_IN }
    }
}

/// Whether denials are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What is denied is refused.
    #[default]
    Enforce,
    /// Nothing is refused; the record says what would have been.
    Observe,
}

/// Yes or no: what a rule does, what `default` says, how a request is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

impl Allow {
    /// The word in policy files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Whom `private_allow` opens private addresses to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exception {
    /// These addresses, under whatever name.
    Range(Cidr),
    /// Whatever addresses these hosts have.
    Host(HostPattern),
}

/// One `[[http]]` rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its own name, or its number in its file.
    pub name: Arc<str>,
    /// Which hosts it names.
    pub host: HostPattern,
    /// Which ports; empty: every port.
    pub ports: Vec<u16>,
    /// Which methods.
    pub methods: Methods,
    /// Which paths; empty: every path.
    pub paths: Vec<PathPattern>,
    /// Process names; empty: every client. A client whose process is unknown matches no name.
    pub processes: Vec<Arc<str>>,
    /// User ids; empty: every client. A client whose user is unknown matches none.
    pub users: Vec<u32>,
    /// Listener addresses as configured; empty: every listener.
    pub listeners: Vec<Arc<str>>,
    /// What it says to a request that it matches.
    pub action: Allow,
    /// Why, in the words of whoever wrote it; shown to the client.
    pub reason: Option<Arc<str>>,
    /// Where it was written.
    pub source: Source,
}

impl Rule {
    pub(super) fn why(&self) -> Why {
        Arc::new(Grounds {
            rule: Arc::clone(&self.name),
            layer: self.source.layer,
            reason: self.reason.clone(),
            place: self.source.place.clone(),
        })
    }
}

/// The whole policy before it is compiled. Lists and rules hold corp's parts before the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Enforce or observe.
    pub mode: Sourced<Mode>,
    /// What happens to hosts that no list names.
    pub default: Sourced<Allow>,
    /// Hosts that may be talked to.
    pub allow: Vec<Sourced<HostPattern>>,
    /// Whether corp wrote the allow list, so that a user's `splice` may not add to it.
    pub allow_locked: bool,
    /// Hosts that may not; wins over `allow` and `splice`.
    pub block: Vec<Sourced<HostPattern>>,
    /// Hosts whose TLS is passed through as it is.
    pub splice: Vec<Sourced<HostPattern>>,
    /// Ports that may be connected to.
    pub ports: Sourced<Vec<u16>>,
    /// Whether private addresses may be dialled.
    pub private_addresses: Sourced<Allow>,
    /// Exceptions to a `deny` of private addresses.
    pub private_allow: Vec<Sourced<Exception>>,
    /// Rules over methods and paths, in the order in which they are asked.
    pub http: Vec<Rule>,
}

/// What holds where no file says otherwise: everything is refused.
impl Default for Draft {
    fn default() -> Self {
        Self {
            mode: Sourced::built_in(Mode::Enforce),
            default: Sourced::built_in(Allow::Deny),
            allow: Vec::new(),
            allow_locked: false,
            block: Vec::new(),
            splice: Vec::new(),
            ports: Sourced::built_in(vec![80, 443]),
            private_addresses: Sourced::built_in(Allow::Deny),
            private_allow: Vec::new(),
            http: Vec::new(),
        }
    }
}
