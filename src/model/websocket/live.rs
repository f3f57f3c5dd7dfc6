//! Turns on a Gemini Live socket: `BidiGenerateContent` of the Gemini API and of Vertex.
//!
//! The guest's first message sets model, system prompt and tools for all turns. A turn begins when the guest hands one
//! over (`clientContent`), or with the model's first word where the guest only speaks (`realtimeInput`), and ends when
//! the model says that it is complete. Its counts come with that message or in one of their own after it, so a turn
//! without counts waits for them until the next one begins.

use crate::model::request::{RequestFacts, RequestReader};
use crate::wire::json::{Shape, Sink, Text, Value, skim};

use super::WsMeter;

/// What was said for all turns, and what the next one has so far.
#[derive(Debug, Default)]
pub(super) struct Setup {
    facts: RequestFacts,
    /// When the guest handed over a turn that the model has not taken up, and how many messages it had.
    handed_over: Option<(u64, Option<u64>)>,
}

impl WsMeter {
    pub(super) fn live_guest(&mut self, message: &[u8], at_us: u64) {
        let mut reader = RequestReader::message(self.api);
        let off = reader.push(message).err().map(|error| error.to_string());
        let facts = reader.end(off);
        if facts.messages_count.is_some() {
            self.live.handed_over.get_or_insert((at_us, facts.messages_count));
        } else if facts.model.is_some() {
            self.live.facts = facts;
        }
    }

    pub(super) fn live_origin(&mut self, message: &[u8], at_us: u64) {
        let about: About = skim(&MESSAGE, message);
        if !about.work && !about.counts {
            return;
        }
        if about.work && self.open.front().is_some_and(|run| run.meter.stopped()) {
            self.close(0, true, at_us);
        }
        if self.open.is_empty() {
            self.live_begin(at_us);
        }
        self.feed(0, message, at_us);
        if self.open[0].meter.ended() {
            self.close(0, true, at_us);
        }
    }

    /// The socket has closed: a turn that the model never took up has still been asked for.
    pub(super) fn live_end(&mut self) {
        if self.open.is_empty()
            && let Some((at_us, _)) = self.live.handed_over
        {
            self.live_begin(at_us);
        }
    }

    fn live_begin(&mut self, at_us: u64) {
        let (started_us, messages_count) = self.live.handed_over.take().unwrap_or((at_us, None));
        self.begin(RequestFacts { messages_count, ..self.live.facts.clone() }, started_us);
    }
}

/// What a message of the origin holds.
#[derive(Debug, Default)]
struct About {
    /// Something that the model said or asked for.
    work: bool,
    counts: bool,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Work,
    Counts,
}

static MESSAGE: Shape<Place> = Shape::object(&[
    ("serverContent", &WORK),
    ("toolCall", &WORK),
    ("usageMetadata", &Shape::object(&[]).tagged(Place::Counts)),
]);
static WORK: Shape<Place> = Shape::object(&[]).tagged(Place::Work);

impl Sink<Place> for About {
    fn value(&mut self, _: Place, _: Value<'_>) {}

    fn close(&mut self, place: Place, _: Option<Text<'_>>) {
        match place {
            Place::Work => self.work = true,
            Place::Counts => self.counts = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::api::Api;
    use crate::model::detect::Detected;
    use crate::model::usage::UsageState;
    use crate::model::websocket::{Run, WsMeter};

    fn meter() -> WsMeter {
        let detected = Detected {
            provider: "google",
            api: Api::GoogleLive,
            model: None,
            stream: Some(true),
            websocket: true,
        };
        let mut meter = WsMeter::new(&detected, 1 << 20);
        meter.guest(
            br#"{"setup":{"model":"models/gemini-live","systemInstruction":{"parts":[{"text":"abc"}]},"tools":[{"functionDeclarations":[{},{}]}]}}"#,
            1,
        );
        meter.origin(br#"{"setupComplete":{}}"#, 2);
        meter
    }

    fn told(runs: &[Run]) -> Vec<String> {
        let tell = |run: &Run| {
            let usage = &run.call.usage;
            let state = run.call.usage_state.as_str();
            format!(
                "{}+{} in {:?} out {:?} {state}",
                run.started_us, run.call.total_us, usage.input, usage.output
            )
        };
        runs.iter().map(tell).collect()
    }

    #[test]
    fn each_turn_is_a_call_with_its_own_counts() {
        let mut meter = meter();
        meter.guest(
            br#"{"clientContent":{"turns":[{"role":"user","parts":[{"text":"hi"}]}],"turnComplete":true}}"#,
            10,
        );
        meter.origin(br#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAAA"}}]}}}"#, 15);
        meter.origin(br#"{"toolCall":{"functionCalls":[{"id":"f1","name":"f","args":{"a":1}}]}}"#, 16);
        meter.guest(br#"{"toolResponse":{"functionResponses":[{"id":"f1","name":"f","response":{}}]}}"#, 17);
        meter.origin(br#"{"serverContent":{"generationComplete":true}}"#, 18);
        meter.origin(br#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":9,"responseTokenCount":5,"thoughtsTokenCount":2,"totalTokenCount":16}}"#, 20);
        let runs = meter.take_runs();
        assert_eq!(told(&runs), ["10+10 in Some(9) out Some(7) final"]);
        let call = &runs[0].call;
        assert_eq!((call.first_token_us, call.messages_count), (Some(5), Some(1)));
        assert_eq!((call.tools_count, call.system_bytes), (Some(2), Some(3)));
        assert_eq!((call.api, call.model_requested.as_deref()), ("google.live", Some("models/gemini-live")));
        assert_eq!((call.tool_calls.len(), call.stop_reason.as_deref()), (1, Some("turnComplete")));
        assert!(meter.end(30).0.is_empty());
    }

    #[test]
    fn counts_that_come_after_the_turn_belong_to_it() {
        let mut meter = meter();
        for (at, input) in [(10, 1), (20, 2)] {
            meter.guest(br#"{"realtimeInput":{"audio":{"data":"AAAA"}}}"#, at);
            meter.origin(br#"{"serverContent":{"modelTurn":{"parts":[{"text":"a"}]}}}"#, at + 1);
            meter.origin(br#"{"serverContent":{"turnComplete":true,"turnCompleteReason":"STOP"}}"#, at + 2);
            assert!(meter.take_runs().is_empty(), "its counts may still come");
            meter.origin(format!(r#"{{"usageMetadata":{{"promptTokenCount":{input}}}}}"#).as_bytes(), at + 3);
            assert_eq!(told(&meter.take_runs()), [format!("{}+2 in Some({input}) out None final", at + 1)]);
        }
    }

    #[test]
    fn a_turn_without_counts_ends_with_the_next_one_or_with_the_socket() {
        let mut meter = meter();
        meter.origin(br#"{"serverContent":{"turnComplete":true}}"#, 10);
        meter.origin(br#"{"serverContent":{"modelTurn":{"parts":[]}}}"#, 20);
        assert_eq!(told(&meter.take_runs()), ["10+10 in None out None none"]);
        meter.origin(br#"{"usageMetadata":{"promptTokenCount":4}}"#, 21);
        meter.guest(br#"{"clientContent":{"turns":[],"turnComplete":true}}"#, 22);
        let (runs, _) = meter.end(25);
        assert_eq!(told(&runs), ["20+5 in Some(4) out None partial"]);
        assert_eq!(runs[0].call.usage_state, UsageState::Partial);
    }

    #[test]
    fn a_turn_that_was_never_answered_is_a_call_without_counts() {
        let mut meter = meter();
        meter.guest(br#"{"clientContent":{"turns":[{"parts":[]}]}}"#, 10);
        assert_eq!(told(&meter.end(25).0), ["10+15 in None out None none"]);
    }

    #[test]
    fn nonsense_is_borne() {
        let mut meter = meter();
        for message in [
            &b"nonsense"[..],
            b"",
            b"{",
            b"[1]",
            b"\xff",
            br#"{"serverContent":7}"#,
            br#"{"usageMetadata":null}"#,
        ] {
            meter.guest(message, 1);
            meter.origin(message, 1);
        }
        assert!(meter.end(2).0.is_empty());
    }
}
