//! What a client counted, against the ledger: one JSON line a call on one side, one row of `model_calls` on the other.

use serde_json::Value;

use super::ledger::Row;
use super::proxy::Proxy;

/// The lines that a client printed.
pub fn lines(printed: &[u8]) -> Vec<Value> {
    let parsed = |line: &str| serde_json::from_str(line).expect("a JSON line");
    String::from_utf8_lossy(printed).lines().map(parsed).collect()
}

/// Each of the `expected` lines that a client printed against the row of its call, in order; gives lines and rows.
pub fn assert_counts(proxy: &Proxy, printed: &[u8], expected: usize) -> (Vec<Value>, Vec<Row>) {
    let lines = lines(printed);
    assert_eq!(lines.len(), expected, "{lines:#?}");
    let rows = proxy.ledger().model_calls(expected);
    for (line, row) in lines.iter().zip(&rows) {
        assert_line(proxy, line, row);
    }
    (lines, rows)
}

fn assert_line(proxy: &Proxy, line: &Value, row: &Row) {
    for (key, column) in [("api", "api"), ("id", "response_id"), ("model", "model"), ("stop", "stop_reason")]
    {
        assert_eq!(line[key], Value::from(row.text(column)), "{column} of {line}");
    }
    for (key, column) in
        [("input", "input_tokens"), ("cache_read", "cache_read_tokens"), ("output", "output_tokens")]
    {
        assert_eq!(line[key], Value::from(row.int(column)), "{column} of {line}");
    }
    assert_eq!(line["stream"], Value::from(row.int("stream") == Some(1)), "{line}");
    let call = row.int("call_id").expect("an id");
    let tools =
        proxy.ledger().rows(&format!("SELECT name FROM tool_calls WHERE call_id = {call} ORDER BY position"));
    let tools: Vec<_> = tools.iter().filter_map(|tool| tool.text("name")).collect();
    assert_eq!(line["tools"], Value::from(tools), "{line}");
    assert!(line["text"].as_str().is_some_and(|text| !text.is_empty()), "{line}");
}
