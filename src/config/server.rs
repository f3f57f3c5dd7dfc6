//! `tollgate.toml`, section by section.

use super::file::{Item, Table};
use super::{ADMIN_TOKEN, Admin, ConfigError, Confine, Listen, ListenAddress, Model, Overrides, Settings};
use crate::limits::{Limits, Timeouts};
use crate::model::detect::PROVIDERS;
use crate::policy::host::HostPattern;

/// Reads the whole file.
pub(super) fn read(mut root: Table<'_>, overrides: &Overrides) -> Result<Settings, ConfigError> {
    let mut state_dir = None;
    root.read_some("state_dir", Item::path, &mut state_dir)?;
    let state_dir = match overrides.state_dir.clone().or(state_dir) {
        Some(given) => given,
        None => super::default_state_dir()?,
    };
    let mut settings = Settings::new(state_dir);
    settings.listen = listeners(&mut root)?;
    settings.admin = admin(root.take("admin"), &settings)?;
    policy_files(root.table("policy")?, &mut settings)?;
    settings.upstream = super::upstream::read(root.table("upstream")?)?;
    root.read("reactors", |item| Ok(item.number(1..=1024)? as usize), &mut settings.reactors)?;
    limits(root.table("limits")?, &mut settings.limits)?;
    timeouts(root.table("timeouts")?, &mut settings.timeouts)?;
    settings.telemetry.read(root.table("telemetry")?)?;
    settings.model = model(root.table("model")?)?;
    let mut reload = root.table("reload")?;
    reload.read("cut", Item::bool, &mut settings.reload_cut)?;
    reload.finish()?;
    let words = [("auto", Confine::Auto), ("require", Confine::Require), ("off", Confine::Off)];
    root.read("confine", |item| item.one_of(&words), &mut settings.confine)?;
    root.finish()?;
    Ok(settings)
}

fn listeners(root: &mut Table<'_>) -> Result<Vec<Listen>, ConfigError> {
    let mut all: Vec<Listen> = Vec::new();
    for mut table in root.tables("listen")? {
        let mut proxy_header = false;
        table.read("proxy_header", Item::bool, &mut proxy_header)?;
        let Some(item) = table.take("address") else {
            return Err(table
                .fail("a listener without an address")
                .help("add address = \"tcp://127.0.0.1:8080\""));
        };
        let address = address(&item)?;
        let chosen_by_system = matches!(&address, ListenAddress::Tcp(tcp) if tcp.port() == 0);
        if !chosen_by_system && all.iter().any(|other| other.address == address) {
            return Err(item.fail(format!("two listeners on {address}")));
        }
        all.push(Listen { address, proxy_header });
        table.finish()?;
    }
    Ok(all)
}

fn admin(item: Option<Item<'_>>, settings: &Settings) -> Result<Option<Admin>, ConfigError> {
    let Some(item) = item else {
        return Ok(None);
    };
    let mut table = item.table()?;
    let mut token_file = settings.state_dir.join(ADMIN_TOKEN);
    table.read("token_file", Item::path, &mut token_file)?;
    let Some(item) = table.take("address") else {
        return Err(table.fail("[admin] without an address").help("add address = \"tcp://127.0.0.1:8090\""));
    };
    let address = address(&item)?;
    if !address.is_local() {
        return Err(item
            .fail(format!("the admin listener would be reachable from outside on {address}"))
            .help("use a loopback address or a unix:// socket"));
    }
    table.finish()?;
    Ok(Some(Admin { address, token_file }))
}

fn address(item: &Item<'_>) -> Result<ListenAddress, ConfigError> {
    item.str()?.parse().map_err(|message: String| item.fail(message))
}

fn policy_files(mut table: Table<'_>, settings: &mut Settings) -> Result<(), ConfigError> {
    table.read_some("user", Item::path, &mut settings.policy.user)?;
    table.read_some("corp", Item::path, &mut settings.policy.corp)?;
    table.finish()
}

fn limits(mut table: Table<'_>, limits: &mut Limits) -> Result<(), ConfigError> {
    let size = |item: Item<'_>| item.size().map(|bytes| bytes as usize);
    let count = |item: Item<'_>| item.number(1..=u64::from(u32::MAX)).map(|count| count as usize);
    table.read("hello", size, &mut limits.hello)?;
    table.read("request_line", size, &mut limits.request_line)?;
    table.read("header_block", size, &mut limits.header_block)?;
    table.read("header_fields", count, &mut limits.header_fields)?;
    table.read("chunk_line", size, &mut limits.chunk_line)?;
    table.read("trailers", size, &mut limits.trailers)?;
    table.read("response_head", size, &mut limits.response_head)?;
    table.read("interim", |item| count(item).map(|count| count as u32), &mut limits.interim)?;
    table.read("inspect", size, &mut limits.inspect)?;
    table.read("connections", count, &mut limits.connections)?;
    table.read("memory", size, &mut limits.memory)?;
    table.read("pool_per_origin", count, &mut limits.pool_per_origin)?;
    table.read("pool_total", count, &mut limits.pool_total)?;
    table.read("pool_idle", Item::timeout, &mut limits.pool_idle)?;
    table.read("leaf_cache", count, &mut limits.leaf_cache)?;
    table.finish()
}

fn timeouts(mut table: Table<'_>, timeouts: &mut Timeouts) -> Result<(), ConfigError> {
    table.read("hello", Item::timeout, &mut timeouts.hello)?;
    table.read("handshake", Item::timeout, &mut timeouts.handshake)?;
    table.read("head", Item::timeout, &mut timeouts.head)?;
    table.read("keep_alive", Item::timeout, &mut timeouts.keep_alive)?;
    table.read("dns", Item::timeout, &mut timeouts.dns)?;
    table.read("connect", Item::timeout, &mut timeouts.connect)?;
    table.read("tls", Item::timeout, &mut timeouts.tls)?;
    table.read("first_byte", Item::timeout, &mut timeouts.first_byte)?;
    table.read("body", Item::timeout, &mut timeouts.body)?;
    table.read("drain", Item::timeout, &mut timeouts.drain)?;
    table.finish()
}

/// What an extra host may be said to be: any provider by the ledger's word, and Vertex, which the ledger calls google.
fn providers() -> Vec<(&'static str, &'static str)> {
    PROVIDERS.iter().map(|provider| (*provider, *provider)).chain([("vertex", "google")]).collect()
}

fn model(mut table: Table<'_>) -> Result<Model, ConfigError> {
    let mut model = Model::default();
    table.read_some("prices", Item::path, &mut model.prices)?;
    for (host, item) in table.table("hosts")?.drain() {
        host_pattern(&item, &host)?;
        model.hosts.push((host, item.one_of(&providers())?));
    }
    for (alias, item) in table.table("aliases")?.drain() {
        model.aliases.push((alias, item.string()?));
    }
    table.finish()?;
    Ok(model)
}

/// Reads a host pattern; the error offers the canonical spelling.
pub(super) fn host_pattern(item: &Item<'_>, text: &str) -> Result<HostPattern, ConfigError> {
    HostPattern::parse(text).map_err(|error| {
        let help = error.suggestion.map(|meant| format!("write \"{meant}\""));
        ConfigError { help, ..item.fail(error.message) }
    })
}
