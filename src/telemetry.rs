//! Telemetry: events over a bounded queue to one writer thread that owns SQLite, and queries that read it.
//!
//! ```text
//!  reactors --Event--> Sink (bounded queue, ids, health) --> Writer thread --> ledger.db (WAL)
//!                                                             redact, rows       ^
//!                                                             retention          |  read-only connections
//!                                                                              query --> cli, admin, export
//! ```
//!
//! # Layout
//!
//! [`event`] is what the data path says; [`sink`] is the end that reactors hold; [`ledger`] opens and closes;
//! `writer` is the thread; `database` the file it writes to; `rows` turns events into rows; [`redact`] keeps
//! secrets out of them; `retention` forgets old ones; [`query`] reads, [`export`] translates.
//!
//! It refuses to lose silently: what could not be written is counted in the table `dropped`.

mod database;
pub mod event;
pub mod export;
pub mod ledger;
pub mod options;
pub mod query;
pub mod redact;
mod retention;
mod rows;
mod schema;
mod segments;
pub mod sink;
mod sums;
pub mod text;
mod writer;

pub use ledger::{Closed, Ledger, LedgerError};
pub use options::{LedgerOptions, OnCorrupt, OnFailure, Retention, SessionInfo, Synchronous};
pub use sink::{Full, Health, Sink, Trouble};
