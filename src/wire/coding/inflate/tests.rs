//! Against `miniz_oxide`, which packs and unpacks the same.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;
use proptest::prelude::*;

use super::*;

/// Unpacks a stream given in pieces of `size` bytes; `None` while it has not ended. Bytes behind it are left.
fn inflate(packed: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>, CodingError> {
    let mut inflate = Inflate::default();
    let mut unpacked = Vec::new();
    for (n, piece) in packed.chunks(size).enumerate() {
        let inflated = inflate.push(piece, &mut |bytes| {
            unpacked.extend_from_slice(bytes);
            Ok(())
        })?;
        if let Inflated::End(used) = inflated {
            return Ok(Some((unpacked, n * size + used)));
        }
    }
    Ok(None)
}

#[test]
fn streams_that_break_the_rules_are_refused() {
    let cases: [(&str, &[u8]); 7] = [
        ("block type 3", &[0b111]),
        ("stored length and its complement", &[1, 1, 0, 0xfe, 0xfe]),
        ("287 literal codes", &[0xf5, 0, 0]),
        ("31 distance codes", &[0x05, 0x1e, 0]),
        ("fixed literal 286", &[0x1b, 0x03, 0, 0]),
        ("fixed distance 30", &[0x03, 0x3e, 0, 0]),
        ("distance beyond the start", &[0x03, 0x02, 0, 0]),
    ];
    for (what, packed) in cases {
        assert_eq!(inflate(packed, 100), Err(CodingError::Corrupt), "{what}");
        assert_eq!(inflate(packed, 1), Err(CodingError::Corrupt), "{what}, cut");
    }
}

#[test]
fn a_window_is_moved_without_losing_references() {
    let far: Vec<u8> = (0u32..32_768).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let text = [&far[..], &far, &far, b"tail"].concat();
    let packed = compress_to_vec(&text, 9);
    for size in [1, 4096, packed.len()] {
        assert!(inflate(&packed, size) == Ok(Some((text.clone(), packed.len()))), "in pieces of {size}");
    }
}

const WORDS: &[&[u8]] = &[b"event: ", b"data: {}", b"\n\n", b"token", b"\0\0\0\0\0\0\0\0", b"z"];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(WORDS);
    let part = prop_oneof![word.prop_map(<[u8]>::to_vec), prop::collection::vec(any::<u8>(), 0..40)];
    prop::collection::vec(part, 0..200).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_the_oracle_packs_is_unpacked(text in text(), level in 0u8..10, size in 1usize..300, behind: [u8; 9]) {
        let packed = compress_to_vec(&text, level);
        let stream = [&packed[..], &behind].concat();
        prop_assert_eq!(inflate(&stream, size), Ok(Some((text, packed.len()))));
    }

    #[test]
    fn damage_ends_as_with_the_oracle(
        text in text(),
        level in 0u8..10,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        size in 1usize..300,
    ) {
        let mut packed = compress_to_vec(&text, level);
        for (at, byte) in damage {
            let at = at.index(packed.len());
            packed[at] = byte;
        }
        let ours = inflate(&packed, size).ok().flatten().map(|(unpacked, _)| unpacked);
        prop_assert_eq!(ours, decompress_to_vec(&packed).ok());
    }

    #[test]
    fn p3_no_bytes_panic(bytes: Vec<u8>, size in 1usize..20) {
        let ours = inflate(&bytes, size).ok().flatten().map(|(unpacked, _)| unpacked);
        prop_assert_eq!(ours, decompress_to_vec(&bytes).ok());
    }
}
