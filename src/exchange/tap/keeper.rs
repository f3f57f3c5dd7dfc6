//! The tap that keeps the start of a body for the ledger, content codings undone. It has a decoder of its own, which ends
//! when enough is kept, so that what bodies are metered by does not depend on whether they are kept.

use super::decoding::Decoding;
use crate::telemetry::event::{BodyCopy, LOOKAHEAD};

/// Keeps the start of one body. It refuses bodies that are no text: those with a zero byte.
pub struct Keeper {
    decoding: Decoding,
    copy: BodyCopy,
    binary: bool,
}

impl Keeper {
    /// Keeps `keep` bytes of a body with this value of Content-Encoding.
    pub fn new(content_encoding: &[u8], keep: usize) -> Self {
        let copy = BodyCopy { keep, ..BodyCopy::default() };
        Self { decoding: Decoding::new(content_encoding), copy, binary: false }
    }

    /// Body bytes as they are on the wire, framing removed.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { decoding, copy, binary } = self;
        decoding.push(bytes, |piece| {
            let room = copy.keep + LOOKAHEAD - copy.bytes.len();
            let part = &piece[..piece.len().min(room)];
            *binary = memchr::memchr(0, part).is_some();
            copy.bytes.extend_from_slice(part);
            // Any error ends the decoding.
            if *binary || part.len() < piece.len() { Err(String::new()) } else { Ok(()) }
        });
    }

    /// What is kept; `complete` when the whole body passed.
    pub fn end(mut self, complete: bool) -> Option<BodyCopy> {
        if complete {
            self.decoding.finish();
        }
        if self.binary || self.copy.bytes.is_empty() {
            return None;
        }
        self.copy.cut = !complete || !self.decoding.is_on() || self.copy.bytes.len() > self.copy.keep;
        Some(self.copy)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::demo::gzip::whole as gzip;

    fn kept(coding: &[u8], body: &[u8], piece: usize, keep: usize) -> Option<BodyCopy> {
        let mut keeper = Keeper::new(coding, keep);
        body.chunks(piece).for_each(|piece| keeper.push(piece));
        keeper.end(true)
    }

    #[test]
    fn the_start_of_a_body_is_kept_with_what_shows_its_edge() {
        let body = vec![b'a'; 3000];
        let copy = kept(b"", &body, 7, 1000).expect("text");
        assert_eq!((copy.bytes.len(), copy.kept(), copy.cut), (1000 + LOOKAHEAD, 1000, true));
        let copy = kept(b"", &body, 7, 2999).expect("text");
        assert_eq!((copy.bytes.len(), copy.cut), (3000, true));
        let copy = kept(b"", &body, 7, 3000).expect("text");
        assert_eq!((copy.bytes.len(), copy.cut), (3000, false));
    }

    #[test]
    fn nothing_is_kept_of_what_is_no_text_or_cannot_be_decoded() {
        assert_eq!(kept(b"", b"PK\x03\x04\0\0", 3, 100), None);
        assert_eq!(kept(b"rot13", b"text", 3, 100), None);
        assert_eq!(kept(b"", b"", 3, 100), None);
    }

    #[test]
    fn a_body_that_breaks_off_is_kept_as_far_as_it_came() {
        let packed = gzip(b"a text that breaks off");
        let copy = kept(b"gzip", &packed[..packed.len() - 6], 100, 100).expect("text");
        assert!(copy.cut && b"a text that breaks off".starts_with(&copy.bytes));
        let mut keeper = Keeper::new(b"", 100);
        keeper.push(b"half");
        assert!(keeper.end(false).expect("text").cut);
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut_the_same_is_kept(
            body in "[a-z \n]{0,3000}", piece in 1usize..400, keep in 1usize..2500, packed: bool
        ) {
            let (coding, body) =
                if packed { (&b"gzip"[..], gzip(body.as_bytes())) } else { (&b""[..], body.into_bytes()) };
            prop_assert_eq!(kept(coding, &body, piece, keep), kept(coding, &body, usize::MAX, keep));
        }
    }
}
