//! What one model call was: the facts every meter fills in and the ledger stores.
//!
//! Token counts are normalised (input includes cache reads and writes, output includes reasoning); each is an
//! `Option`, because unknown is never 0.

/// Whether the counts are what the provider said at the end, what it had said when the stream broke, or absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageState {
    /// The provider's last word.
    Final,
    /// The stream ended before the provider's last word.
    Partial,
    /// The provider said nothing.
    #[default]
    None,
}

impl UsageState {
    /// The ledger's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

/// Normalised token counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input, cache reads and writes included.
    pub input: Option<u64>,
    /// Input read from the provider's cache.
    pub cache_read: Option<u64>,
    /// Input written to the provider's cache, all lifetimes.
    pub cache_write: Option<u64>,
    /// The part of `cache_write` that lives five minutes.
    pub cache_write_5m: Option<u64>,
    /// The part of `cache_write` that lives an hour.
    pub cache_write_1h: Option<u64>,
    /// All output, reasoning included.
    pub output: Option<u64>,
    /// The part of `output` that was reasoning.
    pub reasoning: Option<u64>,
}

/// A tool the model asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's id for the call, where it gives one.
    pub id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// Arguments as JSON text, whole or as far as they were seen.
    pub arguments: Option<String>,
}

/// An answer to an earlier tool call, sent by the client at the end of this request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolResult {
    /// Which tool call it answers.
    pub id: Option<String>,
    /// Whether the client said that the tool failed.
    pub is_error: Option<bool>,
    /// The first bytes of its text.
    pub preview: Option<String>,
}

/// One model run, as far as it could be read. Times are relative to the start of the exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// anthropic, openai, google, mistral, … or other.
    pub provider: &'static str,
    /// anthropic.messages, openai.chat, openai.responses, google.generate, ollama.chat, …
    pub api: &'static str,
    /// The model the client asked for.
    pub model_requested: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The provider's id of the response.
    pub response_id: Option<String>,
    /// Whether the answer was asked for as a stream.
    pub stream: bool,
    /// Messages in the request.
    pub messages_count: Option<u64>,
    /// Tools offered in the request.
    pub tools_count: Option<u64>,
    /// Length of the system prompt in bytes of UTF-8 text.
    pub system_bytes: Option<u64>,
    /// Normalised counts.
    pub usage: Usage,
    /// The provider's own usage object, as last sent.
    pub usage_json: Option<String>,
    /// How much the counts can be trusted.
    pub usage_state: UsageState,
    /// Why the model stopped, in the provider's word.
    pub stop_reason: Option<String>,
    /// Which service tier answered.
    pub service_tier: Option<String>,
    /// The provider's error type, for a failed call.
    pub error_type: Option<String>,
    /// The provider's error message.
    pub error_message: Option<String>,
    /// Cost in pico-USD (1e-12), `None` for an unknown model.
    pub cost_pico_usd: Option<i64>,
    /// Version of the price table that `cost_pico_usd` was computed with.
    pub price_version: Option<String>,
    /// Microseconds from the start of the exchange to the first generated token.
    pub first_token_us: Option<u64>,
    /// Microseconds from the start of the exchange to the end of the run.
    pub total_us: u64,
    /// Tools the model asked for.
    pub tool_calls: Vec<ToolCall>,
    /// Tool results that the client sent at the end of the request.
    pub tool_results: Vec<ToolResult>,
}

/// An error that an origin reported, in a 4xx or 5xx answer or inside a 200 stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginError {
    /// HTTP status, where the error had one.
    pub status: Option<u16>,
    /// The provider's error type.
    pub kind: Option<String>,
    /// The provider's error code.
    pub code: Option<String>,
    /// The provider's message.
    pub message: Option<String>,
    /// How long the provider asks the client to wait.
    pub retry_after_us: Option<u64>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
}
