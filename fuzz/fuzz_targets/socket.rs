//! Whatever both sides of a WebSocket say, there are at most as many runs as messages, and each is told once. The first
//! byte chooses the format; a line is a message of the guest where it starts with `>`, else one of the origin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::model::websocket::WsMeter;
use tollgate::model::{ModelTable, Query, detect};

const FORMATS: [(&str, &[u8]); 3] = [
    ("api.openai.com", b"/v1/responses"),
    ("api.openai.com", b"/v1/realtime"),
    (
        "generativelanguage.googleapis.com",
        b"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
    ),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((format, talk)) = bytes.split_first() else { return };
    let (host, path) = FORMATS[usize::from(*format) % FORMATS.len()];
    let query = Query { host, port: 443, method: b"GET", path, query: None, upgrade: true };
    let detected = detect(&ModelTable::default(), &query).expect("each format is a model call");
    let mut meter = WsMeter::new(&detected, 1 << 20);
    let (mut runs, mut messages) = (0, 0);
    for (at, line) in talk.split(|byte| *byte == b'\n').enumerate() {
        messages += 1;
        match line.strip_prefix(b">") {
            Some(message) => meter.guest(message, at as u64),
            None => meter.origin(line, at as u64),
        }
        runs += meter.take_runs().len();
        meter.take_errors();
    }
    runs += meter.end(messages as u64).0.len();
    // A run may tell of others inside it, never of more than are kept apart.
    assert!(runs <= messages * 65);
});
