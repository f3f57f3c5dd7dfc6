//! Prices looked up by hand in both source tables on the day of `TODAY`, and costs with their arithmetic written out.

use super::*;

/// 22 Nov 2026.
const TODAY: i64 = 20_779 * 86_400 + 12 * 3600;
/// Pico-USD a token for a dollar a million.
const DOLLAR: f64 = 1e6;

fn cost_of(call: &Call) -> Option<i64> {
    price(PriceTable::built_in(), call, TODAY).map(|(cost, _)| cost)
}

fn call(provider: &'static str, model: &str, tier: &str, usage: Usage) -> Call {
    let service_tier = Some(tier.to_owned()).filter(|tier| !tier.is_empty());
    Call { provider, model: Some(model.into()), service_tier, usage, ..Call::default() }
}

/// provider, model, tier; dollars a million tokens: input, cache read, cache write, the same for an hour, output
type Row = (&'static str, &'static str, &'static str, [f64; 5]);

/// A rate that no table has.
const NONE: f64 = -1.0;

const RATES: &[Row] = &[
    ("anthropic", "claude-opus-4-5-20251101", "", [5.0, 0.5, 6.25, 10.0, 25.0]),
    ("anthropic", "claude-haiku-4-5-20251001", "standard", [1.0, 0.1, 1.25, 2.0, 5.0]),
    ("anthropic", "claude-opus-5", "", [5.0, 0.5, 6.25, 10.0, 25.0]),
    ("anthropic", "claude-opus-5", "fast", [10.0, 1.0, 12.5, 20.0, 50.0]),
    ("anthropic", "claude-opus-5", "batch", [2.5, 0.25, 3.125, 5.0, 12.5]),
    ("anthropic", "claude-sonnet-5-5", "", [2.0, 0.1, 2.5, 4.0, 10.0]),
    ("anthropic", "claude-fable-5", "", [10.0, 1.0, 12.5, 20.0, 50.0]),
    ("google", "claude-sonnet-4-5@20250929", "", [3.0, 0.3, 3.75, 6.0, 15.0]),
    ("bedrock", "global.anthropic.claude-opus-4-5-v1:0", "", [5.0, 0.5, 6.25, 10.0, 25.0]),
    ("openai", "gpt-4o-2024-08-06", "default", [2.5, 1.25, NONE, NONE, 10.0]),
    ("openai", "gpt-4o-mini", "", [0.15, 0.075, NONE, NONE, 0.6]),
    ("openai", "gpt-4.1", "priority", [3.5, 0.875, NONE, NONE, 14.0]),
    ("openai", "gpt-5", "flex", [0.625, 0.0625, NONE, NONE, 5.0]),
    ("openai", "gpt-5", "priority", [2.5, 0.25, NONE, NONE, 20.0]),
    ("openai", "gpt-5.6", "", [4.0, 0.4, 5.0, NONE, 20.0]),
    ("openai", "gpt-5.6", "batch", [2.0, 0.2, 2.5, NONE, 10.0]),
    ("openai", "o3", "", [2.0, 0.5, NONE, NONE, 8.0]),
    ("azure", "gpt-4o", "", [2.5, 1.25, NONE, NONE, 10.0]),
    ("google", "gemini-2.5-pro", "ON_DEMAND", [1.25, 0.125, NONE, NONE, 10.0]),
    ("google", "gemini-2.5-pro", "ON_DEMAND_PRIORITY", [2.25, 0.225, NONE, NONE, 18.0]),
    ("google", "gemini-2.5-flash", "ON_DEMAND_FLEX", [0.15, 0.03, NONE, NONE, 1.25]),
    ("mistral", "mistral-large-4", "batch", [0.35, 0.035, NONE, NONE, 1.05]),
    ("groq", "llama-3.3-70b-versatile", "", [0.59, NONE, NONE, NONE, 0.79]),
    ("xai", "grok-4", "", [3.0, 0.75, NONE, NONE, 15.0]),
    ("cohere", "command-a-03-2025", "", [2.5, NONE, NONE, NONE, 10.0]),
    ("zai", "glm-4.6", "", [0.6, 0.11, NONE, NONE, 2.2]),
    ("moonshot", "kimi-k2-0905-preview", "", [0.6, 0.15, NONE, NONE, 2.5]),
];

#[test]
fn each_class_of_tokens_costs_its_own_rate() {
    for &(provider, model, tier, [input, read, write, write_1h, output]) in RATES {
        let known = |rate: f64, or: f64| if rate < 0.0 { or } else { rate };
        let write = known(write, input);
        let classes = [
            (input, Usage { input: Some(1000), ..Usage::default() }),
            (known(read, input), Usage { input: Some(1000), cache_read: Some(1000), ..Usage::default() }),
            (write, Usage { input: Some(1000), cache_write: Some(1000), ..Usage::default() }),
            (
                known(write_1h, write),
                Usage {
                    input: Some(1000),
                    cache_write: Some(1000),
                    cache_write_1h: Some(1000),
                    ..Usage::default()
                },
            ),
            (output, Usage { input: Some(0), output: Some(1000), ..Usage::default() }),
        ];
        for (rate, usage) in classes {
            let expected = (1000.0 * rate * DOLLAR).round() as i64;
            let call = call(provider, model, tier, usage);
            assert_eq!(cost_of(&call), Some(expected), "{provider} {model} {tier} {:?}", call.usage);
        }
    }
}

#[test]
fn lesson_12_a_call_with_every_class_is_the_sum_of_its_parts() {
    // Anthropic said input 200, read 5000, written 1000 (of which 400 for an hour), output 300 (thinking within): the
    // ledger's input is 200 + 5000 + 1000.
    let usage = Usage {
        input: Some(6200),
        cache_read: Some(5000),
        cache_write: Some(1000),
        cache_write_5m: Some(600),
        cache_write_1h: Some(400),
        output: Some(300),
        reasoning: Some(120),
    };
    let dollars = 200.0 * 5.0 + 5000.0 * 0.5 + 600.0 * 6.25 + 400.0 * 10.0 + 300.0 * 25.0;
    assert_eq!(cost_of(&call("anthropic", "claude-opus-4-5", "", usage)), Some((dollars * DOLLAR) as i64));
    // OpenAI said prompt 6200, of which 5000 cached and 1000 written; output 300, of which 120 reasoning.
    let usage = Usage {
        input: Some(6200),
        cache_read: Some(5000),
        cache_write: Some(1000),
        output: Some(300),
        reasoning: Some(120),
        ..Usage::default()
    };
    let dollars = 200.0 * 4.0 + 5000.0 * 0.4 + 1000.0 * 5.0 + 300.0 * 20.0;
    assert_eq!(cost_of(&call("openai", "gpt-5.6", "", usage)), Some((dollars * DOLLAR) as i64));
}

#[test]
fn a_long_call_costs_the_long_rates_for_all_of_its_tokens() {
    /// provider, model, tier, input, dollars a million tokens of input and output
    type Long = (&'static str, &'static str, &'static str, u64, Option<(f64, f64)>);
    let cases: &[Long] = &[
        ("anthropic", "claude-sonnet-4-5", "", 200_000, Some((3.0, 15.0))),
        ("anthropic", "claude-sonnet-4-5", "", 200_001, Some((6.0, 22.5))),
        ("anthropic", "claude-sonnet-4-5", "batch", 200_001, Some((3.0, 11.25))),
        ("openai", "gpt-5.6", "", 272_000, Some((4.0, 20.0))),
        ("openai", "gpt-5.6", "", 272_001, Some((8.0, 30.0))),
        ("openai", "gpt-5.6", "priority", 272_001, Some((16.0, 60.0))),
        ("google", "gemini-2.5-pro", "", 200_001, Some((2.5, 15.0))),
        ("google", "gemini-2.5-pro", "ON_DEMAND_FLEX", 200_000, Some((0.625, 5.0))),
        ("google", "gemini-2.5-pro", "ON_DEMAND_FLEX", 200_001, None),
    ];
    for &(provider, model, tier, input, rates) in cases {
        let usage = Usage { input: Some(input), output: Some(10), ..Usage::default() };
        let expected =
            rates.map(|(plain, output)| ((input as f64 * plain + 10.0 * output) * DOLLAR).round() as i64);
        assert_eq!(
            cost_of(&call(provider, model, tier, usage)),
            expected,
            "{provider} {model} {tier} {input}"
        );
    }
}

#[test]
fn a_request_may_cost_something_by_itself() {
    let usage = Usage { input: Some(100), output: Some(10), ..Usage::default() };
    let dollars = 100.0 * 1.0 + 10.0 * 1.0 + 12_000.0;
    assert_eq!(cost_of(&call("perplexity", "sonar", "", usage)), Some((dollars * DOLLAR) as i64));
}

#[test]
fn a_cost_that_does_not_fit_is_unknown() {
    let usage = Usage { input: Some(i64::MAX as u64), output: Some(1), ..Usage::default() };
    assert_eq!(cost_of(&call("openai", "gpt-4o", "", usage)), None);
}

#[test]
fn the_names_that_gemini_lives_sockets_use_are_known() {
    for name in ["models/gemini-2.5-pro", "projects/p/locations/l/publishers/google/models/gemini-2.5-pro"] {
        let usage = Usage { input: Some(1), ..Usage::default() };
        assert_eq!(cost_of(&call("google", name, "", usage)), Some(1_250_000), "{name}");
    }
}

#[test]
fn tokens_that_cost_something_else_are_not_priced_as_text() {
    let cases = [
        (
            "google",
            "gemini-2.5-flash",
            r#"{"promptTokensDetails":[{"modality":"TEXT","tokenCount":1}]}"#,
            true,
        ),
        (
            "google",
            "gemini-2.5-flash",
            r#"{"promptTokensDetails":[{"modality":"AUDIO","tokenCount":1}]}"#,
            false,
        ),
        (
            "openai",
            "gpt-5.6",
            r#"{"input_tokens_details":{"cache_write_tokens_details":{"ttl_12h_tokens":0}}}"#,
            true,
        ),
        (
            "openai",
            "gpt-5.6",
            r#"{"input_tokens_details":{"cache_write_tokens_details":{"ttl_12h_tokens":1}}}"#,
            false,
        ),
        ("openai", "gpt-4o", r#"{"prompt_tokens_details":{"image_tokens":1}}"#, true),
    ];
    for (provider, model, said, known) in cases {
        let usage = Usage { input: Some(1), ..Usage::default() };
        let call = Call { usage_json: Some(said.into()), ..call(provider, model, "", usage) };
        assert_eq!(cost_of(&call).is_some(), known, "{model} {said}");
    }
}
