//! Configuration: what was typed (`config::file`), and what it means ([`Settings`]).
//!
//! Refuses what it does not know: a key that nothing reads is a mistake, never ignored. Command-line options beat the
//! file ([`Overrides`]), the file beats the defaults, and relative paths begin where the file lies.

mod error;
pub mod file;
pub mod learn;
mod listen;
pub mod policy;
mod server;
mod suggest;
mod telemetry;
pub mod units;
mod upstream;

use std::env;
use std::path::{Path, PathBuf};

use crate::limits::{Limits, Timeouts};

pub use error::ConfigError;
pub use listen::ListenAddress;
pub use telemetry::{Bodies, Otlp, Telemetry};
pub use upstream::{AddressMap, Credentials, HostTrust, MinTls, Upstream, Via};

/// The listener of a `serve` that names none.
pub const DEFAULT_LISTEN: &str = "tcp://127.0.0.1:8080";

/// Everything that `tollgate.toml` and the command line say, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the CA, the ledger and the keys lie.
    pub state_dir: PathBuf,
    /// Listeners, as configured; empty where none is.
    pub listen: Vec<Listen>,
    /// The usage API, metrics and page, where they are wanted.
    pub admin: Option<Admin>,
    /// The policy files.
    pub policy: PolicyFiles,
    /// How origins are reached and trusted.
    pub upstream: Upstream,
    /// How many reactor threads.
    pub reactors: usize,
    /// Bounds on sizes and counts.
    pub limits: Limits,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// The ledger.
    pub telemetry: Telemetry,
    /// What is known about models beyond the built-in tables.
    pub model: Model,
    /// Whether a reload cuts running exchanges that the new policy denies.
    pub reload_cut: bool,
    /// Whether the proxy confines itself after start.
    pub confine: Confine,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: ListenAddress,
    /// Whether each connection begins with a PROXY v2 header that is to be believed.
    pub proxy_header: bool,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where.
    pub address: ListenAddress,
    /// The file with the token that TCP clients show; made at start where there is none.
    pub token_file: PathBuf,
}

/// Paths of the policy files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    /// `user.toml`.
    pub user: Option<PathBuf>,
    /// `corp.toml`.
    pub corp: Option<PathBuf>,
}

/// What is known about models beyond the built-in tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Extra hosts (exact, or `*.suffix`) and the provider whose formats they speak.
    pub hosts: Vec<(String, &'static str)>,
    /// Placeholder model ids and the models that they stand for.
    pub aliases: Vec<(String, String)>,
    /// A price table that goes over the built-in one.
    pub prices: Option<PathBuf>,
}

/// Whether Landlock and seccomp confine the proxy once its listeners are bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confine {
    /// As far as the kernel can.
    #[default]
    Auto,
    /// Both, and Landlock with all that matters (its version 3), or start is refused.
    Require,
    /// Not at all.
    Off,
}

/// What the command line says over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`, in place of every `[[listen]]`.
    pub listen: Vec<ListenAddress>,
    /// `--admin`.
    pub admin: Option<ListenAddress>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--db`.
    pub db: Option<PathBuf>,
    /// `--user-policy`.
    pub user_policy: Option<PathBuf>,
    /// `--corp-policy`.
    pub corp_policy: Option<PathBuf>,
}

impl Settings {
    /// The defaults, with everything that is kept under `state_dir`.
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            telemetry: Telemetry::new(state_dir.join("ledger.db")),
            state_dir,
            listen: Vec::new(),
            admin: None,
            policy: PolicyFiles::default(),
            upstream: Upstream::default(),
            reactors: std::thread::available_parallelism().map_or(1, usize::from),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            model: Model::default(),
            reload_cut: false,
            confine: Confine::Auto,
        }
    }

    /// The listeners of `serve`: those configured, else [`DEFAULT_LISTEN`].
    pub fn listeners(&self) -> Vec<Listen> {
        if !self.listen.is_empty() {
            return self.listen.clone();
        }
        let address = DEFAULT_LISTEN.parse().expect("the constant is an address, as a test shows");
        vec![Listen { address, proxy_header: false }]
    }
}

/// Reads `tollgate.toml` (`None`: all defaults) and puts the command line over it.
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Settings, ConfigError> {
    match path {
        Some(path) => parse(&file::Text::read(path)?, overrides),
        None => parse(&file::Text::new("defaults", ""), overrides),
    }
}

/// As [`load`], from text.
pub fn parse(text: &file::Text, overrides: &Overrides) -> Result<Settings, ConfigError> {
    let mut settings = server::read(text.parse()?, overrides)?;
    let PolicyFiles { user, corp } = &mut settings.policy;
    *user = overrides.user_policy.clone().or(user.take());
    *corp = overrides.corp_policy.clone().or(corp.take());
    if !overrides.listen.is_empty() {
        let listen = |address: &ListenAddress| Listen { address: address.clone(), proxy_header: false };
        settings.listen = overrides.listen.iter().map(listen).collect();
    }
    if let Some(address) = &overrides.admin {
        let token_file = settings.state_dir.join(ADMIN_TOKEN);
        settings.admin.get_or_insert(Admin { address: address.clone(), token_file }).address =
            address.clone();
    }
    if let Some(db) = &overrides.db {
        settings.telemetry.db.clone_from(db);
    }
    Ok(settings)
}

/// The name of the admin token's file under the state directory.
const ADMIN_TOKEN: &str = "admin.token";

/// Where state is kept when nobody says: `$XDG_STATE_HOME/tollgate`, else `/var/lib/tollgate` for root, else
/// `$HOME/.local/state/tollgate`.
pub fn default_state_dir() -> Result<PathBuf, ConfigError> {
    // A relative XDG_STATE_HOME is to be ignored (XDG Base Directory specification).
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(state) = absolute("XDG_STATE_HOME") {
        return Ok(state.join("tollgate"));
    }
    if nix::unistd::geteuid().is_root() {
        return Ok("/var/lib/tollgate".into());
    }
    match absolute("HOME") {
        Some(home) => Ok(home.join(".local/state/tollgate")),
        None => Err(ConfigError::new("state_dir", "neither XDG_STATE_HOME nor HOME is set")
            .help("give --state-dir, or state_dir in tollgate.toml")),
    }
}
