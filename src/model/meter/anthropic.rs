//! Anthropic Messages (WIRE §1): SSE events, the plain message, and the same behind Vertex and Bedrock.
//!
//! `message_delta.usage` replaces `message_start.message.usage` field by field; the `output_tokens` of the start is
//! only a placeholder, so counts are final once a delta has brought them and the message has stopped.

use crate::wire::json::Shape;

use super::counts::Count;
use super::event::{Event, Field};
use super::progress::Progress;
use super::tools::ToolPart;
use super::{ARGUMENTS, Format, MESSAGE, NAME, USAGE};

pub(super) static FORMAT: Format = Format { shape: &EVENT, apply };

static EVENT: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::Kind, NAME)),
    ("index", &Shape::value(Field::Index, 0)),
    ("delta", &DELTA),
    ("content_block", &BLOCK),
    ("message", &MESSAGE_START),
    ("usage", &USAGE_OBJECT),
    ("error", &ERROR),
    ("request_id", &Shape::value(Field::RequestId, NAME)),
    ("id", &Shape::value(Field::Id, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("stop_reason", &Shape::value(Field::Stop, NAME)),
    ("content", &Shape::array(&BLOCK)),
    ("amazon-bedrock-invocationMetrics", &INVOCATION),
])
.tagged(Field::Document);

static MESSAGE_START: Shape<Field> = Shape::object(&[
    ("id", &Shape::value(Field::Id, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("stop_reason", &Shape::value(Field::Stop, NAME)),
    ("usage", &USAGE_OBJECT),
    ("content", &Shape::array(&BLOCK)),
]);

static DELTA: Shape<Field> = Shape::object(&[
    ("text", &Shape::value(Field::Generated, 0)),
    ("thinking", &Shape::value(Field::Generated, 0)),
    ("partial_json", &Shape::value(Field::Arguments, ARGUMENTS)),
    ("stop_reason", &Shape::value(Field::Stop, NAME)),
]);

static BLOCK: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::ToolKind, NAME)),
    ("id", &Shape::value(Field::ToolId, NAME)),
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("input", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
    ("text", &Shape::value(Field::Generated, 0)),
    ("thinking", &Shape::value(Field::Generated, 0)),
    ("to", &Shape::object(&[("model", &Shape::value(Field::FallbackModel, NAME))])),
])
.tagged(Field::Tool);

static USAGE_OBJECT: Shape<Field> = Shape::object(&[
    ("input_tokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("output_tokens", &Shape::value(Field::Count(Count::Output), 0)),
    ("cache_creation_input_tokens", &Shape::value(Field::Count(Count::CacheWrite), 0)),
    ("cache_read_input_tokens", &Shape::value(Field::Count(Count::CacheRead), 0)),
    ("cache_creation", &LIFETIMES),
    ("output_tokens_details", &THINKING),
    ("service_tier", &Shape::value(Field::Tier, NAME)),
    ("speed", &Shape::value(Field::Speed, NAME)),
    ("cost", &Shape::value(Field::Cost, 0)),
    ("iterations", &Shape::array(&ITERATION)),
])
.tagged(Field::Usage)
.raw(USAGE);

static LIFETIMES: Shape<Field> = Shape::object(&[
    ("ephemeral_5m_input_tokens", &Shape::value(Field::Count(Count::CacheWrite5m), 0)),
    ("ephemeral_1h_input_tokens", &Shape::value(Field::Count(Count::CacheWrite1h), 0)),
]);

static THINKING: Shape<Field> =
    Shape::object(&[("thinking_tokens", &Shape::value(Field::Count(Count::Reasoning), 0))]);

static ITERATION: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::IterationKind, NAME)),
    ("model", &Shape::value(Field::IterationModel, NAME)),
    ("input_tokens", &Shape::value(Field::IterationCount(Count::Input), 0)),
    ("output_tokens", &Shape::value(Field::IterationCount(Count::Output), 0)),
    ("cache_creation_input_tokens", &Shape::value(Field::IterationCount(Count::CacheWrite), 0)),
    ("cache_read_input_tokens", &Shape::value(Field::IterationCount(Count::CacheRead), 0)),
    ("cache_creation", &ITERATION_LIFETIMES),
])
.tagged(Field::Iteration);

static ITERATION_LIFETIMES: Shape<Field> = Shape::object(&[
    ("ephemeral_5m_input_tokens", &Shape::value(Field::IterationCount(Count::CacheWrite5m), 0)),
    ("ephemeral_1h_input_tokens", &Shape::value(Field::IterationCount(Count::CacheWrite1h), 0)),
]);

/// What Bedrock adds to the last event, with the model's own counts left out by some of its models.
static INVOCATION: Shape<Field> = Shape::object(&[
    ("inputTokenCount", &Shape::value(Field::Count(Count::BilledInput), 0)),
    ("outputTokenCount", &Shape::value(Field::Count(Count::BilledOutput), 0)),
    ("cacheReadInputTokenCount", &Shape::value(Field::Count(Count::CacheHit), 0)),
    ("cacheWriteInputTokenCount", &Shape::value(Field::Count(Count::CacheStored), 0)),
]);

static ERROR: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::ErrorKind, NAME)),
    ("message", &Shape::value(Field::ErrorMessage, MESSAGE)),
    ("details", &Shape::object(&[("error_code", &Shape::value(Field::ErrorCode, NAME))])),
])
.tagged(Field::Error)
.keeping(MESSAGE);

fn apply(event: &mut Event, progress: &mut Progress) {
    progress.stop(event.stop.take());
    if let Some(iterations) = event.iterations.take() {
        progress.iterations = iterations;
    }
    match event.kind() {
        _ if !progress.framed => whole_message(event, progress),
        "content_block_start" => start_block(event, progress),
        "content_block_delta" => {
            if let Some(arguments) = event.tool.arguments.take() {
                progress.tools.append(0, event.index, arguments);
            }
        }
        "message_delta" => progress.closing |= event.usage,
        "message_stop" => {
            progress.closing |= event.usage;
            progress.ended = true;
        }
        _ => {}
    }
    progress.error_in(event);
}

/// A block begins; its input comes in deltas, so the empty object that stands for it here is left out.
fn start_block(event: &mut Event, progress: &mut Progress) {
    for mut part in event.tools.drain(..).filter(is_tool) {
        part.index = event.index;
        part.forget_empty_object();
        progress.tool(part);
    }
}

fn whole_message(event: &mut Event, progress: &mut Progress) {
    event.tools.drain(..).filter(is_tool).for_each(|part| progress.tool(part));
    if event.usage {
        progress.close();
    }
}

fn is_tool(part: &ToolPart) -> bool {
    part.kind.as_deref().is_some_and(|kind| kind.ends_with("tool_use"))
}
