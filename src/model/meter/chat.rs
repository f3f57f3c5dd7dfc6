//! OpenAI chat completions and legacy completions (WIRE §2), and the dialects that other providers speak (§5).
//!
//! A stream carries usage only where the request asked for it, or where the provider sends it anyway: in a last chunk
//! without choices, with the finish reason (Mistral), in `x_groq` (Groq), in every chunk (vLLM).

use crate::wire::json::Shape;

use super::counts::Count;
use super::event::{Event, Field};
use super::openai::{COST, ERROR, INPUT_DETAILS, OUTPUT_DETAILS};
use super::progress::Progress;
use super::{ARGUMENTS, Format, NAME, USAGE};

pub(super) static FORMAT: Format = Format { shape: &CHUNK, apply };

static CHUNK: Shape<Field> = Shape::object(&[
    ("id", &Shape::value(Field::Id, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("choices", &Shape::array(&CHOICE)),
    ("usage", &USAGE_OBJECT),
    ("service_tier", &Shape::value(Field::Tier, NAME)),
    ("x_groq", &Shape::object(&[("usage", &USAGE_OBJECT), ("error", &ERROR)])),
    ("error", &ERROR),
])
.tagged(Field::Document);

static CHOICE: Shape<Field> = Shape::object(&[
    ("index", &Shape::value(Field::ChoiceIndex, 0)),
    ("delta", &SAID),
    ("message", &SAID),
    ("text", &Shape::value(Field::Generated, 0)),
    ("finish_reason", &Shape::value(Field::Stop, NAME)),
    ("error", &ERROR),
])
.tagged(Field::Choice);

static SAID: Shape<Field> = Shape::object(&[
    ("content", &CONTENT),
    ("reasoning_content", &Shape::value(Field::Generated, 0)),
    ("reasoning", &Shape::value(Field::Generated, 0)),
    ("refusal", &Shape::value(Field::Generated, 0)),
    ("audio", &AUDIO),
    ("tool_calls", &Shape::array(&TOOL)),
    ("function_call", &FUNCTION_CALL),
]);

static AUDIO: Shape<Field> = Shape::object(&[
    ("data", &Shape::value(Field::Generated, 0)),
    ("transcript", &Shape::value(Field::Generated, 0)),
]);

/// A string, or (Mistral) a list of parts that may hold lists themselves.
static CONTENT: Shape<Field> = Shape::value(Field::Generated, 0).items(&PART);
static PART: Shape<Field> =
    Shape::object(&[("text", &Shape::value(Field::Generated, 0)), ("thinking", &CONTENT)]);

static TOOL: Shape<Field> = Shape::object(&[
    ("index", &Shape::value(Field::ToolIndex, 0)),
    ("id", &Shape::value(Field::ToolId, NAME)),
    ("function", &FUNCTION),
    ("custom", &FUNCTION),
])
.tagged(Field::Tool);

static FUNCTION: Shape<Field> = Shape::object(FUNCTION_MEMBERS);
static FUNCTION_CALL: Shape<Field> = Shape::object(FUNCTION_MEMBERS).tagged(Field::Tool);

const FUNCTION_MEMBERS: &[(&str, &Shape<Field>)] = &[
    ("name", &Shape::value(Field::ToolName, NAME)),
    ("arguments", &Shape::value(Field::Arguments, ARGUMENTS).raw(ARGUMENTS)),
    ("input", &Shape::value(Field::Arguments, ARGUMENTS)),
];

/// The words of a chat alone: gateways are known to put zeros under those of Responses beside them.
static USAGE_OBJECT: Shape<Field> = Shape::object(&[
    ("prompt_tokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("completion_tokens", &Shape::value(Field::Count(Count::Output), 0)),
    ("prompt_tokens_details", &INPUT_DETAILS),
    ("completion_tokens_details", &OUTPUT_DETAILS),
    ("prompt_cache_hit_tokens", &Shape::value(Field::Count(Count::CacheHit), 0)),
    ("reasoning_tokens", &Shape::value(Field::Count(Count::Reasoning), 0)),
    ("cached_tokens", &Shape::value(Field::Count(Count::CacheHit), 0)),
    ("cached_prompt_text_tokens", &Shape::value(Field::Count(Count::CacheHit), 0)),
    ("citation_tokens", &Shape::value(Field::Count(Count::ExtraOutput), 0)),
    ("service_tier", &Shape::value(Field::Tier, NAME)),
    ("cost", &COST),
    ("cost_in_usd_ticks", &Shape::value(Field::CostTicks, 0)),
])
.tagged(Field::Usage)
.raw(USAGE);

fn apply(event: &mut Event, progress: &mut Progress) {
    for part in event.tools.drain(..) {
        progress.generated();
        progress.tools.merge(part);
    }
    if event.usage && (event.choices == 0 || !progress.framed) {
        progress.close();
    }
    progress.settle(event);
    progress.error_in(event);
}
