//! Compares what the ledger and the client say with what the origin sent, number by number.

use serde_json::Value;

use super::ledger::{Ledger, Row};
use super::play::{Played, Step};
use crate::model::usage::{Call, ToolCall, ToolResult};

/// What was compared, and where it differed.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// How many values were compared.
    pub compared: usize,
    /// One line for each difference.
    pub mismatches: Vec<String>,
}

impl Checks {
    /// Compares a whole run.
    pub fn of(played: &Played, ledger: &Ledger) -> Self {
        let mut checks = Self::default();
        for late in &played.late {
            checks.mismatches.push(format!("{late}: the first event came only after the origin had gone on"));
        }
        let calls = played.steps.iter().filter(|step| step.call.is_some()).count();
        checks.same("the ledger", "rows of net_events", played.steps.len(), &ledger.net_events.len().into());
        checks.same("the ledger", "rows of model_calls", calls, &ledger.model_calls.len().into());
        for (step, event) in played.steps.iter().zip(&ledger.net_events) {
            checks.step(step, event);
            checks.call_of(step, event, ledger);
        }
        checks
    }

    /// Adds a finding of its own kind.
    pub fn holds(&mut self, what: &str, holds: bool) {
        self.compared += 1;
        if !holds {
            self.mismatches.push(what.to_owned());
        }
    }

    fn step(&mut self, step: &Step, event: &Row) {
        let what = step.what.as_str();
        self.same(what, "status seen by the client", step.status, &step.reply.status.into());
        self.same(what, "host", step.host, &event["host"]);
        self.same(what, "status", step.status, &event["status"]);
        self.same(what, "decision", step.decision, &event["decision"]);
        self.same(what, "request_bytes", step.request_bytes, &event["request_bytes"]);
        if let Some((method, target)) = step.request {
            let (path, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            self.same(what, "method", method, &event["method"]);
            self.same(what, "path", path, &event["path"]);
            self.same(what, "query", query, &event["query"]);
        }
        if let Some((rule, layer)) = step.rule {
            self.same(what, "rule_layer", layer, &event["rule_layer"]);
            match rule {
                Some(rule) => self.same(what, "rule", rule, &event["rule"]),
                None => self.holds(&format!("{what}: the denial names its rule"), event["rule"].is_string()),
            }
        }
        if let Some(sent) = &step.sent {
            self.holds(&format!("{what}: the client got the origin's exact bytes"), *sent == step.reply.body);
            self.same(what, "response_bytes", sent.len(), &event["response_bytes"]);
        }
    }

    fn call_of(&mut self, step: &Step, event: &Row, ledger: &Ledger) {
        let found: Vec<_> =
            ledger.model_calls.iter().filter(|call| call["exchange_id"] == event["exchange_id"]).collect();
        self.same(&step.what, "model calls", usize::from(step.call.is_some()), &found.len().into());
        if let (Some(truth), [row]) = (&step.call, found.as_slice()) {
            self.same(&step.what, "response_decoded", step.decoded, &event["response_decoded"]);
            self.call(&step.what, truth, row);
        }
    }

    /// Compares one row of `model_calls` with the truth.
    pub fn call(&mut self, what: &str, truth: &Call, row: &Row) {
        for (column, expected) in columns(truth) {
            self.same(what, column, expected, &row[column]);
        }
        // A plain answer shows its tokens all at once, so it may leave the moment of the first one unknown.
        let first_token = match row["first_token_us"].as_u64() {
            Some(first) => row["total_us"].as_u64().is_some_and(|total| first <= total),
            None => row["first_token_us"].is_null() && !truth.stream,
        };
        self.holds(&format!("{what}: first_token_us of a stream is known, and within total_us"), first_token);
        let tools: Vec<_> = truth.tool_calls.iter().map(tool_call).collect();
        self.same(
            what,
            "tool_calls",
            tools,
            &parts(row, "tool_calls", &["tool_call_id", "name", "arguments"]),
        );
        let results: Vec<_> = truth.tool_results.iter().map(tool_result).collect();
        self.same(
            what,
            "tool_results",
            results,
            &parts(row, "tool_results", &["tool_call_id", "is_error", "preview"]),
        );
    }

    fn same(&mut self, what: &str, column: &str, expected: impl Into<Value>, found: &Value) {
        self.compared += 1;
        let expected = expected.into();
        if expected != *found {
            self.mismatches.push(format!("{what}: {column} is {found}, the origin sent {expected}"));
        }
    }
}

/// The columns of `model_calls` that follow from the truth.
fn columns(truth: &Call) -> [(&'static str, Value); 21] {
    let usage = &truth.usage;
    [
        ("provider", truth.provider.into()),
        ("api", truth.api.into()),
        ("model_requested", truth.model_requested.clone().into()),
        ("model", truth.model.clone().into()),
        ("response_id", truth.response_id.clone().into()),
        ("stream", i64::from(truth.stream).into()),
        ("messages_count", truth.messages_count.into()),
        ("tools_count", truth.tools_count.into()),
        ("system_bytes", truth.system_bytes.into()),
        ("input_tokens", usage.input.into()),
        ("cache_read_tokens", usage.cache_read.into()),
        ("cache_write_tokens", usage.cache_write.into()),
        ("cache_write_5m_tokens", usage.cache_write_5m.into()),
        ("cache_write_1h_tokens", usage.cache_write_1h.into()),
        ("output_tokens", usage.output.into()),
        ("reasoning_tokens", usage.reasoning.into()),
        ("usage_state", truth.usage_state.as_str().into()),
        ("stop_reason", truth.stop_reason.clone().into()),
        ("service_tier", truth.service_tier.clone().into()),
        ("error_type", truth.error_type.clone().into()),
        ("cost_pico_usd", truth.cost_pico_usd.into()),
    ]
}

fn tool_call(call: &ToolCall) -> Value {
    let arguments = call.arguments.as_deref().map(meaning);
    Value::from(vec![Value::from(call.id.clone()), call.name.clone().into(), arguments.into()])
}

fn tool_result(result: &ToolResult) -> Value {
    let is_error = result.is_error.map(i64::from);
    Value::from(vec![Value::from(result.id.clone()), is_error.into(), result.preview.clone().into()])
}

/// Some columns of a row's sub-rows, in order.
fn parts(row: &Row, table: &str, columns: &[&str]) -> Value {
    let rows = row[table].as_array().map_or(&[][..], Vec::as_slice);
    let part = |row: &Value| -> Value {
        columns
            .iter()
            .map(|column| {
                if *column == "arguments" {
                    row[column].as_str().map(meaning).into()
                } else {
                    row[column].clone()
                }
            })
            .collect()
    };
    rows.iter().map(part).collect()
}

/// JSON text as a value, so that white space does not count.
fn meaning(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| json.into())
}

#[cfg(test)]
mod tests {
    use super::super::script;
    use super::*;

    /// The row that a correct ledger holds for a script.
    fn row(truth: &Call) -> Row {
        let mut row: Row =
            columns(truth).into_iter().map(|(column, value)| (column.to_owned(), value)).collect();
        row["first_token_us"] = 5.into();
        row["total_us"] = 9.into();
        let tools: Value = (truth.tool_calls.iter())
            .map(|t| serde_json::json!({"tool_call_id": t.id, "name": t.name, "arguments": t.arguments}))
            .collect();
        row["tool_calls"] = tools;
        let results: Value = (truth.tool_results.iter())
            .map(|r| serde_json::json!({"tool_call_id": r.id, "is_error": r.is_error.map(i64::from), "preview": r.preview}))
            .collect();
        row["tool_results"] = results;
        row
    }

    #[test]
    fn a_true_row_has_no_mismatch() {
        for script in script::all() {
            let mut checks = Checks::default();
            checks.call(script.name, &script.truth, &row(&script.truth));
            assert_eq!(checks.mismatches, Vec::<String>::new());
        }
    }

    #[test]
    fn every_changed_column_is_a_mismatch() {
        for script in script::all() {
            let good = row(&script.truth);
            for (column, _) in good.as_object().expect("an object") {
                let mut bad = good.clone();
                bad[column] = Value::from(vec![-1]);
                let mut checks = Checks::default();
                checks.call(script.name, &script.truth, &bad);
                assert_eq!(checks.mismatches.len(), 1, "{}: {column}", script.name);
            }
        }
    }

    #[test]
    fn lesson_13_an_unknown_number_is_not_zero() {
        let mut checks = Checks::default();
        checks.same("x", "cost_pico_usd", Value::Null, &0.into());
        assert_eq!(checks.mismatches, ["x: cost_pico_usd is 0, the origin sent null"]);
    }
}
