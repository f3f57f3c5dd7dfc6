//! Which requests are model calls, by host and path (WIRE §1 to §5). (Signatures; the tables follow.)

/// The wire format that a call speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Anthropic Messages.
    AnthropicMessages,
    /// OpenAI chat completions and everything shaped like it.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Gemini generateContent.
    GoogleGenerate,
}

/// A request recognised as a model call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// Who serves it: anthropic, openai, google, … or other.
    pub provider: &'static str,
    /// What it speaks.
    pub api: Api,
    /// The model, where the URL names it.
    pub model: Option<String>,
    /// Whether the answer streams, where the URL says so.
    pub stream: Option<bool>,
    /// Whether the call is a WebSocket upgrade, whose messages carry the runs.
    pub websocket: bool,
}

/// Hosts and model aliases that the operator adds (`[model]` in the configuration).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelTable {
    /// Extra host (exact, or `*.suffix`) and the provider it belongs to.
    pub hosts: Vec<(String, &'static str)>,
    /// Placeholder model id and the model it stands for.
    pub aliases: Vec<(String, String)>,
}

/// What is known of a request when its head has been read.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Canonical host, without port.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Method token.
    pub method: &'a [u8],
    /// Raw path without the query.
    pub path: &'a [u8],
    /// Raw query, without `?`.
    pub query: Option<&'a [u8]>,
    /// Whether the request asks for a WebSocket.
    pub upgrade: bool,
}

/// Says whether a request is a model call, and which.
pub fn detect(_table: &ModelTable, _query: &Query<'_>) -> Option<Detected> {
    None
}

impl ModelTable {
    /// The provider of a host that is known to serve models; for narrowing Accept-Encoding and for the
    /// shape of refusals.
    pub fn provider_of(&self, _host: &str) -> Option<&'static str> {
        None
    }
}
