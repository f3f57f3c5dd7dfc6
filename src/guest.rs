//! Guests: how a process that knows nothing of proxies is captured, on this machine or in a VM.
//!
//! ```text
//!   process --tcp, dns--> netfilter redirect --> relay --PROXY v2 + bytes--> unix://… or vsock://… --> reactor
//! ```
//!
//! [`relay`] carries, [`identify`] says which process holds a socket, [`redirect`] writes the netfilter rules, [`jail`]
//! builds namespaces in which the relay is the only way out, and takes from a jailed process the system calls that lead
//! past them (`crate::confine`). Refuses to run anything whose capture was not proved ([`probe`]).

pub mod identify;
pub mod jail;
pub mod netlink;
pub mod probe;
pub mod redirect;
pub mod relay;
