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
        "FIRST EVENT\n  added delay {} us: from the origin's write to the client's read it takes {} us through the proxy and\n  \
         {} us without it (medians of {} streams, each held open by the origin until the client had it)\n",
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
        "CHECK\n  {compared} values compared with what the origin sent: {judgement} ({})\n",
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
    let heading = ["verdict", "status", "method", "to", "decided by", "took"];
    let line = |row: &Row| {
        let rule = |column| row[column].as_str().unwrap_or("-");
        vec![
            plain(&row["decision"]),
            plain(&row["status"]),
            plain(&row["method"]),
            short(&format!("{}{}", plain(&row["host"]), row["path"].as_str().unwrap_or_default()), 50),
            short(&format!("{}: {}", rule("rule_layer"), rule("rule")), 40),
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
        "cache r/w",
        "output",
        "thought",
        "cost",
        "first token",
        "stopped by",
    ];
    let line = |row: &Row| {
        vec![
            plain(&row["model"]),
            plain(&row["api"]),
            if row["stream"] == 1 { "stream" } else { "plain" }.to_owned(),
            plain(&row["input_tokens"]),
            format!("{}/{}", plain(&row["cache_read_tokens"]), plain(&row["cache_write_tokens"])),
            plain(&row["output_tokens"]),
            plain(&row["reasoning_tokens"]),
            dollars(&row["cost_pico_usd"]),
            millis(&row["first_token_us"]),
            stopped_by(row),
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

/// The stop reason, and the tools that were asked for.
fn stopped_by(row: &Row) -> String {
    let calls = row["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<_> = calls.iter().filter_map(|call| call["name"].as_str()).collect();
    let reason = plain(&row["stop_reason"]);
    if names.is_empty() { reason } else { format!("{reason}: {}", names.join(", ")) }
}

/// The beginning and the end of a long text.
fn short(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let begin: String = text.chars().take(most / 2).collect();
    let end: String = text.chars().skip(length + most / 2 + 1 - most).collect();
    format!("{begin}…{end}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_ends() {
        assert_eq!(short("abcdefghij", 10), "abcdefghij");
        assert_eq!(short("abcdefghijk", 7), "abc…ijk");
    }

    #[test]
    fn money_and_time_have_units_and_the_unknown_has_a_word() {
        assert_eq!(dollars(&12_605_000_000_i64.into()), "$0.012605");
        assert_eq!(dollars(&Value::Null), "unknown");
        assert_eq!(millis(&1234.into()), "1.2 ms");
        assert_eq!(millis(&Value::Null), "-");
    }
}
