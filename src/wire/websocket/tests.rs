//! Frames built by hand and by RFC 6455 §5.7 and RFC 7692 §7.2.3, in one piece and cut.

use proptest::prelude::*;

use super::*;

const CAP: usize = 300;

fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(mask | length as u8),
        length @ 126..65536 => {
            frame.push(mask | 0x7e);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(mask | 0x7f);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend(key.into_iter().flatten());
    frame.extend(payload.iter().zip(key.unwrap_or_default().iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// What a walker sees, as text; the stream given in pieces of `size` bytes.
fn walk(mut walker: Walker, stream: &[u8], size: usize) -> (Vec<String>, Result<(), WsError>) {
    let mut seen = Vec::new();
    let result = stream.chunks(size).try_for_each(|piece| {
        walker.push(piece, &mut |event| {
            seen.push(match event {
                WsEvent::Message { text, payload } => {
                    format!("{} {}", if text { "text" } else { "binary" }, payload.escape_ascii())
                }
                WsEvent::Oversized { text, length } => format!("oversized {text} {length}"),
                WsEvent::Close { code, reason } => format!("close {code:?} {}", reason.escape_ascii()),
                WsEvent::Ping => "ping".into(),
                WsEvent::Pong => "pong".into(),
            });
        })
    });
    (seen, result)
}

fn server(stream: &[u8]) -> (Vec<String>, Result<(), WsError>) {
    let whole = walk(Walker::new(false, false, CAP), stream, usize::MAX);
    assert_eq!(whole, walk(Walker::new(false, false, CAP), stream, 1), "in 1-byte pieces");
    whole
}

fn client(stream: &[u8]) -> (Vec<String>, Result<(), WsError>) {
    let whole = walk(Walker::new(true, false, CAP), stream, usize::MAX);
    assert_eq!(whole, walk(Walker::new(true, false, CAP), stream, 1), "in 1-byte pieces");
    whole
}

#[test]
fn examples_of_rfc_6455() {
    assert_eq!(server(b"\x81\x05Hello"), (vec!["text Hello".into()], Ok(())));
    assert_eq!(client(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), (vec!["text Hello".into()], Ok(())));
    assert_eq!(server(b"\x01\x03Hel\x80\x02lo"), (vec!["text Hello".into()], Ok(())));
    let stream = [b"\x89\x05Hello".as_slice(), &frame(0x82, &[0; 256], None)].concat();
    assert_eq!(server(&stream), (vec!["ping".into(), format!("binary {}", "\\x00".repeat(256))], Ok(())));
}

#[test]
fn control_frames_may_stand_between_fragments() {
    let stream = b"\x01\x01a\x89\x00\x00\x01b\x8a\x01x\x80\x00\x88\x05\x03\xe8bye";
    assert_eq!(server(stream).0, ["ping", "pong", "text ab", "close Some(1000) bye"]);
    assert_eq!(server(b"\x88\x00").0, ["close None "]);
}

#[test]
fn p24_messages_beyond_the_cap_are_counted_not_kept() {
    let long = vec![b'x'; CAP + 1];
    let stream =
        [frame(0x81, &long, None), frame(1, &long, None), frame(0x80, b"", None), frame(0x81, b"y", None)];
    let (seen, result) = server(&stream.concat());
    assert_eq!(
        (&seen[..], result),
        (&["oversized true 301", "oversized true 301", "text y"].map(String::from)[..], Ok(()))
    );
    assert_eq!(server(&frame(0x82, &vec![b'x'; 70_000], None)).0, ["oversized false 70000"]);
    assert_eq!(server(&frame(0x81, &long[1..], None)).0[0].len(), "text ".len() + CAP);
}

#[test]
fn what_breaks_the_rules_is_an_error() {
    let cases: [(&[u8], WsError); 15] = [
        (b"\x83", WsError::Opcode),
        (b"\x8b", WsError::Opcode),
        (b"\xc1", WsError::ReservedBit),
        (b"\xa1", WsError::ReservedBit),
        (b"\x91", WsError::ReservedBit),
        (b"\x09", WsError::Control),
        (b"\x89\x7e", WsError::Control),
        (b"\x81\x80", WsError::Mask),
        (b"\x81\x7e\x00\x7d", WsError::Length),
        (b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", WsError::Length),
        (b"\x81\x7f\x80\x00\x00\x00\x00\x01\x00\x00", WsError::Length),
        (b"\x80\x00", WsError::NothingToContinue),
        (b"\x01\x00\x81\x00", WsError::Interrupted),
        (b"\x88\x01x", WsError::CloseLength),
        (b"\x88\x00\x89", WsError::AfterClose),
    ];
    for (stream, error) in cases {
        assert_eq!(server(stream).1, Err(error), "{}", stream.escape_ascii());
    }
    assert_eq!(client(b"\x81\x00").1, Err(WsError::Mask));
}

#[test]
fn examples_of_rfc_7692() {
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let cases: [Vec<u8>; 5] = [
        frame(0xc1, hello, None),
        [frame(0x41, &hello[..3], None), frame(0x80, &hello[3..], None)].concat(),
        frame(0xc1, b"\x00\x05\x00\xfa\xffHello\x00", None),
        frame(0xc1, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", None),
        frame(0xc1, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", None),
    ];
    for stream in cases {
        for size in [1, 100] {
            let (seen, result) = walk(Walker::new(false, true, CAP), &stream, size);
            assert_eq!(
                (&seen[..], result),
                (&["text Hello".to_owned()][..], Ok(())),
                "{}",
                stream.escape_ascii()
            );
        }
    }
}

#[test]
fn deflated_messages_share_a_window_also_masked_and_with_plain_ones_between() {
    let key = Some([1, 2, 3, 4]);
    let stream = [
        frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00", key),
        frame(0x81, b"plain", key),
        frame(0xc1, b"\xf2\x00\x11\x00\x00", key),
    ]
    .concat();
    let (seen, result) = walk(Walker::new(true, true, CAP), &stream, 3);
    assert_eq!(
        (&seen[..], result),
        (&["text Hello", "text plain", "text Hello"].map(String::from)[..], Ok(()))
    );
}

#[test]
fn p24_deflated_bombs_are_bounded() {
    let zeros = miniz_oxide::deflate::compress_to_vec(&vec![0; CAP * 60], 6);
    let oversized = walk(Walker::new(false, true, CAP), &frame(0xc2, &zeros, None), 100);
    assert_eq!(oversized, (vec!["oversized false 18000".into()], Ok(())));
    let zeros = miniz_oxide::deflate::compress_to_vec(&vec![0; CAP * 65], 6);
    let hostile = walk(Walker::new(false, true, CAP), &frame(0xc2, &zeros, None), 100);
    assert_eq!(hostile, (vec![], Err(WsError::Deflate)));
}

proptest! {
    #[test]
    fn cutting_changes_nothing(
        payloads in prop::collection::vec((0..4u8, prop::collection::vec(any::<u8>(), 0..400)), 0..6),
        key: [u8; 4],
        size in 1usize..50,
    ) {
        let stream: Vec<u8> = payloads
            .iter()
            .flat_map(|(kind, payload)| match kind {
                0 => frame(0x81, payload, Some(key)),
                1 => [frame(0x02, payload, Some(key)), frame(0x80, payload, Some(key))].concat(),
                2 => frame(0x89, &payload[..payload.len().min(125)], Some(key)),
                _ => [frame(0x01, b"", Some(key)), frame(0x8a, b"", Some(key)), frame(0x80, payload, Some(key))].concat(),
            })
            .collect();
        let whole = walk(Walker::new(true, false, CAP), &stream, usize::MAX);
        prop_assert_eq!(whole.1, Ok(()));
        prop_assert_eq!(whole.0.len(), payloads.len() + payloads.iter().filter(|(kind, _)| *kind == 3).count());
        prop_assert_eq!(whole, walk(Walker::new(true, false, CAP), &stream, size));
    }

    #[test]
    fn p3_no_bytes_panic(stream: Vec<u8>, masked: bool, size in 1usize..9) {
        let whole = walk(Walker::new(masked, true, CAP), &stream, usize::MAX);
        prop_assert_eq!(whole, walk(Walker::new(masked, true, CAP), &stream, size));
    }
}
