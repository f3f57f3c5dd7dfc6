//! The policy in force with what was written for it, and the one way to read it anew.
//!
//! All or nothing: a policy that cannot be read leaves the last good one in force.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::policy::LoadedPolicy;
use crate::config::{self, ConfigError, PolicyFiles, Settings};
use crate::reactor::shared::Shared;
use crate::telemetry::Sink;
use crate::telemetry::event::{Event, PolicyEvent};

/// The policy of a running proxy; shared by whoever may reload or show it.
pub struct Rulebook {
    files: PolicyFiles,
    /// Whether connections that a new policy denies are cut.
    cut: bool,
    shared: Arc<Shared>,
    force: Mutex<Force>,
}

/// What is in force, and the way to write that down.
struct Force {
    loaded: Arc<LoadedPolicy>,
    sink: Sink,
}

/// Reads the policy files; what is worth a word goes to `notice`.
pub fn load(files: &PolicyFiles, notice: &mut dyn FnMut(&str)) -> Result<LoadedPolicy, ConfigError> {
    let loaded = config::policy::load(files.user.as_deref(), files.corp.as_deref())?;
    loaded.notices.iter().for_each(|line| notice(line));
    Ok(loaded)
}

impl Rulebook {
    /// For a proxy that was given `loaded` when it started.
    pub fn new(settings: &Settings, shared: Arc<Shared>, sink: Sink, loaded: LoadedPolicy) -> Self {
        let (files, cut) = (settings.policy.clone(), settings.reload_cut);
        let force = Force { loaded: Arc::new(loaded), sink };
        force.record(shared.now().wall);
        Self { files, cut, shared, force: Mutex::new(force) }
    }

    /// What is in force.
    pub fn loaded(&self) -> Arc<LoadedPolicy> {
        Arc::clone(&self.force().loaded)
    }

    /// Reads the files again and puts them into force.
    pub fn reload(&self, notice: &mut dyn FnMut(&str)) -> Result<Arc<LoadedPolicy>, ConfigError> {
        // Held all the while: of two reloads at once, the one that read last has the last word.
        let mut force = self.force();
        force.loaded = Arc::new(load(&self.files, notice)?);
        let at = self.shared.now().wall;
        self.shared.set_policy(Arc::new(force.loaded.policy.clone()), self.cut);
        force.record(at);
        Ok(Arc::clone(&force.loaded))
    }

    fn force(&self) -> MutexGuard<'_, Force> {
        self.force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Force {
    fn record(&self, at: i64) {
        let event = Event::Policy(PolicyEvent { at, digest: self.loaded.policy.digest().into() });
        if let Err(full) = self.sink.try_send(event) {
            self.sink.count_lost(&full.0);
        }
    }
}
