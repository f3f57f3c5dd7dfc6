//! `tollgate usage` on what the proxy wrote: sums in money and tokens, and `--reprice` by a newer table, which leaves
//! alone what the provider itself charged.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::client::Client;
use support::models::{Answer, serve};
use support::proxy::{Proxy, Setup, tollgate};

const ANSWERS: &[Answer] = &[
    Answer {
        host: "api.anthropic.com",
        path: "/v1/messages",
        stream: false,
        content_type: "application/json",
        pieces: &[
            r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[],
            "stop_reason":"end_turn","usage":{"input_tokens":100,"cache_read_input_tokens":600,
            "cache_creation_input_tokens":300,"cache_creation":{"ephemeral_5m_input_tokens":200,
            "ephemeral_1h_input_tokens":100},"output_tokens":50}}"#,
        ],
    },
    Answer {
        host: "openrouter.ai",
        path: "/api/v1/chat/completions",
        stream: false,
        content_type: "application/json",
        pieces: &[
            r#"{"id":"gen-1","model":"openai/gpt-4o","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cost":0.0123}}"#,
        ],
    },
    Answer {
        host: "api.openai.com",
        path: "/v1/chat/completions",
        stream: false,
        content_type: "application/json",
        pieces: &[
            r#"{"id":"chatcmpl-1","model":"model-of-tomorrow","choices":[{"index":0,"message":{"content":"x"},
            "finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
        ],
    },
];

/// 100 at $3, 600 at $0.30, 200 at $3.75, 100 at $6, 50 at $15 a million.
const SONNET: i64 = 100 * 3_000_000 + 600 * 300_000 + 200 * 3_750_000 + 100 * 6_000_000 + 50 * 15_000_000;
/// As OpenRouter said: 0.0123 USD.
const CHARGED: i64 = 12_300_000_000;

/// A newer table: another price for Sonnet, one for the model of tomorrow, and one for what was charged already.
const NEWER: &str = r#"{"version": "newer", "providers": {
    "anthropic": {"models": [{"match": "^claude-sonnet-4-5", "prices": [{"rates": [10, 20, 30, 40, 50]}]}]},
    "openai": {"models": [{"match": "model-of-tomorrow", "prices": [{"rates": [7000000000, null, null, null, 11000000000]}]}]},
    "openrouter": {"models": [{"match": "^openai/", "prices": [{"rates": [1, 1, 1, 1, 1]}]}]}}}"#;
const NEWER_SONNET: i64 = 100 * 10 + 600 * 20 + 200 * 30 + 100 * 40 + 50 * 50;
const TOMORROW: i64 = 3 * 7_000_000_000 + 4 * 11_000_000_000;

/// A proxy through which each answer of the table was asked for once.
fn used() -> Proxy {
    let (_origins, setup) = serve(Setup::default(), ANSWERS);
    let proxy = setup.start();
    for answer in ANSWERS {
        let mut client = Client::connect(proxy.address(), answer.host, &proxy.ca_file());
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{{\"model\":\"m\"}}",
            answer.path, answer.host
        );
        assert_eq!(client.ask(request.as_bytes()).status, 200, "{}", answer.host);
    }
    proxy.ledger().model_calls(ANSWERS.len());
    proxy
}

/// What `usage` says by the configuration of that name.
fn usage(proxy: &Proxy, config: &str, options: &[&str]) -> Value {
    let config = proxy.dir().join(config);
    let words = ["usage", "--json", "--config", config.to_str().expect("a readable path")];
    let said = tollgate(&[&words, options].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).expect("one JSON document")
}

/// The cost of each group, in order.
fn costs(usage: &Value) -> Value {
    let rows = usage["rows"].as_array().expect("rows");
    rows.iter().map(|row| json!([row["key"], row["cost_pico_usd"]])).collect()
}

#[test]
fn money_and_tokens_add_up_and_can_be_priced_anew() {
    let proxy = used();
    fs::write(proxy.dir().join("newer.json"), NEWER).expect("a writable directory");
    let config = fs::read_to_string(proxy.dir().join("tollgate.toml")).expect("a configuration");
    fs::write(proxy.dir().join("newer.toml"), config + "[model]\nprices = \"newer.json\"\n")
        .expect("a writable directory");

    let stored = usage(&proxy, "tollgate.toml", &[]);
    let then = json!([
        ["openai/gpt-4o", CHARGED],
        ["claude-sonnet-4-5-20250929", SONNET],
        ["model-of-tomorrow", null]
    ]);
    assert_eq!(costs(&stored), then, "the dearest first, the unknown last and null");
    let total = &stored["total"];
    let names =
        ["calls", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "unpriced"];
    assert_eq!(names.map(|name| &total[name]), [3, 1013, 600, 300, 59, 1], "{total}");
    assert_eq!(total["cost_pico_usd"], CHARGED + SONNET);

    let same = usage(&proxy, "tollgate.toml", &["--reprice"]);
    assert_eq!(same, stored, "by the table that priced them, nothing changes");

    let anew = usage(&proxy, "newer.toml", &["--reprice"]);
    let now = json!([
        ["model-of-tomorrow", TOMORROW],
        ["openai/gpt-4o", CHARGED],
        ["claude-sonnet-4-5-20250929", NEWER_SONNET]
    ]);
    assert_eq!(costs(&anew), now, "the provider's own charge stays, and the dearest come first still");
    assert_eq!(anew["total"]["cost_pico_usd"], CHARGED + NEWER_SONNET + TOMORROW);
    assert_eq!(anew["total"]["unpriced"], 0);

    let by_host = usage(&proxy, "newer.toml", &["--reprice", "--by", "host"]);
    let hosts = json!([
        ["api.openai.com", TOMORROW],
        ["openrouter.ai", CHARGED],
        ["api.anthropic.com", NEWER_SONNET]
    ]);
    assert_eq!(costs(&by_host), hosts);

    let anthropic = usage(&proxy, "newer.toml", &["--reprice", "--provider", "anthropic"]);
    assert_eq!(
        (&anthropic["total"]["calls"], &anthropic["total"]["cost_pico_usd"]),
        (&json!(1), &json!(NEWER_SONNET))
    );
    assert_eq!(usage(&proxy, "newer.toml", &[]), stored, "without --reprice the ledger's own costs stand");
}
