//! What the demo's origin says, as data: one script for each wire format, streamed and plain.
//!
//! A script holds a request as a client of that provider sends it, the answer as the provider writes it, and the
//! model call that a correct ledger holds afterwards. The truth is written by hand beside the answer, from the
//! providers' documents; nothing here computes it from the answer, and nothing here uses the meters under test.
//! Money is written as tokens times the provider's list price.

use crate::model::usage::Call;

mod anthropic;
mod google;
mod openai_chat;
mod openai_responses;

/// One model exchange: what is asked, what is answered, and what it amounts to.
#[derive(Clone, Debug)]
pub struct Script {
    /// Short name for reports, such as `anthropic streamed`.
    pub name: &'static str,
    /// The host the provider answers on.
    pub host: &'static str,
    /// Path and query of the request.
    pub target: &'static str,
    /// The request's JSON body.
    pub request: &'static str,
    /// `Content-Type` of the answer.
    pub content_type: &'static str,
    /// The answer in the pieces in which the provider sends them: events of a stream, or one whole document.
    pub events: Vec<String>,
    /// What the ledger must say about it. `total_us` and `first_token_us` are measured, so they are not part of it,
    /// and `usage_json` holds whatever the provider sent last.
    pub truth: Call,
}

impl Script {
    /// The path without its query.
    pub fn path(&self) -> &'static str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// The query without its `?`, empty where there is none.
    pub fn query(&self) -> &'static str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The whole answer before content coding.
    pub fn answer(&self) -> String {
        self.events.concat()
    }
}

/// Every script: the four formats, streamed and plain, and Gemini's array stream.
pub fn all() -> Vec<Script> {
    vec![
        anthropic::streamed(),
        anthropic::plain(),
        openai_chat::streamed(),
        openai_chat::plain(),
        openai_responses::streamed(),
        openai_responses::plain(),
        google::streamed(),
        google::array(),
        google::plain(),
    ]
}

/// An event with a name, as Anthropic and OpenAI Responses send them.
fn named_events(events: &[(&str, &str)]) -> Vec<String> {
    events.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect()
}

/// Sums tokens times pico-USD per token. One dollar per million tokens is 1,000,000 pico-USD per token.
fn cost(parts: &[(i64, i64)]) -> i64 {
    parts.iter().map(|(tokens, price)| tokens * price).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_json_and_names_differ() {
        let scripts = all();
        for script in &scripts {
            serde_json::from_str::<serde_json::Value>(script.request).expect(script.name);
        }
        let mut names: Vec<_> = scripts.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), scripts.len());
    }

    #[test]
    fn every_event_carries_json() {
        for script in all() {
            if script.content_type.starts_with("text/event-stream") {
                for event in &script.events {
                    let data = event.split("data: ").nth(1).expect("an event has data").trim_end();
                    if data != "[DONE]" {
                        serde_json::from_str::<serde_json::Value>(data).expect(script.name);
                    }
                }
            } else {
                serde_json::from_str::<serde_json::Value>(&script.answer()).expect(script.name);
            }
        }
    }

    #[test]
    fn a_streamed_script_and_its_plain_twin_ask_for_different_things() {
        for script in all() {
            let body: serde_json::Value = serde_json::from_str(script.request).expect("a JSON request");
            let asked = body["stream"] == true || script.path().contains(":streamGenerateContent");
            assert_eq!(asked, script.truth.stream, "{}", script.name);
        }
    }
}
