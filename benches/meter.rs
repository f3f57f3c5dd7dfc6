//! Reading what models answer, as a tap does it for each exchange: decoding, framing and metering of whole streams that
//! arrive event by event, by format; a gigabyte through gzip; and skimming what was asked.
//!
//! `items` are events: the time of one is the time of a stream divided by [`EVENTS`].

use std::iter::{once, repeat_n};

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use tollgate::demo::gzip::whole;
use tollgate::exchange::tap::{RequestTap, Tap, TapHead};
use tollgate::model::detect::{Detected, ModelTable, Query, detect};
use tollgate::model::usage::UsageState;

const CAP: usize = 1 << 20;
/// Events of generated text in a stream; its first and last come on top.
const EVENTS: usize = 2000;
const SSE: &str = "text/event-stream";
const TEXT: &str = "the quick brown fox jumps over a lazy dog while it rains in the hills";

/// A stream of one provider: where it comes from, how it begins, what is repeated, how it ends.
struct Stream {
    name: &'static str,
    host: &'static str,
    path: &'static str,
    content_type: &'static str,
    first: &'static str,
    event: &'static str,
    last: &'static str,
}

const STREAMS: &[Stream] = &[
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

fn main() {
    divan::main();
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Stream {
    /// Its events, each as it arrives.
    fn events(&self) -> Vec<String> {
        let repeated = repeat_n(self.event.replace("TEXT", TEXT), EVENTS);
        once(self.first.to_owned()).chain(repeated).chain(once(self.last.to_owned())).collect()
    }

    fn detected(&self) -> Detected {
        let Self { host, path, .. } = self;
        let (port, method) = (443, &b"POST"[..]);
        let query = Query { host, port, method, path: path.as_bytes(), query: None, upgrade: false };
        detect(&ModelTable::default(), &query).expect("a model call")
    }

    /// A tap for its answer, coded so.
    fn tap(&self, coding: &'static [u8]) -> Tap {
        let content_type = Some(self.content_type.as_bytes());
        let head =
            TapHead { status: 200, content_type, content_encoding: coding.into(), ..TapHead::default() };
        Tap::new(&self.detected(), &head, CAP)
    }
}

/// Ends a tap, and makes sure that it has read what it was to read.
fn count(tap: Tap) -> Option<u64> {
    let report = tap.end(true, 0);
    let [call] = report.calls.as_slice() else { panic!("one call: {report:?}") };
    assert_eq!((call.usage_state, call.usage.output), (UsageState::Final, Some(7)), "{report:?}");
    report.decoded
}

#[divan::bench(args = STREAMS)]
fn event_by_event(bencher: Bencher<'_, '_>, stream: &Stream) {
    let events = stream.events();
    let bytes: usize = events.iter().map(String::len).sum();
    bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::new(bytes)).bench_local(|| {
        let mut tap = stream.tap(b"");
        for event in &events {
            tap.push(black_box(event.as_bytes()), 1);
        }
        count(tap)
    });
}

#[divan::bench(args = STREAMS)]
fn in_records(bencher: Bencher<'_, '_>, stream: &Stream) {
    let body = stream.events().concat();
    bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::of_str(&body)).bench_local(|| {
        let mut tap = stream.tap(b"");
        body.as_bytes().chunks(16 << 10).for_each(|record| tap.push(black_box(record), 1));
        count(tap)
    });
}

/// A gigabyte of events, decoded: what is held meanwhile is the decoder's window and the meter's few facts.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn a_gigabyte_through_gzip(bencher: Bencher<'_, '_>) {
    let stream = &STREAMS[0];
    let text: String = (0..4096).map(|n| stream.event.replace("TEXT", &format!("{n} {TEXT}"))).collect();
    let repeats = (1 << 30) / text.len() + 1;
    let (first, middle, last) =
        (whole(stream.first.as_bytes()), whole(text.as_bytes()), whole(stream.last.as_bytes()));
    let bytes = repeats * text.len() + stream.first.len() + stream.last.len();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        let mut tap = stream.tap(b"gzip");
        tap.push(&first, 1);
        (0..repeats).for_each(|_| middle.chunks(16 << 10).for_each(|record| tap.push(black_box(record), 1)));
        tap.push(&last, 1);
        assert_eq!(count(tap), Some(bytes as u64));
    });
}

/// A request as an agent sends it after many turns: system prompt, tools, and a long history of tool results.
#[divan::bench]
fn request_skim(bencher: Bencher<'_, '_>) {
    let turn = format!(
        "{{\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":\"{TEXT}\"}},{{\"type\":\"tool_use\",\
         \"id\":\"toolu_1\",\"name\":\"read\",\"input\":{{\"path\":\"src/lib.rs\"}}}}]}},{{\"role\":\"user\",\"content\":\
         [{{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"content\":\"{}\"}}]}}",
        "    let line = \\\"fn main() {\\\\n\\\";\\n".repeat(100)
    );
    let body = format!(
        "{{\"model\":\"claude\",\"stream\":true,\"system\":\"{}\",\"tools\":[{}],\"messages\":[{}]}}",
        TEXT.repeat(300),
        "{\"name\":\"t\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}},".repeat(8) + "{}",
        vec![turn; 250].join(",")
    );
    let detected = STREAMS[0].detected();
    bencher.counter(BytesCount::of_str(&body)).bench_local(|| {
        let mut tap = RequestTap::new(&detected, None);
        body.as_bytes().chunks(16 << 10).for_each(|record| tap.push(black_box(record)));
        let facts = tap.end(true);
        assert_eq!((facts.messages_count, facts.tools_count, facts.off), (Some(500), Some(9), None));
    });
}
