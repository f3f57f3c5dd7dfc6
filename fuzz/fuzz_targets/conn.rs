//! Whatever a guest and an origin send, and whenever they leave: the connection ends in time, holds little, records
//! each exchange once, and origins read nothing but requests.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tollgate::lab::storm::weather(bytes));
