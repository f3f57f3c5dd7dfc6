//! `user.toml` and `corp.toml`: read, merged, checked against their own samples, compiled.
//!
//! Fails closed (LESSONS 21): a file that cannot be read, parsed or understood, or that fails its own samples, gives
//! an error that names the place, never a policy without that file.

mod digest;
pub mod document;
mod lint;
mod merge;
mod read;
mod sample;
mod target;

use std::path::Path;

use super::error::ConfigError;
use super::file::Text;
use crate::policy::draft::{Draft, Layer};
use crate::policy::{Allow, Policy, Why};

pub use target::Target;

/// A policy that may be put into force, with what there is to say about it.
#[derive(Clone, Debug)]
pub struct LoadedPolicy {
    /// The evaluator.
    pub policy: Policy,
    /// What was written, merged.
    pub draft: Draft,
    /// What the user wrote and corp's file overrules.
    pub ignored: Vec<Ignored>,
    /// The samples, all of them kept.
    pub samples: Vec<Sample>,
    /// What is worth a word but no reason to refuse: for the log at start and reload, and for `policy check`.
    pub notices: Vec<String>,
}

/// A field of the user's that corp's file overrules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// `network.ports`.
    pub key: &'static str,
    /// Where the user wrote it.
    pub place: String,
    /// Where corp did.
    pub by: String,
}

/// A sample and how the merged policy judges it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The request.
    pub target: Target,
    /// What the file says should happen.
    pub expected: Allow,
    /// Whose file.
    pub layer: Layer,
    /// `user.toml:12`.
    pub place: String,
    /// What happens.
    pub verdict: Allow,
    /// Which rule decides.
    pub why: Why,
}

/// Reads, merges and checks the policy files; a path that is `None` is a file that is not there.
pub fn load(user: Option<&Path>, corp: Option<&Path>) -> Result<LoadedPolicy, ConfigError> {
    let user = user.map(Text::read).transpose()?;
    let corp = corp.map(Text::read).transpose()?;
    from_text(user.as_ref(), corp.as_ref())
}

/// As [`load`], from text.
pub fn from_text(user: Option<&Text>, corp: Option<&Text>) -> Result<LoadedPolicy, ConfigError> {
    let corp = corp.map(|text| read::file(text, Layer::Corp)).transpose()?;
    let user = user.map(|text| read::file(text, Layer::User)).transpose()?;
    for file in corp.iter().chain(&user) {
        lint::shadowed(file)?;
    }
    let samples: Vec<_> = corp.iter().chain(&user).flat_map(|file| file.samples.clone()).collect();
    let merge::Merged { draft, ignored } = merge::merge(user, corp);
    let policy = Policy::compile(draft.clone(), &digest::of(&draft));
    let mut notices = lint::notices(&draft, &ignored);
    let samples = sample::check(&policy, samples, &mut notices)?;
    Ok(LoadedPolicy { policy, draft, ignored, samples, notices })
}
