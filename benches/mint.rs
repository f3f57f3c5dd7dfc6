//! Minting leaves: a name never seen before, and one from the cache.

use divan::Bencher;
use tollgate::cert::{Authority, MintOptions, Minter};
use tollgate::policy::host::Host;

const NOW: i64 = 1_795_000_000_000_000;

fn main() {
    divan::main();
}

#[divan::bench]
fn new_name(bencher: Bencher<'_, '_>) {
    let minter = minter();
    let mut count = 0_u64;
    bencher
        .with_inputs(|| {
            count += 1;
            host(&format!("n{count}.example.com"))
        })
        .bench_local_values(|host| minter.server_config(&host, NOW).expect("the authority signs"));
}

#[divan::bench]
fn cached_name(bencher: Bencher<'_, '_>) {
    let (minter, host) = (minter(), host("api.example.com"));
    bencher.bench_local(|| minter.server_config(&host, NOW).expect("the authority signs"));
}

fn minter() -> Minter {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::open_or_create(dir.path(), NOW).expect("an authority");
    Minter::new(authority, &MintOptions::default()).expect("keys")
}

fn host(name: &str) -> Host {
    Host::parse(name.as_bytes()).expect("a host")
}
