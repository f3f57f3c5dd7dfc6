//! Gemini: thoughts and tool-use prompts come on top of the other counts, every event repeats the usage, lines end
//! with CRLF, and without `alt=sse` a stream is one JSON array (WIRE §4).

use super::{Script, cost};
use crate::model::usage::{Call, ToolCall, Usage, UsageState};

const HOST: &str = "generativelanguage.googleapis.com";

const REQUEST: &str = r#"{
  "systemInstruction": {"parts": [{"text": "You repair Rust crates."}]},
  "tools": [{"functionDeclarations": [{"name": "run_tests", "parameters": {"type": "OBJECT", "properties": {"package": {"type": "STRING"}}}}]}],
  "contents": [{"role": "user", "parts": [{"text": "The wire tests fail. Why?"}]}]
}"#;

const STREAMED_ANSWERS: &[&str] = &[
    r#"{"candidates": [{"content": {"parts": [{"text": "**Looking**", "thought": true}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 5000,"totalTokenCount": 5090,"cachedContentTokenCount": 4096,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 5000}],"thoughtsTokenCount": 90},"modelVersion": "gemini-2.5-pro","responseId": "demo-gemini-streamed"}"#,
    r#"{"candidates": [{"content": {"parts": [{"text": "I run them."}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 5000,"candidatesTokenCount": 8,"totalTokenCount": 5388,"cachedContentTokenCount": 4096,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 5000}],"thoughtsTokenCount": 380},"modelVersion": "gemini-2.5-pro","responseId": "demo-gemini-streamed"}"#,
    r#"{"candidates": [{"content": {"parts": [{"functionCall": {"name": "run_tests","args": {"package": "wire"}}}],"role": "model"},"finishReason": "STOP","index": 0}],"usageMetadata": {"promptTokenCount": 5000,"candidatesTokenCount": 120,"totalTokenCount": 5540,"cachedContentTokenCount": 4096,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 5000}],"toolUsePromptTokenCount": 40,"thoughtsTokenCount": 380},"modelVersion": "gemini-2.5-pro","responseId": "demo-gemini-streamed"}"#,
];

const PLAIN_REQUEST: &str = r#"{"contents": [{"parts": [{"text": "Say \"hello\"."}]}]}"#;

const PLAIN_ANSWER: &str = r#"{
  "candidates": [{"content": {"parts": [{"text": "Hello [{\"]."}], "role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}],
  "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}]},
  "modelVersion": "gemini-2.5-pro",
  "responseId": "demo-gemini-plain"
}
"#;

const INPUT: i64 = 1_250_000;
const CACHE_READ: i64 = 125_000;
const OUTPUT: i64 = 10_000_000;

/// Events that end with CRLF; thoughts, text and a function call without an id.
pub(super) fn streamed() -> Script {
    Script {
        name: "gemini streamed",
        host: HOST,
        target: "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        request: REQUEST,
        content_type: "text/event-stream",
        events: STREAMED_ANSWERS.iter().map(|answer| format!("data: {answer}\r\n\r\n")).collect(),
        truth: streamed_truth(),
    }
}

/// The same answers as one JSON array, which arrives piece by piece.
pub(super) fn array() -> Script {
    let last = STREAMED_ANSWERS.len() - 1;
    let piece = |(at, answer): (usize, &&str)| match at {
        0 => format!("[{answer}\n"),
        _ if at == last => format!(",\r\n{answer}\n]\n"),
        _ => format!(",\r\n{answer}\n"),
    };
    Script {
        name: "gemini array",
        host: HOST,
        target: "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        request: REQUEST,
        content_type: "application/json; charset=UTF-8",
        events: STREAMED_ANSWERS.iter().enumerate().map(piece).collect(),
        truth: streamed_truth(),
    }
}

/// One document, pretty-printed, without thoughts or cache.
pub(super) fn plain() -> Script {
    Script {
        name: "gemini plain",
        host: HOST,
        target: "/v1beta/models/gemini-2.5-pro:generateContent",
        request: PLAIN_REQUEST,
        content_type: "application/json; charset=UTF-8",
        events: vec![PLAIN_ANSWER.to_owned()],
        truth: Call {
            response_id: Some("demo-gemini-plain".into()),
            messages_count: Some(1),
            tools_count: Some(0),
            system_bytes: Some(0),
            usage: Usage { input: Some(7), output: Some(3), ..Usage::default() },
            stop_reason: Some("MAX_TOKENS".into()),
            cost_pico_usd: Some(cost(&[(7, INPUT), (3, OUTPUT)])),
            ..common()
        },
    }
}

fn streamed_truth() -> Call {
    Call {
        response_id: Some("demo-gemini-streamed".into()),
        stream: true,
        messages_count: Some(1),
        tools_count: Some(1),
        system_bytes: Some(23),
        usage: Usage {
            input: Some(5000 + 40),
            cache_read: Some(4096),
            output: Some(120 + 380),
            reasoning: Some(380),
            ..Usage::default()
        },
        stop_reason: Some("STOP".into()),
        cost_pico_usd: Some(cost(&[(5040 - 4096, INPUT), (4096, CACHE_READ), (500, OUTPUT)])),
        tool_calls: vec![ToolCall {
            id: None,
            name: "run_tests".into(),
            arguments: Some(r#"{"package":"wire"}"#.into()),
        }],
        ..common()
    }
}

fn common() -> Call {
    Call {
        provider: "google",
        api: "google.generate",
        model_requested: Some("gemini-2.5-pro".into()),
        model: Some("gemini-2.5-pro".into()),
        usage_state: UsageState::Final,
        ..Call::default()
    }
}
