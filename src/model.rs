//! Model calls: which requests are calls, what they ask, what they answer and cost. Pure; uses `wire` only.
//!
//! Reading order: [`mod@detect`] says which requests are calls; [`request`] reads what they ask; [`meter`] reads what is
//! answered, one static table of places per wire format; [`failure`] reads the bodies of failed calls; [`refusal`]
//! writes the bodies of answers that are ours; [`websocket`] reads sockets with many runs;
//! [`usage`] is what comes out, [`price`] what it costs.

pub mod api;
pub mod detect;
pub mod failure;
pub mod meter;
pub mod price;
pub mod refusal;
pub mod request;
pub mod usage;
pub mod websocket;

pub use api::Api;
pub use detect::{Detected, ModelTable, Query, detect};
