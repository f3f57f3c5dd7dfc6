//! Model calls: which requests are calls, what they ask, what they answer and cost. Pure; uses `wire` only.

pub mod usage;
