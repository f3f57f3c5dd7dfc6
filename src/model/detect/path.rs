//! Paths of model calls: whole endings, at segment borders.

use std::borrow::Cow;

use crate::model::api::Api;

/// What a path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) api: Api,
    pub(super) model: Option<String>,
    pub(super) stream: Option<bool>,
}

/// Endings that are calls on every host.
const ANYWHERE: &[(&str, Api)] = &[
    ("/v1/messages", Api::AnthropicMessages),
    ("/chat/completions", Api::OpenAiChat),
    ("/v1/completions", Api::OpenAiCompletions),
    ("/v1/embeddings", Api::OpenAiEmbeddings),
    ("/v1/responses", Api::OpenAiResponses),
    ("/v1/responses/compact", Api::OpenAiResponses),
    ("/api/chat", Api::OllamaChat),
    ("/api/generate", Api::OllamaGenerate),
];

/// Endings that are calls where the host is known to serve OpenAI's formats.
const OPENAI_LIKE: &[(&str, Api)] = &[
    ("/completions", Api::OpenAiCompletions),
    ("/embeddings", Api::OpenAiEmbeddings),
    ("/responses", Api::OpenAiResponses),
    ("/responses/compact", Api::OpenAiResponses),
    ("/images/generations", Api::OpenAiImages),
    ("/images/edits", Api::OpenAiImages),
    ("/audio/speech", Api::OpenAiAudio),
    ("/audio/transcriptions", Api::OpenAiAudio),
    ("/audio/translations", Api::OpenAiAudio),
    ("/decisions", Api::OpenAiDecisions),
    ("/moderations", Api::OpenAiModerations),
];

/// Endings of single providers; they come before the general ones.
const OWN: &[(&str, &str, Api)] = &[
    ("mistral", "/fim/completions", Api::OpenAiChat),
    ("mistral", "/agents/completions", Api::OpenAiChat),
    ("mistral", "/v1/conversations", Api::MistralConversations),
    ("cohere", "/v2/chat", Api::CohereChat),
    ("cohere", "/v1/chat", Api::CohereChat),
    ("google", "/interactions", Api::GoogleInteractions),
];

/// Verbs of Google's `models/{model}:{verb}` and `v1internal:{verb}`.
const VERBS: &[(&str, Api, Option<bool>)] = &[
    ("generateContent", Api::GoogleGenerate, Some(false)),
    ("streamGenerateContent", Api::GoogleGenerate, Some(true)),
    ("rawPredict", Api::AnthropicMessages, Some(false)),
    ("streamRawPredict", Api::AnthropicMessages, Some(true)),
    ("embedContent", Api::GoogleEmbed, Some(false)),
    ("batchEmbedContents", Api::GoogleEmbed, Some(false)),
    ("predict", Api::GooglePredict, Some(false)),
];

/// Who publishes models on Vertex that answer `rawPredict` in the format of their own makers.
const PUBLISHERS: &[(&str, Api)] = &[
    ("/publishers/anthropic/models", Api::AnthropicMessages),
    ("/publishers/mistralai/models", Api::OpenAiChat),
];

/// What Gemini Live's sockets are called, in either of Google's APIs.
const LIVE: &[&str] = &["BidiGenerateContent", "BidiGenerateContentConstrained"];

/// Undoes percent-encoding, once (`%3A` in Gemini's and Bedrock's paths); `None` for what is not UTF-8 then.
pub(super) fn unescape(path: &[u8]) -> Option<Cow<'_, str>> {
    if !path.contains(&b'%') {
        return std::str::from_utf8(path).ok().map(Cow::Borrowed);
    }
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        plain.push(escaped.map_or(*first, |(high, low)| high << 4 | low));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// A POST.
pub(super) fn post(provider: Option<&str>, path: &str) -> Option<Found> {
    match provider {
        Some("bedrock") => bedrock(path).or_else(|| listed(provider, path)),
        Some("google") => verb(path, true).or_else(|| listed(provider, path)),
        Some("other") | None => listed(provider, path).or_else(|| verb(path, false)),
        Some(_) => listed(provider, path),
    }
}

/// A WebSocket upgrade.
pub(super) fn upgrade(provider: Option<&str>, path: &str, query: Option<&[u8]>) -> Option<Found> {
    if is_live(provider, path) {
        return Some(Found { api: Api::GoogleLive, model: None, stream: Some(true) });
    }
    let ending = if provider.is_some() { "/responses" } else { "/v1/responses" };
    if path.ends_with(ending) {
        return Some(Found { api: Api::OpenAiResponses, model: None, stream: Some(true) });
    }
    let realtime = path.ends_with("/v1/realtime") || path.ends_with("/v1/live/sessions");
    let azure = provider == Some("azure") && path.ends_with("/openai/realtime");
    let model = query.and_then(|query| parameter(query, "model").or_else(|| parameter(query, "deployment")));
    (realtime || azure).then_some(Found { api: Api::OpenAiRealtime, model, stream: Some(true) })
}

/// `/ws/google.ai.generativelanguage.{v}.GenerativeService.{method}` and, on Vertex,
/// `/ws/google.cloud.aiplatform.{v}.LlmBidiService/{method}`.
fn is_live(provider: Option<&str>, path: &str) -> bool {
    let Some((_, service)) = path.rsplit_once("/ws/google.") else { return false };
    let method = service.rsplit(['.', '/']).next().unwrap_or_default();
    matches!(provider, Some("google") | None) && LIVE.contains(&method)
}

fn listed(provider: Option<&str>, path: &str) -> Option<Found> {
    if provider == Some("mistral") && is_conversation(path) {
        return Some(Found { api: Api::MistralConversations, model: None, stream: None });
    }
    let own = OWN.iter().filter(|(of, _, _)| Some(*of) == provider).map(|&(_, ending, api)| (ending, api));
    let known = provider.is_some_and(|provider| !matches!(provider, "google" | "cohere" | "anthropic"));
    let openai_like = if known { OPENAI_LIKE } else { &[] };
    let mut endings = own.chain(ANYWHERE.iter().copied()).chain(openai_like.iter().copied());
    let (_, api) = endings.find(|(ending, _)| path.ends_with(ending))?;
    let may_be_azure = matches!(provider, Some("azure" | "other") | None);
    let model = if may_be_azure { deployment(path) } else { None };
    Some(Found { api, model, stream: None })
}

/// A conversation that goes on, or is taken up again from an earlier entry: `/v1/conversations/{id}[/restart]`.
fn is_conversation(path: &str) -> bool {
    let Some((_, rest)) = path.split_once("/v1/conversations/") else { return false };
    let id = rest.strip_suffix("/restart").unwrap_or(rest);
    !id.is_empty() && !id.contains('/')
}

/// Azure's `/openai/deployments/{deployment}/…`.
fn deployment(path: &str) -> Option<String> {
    let (_, rest) = path.split_once("/openai/deployments/")?;
    let (name, _) = rest.split_once('/')?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Google's paths end in `{model}:{verb}`; Cloud Code's in `v1internal:{verb}`, with the model in the body.
/// On a host nobody knows only Gemini's own two verbs below `/models/` count.
fn verb(path: &str, google: bool) -> Option<Found> {
    let (before, verb) = path.rsplit_once(':')?;
    let &(_, api, stream) = VERBS.iter().find(|(name, _, _)| *name == verb)?;
    let (parents, model) = before.rsplit_once('/')?;
    if google && model == "v1internal" {
        return Some(Found { api, model: None, stream });
    }
    let below = ["/models", "/tunedModels", "/endpoints"].iter().any(|parent| parents.ends_with(parent));
    let trusted = google || api == Api::GoogleGenerate;
    if !below || !trusted || model.is_empty() {
        return None;
    }
    let api = if api == Api::AnthropicMessages { raw(parents, model)? } else { api };
    Some(Found { api, model: Some(model.to_owned()), stream })
}

/// The format of a `rawPredict`; Claude's token counting has the form of one.
fn raw(parents: &str, model: &str) -> Option<Api> {
    let &(_, api) = PUBLISHERS.iter().find(|(publisher, _)| parents.ends_with(publisher))?;
    (model != "count-tokens").then_some(api)
}

/// Bedrock's `/model/{model}/{action}`; a model may be an ARN, which holds slashes.
fn bedrock(path: &str) -> Option<Found> {
    let (model, action) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    let (converse, stream) = match action {
        "invoke" => (false, false),
        "invoke-with-response-stream" => (false, true),
        "converse" => (true, false),
        "converse-stream" => (true, true),
        _ => return None,
    };
    let api = match converse {
        true => Api::BedrockConverse,
        false if model.contains("anthropic.") || model.contains("claude") => Api::AnthropicMessages,
        false => Api::BedrockInvoke,
    };
    (!model.is_empty()).then(|| Found { api, model: Some(model.to_owned()), stream: Some(stream) })
}

/// The value of a query parameter, undecoded beyond percent-encoding.
fn parameter(query: &[u8], name: &str) -> Option<String> {
    let query = unescape(query)?;
    let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?;
    (!found.1.is_empty()).then(|| found.1.to_owned())
}
