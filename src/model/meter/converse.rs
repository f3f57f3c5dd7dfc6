//! Bedrock Converse (WIRE §1): the plain answer, and the payloads of its event stream, whose kind is the frame's
//! `:event-type`. As at Anthropic, `inputTokens` leaves the cache out.

use crate::wire::json::Shape;

use super::counts::Count;
use super::event::{Event, Field};
use super::progress::Progress;
use super::tools::ToolPart;
use super::{ARGUMENTS, Format, MESSAGE, NAME, USAGE};

pub(super) static FORMAT: Format = Format { shape: &EVENT, apply };

static EVENT: Shape<Field> = Shape::object(&[
    ("contentBlockIndex", &Shape::value(Field::Index, 0)),
    ("start", &Shape::object(&[("toolUse", &TOOL_USE)])),
    ("delta", &DELTA),
    ("output", &Shape::object(&[("message", &SAID)])),
    ("stopReason", &Shape::value(Field::Stop, NAME)),
    ("usage", &USAGE_OBJECT),
    ("serviceTier", &Shape::object(&[("type", &Shape::value(Field::Tier, NAME))])),
    ("message", &Shape::value(Field::FlatMessage, MESSAGE)),
])
.tagged(Field::Document);

static SAID: Shape<Field> = Shape::object(&[("content", &Shape::array(&BLOCK))]);
static BLOCK: Shape<Field> =
    Shape::object(&[("text", &Shape::value(Field::Generated, 0)), ("toolUse", &TOOL_USE)]);

static DELTA: Shape<Field> = Shape::object(&[
    ("text", &Shape::value(Field::Generated, 0)),
    ("reasoningContent", &Shape::object(&[("text", &Shape::value(Field::Generated, 0))])),
    ("toolUse", &Shape::object(&[("input", &Shape::value(Field::Arguments, ARGUMENTS))])),
]);

static TOOL_USE: Shape<Field> = Shape::object(&[
    ("toolUseId", &Shape::value(Field::ToolId, NAME)),
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("input", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
])
.tagged(Field::Tool);

static USAGE_OBJECT: Shape<Field> = Shape::object(&[
    ("inputTokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("outputTokens", &Shape::value(Field::Count(Count::Output), 0)),
    ("cacheReadInputTokens", &Shape::value(Field::Count(Count::CacheRead), 0)),
    ("cacheWriteInputTokens", &Shape::value(Field::Count(Count::CacheWrite), 0)),
    ("cacheDetails", &Shape::array(&CACHE_DETAIL)),
])
.tagged(Field::Usage)
.raw(USAGE);

static CACHE_DETAIL: Shape<Field> = Shape::object(&[
    ("ttl", &Shape::value(Field::CacheTtl, NAME)),
    ("inputTokens", &Shape::value(Field::CacheTtlCount, 0)),
])
.tagged(Field::CacheTtlCount);

fn apply(event: &mut Event, progress: &mut Progress) {
    progress.stop(event.stop.take());
    event.tools.drain(..).for_each(|part| progress.tool(ToolPart { index: event.index, ..part }));
    if let Some(arguments) = event.tool.arguments.take() {
        progress.tools.append(0, event.index, arguments);
    }
    if event.usage {
        progress.close();
    }
    let kind = event.kind();
    if kind.ends_with("Exception") || kind.ends_with("Error") {
        let mut error = std::mem::take(&mut event.flat);
        error.kind = Some(event.kind().to_owned());
        progress.error(error);
    }
}
