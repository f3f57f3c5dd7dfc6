//! One policy file as it was typed (DESIGN §7), every value checked where it stands.

use std::collections::HashMap;
use std::sync::Arc;

use super::sample::TypedSample;
use crate::config::ListenAddress;
use crate::config::error::ConfigError;
use crate::config::file::{Item, Spot, Table, Text};
use crate::config::server::host_pattern;
use crate::config::suggest;
use crate::policy::Allow;
use crate::policy::address::Cidr;
use crate::policy::draft::{Exception, Layer, Mode, Rule, Source};
use crate::policy::host::HostPattern;
use crate::policy::http::Methods;
use crate::policy::path::PathPattern;

/// A value and where it was typed.
#[derive(Clone, Debug)]
pub(super) struct Typed<'t, T> {
    pub value: T,
    pub spot: Spot<'t>,
}

/// A list as it was typed: its own place, and its entries with theirs.
pub(super) type TypedList<'t, T> = Typed<'t, Vec<Typed<'t, T>>>;

/// One file; `None` is a field that it does not hold.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyFile<'t> {
    pub mode: Option<Typed<'t, Mode>>,
    pub default: Option<Typed<'t, Allow>>,
    pub allow: Option<TypedList<'t, HostPattern>>,
    pub block: Option<TypedList<'t, HostPattern>>,
    pub splice: Option<TypedList<'t, HostPattern>>,
    pub ports: Option<Typed<'t, Vec<u16>>>,
    pub private_addresses: Option<Typed<'t, Allow>>,
    pub private_allow: Option<TypedList<'t, Exception>>,
    pub http: Vec<Typed<'t, Rule>>,
    pub samples: Vec<TypedSample<'t>>,
}

/// Reads a file of this layer.
pub(super) fn file(text: &Text, layer: Layer) -> Result<PolicyFile<'_>, ConfigError> {
    let mut root = text.parse()?;
    let mode = typed(root.take("mode"), |item| {
        item.one_of(&[("enforce", Mode::Enforce), ("observe", Mode::Observe)])
    })?;
    let mut network = root.table("network")?;
    let file = PolicyFile {
        mode,
        default: typed(network.take("default"), yes_or_no)?,
        allow: list(network.take("allow"), pattern)?,
        block: list(network.take("block"), pattern)?,
        splice: list(network.take("splice"), pattern)?,
        ports: typed(network.take("ports"), ports)?,
        private_addresses: typed(network.take("private_addresses"), yes_or_no)?,
        private_allow: list(network.take("private_allow"), exception)?,
        http: rules(root.tables("http")?, layer)?,
        samples: root
            .tables("sample")?
            .into_iter()
            .map(|table| super::sample::read(table, layer))
            .collect::<Result<_, _>>()?,
    };
    network.finish()?;
    root.finish()?;
    Ok(file)
}

fn typed<'t, T>(
    item: Option<Item<'t>>,
    parse: impl FnOnce(Item<'t>) -> Result<T, ConfigError>,
) -> Result<Option<Typed<'t, T>>, ConfigError> {
    item.map(|item| Ok(Typed { spot: item.spot(), value: parse(item)? })).transpose()
}

fn list<'t, T>(
    item: Option<Item<'t>>,
    parse: impl Fn(&Item<'t>) -> Result<T, ConfigError>,
) -> Result<Option<TypedList<'t, T>>, ConfigError> {
    typed(item, |item| {
        let entry = |item: Item<'t>| Ok(Typed { spot: item.spot(), value: parse(&item)? });
        item.list()?.into_iter().map(entry).collect()
    })
}

fn yes_or_no(item: Item<'_>) -> Result<Allow, ConfigError> {
    item.one_of(&[("allow", Allow::Allow), ("deny", Allow::Deny)])
}

fn pattern(item: &Item<'_>) -> Result<HostPattern, ConfigError> {
    host_pattern(item, item.str()?)
}

fn exception(item: &Item<'_>) -> Result<Exception, ConfigError> {
    let text = item.str()?;
    match Cidr::parse(text) {
        Some(range) => Ok(Exception::Range(range)),
        None if text.contains('/') => Err(item
            .fail(format!("{text:?} is no address range"))
            .help("write it as in 10.1.0.0/16 or fd00::/8, with the bits after the prefix zero")),
        None => host_pattern(item, text).map(Exception::Host),
    }
}

fn ports(item: Item<'_>) -> Result<Vec<u16>, ConfigError> {
    let spot = item.spot();
    let port = |item: Item<'_>| item.number(1..=65535).map(|port| port as u16);
    let ports: Vec<u16> = item.one_or_more()?.into_iter().map(port).collect::<Result<_, _>>()?;
    if ports.is_empty() {
        return Err(spot
            .fail("an empty list of ports matches nothing")
            .help("name a port, or leave the key out"));
    }
    Ok(ports)
}

fn rules(tables: Vec<Table<'_>>, layer: Layer) -> Result<Vec<Typed<'_, Rule>>, ConfigError> {
    let mut names: HashMap<Arc<str>, Arc<str>> = HashMap::new();
    let mut rules = Vec::new();
    for (number, table) in (1..).zip(tables) {
        let rule = rule(table, number, layer)?;
        if let Some(first) = names.insert(Arc::clone(&rule.value.name), rule.spot.place()) {
            let message = format!("two rules are named {:?}; the first stands at {first}", rule.value.name);
            return Err(rule.spot.fail(message).help("give each rule a name of its own"));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(mut table: Table<'_>, number: usize, layer: Layer) -> Result<Typed<'_, Rule>, ConfigError> {
    let spot = table.spot();
    let Some(host) = table.take("host") else {
        return Err(table
            .fail("a rule without a host")
            .help("add host = \"api.example.com\", or \"*\" for every host"));
    };
    let host = pattern(&host)?;
    let Some(action) = table.take("action") else {
        return Err(table
            .fail("a rule without an action")
            .help("add action = \"allow\" or action = \"deny\""));
    };
    let action = yes_or_no(action)?;
    let mut rule = every_request(number, host, action, Source { layer, place: Some(spot.place()) });
    table.read("name", |item| words(&item), &mut rule.name)?;
    table.read_some("reason", |item| words(&item), &mut rule.reason)?;
    table.read("port", ports, &mut rule.ports)?;
    table.read("methods", methods, &mut rule.methods)?;
    table.read("paths", |item| some(item, path), &mut rule.paths)?;
    table.read("process", |item| some(item, process), &mut rule.processes)?;
    table.read("uid", |item| some(item, uid), &mut rule.users)?;
    table.read("listener", |item| some(item, listener), &mut rule.listeners)?;
    table.finish()?;
    Ok(Typed { value: rule, spot })
}

/// A rule about every request to a host.
fn every_request(number: usize, host: HostPattern, action: Allow, source: Source) -> Rule {
    Rule {
        name: format!("http #{number} {host}").into(),
        host,
        ports: Vec::new(),
        methods: Methods::EVERY,
        paths: Vec::new(),
        processes: Vec::new(),
        users: Vec::new(),
        listeners: Vec::new(),
        action,
        reason: None,
        source,
    }
}

/// One or more values; an empty list would match nothing.
fn some<'t, T>(
    item: Item<'t>,
    parse: impl Fn(&Item<'t>) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    let spot = item.spot();
    let all: Vec<T> = item.one_or_more()?.iter().map(parse).collect::<Result<_, _>>()?;
    if all.is_empty() {
        return Err(spot
            .fail("an empty list matches nothing, so the rule never would")
            .help("leave the key out"));
    }
    Ok(all)
}

/// Words that are shown in logs and answers.
fn words(item: &Item<'_>) -> Result<Arc<str>, ConfigError> {
    let text = item.str()?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(item.fail("these words are empty or have control characters in them"));
    }
    Ok(text.into())
}

fn methods(item: Item<'_>) -> Result<Methods, ConfigError> {
    let mut methods = Methods::default();
    for word in some(item, |item| Ok((item.spot(), item.str()?.to_owned())))? {
        match word {
            (_, word) if word == "read" => methods.read = true,
            (_, word) if word == "write" => methods.write = true,
            (_, word) if is_method(&word) => methods.tokens.push(word.into()),
            (spot, word) => return Err(no_method(spot, &word)),
        }
    }
    Ok(methods)
}

/// A token (RFC 9110 §5.6.2) without lower-case letters: methods are case-sensitive, and those of the registry are
/// all upper-case.
fn is_method(word: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !word.is_empty() && word != "*" && word.bytes().all(|byte| token(byte) && !byte.is_ascii_lowercase())
}

fn no_method(spot: Spot<'_>, word: &str) -> ConfigError {
    let error =
        spot.fail(format!("{word:?} is neither a class of methods (\"read\", \"write\") nor a method"));
    let upper = word.to_uppercase();
    let known = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"];
    match suggest::nearest(word, ["read", "write"]) {
        _ if known.contains(&upper.as_str()) => {
            error.help(format!("methods are case-sensitive: write \"{upper}\""))
        }
        Some(class) => error.help(format!("did you mean \"{class}\"?")),
        None => error.help("leave methods out to match every method"),
    }
}

fn path(item: &Item<'_>) -> Result<PathPattern, ConfigError> {
    let text = item.str()?;
    PathPattern::parse(text).map_err(|error| {
        let help = error.suggestion.map(|meant| format!("write \"{meant}\""));
        ConfigError { help, ..item.fail(format!("{text:?} can never match: it {}", error.message)) }
    })
}

/// The kernel keeps 15 bytes of a process's name (proc(5), comm).
fn process(item: &Item<'_>) -> Result<Arc<str>, ConfigError> {
    let text = item.str()?;
    if text.len() <= 15 && !text.is_empty() {
        return Ok(text.into());
    }
    let error =
        item.fail(format!("{text:?} can never match: the kernel keeps 1 to 15 bytes of a process's name"));
    match text.get(..15) {
        Some(kept) => Err(error.help(format!("write {kept:?}"))),
        None => Err(error),
    }
}

fn uid(item: &Item<'_>) -> Result<u32, ConfigError> {
    item.number(0..=u64::from(u32::MAX)).map(|uid| uid as u32)
}

fn listener(item: &Item<'_>) -> Result<Arc<str>, ConfigError> {
    let address: ListenAddress = item.str()?.parse().map_err(|message: String| item.fail(message))?;
    if matches!(&address, ListenAddress::Tcp(at) if at.port() == 0) {
        return Err(item
            .fail(format!(
                "\"{address}\" can never match: the system chooses the port that requests come in at"
            ))
            .help("give the listener a port of its own, and name that"));
    }
    Ok(address.to_string().into())
}
