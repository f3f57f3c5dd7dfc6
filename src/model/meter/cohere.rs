//! Cohere chat (WIRE §5): version 2's named events and plain answer, and what version 1 puts in its last event.
//!
//! `tokens` is what the model read and wrote, `billed_units` what is charged; the first counts where both are there.

use crate::wire::json::Shape;

use super::counts::Count;
use super::event::{Event, Field};
use super::progress::Progress;
use super::{ARGUMENTS, Format, MESSAGE, NAME, USAGE};

pub(super) static FORMAT: Format = Format { shape: &EVENT, apply };

static EVENT: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::Kind, NAME)),
    ("event_type", &Shape::value(Field::Kind, NAME)),
    ("index", &Shape::value(Field::Index, 0)),
    ("id", &Shape::value(Field::Id, NAME)),
    ("generation_id", &Shape::value(Field::Id, NAME)),
    ("delta", &DELTA),
    ("message", &SAID),
    ("text", &Shape::value(Field::Generated, 0)),
    ("finish_reason", &Shape::value(Field::Stop, NAME)),
    ("usage", &USAGE_OBJECT),
    ("meta", &USAGE_OBJECT),
    ("response", &VERSION_1),
])
.tagged(Field::Document);

static DELTA: Shape<Field> = Shape::object(&[
    ("message", &SAID),
    ("finish_reason", &Shape::value(Field::Stop, NAME)),
    ("usage", &USAGE_OBJECT),
    ("error", &Shape::value(Field::Error, MESSAGE)),
]);

/// Version 1's `stream-end` repeats the whole answer.
static VERSION_1: Shape<Field> = Shape::object(&[
    ("generation_id", &Shape::value(Field::Id, NAME)),
    ("finish_reason", &Shape::value(Field::Stop, NAME)),
    ("meta", &USAGE_OBJECT),
]);

static SAID: Shape<Field> = Shape::object(&[
    ("content", &CONTENT),
    ("tool_plan", &Shape::value(Field::Generated, 0)),
    ("tool_calls", &TOOL_CALLS),
]);

/// One block in a delta, a list of them in a plain answer.
static CONTENT: Shape<Field> = Shape::object(CONTENT_MEMBERS).items(&BLOCK);
static BLOCK: Shape<Field> = Shape::object(CONTENT_MEMBERS);
const CONTENT_MEMBERS: &[(&str, &Shape<Field>)] =
    &[("text", &Shape::value(Field::Generated, 0)), ("thinking", &Shape::value(Field::Generated, 0))];

/// One object in a delta, a list in a plain answer.
static TOOL_CALLS: Shape<Field> = Shape::object(TOOL_MEMBERS).items(&TOOL);
static TOOL: Shape<Field> = Shape::object(TOOL_MEMBERS).tagged(Field::Tool);
const TOOL_MEMBERS: &[(&str, &Shape<Field>)] =
    &[("id", &Shape::value(Field::ToolId, NAME)), ("function", &FUNCTION)];

static FUNCTION: Shape<Field> = Shape::object(&[
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("arguments", &Shape::value(Field::Arguments, ARGUMENTS)),
]);

static USAGE_OBJECT: Shape<Field> = Shape::object(&[
    ("tokens", &TOKENS),
    ("billed_units", &BILLED),
    ("cached_tokens", &Shape::value(Field::Count(Count::CacheRead), 0)),
])
.tagged(Field::Usage)
.raw(USAGE);

static TOKENS: Shape<Field> = Shape::object(&[
    ("input_tokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("output_tokens", &Shape::value(Field::Count(Count::Output), 0)),
]);

static BILLED: Shape<Field> = Shape::object(&[
    ("input_tokens", &Shape::value(Field::Count(Count::BilledInput), 0)),
    ("output_tokens", &Shape::value(Field::Count(Count::BilledOutput), 0)),
]);

fn apply(event: &mut Event, progress: &mut Progress) {
    progress.stop(event.stop.take());
    match event.kind() {
        "tool-call-start" => {
            let mut part = std::mem::take(&mut event.tool);
            part.index = event.index;
            progress.tool(part);
        }
        "tool-call-delta" => {
            if let Some(arguments) = event.tool.arguments.take() {
                progress.tools.append(0, event.index, arguments);
            }
        }
        _ => {
            event.tools.drain(..).for_each(|part| progress.tool(part));
            if event.usage {
                progress.close();
            }
        }
    }
    progress.error_in(event);
}
