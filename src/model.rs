//! Model calls: which requests are calls, what they ask, what they answer and cost. Pure; uses `wire` only.

pub mod detect;
pub mod price;
pub mod refusal;
pub mod request;
pub mod usage;

pub use detect::{Api, Detected, ModelTable, Query, detect};
