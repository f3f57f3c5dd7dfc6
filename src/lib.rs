//! Tollgate: an egress proxy for AI agents and other sandboxed guests.
//!
//! # The map
//!
//! ```text
//!  guest                                                                        origin
//!    |  bytes                                                                     ^  bytes
//!    v                                                                            |
//!  reactor --> Leg(guest) --> connection machine --> Exchange --> Leg(origin) --> reactor
//!  (mio, fds,  TLS server     greet, hello,           one request   TLS client    (same loop)
//!   timers)                   handshake, serve,       and response
//!                             tunnel, drain             |   |   |
//!                                                       |   |   +-- policy  (pure: host, then method + path -> verdict)
//!                                                       |   +------ wire    (pure: hello, head, body, coding, sse, ws, json)
//!                                                       +---------- model   (pure: provider, usage meter, price)
//!  reactor <-- Answer -- upstream (resolver, pool)      Exchange --Event--> telemetry (bounded channel -> writer -> SQLite)
//!                                                       admin (usage API, metrics, page) reads SQLite and counters
//! ```
//!
//! Data moves one way: bytes in -> machine -> bytes out; requests to the world ([`conn::Ask`]) go out,
//! answers ([`conn::Answer`]) come in. Nothing below the reactor owns a socket, reads a clock or blocks.
//!
//! # Reading order
//!
//! 1. [`wire`]: the formats, pure. 2. [`policy`]: the questions and their verdicts, pure. 3. [`model`]: what a
//!    model call is, pure. 4. [`leg`]: one byte pipe, plain or TLS. 5. [`exchange`]: one request with its
//!    response. 6. [`conn`]: one guest connection. 7. [`reactor`]: sockets, timers, threads. 8. [`telemetry`].
//!    Around them: [`cert`], [`upstream`], [`guest`], [`admin`], [`config`], [`cli`], [`demo`], [`lab`].
//!
//! # Import rules (kept by `tests/rules.rs`)
//!
//! 1. `wire` and `policy` use nothing of ours and no `std::{net,fs,thread,time,process}`; `model` uses `wire`.
//! 2. `leg` uses rustls and nothing of ours. `exchange` uses wire, model, policy, `telemetry::event`, limits.
//!    `conn` uses leg, exchange, wire, policy, cert, `telemetry::event`, limits.
//! 3. Neither `conn` nor `exchange` touches mio, sockets, threads, channels, clocks or SQLite.
//! 4. `cert`, `upstream`, `telemetry`, `guest` never use `conn` or each other. Nothing uses `cli`.
//! 5. One door per dependency: see `ARCHITECTURE.md`.
//! 6. Clocks are read in `reactor` and `telemetry::writer` only.

pub mod admin;
pub mod cert;
pub mod cli;
pub mod config;
pub mod conn;
pub mod demo;
pub mod exchange;
pub mod guest;
pub mod lab;
pub mod leg;
pub mod limits;
pub mod model;
pub mod policy;
pub mod reactor;
pub mod service;
pub mod telemetry;
pub mod upstream;
pub mod wire;
