//! Undoes a body's content codings on the way to a reader, and remembers why that stopped, if it did.

use core::ops::ControlFlow;

use crate::wire::coding::{Decoder, parse_content_encoding};

/// Deflate cannot compress better than this; what does is a bomb.
const MAX_RATIO: u64 = 1100;
/// Bodies that decode to less than this are never called bombs.
const RATIO_FLOOR: u64 = 16 << 20;

/// The way from bytes on the wire to a reader of decoded ones.
pub(super) struct Decoding {
    decoder: Option<Decoder>,
    wire: u64,
    decoded: u64,
    off: Option<String>,
}

impl Decoding {
    /// For a body with this value of Content-Encoding; empty where there is none.
    pub(super) fn new(value: &[u8]) -> Self {
        let decoder = parse_content_encoding(value).ok().map(Decoder::new);
        let name = String::from_utf8_lossy(&value[..value.len().min(64)]);
        let off = decoder.is_none().then(|| format!("unsupported content coding: {name}"));
        Self { decoder, wire: 0, decoded: 0, off }
    }

    /// Hands what `bytes` decode to to `read`, until that or the decoding fails.
    pub(super) fn push(&mut self, bytes: &[u8], mut read: impl FnMut(&[u8]) -> Result<(), String>) {
        self.wire += bytes.len() as u64;
        let Some(decoder) = &mut self.decoder else { return };
        let limit = (self.wire * MAX_RATIO).max(RATIO_FLOOR);
        let (mut trouble, decoded) = (None, &mut self.decoded);
        let result = decoder.push(bytes, &mut |piece: &[u8]| {
            *decoded += piece.len() as u64;
            trouble = if *decoded > limit { Some("compression bomb".to_owned()) } else { read(piece).err() };
            if trouble.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Err(error) = result {
            self.stop(trouble.unwrap_or_else(|| error.as_str().to_owned()));
        }
    }

    /// The body has ended as it should: so should its codings.
    pub(super) fn finish(&mut self) {
        if let Some(Err(error)) = self.decoder.as_mut().map(Decoder::finish) {
            self.stop(error.as_str().to_owned());
        }
    }

    /// How much was decoded, where all of it was, and why decoding stopped, where it did.
    pub(super) fn outcome(self) -> (Option<u64>, Option<String>) {
        (self.off.is_none().then_some(self.decoded), self.off)
    }

    pub(super) fn is_on(&self) -> bool {
        self.off.is_none()
    }

    fn stop(&mut self, why: String) {
        self.decoder = None;
        self.off = Some(why);
    }
}
