//! Bodies by themselves; the tables of `wire::head` hold the chunked syntax case by case.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: BodyLimits = BodyLimits { chunk_line: 256, trailers: 8 << 10 };

/// Reads `pieces` to the end or to an error: the data, and what is left over.
fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, Decoder), BodyError> {
    let mut decoder = Decoder::new(framing, LIMITS);
    let (mut data, mut buffer) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let step = decoder.step(&buffer)?;
            data.extend_from_slice(&buffer[step.data]);
            buffer.drain(..step.used);
            if step.done || step.used == 0 {
                break;
            }
        }
    }
    Ok((data, buffer, decoder))
}

#[test]
fn no_body_is_done_at_once() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut decoder = Decoder::new(framing, LIMITS);
        assert!(decoder.is_done());
        assert_eq!(decoder.step(b"next"), Ok(Step { used: 0, data: 0..0, done: true }));
        assert_eq!((decoder.eof(), decoder.remaining()), (Ok(()), Some(0)));
    }
}

#[test]
fn p18_a_length_that_is_not_reached_is_an_error() {
    let mut decoder = Decoder::new(Framing::Length(5), LIMITS);
    assert_eq!(decoder.step(b"abc"), Ok(Step { used: 3, data: 0..3, done: false }));
    assert_eq!((decoder.remaining(), decoder.eof()), (Some(2), Err(BodyError::Truncated)));
    assert_eq!(decoder.step(b"defg"), Ok(Step { used: 2, data: 0..2, done: true }));
    assert_eq!(decoder.eof(), Ok(()));
}

#[test]
fn the_largest_length_is_counted() {
    let mut decoder = Decoder::new(Framing::Length(u64::MAX), LIMITS);
    assert_eq!(decoder.step(b"abc"), Ok(Step { used: 3, data: 0..3, done: false }));
    assert_eq!(decoder.remaining(), Some(u64::MAX - 3));
}

#[test]
fn the_end_of_the_connection_ends_what_has_no_length() {
    let mut decoder = Decoder::new(Framing::Close, LIMITS);
    assert_eq!(decoder.step(b"abc"), Ok(Step { used: 3, data: 0..3, done: false }));
    assert!(!decoder.is_done());
    assert_eq!((decoder.eof(), decoder.is_done(), decoder.remaining()), (Ok(()), true, Some(0)));
    assert_eq!(decoder.step(b"late"), Ok(Step { used: 0, data: 0..0, done: true }));
}

#[test]
fn p18_a_chunked_body_without_its_end_is_truncated() {
    let whole = b"3\r\nabc\r\n0\r\nX: 1\r\n\r\n";
    for len in 0..whole.len() {
        let (_, _, mut decoder) = decode(Framing::Chunked, &[&whole[..len]]).expect("a body cut short");
        assert_eq!(decoder.eof(), Err(BodyError::Truncated), "after {len} bytes");
    }
    let (data, left, mut decoder) = decode(Framing::Chunked, &[whole, b"GET /"]).expect("a whole body");
    assert_eq!((data.as_slice(), left.as_slice(), decoder.eof()), (&b"abc"[..], &b"GET /"[..], Ok(())));
    assert_eq!(decoder.trailers().get(b"x"), Some(&b"1"[..]));
}

#[test]
fn data_is_one_step_whatever_its_size() {
    let mut decoder = Decoder::new(Framing::Chunked, LIMITS);
    let mut input = b"100000\r\n".to_vec();
    input.resize(8 + (1 << 20), b'x');
    assert_eq!(decoder.step(&input), Ok(Step { used: input.len(), data: 8..input.len(), done: false }));
    assert_eq!(decoder.remaining(), None);
}

#[test]
fn an_error_carries_its_status() {
    let error = |body: &[u8]| decode(Framing::Chunked, &[body]).map(|_| ()).expect_err("a broken body");
    assert_eq!((error(b"x").status(), error(b"x").as_str()), (400, "malformed chunk size"));
    let trailers = [b"0\r\nX: ".as_slice(), &[b'a'; 8200]].concat();
    assert_eq!((error(&trailers), error(&trailers).status()), (BodyError::TrailersTooLarge, 431));
}

#[test]
fn chunk_heads_are_lower_case_hex() {
    for (len, line) in
        [(1, "1\r\n"), (0xabc, "abc\r\n"), (1 << 20, "100000\r\n"), (usize::MAX, "ffffffffffffffff\r\n")]
    {
        assert_eq!(ChunkHead::new(len).as_bytes(), line.as_bytes());
    }
}

#[test]
fn a_last_chunk_carries_its_trailers() {
    let mut trailers = Fields::new();
    let mut out = Vec::new();
    write_last_chunk(&trailers, &mut out);
    trailers.push(b"X-Sum", b"1");
    write_last_chunk(&trailers, &mut out);
    assert_eq!(out, b"0\r\n\r\n0\r\nX-Sum: 1\r\n\r\n");
}

proptest! {
    #[test]
    fn what_is_chunked_is_read_back_however_it_is_cut(
        chunks in vec(vec(any::<u8>(), 1..300), 0..6),
        extension in prop::sample::select(vec!["", ";a", ";a=b", " ; a = \"x;\\\"y\""]),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        write_last_chunk(&Fields::new(), &mut body);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).collect();
        places.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for place in places {
            pieces.push(&body[start..place]);
            start = place;
        }
        pieces.push(&body[start..]);
        let (data, left, decoder) = decode(Framing::Chunked, &pieces).expect("well chunked");
        prop_assert_eq!(data, chunks.concat());
        prop_assert!(left.is_empty() && decoder.is_done());
    }
}
