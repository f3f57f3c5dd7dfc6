//! A chunked body gives the same data, end and error in one piece and byte by byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::wire::body::{BodyError, BodyLimits, Decoder, Framing};

fn read(bytes: &[u8], piece: usize) -> (Vec<u8>, usize, Result<bool, BodyError>) {
    let mut decoder = Decoder::new(Framing::Chunked, BodyLimits { chunk_line: 256, trailers: 8 << 10 });
    let (mut data, mut used, mut end) = (Vec::new(), 0, piece.min(bytes.len()));
    loop {
        match decoder.step(&bytes[used..end]) {
            Err(error) => return (data, 0, Err(error)),
            Ok(step) => {
                data.extend_from_slice(&bytes[used..end][step.data]);
                used += step.used;
                if step.done || (step.used == 0 && end == bytes.len()) {
                    return (data, used, Ok(step.done));
                }
                if step.used == 0 {
                    end = (end + piece).min(bytes.len());
                }
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| assert_eq!(read(bytes, bytes.len().max(1)), read(bytes, 1)));
