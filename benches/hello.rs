//! Reading client hellos: real ones, whole and byte by byte.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use tollgate::wire::hello::HelloReader;

const CAP: usize = 64 << 10;
const HELLOS: [(&str, &[u8]); 3] = [
    ("curl", include_bytes!("../src/wire/hello/curl.bin")),
    ("openssl", include_bytes!("../src/wire/hello/openssl.bin")),
    ("post-quantum", include_bytes!("../src/wire/hello/rustls_pq.bin")),
];

fn main() {
    divan::main();
}

#[divan::bench(args = HELLOS.map(|(name, _)| name))]
fn whole(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = hello(name);
    bencher.counter(BytesCount::of_slice(bytes)).bench(|| HelloReader::new(CAP).read(black_box(bytes)));
}

#[divan::bench(args = HELLOS.map(|(name, _)| name))]
fn byte_by_byte(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = hello(name);
    bencher.counter(BytesCount::of_slice(bytes)).bench(|| {
        let mut reader = HelloReader::new(CAP);
        (1..=bytes.len()).map(|end| reader.read(black_box(&bytes[..end]))).last()
    });
}

fn hello(name: &str) -> &'static [u8] {
    HELLOS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, bytes)| bytes)
}
