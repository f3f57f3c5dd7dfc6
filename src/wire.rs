//! Pure wire formats: bytes in, facts out. No sockets, clocks, threads or files; nothing of ours outside `wire`.
//!
//! Every parser here takes input cut anywhere, says "partial" without an error, holds bounded state, and never
//! panics on any bytes (P1 to P3). Each has a fuzz target.

pub mod body;
pub mod coding;
pub mod date;
pub mod dns;
pub mod eventstream;
pub mod head;
pub mod hello;
pub mod json;
pub mod ndjson;
pub mod proxy_header;
pub mod socks;
pub mod sse;
pub mod websocket;
