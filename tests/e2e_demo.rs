//! `tollgate demo` as a person and as a program use it.

mod support;

use support::proxy::tollgate;

#[test]
fn the_demo_prints_the_ledger_and_succeeds() {
    let output = tollgate(&["demo"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for part in ["REQUESTS", "MODEL CALLS", "DENIED", "FIRST EVENT", "gemini-2.5-pro", "corp", "all equal"] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
}

#[test]
fn the_demo_prints_one_json_document_with_the_schemas_names() {
    let output = tollgate(&["demo", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let mut keys: Vec<_> = document.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["denied", "first_event_added_us", "model_calls", "net_events"]);
    assert!(document["first_event_added_us"].is_i64());
    let rows = |name: &str| document[name].as_array().expect("an array").len();
    assert_eq!((rows("net_events"), rows("model_calls"), rows("denied")), (22, 18, 2));
    for column in
        ["exchange_id", "host", "decision", "rule", "rule_layer", "status", "response_bytes", "total_us"]
    {
        assert!(!document["net_events"][0][column].is_null(), "net_events.{column}");
    }
    for column in ["model", "input_tokens", "output_tokens", "cost_pico_usd", "first_token_us", "usage_state"]
    {
        assert!(!document["model_calls"][0][column].is_null(), "model_calls.{column}");
    }
}
