//! The SDKs of the smaller providers through the proxy: what each counts is what the origin sent and what the ledger
//! says, with the truth written by hand beside the answers. The large providers' SDKs are in `e2e_clients.rs`.

mod support;

use std::process::Command;

use serde_json::json;
use support::counts::assert_counts;
use support::models::{Answer, serve};
use support::proxy::Setup;
use support::tools::{clients, output, python_with_sdks};

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

/// In the order in which the client asks: provider, input, cache read, output, usage state.
type Truth = (&'static str, Option<i64>, Option<i64>, Option<i64>, &'static str);

const TRUTHS: &[Truth] = &[
    ("mistral", Some(21), Some(16), Some(4), "final"),
    ("mistral", Some(1200), Some(1024), Some(37), "final"),
    ("groq", Some(45), None, Some(9), "final"),
    ("groq", Some(46), None, Some(0), "final"),
    ("ollama", Some(26), None, Some(298), "final"),
    ("ollama", Some(27), None, Some(12), "final"),
    ("cohere", Some(496), Some(480), Some(16), "final"),
    ("cohere", Some(1069), Some(0), Some(44), "final"),
    ("openai", None, None, None, "none"),
    ("openai", Some(8), None, None, "final"),
];

const ANSWERS: &[Answer] = &[
    Answer {
        host: "api.mistral.ai",
        path: "/v1/chat/completions",
        stream: false,
        content_type: JSON,
        pieces: &[
            r#"{"id":"mistral-plain","object":"chat.completion","created":1795000000,"model":"mistral-small-2603",
            "choices":[{"index":0,"message":{"role":"assistant","content":"Hello.","tool_calls":null},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":21,"total_tokens":25,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":16}}}"#,
        ],
    },
    Answer {
        host: "api.mistral.ai",
        path: "/v1/chat/completions",
        stream: true,
        content_type: SSE,
        pieces: &[
            "data: {\"id\":\"mistral-stream\",\"object\":\"chat.completion.chunk\",\"created\":1795000000,\
             \"model\":\"mistral-small-2603\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\
             \"content\":\"I run them.\"},\"finish_reason\":null}]}\n\n",
            "data: {\"id\":\"mistral-stream\",\"object\":\"chat.completion.chunk\",\"created\":1795000000,\
             \"model\":\"mistral-small-2603\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\",\"tool_calls\":\
             [{\"id\":\"Ab1Cd2Ef3\",\"function\":{\"name\":\"run_tests\",\"arguments\":\"{\\\"package\\\": \\\"wire\\\"}\"},\
             \"index\":0}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":1200,\"total_tokens\":1237,\
             \"completion_tokens\":37,\"prompt_tokens_details\":{\"cached_tokens\":1024}}}\n\n",
            "data: [DONE]\n\n",
        ],
    },
    Answer {
        host: "api.groq.com",
        path: "/openai/v1/chat/completions",
        stream: false,
        content_type: JSON,
        pieces: &[
            r#"{"id":"groq-plain","object":"chat.completion","created":1795000000,"model":"llama-3.3-70b-versatile",
            "choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"logprobs":null,"finish_reason":"stop"}],
            "usage":{"queue_time":0.04,"prompt_tokens":45,"prompt_time":0.002,"completion_tokens":9,"completion_time":0.03,
            "total_tokens":54,"total_time":0.032},"system_fingerprint":"fp_1","x_groq":{"id":"req_1"}}"#,
        ],
    },
    Answer {
        host: "api.groq.com",
        path: "/openai/v1/chat/completions",
        stream: true,
        content_type: SSE,
        pieces: &[
            "data: {\"id\":\"groq-stream\",\"object\":\"chat.completion.chunk\",\"created\":1795000000,\
             \"model\":\"llama-3.3-70b-versatile\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\
             \"content\":\"Hello.\"},\"finish_reason\":null}],\"x_groq\":{\"id\":\"req_2\"}}\n\n",
            "data: {\"id\":\"groq-stream\",\"object\":\"chat.completion.chunk\",\"created\":1795000000,\
             \"model\":\"llama-3.3-70b-versatile\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\
             \"x_groq\":{\"id\":\"req_2\",\"usage\":{\"queue_time\":0.1,\"prompt_tokens\":46,\"completion_tokens\":0,\
             \"total_tokens\":46}}}\n\n",
            "data: [DONE]\n\n",
        ],
    },
    Answer {
        host: "ollama.com",
        path: "/api/chat",
        stream: false,
        content_type: JSON,
        pieces: &[
            r#"{"model":"qwen3","created_at":"2026-11-22T00:00:00Z","message":{"role":"assistant","content":"Hello."},
            "done":true,"done_reason":"stop","total_duration":5,"prompt_eval_count":26,"eval_count":298}"#,
        ],
    },
    Answer {
        host: "ollama.com",
        path: "/api/chat",
        stream: true,
        content_type: "application/x-ndjson",
        pieces: &[
            "{\"model\":\"qwen3\",\"created_at\":\"2026-11-22T00:00:00Z\",\"message\":{\"role\":\"assistant\",\
             \"content\":\"I run them.\"},\"done\":false}\n{\"model\":\"qwen3\",\"created_at\":\"2026-11-22T00:00:00Z\",",
            "\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"run_tests\",\
             \"arguments\":{\"package\":\"wire\"}}}]},\"done\":false}\n",
            "{\"model\":\"qwen3\",\"created_at\":\"2026-11-22T00:00:00Z\",\"message\":{\"role\":\"assistant\",\
             \"content\":\"\"},\"done_reason\":\"stop\",\"done\":true,\"prompt_eval_count\":27,\"eval_count\":12}\n",
        ],
    },
    Answer {
        host: "api.cohere.com",
        path: "/v2/chat",
        stream: false,
        content_type: JSON,
        pieces: &[
            r#"{"id":"cohere-plain","message":{"role":"assistant","content":[{"type":"text","text":"Hello."}]},
            "finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5.0,"output_tokens":14.0},
            "tokens":{"input_tokens":496.0,"output_tokens":16.0},"cached_tokens":480.0}}"#,
        ],
    },
    Answer {
        host: "api.cohere.com",
        path: "/v2/chat",
        stream: true,
        content_type: SSE,
        pieces: &[
            "event: message-start\ndata: {\"id\":\"cohere-stream\",\"type\":\"message-start\",\"delta\":{\"message\":\
             {\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}}\n\n",
            "event: content-start\ndata: {\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":\
             {\"type\":\"text\",\"text\":\"\"}}}}\n\n",
            "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":\
             {\"text\":\"I run them.\"}}}}\n\n",
            "event: content-end\ndata: {\"type\":\"content-end\",\"index\":0}\n\n",
            "event: tool-call-start\ndata: {\"type\":\"tool-call-start\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":\
             {\"id\":\"run_tests_1\",\"type\":\"function\",\"function\":{\"name\":\"run_tests\",\"arguments\":\"\"}}}}}\n\n",
            "event: tool-call-delta\ndata: {\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":\
             {\"function\":{\"arguments\":\"{\\\"package\\\":\\\"wire\\\"}\"}}}}}\n\n",
            "event: tool-call-end\ndata: {\"type\":\"tool-call-end\",\"index\":0}\n\n",
            "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"TOOL_CALL\",\"usage\":\
             {\"billed_units\":{\"input_tokens\":9,\"output_tokens\":22},\"tokens\":{\"input_tokens\":1069,\
             \"output_tokens\":44},\"cached_tokens\":0}}}\n\n",
            "data: [DONE]\n\n",
        ],
    },
    Answer {
        host: "api.openai.com",
        path: "/v1/chat/completions",
        stream: true,
        content_type: SSE,
        pieces: &[
            "data: {\"id\":\"openai-silent\",\"object\":\"chat.completion.chunk\",\"created\":1795000000,\
             \"model\":\"gpt-5-2025-08-07\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\
             \"content\":\"Hello.\"},\"finish_reason\":null}]}\n\n",
            "data: {\"id\":\"openai-silent\",\"object\":\"chat.completion.chunk\",\"created\":1795000000,\
             \"model\":\"gpt-5-2025-08-07\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: [DONE]\n\n",
        ],
    },
    Answer {
        host: "api.openai.com",
        path: "/v1/embeddings",
        stream: false,
        content_type: JSON,
        pieces: &[r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]},
            {"object":"embedding","index":1,"embedding":[0.125,1.0]}],"model":"text-embedding-3-small",
            "usage":{"prompt_tokens":8,"total_tokens":8}}"#],
    },
];

#[test]
fn the_smaller_providers_sdks_count_what_the_ledger_counts() {
    let Some(python) = python_with_sdks() else { return };
    let (_origins, setup) = serve(Setup::default(), ANSWERS);
    let proxy = setup.start();
    let said = output(
        Command::new(python)
            .arg(clients().join("python_others.py"))
            .env("HTTPS_PROXY", format!("http://{}", proxy.address()))
            .env("SSL_CERT_FILE", proxy.ca_file()),
    );
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let (lines, rows) = assert_counts(&proxy, &said.stdout, TRUTHS.len());
    for ((line, row), &(provider, input, cache_read, output, state)) in lines.iter().zip(&rows).zip(TRUTHS) {
        assert_eq!(row.text("provider"), Some(provider), "{line}");
        assert_eq!(row.text("usage_state"), Some(state), "{line}");
        let counted = [&line["input"], &line["cache_read"], &line["output"]];
        assert_eq!(counted, [&json!(input), &json!(cache_read), &json!(output)], "{line}");
    }
}
