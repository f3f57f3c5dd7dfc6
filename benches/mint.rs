//! What a certificate costs: a minted leaf with its configuration, a cached one, and the memory of many names (P4).
//!
//! `cargo bench --bench mint [NAMES]`. CPU time of this thread from `/proc/thread-self/schedstat`, so that other work on
//! the machine does not count (LESSONS 47).

use std::hint::black_box;

use tollgate::cert::{Authority, MintOptions, Minter};
use tollgate::policy::host::Host;
use tollgate::reactor::wall_clock;

fn main() {
    let names: usize = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(100_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let now = wall_clock();
    let authority = Authority::open_or_create(dir.path(), now).expect("a fresh CA");
    let minter = Minter::new(authority, &MintOptions::default()).expect("a minter");
    let host = |n: usize| Host::parse(format!("host-{n}.example.com").as_bytes()).expect("a host name");
    let serve = |host: &Host| black_box(minter.server_config(host, now).expect("a configuration"));

    serve(&host(names));
    let memory = resident();
    let minted = cpu_nanos(|| (0..names).for_each(|n| drop(serve(&host(n)))));
    let grown = resident().saturating_sub(memory);
    let one = host(names - 1);
    let cached = cpu_nanos(|| (0..names).for_each(|_| drop(serve(&one))));

    println!("minted  {:>9.1} us a leaf", minted as f64 / names as f64 / 1e3);
    println!("cached  {:>9.1} ns a configuration", cached as f64 / names as f64);
    println!("memory  {:>9} KiB more after {names} names", grown / 1024);
}

/// CPU time that this thread spends on some work.
fn cpu_nanos(work: impl FnOnce()) -> u64 {
    let before = thread_cpu();
    work();
    thread_cpu() - before
}

fn thread_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("its first field is CPU time")
}

/// Resident memory of the process in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4096
}
