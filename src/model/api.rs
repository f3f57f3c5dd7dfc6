//! The wire formats that model calls speak, and their names in the ledger.

/// The wire format of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Anthropic Messages, on any host: SSE, plain, or AWS event stream frames around its events.
    AnthropicMessages,
    /// OpenAI chat completions and everything shaped like it.
    OpenAiChat,
    /// OpenAI legacy completions.
    OpenAiCompletions,
    /// OpenAI embeddings.
    OpenAiEmbeddings,
    /// OpenAI Responses, over HTTP or WebSocket.
    OpenAiResponses,
    /// OpenAI Realtime, over WebSocket.
    OpenAiRealtime,
    /// OpenAI image generation and editing.
    OpenAiImages,
    /// OpenAI speech and transcription.
    OpenAiAudio,
    /// OpenAI decisions.
    OpenAiDecisions,
    /// OpenAI moderations.
    OpenAiModerations,
    /// Gemini generateContent and streamGenerateContent, with or without an envelope.
    GoogleGenerate,
    /// Gemini Live, over WebSocket.
    GoogleLive,
    /// Gemini Interactions.
    GoogleInteractions,
    /// Gemini and Vertex embeddings.
    GoogleEmbed,
    /// Vertex predict.
    GooglePredict,
    /// Mistral conversations.
    MistralConversations,
    /// Cohere chat, version 2 (and what version 1 shares with it).
    CohereChat,
    /// Ollama chat.
    OllamaChat,
    /// Ollama generate.
    OllamaGenerate,
    /// Bedrock Converse.
    BedrockConverse,
    /// Bedrock invoke of a model whose format is not known.
    BedrockInvoke,
}

impl Api {
    /// The ledger's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic.messages",
            Self::OpenAiChat => "openai.chat",
            Self::OpenAiCompletions => "openai.completions",
            Self::OpenAiEmbeddings => "openai.embeddings",
            Self::OpenAiResponses => "openai.responses",
            Self::OpenAiRealtime => "openai.realtime",
            Self::OpenAiImages => "openai.images",
            Self::OpenAiAudio => "openai.audio",
            Self::OpenAiDecisions => "openai.decisions",
            Self::OpenAiModerations => "openai.moderations",
            Self::GoogleGenerate => "google.generate",
            Self::GoogleLive => "google.live",
            Self::GoogleInteractions => "google.interactions",
            Self::GoogleEmbed => "google.embed",
            Self::GooglePredict => "google.predict",
            Self::MistralConversations => "mistral.conversations",
            Self::CohereChat => "cohere.chat",
            Self::OllamaChat => "ollama.chat",
            Self::OllamaGenerate => "ollama.generate",
            Self::BedrockConverse => "bedrock.converse",
            Self::BedrockInvoke => "bedrock.invoke",
        }
    }

    /// Whether the answer streams where neither URL nor body says so.
    pub fn streams_by_default(self) -> bool {
        matches!(self, Self::OllamaChat | Self::OllamaGenerate)
    }
}
