//! One event of an answer: what its places held, until it is complete and a format says what it means.
//!
//! Facts that mean the same wherever they stand (ids, model, counts) go straight to [`Progress`].

use crate::wire::json::{Text, Value};

use super::counts::Count;
use super::progress::Progress;
use super::tools::ToolPart;
use crate::model::failure::{delay, seconds};

/// A place in an event, whatever the format calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The event itself, or a document.
    Document,
    /// What kind of event it is.
    Kind,
    /// Which content block, output item or step it belongs to.
    Index,
    /// The id of the response.
    Id,
    /// The model that answers.
    Model,
    /// The model that took over.
    FallbackModel,
    /// The state of the response (Responses, Interactions).
    Status,
    /// Why the model stopped.
    Stop,
    /// Why it stopped, where a status says only that it did.
    StopDetail,
    /// Whether the end has come (Ollama's `done`).
    Done,
    /// The service tier.
    Tier,
    /// How fast the model ran, where that is sold apart from the tier (Anthropic).
    Speed,
    /// The provider's usage object.
    Usage,
    /// One of its counts.
    Count(Count),
    /// What the provider charges, in USD.
    Cost,
    /// The same, in ticks of 1e-10 USD (xAI).
    CostTicks,
    /// The lifetime of a cache write, beside its count.
    CacheTtl,
    /// The count of a cache write of that lifetime.
    CacheTtlCount,
    /// One of the runs inside the call.
    Iteration,
    /// What kind of run.
    IterationKind,
    /// Its model.
    IterationModel,
    /// One of its counts.
    IterationCount(Count),
    /// An error: its object, or its message where it is a string.
    Error,
    /// Its type.
    ErrorKind,
    /// Its code.
    ErrorCode,
    /// Its message.
    ErrorMessage,
    /// How long to wait after it: `"13s"` (Google), or a number of seconds.
    RetryDelay,
    /// The provider's id of the request, in an error.
    RequestId,
    /// Code and message of an error that stands in the event itself.
    FlatCode,
    /// See [`FlatCode`](Self::FlatCode).
    FlatMessage,
    /// Generated text, thinking or tool input; only its presence counts.
    Generated,
    /// One of several answers.
    Choice,
    /// Which one.
    ChoiceIndex,
    /// Something that may be a tool call.
    Tool,
    /// Its place among the tool calls.
    ToolIndex,
    /// What it is.
    ToolKind,
    /// Its id.
    ToolId,
    /// Another id of it, where the first is missing.
    ToolItemId,
    /// The tool's name.
    ToolName,
    /// Its arguments, or a piece of them, as text or as an object.
    Arguments,
}

/// A run inside a call (Anthropic's `usage.iterations`).
#[derive(Clone, Debug, Default)]
pub(super) struct Iteration {
    pub(super) kind: String,
    pub(super) model: Option<String>,
    pub(super) counts: super::counts::Counts,
}

/// The facts of an error.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorPart {
    /// Whether there was an error at all; its facts may all be missing.
    pub(super) seen: bool,
    /// The HTTP status that stands beside it, in an error frame of a WebSocket.
    pub(super) status: Option<u16>,
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) retry_after_us: Option<u64>,
    pub(super) request_id: Option<String>,
}

/// What an event held.
#[derive(Debug, Default)]
pub(super) struct Event {
    /// Something below was set that takes more than a few stores to forget.
    owns: bool,
    /// What kind of event it is: what its document says, else its name in the framing.
    pub(super) kind: String,
    name: String,
    pub(super) index: Option<u64>,
    pub(super) status: Option<String>,
    pub(super) stop_detail: Option<String>,
    pub(super) stop: Option<String>,
    pub(super) done: bool,
    /// The event had a usage object with at least one count.
    pub(super) usage: bool,
    pub(super) error: ErrorPart,
    pub(super) flat: ErrorPart,
    /// How many answers it had.
    pub(super) choices: usize,
    choice: u64,
    /// How many of `tools` belong to answers before the one under way.
    settled: usize,
    pub(super) tools: Vec<ToolPart>,
    /// How many bytes of arguments they hold.
    held: usize,
    /// The tool call under way, and arguments that stand outside of any.
    pub(super) tool: ToolPart,
    ttl: Option<String>,
    ttl_count: Option<u64>,
    iteration: Option<Iteration>,
    pub(super) iterations: Option<Vec<Iteration>>,
}

/// How many runs inside a call are kept apart.
const MAX_ITERATIONS: usize = 64;

impl Event {
    /// The event's name in the framing.
    pub(super) fn name(&mut self, name: &[u8]) {
        self.name.clear();
        self.name.push_str(&String::from_utf8_lossy(name));
    }

    /// What kind of event it is.
    pub(super) fn kind(&self) -> &str {
        if self.kind.is_empty() { &self.name } else { &self.kind }
    }

    /// Forgets everything, keeping buffers. Most events carry a few counts and nothing that owns memory.
    pub(super) fn clear(&mut self) {
        self.kind.clear();
        self.name.clear();
        self.index = None;
        self.usage = false;
        self.choices = 0;
        if self.owns {
            let (kind, name) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.name));
            *self = Self { kind, name, ..Self::default() };
        }
    }

    #[inline]
    pub(super) fn value(&mut self, field: Field, value: Value<'_>, progress: &mut Progress) {
        match value {
            Value::Text(text) => self.text(field, text, progress),
            Value::Number(number) => match field {
                Field::Cost => progress.cost_pico_usd = number.float().and_then(pico_usd),
                Field::CostTicks => progress.cost_pico_usd = number.count().and_then(of_ticks),
                Field::ErrorCode | Field::FlatCode => self.error_code(field, number.text()),
                Field::Status => self.error_status(number.count()),
                Field::RetryDelay => self.retry_after(number.text()),
                _ => number.count().map_or((), |count| self.count(field, count, progress)),
            },
            Value::Bool(flag) if field == Field::Done => {
                self.owns = true;
                self.done = flag;
            }
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn text(&mut self, field: Field, text: Text<'_>, progress: &mut Progress) {
        if text.len == 0 {
            if field == Field::Arguments {
                self.owns = true;
                self.tool.arguments.get_or_insert_default();
            }
            return;
        }
        match field {
            Field::Generated => progress.generated(),
            Field::Kind => {
                self.kind.clear();
                self.kind.push_str(&text.lossy());
            }
            Field::Id => set(&mut progress.call.response_id, text),
            Field::Model => set(&mut progress.call.model, text),
            Field::Tier => set(&mut progress.call.service_tier, text),
            Field::Arguments => {
                self.owns = true;
                progress.generated();
                let kept = self.hold(text, progress);
                self.tool.arguments.get_or_insert_default().push_str(&kept);
            }
            _ => self.rare_text(field, text, progress),
        }
    }

    fn rare_text(&mut self, field: Field, text: Text<'_>, progress: &mut Progress) {
        self.owns = true;
        let owned = || Some(text.lossy().into_owned());
        match field {
            Field::FallbackModel => progress.fallback_model = owned(),
            Field::Status => self.status = owned(),
            Field::Stop => self.stop = owned(),
            Field::StopDetail => self.stop_detail = owned(),
            Field::CacheTtl => self.ttl = owned(),
            Field::Error => {
                self.error.seen = true;
                self.error.message = owned();
            }
            Field::ErrorKind => self.error.kind = owned(),
            Field::ErrorCode => self.error.code = owned(),
            Field::ErrorMessage => self.error.message = owned(),
            Field::RequestId => self.error.request_id = owned(),
            Field::RetryDelay => self.retry_after(Some(&text.lossy())),
            Field::Speed => progress.fast = text.bytes == b"fast",
            Field::FlatCode => self.flat.code = owned(),
            Field::FlatMessage => self.flat.message = owned(),
            Field::ToolKind => self.tool.kind = owned(),
            Field::ToolId => self.tool.id = owned(),
            Field::ToolItemId => self.tool.item_id = owned(),
            Field::ToolName => self.tool.name = owned(),
            Field::IterationKind => self.iteration.get_or_insert_default().kind = text.lossy().into_owned(),
            Field::IterationModel => self.iteration.get_or_insert_default().model = owned(),
            _ => {}
        }
    }

    /// Some providers number their errors.
    fn error_code(&mut self, field: Field, code: Option<&str>) {
        self.owns = true;
        let error = if field == Field::ErrorCode { &mut self.error } else { &mut self.flat };
        error.code = code.map(str::to_owned);
    }

    fn retry_after(&mut self, wait: Option<&str>) {
        self.owns = true;
        self.error.retry_after_us = wait.and_then(|wait| delay(wait).or_else(|| seconds(wait)));
    }

    fn error_status(&mut self, status: Option<u64>) {
        self.owns = true;
        self.error.status = status.and_then(|status| u16::try_from(status).ok());
    }

    #[inline]
    fn count(&mut self, field: Field, count: u64, progress: &mut Progress) {
        match field {
            Field::Count(which) => {
                self.usage = true;
                progress.counts.set(which, count);
            }
            Field::Index => self.index = Some(count),
            Field::ChoiceIndex => self.choice = count,
            Field::ToolIndex => self.tool.index = Some(count),
            Field::CacheTtlCount => self.ttl_count = Some(count),
            Field::IterationCount(which) => self.iteration.get_or_insert_default().counts.set(which, count),
            _ => {}
        }
    }

    /// As much of some arguments as there is room for.
    fn hold(&mut self, text: Text<'_>, progress: &Progress) -> String {
        let mut kept = text.lossy().into_owned();
        kept.truncate(kept.floor_char_boundary(progress.tools.room().saturating_sub(self.held)));
        self.held += kept.len();
        kept
    }

    pub(super) fn open(&mut self, field: Field) {
        self.owns |= matches!(field, Field::Error | Field::Tool | Field::Iteration | Field::CacheTtlCount);
        match field {
            Field::Error => {
                let ErrorPart { status, request_id, .. } = std::mem::take(&mut self.error);
                self.error = ErrorPart { status, request_id, ..ErrorPart::default() };
            }
            Field::Choice => {
                self.choices += 1;
                self.choice = 0;
                self.settled = self.tools.len();
            }
            Field::Tool => self.tool = ToolPart::default(),
            Field::Iteration => self.iteration = Some(Iteration::default()),
            _ => {}
        }
    }

    pub(super) fn close(&mut self, field: Field, raw: Option<Text<'_>>, progress: &mut Progress) {
        match field {
            Field::Usage => progress.usage_object(raw),
            Field::Error => self.error.seen = self.error.says_something(),
            Field::Choice => self.end_choice(progress),
            Field::Tool => self.end_tool(),
            Field::Arguments => {
                if let Some(raw) = raw {
                    self.tool.arguments = Some(self.hold(raw, progress));
                }
            }
            Field::CacheTtlCount => self.end_ttl(progress),
            Field::Iteration => {
                let list = self.iterations.get_or_insert_default();
                list.extend(self.iteration.take().filter(|_| list.len() < MAX_ITERATIONS));
            }
            _ => {}
        }
    }

    /// Of several answers the first one's stop reason is told.
    fn end_choice(&mut self, progress: &mut Progress) {
        for tool in &mut self.tools[self.settled..] {
            tool.choice = self.choice;
        }
        let stop = self.stop.take();
        if self.choice == 0 || progress.call.stop_reason.is_none() {
            progress.stop(stop);
        }
    }

    fn end_tool(&mut self) {
        let part = std::mem::take(&mut self.tool);
        if self.tools.len() < super::tools::MAX_TOOLS {
            self.tools.push(part);
        }
    }

    /// A cache write with its lifetime beside it (Converse's `cacheDetails`).
    fn end_ttl(&mut self, progress: &mut Progress) {
        if let (Some(ttl), Some(count)) = (self.ttl.take(), self.ttl_count.take()) {
            match ttl.as_str() {
                "5m" => progress.counts.set(Count::CacheWrite5m, count),
                "1h" => progress.counts.set(Count::CacheWrite1h, count),
                _ => {}
            }
        }
    }
}

impl ErrorPart {
    fn says_something(&self) -> bool {
        self.kind.is_some() || self.code.is_some() || self.message.is_some()
    }
}

/// USD as the provider said it, in pico-USD.
fn pico_usd(usd: f64) -> Option<i64> {
    let pico = (usd * 1e12).round();
    (0.0..9e18).contains(&pico).then_some(pico as i64)
}

/// Ticks of 1e-10 USD (<https://docs.x.ai/developers/cost-tracking>), in pico-USD.
fn of_ticks(ticks: u64) -> Option<i64> {
    i64::try_from(ticks).ok()?.checked_mul(100)
}

/// Sets a name that comes again with every chunk, without allocating when it is the same.
fn set(slot: &mut Option<String>, text: Text<'_>) {
    if slot.as_deref().map(str::as_bytes) != Some(text.bytes) {
        *slot = Some(text.lossy().into_owned());
    }
}
