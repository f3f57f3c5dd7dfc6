//! Certificates that guests see: the authority, the leaves it signs, and the bundles that make tools trust
//! it.
//!
//! - [`authority`]: the CA on disk, opened or made, checked before it is used.
//! - [`facts`]: what a certificate says about itself (the only user of `x509-parser`).
//! - [`mint`]: signing (the only user of `rcgen`).
//! - [`server`]: a TLS server configuration for each host, from a bounded cache.
//! - [`bundle`]: system roots and ours in one PEM file, merged with what a user already had.
//! - [`environment`]: the variables and files by which each runtime is told to trust that bundle.
//!
//! It refuses to use a CA that others can read, that has expired, that is no CA or does not fit its key. It
//! never reads a clock: the wall clock comes in as an argument, in Unix microseconds.

pub mod authority;
pub mod bundle;
mod cache;
pub mod environment;
pub mod facts;
mod file;
mod mint;
pub mod server;
mod truststore;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use authority::Authority;
pub use bundle::Bundle;
pub use facts::Facts;
pub use server::{MintOptions, Minter};

/// Why a certificate, key or bundle cannot be had. Its text says what to do where something can be done.
#[derive(Debug)]
pub enum CertError {
    /// The file system refused.
    Io {
        /// What was tried: `read`, `write`, …
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The CA key can be read or written by others than its owner.
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is a CA already, and it is never overwritten.
    Exists(PathBuf),
    /// Some part of the CA is missing.
    Missing(PathBuf),
    /// The certificate or key cannot serve as a CA; the text says why.
    Unusable(&'static str),
    /// The CA's validity ended at this Unix second.
    Expired(i64),
    /// The CA's validity begins at this Unix second: either clock or file is wrong.
    NotYetValid(i64),
    /// The cryptographic library refused; its own words.
    Crypto(String),
}

impl CertError {
    /// For `map_err` at a file operation.
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

impl fmt::Display for CertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Self::Exposed { path, mode } => write!(
                f,
                "{0} has mode {mode:04o}: whoever else reads it can impersonate every site; run `chmod 600 {0}`",
                path.display()
            ),
            Self::Exists(path) => write!(f, "{} exists already; a CA is never overwritten", path.display()),
            Self::Missing(path) => {
                write!(f, "{} does not exist; `tollgate ca init` makes a CA", path.display())
            }
            Self::Unusable(why) => write!(f, "the CA cannot be used: {why}"),
            Self::Expired(at) => write!(f, "the CA expired on {}", facts::date(*at)),
            Self::NotYetValid(at) => {
                write!(f, "the CA is not valid before {}; check this machine's clock", facts::date(*at))
            }
            Self::Crypto(why) => write!(f, "certificate: {why}"),
        }
    }
}

impl std::error::Error for CertError {}
