//! A ClientHello read in one piece and byte by byte gives one answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::wire::hello::HelloReader;

fuzz_target!(|bytes: &[u8]| {
    let whole = HelloReader::new(64 << 10).read(bytes);
    let mut reader = HelloReader::new(64 << 10);
    let cut = (1..=bytes.len()).map(|end| reader.read(&bytes[..end])).find(|step| !matches!(step, Ok(None)));
    let facts = |hello: &tollgate::wire::hello::Hello| format!("{:?} {hello:?}", hello.sni());
    let cut = cut.unwrap_or(Ok(None)).map(|hello| hello.as_ref().map(facts));
    assert_eq!(whole.map(|hello| hello.as_ref().map(facts)), cut);
});
