//! Streams of each format, and taps for their answers: shared by the benchmark and the example of this name.

use std::iter::{once, repeat_n};

use tollgate::exchange::tap::{Tap, TapHead};
use tollgate::model::detect::{Detected, ModelTable, Query, detect};
use tollgate::model::usage::UsageState;

const CAP: usize = 1 << 20;
/// Events of generated text in a stream; its first and last come on top.
pub const EVENTS: usize = 2000;
const SSE: &str = "text/event-stream";
/// What is generated in each.
pub const TEXT: &str = "the quick brown fox jumps over a lazy dog while it rains in the hills";

/// A stream of one provider: where it comes from, how it begins, what is repeated, how it ends.
pub struct Stream {
    pub name: &'static str,
    pub host: &'static str,
    pub path: &'static str,
    pub content_type: &'static str,
    pub first: &'static str,
    pub event: &'static str,
    pub last: &'static str,
}

/// One of each format.
pub const STREAMS: &[Stream] = &[
    Stream {
        name: "anthropic",
        host: "api.anthropic.com",
        path: "/v1/messages",
        content_type: SSE,
        first: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg\",\"model\":\"claude\",\
                \"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n",
        event: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
                {\"type\":\"text_delta\",\"text\":\"TEXT\"}}\n\n",
        last: "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
               \"usage\":{\"output_tokens\":7}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    },
    Stream {
        name: "openai chat",
        host: "api.openai.com",
        path: "/v1/chat/completions",
        content_type: SSE,
        first: "",
        event: "data: {\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\"object\":\"chat.completion.chunk\",\"created\":\
                1795000000,\"model\":\"gpt-5\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"TEXT\"},\
                \"finish_reason\":null}],\"usage\":null}\n\n",
        last: "data: {\"id\":\"chatcmpl-B9\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":7}}\n\n\
               data: [DONE]\n\n",
    },
    Stream {
        name: "openai responses",
        host: "api.openai.com",
        path: "/v1/responses",
        content_type: SSE,
        first: "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp\"}}\n\n",
        event: "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_67c9\",\
                \"output_index\":0,\"content_index\":0,\"delta\":\"TEXT\",\"sequence_number\":44}\n\n",
        last: "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp\",\"status\":\
               \"completed\",\"usage\":{\"input_tokens\":9,\"output_tokens\":7}}}\n\n",
    },
    Stream {
        name: "google",
        host: "generativelanguage.googleapis.com",
        path: "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        content_type: SSE,
        first: "",
        event: "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"TEXT\"}],\"role\": \"model\"},\"index\": 0}],\
                \"usageMetadata\": {\"promptTokenCount\": 9,\"candidatesTokenCount\": 7,\"totalTokenCount\": 16},\
                \"modelVersion\": \"gemini-2.5-pro\",\"responseId\": \"r\"}\r\n\r\n",
        last: "data: {\"candidates\": [{\"content\": {\"parts\": []},\"finishReason\": \"STOP\"}],\"usageMetadata\": \
               {\"promptTokenCount\": 9,\"candidatesTokenCount\": 7}}\r\n\r\n",
    },
    Stream {
        name: "cohere",
        host: "api.cohere.com",
        path: "/v2/chat",
        content_type: SSE,
        first: "event: message-start\ndata: {\"type\":\"message-start\",\"id\":\"c\"}\n\n",
        event: "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":\
                {\"text\":\"TEXT\"}}}}\n\n",
        last: "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":\
               {\"tokens\":{\"input_tokens\":9,\"output_tokens\":7}}}}\n\n",
    },
    Stream {
        name: "ollama",
        host: "ollama.com",
        path: "/api/chat",
        content_type: "application/x-ndjson",
        first: "",
        event: "{\"model\":\"qwen3\",\"created_at\":\"2026-11-22T00:00:00.123Z\",\"message\":{\"role\":\"assistant\",\
                \"content\":\"TEXT\"},\"done\":false}\n",
        last: "{\"model\":\"qwen3\",\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":9,\"eval_count\":7}\n",
    },
];

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Stream {
    /// Its events, each as it arrives.
    pub fn events(&self) -> Vec<String> {
        let repeated = repeat_n(self.event.replace("TEXT", TEXT), EVENTS);
        once(self.first.to_owned()).chain(repeated).chain(once(self.last.to_owned())).collect()
    }

    pub fn detected(&self) -> Detected {
        let Self { host, path, .. } = self;
        let (port, method) = (443, &b"POST"[..]);
        let query = Query { host, port, method, path: path.as_bytes(), query: None, upgrade: false };
        detect(&ModelTable::default(), &query).expect("a model call")
    }

    /// A tap for its answer, coded so.
    pub fn tap(&self, coding: &'static [u8]) -> Tap {
        let content_type = Some(self.content_type.as_bytes());
        let head =
            TapHead { status: 200, content_type, content_encoding: coding.into(), ..TapHead::default() };
        Tap::new(&self.detected(), &head, CAP)
    }
}

/// Ends a tap, and makes sure that it has read what it was to read.
pub fn count(tap: Tap) -> Option<u64> {
    let report = tap.end(true, 0);
    let [call] = report.calls.as_slice() else { panic!("one call: {report:?}") };
    assert_eq!((call.usage_state, call.usage.output), (UsageState::Final, Some(7)), "{report:?}");
    report.decoded
}
