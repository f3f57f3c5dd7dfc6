//! Gemini (WIRE §4): generateContent as SSE, as one streamed array, plain, and inside Cloud Code's envelope; messages
//! of a Live socket; and the Interactions API.
//!
//! `usageMetadata` comes with every event and the last one counts. `candidatesTokenCount` leaves thoughts out, so
//! output is the sum; a tool call comes whole, without index and often without id.

use crate::wire::json::Shape;

use super::counts::Count;
use super::event::{Event, Field};
use super::progress::Progress;
use super::{ARGUMENTS, Format, MESSAGE, NAME, USAGE};

pub(super) static GENERATE: Format = Format { shape: &ANSWER, apply: apply_generate };
pub(super) static LIVE: Format = Format { shape: &LIVE_MESSAGE, apply: apply_live };
pub(super) static INTERACTIONS: Format = Format { shape: &STEP_EVENT, apply: apply_interactions };

/// One event, or an array of them.
static ANSWER: Shape<Field> = Shape::object(ANSWER_MEMBERS).tagged(Field::Document).items(&ANSWER_ITEM);
static ANSWER_ITEM: Shape<Field> = Shape::object(ANSWER_MEMBERS).tagged(Field::Document);

const ANSWER_MEMBERS: &[(&str, &Shape<Field>)] = &[
    ("response", &INNER),
    ("traceId", &Shape::value(Field::Id, NAME)),
    ("candidates", &Shape::array(&CANDIDATE)),
    ("promptFeedback", &FEEDBACK),
    ("usageMetadata", &METADATA),
    ("modelVersion", &Shape::value(Field::Model, NAME)),
    ("responseId", &Shape::value(Field::Id, NAME)),
    ("error", &ERROR),
];

/// What Cloud Code puts under `response`; its id is the envelope's `traceId`.
static INNER: Shape<Field> = Shape::object(&[
    ("candidates", &Shape::array(&CANDIDATE)),
    ("promptFeedback", &FEEDBACK),
    ("usageMetadata", &METADATA),
    ("modelVersion", &Shape::value(Field::Model, NAME)),
]);

static CANDIDATE: Shape<Field> = Shape::object(&[
    ("index", &Shape::value(Field::ChoiceIndex, 0)),
    ("finishReason", &Shape::value(Field::Stop, NAME)),
    ("content", &Shape::object(&[("parts", &Shape::array(&PART))])),
])
.tagged(Field::Choice);

static PART: Shape<Field> = Shape::object(&[
    ("text", &Shape::value(Field::Generated, 0)),
    ("functionCall", &FUNCTION_CALL),
    ("inlineData", &Shape::object(&[("data", &Shape::value(Field::Generated, 0))])),
    ("executableCode", &Shape::object(&[("code", &Shape::value(Field::Generated, 0))])),
]);

static FUNCTION_CALL: Shape<Field> = Shape::object(&[
    ("id", &Shape::value(Field::ToolId, NAME)),
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("args", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
    ("partialArgs", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
])
.tagged(Field::Tool);

static FEEDBACK: Shape<Field> = Shape::object(&[("blockReason", &Shape::value(Field::StopDetail, NAME))]);

static METADATA: Shape<Field> = Shape::object(&[
    ("promptTokenCount", &Shape::value(Field::Count(Count::Input), 0)),
    ("cachedContentTokenCount", &Shape::value(Field::Count(Count::CacheRead), 0)),
    ("candidatesTokenCount", &Shape::value(Field::Count(Count::Output), 0)),
    ("responseTokenCount", &Shape::value(Field::Count(Count::Output), 0)),
    ("thoughtsTokenCount", &Shape::value(Field::Count(Count::Reasoning), 0)),
    ("toolUsePromptTokenCount", &Shape::value(Field::Count(Count::ExtraInput), 0)),
    ("trafficType", &Shape::value(Field::Tier, NAME)),
    ("serviceTier", &Shape::value(Field::Tier, NAME)),
])
.tagged(Field::Usage)
.raw(USAGE);

static ERROR: Shape<Field> = Shape::object(&[
    ("status", &Shape::value(Field::ErrorKind, NAME)),
    ("code", &Shape::value(Field::ErrorCode, NAME)),
    ("message", &Shape::value(Field::ErrorMessage, MESSAGE)),
    ("details", &Shape::array(&ERROR_DETAIL)),
])
.tagged(Field::Error)
.keeping(MESSAGE);
static ERROR_DETAIL: Shape<Field> = Shape::object(&[("retryDelay", &Shape::value(Field::RetryDelay, NAME))]);

fn apply_generate(event: &mut Event, progress: &mut Progress) {
    // Vertex may stream arguments: parts without a name continue the call before them.
    for part in event.tools.drain(..).filter(|part| part.name.is_some() || part.arguments.is_some()) {
        progress.generated();
        progress.tools.merge(part);
    }
    progress.stop(event.stop_detail.take());
    if event.usage && !progress.framed {
        progress.close();
    }
    progress.settle(event);
    progress.error_in(event);
}

static LIVE_MESSAGE: Shape<Field> = Shape::object(&[
    ("serverContent", &LIVE_CONTENT),
    ("toolCall", &Shape::object(&[("functionCalls", &Shape::array(&FUNCTION_CALL))])),
    ("usageMetadata", &METADATA),
])
.tagged(Field::Document);

static LIVE_CONTENT: Shape<Field> = Shape::object(&[
    ("modelTurn", &Shape::object(&[("parts", &Shape::array(&PART))])),
    ("outputTranscription", &Shape::object(&[("text", &Shape::value(Field::Generated, 0))])),
    ("turnComplete", &Shape::value(Field::Done, 0)),
    ("turnCompleteReason", &Shape::value(Field::Stop, NAME)),
]);

/// A turn is over once the model says so; its counts come with that message or in one after it.
fn apply_live(event: &mut Event, progress: &mut Progress) {
    event.tools.drain(..).for_each(|part| progress.tool(part));
    if event.done {
        progress.stop(event.stop.take().or_else(|| Some("turnComplete".to_owned())));
    }
    progress.settle(event);
}

static STEP_EVENT: Shape<Field> = Shape::object(&[
    ("event_type", &Shape::value(Field::Kind, NAME)),
    ("index", &Shape::value(Field::Index, 0)),
    ("interaction", &INTERACTION),
    ("step", &STEP),
    ("delta", &STEP_DELTA),
    ("metadata", &Shape::object(&[("total_usage", &TOTALS)])),
    ("error", &STEP_ERROR),
    ("id", &Shape::value(Field::Id, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("status", &Shape::value(Field::Status, NAME)),
    ("usage", &TOTALS),
    ("outputs", &Shape::array(&STEP)),
    ("steps", &Shape::array(&STEP)),
])
.tagged(Field::Document);

static INTERACTION: Shape<Field> = Shape::object(&[
    ("id", &Shape::value(Field::Id, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("status", &Shape::value(Field::Status, NAME)),
    ("usage", &TOTALS),
]);

static STEP: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::ToolKind, NAME)),
    ("id", &Shape::value(Field::ToolId, NAME)),
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("arguments", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
])
.tagged(Field::Tool);

static STEP_DELTA: Shape<Field> = Shape::object(&[
    ("text", &Shape::value(Field::Generated, 0)),
    ("thought", &Shape::value(Field::Generated, 0)),
    ("arguments", &Shape::value(Field::Arguments, ARGUMENTS)),
    ("partial_arguments", &Shape::value(Field::Arguments, ARGUMENTS)),
    ("content", &Shape::object(&[("text", &Shape::value(Field::Generated, 0))])),
]);

static TOTALS: Shape<Field> = Shape::object(&[
    ("total_input_tokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("total_output_tokens", &Shape::value(Field::Count(Count::Output), 0)),
    ("total_thought_tokens", &Shape::value(Field::Count(Count::Reasoning), 0)),
    ("total_cached_tokens", &Shape::value(Field::Count(Count::CacheRead), 0)),
    ("total_tool_use_tokens", &Shape::value(Field::Count(Count::ExtraInput), 0)),
])
.tagged(Field::Usage)
.raw(USAGE);

static STEP_ERROR: Shape<Field> = Shape::object(&[
    ("code", &Shape::value(Field::ErrorCode, NAME)),
    ("message", &Shape::value(Field::ErrorMessage, MESSAGE)),
])
.tagged(Field::Error)
.keeping(MESSAGE);

fn apply_interactions(event: &mut Event, progress: &mut Progress) {
    match event.kind() {
        "step.start" => {
            for mut part in event.tools.drain(..).filter(|part| part.kind.as_deref() == Some("function_call"))
            {
                part.index = event.index;
                part.forget_empty_object();
                progress.tool(part);
            }
        }
        "step.delta" => {
            if let Some(arguments) = event.tool.arguments.take() {
                progress.tools.append(0, event.index, arguments);
            }
        }
        _ => end_interaction(event, progress),
    }
    progress.error_in(event);
}

fn end_interaction(event: &mut Event, progress: &mut Progress) {
    let whole = !progress.framed;
    let calls = event.tools.drain(..).filter(|part| whole && part.kind.as_deref() == Some("function_call"));
    calls.for_each(|part| progress.tool(part));
    let status = event.status.take();
    let running = matches!(status.as_deref(), None | Some("in_progress" | "queued"));
    if !running {
        progress.stop(status);
        progress.ended = true;
        progress.closing |= event.usage;
    }
}
