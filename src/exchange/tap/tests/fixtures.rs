//! Bytes written by ourselves after WIRE, and what a meter has to make of them.

/// One answer.
pub(super) struct Fixture {
    pub(super) name: &'static str,
    pub(super) url: &'static str,
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) request: &'static str,
    pub(super) body: &'static str,
    /// As [`super::tell`] tells it.
    pub(super) truth: &'static [&'static str],
}

pub(super) const SSE: &str = "text/event-stream; charset=utf-8";
pub(super) const JSON: &str = "application/json";

pub(super) const FIXTURES: &[Fixture] = &[
    Fixture {
        name: "anthropic stream",
        url: "api.anthropic.com/v1/messages",
        status: 200,
        content_type: SSE,
        request: r#"{"model":"claude-opus-4-5","stream":true,"messages":[{"role":"user","content":"hi"}]}"#,
        body: r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-5","content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":300,"cache_read_input_tokens":2000,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm \ud83d\ude00"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I \"will\" {look}: input_json_delta"}}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"read","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"delta":{"partial_json":"{\"path\": \"a","type":"input_json_delta"},"index":2,"type":"content_block_delta"}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":".txt\"}"}}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"ls","input":{}}}

event: content_block_start
data: {"type":"content_block_start","index":4,"content_block":{"type":"from_the_future","x":[1,{"name":"no"}]}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":77,"output_tokens_details":{"thinking_tokens":30}}}

event: message_stop
data: {"type":"message_stop"}

"#,
        truth: &[
            "anthropic anthropic.messages | claude-opus-4-5 msg_1 | in 2310 read 2000 write 300/100/200 out 77 think 30 | final | tool_use standard | toolu_1:read({\"path\": \"a.txt\"}) toolu_2:ls({}) | -",
        ],
    },
    Fixture {
        name: "anthropic plain with zeros, server tool, fallback and compaction",
        url: "us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:rawPredict",
        status: 200,
        content_type: JSON,
        request: r#"{"anthropic_version":"vertex-2023-10-16","messages":[]}"#,
        body: r#"{"usage":{"input_tokens":0,"output_tokens":5,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"iterations":[{"type":"compaction","input_tokens":900,"output_tokens":40},{"type":"message","input_tokens":0,"output_tokens":2},{"type":"fallback_message","model":"claude-y","input_tokens":0,"output_tokens":3}]},
"id":"msg_2","type":"message","model":"claude-x","content":[{"type":"fallback","to":{"model":"claude-y"}},{"type":"server_tool_use","id":"srv_1","name":"web_search","input":{"query":"a \u003c b"}},{"type":"web_search_tool_result","tool_use_id":"srv_1","content":[{"type":"web_search_result","title":"t"}]},{"text":"ok","type":"text"}],"stop_reason":"end_turn"}"#,
        truth: &[
            "google anthropic.messages | claude-y msg_2 | in 0 read 0 write 0/-/- out 5 think - | final | end_turn - | srv_1:web_search({\"query\":\"a \\u003c b\"}) | -",
            "google anthropic.messages | claude-x msg_2 | in 900 read - write -/-/- out 40 think - | final | compaction - |  | -",
        ],
    },
    Fixture {
        name: "anthropic stream with an error inside",
        url: "api.anthropic.com/v1/messages?beta=true",
        status: 200,
        content_type: SSE,
        request: "{}",
        body: r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_3","model":"claude-z","usage":{"input_tokens":9,"output_tokens":1}}}

event: error
data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}

"#,
        truth: &[
            "anthropic anthropic.messages | claude-z msg_3 | in 9 read - write -/-/- out 1 think - | partial | - - |  | overloaded_error",
        ],
    },
    Fixture {
        name: "chat stream with usage",
        url: "api.openai.com/v1/chat/completions",
        status: 200,
        content_type: SSE,
        request: r#"{"model":"gpt-5.6","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
        body: r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5.6-2026","service_tier":"default","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null,"obfuscation":"x"}

data: {"id":"chatcmpl-1","model":"gpt-5.6-2026","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","model":"","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":""}},{"index":1,"id":"call_b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"delta":{"tool_calls":[{"function":{"arguments":"1}"},"index":0}]},"finish_reason":null,"index":0}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}

data: {"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":64,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":12}}}

data: [DONE]

"#,
        truth: &[
            "openai openai.chat | gpt-5.6-2026 chatcmpl-1 | in 100 read 64 write -/-/- out 20 think 12 | final | tool_calls default | call_a:f({\"a\":1}) call_b:g({}) | -",
        ],
    },
    Fixture {
        name: "chat stream without usage",
        url: "api.openai.com/v1/chat/completions",
        status: 200,
        content_type: SSE,
        request: r#"{"model":"gpt-5.6","stream":true,"messages":[]}"#,
        body: "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        truth: &["openai openai.chat | m c | in - read - write -/-/- out - think - | none | stop - |  | -"],
    },
    Fixture {
        name: "azure stream whose first chunk is empty",
        url: "r.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
        status: 200,
        content_type: SSE,
        request: r#"{"stream":true,"messages":[]}"#,
        body: r#"data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}

data: {"id":"c2","model":"gpt-4o","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}

data: {"id":"","model":"","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}

data: {"id":"c2","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":0}}

data: [DONE]

"#,
        truth: &[
            "azure openai.chat | gpt-4o c2 | in 7 read - write -/-/- out 0 think - | final | length - |  | -",
        ],
    },
    Fixture {
        name: "chat plain",
        url: "api.openai.com/v1/chat/completions",
        status: 200,
        content_type: JSON,
        request: r#"{"model":"gpt-5.6","messages":[]}"#,
        body: r#"

 {"id":"c3","object":"chat.completion","model":"gpt-5.6","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\":\"\u00e9\"}"}},{"id":"call_2","type":"custom","custom":{"name":"sh","input":"ls -l"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":5}},"service_tier":"priority"}"#,
        truth: &[
            "openai openai.chat | gpt-5.6 c3 | in 12 read 0 write 5/-/- out 34 think - | final | tool_calls priority | call_1:f({\"x\":\"é\"}) call_2:sh(ls -l) | -",
        ],
    },
    Fixture {
        name: "openrouter stream with comments and an error",
        url: "openrouter.ai/api/v1/chat/completions",
        status: 200,
        content_type: SSE,
        request: r#"{"stream":true}"#,
        body: ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: {\"id\":\"gen-1\",\"model\":\"x/y\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"id\":\"gen-1\",\"model\":\"x/y\",\"error\":{\"code\":502,\"message\":\"Provider disconnected\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
        truth: &[
            "openrouter openai.chat | x/y gen-1 | in - read - write -/-/- out - think - | none | error - |  | 502",
        ],
    },
    Fixture {
        name: "groq stream with its own usage",
        url: "api.groq.com/openai/v1/chat/completions",
        status: 200,
        content_type: SSE,
        request: r#"{"stream":true}"#,
        body: "data: {\"id\":\"g\",\"model\":\"llama\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"hm\"},\"finish_reason\":null}],\"x_groq\":{\"id\":\"req_1\"}}\n\ndata: {\"id\":\"g\",\"model\":\"llama\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"req_1\",\"usage\":{\"queue_time\":0.1,\"prompt_tokens\":3,\"completion_tokens\":4}}}\n\ndata: [DONE]\n\n",
        truth: &[
            "groq openai.chat | llama g | in 3 read - write -/-/- out 4 think - | final | stop - |  | -",
        ],
    },
    Fixture {
        name: "xai leaves reasoning out",
        url: "api.x.ai/v1/chat/completions",
        status: 200,
        content_type: JSON,
        request: "{}",
        body: r#"{"id":"x","model":"grok","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":100},"num_sources_used":0}}"#,
        truth: &[
            "xai openai.chat | grok x | in 10 read - write -/-/- out 105 think 100 | final | stop - |  | -",
        ],
    },
    Fixture {
        name: "deepseek counts its cache its own way",
        url: "api.deepseek.com/chat/completions",
        status: 200,
        content_type: JSON,
        request: "{}",
        body: "\n\n\n{\"id\":\"d\",\"model\":\"deepseek-chat\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_cache_hit_tokens\":8,\"prompt_cache_miss_tokens\":2}}",
        truth: &[
            "deepseek openai.chat | deepseek-chat d | in 10 read 8 write -/-/- out 5 think - | final | stop - |  | -",
        ],
    },
    Fixture {
        name: "mistral stream with usage in the last chunk and whole tool calls",
        url: "api.mistral.ai/v1/chat/completions",
        status: 200,
        content_type: SSE,
        request: r#"{"stream":true}"#,
        body: "data: {\"id\":\"m\",\"model\":\"mistral-large\",\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]}]},\"finish_reason\":null}]}\n\ndata: {\"id\":\"m\",\"model\":\"mistral-large\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"id\":\"A\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"},\"index\":0},{\"id\":\"B\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"k\\\":2}\"},\"index\":0}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":7,\"total_tokens\":13}}\n\ndata: [DONE]\n\n",
        truth: &[
            "mistral openai.chat | mistral-large m | in 6 read - write -/-/- out 7 think - | final | tool_calls - | A:f({}) B:f({\"k\":2}) | -",
        ],
    },
    Fixture {
        name: "vllm says usage in every chunk",
        url: "gateway.example/v1/chat/completions",
        status: 200,
        content_type: SSE,
        request: r#"{"stream":true}"#,
        body: "data:{\"id\":\"v\",\"model\":\"q\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}\n\ndata:{\"id\":\"v\",\"model\":\"q\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\ndata: [DONE]",
        truth: &["other openai.chat | q v | in 5 read - write -/-/- out 2 think - | final | stop - |  | -"],
    },
    Fixture {
        name: "perplexity bills thoughts and citations on top",
        url: "api.perplexity.ai/chat/completions",
        status: 200,
        content_type: JSON,
        request: "{}",
        body: r#"{"id":"p","model":"sonar","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"reasoning_tokens":100,"citation_tokens":1000}}"#,
        truth: &[
            "perplexity openai.chat | sonar p | in 10 read - write -/-/- out 1105 think 100 | final | stop - |  | -",
        ],
    },
    Fixture {
        name: "a stream that does not say what it is",
        url: "gateway.example/v1/messages",
        status: 200,
        content_type: "text/plain",
        request: "{}",
        body: "\n data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        truth: &[
            "other anthropic.messages | c m | in 1 read - write -/-/- out 2 think - | final | end_turn - |  | -",
        ],
    },
    Fixture {
        name: "speech",
        url: "api.openai.com/v1/audio/speech",
        status: 200,
        content_type: "audio/mpeg",
        request: r#"{"model":"tts"}"#,
        body: "{\n[ID3",
        truth: &["openai openai.audio | - - | in - read - write -/-/- out - think - | none | - - |  | -"],
    },
    Fixture {
        name: "vertex streams arguments",
        url: "aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent?alt=sse",
        status: 200,
        content_type: SSE,
        request: "{}",
        body: "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"willContinue\":true}}]}}]}\n\ndata: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"partialArgs\":[{\"jsonPath\":\"$.a\",\"numberValue\":1}],\"willContinue\":true}}]}}]}\n\ndata: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{}}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":1}}\n\n",
        truth: &[
            "google google.generate | - - | in 1 read - write -/-/- out 1 think - | final | STOP - | -:f([{\"jsonPath\":\"$.a\",\"numberValue\":1}]) | -",
        ],
    },
    Fixture {
        name: "embeddings",
        url: "api.openai.com/v1/embeddings",
        status: 200,
        content_type: JSON,
        request: r#"{"model":"e","input":["a","b"]}"#,
        body: r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[-0.01,2e-3,0]}],"model":"e-1","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
        truth: &[
            "openai openai.embeddings | e-1 - | in 8 read - write -/-/- out - think - | final | - - |  | -",
        ],
    },
    Fixture {
        name: "responses stream",
        url: "api.openai.com/v1/responses",
        status: 200,
        content_type: SSE,
        request: r#"{"model":"gpt-5.6","stream":true,"input":"hi"}"#,
        body: r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","model":"gpt-5.6","usage":null,"output":[],"error":null,"incomplete_details":null}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"fc_1","type":"function_call","status":"in_progress","arguments":"","call_id":"call_1","name":"f"}}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":0,"delta":"{\"a\""}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":0,"delta":":1}"}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":0,"item":{"id":"fc_1","type":"function_call","arguments":"{\"a\":1}","call_id":"call_1","name":"f"}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"Hello"}

event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"!"}

event: response.completed
data: {"type":"response.completed","response":{"output":[{"id":"fc_1","type":"function_call","arguments":"{\"a\":1}","call_id":"call_1","name":"f"}],"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":40,"cache_write_tokens":3},"output_tokens":60,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":110},"id":"resp_1","status":"completed","model":"gpt-5.6-x","service_tier":"flex","error":null}}

"#,
        truth: &[
            "openai openai.responses | gpt-5.6-x resp_1 | in 50 read 40 write 3/-/- out 60 think 0 | final | completed flex | call_1:f({\"a\":1}) | -",
        ],
    },
    Fixture {
        name: "responses stream that is incomplete",
        url: "api.openai.com/v1/responses",
        status: 200,
        content_type: SSE,
        request: "{}",
        body: "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":{\"id\":\"r2\",\"model\":\"m\",\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"output\":[{\"type\":\"custom_tool_call\",\"call_id\":\"c9\",\"name\":\"patch\",\"input\":\"*** Begin\"}],\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}\n\n",
        truth: &[
            "openai openai.responses | m r2 | in 1 read - write -/-/- out 2 think - | final | max_output_tokens - | c9:patch(*** Begin) | -",
        ],
    },
    Fixture {
        name: "responses stream that failed",
        url: "api.openai.com/v1/responses",
        status: 200,
        content_type: SSE,
        request: "{}",
        body: "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"r3\",\"model\":\"m\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"oops\"},\"usage\":{\"input_tokens\":4,\"output_tokens\":0}}}\n\n",
        truth: &[
            "openai openai.responses | m r3 | in 4 read - write -/-/- out 0 think - | final | failed - |  | server_error",
        ],
    },
    Fixture {
        name: "responses stream with a flat error",
        url: "api.openai.com/v1/responses",
        status: 200,
        content_type: SSE,
        request: "{}",
        body: "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"slow\",\"param\":null,\"sequence_number\":3}\n\n",
        truth: &[
            "openai openai.responses | - - | in - read - write -/-/- out - think - | none | - - |  | rate_limit_exceeded",
        ],
    },
    Fixture {
        name: "responses compaction",
        url: "api.openai.com/v1/responses/compact",
        status: 200,
        content_type: JSON,
        request: r#"{"model":"gpt-5.6"}"#,
        body: r#"{"id":"cmp_1","object":"response.compaction","output":[],"usage":{"input_tokens":9,"output_tokens":1,"total_tokens":10}}"#,
        truth: &[
            "openai openai.responses | - cmp_1 | in 9 read - write -/-/- out 1 think - | final | - - |  | -",
        ],
    },
    Fixture {
        name: "responses plain, queued",
        url: "api.openai.com/v1/responses",
        status: 200,
        content_type: JSON,
        request: r#"{"background":true}"#,
        body: r#"{"id":"r4","object":"response","model":"m","status":"queued","usage":null,"output":[],"error":null}"#,
        truth: &[
            "openai openai.responses | m r4 | in - read - write -/-/- out - think - | none | - - |  | -",
        ],
    },
    Fixture {
        name: "gemini stream",
        url: "generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        status: 200,
        content_type: SSE,
        request: "{}",
        body: r#"data: {"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":100,"totalTokenCount":130,"thoughtsTokenCount":30},"modelVersion":"gemini-2.5-pro","responseId":"abc"}

data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"q": "x"}}},{"functionCall":{"id":"i2","name":"g","args":{}}}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":80,"candidatesTokenCount":20,"thoughtsTokenCount":35,"toolUsePromptTokenCount":7,"totalTokenCount":162,"trafficType":"ON_DEMAND"},"modelVersion":"gemini-2.5-pro","responseId":"abc"}

"#,
        truth: &[
            "google google.generate | gemini-2.5-pro abc | in 107 read 80 write -/-/- out 55 think 35 | final | STOP ON_DEMAND | -:f({\"q\": \"x\"}) i2:g({}) | -",
        ],
    },
    Fixture {
        name: "gemini streamed array",
        url: "generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent",
        status: 200,
        content_type: JSON,
        request: "{}",
        body: "[{\n  \"candidates\": [{\"content\": {\"parts\": [{\"text\": \"a]}\"}]}}],\n  \"usageMetadata\": {\"promptTokenCount\": 3}\n}\n,\r\n{\n  \"candidates\": [{\"content\": {\"parts\": [{\"text\": \"b\"}]}, \"finishReason\": \"MAX_TOKENS\"}],\n  \"usageMetadata\": {\"promptTokenCount\": 3, \"candidatesTokenCount\": 2},\n  \"modelVersion\": \"g-1\", \"responseId\": \"r\"\n}\n]",
        truth: &[
            "google google.generate | g-1 r | in 3 read - write -/-/- out 2 think - | final | MAX_TOKENS - |  | -",
        ],
    },
    Fixture {
        name: "gemini plain, blocked",
        url: "generativelanguage.googleapis.com/v1beta/models/g:generateContent",
        status: 200,
        content_type: "application/json; charset=UTF-8",
        request: "{}",
        body: r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9,"totalTokenCount":9},"modelVersion":"g-1"}"#,
        truth: &[
            "google google.generate | g-1 - | in 9 read - write -/-/- out - think - | final | SAFETY - |  | -",
        ],
    },
    Fixture {
        name: "cloud code envelope",
        url: "cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse",
        status: 200,
        content_type: SSE,
        request: r#"{"model":"gemini-2.5-flash","request":{"contents":[{"role":"user","parts":[]}]}}"#,
        body: "data: {\"response\":{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":2},\"modelVersion\":\"gemini-2.5-flash\",\"responseId\":\"inner\"},\"traceId\":\"t1\",\"metadata\":{}}\n\n",
        truth: &[
            "google google.generate | gemini-2.5-flash t1 | in 1 read - write -/-/- out 2 think - | final | STOP - |  | -",
        ],
    },
    Fixture {
        name: "gemini stream broken by a bare error",
        url: "generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent?alt=sse",
        status: 200,
        content_type: SSE,
        request: "{}",
        body: "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"usageMetadata\":{\"promptTokenCount\":3},\"modelVersion\":\"g-1\"}\n\n{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"The model is overloaded.\",\n    \"status\": \"UNAVAILABLE\"\n  }\n}\n",
        truth: &[
            "google google.generate | g-1 - | in 3 read - write -/-/- out - think - | partial | - - |  | UNAVAILABLE",
        ],
    },
    Fixture {
        name: "interactions stream",
        url: "generativelanguage.googleapis.com/v1beta/interactions",
        status: 200,
        content_type: SSE,
        request: r#"{"model":"gemini-3","stream":true,"input":"x"}"#,
        body: r#"data: {"event_type":"interaction.created","interaction":{"id":"int_1","model":"gemini-3","status":"in_progress"}}

data: {"event_type":"step.start","index":0,"step":{"type":"function_call","id":"fc1","name":"f","arguments":{}}}

data: {"event_type":"step.delta","index":0,"delta":{"type":"arguments_delta","arguments":"{\"a\":1}"},"metadata":{"total_usage":{"total_input_tokens":4}}}

data: {"event_type":"step.stop","index":0}

data: {"event_type":"interaction.completed","interaction":{"id":"int_1","model":"gemini-3","status":"completed","usage":{"total_input_tokens":4,"total_output_tokens":5,"total_thought_tokens":6,"total_cached_tokens":0,"total_tool_use_tokens":1,"total_tokens":16}}}

"#,
        truth: &[
            "google google.interactions | gemini-3 int_1 | in 5 read 0 write -/-/- out 11 think 6 | final | completed - | fc1:f({\"a\":1}) | -",
        ],
    },
    Fixture {
        name: "ollama lines",
        url: "ollama.com/api/chat",
        status: 200,
        content_type: "application/x-ndjson",
        request: r#"{"model":"qwen","messages":[{"role":"user","content":"x"}]}"#,
        body: "{\"model\":\"qwen\",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]},\"done\":false}\n{\"model\":\"qwen\",\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"done\":false}\n{\"model\":\"qwen\",\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":5,\"prompt_eval_count\":26,\"eval_count\":0}\n",
        truth: &[
            "ollama ollama.chat | qwen - | in 26 read - write -/-/- out 0 think - | final | stop - | -:f({\"a\":1}) | -",
        ],
    },
    Fixture {
        name: "ollama error line",
        url: "ollama.com/api/generate",
        status: 200,
        content_type: "application/x-ndjson",
        request: "{}",
        body: "{\"model\":\"q\",\"response\":\"a\",\"done\":false}\n{\"error\":\"out of memory\"}\n",
        truth: &[
            "ollama ollama.generate | q - | in - read - write -/-/- out - think - | none | - - |  | error",
        ],
    },
    Fixture {
        name: "cohere stream",
        url: "api.cohere.com/v2/chat",
        status: 200,
        content_type: SSE,
        request: r#"{"model":"command-a","stream":true}"#,
        body: r#"event: message-start
data: {"type":"message-start","id":"co_1","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[]}}}

event: content-delta
data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"hi"}}}}

event: tool-call-start
data: {"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"t1","type":"function","function":{"name":"f","arguments":""}}}}}

event: tool-call-delta
data: {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"a\":1}"}}}}}

event: message-end
data: {"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{"billed_units":{"input_tokens":10.0,"output_tokens":5.0},"tokens":{"input_tokens":75.0,"output_tokens":9.0},"cached_tokens":16.0}}}

"#,
        truth: &[
            "cohere cohere.chat | - co_1 | in 75 read 16 write -/-/- out 9 think - | final | TOOL_CALL - | t1:f({\"a\":1}) | -",
        ],
    },
    Fixture {
        name: "converse plain",
        url: "bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-pro-v1:0/converse",
        status: 200,
        content_type: JSON,
        request: "{}",
        body: r#"{"output":{"message":{"role":"assistant","content":[{"text":"a"},{"toolUse":{"toolUseId":"t","name":"f","input":{"a":1}}}]}},"stopReason":"tool_use","usage":{"inputTokens":10,"outputTokens":20,"totalTokens":130,"cacheReadInputTokens":90,"cacheWriteInputTokens":10,"cacheDetails":[{"ttl":"5m","inputTokens":4},{"inputTokens":6,"ttl":"1h"}]},"metrics":{"latencyMs":1}}"#,
        truth: &[
            "bedrock bedrock.converse | - - | in 110 read 90 write 10/4/6 out 20 think - | final | tool_use - | t:f({\"a\":1}) | -",
        ],
    },
    Fixture {
        name: "mistral conversations",
        url: "api.mistral.ai/v1/conversations",
        status: 200,
        content_type: SSE,
        request: r#"{"model":"mistral-medium","inputs":"x","stream":true}"#,
        body: "event: conversation.response.started\ndata: {\"type\":\"conversation.response.started\",\"conversation_id\":\"conv_1\"}\n\nevent: message.output.delta\ndata: {\"type\":\"message.output.delta\",\"output_index\":0,\"model\":\"mistral-medium\",\"content\":\"a\"}\n\nevent: function.call.delta\ndata: {\"type\":\"function.call.delta\",\"output_index\":1,\"tool_call_id\":\"t\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}\n\nevent: function.call.delta\ndata: {\"type\":\"function.call.delta\",\"output_index\":1,\"tool_call_id\":\"t\",\"name\":\"f\",\"arguments\":\":1}\"}\n\nevent: conversation.response.done\ndata: {\"type\":\"conversation.response.done\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n",
        truth: &[
            "mistral mistral.conversations | mistral-medium conv_1 | in 3 read - write -/-/- out 4 think - | final | - - | t:f({\"a\":1}) | -",
        ],
    },
];
