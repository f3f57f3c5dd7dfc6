//! Bodies coded by zlib, brotli and zstd themselves (`testdata/make.py`), whole, cut, damaged, and hostile.

use proptest::prelude::*;

use super::*;

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("testdata/", $name)).as_slice()
    };
}

const GZIP: &[Coding] = &[Coding::Gzip];
const DEFLATE: &[Coding] = &[Coding::Deflate];
#[cfg(feature = "brotli")]
const BR: &[Coding] = &[Coding::Br];
#[cfg(feature = "zstd")]
const ZSTD: &[Coding] = &[Coding::Zstd];

/// Every body of the same text.
const BODIES: &[(&[Coding], &[u8])] = &[
    (GZIP, data!("text.gz")),
    (GZIP, data!("members.gz")),
    (DEFLATE, data!("text.zlib")),
    (DEFLATE, data!("text.deflate")),
    #[cfg(feature = "brotli")]
    (BR, data!("text.br")),
    #[cfg(feature = "zstd")]
    (ZSTD, data!("text.zst")),
    #[cfg(feature = "zstd")]
    (ZSTD, data!("max.zst")),
    #[cfg(feature = "brotli")]
    (&[Coding::Br, Coding::Gzip], data!("text.br.gz")),
];

/// An event for each flush, with the flush's length before it.
const FLUSHED: &[(&[Coding], &[u8])] = &[
    (GZIP, data!("flush.gz")),
    #[cfg(feature = "brotli")]
    (BR, data!("flush.br")),
    #[cfg(feature = "zstd")]
    (ZSTD, data!("flush.zst")),
];

fn events(count: u64) -> impl Iterator<Item = String> {
    let mut state = 1u64;
    (0..count).map(move |n| {
        state = state * 48271 % 2_147_483_647;
        format!("event: delta\ndata: {{\"index\":{n},\"text\":\"token {state:x}\"}}\n\n")
    })
}

fn text() -> Vec<u8> {
    events(100).collect::<String>().into_bytes()
}

fn decoder(codings: &[Coding]) -> Decoder {
    let mut list = [None; 3];
    for (slot, coding) in list.iter_mut().zip(codings) {
        *slot = Some(*coding);
    }
    Decoder::new(Codings { list })
}

/// Decodes a body given in pieces of `size` bytes.
fn decode(codings: &[Coding], body: &[u8], size: usize) -> Result<Vec<u8>, CodingError> {
    let mut decoder = decoder(codings);
    let mut decoded = Vec::new();
    let mut sink = |piece: &[u8]| {
        assert!(!piece.is_empty() && piece.len() <= PIECE);
        decoded.extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    body.chunks(size).try_for_each(|piece| decoder.push(piece, &mut sink))?;
    decoder.finish()?;
    Ok(decoded)
}

fn changed(body: &[u8], at: usize) -> Vec<u8> {
    let mut body = body.to_vec();
    body[at] ^= 0x55;
    body
}

#[test]
fn every_coding_whole_and_cut() {
    for (codings, body) in BODIES {
        for size in [1, 2, 3, 7, 100, body.len()] {
            assert_eq!(
                decode(codings, body, size).as_deref(),
                Ok(&text()[..]),
                "{codings:?} in pieces of {size}"
            );
        }
    }
}

#[test]
fn a_flush_gives_its_event_at_once() {
    for (codings, flushes) in FLUSHED {
        let mut decoder = decoder(codings);
        let mut rest = *flushes;
        for event in events(20) {
            let (length, behind) = rest.split_first_chunk().expect("a length");
            let (flush, behind) = behind.split_at(usize::from(u16::from_le_bytes(*length)));
            rest = behind;
            let mut decoded = Vec::new();
            let result = decoder.push(flush, &mut |piece| {
                decoded.extend_from_slice(piece);
                ControlFlow::Continue(())
            });
            assert_eq!((result, decoded), (Ok(()), event.into_bytes()), "{codings:?}");
        }
        assert_eq!(decoder.finish(), Err(CodingError::Truncated));
    }
}

#[test]
fn lesson_10_a_second_member_or_frame_is_read() {
    let several = [data!("text.gz"), data!("members.gz"), data!("text.zst"), data!("max.zst")];
    for (codings, body) in BODIES.iter().filter(|(_, body)| several.contains(body)) {
        let twice = [*body, *body].concat();
        assert_eq!(
            decode(codings, &twice, 5).map(|decoded| decoded.len()),
            Ok(2 * text().len()),
            "{codings:?}"
        );
    }
}

#[test]
fn lesson_10_checksums_and_lengths_are_verified() {
    let gzip = data!("text.gz");
    let zlib = data!("text.zlib");
    let cases = [
        (GZIP, gzip, gzip.len() - 5),
        (GZIP, gzip, gzip.len() - 1),
        (DEFLATE, zlib, zlib.len() - 1),
        #[cfg(feature = "zstd")]
        (ZSTD, data!("text.zst"), data!("text.zst").len() - 1),
    ];
    for (codings, body, at) in cases {
        assert_eq!(decode(codings, &changed(body, at), 9), Err(CodingError::Checksum), "{codings:?} at {at}");
    }
}

#[test]
fn lesson_9_a_truncated_body_says_so() {
    for (codings, body) in BODIES.iter().filter(|(_, body)| *body != data!("members.gz")) {
        for end in 1..body.len() {
            assert_eq!(
                decode(codings, &body[..end], 64),
                Err(CodingError::Truncated),
                "{codings:?} at {end}"
            );
        }
    }
}

#[test]
fn bytes_behind_the_end_are_an_error() {
    for (codings, body) in BODIES {
        for size in [1, 5000] {
            let error = decode(codings, &[body, &b"x"[..]].concat(), size).expect_err("surplus");
            let expected = match codings.last() {
                // Another member or frame would be welcome.
                Some(Coding::Gzip) => CodingError::Corrupt,
                #[cfg(feature = "zstd")]
                Some(Coding::Zstd) => CodingError::Truncated,
                _ => CodingError::TrailingBytes,
            };
            assert_eq!(error, expected, "{codings:?}");
        }
    }
    #[cfg(feature = "zstd")]
    assert_eq!(decode(ZSTD, &[data!("text.zst"), b"xxxx"].concat(), 1), Err(CodingError::Corrupt));
}

#[test]
fn an_empty_body_is_whole() {
    for codings in [&[][..], GZIP, DEFLATE, Coding::BUILT_IN.get(1..4).unwrap_or_default()] {
        assert_eq!(decode(codings, b"", 1), Ok(vec![]));
    }
    assert_eq!(decode(&[], b"plain", 2), Ok(b"plain".to_vec()));
}

#[test]
fn p24_a_bomb_ends_when_the_sink_says_so() {
    let bombs: &[(&[Coding], &[u8])] = &[
        (GZIP, data!("bomb.gz")),
        #[cfg(feature = "zstd")]
        (ZSTD, data!("bomb.zst")),
        #[cfg(feature = "brotli")]
        (BR, data!("bomb.br")),
    ];
    for (codings, bomb) in bombs {
        let mut decoder = decoder(codings);
        let mut seen = 0;
        let mut sink = |piece: &[u8]| {
            seen += piece.len();
            if seen > 500_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert_eq!(decoder.push(bomb, &mut sink), Err(CodingError::Stopped), "{codings:?}");
        assert_eq!(decoder.push(bomb, &mut sink), Err(CodingError::Stopped));
        assert!(seen <= 500_000 + PIECE && decoder.stages.is_empty());
    }
}

#[cfg(feature = "zstd")]
#[test]
fn p24_zstd_frames_larger_than_the_window_are_read_but_not_references_beyond_it() {
    assert_eq!(decode(ZSTD, data!("bomb.zst"), 100).map(|decoded| decoded.len()), Ok(32 << 20));
    assert_eq!(decode(ZSTD, data!("far.zst"), 100).err(), Some(CodingError::WindowTooLarge));
}

#[cfg(feature = "brotli")]
#[test]
fn p24_brotli_windows_are_bounded() {
    assert_eq!(decode(BR, data!("wide.br"), 100), Err(CodingError::WindowTooLarge));
    assert_eq!(decode(BR, data!("bomb.br"), 100), Err(CodingError::WindowTooLarge));
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_skippable_frames_are_passed_over_and_dictionaries_refused() {
    let skippable =
        [b"\x5a\x2a\x4d\x18\x03\0\0\0abc", data!("text.zst"), b"\x50\x2a\x4d\x18\0\0\0\0"].concat();
    for size in [1, 4, 5000] {
        assert_eq!(decode(ZSTD, &skippable, size).map(|decoded| decoded.len()), Ok(text().len()));
    }
    assert_eq!(decode(ZSTD, b"\x28\xb5\x2f\xfd\x21\x07\x00", 9), Err(CodingError::Dictionary));
}

#[test]
fn gzip_headers_that_are_none_are_refused() {
    for header in [&b"\x1f\x8c"[..], b"\x1f\x8b\x07", b"\x1f\x8b\x08\x20", b"PK"] {
        assert_eq!(decode(GZIP, header, 1), Err(CodingError::Corrupt), "{}", header.escape_ascii());
    }
}

#[test]
fn content_encoding_is_parsed() {
    let parse = |value: &str| {
        parse_content_encoding(value.as_bytes()).map(|codings| codings.iter().collect::<Vec<_>>())
    };
    assert_eq!(parse(""), Ok(vec![]));
    assert_eq!(parse("identity"), Ok(vec![]));
    assert_eq!(parse("gzip"), Ok(vec![Coding::Gzip]));
    assert_eq!(parse(" X-GZip , identity,, Deflate"), Ok(vec![Coding::Gzip, Coding::Deflate]));
    assert_eq!(parse("gzip,gzip,gzip").map(|list| list.len()), Ok(3));
    for value in ["compress", "gzip;q=1", "aws-chunked, gzip", "gzip,gzip,gzip,gzip", "g zip"] {
        assert_eq!(parse(value), Err(Unsupported), "{value}");
    }
    assert_eq!(parse("br").is_ok(), cfg!(feature = "brotli"));
    assert_eq!(parse("zstd").is_ok(), cfg!(feature = "zstd"));
}

proptest! {
    #[test]
    fn p3_damage_neither_panics_nor_depends_on_cuts(
        body in prop::sample::select(BODIES),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        size in 1usize..50,
    ) {
        let (codings, bytes) = body;
        let mut bytes = bytes.to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = decode(codings, &bytes, bytes.len());
        let cut = decode(codings, &bytes, size);
        prop_assert!(whole == cut || whole.is_err() && cut.is_err(), "{whole:?} or {cut:?}");
    }
}
