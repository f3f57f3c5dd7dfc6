//! A coded body decodes to the same bytes and the same error in one piece and in small ones; how much of it came out
//! before an error may differ, and whether Brotli's memory was ever over its bound, which is looked at between pieces.
//! The first byte chooses the coding.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use tollgate::wire::coding::{CodingError, Decoder, parse_content_encoding};

const VALUES: [&[u8]; 6] = [b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip", b"deflate, gzip"];
const MOST: usize = 1 << 20;

fn decode(value: &[u8], body: &[u8], piece: usize) -> (Vec<u8>, Result<(), CodingError>) {
    let Ok(codings) = parse_content_encoding(value) else { return (Vec::new(), Ok(())) };
    let (mut decoder, mut out) = (Decoder::new(codings), Vec::new());
    let mut sink = |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        if out.len() > MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let pushed = body.chunks(piece).try_for_each(|piece| decoder.push(piece, &mut sink));
    let outcome = pushed.and_then(|()| decoder.finish());
    out.truncate(MOST);
    (out, outcome)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, body)) = bytes.split_first() else { return };
    let value = VALUES[usize::from(*choice) % VALUES.len()];
    let (whole, outcome) = decode(value, body, usize::MAX);
    let (cut, cut_outcome) = decode(value, body, 1 + usize::from(*choice) / 32);
    let bounded = [outcome, cut_outcome].contains(&Err(CodingError::WindowTooLarge)) && value == b"br";
    assert!(outcome == cut_outcome || bounded, "whole: {outcome:?}, cut: {cut_outcome:?}");
    let common = if outcome.is_ok() && cut_outcome.is_ok() {
        whole.len().max(cut.len())
    } else {
        whole.len().min(cut.len())
    };
    assert_eq!(whole.get(..common), cut.get(..common));
});
