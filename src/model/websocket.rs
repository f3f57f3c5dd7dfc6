//! Model runs on a WebSocket: Responses as Codex speaks it, Realtime (WIRE §3), and Gemini Live (`live`).
//!
//! The guest's `response.create` begins a run, the origin's terminal event ends it; several follow one another on one
//! socket, or run side by side on lanes named by `stream_id` or told apart by the response's id. A warm-up
//! (`"generate": false`) is no call unless it was billed. Realtime may begin a run by itself. Takes whole messages;
//! times in a run's call count from the run's own start.

mod live;

use std::collections::VecDeque;

use crate::wire::json::{Shape, Sink, Value, skim};

use super::api::Api;
use super::detect::Detected;
use super::meter::{Meter, NAME};
use super::request::{RequestFacts, RequestReader};
use super::usage::{Call, OriginError};

/// How many runs may be under way at once; later ones are not metered.
const MAX_OPEN: usize = 6;

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// When it began, in microseconds since the exchange began.
    pub started_us: u64,
    /// What it was.
    pub call: Call,
}

/// Meters the messages of one WebSocket.
pub struct WsMeter {
    provider: &'static str,
    api: Api,
    /// The model that the URL names.
    model: Option<String>,
    cap: usize,
    /// Runs under way, oldest first.
    open: VecDeque<Open>,
    ended: Vec<Run>,
    errors: Vec<OriginError>,
    off: Option<&'static str>,
    live: live::Setup,
}

/// A run under way.
struct Open {
    lane: Option<String>,
    /// The response's id, once it is known.
    id: Option<String>,
    started_us: u64,
    warm_up: bool,
    facts: RequestFacts,
    meter: Meter,
}

impl WsMeter {
    /// For the socket that `detected` recognised; `cap` bounds what all its runs may hold.
    pub fn new(detected: &Detected, cap: usize) -> Self {
        Self {
            provider: detected.provider,
            api: detected.api,
            model: detected.model.clone(),
            cap,
            open: VecDeque::new(),
            ended: Vec::new(),
            errors: Vec::new(),
            off: None,
            live: live::Setup::default(),
        }
    }

    /// A message of the guest.
    pub fn guest(&mut self, message: &[u8], at_us: u64) {
        if self.api == Api::GoogleLive {
            return self.live_guest(message, at_us);
        }
        let mut reader = RequestReader::message(self.api);
        let off = reader.push(message).err().map(|error| error.to_string());
        let facts = reader.end(off);
        if facts.kind.as_deref() == Some("response.create") {
            self.begin(facts, at_us);
        }
    }

    /// A message of the origin.
    pub fn origin(&mut self, message: &[u8], at_us: u64) {
        if self.api == Api::GoogleLive {
            return self.live_origin(message, at_us);
        }
        let about: About = skim(&MESSAGE, message);
        let error = about.kind == "error";
        if !error && !about.kind.starts_with("response.") {
            return;
        }
        if about.kind == "response.created" && self.find(&about).is_none() {
            self.begin(RequestFacts { lane: about.lane.clone(), ..RequestFacts::default() }, at_us);
        }
        let Some(at) = self.find(&about) else {
            if error {
                self.error_of_nobody(message);
            }
            return;
        };
        self.open[at].id = about.id.or(self.open[at].id.take());
        self.feed(at, message, at_us);
        if self.open[at].meter.ended() || (error && self.api == Api::OpenAiResponses) {
            self.close(at, true, at_us);
        }
    }

    /// Hands a message to the run that it belongs to.
    fn feed(&mut self, at: usize, message: &[u8], at_us: u64) {
        let run = &mut self.open[at];
        run.meter.piece(message, at_us.saturating_sub(run.started_us));
        if run.meter.dispatch().is_err() {
            self.off = Some("a message was no JSON");
        }
        self.errors.extend(run.meter.take_errors());
    }

    /// A message that was too long to be handed over.
    pub fn oversized(&mut self) {
        self.off = Some("a message was too long to be read");
    }

    /// Runs that have ended since the last call; cheap when there are none.
    pub fn take_runs(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.ended)
    }

    /// Errors that became known since the last call; cheap when there are none.
    pub fn take_errors(&mut self) -> Vec<OriginError> {
        std::mem::take(&mut self.errors)
    }

    /// The socket has closed: what was under way has ended too. Says why inspection suffered, where it did.
    pub fn end(mut self, at_us: u64) -> (Vec<Run>, Option<&'static str>) {
        self.live_end();
        while !self.open.is_empty() {
            self.close(0, false, at_us);
        }
        (self.ended, self.off)
    }

    fn begin(&mut self, mut facts: RequestFacts, at_us: u64) {
        if self.open.len() == MAX_OPEN {
            self.off = Some("too many runs at once");
            return;
        }
        facts.model = facts.model.or_else(|| self.model.clone());
        self.open.push_back(Open {
            lane: facts.lane.clone(),
            id: None,
            started_us: at_us,
            warm_up: facts.generate == Some(false),
            meter: Meter::new(self.provider, self.api, true, self.cap / 2),
            facts,
        });
    }

    /// The run of the message's response; else the oldest on its lane of which no other response is known.
    fn find(&self, about: &About) -> Option<usize> {
        let mine = |run: &Open| run.lane == about.lane && run.id == about.id;
        let may_be = |run: &Open| run.lane == about.lane && (run.id.is_none() || about.id.is_none());
        self.open.iter().position(mine).or_else(|| self.open.iter().position(may_be))
    }

    fn close(&mut self, at: usize, complete: bool, at_us: u64) {
        let Some(run) = self.open.remove(at) else { return };
        let elapsed_us = at_us.saturating_sub(run.started_us);
        let calls = run.meter.end(run.facts, complete, elapsed_us);
        if run.warm_up && calls.iter().all(is_free) {
            return;
        }
        self.ended.extend(calls.into_iter().map(|call| Run { started_us: run.started_us, call }));
    }

    /// An error frame that belongs to no run.
    fn error_of_nobody(&mut self, message: &[u8]) {
        let mut meter = Meter::new(self.provider, self.api, true, self.cap / 2);
        meter.piece(message, 0);
        if meter.dispatch().is_ok() {
            self.errors.extend(meter.take_errors());
        }
    }
}

/// Whether nothing was billed and nothing went wrong.
fn is_free(call: &Call) -> bool {
    call.usage.input.unwrap_or(0) == 0 && call.usage.output.unwrap_or(0) == 0 && call.error_type.is_none()
}

/// What a message is about.
#[derive(Debug, Default)]
struct About {
    kind: String,
    lane: Option<String>,
    id: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Kind,
    Lane,
    Id,
}

static MESSAGE: Shape<Place> = Shape::object(&[
    ("type", &Shape::value(Place::Kind, NAME)),
    ("stream_id", &Shape::value(Place::Lane, NAME)),
    ("response_id", &Shape::value(Place::Id, NAME)),
    ("response", &Shape::object(&[("id", &Shape::value(Place::Id, NAME))])),
]);

impl Sink<Place> for About {
    fn value(&mut self, place: Place, value: Value<'_>) {
        let Some(text) = value.text() else { return };
        match place {
            Place::Kind => self.kind = text.lossy().into_owned(),
            Place::Lane => self.lane = Some(text.lossy().into_owned()),
            Place::Id => self.id = Some(text.lossy().into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::usage::UsageState;

    fn meter(api: Api) -> WsMeter {
        let detected = Detected {
            provider: "openai",
            api,
            model: Some("from-url".into()),
            stream: Some(true),
            websocket: true,
        };
        WsMeter::new(&detected, 1 << 20)
    }

    fn created(lane: &str, id: &str) -> String {
        format!(
            r#"{{"type":"response.created"{lane},"response":{{"id":"{id}","status":"in_progress","usage":null}}}}"#
        )
    }

    fn completed(lane: &str, id: &str, output: u64) -> String {
        format!(
            r#"{{"type":"response.completed"{lane},"response":{{"id":"{id}","model":"gpt","status":"completed","usage":{{"input_tokens":10,"output_tokens":{output}}}}}}}"#
        )
    }

    fn told(runs: &[Run]) -> Vec<String> {
        let id = |run: &Run| run.call.response_id.clone().unwrap_or_default();
        runs.iter().map(|run| format!("{} {} {:?}", run.started_us, id(run), run.call.usage.output)).collect()
    }

    #[test]
    fn codex_warms_up_and_then_runs_one_call_after_another() {
        let mut meter = meter(Api::OpenAiResponses);
        meter.guest(br#"{"type":"response.create","model":"gpt","generate":false,"input":[]}"#, 10);
        meter.origin(created("", "r0").as_bytes(), 11);
        let nothing = completed("", "r0", 0).replace("\"input_tokens\":10", "\"input_tokens\":0");
        meter.origin(nothing.as_bytes(), 12);
        assert!(meter.take_runs().is_empty(), "a warm-up is no call");
        for (at, id) in [(100, "r1"), (200, "r2")] {
            meter.guest(br#"{"type":"response.create","model":"gpt","input":[{"role":"user","content":"x"}],"tools":[{}]}"#, at);
            meter.origin(created("", id).as_bytes(), at + 1);
            meter.origin(br#"{"type":"response.output_text.delta","delta":"hi"}"#, at + 5);
            meter.origin(completed("", id, at).as_bytes(), at + 9);
            let runs = meter.take_runs();
            assert_eq!(told(&runs), [format!("{at} {id} Some({at})")]);
            let call = &runs[0].call;
            assert_eq!((call.first_token_us, call.total_us, call.messages_count), (Some(5), 9, Some(1)));
            assert_eq!((call.usage_state, call.tools_count, call.stream), (UsageState::Final, Some(1), true));
        }
        assert!(meter.end(300).0.is_empty());
    }

    #[test]
    fn a_warm_up_that_was_billed_is_a_call() {
        let mut meter = meter(Api::OpenAiResponses);
        meter.guest(br#"{"type":"response.create","model":"gpt","generate":false,"input":[]}"#, 10);
        meter.origin(completed("", "r0", 3).as_bytes(), 12);
        assert_eq!(told(&meter.take_runs()), ["10 r0 Some(3)"]);
    }

    #[test]
    fn responses_without_lanes_are_told_apart_by_their_ids() {
        let mut meter = meter(Api::OpenAiRealtime);
        for (at, id) in [(1, "a"), (2, "b")] {
            meter.guest(br#"{"type":"response.create","response":{"conversation":"none"}}"#, at);
            meter.origin(created("", id).as_bytes(), at + 10);
        }
        meter.origin(br#"{"type":"response.text.delta","response_id":"b","delta":"x"}"#, 20);
        for (id, output) in [("b", 2), ("a", 1)] {
            let done = completed("", id, output).replace("response.completed", "response.done");
            meter.origin(done.as_bytes(), 30);
        }
        let runs = meter.take_runs();
        assert_eq!(told(&runs), ["2 b Some(2)", "1 a Some(1)"]);
        assert_eq!(runs[0].call.first_token_us, Some(18));
    }

    #[test]
    fn lanes_run_side_by_side() {
        let mut meter = meter(Api::OpenAiResponses);
        for lane in ["a", "b"] {
            meter.guest(
                format!(r#"{{"type":"response.create","stream_id":"{lane}","model":"gpt"}}"#).as_bytes(),
                1,
            );
        }
        meter.origin(created(r#","stream_id":"b""#, "rb").as_bytes(), 2);
        meter.origin(created(r#","stream_id":"a""#, "ra").as_bytes(), 3);
        meter.origin(completed(r#","stream_id":"b""#, "rb", 2).as_bytes(), 4);
        meter.origin(completed(r#","stream_id":"a""#, "ra", 1).as_bytes(), 5);
        assert_eq!(told(&meter.take_runs()), ["1 rb Some(2)", "1 ra Some(1)"]);
    }

    #[test]
    fn an_error_frame_ends_the_run_and_is_told() {
        let mut meter = meter(Api::OpenAiResponses);
        meter.guest(br#"{"type":"response.create","model":"gpt"}"#, 1);
        meter.origin(br#"{"type":"error","status":400,"error":{"type":"invalid_request_error","code":"c","message":"m","headers":{"x-request-id":"req_1","retry-after":"7"}}}"#, 2);
        let error = meter.take_errors().remove(0);
        assert_eq!((error.status, error.retry_after_us), (Some(400), Some(7_000_000)));
        assert_eq!(error.request_id.as_deref(), Some("req_1"));
        let runs = meter.take_runs();
        assert_eq!(runs[0].call.error_type.as_deref(), Some("invalid_request_error"));
        meter.origin(br#"{"type":"error","error":{"message":"nobody's"}}"#, 3);
        assert_eq!((meter.take_errors().len(), meter.take_runs().len()), (1, 0));
    }

    #[test]
    fn a_socket_that_closes_ends_its_runs() {
        let mut meter = meter(Api::OpenAiResponses);
        meter.guest(br#"{"type":"response.create","model":"gpt"}"#, 1);
        meter.origin(created("", "r").as_bytes(), 2);
        let (runs, off) = meter.end(9);
        assert_eq!((told(&runs), off), (vec!["1 r None".to_owned()], None));
        assert_eq!(runs[0].call.usage_state, UsageState::None);
    }

    #[test]
    fn realtime_begins_runs_by_itself() {
        let mut meter = meter(Api::OpenAiRealtime);
        meter.origin(br#"{"type":"session.created","session":{"model":"x"}}"#, 1);
        meter.origin(created("", "r").as_bytes(), 2);
        meter.origin(br#"{"type":"error","error":{"type":"e","message":"harmless"}}"#, 3);
        meter.origin(br#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"input_tokens":99}}"#, 3);
        meter.origin(br#"{"type":"response.done","response":{"id":"r","status":"completed","output":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}],"usage":{"input_tokens":7,"output_tokens":8,"input_token_details":{"cached_tokens":3},"output_token_details":{"text_tokens":8}}}}"#, 4);
        let runs = meter.take_runs();
        let usage = &runs[0].call.usage;
        assert_eq!((usage.input, usage.cache_read, usage.output), (Some(7), Some(3), Some(8)));
        assert_eq!(
            (runs[0].call.tool_calls.len(), runs[0].call.model_requested.as_deref()),
            (1, Some("from-url"))
        );
    }

    #[test]
    fn nonsense_is_borne() {
        let mut meter = meter(Api::OpenAiResponses);
        for message in [&b"nonsense"[..], b"", b"{", b"[1]", b"\xff", br#"{"type":7}"#] {
            meter.guest(message, 1);
            meter.origin(message, 1);
        }
        (0..20).for_each(|_| meter.guest(br#"{"type":"response.create"}"#, 1));
        let (runs, off) = meter.end(2);
        assert_eq!((runs.len(), off), (MAX_OPEN, Some("too many runs at once")));
    }
}
