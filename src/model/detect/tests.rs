use super::*;

fn post(url: &str) -> Option<Detected> {
    ask(&ModelTable::default(), b"POST", url, false)
}

fn ask(table: &ModelTable, method: &[u8], url: &str, upgrade: bool) -> Option<Detected> {
    let (authority, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (path, None),
    };
    let port = port.parse().expect("a port in the test table");
    detect(table, &Query { host, port, method, path: path.as_bytes(), query, upgrade })
}

/// provider, api, model in the URL, stream in the URL
type Row = (&'static str, &'static str, &'static str, Option<&'static str>, Option<bool>);

const CALLS: &[Row] = &[
    ("api.anthropic.com/v1/messages", "anthropic", "anthropic.messages", None, None),
    ("api.anthropic.com/v1/messages?beta=true", "anthropic", "anthropic.messages", None, None),
    ("aws-external-anthropic.us-east-1.api.aws/v1/messages", "anthropic", "anthropic.messages", None, None),
    ("x.services.ai.azure.com/anthropic/v1/messages", "azure", "anthropic.messages", None, None),
    ("bedrock-mantle.us-east-1.api.aws/anthropic/v1/messages", "bedrock", "anthropic.messages", None, None),
    (
        "bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-v1%3A0/invoke",
        "bedrock",
        "anthropic.messages",
        Some("anthropic.claude-v1:0"),
        Some(false),
    ),
    (
        "bedrock-runtime.eu-west-1.amazonaws.com/model/arn:aws:bedrock:eu-west-1:1:inference-profile%2Feu.anthropic.claude/invoke-with-response-stream",
        "bedrock",
        "anthropic.messages",
        Some("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude"),
        Some(true),
    ),
    (
        "bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-pro-v1:0/converse-stream",
        "bedrock",
        "bedrock.converse",
        Some("amazon.nova-pro-v1:0"),
        Some(true),
    ),
    (
        "bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-pro-v1:0/converse",
        "bedrock",
        "bedrock.converse",
        Some("amazon.nova-pro-v1:0"),
        Some(false),
    ),
    (
        "us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
        "google",
        "anthropic.messages",
        Some("claude-sonnet-4-5@20250929"),
        Some(true),
    ),
    (
        "aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic/models/claude-x:rawPredict",
        "google",
        "anthropic.messages",
        Some("claude-x"),
        Some(false),
    ),
    ("api.openai.com/v1/chat/completions", "openai", "openai.chat", None, None),
    ("eu.api.openai.com/v1/chat/completions", "openai", "openai.chat", None, None),
    (
        "r.openai.azure.com/openai/deployments/gpt4/chat/completions?api-version=1",
        "azure",
        "openai.chat",
        Some("gpt4"),
        None,
    ),
    ("r.openai.azure.com/openai/v1/chat/completions", "azure", "openai.chat", None, None),
    (
        "r.openai.azure.com/openai/deployments/emb/embeddings?api-version=1",
        "azure",
        "openai.embeddings",
        Some("emb"),
        None,
    ),
    ("r.cognitiveservices.azure.com/openai/responses", "azure", "openai.responses", None, None),
    ("api.openai.com/v1/completions", "openai", "openai.completions", None, None),
    ("api.openai.com/v1/embeddings", "openai", "openai.embeddings", None, None),
    ("api.openai.com/v1/responses", "openai", "openai.responses", None, None),
    ("api.openai.com/v1/responses/compact", "openai", "openai.responses", None, None),
    ("chatgpt.com/backend-api/codex/responses", "openai", "openai.responses", None, None),
    (
        "generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent",
        "google",
        "google.generate",
        Some("gemini-2.5-pro"),
        Some(false),
    ),
    (
        "generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro%3AstreamGenerateContent?alt=sse",
        "google",
        "google.generate",
        Some("gemini-2.5-pro"),
        Some(true),
    ),
    (
        "generativelanguage.googleapis.com/v1beta/tunedModels/mine:generateContent",
        "google",
        "google.generate",
        Some("mine"),
        Some(false),
    ),
    (
        "aiplatform.googleapis.com/v1beta1/projects/p/locations/global/publishers/google/models/gemini:streamGenerateContent",
        "google",
        "google.generate",
        Some("gemini"),
        Some(true),
    ),
    (
        "europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/77:generateContent",
        "google",
        "google.generate",
        Some("77"),
        Some(false),
    ),
    (
        "cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse",
        "google",
        "google.generate",
        None,
        Some(true),
    ),
    ("generativelanguage.googleapis.com/v1beta/interactions", "google", "google.interactions", None, None),
    ("generativelanguage.googleapis.com/v1beta/openai/chat/completions", "google", "openai.chat", None, None),
    (
        "generativelanguage.googleapis.com/v1beta/models/e:embedContent",
        "google",
        "google.embed",
        Some("e"),
        Some(false),
    ),
    ("api.mistral.ai/v1/chat/completions", "mistral", "openai.chat", None, None),
    ("api.mistral.ai/v1/fim/completions", "mistral", "openai.chat", None, None),
    ("api.mistral.ai/v1/conversations", "mistral", "mistral.conversations", None, None),
    ("api.mistral.ai/v1/conversations/conv_1", "mistral", "mistral.conversations", None, None),
    ("api.mistral.ai/v1/conversations/conv_1/restart", "mistral", "mistral.conversations", None, None),
    ("api.mistral.ai/v1/agents/completions", "mistral", "openai.chat", None, None),
    (
        "us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/mistralai/models/mistral-small:streamRawPredict",
        "google",
        "openai.chat",
        Some("mistral-small"),
        Some(true),
    ),
    ("api.openai.com/v1/moderations", "openai", "openai.moderations", None, None),
    ("api.openai.com/v1/decisions", "openai", "openai.decisions", None, None),
    ("api.openai.com/v1/images/generations", "openai", "openai.images", None, None),
    ("api.openai.com/v1/audio/transcriptions", "openai", "openai.audio", None, None),
    (
        "bedrock-runtime.us-east-1.amazonaws.com/openai/v1/chat/completions",
        "bedrock",
        "openai.chat",
        None,
        None,
    ),
    ("bedrock-mantle.us-east-1.api.aws/openai/v1/responses", "bedrock", "openai.responses", None, None),
    ("api.groq.com/openai/v1/chat/completions", "groq", "openai.chat", None, None),
    ("api.deepseek.com/chat/completions", "deepseek", "openai.chat", None, None),
    ("api.deepseek.com/beta/completions", "deepseek", "openai.completions", None, None),
    ("api.deepseek.com/anthropic/v1/messages", "deepseek", "anthropic.messages", None, None),
    ("api.x.ai/v1/responses", "xai", "openai.responses", None, None),
    ("openrouter.ai/api/v1/chat/completions", "openrouter", "openai.chat", None, None),
    ("openrouter.ai/api/v1/messages", "openrouter", "anthropic.messages", None, None),
    ("api.together.xyz/v1/chat/completions", "together", "openai.chat", None, None),
    ("api.fireworks.ai/inference/v1/chat/completions", "fireworks", "openai.chat", None, None),
    ("api.cohere.com/v2/chat", "cohere", "cohere.chat", None, None),
    ("api.business.githubcopilot.com/chat/completions", "copilot", "openai.chat", None, None),
    ("api.githubcopilot.com/responses", "copilot", "openai.responses", None, None),
    ("ollama.com/api/chat", "ollama", "ollama.chat", None, None),
    ("localhost:11434/api/generate", "ollama", "ollama.generate", None, None),
    ("localhost:11434/v1/chat/completions", "ollama", "openai.chat", None, None),
    ("gateway.example/openai/deployments/d/chat/completions", "other", "openai.chat", Some("d"), None),
    (
        "bedrock-runtime.us-east-1.api.aws/model/amazon.nova-pro-v1:0/converse",
        "bedrock",
        "bedrock.converse",
        Some("amazon.nova-pro-v1:0"),
        Some(false),
    ),
    ("gateway.example:8000/v1/chat/completions", "other", "openai.chat", None, None),
    ("gateway.example/v1/messages", "other", "anthropic.messages", None, None),
    ("gateway.example/v1/responses", "other", "openai.responses", None, None),
    (
        "gateway.example/v1beta/models/g:streamGenerateContent",
        "other",
        "google.generate",
        Some("g"),
        Some(true),
    ),
    ("gateway.example/api/chat", "other", "ollama.chat", None, None),
];

#[test]
fn calls_are_recognised() {
    for &(url, provider, api, model, stream) in CALLS {
        let found = post(url).unwrap_or_else(|| panic!("{url} is a call"));
        assert_eq!((found.provider, found.api.as_str()), (provider, api), "{url}");
        assert_eq!((found.model.as_deref(), found.stream), (model, stream), "{url}");
        assert!(PROVIDERS.contains(&found.provider), "{url}");
    }
}

#[test]
fn lesson_14_what_is_no_call_is_none() {
    let urls = [
        "api.anthropic.com/v1/messages/count_tokens",
        "api.anthropic.com/v1/messages/batches",
        "api.anthropic.com/v1/messages/batches/b/cancel",
        "api.anthropic.com/v1/files",
        "us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
        "api.openai.com/v1/files",
        "api.openai.com/v1/batches",
        "api.openai.com/v1/chat/completions/chatcmpl-1",
        "api.openai.com/v1/responses/resp_1/cancel",
        "api.openai.com/v1/responses/input_tokens",
        "chatgpt.com/backend-api/plugins/export/curated",
        "generativelanguage.googleapis.com/v1beta/models/g:countTokens",
        "generativelanguage.googleapis.com/v1beta/cachedContents",
        "cloudcode-pa.googleapis.com/v1internal:loadCodeAssist",
        "cloudcode-pa.googleapis.com/v1internal:countTokens",
        "api.mistral.ai/v1/conversations/conv_1/history",
        "us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/acme/models/m:rawPredict",
        "generativelanguage.googleapis.com/v1beta/models/g:batchGenerateContent",
        "cloudcode-pa.googleapis.com/v1internal:onboardUser",
        "cloudcode-pa.googleapis.com/v1internal:retrieveUserQuota",
        "cloudcode-pa.googleapis.com/v1internal:recordCodeAssistMetrics",
        "api.openai.com/v1/realtime/client_secrets",
        "api.openai.com/v1/responses/resp_1/input_items",
        "example.com/moderations",
        "example.com/messages",
        "example.com/responses",
        "example.com/x:predict",
        "example.com/v1/models/m:predict",
        "example.com/",
        "evil-api.openai.com.example/x",
    ];
    for url in urls {
        assert_eq!(post(url), None, "{url}");
    }
    let table = ModelTable::default();
    for method in [&b"GET"[..], b"HEAD", b"OPTIONS", b"PUT", b"post"] {
        assert_eq!(ask(&table, method, "api.openai.com/v1/chat/completions", false), None);
    }
    assert_eq!(ask(&table, b"GET", "api.openai.com/v1/responses", false), None, "no upgrade, no call");
}

#[test]
fn upgrades_are_calls_where_their_messages_are() {
    let table = ModelTable::default();
    let codex = ask(&table, b"GET", "api.openai.com/v1/responses", true).expect("a call");
    assert_eq!((codex.api, codex.websocket), (Api::OpenAiResponses, true));
    let realtime =
        ask(&table, b"GET", "api.openai.com/v1/realtime?model=gpt-realtime", true).expect("a call");
    assert_eq!((realtime.api, realtime.model.as_deref()), (Api::OpenAiRealtime, Some("gpt-realtime")));
    assert_eq!(ask(&table, b"GET", "example.com/socket", true), None);
    assert_eq!(ask(&table, b"GET", "example.com/ws/BidiGenerateContent", true), None);
    for url in [
        "generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k",
        "generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained",
        "us-central1-aiplatform.googleapis.com/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
        "us-central1-aiplatform.googleapis.com//ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
    ] {
        let live = ask(&table, b"GET", url, true).expect("a call");
        assert_eq!((live.provider, live.api, live.websocket), ("google", Api::GoogleLive, true), "{url}");
    }
    let music = "generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateMusic";
    assert_eq!(ask(&table, b"GET", music, true), None, "no tokens are told there");
}

#[test]
fn the_operators_hosts_and_aliases_count() {
    let table = ModelTable {
        hosts: vec![
            ("llm.corp".into(), "mistral"),
            ("*.gw.corp".into(), "openai"),
            ("any.corp".into(), "other"),
        ],
        aliases: vec![("PLACEHOLDER_7".into(), "gemini-2.5-pro".into())],
    };
    let provider = |url| ask(&table, b"POST", url, false).map(|found| found.provider);
    assert_eq!(provider("llm.corp/v1/chat/completions"), Some("mistral"));
    assert_eq!(provider("a.gw.corp/responses"), Some("openai"));
    assert_eq!(provider("gw.corp/responses"), None);
    assert_eq!(provider("any.corp/responses"), Some("other"));
    assert_eq!(provider("any.corp/v1beta/models/g:streamGenerateContent"), Some("other"));
    let found =
        ask(&table, b"POST", "x.example/v1/models/PLACEHOLDER_7:generateContent", false).expect("a call");
    assert_eq!(found.model.as_deref(), Some("gemini-2.5-pro"));
}

#[test]
fn lookalike_hosts_are_not_known() {
    let table = ModelTable::default();
    for host in [
        "xapi.openai.com",
        "api.openai.com.evil.example",
        "evil-openai.azure.com",
        "a.b-aiplatform.googleapis.com",
        "bedrock-runtime.x.y.amazonaws.com",
    ] {
        assert_eq!(table.provider_of(host), None, "{host}");
    }
    assert_eq!(table.provider_of("api.x.ai"), Some("xai"));
}
