//! Mistral conversations (WIRE §5): named events, or one plain answer; usage in `conversation.response.done`.

use crate::wire::json::Shape;

use super::counts::Count;
use super::event::{Event, Field};
use super::progress::Progress;
use super::{ARGUMENTS, Format, MESSAGE, NAME, USAGE};

pub(super) static FORMAT: Format = Format { shape: &EVENT, apply };

static EVENT: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::Kind, NAME)),
    ("conversation_id", &Shape::value(Field::Id, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("output_index", &Shape::value(Field::Index, 0)),
    ("content", &CONTENT),
    ("tool_call_id", &Shape::value(Field::ToolId, NAME)),
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("arguments", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
    ("outputs", &Shape::array(&OUTPUT)),
    ("usage", &USAGE_OBJECT),
    ("code", &Shape::value(Field::FlatCode, NAME)),
    ("message", &Shape::value(Field::FlatMessage, MESSAGE)),
])
.tagged(Field::Document);

static CONTENT: Shape<Field> =
    Shape::object(&[("text", &Shape::value(Field::Generated, 0))]).tagged(Field::Generated);

static OUTPUT: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::ToolKind, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("tool_call_id", &Shape::value(Field::ToolId, NAME)),
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("arguments", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
])
.tagged(Field::Tool);

static USAGE_OBJECT: Shape<Field> = Shape::object(&[
    ("prompt_tokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("completion_tokens", &Shape::value(Field::Count(Count::Output), 0)),
])
.tagged(Field::Usage)
.raw(USAGE);

fn apply(event: &mut Event, progress: &mut Progress) {
    match event.kind() {
        "function.call.delta" => {
            let mut part = std::mem::take(&mut event.tool);
            part.index = event.index;
            progress.generated();
            progress.tools.merge(part);
        }
        "conversation.response.error" => {
            let mut error = std::mem::take(&mut event.flat);
            error.kind = Some("conversation.response.error".to_owned());
            progress.error(error);
        }
        _ => {
            let calls = event.tools.drain(..).filter(|part| part.kind.as_deref() == Some("function.call"));
            calls.for_each(|part| progress.tool(part));
        }
    }
    if event.usage {
        progress.close();
    }
}
