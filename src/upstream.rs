//! The way to origins: names to addresses, addresses to connections, connections kept, and whom to trust at
//! the end.
//!
//! - [`resolve`]: names to addresses on threads of its own; cached, coalesced, bounded (P7, P8, P26).
//! - [`race`]: in which order and rhythm to try several addresses (RFC 8305).
//! - [`via`]: CONNECT through a corporate proxy.
//! - [`own`]: our own listeners, which are no origins (P13).
//! - [`trust`]: TLS client configurations; verification cannot be turned off (P28).
//! - [`pool`]: idle origin connections, keyed by everything that makes them different.
//!
//! All but the resolver's threads, the reading of trust files and [`own`]'s question to the kernel is pure: no socket, no
//! clock.

pub mod own;
pub mod pool;
pub mod race;
pub mod resolve;
pub mod trust;
pub mod via;
