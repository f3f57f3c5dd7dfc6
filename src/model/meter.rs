//! Reads what a model answers, as it passes, and turns it into a [`Call`].
//!
//! Every wire format is two things: a static table of the places in its events that matter (a [`Shape`] of
//! [`Field`]s), and a short function that says what an event means once it is complete. Everything else is shared:
//! what the places are put into ([`event`]), what has been learnt so far ([`progress`]), and the arithmetic that
//! makes the counts comparable ([`counts`]). Keys may come in any order, unknown events, blocks and keys are skipped
//! (lesson 17), an empty string never replaces a value, and an explicit 0 is a value (lesson 5).

mod anthropic;
mod chat;
mod cohere;
mod converse;
mod counts;
mod event;
mod google;
mod mistral;
mod ollama;
mod openai;
mod progress;
mod responses;
mod tools;

use crate::wire::json::{JsonError, Shape, Sink, Skimmer, Text, Value};

use super::api::Api;
use super::request::RequestFacts;
use super::usage::{Call, OriginError};
use event::{Event, Field};
use progress::Progress;

/// How many bytes of ids, model names, stop reasons and the like are kept.
pub(super) const NAME: usize = 256;
/// How many bytes of an error message are kept.
pub(super) const MESSAGE: usize = 4 << 10;
/// How many bytes of one tool call's arguments are kept, at a time.
const ARGUMENTS: usize = 128 << 10;
/// How many bytes of the provider's usage object are kept.
const USAGE: usize = 16 << 10;

/// A wire format.
struct Format {
    shape: &'static Shape<Field>,
    /// What a complete event means.
    apply: fn(&mut Event, &mut Progress),
}

impl Format {
    fn of(api: Api) -> &'static Self {
        match api {
            Api::AnthropicMessages | Api::BedrockInvoke => &anthropic::FORMAT,
            Api::OpenAiChat | Api::OpenAiCompletions => &chat::FORMAT,
            Api::OpenAiEmbeddings
            | Api::OpenAiImages
            | Api::OpenAiAudio
            | Api::OpenAiDecisions
            | Api::OpenAiModerations => &openai::FORMAT,
            Api::OpenAiResponses | Api::OpenAiRealtime => &responses::FORMAT,
            Api::GoogleGenerate | Api::GoogleEmbed | Api::GooglePredict => &google::GENERATE,
            Api::GoogleLive => &google::LIVE,
            Api::GoogleInteractions => &google::INTERACTIONS,
            Api::MistralConversations => &mistral::FORMAT,
            Api::CohereChat => &cohere::FORMAT,
            Api::OllamaChat | Api::OllamaGenerate => &ollama::FORMAT,
            Api::BedrockConverse => &converse::FORMAT,
        }
    }
}

/// Reads the answer to one model call: pieces of one event after another.
pub struct Meter {
    skimmer: Skimmer<Field>,
    reading: Reading,
    /// What is wrong with the event under way, if something is: the rest of it is skipped.
    broken: Option<JsonError>,
    /// The first bytes of the event, to tell `[DONE]` from JSON however it is cut.
    head: Head,
    /// The rest of the event carries nothing that is not known already.
    skip: bool,
}

/// What the skimmer fills.
struct Reading {
    format: &'static Format,
    event: Event,
    progress: Progress,
}

/// The first bytes of an event.
#[derive(Default)]
struct Head {
    bytes: [u8; 8],
    len: usize,
}

impl Meter {
    /// For the answer to a call of `provider` in the format of `api`; `framed` where events come one by one (SSE,
    /// lines, frames), not as one document. `cap` bounds what is kept.
    pub fn new(provider: &'static str, api: Api, framed: bool, cap: usize) -> Self {
        let format = Format::of(api);
        Self {
            skimmer: Skimmer::many(format.shape),
            reading: Reading {
                format,
                event: Event::default(),
                progress: Progress::new(provider, api, framed, cap / 4),
            },
            broken: None,
            head: Head::default(),
            skip: false,
        }
    }

    /// Events turned out to come one by one, or not to.
    pub fn frame(&mut self, framed: bool) {
        self.reading.progress.framed = framed;
    }

    /// The name of the event under way, where the framing has one.
    pub fn name(&mut self, name: &[u8]) {
        let started = self.reading.progress.first_token_us.is_some();
        self.skip = started && is_bare_delta(name);
        self.reading.event.name(name);
    }

    /// A piece of the event under way; `at_us` since the exchange began.
    pub fn piece(&mut self, piece: &[u8], at_us: u64) {
        self.reading.progress.now_us = at_us;
        if self.skip {
            return;
        }
        self.head.push(piece);
        if self.broken.is_none() {
            self.broken = self.skimmer.push(piece, &mut self.reading).err();
        }
    }

    /// The event under way is complete. An event that is no JSON is skipped, and said to be.
    pub fn dispatch(&mut self) -> Result<(), JsonError> {
        let result = match self.broken.take() {
            Some(error) => Err(error),
            None => self.skimmer.finish(&mut self.reading),
        };
        let head = std::mem::take(&mut self.head);
        self.reading.event.clear();
        self.skimmer.reset();
        self.skip = false;
        if head.is_done() {
            self.reading.progress.ended = true;
            return Ok(());
        }
        result
    }

    /// Bytes of documents that follow one another, or of an array of them, where nothing frames them.
    pub fn document(&mut self, piece: &[u8], at_us: u64) -> Result<(), JsonError> {
        self.reading.progress.now_us = at_us;
        self.skimmer.push(piece, &mut self.reading)
    }

    /// The documents have ended.
    pub fn finish_document(&mut self) -> Result<(), JsonError> {
        self.skimmer.finish(&mut self.reading)
    }

    /// Errors inside the answer that became known since the last call.
    pub fn take_errors(&mut self) -> Vec<OriginError> {
        std::mem::take(&mut self.reading.progress.errors)
    }

    /// An error that the framing told, not an event.
    pub fn fail(&mut self, error: OriginError) {
        let OriginError { status, kind, code, message, retry_after_us, request_id } = error;
        let part = event::ErrorPart { seen: true, status, kind, code, message, retry_after_us, request_id };
        self.reading.progress.error(part);
    }

    /// Whether the provider has said why the model stopped.
    pub fn stopped(&self) -> bool {
        self.reading.progress.call.stop_reason.is_some()
    }

    /// Whether the run has come to its end as the provider tells it.
    pub fn ended(&self) -> bool {
        self.reading.progress.ended
    }

    /// The call, and what else was billed inside it. `complete` when the answer ended properly.
    pub fn end(self, facts: RequestFacts, complete: bool, at_us: u64) -> Vec<Call> {
        self.reading.progress.end(facts, complete, at_us)
    }
}

impl Sink<Field> for Reading {
    #[inline]
    fn value(&mut self, field: Field, value: Value<'_>) {
        self.event.value(field, value, &mut self.progress);
    }

    fn open(&mut self, field: Field) {
        self.event.open(field);
    }

    fn close(&mut self, field: Field, raw: Option<Text<'_>>) {
        self.event.close(field, raw, &mut self.progress);
        if field == Field::Document {
            (self.format.apply)(&mut self.event, &mut self.progress);
            self.event.clear();
        }
    }
}

impl Head {
    fn push(&mut self, piece: &[u8]) {
        let fits = piece.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + fits].copy_from_slice(&piece[..fits]);
        self.len += fits;
    }

    /// OpenAI's end mark.
    fn is_done(&self) -> bool {
        self.bytes[..self.len].trim_ascii() == b"[DONE]"
    }
}

/// Events of the Responses API that carry generated text and nothing else; the whole comes again at the end.
fn is_bare_delta(name: &[u8]) -> bool {
    matches!(
        name,
        b"response.output_text.delta"
            | b"response.reasoning_text.delta"
            | b"response.reasoning_summary_text.delta"
            | b"response.refusal.delta"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::usage::UsageState;

    /// Reads events in pieces of `size`; says what each dispatch said, and the call.
    fn read(events: &[&str], size: usize) -> (Vec<Result<(), JsonError>>, Call) {
        let mut meter = Meter::new("openai", Api::OpenAiChat, true, 1 << 20);
        let dispatched = events.iter().map(|event| {
            event.as_bytes().chunks(size).for_each(|piece| meter.piece(piece, 1));
            meter.dispatch()
        });
        let dispatched = dispatched.collect();
        (dispatched, meter.end(RequestFacts::default(), true, 2).remove(0))
    }

    #[test]
    fn a_broken_event_leaves_nothing_behind_however_it_is_cut() {
        let good = r#"{"id":"c","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7}}"#;
        let broken = [
            r#"{"choices":[{"index":1,"delta":{"tool_calls":[{"id":"t","function":{"name":"f"#,
            r#"{"choices":[{"finish_reason":"length"}],"usage":{"completion_tokens":1e"#,
            r#"{"choices":[{"finish_reason":"length"}],"usage":{"completion_tokens":-}}"#,
            r#"{"choices":[{"finish_reason":"length"}],x"#,
            r#"{"error":{"message":"m""#,
            r#"{"model":tru3}"#,
            r#"{"model":"\q"}"#,
            r"]",
            "\u{fffd}",
        ];
        for event in broken {
            for size in [1, 2, 7, event.len()] {
                let (dispatched, call) = read(&[event, good], size);
                assert!(dispatched[0].is_err() && dispatched[1].is_ok(), "{event} by {size}");
                assert_eq!(dispatched[0], read(&[event], event.len()).0[0], "{event} by {size}");
                assert_eq!((call.usage.input, call.usage.output), (Some(7), None), "{event} by {size}");
                assert_eq!(call.usage_state, UsageState::Final, "{event} by {size}");
                assert!(call.tool_calls.is_empty() && call.model.is_none(), "{event} by {size}");
            }
        }
    }

    #[test]
    fn the_end_mark_is_no_broken_event_and_what_only_looks_like_it_is_one() {
        for size in [1, 3, 9] {
            assert_eq!(read(&["[DONE]", " [DONE] "], size).0, [Ok(()), Ok(())]);
            assert!(read(&["[DONE]x"], size).0[0].is_err() && read(&["[DONE"], size).0[0].is_err());
        }
    }
}
