//! Own fixtures with ground truth: every format, whole and cut, coded and plain, truncated, with errors inside.

mod fixtures;

use proptest::prelude::*;

use super::*;
use crate::model::detect::{ModelTable, Query, detect};
use crate::model::usage::UsageState;
use fixtures::{FIXTURES, Fixture};

const CAP: usize = 1 << 20;

fn detected(url: &str) -> Detected {
    let (host, path) = url.split_at(url.find('/').expect("a path"));
    let (path, query) =
        path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.as_bytes())));
    let query = Query { host, port: 443, method: b"POST", path: path.as_bytes(), query, upgrade: false };
    detect(&ModelTable::default(), &query).expect("a call")
}

fn run(
    fixture: &Fixture,
    body: &[u8],
    cut: impl Iterator<Item = usize>,
    encoding: Option<&[u8]>,
    complete: bool,
) -> TapReport {
    let detected = detected(fixture.url);
    let head = TapHead {
        status: fixture.status,
        content_type: Some(fixture.content_type.as_bytes()),
        content_encoding: encoding.unwrap_or_default().into(),
        ..TapHead::default()
    };
    let mut tap = Tap::new(&detected, &head, CAP);
    let mut request = RequestTap::new(&detected, None);
    request.push(fixture.request.as_bytes());
    tap.set_request_facts(request.end(true));
    let (mut rest, mut at_us) = (body, 1000);
    for size in cut {
        let (piece, after) = rest.split_at(size.clamp(1, rest.len().max(1)).min(rest.len()));
        tap.push(piece, at_us);
        (rest, at_us) = (after, at_us + 1);
        if rest.is_empty() {
            break;
        }
    }
    tap.push(rest, at_us);
    tap.end(complete, 1_000_000)
}

/// One line of what is known, `-` for what is not.
fn tell(report: &TapReport) -> Vec<String> {
    let show = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    let text = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
    let calls = report.calls.iter().map(|call| {
        let usage = &call.usage;
        let tools: Vec<String> = call
            .tool_calls
            .iter()
            .map(|tool| format!("{}:{}({})", text(&tool.id), tool.name, text(&tool.arguments)))
            .collect();
        format!(
            "{} {} | {} {} | in {} read {} write {}/{}/{} out {} think {} | {} | {} {} | {} | {}",
            call.provider,
            call.api,
            text(&call.model),
            text(&call.response_id),
            show(usage.input),
            show(usage.cache_read),
            show(usage.cache_write),
            show(usage.cache_write_5m),
            show(usage.cache_write_1h),
            show(usage.output),
            show(usage.reasoning),
            call.usage_state.as_str(),
            text(&call.stop_reason),
            text(&call.service_tier),
            tools.join(" "),
            text(&call.error_type),
        )
    });
    calls.collect()
}

/// The same report without what depends on where the cuts are.
fn comparable(mut report: TapReport) -> (Vec<Call>, String, Option<u64>, Option<String>) {
    for call in &mut report.calls {
        call.first_token_us = call.first_token_us.map(|_| 1);
    }
    (report.calls, format!("{:?}", report.errors), report.decoded, report.off)
}

#[test]
fn every_format_gives_its_ground_truth() {
    for fixture in FIXTURES {
        let report = run(fixture, fixture.body.as_bytes(), std::iter::empty(), None, true);
        assert_eq!(tell(&report), fixture.truth, "{}", fixture.name);
        assert_eq!(report.off, None, "{}", fixture.name);
        assert_eq!(report.decoded, Some(fixture.body.len() as u64), "{}", fixture.name);
    }
}

#[test]
fn cuts_at_every_byte_change_nothing() {
    for fixture in FIXTURES {
        let whole = run(fixture, fixture.body.as_bytes(), std::iter::empty(), None, true);
        let bytes = run(fixture, fixture.body.as_bytes(), std::iter::repeat(1), None, true);
        assert_eq!(comparable(bytes), comparable(whole), "{}", fixture.name);
    }
}

/// A stream of Gemini's with lines in it that are no fields, cut into pieces of this size.
fn strayed(lines: &str, size: usize) -> TapReport {
    let event = r#"data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}],"modelVersion":"g-1"}"#;
    let body = format!("{event}\n\n{lines}");
    let fixture = FIXTURES.iter().find(|fixture| fixture.name == "gemini stream broken by a bare error");
    run(fixture.expect("a fixture"), body.as_bytes(), std::iter::repeat(size), None, true)
}

const BARE_ERROR: &str = r#"{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}"#;

#[test]
fn only_the_start_of_a_line_opens_a_bare_document_however_it_is_cut() {
    for size in 1..200 {
        let report = strayed(&format!("noise {BARE_ERROR}\n\n"), size);
        assert_eq!(report.calls[0].error_type, None, "cut into pieces of {size}");
    }
}

#[test]
fn a_bare_document_is_read_after_a_line_of_noise_however_it_is_cut() {
    for size in 1..200 {
        let report = strayed(&format!("noise without end\n{BARE_ERROR}\n"), size);
        assert_eq!(report.calls[0].error_type.as_deref(), Some("UNAVAILABLE"), "cut into pieces of {size}");
    }
}

#[test]
fn crlf_and_cr_are_line_ends_too() {
    for fixture in FIXTURES.iter().filter(|fixture| fixture.content_type.starts_with("text/event-stream")) {
        for end in ["\r\n", "\r"] {
            let body = fixture.body.replace('\n', end);
            let report = run(fixture, body.as_bytes(), std::iter::repeat(3), None, true);
            assert_eq!(tell(&report), fixture.truth, "{}", fixture.name);
        }
    }
}

#[test]
fn a_stream_that_breaks_never_claims_more_than_it_saw() {
    for fixture in FIXTURES.iter().filter(|fixture| fixture.status == 200) {
        let whole = run(fixture, fixture.body.as_bytes(), std::iter::empty(), None, true);
        for length in 0..fixture.body.len() {
            let report = run(fixture, &fixture.body.as_bytes()[..length], std::iter::empty(), None, false);
            assert_eq!(report.off, None, "{} at {length}", fixture.name);
            let call = &report.calls[0];
            if call.usage_state == UsageState::Final {
                assert_eq!(call.usage, whole.calls[0].usage, "{} at {length}", fixture.name);
            }
            let unknown = call.usage == crate::model::usage::Usage::default();
            assert_eq!(call.usage_state == UsageState::None, unknown, "{} at {length}", fixture.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_cut_of_any_format_gives_the_same(
        which in 0..FIXTURES.len(),
        sizes in prop::collection::vec(1usize..200, 1..40),
        length in any::<prop::sample::Index>(),
        complete in any::<bool>(),
    ) {
        let fixture = &FIXTURES[which];
        let body = &fixture.body.as_bytes()[..length.index(fixture.body.len() + 1)];
        let whole = run(fixture, body, std::iter::empty(), None, complete);
        let pieces = run(fixture, body, sizes.into_iter().cycle(), None, complete);
        prop_assert_eq!(comparable(pieces), comparable(whole), "{}", fixture.name);
    }

    #[test]
    fn no_bytes_at_all_make_a_tap_panic(
        which in 0..FIXTURES.len(),
        at in any::<prop::sample::Index>(),
        put in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let fixture = &FIXTURES[which];
        let mut body = fixture.body.as_bytes().to_vec();
        let at = at.index(body.len());
        body.splice(at..(at + put.len()).min(body.len()), put);
        run(fixture, &body, std::iter::repeat(5), None, true);
    }
}

#[test]
fn first_token_is_the_first_generated_content_of_a_stream() {
    let fixture = FIXTURES.iter().find(|fixture| fixture.name == "anthropic stream").expect("there");
    let until = fixture.body.find("thinking_delta").expect("there");
    let detected = detected(fixture.url);
    let head = TapHead { status: 200, content_type: Some(b"text/event-stream"), ..TapHead::default() };
    let mut tap = Tap::new(&detected, &head, CAP);
    tap.push(&fixture.body.as_bytes()[..until], 10);
    tap.push(&fixture.body.as_bytes()[until..], 20);
    assert_eq!(tap.end(true, 30).calls[0].first_token_us, Some(20));
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()));
    }
    !crc
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let body = miniz_oxide::deflate::compress_to_vec(plain, 6);
    [&header[..], &body, &crc32(plain).to_le_bytes(), &(plain.len() as u32).to_le_bytes()].concat()
}

#[test]
fn lesson_6_coded_answers_are_read_like_plain_ones() {
    for fixture in FIXTURES {
        let plain = fixture.body.as_bytes();
        let half = plain.len() / 2;
        let codings: [(&[u8], Vec<u8>); 4] = [
            (b"gzip", gzip(plain)),
            (b"gzip", [gzip(&plain[..half]), gzip(&plain[half..])].concat()),
            (b"deflate", miniz_oxide::deflate::compress_to_vec_zlib(plain, 6)),
            (b"deflate", miniz_oxide::deflate::compress_to_vec(plain, 6)),
        ];
        for (coding, body) in codings {
            let report = run(fixture, &body, std::iter::repeat(1), Some(coding), true);
            assert_eq!(tell(&report), fixture.truth, "{}", fixture.name);
            assert_eq!((report.decoded, report.off), (Some(plain.len() as u64), None), "{}", fixture.name);
        }
    }
}

#[test]
fn lesson_9_a_corrupt_body_turns_the_tap_off_and_keeps_what_was_seen() {
    let fixture = &FIXTURES[0];
    let mut body = gzip(fixture.body.as_bytes());
    let end = body.len();
    body[end - 6] ^= 1;
    let report = run(fixture, &body, std::iter::repeat(64), Some(b"gzip"), true);
    assert!(report.off.is_some());
    assert_eq!((report.decoded, report.calls[0].response_id.as_deref()), (None, Some("msg_1")));
}

#[test]
fn p24_a_compression_bomb_stops_the_tap() {
    let fixture = &FIXTURES[0];
    let inner = gzip(&vec![b' '; 64 << 20]);
    let body = gzip(&inner);
    let report = run(fixture, &body, std::iter::repeat(1000), Some(b"gzip, gzip"), true);
    assert_eq!(report.off.as_deref(), Some("compression bomb"));
}

#[test]
fn an_unknown_coding_turns_the_tap_off_and_says_why() {
    let fixture = &FIXTURES[0];
    let report = run(fixture, fixture.body.as_bytes(), std::iter::empty(), Some(b"compress"), true);
    assert_eq!(report.off.as_deref(), Some("unsupported content coding: compress"));
    assert_eq!((report.calls.len(), report.decoded), (1, None));
    assert_eq!(report.calls[0].usage_state, UsageState::None);
}

#[test]
fn p24_a_terminal_event_of_megabytes_is_read_within_the_bound() {
    let fixture = FIXTURES.iter().find(|fixture| fixture.name == "responses stream").expect("there");
    let padding = "x".repeat(8 << 20);
    let body = fixture
        .body
        .replace("\"output\":[", &format!("\"output\":[{{\"type\":\"message\",\"text\":\"{padding}\"}},"));
    assert!(body.len() > 8 << 20);
    let report = run(fixture, body.as_bytes(), std::iter::repeat(16 << 10), None, true);
    assert_eq!(tell(&report), fixture.truth);
}

#[test]
fn p24_tool_calls_without_end_are_kept_within_the_bound() {
    let arguments = "x".repeat(100_000);
    let call =
        format!(r#"{{"id":"c","type":"function","function":{{"name":"f","arguments":"{arguments}"}}}}"#);
    let calls = vec![call.as_str(); 1000].join(",");
    let body = format!(
        r#"{{"choices":[{{"message":{{"tool_calls":[{calls}]}},"finish_reason":"tool_calls"}}],"usage":{{"prompt_tokens":1}}}}"#
    );
    let head = TapHead { status: 200, content_type: Some(b"application/json"), ..TapHead::default() };
    let mut tap = Tap::new(&detected("api.openai.com/v1/chat/completions"), &head, CAP);
    body.as_bytes().chunks(16 << 10).for_each(|piece| tap.push(piece, 1));
    let report = tap.end(true, 2);
    let call = &report.calls[0];
    let kept: usize =
        call.tool_calls.iter().filter_map(|tool| tool.arguments.as_ref()).map(String::len).sum();
    assert!(kept <= CAP / 4, "{kept}");
    assert_eq!((call.usage.input, report.off), (Some(1), None));
}

#[test]
fn several_content_encoding_fields_are_one_list() {
    let fields = [(&b"Content-Encoding"[..], &b"deflate"[..]), (b"content-encoding", b"gzip")];
    let head = TapHead::from_fields(200, fields.into_iter());
    assert_eq!(&head.content_encoding[..], b"deflate,gzip");
}

#[test]
fn errors_in_a_stream_are_told_at_once() {
    let detected = detected("api.anthropic.com/v1/messages");
    let head = TapHead { status: 200, content_type: Some(b"text/event-stream"), ..TapHead::default() };
    let mut tap = Tap::new(&detected, &head, CAP);
    let event = br#"data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    tap.push(event, 5);
    assert_eq!(tap.take_errors()[0].kind.as_deref(), Some("overloaded_error"), "before the line has ended");
    tap.push(b"\n\n", 6);
    let report = tap.end(true, 7);
    assert!(report.errors.is_empty(), "told once");
    assert_eq!(report.calls[0].error_type.as_deref(), Some("overloaded_error"));
}

#[test]
fn a_failed_call_is_a_call_with_an_error_and_without_counts() {
    let detected = detected("api.openai.com/v1/chat/completions");
    let fields = [
        (&b"Content-Type"[..], &b"application/json"[..]),
        (b"X-Request-Id", b"req_9"),
        (b"Retry-After", b"2"),
        (b"retry-after-ms", b"1500"),
    ];
    let head = TapHead::from_fields(429, fields.into_iter());
    let mut tap = Tap::new(&detected, &head, CAP);
    tap.push(br#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#, 5);
    let told = tap.take_errors();
    assert_eq!(told.len(), 1, "as soon as it is known");
    let error = &told[0];
    assert_eq!(
        (error.status, error.retry_after_us, error.request_id.as_deref()),
        (Some(429), Some(1_500_000), Some("req_9"))
    );
    assert_eq!(
        (error.kind.as_deref(), error.code.as_deref()),
        (Some("requests"), Some("rate_limit_exceeded"))
    );
    let report = tap.end(true, 7);
    assert!(report.errors.is_empty(), "told once");
    let call = &report.calls[0];
    assert_eq!((call.error_type.as_deref(), call.usage_state), (Some("requests"), UsageState::None));
    assert_eq!(call.error_message.as_deref(), Some("slow down"));
}

#[test]
fn any_4xx_or_5xx_is_an_error_even_without_a_body() {
    let mut tap = Tap::errors_only(&TapHead { status: 503, ..TapHead::default() });
    tap.push(b"", 1);
    let report = tap.end(true, 2);
    assert_eq!((report.calls.len(), report.errors.len(), report.errors[0].status), (0, 1, Some(503)));
    let redirect = Tap::errors_only(&TapHead { status: 302, ..TapHead::default() }).end(true, 2);
    assert!(redirect.errors.is_empty());
}

/// An AWS event stream message with string headers.
fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(name.len() as u8);
        head.extend(name.as_bytes());
        head.push(7);
        head.extend((value.len() as u16).to_be_bytes());
        head.extend(value.as_bytes());
    }
    let total = (16 + head.len() + payload.len()) as u32;
    let mut frame = [total.to_be_bytes(), (head.len() as u32).to_be_bytes()].concat();
    frame.extend(crc32(&frame).to_be_bytes());
    frame.extend(head);
    frame.extend(payload.as_bytes());
    frame.extend(crc32(&frame).to_be_bytes());
    frame
}

fn event(kind: &str, payload: &str) -> Vec<u8> {
    frame(&[(":message-type", "event"), (":event-type", kind)], payload)
}

fn framed(url: &str, body: &[u8]) -> TapReport {
    let head = TapHead {
        status: 200,
        content_type: Some(b"application/vnd.amazon.eventstream"),
        ..TapHead::default()
    };
    let mut tap = Tap::new(&detected(url), &head, CAP);
    body.chunks(5).for_each(|piece| tap.push(piece, 1));
    tap.end(true, 2)
}

#[test]
fn bedrock_frames_hold_anthropics_events() {
    // base64 of the events of a short message
    let events = [
        "eyJ0eXBlIjoibWVzc2FnZV9zdGFydCIsIm1lc3NhZ2UiOnsiaWQiOiJtc2dfYiIsIm1vZGVsIjoiY2xhdWRlIiwidXNhZ2UiOnsiaW5wdXRfdG9rZW5zIjo1LCJvdXRwdXRfdG9rZW5zIjoxfX19",
        "eyJ0eXBlIjoibWVzc2FnZV9kZWx0YSIsImRlbHRhIjp7InN0b3BfcmVhc29uIjoiZW5kX3R1cm4ifSwidXNhZ2UiOnsib3V0cHV0X3Rva2VucyI6OX19",
        "eyJ0eXBlIjoibWVzc2FnZV9zdG9wIn0=",
    ];
    let mut body: Vec<u8> = events
        .iter()
        .flat_map(|bytes| event("chunk", &format!(r#"{{"bytes":"{bytes}","p":"abcd"}}"#)))
        .collect();
    let url = "bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude/invoke-with-response-stream";
    let truth = "bedrock anthropic.messages | claude msg_b | in 5 read - write -/-/- out 9 think - | final | end_turn - |  |";
    assert_eq!(tell(&framed(url, &body)), [format!("{truth} -")]);
    body.extend(frame(
        &[(":message-type", "exception"), (":exception-type", "throttlingException")],
        r#"{"message":"slow"}"#,
    ));
    let report = framed(url, &body);
    assert_eq!(tell(&report), [format!("{truth} throttlingException")]);
    assert_eq!(report.errors[0].message.as_deref(), Some("slow"));
}

#[test]
fn converse_frames_are_events_themselves() {
    let body = [
        event("messageStart", r#"{"role":"assistant"}"#),
        event(
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}"#,
        ),
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{\"a\":"}}}"#),
        event("contentBlockDelta", r#"{"delta":{"toolUse":{"input":"1}"}},"contentBlockIndex":0}"#),
        event("messageStop", r#"{"stopReason":"tool_use"}"#),
        event(
            "metadata",
            r#"{"usage":{"inputTokens":10,"outputTokens":2,"totalTokens":12},"metrics":{"latencyMs":5}}"#,
        ),
    ];
    let url = "bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova/converse-stream";
    let truth = "bedrock bedrock.converse | - - | in 10 read - write -/-/- out 2 think - | final | tool_use - | t:f({\"a\":1}) | -";
    assert_eq!(tell(&framed(url, &body.concat())), [truth]);
    let mut broken = body.concat();
    broken[9] ^= 1;
    assert!(framed(url, &broken).off.is_some(), "a wrong checksum ends inspection");
}
