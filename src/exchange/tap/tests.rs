//! Own fixtures with ground truth: every format, whole and cut, coded and plain, truncated, with errors inside.

mod fixtures;
mod hostile;

use proptest::prelude::*;

use super::*;
use crate::model::detect::{ModelTable, Query, detect};
use crate::model::usage::UsageState;
use fixtures::{FIXTURES, Fixture};
use hostile::HOSTILE;

const CAP: usize = 1 << 20;

/// All of them.
fn fixtures() -> impl Iterator<Item = &'static Fixture> {
    FIXTURES.iter().chain(HOSTILE)
}

/// One of them.
fn fixture(which: prop::sample::Index) -> &'static Fixture {
    let all: Vec<_> = fixtures().collect();
    all[which.index(all.len())]
}

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
    for fixture in fixtures() {
        let report = run(fixture, fixture.body.as_bytes(), std::iter::empty(), None, true);
        assert_eq!(tell(&report), fixture.truth, "{}", fixture.name);
        assert_eq!(report.off, None, "{}", fixture.name);
        assert_eq!(report.decoded, Some(fixture.body.len() as u64), "{}", fixture.name);
    }
}

#[test]
fn cuts_at_every_byte_change_nothing() {
    for fixture in fixtures() {
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
    for fixture in fixtures().filter(|fixture| fixture.content_type.starts_with("text/event-stream")) {
        for end in ["\r\n", "\r"] {
            let body = fixture.body.replace('\n', end);
            let report = run(fixture, body.as_bytes(), std::iter::repeat(3), None, true);
            assert_eq!(tell(&report), fixture.truth, "{}", fixture.name);
        }
    }
}

#[test]
fn a_stream_that_breaks_never_claims_more_than_it_saw() {
    for fixture in fixtures().filter(|fixture| fixture.status == 200) {
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
        which in any::<prop::sample::Index>(),
        sizes in prop::collection::vec(1usize..200, 1..40),
        length in any::<prop::sample::Index>(),
        complete in any::<bool>(),
    ) {
        let fixture = fixture(which);
        let body = &fixture.body.as_bytes()[..length.index(fixture.body.len() + 1)];
        let whole = run(fixture, body, std::iter::empty(), None, complete);
        let pieces = run(fixture, body, sizes.into_iter().cycle(), None, complete);
        prop_assert_eq!(comparable(pieces), comparable(whole), "{}", fixture.name);
    }

    #[test]
    fn no_bytes_at_all_make_a_tap_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        put in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let fixture = fixture(which);
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
    for fixture in fixtures() {
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

/// Zstandard without compression: a frame of raw blocks (RFC 8878 §3.1).
fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x40];
    for block in plain.chunks(1000) {
        frame.extend(&(block.len() as u32 * 8).to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame.extend([1, 0, 0]);
    frame
}

/// Brotli without compression: one metablock of plain bytes (RFC 7932 §9.2) and an empty last one.
fn brotli(plain: &[u8]) -> Vec<u8> {
    assert!((1..=1 << 16).contains(&plain.len()));
    // One bit of window size 0, not the last, four nibbles of length, and that it is not compressed.
    let head = (plain.len() as u32 - 1) << 4 | 1 << 20;
    [&head.to_le_bytes()[..3], plain, &[3]].concat()
}

#[test]
#[cfg(all(feature = "brotli", feature = "zstd"))]
fn lesson_6_answers_in_br_and_zstd_are_read_like_plain_ones() {
    for fixture in fixtures() {
        let plain = fixture.body.as_bytes();
        let half = plain.len() / 2;
        let codings: [(&[u8], Vec<u8>); 4] = [
            (b"br", brotli(plain)),
            (b"ZSTD", zstd(plain)),
            (b"zstd", [zstd(&plain[..half]), zstd(&plain[half..])].concat()),
            (b"gzip, identity, br", brotli(&gzip(plain))),
        ];
        for (coding, body) in codings {
            let report = run(fixture, &body, std::iter::repeat(1), Some(coding), true);
            assert_eq!((report.decoded, &report.off), (Some(plain.len() as u64), &None), "{}", fixture.name);
            assert_eq!(tell(&report), fixture.truth, "{}", fixture.name);
        }
    }
}

#[test]
#[cfg(feature = "zstd")]
fn coded_requests_are_read_too() {
    let detected = detected("chatgpt.com/backend-api/codex/responses");
    let body = br#"{"model":"gpt","stream":true,"input":[{"role":"user","content":"x"}],"tools":[{}]}"#;
    let codings: [(&[u8], Vec<u8>); 4] = [
        (b"gzip", [gzip(&body[..9]), gzip(&body[9..])].concat()),
        (b"x-gzip", gzip(body)),
        (b"deflate", miniz_oxide::deflate::compress_to_vec_zlib(body, 6)),
        (b"zstd", zstd(body)),
    ];
    for (coding, coded) in codings {
        let mut tap = RequestTap::new(&detected, Some(coding));
        coded.chunks(3).for_each(|piece| tap.push(piece));
        let facts = tap.end(true);
        assert_eq!((facts.model.as_deref(), facts.stream), (Some("gpt"), Some(true)));
        assert_eq!((facts.messages_count, facts.tools_count, facts.off), (Some(1), Some(1), None));
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
fn retry_after_is_seconds_or_a_date() {
    type Row = (&'static [(&'static [u8], &'static [u8])], Option<u64>);
    const DATE: &[u8] = b"Sun, 22 Nov 2026 12:00:00 GMT";
    const LATER: &[u8] = b"Sun, 22 Nov 2026 12:01:30 GMT";
    // Ten seconds before DATE.
    let asked_at = (20_779 * 86_400 + 43_190) * 1_000_000;
    let cases: &[Row] = &[
        (&[(b"retry-after", b" 7 ")], Some(7_000_000)),
        (&[(b"retry-after", b"0.5")], Some(500_000)),
        (&[(b"retry-after", LATER), (b"date", DATE)], Some(90_000_000)),
        (&[(b"retry-after", LATER)], Some(100_000_000)),
        (&[(b"retry-after", DATE), (b"date", LATER)], Some(0)),
        (&[(b"retry-after", LATER), (b"retry-after-ms", b"250")], Some(250_000)),
        (&[(b"retry-after", LATER), (b"retry-after-ms", b"soon"), (b"date", DATE)], Some(90_000_000)),
        (&[(b"retry-after", b"tomorrow")], None),
        (&[(b"retry-after", b"-1")], None),
        (&[], None),
    ];
    for (fields, wait) in cases {
        let head = TapHead { asked_at, ..TapHead::from_fields(429, fields.iter().copied()) };
        assert_eq!(Tap::errors_only(&head).end(true, 1).errors[0].retry_after_us, *wait, "{fields:?}");
    }
}

#[test]
fn of_several_request_ids_the_providers_own_is_told() {
    let fields = [(&b"apim-request-id"[..], &b"c"[..]), (b"X-Request-Id", b"b"), (b"Request-Id", b"a")];
    for fields in [fields, [fields[2], fields[1], fields[0]]] {
        assert_eq!(TapHead::from_fields(500, fields.into_iter()).request_id, Some(&b"a"[..]));
    }
}

#[test]
fn aws_says_in_the_head_what_kind_of_error_it_is() {
    let fields = [(&b"x-amzn-ErrorType"[..], &b"ThrottlingException:http://internal.amazon.com/"[..])];
    let detected = detected("bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude/invoke");
    let mut tap = Tap::new(&detected, &TapHead::from_fields(429, fields.into_iter()), CAP);
    tap.push(br#"{"message":"Too many requests"}"#, 1);
    let report = tap.end(true, 2);
    assert_eq!(report.errors[0].kind.as_deref(), Some("ThrottlingException"));
    assert_eq!(report.calls[0].error_type.as_deref(), Some("ThrottlingException"));
}

#[test]
fn errors_in_a_stream_keep_their_request_id_and_their_delay() {
    let cases = [
        (
            "api.anthropic.com/v1/messages",
            r#"{"type":"error","request_id":"req_1","error":{"type":"overloaded_error","message":"m"}}"#,
            (Some("req_1"), None),
        ),
        (
            "api.anthropic.com/v1/messages",
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":"req_1"}"#,
            (Some("req_1"), None),
        ),
        (
            "generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent?alt=sse",
            r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"t"},{"retryDelay":"13s"}]}}"#,
            (Some("of-the-head"), Some(13_000_000)),
        ),
    ];
    for (url, event, expected) in cases {
        let head = TapHead { status: 200, request_id: Some(b"of-the-head"), ..TapHead::default() };
        let mut tap = Tap::new(&detected(url), &head, CAP);
        tap.push(format!("data: {event}\n\n").as_bytes(), 1);
        let error = &tap.end(true, 2).errors[0];
        assert_eq!((error.request_id.as_deref(), error.retry_after_us), expected, "{event}");
    }
}

#[test]
fn what_the_provider_charged_is_read_in_its_own_unit() {
    let cases = [
        (
            "openrouter.ai/api/v1/chat/completions",
            r#""cost":0.0123,"cost_details":{"cost":9}"#,
            Some(12_300_000_000),
        ),
        ("openrouter.ai/api/v1/responses", r#""cost":0"#, Some(0)),
        ("api.x.ai/v1/chat/completions", r#""cost_in_usd_ticks":37756000"#, Some(3_775_600_000)),
        ("api.x.ai/v1/responses", r#""cost_in_usd_ticks":1"#, Some(100)),
        (
            "api.perplexity.ai/chat/completions",
            r#""cost":{"input_tokens_cost":0.1,"total_cost":0.5}"#,
            Some(500_000_000_000),
        ),
        ("openrouter.ai/api/v1/chat/completions", r#""cost":-1"#, None),
        ("openrouter.ai/api/v1/chat/completions", r#""cost":1e300"#, None),
        ("openrouter.ai/api/v1/chat/completions", r#""cost":null"#, None),
    ];
    for (url, usage, cost) in cases {
        let body =
            format!(r#"{{"id":"c","status":"completed","choices":[],"usage":{{"input_tokens":1,{usage}}}}}"#);
        let head = TapHead { status: 200, content_type: Some(b"application/json"), ..TapHead::default() };
        let mut tap = Tap::new(&detected(url), &head, CAP);
        tap.push(body.as_bytes(), 1);
        assert_eq!(tap.end(true, 2).calls[0].cost_pico_usd, cost, "{url} {usage}");
    }
}

#[test]
fn lesson_4_a_stream_that_stops_after_its_stop_reason_is_final_only_with_its_counts() {
    let chunks = [
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
    ];
    for (seen, complete, state) in [
        (1, false, UsageState::Partial),
        (2, false, UsageState::Partial),
        (2, true, UsageState::Final),
        (3, false, UsageState::Final),
    ] {
        let head = TapHead { status: 200, content_type: Some(b"text/event-stream"), ..TapHead::default() };
        let mut tap = Tap::new(&detected("api.openai.com/v1/chat/completions"), &head, CAP);
        chunks[..seen].iter().for_each(|chunk| tap.push(format!("data: {chunk}\n\n").as_bytes(), 1));
        assert_eq!(tap.end(complete, 2).calls[0].usage_state, state, "{seen} {complete}");
    }
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
fn bedrocks_own_metrics_serve_where_a_model_tells_no_counts() {
    // {"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":9,
    //  "cacheReadInputTokenCount":2,"cacheWriteInputTokenCount":1}}
    let bytes = "eyJ0eXBlIjoibWVzc2FnZV9zdG9wIiwiYW1hem9uLWJlZHJvY2staW52b2NhdGlvbk1ldHJpY3MiOnsiaW5wdXRUb2tlbkNvdW50Ijo1LCJvdXRwdXRUb2tlbkNvdW50Ijo5LCJjYWNoZVJlYWRJbnB1dFRva2VuQ291bnQiOjIsImNhY2hlV3JpdGVJbnB1dFRva2VuQ291bnQiOjF9fQ==";
    let body = event("chunk", &format!(r#"{{"bytes":"{bytes}"}}"#));
    let url = "bedrock-runtime.us-east-1.amazonaws.com/model/arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fx/invoke-with-response-stream";
    let truth = "bedrock bedrock.invoke | - - | in 8 read 2 write 1/-/- out 9 think - | final | - - |  | -";
    assert_eq!(tell(&framed(url, &body)), [truth]);
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
