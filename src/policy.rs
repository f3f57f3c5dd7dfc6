//! Policy: may it connect, may it talk to this host, may it make this request. Pure.
//!
//! Uses nothing of ours and no `std::{net,fs,thread,time,process}` (addresses come from `core::net`).
//! Refuses by default; every answer names the rule and the layer that decided.

pub mod address;
pub mod explain;
pub mod host;
pub mod http;
pub mod path;
