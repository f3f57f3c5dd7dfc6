//! Policy: may it connect, may it talk to this host, may it make this request. Pure.
//!
//! Uses nothing of ours and no `std::{net,fs,thread,time,process}` (addresses come from `core::net`).
//! Refuses by default; every answer names the rule and the layer that decided.
//!
//! A [`draft::Draft`] is what was written; [`Policy`] is what is asked. Asking allocates nothing, except for the
//! words of a refusal that has to name something of the request.

pub mod address;
pub mod draft;
pub mod explain;
pub mod host;
pub mod http;
mod index;
pub mod path;
mod site;
mod table;

use core::net::IpAddr;
use std::sync::Arc;

use address::AddressRules;
use draft::{Draft, Exception, Mode, Rule, Source, Sourced};
use host::{Host, HostPattern};
use http::RequestQuestion;
use path::Normal;
use site::{Entry, Site};
use table::HostTable;

pub use draft::{Allow, Layer};

/// The rule that stands for a path with two readings on a host with path rules (P10): answered 400, not 403.
pub const AMBIGUOUS_PATH: &str = "http.path";

/// A compiled policy: immutable, shared by all reactors, asked for every request.
#[derive(Clone, Debug)]
pub struct Policy {
    mode: Mode,
    default: (Allow, Why),
    ports: (Vec<u16>, Why),
    addresses: (AddressRules, Why),
    allow_locked: bool,
    table: HostTable<Entry>,
    listed: Vec<Listed>,
    /// What each entry of `listed` answers, close together: requests look here and not there.
    listed_why: Vec<Why>,
    rules: Vec<(Rule, Why)>,
    unmatched: [Why; 2],
    digest: Arc<str>,
}

/// What decided a question: one shared value, cheap to clone.
pub type Why = Arc<Grounds>;

/// Which rule decided, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// A rule's name, or a list and its entry: `network.block *.doubleclick.net`.
    pub rule: Arc<str>,
    /// Whose rule.
    pub layer: Layer,
    /// Words for whoever is refused.
    pub reason: Option<Arc<str>>,
    /// `user.toml:12`; `None` for what is built in.
    pub place: Option<Arc<str>>,
}

/// What may happen with connections to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostVerdict {
    /// Talk to it; requests are read and judged one by one.
    Intercept,
    /// Pass its TLS through untouched.
    Splice,
    /// No name is looked up, nothing is dialled (P8).
    Deny,
}

impl HostVerdict {
    /// The word that people are shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intercept => "intercept",
            Self::Splice => "splice",
            Self::Deny => "deny",
        }
    }
}

/// One entry of one list.
#[derive(Clone, Debug)]
struct Listed {
    list: List,
    pattern: HostPattern,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Block,
    Allow,
    Splice,
    PrivateAllow,
}

impl List {
    fn key(self) -> &'static str {
        match self {
            Self::Block => "network.block",
            Self::Allow => "network.allow",
            Self::Splice => "network.splice",
            Self::PrivateAllow => "network.private_allow",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Allow => "allow",
            Self::Splice => "splice",
            Self::PrivateAllow => "allow private addresses",
        }
    }
}

impl Policy {
    /// Compiles a draft. `digest` identifies its meaning in the ledger.
    pub fn compile(draft: Draft, digest: &str) -> Self {
        let (listed, listed_why, ranges) = listed(&draft);
        let mut table = HostTable::<Entry>::default();
        for (index, entry) in (0..).zip(&listed) {
            table.entry(&entry.pattern).list(entry.list as usize, index);
        }
        for (index, rule) in (0..).zip(&draft.http) {
            table.entry(&rule.host).rule(index, rule);
        }
        table.link(Entry::widen);
        let allow_private = draft.private_addresses.value == Allow::Allow;
        Self {
            mode: draft.mode.value,
            default: (
                draft.default.value,
                why("network.default", &draft.default.source, "no list names the host"),
            ),
            addresses: (
                AddressRules { allow_private, except: ranges },
                why("network.private_addresses", &draft.private_addresses.source, ""),
            ),
            ports: (
                draft.ports.value,
                why("network.ports", &draft.ports.source, "the port is not one of network.ports"),
            ),
            allow_locked: draft.allow_locked,
            table,
            listed,
            listed_why,
            rules: draft.http.into_iter().map(with_why).collect(),
            unmatched: [Layer::Corp, Layer::User].map(unmatched),
            digest: digest.into(),
        }
    }

    /// May a connection be made to this host and port, and is it looked into? Asked before any lookup (P8).
    ///
    /// [`Policy::request`] asks this again for every request, so that a reload is felt on live connections.
    pub fn host(&self, host: &Host, port: u16) -> (HostVerdict, Why) {
        let (verdict, why) = self.judge_host(&Site::new(&self.table, host), port);
        (verdict, why.clone())
    }

    /// May this host be talked to at all, on some port? What a name server asks.
    pub fn name(&self, host: &Host) -> (HostVerdict, Why) {
        self.host(host, self.ports.0.first().copied().unwrap_or_default())
    }

    /// May this request be made? Judges the host too.
    pub fn request(&self, question: &RequestQuestion<'_>) -> (Allow, Why) {
        let site = Site::new(&self.table, question.host);
        let (verdict, why) = self.judge_host(&site, question.port);
        if verdict == HostVerdict::Deny {
            return (Allow::Deny, why.clone());
        }
        if !site.has_rules() {
            return (Allow::Allow, why.clone());
        }
        let facts = site.facts(question.port);
        let path = match Normal::parse(question.path) {
            Ok(path) => Some(path),
            Err(how) if facts.path_rules => return (Allow::Deny, two_readings(how)),
            Err(_) => None,
        };
        let first = site.first_rule(path, |index| self.rules[index as usize].0.matches(question, path));
        match (first, facts.named_by) {
            (Some(index), _) => {
                let (rule, why) = &self.rules[index as usize];
                (rule.action, why.clone())
            }
            (None, Some(Layer::Corp)) => (Allow::Deny, self.unmatched[0].clone()),
            (None, Some(_)) => (Allow::Deny, self.unmatched[1].clone()),
            (None, None) => (Allow::Allow, why.clone()),
        }
    }

    /// Why a request with an override header ([`http::is_override`]) is refused: some rule of this host looks at methods
    /// or paths (P11). Answered 400.
    pub fn overridden(&self, host: &Host, port: u16) -> Option<Why> {
        let facts = Site::new(&self.table, host).facts(port);
        let reason = "a field overrides method or URL, and this host has rules for them";
        (facts.path_rules || facts.method_rules).then(|| why("http.override", &Source::BUILT_IN, reason))
    }

    /// May this address be dialled for this host? Asked for every answer of the resolver, and for IP literals (P7).
    /// Addresses from `[upstream.map]` are the operator's own and are not asked about.
    pub fn address(&self, host: &Host, ip: IpAddr) -> Result<(), Why> {
        let (rules, why) = &self.addresses;
        let Err(class) = address::check(ip, rules) else {
            return Ok(());
        };
        if Site::new(&self.table, host).listed()[List::PrivateAllow as usize].is_some() {
            return Ok(());
        }
        let reason = format!("{ip} is a {class} address; private_allow can name it or the host");
        Err(Arc::new(Grounds { reason: Some(reason.into()), ..Grounds::clone(why) }))
    }

    /// The same before any look-up: a host that is an address, or a name that can only be loopback, has but one. Any other
    /// name may still be looked up.
    pub fn fixed_address(&self, host: &Host) -> Result<(), Why> {
        host.fixed_ip().map_or(Ok(()), |ip| self.address(host, ip))
    }

    /// Whether nothing is to be refused: the record says what would have been.
    pub fn observe(&self) -> bool {
        self.mode == Mode::Observe
    }

    /// Identifies the meaning of the policy: comments, order of keys and file names do not change it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    fn judge_host(&self, site: &Site<'_>, port: u16) -> (HostVerdict, &Why) {
        let [block, allow, splice, _] = site.listed().map(|index| Some(&self.listed_why[index? as usize]));
        // A user's splice must not blind the rules that corp wrote, nor add to an allow list that corp wrote.
        let splice = splice.filter(|why| why.layer == Layer::Corp || !site.facts(port).corp_rules);
        let adds = |why: &&Why| why.layer == Layer::Corp || !self.allow_locked;
        if !self.ports.0.contains(&port) {
            (HostVerdict::Deny, &self.ports.1)
        } else if let Some(why) = block {
            (HostVerdict::Deny, why)
        } else if allow.or(splice.filter(adds)).is_none() && self.default.0 == Allow::Deny {
            (HostVerdict::Deny, &self.default.1)
        } else if let Some(why) = splice {
            (HostVerdict::Splice, why)
        } else {
            (HostVerdict::Intercept, allow.unwrap_or(&self.default.1))
        }
    }
}

/// All list entries, corp's before the user's, with what each answers, and the ranges of `private_allow`.
fn listed(draft: &Draft) -> (Vec<Listed>, Vec<Why>, Vec<address::Cidr>) {
    let mut all = Vec::new();
    for (list, entries) in
        [(List::Block, &draft.block), (List::Allow, &draft.allow), (List::Splice, &draft.splice)]
    {
        all.extend(entries.iter().map(|entry| Listed::new(list, &entry.value, &entry.source)));
    }
    let mut ranges = Vec::new();
    for Sourced { value, source } in &draft.private_allow {
        match value {
            Exception::Range(range) => ranges.push(*range),
            Exception::Host(pattern) => all.push(Listed::new(List::PrivateAllow, pattern, source)),
        }
    }
    let (listed, why) = all.into_iter().unzip();
    (listed, why, ranges)
}

impl Listed {
    fn new(list: List, pattern: &HostPattern, source: &Source) -> (Self, Why) {
        let reason = if list == List::Block { "the host is on the block list" } else { "" };
        let why = why(&format!("{} {pattern}", list.key()), source, reason);
        (Self { list, pattern: pattern.clone() }, why)
    }
}

fn why(rule: &str, source: &Source, reason: &str) -> Why {
    let reason = Some(reason).filter(|reason| !reason.is_empty()).map(Arc::from);
    Arc::new(Grounds { rule: rule.into(), layer: source.layer, reason, place: source.place.clone() })
}

fn unmatched(layer: Layer) -> Why {
    let reason = "no [[http]] rule for this host matches, and an allow rule names it";
    why("http.unmatched", &Source { layer, place: None }, reason)
}

fn two_readings(how: &str) -> Why {
    why(AMBIGUOUS_PATH, &Source::BUILT_IN, &format!("the path {how}, and this host has path rules"))
}

fn with_why(rule: Rule) -> (Rule, Why) {
    let why = rule.why();
    (rule, why)
}
