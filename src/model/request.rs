//! What a model request asks for. (Signatures; the skimmer follows.)

use super::usage::ToolResult;

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
    /// Why reading stopped, where it did.
    pub off: Option<String>,
}
