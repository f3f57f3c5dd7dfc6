//! Anthropic Messages: input counts exclude cache reads and writes, stream usage is cumulative (WIRE §1).

use super::{Script, cost, named_events};
use crate::model::usage::{Call, ToolCall, ToolResult, Usage, UsageState};

const STREAMED_REQUEST: &str = r#"{
  "model": "claude-haiku-4-5",
  "max_tokens": 4096,
  "stream": true,
  "system": [{"type": "text", "text": "You repair Rust crates. Be brief.", "cache_control": {"type": "ephemeral"}}],
  "thinking": {"type": "enabled", "budget_tokens": 2048},
  "tools": [
    {"name": "run_tests", "description": "Runs a crate's tests", "input_schema": {"type": "object", "properties": {"package": {"type": "string"}}}},
    {"name": "read_file", "description": "Reads a file", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}
  ],
  "messages": [
    {"role": "user", "content": "The wire tests fail. Why?"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_demo_0", "name": "read_file", "input": {"path": "src/wire.rs"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_demo_0", "is_error": true, "content": "no such file: src/wire.rs"}]}
  ]
}"#;

const STREAMED_EVENTS: &[(&str, &str)] = &[
    (
        "message_start",
        r#"{"type":"message_start","message":{"id":"msg_demo_streamed","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1200,"cache_creation_input_tokens":3000,"cache_read_input_tokens":48000,"cache_creation":{"ephemeral_5m_input_tokens":2000,"ephemeral_1h_input_tokens":1000},"output_tokens":1,"service_tier":"standard"}}}"#,
    ),
    ("ping", r#"{"type":"ping"}"#),
    (
        "content_block_start",
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    ),
    (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"The file moved."}}"#,
    ),
    (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"ZGVtbw=="}}"#,
    ),
    ("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
    (
        "content_block_start",
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
    ),
    (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I run the tests of "}}"#,
    ),
    (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"wire — \u00e0 la carte."}}"#,
    ),
    ("content_block_stop", r#"{"type":"content_block_stop","index":1}"#),
    (
        "content_block_start",
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_demo_1","name":"run_tests","input":{}}}"#,
    ),
    (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
    ),
    (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"package\": \"wi"}}"#,
    ),
    (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"re\"}"}}"#,
    ),
    ("content_block_stop", r#"{"type":"content_block_stop","index":2}"#),
    (
        "message_delta",
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":1200,"cache_creation_input_tokens":3000,"cache_read_input_tokens":48000,"output_tokens":421,"output_tokens_details":{"thinking_tokens":256}}}"#,
    ),
    ("message_stop", r#"{"type":"message_stop"}"#),
];

const PLAIN_REQUEST: &str = r#"{
  "model": "claude-haiku-4-5",
  "max_tokens": 64,
  "messages": [{"role": "user", "content": "Say hello."}]
}"#;

const PLAIN_ANSWER: &str = r#"{"id":"msg_demo_plain","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"text","text":"Hello."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":11,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":5,"service_tier":"standard"}}"#;

const INPUT: i64 = 1_000_000;
const CACHE_READ: i64 = 100_000;
const CACHE_WRITE_5M: i64 = 1_250_000;
const CACHE_WRITE_1H: i64 = 2_000_000;
const OUTPUT: i64 = 5_000_000;

/// Thinking, text and one tool call, with cache reads and both kinds of cache writes.
pub(super) fn streamed() -> Script {
    Script {
        name: "anthropic streamed",
        host: "api.anthropic.com",
        target: "/v1/messages",
        request: STREAMED_REQUEST,
        content_type: "text/event-stream; charset=utf-8",
        events: named_events(STREAMED_EVENTS),
        truth: Call {
            response_id: Some("msg_demo_streamed".into()),
            stream: true,
            messages_count: Some(3),
            tools_count: Some(2),
            system_bytes: Some(33),
            usage: Usage {
                input: Some(1200 + 3000 + 48_000),
                cache_read: Some(48_000),
                cache_write: Some(3000),
                cache_write_5m: Some(2000),
                cache_write_1h: Some(1000),
                output: Some(421),
                reasoning: Some(256),
            },
            stop_reason: Some("tool_use".into()),
            cost_pico_usd: Some(cost(&[
                (1200, INPUT),
                (48_000, CACHE_READ),
                (2000, CACHE_WRITE_5M),
                (1000, CACHE_WRITE_1H),
                (421, OUTPUT),
            ])),
            tool_calls: vec![ToolCall {
                id: Some("toolu_demo_1".into()),
                name: "run_tests".into(),
                arguments: Some(r#"{"package": "wire"}"#.into()),
            }],
            tool_results: vec![ToolResult {
                id: Some("toolu_demo_0".into()),
                is_error: Some(true),
                preview: Some("no such file: src/wire.rs".into()),
            }],
            ..common()
        },
    }
}

/// A short answer whose cache counts are an explicit 0.
pub(super) fn plain() -> Script {
    Script {
        name: "anthropic plain",
        host: "api.anthropic.com",
        target: "/v1/messages?beta=true",
        request: PLAIN_REQUEST,
        content_type: "application/json",
        events: vec![PLAIN_ANSWER.to_owned()],
        truth: Call {
            response_id: Some("msg_demo_plain".into()),
            messages_count: Some(1),
            tools_count: Some(0),
            system_bytes: Some(0),
            usage: Usage {
                input: Some(11),
                cache_read: Some(0),
                cache_write: Some(0),
                cache_write_5m: Some(0),
                cache_write_1h: Some(0),
                output: Some(5),
                reasoning: None,
            },
            stop_reason: Some("end_turn".into()),
            cost_pico_usd: Some(cost(&[(11, INPUT), (5, OUTPUT)])),
            ..common()
        },
    }
}

fn common() -> Call {
    Call {
        provider: "anthropic",
        api: "anthropic.messages",
        model_requested: Some("claude-haiku-4-5".into()),
        model: Some("claude-haiku-4-5-20251001".into()),
        usage_state: UsageState::Final,
        service_tier: Some("standard".into()),
        ..Call::default()
    }
}
