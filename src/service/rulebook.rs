//! The policy in force with what was written for it, and the one way to read it anew.
//!
//! All or nothing: a policy that cannot be read leaves the last good one in force.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::policy::LoadedPolicy;
use crate::config::{self, ConfigError, PolicyFiles, Settings};
use crate::reactor::shared::Shared;

/// The policy of a running proxy; shared by whoever may reload or show it.
pub struct Rulebook {
    files: PolicyFiles,
    /// Whether connections that a new policy denies are cut.
    cut: bool,
    shared: Arc<Shared>,
    loaded: Mutex<Arc<LoadedPolicy>>,
}

/// Reads the policy files; what is worth a word goes to `notice`.
pub fn load(files: &PolicyFiles, notice: &mut dyn FnMut(&str)) -> Result<LoadedPolicy, ConfigError> {
    let loaded = config::policy::load(files.user.as_deref(), files.corp.as_deref())?;
    loaded.notices.iter().for_each(|line| notice(line));
    Ok(loaded)
}

impl Rulebook {
    /// For a proxy that was given `loaded` when it started.
    pub fn new(settings: &Settings, shared: Arc<Shared>, loaded: LoadedPolicy) -> Self {
        let (files, cut) = (settings.policy.clone(), settings.reload_cut);
        Self { files, cut, shared, loaded: Mutex::new(Arc::new(loaded)) }
    }

    /// What is in force.
    pub fn loaded(&self) -> Arc<LoadedPolicy> {
        Arc::clone(&self.loaded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again and puts them into force.
    pub fn reload(&self, notice: &mut dyn FnMut(&str)) -> Result<Arc<LoadedPolicy>, ConfigError> {
        // Held all the while: of two reloads at once, the one that read last has the last word.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        *loaded = Arc::new(load(&self.files, notice)?);
        self.shared.set_policy(Arc::new(loaded.policy.clone()), self.cut);
        Ok(Arc::clone(&loaded))
    }
}
