//! `[telemetry]`: the ledger and what goes on from it.

use std::path::PathBuf;

use super::ConfigError;
use super::file::{Item, Table};
use crate::limits::{Micros, SECOND};
use crate::telemetry::export::Endpoint;
use crate::telemetry::{OnFailure, Synchronous};

/// The ledger's settings (DESIGN §8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The SQLite file.
    pub db: PathBuf,
    /// How long traffic waits for a writer that does not keep up.
    pub patience: Micros,
    /// What happens after that.
    pub on_failure: OnFailure,
    /// SQLite's `synchronous`.
    pub synchronous: Synchronous,
    /// How many events the channel to the writer holds.
    pub queue: usize,
    /// Whether header fields are recorded (secrets always hashed).
    pub headers: bool,
    /// Whether bodies are recorded.
    pub bodies: Bodies,
    /// Most bytes of a body in a preview.
    pub preview_limit: usize,
    /// Most bytes of a body that is recorded in full.
    pub full_limit: usize,
    /// Rows older than this are deleted; `None`: never.
    pub retain_age: Option<Micros>,
    /// The oldest rows are deleted once the file is larger than this; `None`: never.
    pub retain_size: Option<u64>,
    /// Live export.
    pub otlp: Option<Otlp>,
}

/// How much of the bodies is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bodies {
    /// Nothing.
    #[default]
    Off,
    /// The first bytes ([`Telemetry::preview_limit`]), secrets hashed.
    Preview,
    /// Up to [`Telemetry::full_limit`], secrets hashed.
    Full,
}

/// `[telemetry.otlp]`: live export by OTLP/HTTP JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// The collector, with header fields for it.
    pub endpoint: Endpoint,
    /// How often a batch goes out.
    pub interval: Micros,
}

/// The most that previews and bodies can be set to.
const PREVIEW_MOST: u64 = 64 << 10;
const FULL_MOST: u64 = 1 << 20;

/// The least capacity of the channel to the writer (DESIGN §9).
const QUEUE: u64 = 65_536;

impl Telemetry {
    /// The defaults, with the ledger in this file.
    pub fn new(db: PathBuf) -> Self {
        Self {
            db,
            patience: 10 * SECOND,
            on_failure: OnFailure::Refuse,
            synchronous: Synchronous::Normal,
            queue: QUEUE as usize,
            headers: true,
            bodies: Bodies::Off,
            preview_limit: 4 << 10,
            full_limit: 256 << 10,
            retain_age: None,
            retain_size: None,
            otlp: None,
        }
    }

    /// Most bytes of a body that are recorded.
    pub fn kept_of_bodies(&self) -> usize {
        match self.bodies {
            Bodies::Off => 0,
            Bodies::Preview => self.preview_limit,
            Bodies::Full => self.full_limit.max(self.preview_limit),
        }
    }

    pub(super) fn read(&mut self, mut table: Table<'_>) -> Result<(), ConfigError> {
        let on_failure = [("refuse", OnFailure::Refuse), ("pass", OnFailure::Pass)];
        let synchronous = [("normal", Synchronous::Normal), ("full", Synchronous::Full)];
        let bodies = [("off", Bodies::Off), ("preview", Bodies::Preview), ("full", Bodies::Full)];
        table.read("db", Item::path, &mut self.db)?;
        table.read("patience", Item::duration, &mut self.patience)?;
        table.read("on_failure", |item| item.one_of(&on_failure), &mut self.on_failure)?;
        table.read("synchronous", |item| item.one_of(&synchronous), &mut self.synchronous)?;
        table.read("queue", |item| Ok(item.number(QUEUE..=1 << 24)? as usize), &mut self.queue)?;
        table.read("headers", |item| item.one_of(&[("on", true), ("off", false)]), &mut self.headers)?;
        table.read("bodies", |item| item.one_of(&bodies), &mut self.bodies)?;
        table.read("preview_limit", |item| item.size_up_to(PREVIEW_MOST), &mut self.preview_limit)?;
        table.read("full_limit", |item| item.size_up_to(FULL_MOST), &mut self.full_limit)?;
        let mut retention = table.table("retention")?;
        retention.read_some("age", Item::timeout, &mut self.retain_age)?;
        retention.read_some("size", Item::size, &mut self.retain_size)?;
        retention.finish()?;
        if let Some(item) = table.take("otlp") {
            self.otlp = Some(otlp(item.table()?)?);
        }
        table.finish()
    }
}

fn otlp(mut table: Table<'_>) -> Result<Otlp, ConfigError> {
    let Some(item) = table.take("endpoint") else {
        return Err(table
            .fail("[telemetry.otlp] without an endpoint")
            .help("add endpoint = \"http://127.0.0.1:4318\""));
    };
    let endpoint = Endpoint::parse(item.str()?).map_err(|why| item.fail(&why))?;
    let mut otlp = Otlp { endpoint, interval: 5 * SECOND };
    for (name, item) in table.table("headers")?.drain() {
        let with = otlp.endpoint.with_header(&name, item.str()?);
        otlp.endpoint = with.map_err(|why| item.fail(&why))?;
    }
    table.read("interval", Item::timeout, &mut otlp.interval)?;
    table.finish()?;
    Ok(otlp)
}
