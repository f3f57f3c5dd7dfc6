//! Which requests are model calls, by host and path (WIRE §1 to §5).
//!
//! The host names the provider, who serves and bills; the path names the format. So Claude on Vertex is provider
//! `google`, on Bedrock `bedrock`, OpenAI models on Azure `azure`, each with the api `anthropic.messages` or
//! `openai.*`. A host that no table knows is judged by the path alone, more strictly, and its provider is `other`.
//! Everything that is no POST is no call, except a WebSocket upgrade; so are token counting, batches, files, model
//! lists, cancellations and the like, because the paths below are whole endings, not parts.

mod host;
mod path;

use super::api::Api;
use super::usage::Call;

pub use host::PROVIDERS;

/// Where Ollama listens, whatever the host is called.
const OLLAMA_PORT: u16 = 11434;

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
    /// Extra host (canonical, or `*.suffix`) and the provider it belongs to, one of [`PROVIDERS`].
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
pub fn detect(table: &ModelTable, query: &Query<'_>) -> Option<Detected> {
    let websocket = query.upgrade && query.method == b"GET";
    if !websocket && query.method != b"POST" {
        return None;
    }
    let provider = table.provider_of(query.host).or((query.port == OLLAMA_PORT).then_some("ollama"));
    let path = path::unescape(query.path)?;
    let found =
        if websocket { path::upgrade(provider, &path, query.query)? } else { path::post(provider, &path)? };
    Some(Detected {
        provider: provider.unwrap_or("other"),
        api: found.api,
        model: found.model.map(|model| table.resolve(model)),
        stream: found.stream,
        websocket,
    })
}

impl ModelTable {
    /// The provider of a host that is known to serve models; for narrowing Accept-Encoding and for the shape of
    /// refusals. The operator's hosts come first.
    pub fn provider_of(&self, host: &str) -> Option<&'static str> {
        let own = self.hosts.iter().find(|(pattern, _)| host::matches(pattern, host));
        own.map(|&(_, provider)| provider).or_else(|| host::provider(host))
    }

    /// Puts models' names in place of the placeholders in a call.
    pub fn name_models(&self, call: &mut Call) {
        for name in [&mut call.model_requested, &mut call.model] {
            *name = name.take().map(|name| self.resolve(name));
        }
    }

    /// The name of the model that `name` stands for.
    fn resolve(&self, name: String) -> String {
        match self.aliases.iter().find(|(placeholder, _)| *placeholder == name) {
            Some((_, model)) => model.clone(),
            None => name,
        }
    }
}

#[cfg(test)]
mod tests;
