//! From settings to a running proxy: opens the ledger, the CA, trust and policy, binds the listeners, starts the
//! reactors. What cannot be opened or verified is an error that says what to do; nothing starts half (fail closed).

mod confinement;
mod rulebook;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::admin::{self, Admin};
use crate::cert::{Authority, MintOptions, Minter, bundle};
use crate::config::{self, ConfigError, Settings};
use crate::confine::Confinement;
use crate::conn::World;
use crate::exchange::Tariff;
use crate::limits::Micros;
use crate::model::ModelTable;
use crate::model::price::PriceTable;
use crate::reactor::mailbox::Mail;
use crate::reactor::server::{Bound, Server};
use crate::reactor::shared::Shared;
use crate::reactor::wall_clock;
use crate::telemetry::export::otlp::Names;
use crate::telemetry::export::{Endpoint, Exporter, Live};
use crate::telemetry::{Closed, Ledger, LedgerOptions, Retention, SessionInfo};
use crate::upstream::own::Own;
use crate::upstream::resolve::{ResolveError, ResolveOptions, Resolver};
use crate::upstream::trust::Trust;
use crate::upstream::via::ViaOptions;

pub use rulebook::Rulebook;

/// Why a proxy cannot start.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

fn failed(what: impl fmt::Display) -> StartError {
    StartError(what.to_string())
}

/// What a session is called and what it runs.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// A name that the user gave.
    pub name: Option<String>,
    /// `run`: the command with its arguments.
    pub command: Option<Vec<String>>,
}

/// A running proxy with everything that belongs to it.
pub struct Service {
    settings: Settings,
    server: Server,
    ledger: Ledger,
    /// Export to a collector, where one is configured.
    live: Option<Live>,
    rulebook: Arc<Rulebook>,
    admin: Option<Admin>,
    /// What this process gave up, where that was wanted.
    confinement: Option<Confinement>,
    /// Where it listens.
    names: Vec<String>,
}

impl Service {
    /// Starts a proxy. Notices for the operator (ignored fields of the user's policy, …) go to `notice`.
    pub fn start(
        settings: Settings,
        identity: Identity,
        notice: &mut dyn FnMut(&str),
    ) -> Result<Self, StartError> {
        let loaded = rulebook::load(&settings.policy, notice).map_err(failed)?;
        make_state_dir(&settings)?;
        let authority = Authority::open_or_create(&settings.state_dir, wall_clock()).map_err(failed)?;
        write_bundle(&settings, &authority)?;
        let options = MintOptions { cache: settings.limits.leaf_cache };
        let minter = Minter::new(authority, &options).map_err(failed)?;
        let bound = Bound::new(&settings.listen).map_err(|error| {
            failed(format!("cannot listen on {}: {}: choose another address", error.address, error.error))
        })?;
        let admin = settings.admin.as_ref().map(|admin| bind_admin(admin, notice)).transpose()?;
        let mut own = bound.tcp_addresses();
        own.extend(admin.as_ref().and_then(admin::Bound::tcp_address));
        let policy = Arc::new(loaded.policy.clone());
        let models = Arc::new(model_table(&settings));
        let world = World {
            limits: settings.limits.clone(),
            timeouts: settings.timeouts.clone(),
            minter: Arc::new(minter),
            policy: Arc::clone(&policy),
            pricing: Arc::new(Tariff { prices: price_table(&settings)?, models: Arc::clone(&models) }),
            models,
            keep_headers: settings.telemetry.headers,
            keep_bodies: settings.telemetry.kept_of_bodies(),
        };
        let ports = own.iter().map(std::net::SocketAddr::port).collect();
        let shared = share(world, Own::new(own), &settings)?;
        let confinement = confinement::confine(&settings, ports, notice)?; // all is open, and no thread runs yet
        let ledger = Ledger::open(ledger_options(&settings, identity, policy.digest())).map_err(failed)?;
        let server = bound
            .serve(settings.reactors, Arc::clone(&shared), || ledger.sender())
            .map_err(|error| failed(format!("cannot start the reactors: {error}")))?;
        let live = export_live(&settings)?;
        let rulebook = Arc::new(Rulebook::new(&settings, shared, ledger.sender(), loaded));
        let names = server.names().to_vec();
        let mut service = Self { names, settings, server, ledger, live, rulebook, admin: None, confinement };
        if let Some(admin) = admin {
            service.serve_admin(admin)?;
        }
        Ok(service)
    }

    fn serve_admin(&mut self, bound: admin::Bound) -> Result<(), StartError> {
        self.names.push(bound.name().to_owned());
        let context = admin::Context {
            session: self.ledger.session_id().to_owned(),
            ledger: self.settings.telemetry.db.clone(),
            shared: Arc::clone(self.server.shared()),
            sink: self.ledger.sender(),
            rulebook: Arc::clone(&self.rulebook),
        };
        let failed = |error| failed(format!("cannot start the admin listener: {error}"));
        self.admin = Some(bound.serve(context).map_err(failed)?);
        Ok(())
    }

    /// The addresses that accept connections now; the admin listener's is the last.
    pub fn listening(&self) -> &[String] {
        &self.names
    }

    /// Settings that it runs with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What this process gave up; `None` where the settings say that it keeps everything.
    pub fn confinement(&self) -> Option<&Confinement> {
        self.confinement.as_ref()
    }

    /// The id of this session in the ledger.
    pub fn session_id(&self) -> &str {
        self.ledger.session_id()
    }

    /// Reads the policy files again: all or nothing; on an error the last good policy stays in force.
    pub fn reload(&self, notice: &mut dyn FnMut(&str)) -> Result<(), ConfigError> {
        self.rulebook.reload(notice).map(drop)
    }

    /// No new connections; running exchanges may end within the grace period.
    pub fn drain(&self) {
        self.admin.iter().for_each(Admin::drain);
        self.server.drain();
    }

    /// Ends everything now.
    pub fn cut(&self) {
        self.server.cut();
    }

    /// Whether the reactors have ended.
    pub fn has_ended(&self) -> bool {
        self.server.has_ended()
    }

    /// Waits for the reactors, then writes out what the ledger still holds.
    pub fn finish(self) -> Result<Closed, StartError> {
        self.server.join().map_err(failed)?;
        if let Some(admin) = self.admin {
            admin.stop();
        }
        let closed = self.ledger.close(FLUSH);
        if let Some(live) = self.live {
            live.stop();
        }
        Ok(closed)
    }
}

/// How long the ledger may take to write out its queue at the end.
const FLUSH: Micros = 10_000_000;

/// Begins to export to the collector; one that is away is tried again, and the ledger keeps what it has not got.
fn export_live(settings: &Settings) -> Result<Option<Live>, StartError> {
    let Some(otlp) = &settings.telemetry.otlp else { return Ok(None) };
    let telemetry = &settings.telemetry;
    let exporter =
        exporter(&settings.upstream, &telemetry.db, "live", otlp.endpoint.clone(), Names::Released)?;
    exporter.spawn(Duration::from_micros(otlp.interval)).map(Some).map_err(failed)
}

/// An exporter of a ledger. A collector that is reached by TLS is trusted as an origin of its name would be.
pub fn exporter(
    upstream: &config::Upstream,
    ledger: &Path,
    cursor: &str,
    endpoint: Endpoint,
    names: Names,
) -> Result<Exporter, StartError> {
    let trust = endpoint.is_secure().then(|| Trust::new(upstream)).transpose().map_err(failed)?;
    let tls = trust.map(|trust| trust.client_config(endpoint.host()));
    Ok(Exporter::new(ledger, cursor, endpoint, tls, names))
}

fn bind_admin(settings: &config::Admin, notice: &mut dyn FnMut(&str)) -> Result<admin::Bound, StartError> {
    let bound = admin::Bound::new(settings)
        .map_err(|error| failed(format!("cannot serve the admin API on {}: {error}", settings.address)))?;
    notice(&bound.invitation());
    Ok(bound)
}

fn make_state_dir(settings: &Settings) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = &settings.state_dir;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| failed(format!("cannot make the state directory {}: {error}", dir.display())))
}

fn write_bundle(settings: &Settings, authority: &Authority) -> Result<(), StartError> {
    bundle::write(&settings.state_dir, authority.cert_pem()).map(drop).map_err(failed)
}

/// The operator's hosts and aliases.
pub fn model_table(settings: &Settings) -> ModelTable {
    ModelTable { hosts: settings.model.hosts.clone(), aliases: settings.model.aliases.clone() }
}

/// The built-in prices, with the operator's own table over them.
pub fn price_table(settings: &Settings) -> Result<PriceTable, StartError> {
    let Some(path) = &settings.model.prices else { return Ok(PriceTable::built_in().clone()) };
    let text =
        std::fs::read_to_string(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    PriceTable::with(&text).map_err(|error| failed(format!("{}: {error}", path.display())))
}

fn share(world: World, own: Own, settings: &Settings) -> Result<Arc<Shared>, StartError> {
    let trust = Trust::new(&settings.upstream).map_err(failed)?;
    let via = via_options(&settings.upstream)?;
    let home: Arc<OnceLock<std::sync::Weak<Shared>>> = Arc::default();
    let deliver_to = Arc::clone(&home);
    let resolver = Resolver::new(
        ResolveOptions::default(),
        Box::new(move |ticket, answer| {
            if let Some(shared) = deliver_to.get().and_then(std::sync::Weak::upgrade) {
                let result = answer.map_err(ResolveError::as_str);
                shared.post(usize::from(ticket.reactor), Mail::Resolved { token: ticket.token, result });
            }
        }),
    );
    let shared = Arc::new(Shared::new(world, resolver, trust, via, own, settings.upstream.map.clone()));
    let fresh = home.set(Arc::downgrade(&shared)).is_ok();
    debug_assert!(fresh, "set once, here");
    Ok(shared)
}

fn via_options(upstream: &config::Upstream) -> Result<Option<ViaOptions>, StartError> {
    let no_proxy = || upstream.no_proxy.iter().map(String::as_str);
    upstream.via.as_ref().map(|via| ViaOptions::new(via, no_proxy()).map_err(failed)).transpose()
}

fn ledger_options(settings: &Settings, identity: Identity, digest: &str) -> LedgerOptions {
    let telemetry = &settings.telemetry;
    let session =
        SessionInfo { name: identity.name, command: identity.command, policy_digest: digest.to_owned() };
    LedgerOptions {
        path: telemetry.db.clone(),
        synchronous: telemetry.synchronous,
        queue: telemetry.queue,
        patience: telemetry.patience,
        on_failure: telemetry.on_failure,
        headers: telemetry.headers,
        preview: telemetry.preview_limit,
        retention: Retention { age: telemetry.retain_age, size: telemetry.retain_size },
        ..LedgerOptions::in_dir(&settings.state_dir, session)
    }
}
