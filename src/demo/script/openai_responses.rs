//! OpenAI Responses: named events, usage only in the terminal one, which repeats the whole output (WIRE §3).

use super::{Script, cost, named_events};
use crate::model::usage::{Call, ToolCall, Usage, UsageState};

const STREAMED_REQUEST: &str = r#"{
  "model": "gpt-5",
  "stream": true,
  "instructions": "You repair Rust crates.",
  "reasoning": {"effort": "low"},
  "tools": [{"type": "function", "name": "run_tests", "parameters": {"type": "object", "properties": {"package": {"type": "string"}}}}],
  "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "The wire tests fail. Why?"}]}]
}"#;

const STREAMED_EVENTS: &[(&str, &str)] = &[
    (
        "response.created",
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_demo_streamed","object":"response","created_at":1763776800,"status":"in_progress","model":"gpt-5-2025-08-07","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"service_tier":"auto","usage":null}}"#,
    ),
    (
        "response.in_progress",
        r#"{"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_demo_streamed","object":"response","created_at":1763776800,"status":"in_progress","model":"gpt-5-2025-08-07","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"service_tier":"auto","usage":null}}"#,
    ),
    (
        "response.output_item.added",
        r#"{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"type":"message","id":"msg_demo_r","status":"in_progress","role":"assistant","content":[]}}"#,
    ),
    (
        "response.content_part.added",
        r#"{"type":"response.content_part.added","sequence_number":3,"item_id":"msg_demo_r","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}"#,
    ),
    (
        "response.output_text.delta",
        r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_demo_r","output_index":0,"content_index":0,"delta":"I run them.","logprobs":[]}"#,
    ),
    (
        "response.output_text.done",
        r#"{"type":"response.output_text.done","sequence_number":5,"item_id":"msg_demo_r","output_index":0,"content_index":0,"text":"I run them.","logprobs":[]}"#,
    ),
    (
        "response.content_part.done",
        r#"{"type":"response.content_part.done","sequence_number":6,"item_id":"msg_demo_r","output_index":0,"content_index":0,"part":{"type":"output_text","text":"I run them.","annotations":[],"logprobs":[]}}"#,
    ),
    (
        "response.output_item.done",
        r#"{"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":{"type":"message","id":"msg_demo_r","status":"completed","role":"assistant","content":[{"type":"output_text","text":"I run them.","annotations":[],"logprobs":[]}]}}"#,
    ),
    (
        "response.output_item.added",
        r#"{"type":"response.output_item.added","sequence_number":8,"output_index":1,"item":{"type":"function_call","id":"fc_demo_0","call_id":"call_demo_r","name":"run_tests","arguments":"","status":"in_progress"}}"#,
    ),
    (
        "response.function_call_arguments.delta",
        r#"{"type":"response.function_call_arguments.delta","sequence_number":9,"item_id":"fc_demo_0","output_index":1,"delta":"{\"package\":"}"#,
    ),
    (
        "response.function_call_arguments.delta",
        r#"{"type":"response.function_call_arguments.delta","sequence_number":10,"item_id":"fc_demo_0","output_index":1,"delta":"\"wire\"}"}"#,
    ),
    (
        "response.function_call_arguments.done",
        r#"{"type":"response.function_call_arguments.done","sequence_number":11,"item_id":"fc_demo_0","output_index":1,"name":"run_tests","arguments":"{\"package\":\"wire\"}"}"#,
    ),
    (
        "response.output_item.done",
        r#"{"type":"response.output_item.done","sequence_number":12,"output_index":1,"item":{"type":"function_call","id":"fc_demo_0","call_id":"call_demo_r","name":"run_tests","arguments":"{\"package\":\"wire\"}","status":"completed"}}"#,
    ),
    (
        "response.completed",
        r#"{"type":"response.completed","sequence_number":13,"response":{"id":"resp_demo_streamed","object":"response","created_at":1763776800,"status":"completed","error":null,"incomplete_details":null,"model":"gpt-5-2025-08-07","output":[{"type":"message","id":"msg_demo_r","status":"completed","role":"assistant","content":[{"type":"output_text","text":"I run them.","annotations":[],"logprobs":[]}]},{"type":"function_call","id":"fc_demo_0","call_id":"call_demo_r","name":"run_tests","arguments":"{\"package\":\"wire\"}","status":"completed"}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"service_tier":"default","usage":{"input_tokens":900,"input_tokens_details":{"cached_tokens":256},"output_tokens":777,"output_tokens_details":{"reasoning_tokens":512},"total_tokens":1677}}}"#,
    ),
];

const PLAIN_REQUEST: &str = r#"{
  "model": "gpt-5",
  "input": "Count to a thousand.",
  "max_output_tokens": 64
}"#;

const PLAIN_ANSWER: &str = r#"{"id":"resp_demo_plain","object":"response","created_at":1763776800,"status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},"model":"gpt-5-2025-08-07","output":[{"type":"message","id":"msg_demo_p","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"1 2 3","annotations":[],"logprobs":[]}]}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"service_tier":"default","usage":{"input_tokens":14,"input_tokens_details":{"cached_tokens":0},"output_tokens":64,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":78}}"#;

const INPUT: i64 = 1_250_000;
const CACHE_READ: i64 = 125_000;
const OUTPUT: i64 = 10_000_000;

/// Text and one function call, whose `call_id` is not its item's `id`.
pub(super) fn streamed() -> Script {
    Script {
        name: "openai responses streamed",
        host: "api.openai.com",
        target: "/v1/responses",
        request: STREAMED_REQUEST,
        content_type: "text/event-stream; charset=utf-8",
        events: named_events(STREAMED_EVENTS),
        truth: Call {
            response_id: Some("resp_demo_streamed".into()),
            stream: true,
            messages_count: Some(1),
            tools_count: Some(1),
            system_bytes: Some(23),
            usage: Usage {
                input: Some(900),
                cache_read: Some(256),
                output: Some(777),
                reasoning: Some(512),
                ..Usage::default()
            },
            stop_reason: Some("completed".into()),
            cost_pico_usd: Some(cost(&[(900 - 256, INPUT), (256, CACHE_READ), (777, OUTPUT)])),
            tool_calls: vec![ToolCall {
                id: Some("call_demo_r".into()),
                name: "run_tests".into(),
                arguments: Some(r#"{"package":"wire"}"#.into()),
            }],
            ..common()
        },
    }
}

/// A plain string as input, cut off by its token limit: incomplete answers are billed too.
pub(super) fn plain() -> Script {
    Script {
        name: "openai responses plain",
        host: "api.openai.com",
        target: "/v1/responses",
        request: PLAIN_REQUEST,
        content_type: "application/json",
        events: vec![PLAIN_ANSWER.to_owned()],
        truth: Call {
            response_id: Some("resp_demo_plain".into()),
            messages_count: Some(1),
            tools_count: Some(0),
            system_bytes: Some(0),
            usage: Usage {
                input: Some(14),
                cache_read: Some(0),
                output: Some(64),
                reasoning: Some(0),
                ..Usage::default()
            },
            stop_reason: Some("max_output_tokens".into()),
            cost_pico_usd: Some(cost(&[(14, INPUT), (64, OUTPUT)])),
            ..common()
        },
    }
}

fn common() -> Call {
    Call {
        provider: "openai",
        api: "openai.responses",
        model_requested: Some("gpt-5".into()),
        model: Some("gpt-5-2025-08-07".into()),
        usage_state: UsageState::Final,
        service_tier: Some("default".into()),
        ..Call::default()
    }
}
