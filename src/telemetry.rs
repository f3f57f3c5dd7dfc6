//! Telemetry: events over a bounded channel to one writer thread that owns SQLite, and queries that read it.

pub mod event;
