//! What a request asks is the same in one piece and in pieces. The first byte chooses the format, the second the size
//! of pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::exchange::tap::RequestTap;
use tollgate::model::request::RequestFacts;
use tollgate::model::{ModelTable, Query, detect};

const FORMATS: [(&str, &[u8]); 8] = [
    ("api.anthropic.com", b"/v1/messages"),
    ("api.openai.com", b"/v1/chat/completions"),
    ("api.openai.com", b"/v1/responses"),
    ("generativelanguage.googleapis.com", b"/v1beta/models/g:generateContent"),
    ("cloudcode-pa.googleapis.com", b"/v1internal:generateContent"),
    ("ollama.com", b"/api/chat"),
    ("api.cohere.com", b"/v2/chat"),
    ("bedrock-runtime.us-east-1.amazonaws.com", b"/model/m/converse"),
];

fn read(format: u8, body: &[u8], piece: usize) -> RequestFacts {
    let (host, path) = FORMATS[usize::from(format) % FORMATS.len()];
    let query = Query { host, port: 443, method: b"POST", path, query: None, upgrade: false };
    let detected = detect(&ModelTable::default(), &query).expect("each format is a model call");
    let mut tap = RequestTap::new(&detected, None);
    body.chunks(piece).for_each(|piece| tap.push(piece));
    tap.end(true)
}

fuzz_target!(|bytes: &[u8]| {
    let [format, piece, body @ ..] = bytes else { return };
    assert_eq!(read(*format, body, usize::MAX), read(*format, body, 1 + usize::from(*piece) / 8));
});
