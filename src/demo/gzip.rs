//! gzip as model providers send it: every event is flushed by itself, so that a reader can inflate it at once.
//!
//! RFC 1952 around RFC 1951; a sync flush ends each piece with `00 00 ff ff`. Encoding only: what comes in is
//! inflated by `wire::coding`, nowhere else.

use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::{MZFlush, MZStatus};

/// Magic, deflate, no flags, no time, no hint, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A fast level: the demo measures the proxy, not the encoder.
const LEVEL: i32 = 3;
/// A window of 2^15 bytes without zlib's own header.
const RAW_WINDOW: i32 = -15;

/// One gzip member, written piece by piece.
pub struct Gzip {
    deflate: Box<CompressorOxide>,
    crc: u32,
    length: u32,
    started: bool,
}

impl Default for Gzip {
    fn default() -> Self {
        let flags = create_comp_flags_from_zip_params(LEVEL, RAW_WINDOW, 0);
        Self { deflate: Box::new(CompressorOxide::new(flags)), crc: !0, length: 0, started: false }
    }
}

impl Gzip {
    /// Appends `piece` to `out`, compressed and flushed to a byte boundary.
    pub fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.start(out);
        self.crc = crc32(self.crc, piece);
        self.length = self.length.wrapping_add(piece.len() as u32);
        self.compress(piece, MZFlush::Sync, out);
    }

    /// Appends the end of the member.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.start(out);
        self.compress(&[], MZFlush::Finish, out);
        out.extend_from_slice(&(!self.crc).to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !self.started {
            out.extend_from_slice(&HEADER);
            self.started = true;
        }
    }

    fn compress(&mut self, mut input: &[u8], flush: MZFlush, out: &mut Vec<u8>) {
        let mut room = [0; 4096];
        loop {
            let result = deflate(&mut self.deflate, input, &mut room, flush);
            out.extend_from_slice(&room[..result.bytes_written]);
            input = &input[result.bytes_consumed..];
            // `Ok` with a full buffer may hold more; anything else (end, nothing left) is the end of this call's work.
            let more = result.status == Ok(MZStatus::Ok) && result.bytes_written == room.len();
            if !more && input.is_empty() {
                return;
            }
        }
    }
}

/// One call for a whole document.
pub fn whole(document: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut gzip = Gzip::default();
    gzip.piece(document, &mut out);
    gzip.finish(&mut out);
    out
}

/// CRC-32 of RFC 1952 §8, before its final inversion, bit by bit: demo bodies are small.
fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(member: &[u8]) -> Vec<u8> {
        miniz_oxide::inflate::decompress_to_vec(&member[HEADER.len()..]).expect("deflate data")
    }

    #[test]
    fn crc_is_that_of_the_rfc() {
        assert_eq!(!crc32(!0, b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn pieces_make_one_member() {
        let mut out = Vec::new();
        let mut gzip = Gzip::default();
        let text: Vec<u8> = (0..60_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for piece in text.chunks(17_001) {
            gzip.piece(piece, &mut out);
            assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "each piece ends with a sync flush");
        }
        gzip.finish(&mut out);
        assert_eq!(inflate(&out), text);
        let tail = &out[out.len() - 8..];
        assert_eq!(tail[..4], (!crc32(!0, &text)).to_le_bytes());
        assert_eq!(tail[4..], 60_000u32.to_le_bytes());
    }

    #[test]
    fn an_empty_document_is_a_member_too() {
        assert_eq!(inflate(&whole(b"")), b"");
    }
}
