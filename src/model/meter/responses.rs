//! OpenAI Responses (WIRE §3): SSE events, the plain response, messages of a WebSocket; and Realtime's `response.done`.
//!
//! Usage comes in the terminal event only, which repeats the whole output: megabytes of which this reads the few
//! places it names. Tool calls are taken whole from `response.output_item.done`; the pieces before it serve a stream
//! that breaks, the terminal event's list a stream that never had them.

use crate::wire::json::Shape;

use super::event::{ErrorPart, Event, Field};
use super::openai::{ERROR, USAGE_OBJECT};
use super::progress::Progress;
use super::tools::ToolPart;
use super::{ARGUMENTS, Format, MESSAGE, NAME};

pub(super) static FORMAT: Format = Format { shape: &EVENT, apply };

static EVENT: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::Kind, NAME)),
    ("response", &RESPONSE),
    ("item", &ITEM),
    ("output_index", &Shape::value(Field::Index, 0)),
    ("delta", &Shape::value(Field::Arguments, ARGUMENTS)),
    ("error", &ERROR),
    ("code", &Shape::value(Field::FlatCode, NAME)),
    ("message", &Shape::value(Field::FlatMessage, MESSAGE)),
    ("id", &Shape::value(Field::Id, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("status", &Shape::value(Field::Status, NAME)),
    ("usage", &USAGE_OBJECT),
    ("service_tier", &Shape::value(Field::Tier, NAME)),
    ("incomplete_details", &DETAILS),
    ("output", &Shape::array(&ITEM)),
])
.tagged(Field::Document);

static RESPONSE: Shape<Field> = Shape::object(&[
    ("id", &Shape::value(Field::Id, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("status", &Shape::value(Field::Status, NAME)),
    ("usage", &USAGE_OBJECT),
    ("service_tier", &Shape::value(Field::Tier, NAME)),
    ("incomplete_details", &DETAILS),
    ("status_details", &DETAILS),
    ("error", &ERROR),
    ("output", &Shape::array(&ITEM)),
]);

/// Why a response is incomplete; Realtime also puts its error here.
static DETAILS: Shape<Field> =
    Shape::object(&[("reason", &Shape::value(Field::StopDetail, NAME)), ("error", &ERROR)]);

static ITEM: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::ToolKind, NAME)),
    ("call_id", &Shape::value(Field::ToolId, NAME)),
    ("id", &Shape::value(Field::ToolItemId, NAME)),
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("arguments", &Shape::value(Field::Arguments, ARGUMENTS)),
    ("input", &Shape::value(Field::Arguments, ARGUMENTS)),
    ("action", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
    ("operation", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
])
.tagged(Field::Tool);

fn apply(event: &mut Event, progress: &mut Progress) {
    match event.kind() {
        "response.output_item.added" => items(event, progress, false),
        "response.output_item.done" => items(event, progress, true),
        "response.function_call_arguments.delta"
        | "response.custom_tool_call_input.delta"
        | "response.mcp_call_arguments.delta" => {
            if let Some(arguments) = event.tool.arguments.take() {
                progress.tools.append(0, event.index, arguments);
            }
        }
        "error" => flat_error(event),
        _ => terminal(event, progress),
    }
    progress.error_in(event);
}

/// An output item that begins, or that is complete and replaces what it began as.
fn items(event: &mut Event, progress: &mut Progress, whole: bool) {
    for mut part in event.tools.drain(..).filter(is_tool) {
        progress.generated();
        part.index = event.index;
        if whole {
            progress.tools.replace(part);
        } else {
            progress.tools.add(part);
        }
    }
}

/// The `error` event is flat at OpenAI, nested at some gateways.
fn flat_error(event: &mut Event) {
    if !event.error.seen {
        let status = event.error.status;
        event.error = ErrorPart { seen: true, status, ..std::mem::take(&mut event.flat) };
    }
}

/// Whatever carries a whole response; only its end brings usage and a reason.
fn terminal(event: &mut Event, progress: &mut Progress) {
    let compaction = event.usage && event.status.is_none();
    let over = matches!(event.status.as_deref(), Some("completed" | "failed" | "incomplete" | "cancelled"));
    if !over && !compaction {
        return;
    }
    progress.stop(event.stop_detail.take().or_else(|| event.status.take()));
    if progress.tools.is_empty() {
        event.tools.drain(..).filter(is_tool).for_each(|part| progress.tools.add(part));
    }
    progress.ended = true;
    progress.closing |= event.usage;
}

/// Calls that the client has to carry out, and those of MCP servers.
fn is_tool(part: &ToolPart) -> bool {
    const KINDS: &[&str] = &[
        "function_call",
        "custom_tool_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
        "computer_call",
        "mcp_call",
    ];
    part.kind.as_deref().is_some_and(|kind| KINDS.contains(&kind))
}
