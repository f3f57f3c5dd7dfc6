//! The places of interest in a model request, of every format.

use crate::wire::json::Shape;

use super::PREVIEW;
use crate::model::meter::NAME;

/// A place in a request, whatever the format calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Model,
    Stream,
    IncludeUsage,
    Generate,
    /// The kind of a WebSocket message.
    Kind,
    Lane,
    /// Text of the system prompt; only its length counts.
    System,
    Tools,
    Tool,
    /// A function inside a tool.
    Declaration,
    /// All messages, or the one string that stands for them.
    Messages,
    Message,
    Role,
    MessageKind,
    /// Which tool call a message answers.
    MessageId,
    MessageText,
    MessageIsError,
    /// A part of a message's content.
    Block,
    BlockKind,
    BlockText,
    /// What makes a block a tool result by being there.
    Result,
    ResultId,
    ResultText,
    ResultIsError,
    ResultStatus,
}

pub(super) static REQUEST: Shape<Field> = Shape::object(REQUEST_MEMBERS);

/// Cloud Code, Realtime and Live put the request into an envelope.
const REQUEST_MEMBERS: &[(&str, &Shape<Field>)] = &[
    ("model", &Shape::value(Field::Model, NAME)),
    ("agent", &Shape::value(Field::Model, NAME)),
    ("agent_id", &Shape::value(Field::Model, NAME)),
    ("stream", &Shape::value(Field::Stream, 0)),
    ("stream_options", &STREAM_OPTIONS),
    ("generate", &Shape::value(Field::Generate, 0)),
    ("type", &Shape::value(Field::Kind, NAME)),
    ("stream_id", &Shape::value(Field::Lane, NAME)),
    ("messages", &MESSAGES),
    ("input", &MESSAGES),
    ("inputs", &MESSAGES),
    ("contents", &MESSAGES),
    ("prompt", &MESSAGES),
    ("system", &SYSTEM),
    ("instructions", &SYSTEM),
    ("preamble", &SYSTEM),
    ("systemInstruction", &SYSTEM),
    ("system_instruction", &SYSTEM),
    ("tools", &TOOLS),
    ("functions", &TOOLS),
    ("toolConfig", &TOOL_CONFIG),
    ("request", &ENVELOPE),
    ("response", &ENVELOPE),
    ("setup", &ENVELOPE),
    ("clientContent", &LIVE_TURNS),
    ("client_content", &LIVE_TURNS),
];

static STREAM_OPTIONS: Shape<Field> =
    Shape::object(&[("include_usage", &Shape::value(Field::IncludeUsage, 0))]);

/// Converse's place for tools.
static TOOL_CONFIG: Shape<Field> = Shape::object(&[("tools", &TOOLS)]);

static ENVELOPE: Shape<Field> = Shape::object(&[
    ("model", &Shape::value(Field::Model, NAME)),
    ("contents", &MESSAGES),
    ("input", &MESSAGES),
    ("instructions", &SYSTEM),
    ("systemInstruction", &SYSTEM),
    ("system_instruction", &SYSTEM),
    ("tools", &TOOLS),
]);

/// What a guest says on a Live socket.
static LIVE_TURNS: Shape<Field> = Shape::object(&[("turns", &MESSAGES)]);

/// A string, a list of parts, or Gemini's content with its parts.
static SYSTEM: Shape<Field> =
    Shape::object(&[("parts", &Shape::array(&SYSTEM_PART)), ("text", &SYSTEM_TEXT)])
        .tagged(Field::System)
        .items(&SYSTEM_PART);
static SYSTEM_PART: Shape<Field> = Shape::object(&[("text", &SYSTEM_TEXT)]);
static SYSTEM_TEXT: Shape<Field> = Shape::value(Field::System, 0);

static TOOLS: Shape<Field> = Shape::array(&TOOL).tagged(Field::Tools);
static TOOL: Shape<Field> = Shape::object(&[
    ("functionDeclarations", &Shape::array(&DECLARATION)),
    ("function_declarations", &Shape::array(&DECLARATION)),
])
.tagged(Field::Tool);
static DECLARATION: Shape<Field> = Shape::object(&[]).tagged(Field::Declaration);

static MESSAGES: Shape<Field> = Shape::array(&MESSAGE).tagged(Field::Messages);

static MESSAGE: Shape<Field> = Shape::object(&[
    ("role", &Shape::value(Field::Role, NAME)),
    ("type", &Shape::value(Field::MessageKind, NAME)),
    ("content", &CONTENT),
    ("parts", &Shape::array(&BLOCK)),
    ("tool_call_id", &Shape::value(Field::MessageId, NAME)),
    ("call_id", &Shape::value(Field::MessageId, NAME)),
    ("tool_name", &Shape::value(Field::MessageId, NAME)),
    ("output", &OUTPUT),
    ("result", &OUTPUT),
    ("is_error", &Shape::value(Field::MessageIsError, 0)),
])
.tagged(Field::Message);

/// A string, or a list of blocks.
static CONTENT: Shape<Field> = Shape::value(Field::MessageText, PREVIEW).items(&BLOCK);

static OUTPUT: Shape<Field> = Shape::value(Field::MessageText, PREVIEW).items(&OUTPUT_PART);
static OUTPUT_PART: Shape<Field> = Shape::object(&[("text", &Shape::value(Field::MessageText, PREVIEW))]);

static BLOCK: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::BlockKind, NAME)),
    ("text", &Shape::value(Field::BlockText, PREVIEW)),
    ("tool_use_id", &Shape::value(Field::ResultId, NAME)),
    ("is_error", &Shape::value(Field::ResultIsError, 0)),
    ("content", &RESULT_CONTENT),
    ("functionResponse", &FUNCTION_RESPONSE),
    ("function_response", &FUNCTION_RESPONSE),
    ("toolResult", &TOOL_RESULT),
])
.tagged(Field::Block);

/// A string, or a list of texts.
static RESULT_CONTENT: Shape<Field> = Shape::value(Field::ResultText, PREVIEW).items(&RESULT_PART);
static RESULT_PART: Shape<Field> = Shape::object(&[("text", &Shape::value(Field::ResultText, PREVIEW))]);

/// Gemini's.
static FUNCTION_RESPONSE: Shape<Field> = Shape::object(&[
    ("id", &Shape::value(Field::ResultId, NAME)),
    ("response", &Shape::value(Field::ResultText, PREVIEW).raw(PREVIEW)),
])
.tagged(Field::Result);

/// Converse's.
static TOOL_RESULT: Shape<Field> = Shape::object(&[
    ("toolUseId", &Shape::value(Field::ResultId, NAME)),
    ("status", &Shape::value(Field::ResultStatus, NAME)),
    ("content", &RESULT_CONTENT),
])
.tagged(Field::Result);
