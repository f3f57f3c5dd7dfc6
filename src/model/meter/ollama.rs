//! Ollama chat and generate (WIRE §5): lines of JSON, of which the last says `done`; plain answers are one such line.

use crate::wire::json::Shape;

use super::counts::{Count, Counts};
use super::event::{Event, Field};
use super::progress::Progress;
use super::{ARGUMENTS, Format, MESSAGE, NAME};

pub(super) static FORMAT: Format = Format { shape: &LINE, apply };

static LINE: Shape<Field> = Shape::object(&[
    ("model", &Shape::value(Field::Model, NAME)),
    ("response", &Shape::value(Field::Generated, 0)),
    ("thinking", &Shape::value(Field::Generated, 0)),
    ("message", &SAID),
    ("done", &Shape::value(Field::Done, 0)),
    ("done_reason", &Shape::value(Field::Stop, NAME)),
    ("prompt_eval_count", &Shape::value(Field::Count(Count::Input), 0)),
    ("eval_count", &Shape::value(Field::Count(Count::Output), 0)),
    ("error", &Shape::value(Field::Error, MESSAGE)),
])
.tagged(Field::Document);

static SAID: Shape<Field> = Shape::object(&[
    ("content", &Shape::value(Field::Generated, 0)),
    ("thinking", &Shape::value(Field::Generated, 0)),
    ("tool_calls", &Shape::array(&TOOL)),
]);

static TOOL: Shape<Field> =
    Shape::object(&[("id", &Shape::value(Field::ToolId, NAME)), ("function", &FUNCTION)]).tagged(Field::Tool);

static FUNCTION: Shape<Field> = Shape::object(&[
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("arguments", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
]);

fn apply(event: &mut Event, progress: &mut Progress) {
    event.tools.drain(..).for_each(|part| progress.tool(part));
    if event.done {
        progress.stop(event.stop.take());
        progress.close();
        progress.usage_json = Some(usage_json(&progress.counts).into_bytes());
    }
    progress.error_in(event);
}

/// Ollama has no usage object; its two counts stand in the line itself.
fn usage_json(counts: &Counts) -> String {
    let names = [("prompt_eval_count", Count::Input), ("eval_count", Count::Output)];
    let known = names.iter().filter_map(|&(name, which)| Some(format!("\"{name}\":{}", counts.get(which)?)));
    format!("{{{}}}", known.collect::<Vec<_>>().join(","))
}
