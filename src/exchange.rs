//! (to be written)

pub mod tap;
