//! Hosts that serve models, and who stands behind them.

/// Every provider that a host can be given to in the configuration.
pub const PROVIDERS: &[&str] = &[
    "anthropic",
    "azure",
    "bedrock",
    "cerebras",
    "cohere",
    "copilot",
    "deepinfra",
    "deepseek",
    "fireworks",
    "google",
    "groq",
    "huggingface",
    "mistral",
    "moonshot",
    "nvidia",
    "ollama",
    "openai",
    "openrouter",
    "other",
    "perplexity",
    "sambanova",
    "together",
    "xai",
    "zai",
];

/// A host is its pattern, or below it where the pattern starts with `*.`.
const HOSTS: &[(&str, &str)] = &[
    ("api.anthropic.com", "anthropic"),
    ("*.api.anthropic.com", "anthropic"),
    ("api.openai.com", "openai"),
    ("*.api.openai.com", "openai"),
    ("chatgpt.com", "openai"),
    ("*.openai.azure.com", "azure"),
    ("*.openai.azure.us", "azure"),
    ("*.cognitiveservices.azure.com", "azure"),
    ("*.services.ai.azure.com", "azure"),
    ("*.models.ai.azure.com", "azure"),
    ("generativelanguage.googleapis.com", "google"),
    ("generativelanguage.mtls.googleapis.com", "google"),
    ("aiplatform.googleapis.com", "google"),
    ("aiplatform.mtls.googleapis.com", "google"),
    ("cloudcode-pa.googleapis.com", "google"),
    ("daily-cloudcode-pa.googleapis.com", "google"),
    ("api.mistral.ai", "mistral"),
    ("*.api.mistral.ai", "mistral"),
    ("codestral.mistral.ai", "mistral"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "xai"),
    ("*.api.x.ai", "xai"),
    ("openrouter.ai", "openrouter"),
    ("*.openrouter.ai", "openrouter"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.cerebras.ai", "cerebras"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot"),
    ("api.moonshot.cn", "moonshot"),
    ("api.z.ai", "zai"),
    ("open.bigmodel.cn", "zai"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("ollama.com", "ollama"),
    ("*.ollama.com", "ollama"),
    ("githubcopilot.com", "copilot"),
    ("*.githubcopilot.com", "copilot"),
    ("router.huggingface.co", "huggingface"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("api.sambanova.ai", "sambanova"),
    ("api.deepinfra.com", "deepinfra"),
];

/// Hosts with a region in the middle: first label's beginning, end of the host, provider.
const REGIONAL: &[(&str, &str, &str)] = &[
    ("aws-external-anthropic.", ".api.aws", "anthropic"),
    ("bedrock-mantle.", ".api.aws", "bedrock"),
    ("bedrock-runtime.", ".amazonaws.com", "bedrock"),
    ("bedrock-runtime.", ".api.aws", "bedrock"),
    ("bedrock-runtime-fips.", ".amazonaws.com", "bedrock"),
    ("bedrock-runtime.", ".amazonaws.com.cn", "bedrock"),
    ("aiplatform.", ".rep.googleapis.com", "google"),
];

/// Ends of a first label that carries its region before it: `us-east5-aiplatform.googleapis.com`.
const PREFIXED: &[(&str, &str)] =
    &[("-aiplatform.googleapis.com", "google"), ("-aiplatform.mtls.googleapis.com", "google")];

/// The provider of a canonical host.
pub(super) fn provider(host: &str) -> Option<&'static str> {
    let listed = HOSTS.iter().find(|(pattern, _)| matches(pattern, host)).map(|&(_, provider)| provider);
    let regional = || {
        let found = REGIONAL.iter().find(|(start, end, _)| {
            host.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).is_some_and(is_label)
        });
        found.map(|&(_, _, provider)| provider)
    };
    let prefixed = || {
        let found = PREFIXED.iter().find(|(end, _)| host.strip_suffix(end).is_some_and(is_label));
        found.map(|&(_, provider)| provider)
    };
    listed.or_else(regional).or_else(prefixed)
}

/// Whether `host` is what `pattern` names: itself, or, after `*.`, anything below.
pub(super) fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => host == pattern,
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && !text.contains('.')
}
