//! What a run shows: tables for a person, or one JSON document.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use super::ledger::Row;

/// One JSON document with the names of `schema.sql`.
pub fn document(outcome: &Outcome) -> String {
    let ledger = &outcome.ledger;
    let document = json!({
        "net_events": ledger.net_events,
        "model_calls": ledger.model_calls,
        "denied": ledger.denied().collect::<Vec<_>>(),
        "first_event_added_us": outcome.first_event_added_us(),
    });
    format!("{document:#}")
}

/// Tables for a person.
pub fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    section(&mut text, "REQUESTS", &requests(&outcome.ledger.net_events));
    section(&mut text, "MODEL CALLS", &model_calls(&outcome.ledger.model_calls));
    section(&mut text, "DENIED", &outcome.ledger.denied().map(denial).collect::<Vec<_>>());
    let _ = writeln!(text, "{}", first_event(outcome));
    let _ = write!(text, "{}", verdict(outcome));
    text
}

fn first_event(outcome: &Outcome) -> String {
    format!(
        "FIRST EVENT  added delay {} us: from the origin's write to the client's read {} us through the proxy, \
         {} us without it (medians of {} streams, all held open by the origin after their first event)\n",
        outcome.first_event_added_us(),
        outcome.proxied.as_micros(),
        outcome.direct.as_micros(),
        outcome.streams,
    )
}

fn verdict(outcome: &Outcome) -> String {
    let (compared, mismatches) = (outcome.checks.compared, outcome.checks.mismatches.len());
    let judgement = match mismatches {
        0 => "all equal".to_owned(),
        n => format!("{n} WRONG"),
    };
    format!(
        "CHECK        {compared} values compared with what the origin sent: {judgement} ({})\n",
        seconds(outcome.elapsed)
    )
}

fn section(text: &mut String, title: &str, rows: &[Vec<String>]) {
    let _ = writeln!(text, "{title}");
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "  {cell:<width$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
}

fn requests(rows: &[Row]) -> Vec<Vec<String>> {
    let heading = ["verdict", "status", "method", "host", "path", "decided by", "sent", "received", "took"];
    let line = |row: &Row| {
        let rule = |column| row[column].as_str().unwrap_or("-");
        vec![
            plain(&row["decision"]),
            plain(&row["status"]),
            plain(&row["method"]),
            plain(&row["host"]),
            plain(&row["path"]),
            format!("{} ({})", rule("rule"), rule("rule_layer")),
            plain(&row["request_bytes"]),
            plain(&row["response_bytes"]),
            millis(&row["total_us"]),
        ]
    };
    std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows.iter().map(line)).collect()
}

fn model_calls(rows: &[Row]) -> Vec<Vec<String>> {
    let heading = [
        "model",
        "api",
        "answer",
        "input",
        "cache read",
        "cache write",
        "output",
        "reasoning",
        "cost",
        "first token",
        "stopped by",
        "tools",
    ];
    let line = |row: &Row| {
        vec![
            plain(&row["model"]),
            plain(&row["api"]),
            if row["stream"] == 1 { "stream" } else { "plain" }.to_owned(),
            plain(&row["input_tokens"]),
            plain(&row["cache_read_tokens"]),
            plain(&row["cache_write_tokens"]),
            plain(&row["output_tokens"]),
            plain(&row["reasoning_tokens"]),
            dollars(&row["cost_pico_usd"]),
            millis(&row["first_token_us"]),
            plain(&row["stop_reason"]),
            tools(row),
        ]
    };
    std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows.iter().map(line)).collect()
}

fn denial(row: &Row) -> Vec<String> {
    let what = format!(
        "{} {}{}",
        plain(&row["method"]),
        plain(&row["host"]),
        row["path"].as_str().unwrap_or_default()
    );
    let by = format!("by {} rule \"{}\"", plain(&row["rule_layer"]), plain(&row["rule"]));
    vec![what, by, row["reason"].as_str().unwrap_or_default().to_owned()]
}

fn tools(row: &Row) -> String {
    let calls = row["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<_> = calls.iter().filter_map(|call| call["name"].as_str()).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Pico-USD as dollars, to the millionth.
fn dollars(value: &Value) -> String {
    value.as_i64().map_or_else(|| "unknown".to_owned(), |pico| format!("${:.6}", pico as f64 / 1e12))
}

fn millis(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", us as f64 / 1e3))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
