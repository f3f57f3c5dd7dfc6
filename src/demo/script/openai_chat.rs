//! OpenAI Chat Completions: prompt counts include the cached part, a stream has usage only if asked (WIRE §2).

use super::{Script, cost};
use crate::model::usage::{Call, ToolCall, Usage, UsageState};

const STREAMED_REQUEST: &str = r#"{
  "model": "gpt-5",
  "stream": true,
  "stream_options": {"include_usage": true},
  "tools": [{"type": "function", "function": {"name": "run_tests", "parameters": {"type": "object", "properties": {"package": {"type": "string"}}}}}],
  "messages": [
    {"role": "system", "content": "You repair Rust crates."},
    {"role": "user", "content": "The wire tests fail. Why?"}
  ]
}"#;

const STREAMED_CHUNKS: &[&str] = &[
    r#""service_tier":"default","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null,"obfuscation":"Jk2""#,
    r#""service_tier":"default","choices":[{"index":0,"delta":{"content":"I run "},"finish_reason":null}],"usage":null,"obfuscation":"q""#,
    r#""service_tier":"default","choices":[{"index":0,"delta":{"content":"them.\n"},"finish_reason":null}],"usage":null,"obfuscation":"""#,
    r#""service_tier":"default","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_demo_0","type":"function","function":{"name":"run_tests","arguments":""}}]},"finish_reason":null}],"usage":null"#,
    r#""service_tier":"default","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_demo_1","type":"function","function":{"name":"run_tests","arguments":"{\"package\""}}]},"finish_reason":null}],"usage":null"#,
    r#""service_tier":"default","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"package\":\"wire\"}"}}]},"finish_reason":null}],"usage":null"#,
    r#""service_tier":"default","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":":\"model\"}"}}]},"finish_reason":null}],"usage":null"#,
    r#""service_tier":"default","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null"#,
    r#""service_tier":"default","choices":[],"usage":{"prompt_tokens":2048,"completion_tokens":310,"total_tokens":2358,"prompt_tokens_details":{"cached_tokens":1024,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":192,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
];

const PLAIN_REQUEST: &str = r#"{
  "model": "gpt-5",
  "messages": [
    {"role": "developer", "content": "Answer in one word."},
    {"role": "user", "content": "Ready?"}
  ]
}"#;

const PLAIN_ANSWER: &str = r#"{"id":"chatcmpl-demo-plain","object":"chat.completion","created":1763776800,"model":"gpt-5-2025-08-07","choices":[{"index":0,"message":{"role":"assistant","content":"Ready.","refusal":null,"annotations":[]},"finish_reason":"stop"}],"usage":{"prompt_tokens":21,"completion_tokens":9,"total_tokens":30,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":null}"#;

const INPUT: i64 = 1_250_000;
const CACHE_READ: i64 = 125_000;
const OUTPUT: i64 = 10_000_000;

/// Two interleaved tool calls, usage in a last chunk without choices, then `[DONE]`.
pub(super) fn streamed() -> Script {
    Script {
        name: "openai chat streamed",
        host: "api.openai.com",
        target: "/v1/chat/completions",
        request: STREAMED_REQUEST,
        content_type: "text/event-stream; charset=utf-8",
        events: chunks(STREAMED_CHUNKS),
        truth: Call {
            response_id: Some("chatcmpl-demo-streamed".into()),
            stream: true,
            messages_count: Some(2),
            tools_count: Some(1),
            system_bytes: Some(23),
            usage: Usage {
                input: Some(2048),
                cache_read: Some(1024),
                output: Some(310),
                reasoning: Some(192),
                ..Usage::default()
            },
            stop_reason: Some("tool_calls".into()),
            cost_pico_usd: Some(cost(&[(2048 - 1024, INPUT), (1024, CACHE_READ), (310, OUTPUT)])),
            tool_calls: vec![
                tool_call("call_demo_0", r#"{"package":"wire"}"#),
                tool_call("call_demo_1", r#"{"package":"model"}"#),
            ],
            ..common()
        },
    }
}

/// A one-word answer with explicit zeros.
pub(super) fn plain() -> Script {
    Script {
        name: "openai chat plain",
        host: "api.openai.com",
        target: "/v1/chat/completions",
        request: PLAIN_REQUEST,
        content_type: "application/json",
        events: vec![PLAIN_ANSWER.to_owned()],
        truth: Call {
            response_id: Some("chatcmpl-demo-plain".into()),
            messages_count: Some(2),
            tools_count: Some(0),
            system_bytes: Some(19),
            usage: Usage {
                input: Some(21),
                cache_read: Some(0),
                output: Some(9),
                reasoning: Some(0),
                ..Usage::default()
            },
            stop_reason: Some("stop".into()),
            cost_pico_usd: Some(cost(&[(21, INPUT), (9, OUTPUT)])),
            ..common()
        },
    }
}

fn chunks(parts: &[&str]) -> Vec<String> {
    let chunk = |part: &&str| {
        format!(
            "data: {{\"id\":\"chatcmpl-demo-streamed\",\"object\":\"chat.completion.chunk\",\
             \"created\":1763776800,\"model\":\"gpt-5-2025-08-07\",{part}}}\n\n"
        )
    };
    parts.iter().map(chunk).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn tool_call(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: Some(id.into()), name: "run_tests".into(), arguments: Some(arguments.into()) }
}

fn common() -> Call {
    Call {
        provider: "openai",
        api: "openai.chat",
        model_requested: Some("gpt-5".into()),
        model: Some("gpt-5-2025-08-07".into()),
        usage_state: UsageState::Final,
        service_tier: Some("default".into()),
        ..Call::default()
    }
}
