//! What a model request asks, read as it passes: one table of places serves every format, because none of them uses
//! another's names for something else.
//!
//! Each byte is seen once and the body has no size limit (lesson 15). Tool results count only where they trail: what
//! stands before the model's last word was told with an earlier request (lesson 16). A message's role may come after
//! its content, so a message is judged when it closes.

mod shape;

use crate::wire::json::{JsonError, Sink, Skimmer, Text, Value};

use super::api::Api;
use super::detect::Detected;
use super::usage::ToolResult;
use shape::Field;

/// How many bytes of a tool result are kept.
const PREVIEW: usize = 512;
/// How many trailing tool results are kept.
const MAX_RESULTS: usize = 256;

/// Facts of a request body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// The model asked for, from URL or body.
    pub model: Option<String>,
    /// Whether a stream was asked for, defaults of the API applied.
    pub stream: Option<bool>,
    /// Messages (or input items) in the request.
    pub messages_count: Option<u64>,
    /// Tools offered.
    pub tools_count: Option<u64>,
    /// Bytes of system prompt.
    pub system_bytes: Option<u64>,
    /// Trailing tool results only.
    pub tool_results: Vec<ToolResult>,
    /// Whether usage was asked for in a chat stream.
    pub include_usage: Option<bool>,
    /// Codex's warm-up says `false`: nothing is generated.
    pub generate: Option<bool>,
    /// What kind of message this is, on a WebSocket.
    pub kind: Option<String>,
    /// Its lane, on a WebSocket.
    pub lane: Option<String>,
    /// Why reading stopped, where it did.
    pub off: Option<String>,
}

/// Reads one request body.
#[derive(Debug)]
pub struct RequestReader {
    skimmer: Skimmer<Field>,
    asked: Asked,
    api: Api,
    model: Option<String>,
    stream: Option<bool>,
}

/// What the skimmer fills.
#[derive(Debug, Default)]
struct Asked {
    facts: RequestFacts,
    messages: u64,
    tools: u64,
    /// Declarations in the tool under way (Gemini puts several functions into one tool).
    declarations: u64,
    system: u64,
    message: Message,
    result: ToolResult,
}

/// A message until it closes.
#[derive(Debug, Default)]
struct Message {
    role: String,
    kind: String,
    id: Option<String>,
    is_error: Option<bool>,
    text: String,
    text_len: u64,
    /// Tool results among its blocks.
    results: Vec<ToolResult>,
    /// The block under way is a tool result.
    block_is_result: bool,
}

impl RequestReader {
    /// For a request whose URL said what `detected` holds.
    pub fn new(detected: &Detected) -> Self {
        Self::of(detected.api, detected.model.clone(), detected.stream)
    }

    /// For a message of a WebSocket.
    pub(super) fn message(api: Api) -> Self {
        Self::of(api, None, Some(true))
    }

    fn of(api: Api, model: Option<String>, stream: Option<bool>) -> Self {
        Self { skimmer: Skimmer::one(&shape::REQUEST), asked: Asked::default(), api, model, stream }
    }

    /// The next bytes of the decoded body.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), JsonError> {
        self.skimmer.push(bytes, &mut self.asked)
    }

    /// The body has ended; `off` says why reading it stopped before.
    pub fn end(mut self, off: Option<String>) -> RequestFacts {
        let off = off.or_else(|| self.skimmer.finish(&mut self.asked).err().map(|error| error.to_string()));
        let Asked { mut facts, system, .. } = self.asked;
        if off.is_none() {
            facts.tools_count.get_or_insert(0);
            facts.system_bytes = Some(system);
            facts.stream = self.stream.or(facts.stream).or(Some(self.api.streams_by_default()));
        }
        facts.stream = self.stream.or(facts.stream);
        facts.model = self.model.or(facts.model);
        facts.off = off;
        facts
    }
}

impl Sink<Field> for Asked {
    fn value(&mut self, field: Field, value: Value<'_>) {
        match value {
            Value::Text(text) => self.text(field, text),
            Value::Bool(flag) => self.flag(field, flag),
            Value::Number(_) | Value::Null => {}
        }
    }

    fn open(&mut self, field: Field) {
        match field {
            Field::Messages => {
                self.messages = 0;
                self.facts.tool_results.clear();
            }
            Field::Message => self.message = Message::default(),
            Field::Tools => self.tools = 0,
            Field::Tool => self.declarations = 0,
            Field::Block => {
                self.result = ToolResult::default();
                self.message.block_is_result = false;
            }
            Field::Result => self.message.block_is_result = true,
            _ => {}
        }
    }

    fn close(&mut self, field: Field, raw: Option<Text<'_>>) {
        match field {
            Field::Messages => self.facts.messages_count = Some(self.messages),
            Field::Message => self.end_message(),
            Field::Tools => self.facts.tools_count = Some(self.tools),
            Field::Tool => self.tools += self.declarations.max(1),
            Field::Declaration => self.declarations += 1,
            Field::Block => self.end_block(),
            Field::ResultText => self.result_text(raw),
            _ => {}
        }
    }
}

impl Asked {
    fn text(&mut self, field: Field, text: Text<'_>) {
        let owned = || text.lossy().into_owned();
        match field {
            Field::Model if text.len > 0 => self.facts.model = Some(owned()),
            Field::Messages => self.facts.messages_count = Some(1),
            Field::Message => self.messages += 1,
            Field::System => self.system += text.len,
            Field::Kind => self.facts.kind = Some(owned()),
            Field::Lane => self.facts.lane = Some(owned()),
            Field::Role => self.message.role = owned(),
            Field::MessageKind => self.message.kind = owned(),
            Field::MessageId => self.message.id = Some(owned()),
            Field::MessageText => self.message.text(text),
            Field::BlockKind => self.message.block_is_result |= text.bytes == b"tool_result",
            Field::BlockText => {
                self.message.text(text);
            }
            Field::ResultId => self.result.id = Some(owned()),
            Field::ResultText => self.result_text(Some(text)),
            Field::ResultStatus => self.result.is_error = Some(text.bytes == b"error"),
            _ => {}
        }
    }

    fn flag(&mut self, field: Field, flag: bool) {
        match field {
            Field::Stream => self.facts.stream = Some(flag),
            Field::IncludeUsage => self.facts.include_usage = Some(flag),
            Field::Generate => self.facts.generate = Some(flag),
            Field::ResultIsError => self.result.is_error = Some(flag),
            Field::MessageIsError => self.message.is_error = Some(flag),
            _ => {}
        }
    }

    fn result_text(&mut self, text: Option<Text<'_>>) {
        if let Some(text) = text {
            append(self.result.preview.get_or_insert_default(), text);
        }
    }

    fn end_block(&mut self) {
        let result = std::mem::take(&mut self.result);
        if self.message.block_is_result && self.message.results.len() < MAX_RESULTS {
            self.message.results.push(result);
        }
    }

    fn end_message(&mut self) {
        self.messages += 1;
        let message = std::mem::take(&mut self.message);
        if matches!(message.role.as_str(), "system" | "developer") {
            self.system += message.text_len;
        }
        let trailing = &mut self.facts.tool_results;
        if message.is_the_models() {
            trailing.clear();
            return;
        }
        let room = MAX_RESULTS - trailing.len();
        let whole = message.is_result();
        trailing.extend(message.results.into_iter().take(room));
        if whole && trailing.len() < MAX_RESULTS {
            let preview = Some(message.text).filter(|text| !text.is_empty());
            trailing.push(ToolResult { id: message.id, is_error: message.is_error, preview });
        }
    }
}

impl Message {
    fn text(&mut self, text: Text<'_>) {
        self.text_len += text.len;
        append(&mut self.text, text);
    }

    /// Said by the model: by role, or as an output item of Responses, of Mistral's conversations or of Interactions.
    fn is_the_models(&self) -> bool {
        const KINDS: &[&str] = &["reasoning", "compaction", "function.call", "message.output", "thought"];
        let role = matches!(self.role.as_str(), "assistant" | "model" | "CHATBOT");
        role || self.kind.ends_with("_call") || KINDS.contains(&self.kind.as_str())
    }

    /// A tool result as a message of its own.
    fn is_result(&self) -> bool {
        let role = matches!(self.role.as_str(), "tool" | "function") && self.results.is_empty();
        role || self.kind.ends_with("_call_output")
            || matches!(self.kind.as_str(), "function_result" | "function.result")
    }
}

/// Appends as much of a text as a preview takes.
fn append(preview: &mut String, text: Text<'_>) {
    if preview.len() < PREVIEW {
        preview.push_str(&text.lossy());
        preview.truncate(preview.floor_char_boundary(PREVIEW));
    }
}

#[cfg(test)]
mod tests;
