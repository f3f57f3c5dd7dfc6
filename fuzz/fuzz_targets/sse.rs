//! An event stream gives the same events in one piece and in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::wire::sse::{Scanner, Token};

fn events(bytes: &[u8], piece: usize) -> String {
    let (mut scanner, mut text, mut last) = (Scanner::default(), String::new(), ' ');
    let mut sink = |token: Token<'_>| {
        let (kind, bytes) = match token {
            Token::Data(bytes) => ('d', bytes),
            Token::Name(bytes) => ('n', bytes),
            Token::Other(bytes) => ('o', bytes),
            Token::Dispatch => ('!', &b""[..]),
        };
        if kind != last || kind == 'n' || kind == '!' {
            text.push_str(&format!("\n{kind} "));
        }
        last = kind;
        text.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
    };
    bytes.chunks(piece).for_each(|piece| scanner.push(piece, &mut sink));
    scanner.finish(&mut sink);
    text
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, stream)) = bytes.split_first() else { return };
    assert_eq!(events(stream, usize::MAX), events(stream, 1 + usize::from(piece) / 16));
});
