//! An answer is metered to the same calls in one piece and in pieces. The first byte chooses the format, and whether the
//! call failed; the second the size of pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::exchange::tap::{Tap, TapHead, TapReport};
use tollgate::model::{ModelTable, Query, detect};

const SSE: &[u8] = b"text/event-stream";
const JSON: &[u8] = b"application/json";
const FRAMES: &[u8] = b"application/vnd.amazon.eventstream";
const ANY: &[u8] = b"text/plain";
const FORMATS: [(&str, &[u8], &[u8]); 24] = [
    ("api.anthropic.com", b"/v1/messages", SSE),
    ("api.anthropic.com", b"/v1/messages", JSON),
    ("api.openai.com", b"/v1/chat/completions", SSE),
    ("api.openai.com", b"/v1/chat/completions", JSON),
    ("api.openai.com", b"/v1/responses", SSE),
    ("api.openai.com", b"/v1/responses", JSON),
    ("generativelanguage.googleapis.com", b"/v1beta/models/g:streamGenerateContent", SSE),
    ("generativelanguage.googleapis.com", b"/v1beta/models/g:streamGenerateContent", JSON),
    ("generativelanguage.googleapis.com", b"/v1beta/models/g:generateContent", JSON),
    ("ollama.com", b"/api/chat", b"application/x-ndjson"),
    ("api.cohere.com", b"/v2/chat", SSE),
    ("api.mistral.ai", b"/v1/conversations", SSE),
    ("bedrock-runtime.us-east-1.amazonaws.com", b"/model/m/converse-stream", FRAMES),
    ("bedrock-runtime.us-east-1.amazonaws.com", b"/model/m/converse", JSON),
    ("bedrock-runtime.us-east-1.amazonaws.com", b"/model/anthropic.m/invoke-with-response-stream", FRAMES),
    ("generativelanguage.googleapis.com", b"/v1beta/interactions", SSE),
    ("generativelanguage.googleapis.com", b"/v1beta/interactions", JSON),
    ("cloudcode-pa.googleapis.com", b"/v1internal:streamGenerateContent", SSE),
    ("api.cohere.com", b"/v1/chat", b"application/stream+json"),
    ("api.openai.com", b"/v1/audio/transcriptions", SSE),
    ("ollama.com", b"/api/generate", JSON),
    ("gateway.example", b"/v1/chat/completions", ANY),
    ("gateway.example", b"/v1/messages", ANY),
    ("api.x.ai", b"/v1/chat/completions", SSE),
];

fn meter(format: usize, body: &[u8], piece: usize) -> TapReport {
    let (host, path, content_type) = FORMATS[format % FORMATS.len()];
    let query = Query { host, port: 443, method: b"POST", path, query: None, upgrade: false };
    let detected = detect(&ModelTable::default(), &query).expect("each format is a model call");
    let status = if format < 240 { 200 } else { 429 };
    let head = TapHead { status, content_type: Some(content_type), ..TapHead::default() };
    let mut tap = Tap::new(&detected, &head, 1 << 20);
    body.chunks(piece).for_each(|piece| tap.push(piece, 0));
    tap.end(true, 0)
}

fuzz_target!(|bytes: &[u8]| {
    let [format, piece, body @ ..] = bytes else { return };
    let whole = meter(usize::from(*format), body, usize::MAX);
    let cut = meter(usize::from(*format), body, 1 + usize::from(*piece));
    assert_eq!((whole.calls, whole.errors, whole.decoded), (cut.calls, cut.errors, cut.decoded));
});
