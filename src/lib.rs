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
//!   timers)                   handshake, request,     and response
//!                             dial, stream, tunnel,     |   |   |
//!                             drain, dns                |   |   +-- policy  (pure: host, then method + path -> verdict)
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
//! 1. [`limits`]: every deadline and bound. 2. [`wire`]: the formats, pure. 3. [`policy`]: the questions and their
//!    verdicts, pure. 4. [`model`]: what a model call is, pure. 5. [`leg`]: one byte pipe, plain or TLS.
//!    6. [`exchange`]: one request with its response. 7. [`conn`]: one guest connection. 8. [`reactor`]: sockets,
//!    timers, threads. 9. [`telemetry`]: the ledger. 10. [`service`]: from settings to a running proxy.
//!    Around them: [`cert`], [`upstream`], [`guest`], [`confine`], [`admin`], [`config`], [`cli`], [`demo`], [`lab`].
//!
//! # Import rules (kept by `tests/rules.rs`)
//!
//! 1. `limits`, `wire`, `policy` and `leg` use nothing of ours; `model` uses `wire`. `wire`, `policy` and `model` name
//!    no `std::{net,fs,thread,time,process}`.
//! 2. `exchange` uses wire, model, policy, `telemetry::event`, limits. `conn` uses leg, exchange, wire, policy, cert,
//!    `telemetry::event`, limits, and `model::ModelTable`, which it carries to the exchange.
//! 3. Neither `conn` nor `exchange` touches mio, sockets, threads, channels, clocks, files or SQLite.
//! 4. `cert`, `upstream`, `telemetry`, `guest` never use `conn`, `exchange`, `reactor` or each other; `config` uses none
//!    of `conn`, `exchange`, `reactor`, `leg`. Nothing uses `cli`; only `cli` uses `demo`, only tests use `lab`.
//! 5. One door per dependency: see `ARCHITECTURE.md`. TLS connections are made in `leg` (and by `demo`).
//! 6. Clocks are read in `reactor` and `telemetry::writer`, by `guest::relay`, `cli` and `demo`; nowhere else.

pub mod admin;
pub mod cert;
pub mod cli;
pub mod config;
pub mod confine;
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
