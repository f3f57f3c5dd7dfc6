//! What the ledger can be told: plain data with the documented defaults (`[telemetry]` in the configuration).

use std::path::{Path, PathBuf};

use crate::limits::{Micros, SECOND};

/// Settings of one ledger and of the session that this process is in it.
#[derive(Clone, Debug)]
pub struct LedgerOptions {
    /// The database file; its directory must exist.
    pub path: PathBuf,
    /// The file with the key that secrets are hashed with; made (0600) where there is none.
    pub key_file: PathBuf,
    /// What this process is.
    pub session: SessionInfo,
    /// SQLite's `synchronous` setting.
    pub synchronous: Synchronous,
    /// Events that the queue holds; at least 1, by default [`LedgerOptions::QUEUE`].
    pub queue: usize,
    /// How long the ledger may fail before `on_failure` decides (P34).
    pub patience: Micros,
    /// What becomes of traffic when the ledger has failed for longer than `patience`.
    pub on_failure: OnFailure,
    /// Longest time between an event and its commit while the database works.
    pub commit_every: Micros,
    /// What to do with a file that is no healthy database.
    pub on_corrupt: OnCorrupt,
    /// Whether request and response headers are stored.
    pub headers: bool,
    /// Names of headers whose values are stored in clear, beside the built-in ones.
    pub clear_headers: Vec<String>,
    /// Most bytes of a body that its row holds itself; longer ones go to the table `bodies`.
    pub preview: usize,
    /// When rows are forgotten.
    pub retention: Retention,
}

impl LedgerOptions {
    /// How many events wait for the writer by default, so that short stalls of the database are not felt.
    pub const QUEUE: usize = 65_536;

    /// Bytes of a preview by default.
    pub const PREVIEW: usize = 4 << 10;

    /// The defaults for a state directory: `ledger.db` and `redaction.key` in it.
    pub fn in_dir(state_dir: &Path, session: SessionInfo) -> Self {
        Self {
            path: state_dir.join("ledger.db"),
            key_file: state_dir.join("redaction.key"),
            session,
            synchronous: Synchronous::Normal,
            queue: Self::QUEUE,
            patience: 10 * SECOND,
            on_failure: OnFailure::Refuse,
            commit_every: SECOND / 20,
            on_corrupt: OnCorrupt::SetAside,
            headers: true,
            clear_headers: Vec::new(),
            preview: Self::PREVIEW,
            retention: Retention::default(),
        }
    }
}

/// What a session is called and how it came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionInfo {
    /// A name that the user gave.
    pub name: Option<String>,
    /// `run`: the command with its arguments.
    pub command: Option<Vec<String>>,
    /// Digest of the policy at the start.
    pub policy_digest: String,
}

/// SQLite's `synchronous`: what a power cut may cost. A killed process costs the same with either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// The last commits may be lost, the file stays consistent.
    #[default]
    Normal,
    /// Each commit reaches the disk.
    Full,
}

/// What becomes of traffic when the ledger cannot be written (P34).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// New requests are answered with 503.
    #[default]
    Refuse,
    /// Traffic goes on; losses are counted and the count is written when that is possible again.
    Pass,
}

/// What to do at start with a file that is no healthy database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCorrupt {
    /// Rename it to `….corrupt-<time>`, say so, and begin a new one.
    #[default]
    SetAside,
    /// Do not start.
    Refuse,
}

/// When rows are forgotten; `None` keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Rows that are older go.
    pub age: Option<Micros>,
    /// The oldest rows go while the file is larger than this many bytes.
    pub size: Option<u64>,
}
