//! What has been learnt of a call so far, and the [`Call`] that it becomes.

use crate::model::api::Api;
use crate::model::request::RequestFacts;
use crate::model::usage::{Call, OriginError, UsageState};

use crate::wire::json::Text;

use super::counts::Counts;
use super::event::{ErrorPart, Event, Iteration};
use super::tools::{ToolPart, Tools};

/// The tier of a run that was sold as a fast one, whatever tier served it: it is the one that has a price.
const FAST: &str = "fast";
/// How many errors of one answer are kept.
const MAX_ERRORS: usize = 16;

/// What has been learnt so far.
#[derive(Debug)]
pub(super) struct Progress {
    /// Names and reasons; counts and tool calls join them at the end.
    pub(super) call: Call,
    api: Api,
    /// Events come one by one, so that there is a first one to wait for.
    pub(super) framed: bool,
    pub(super) counts: Counts,
    /// The provider's usage object, as last said; its characters are looked at once, at the end.
    pub(super) usage_json: Option<Vec<u8>>,
    pub(super) cost_pico_usd: Option<i64>,
    /// The run was sold as a fast one.
    pub(super) fast: bool,
    pub(super) fallback_model: Option<String>,
    pub(super) iterations: Vec<Iteration>,
    pub(super) tools: Tools,
    pub(super) errors: Vec<OriginError>,
    /// The counts are those that the provider gives at the end.
    pub(super) closing: bool,
    /// The provider has said that this is the end.
    pub(super) ended: bool,
    pub(super) now_us: u64,
    pub(super) first_token_us: Option<u64>,
}

impl Progress {
    pub(super) fn new(provider: &'static str, api: Api, framed: bool, room: usize) -> Self {
        Self {
            call: Call { provider, api: api.as_str(), ..Call::default() },
            api,
            framed,
            counts: Counts::default(),
            usage_json: None,
            cost_pico_usd: None,
            fast: false,
            fallback_model: None,
            iterations: Vec::new(),
            tools: Tools::new(room),
            errors: Vec::new(),
            closing: false,
            ended: false,
            now_us: 0,
            first_token_us: None,
        }
    }

    /// Something generated has been seen.
    pub(super) fn generated(&mut self) {
        if self.framed && self.first_token_us.is_none() {
            self.first_token_us = Some(self.now_us);
        }
    }

    /// The provider's usage object, which some repeat with every event.
    pub(super) fn usage_object(&mut self, raw: Option<Text<'_>>) {
        let Some(raw) = raw.filter(|raw| !raw.clipped) else { return };
        let kept = self.usage_json.get_or_insert_default();
        kept.clear();
        kept.extend_from_slice(raw.bytes);
    }

    pub(super) fn stop(&mut self, reason: Option<String>) {
        if reason.is_some() {
            self.call.stop_reason = reason;
        }
    }

    /// The counts are the provider's last word, and so is the event.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.ended = true;
    }

    /// A tool call that came whole.
    pub(super) fn tool(&mut self, part: ToolPart) {
        self.generated();
        self.tools.add(part);
    }

    /// Takes down the event's error, if it had one.
    pub(super) fn error_in(&mut self, event: &mut Event) {
        if event.error.seen {
            self.error(std::mem::take(&mut event.error));
        }
    }

    pub(super) fn error(&mut self, error: ErrorPart) {
        let ErrorPart { status, kind, code, message, retry_after_us, request_id, .. } = error;
        self.call.error_type = kind.clone().or_else(|| code.clone()).or_else(|| Some("error".into()));
        self.call.error_message.clone_from(&message);
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(OriginError { status, kind, code, message, retry_after_us, request_id });
        }
    }

    /// The call, and runs inside it that its own counts leave out.
    pub(super) fn end(mut self, facts: RequestFacts, complete: bool, at_us: u64) -> Vec<Call> {
        if self.fast {
            self.call.service_tier = Some(FAST.into());
        }
        let inner = self.left_out(at_us);
        let usage_state = self.usage_state(complete);
        let mut call = std::mem::take(&mut self.call);
        if let Some(model) = self.fallback_model.or_else(|| answered_by(&self.iterations)) {
            call.model = Some(model);
        }
        call.usage = self.counts.normalised(call.provider, self.api);
        call.usage_json = self.usage_json.map(|raw| String::from_utf8_lossy(&raw).into_owned());
        call.usage_state = usage_state;
        call.cost_pico_usd = self.cost_pico_usd;
        call.first_token_us = self.first_token_us;
        call.total_us = at_us;
        call.tool_calls = self.tools.finish(self.api == Api::AnthropicMessages);
        call.stream = facts.stream.unwrap_or(self.framed);
        call.model_requested = facts.model;
        call.messages_count = facts.messages_count;
        call.tools_count = facts.tools_count;
        call.system_bytes = facts.system_bytes;
        call.tool_results = facts.tool_results;
        let mut calls = vec![call];
        calls.extend(inner);
        calls
    }

    /// Where nothing but a stop reason tells which counts are the last: those that come with it or after it are; those
    /// that came before it are once the stream has ended.
    pub(super) fn settle(&mut self, event: &Event) {
        if self.call.stop_reason.is_some() && self.counts.any() {
            self.closing = true;
            self.ended |= event.usage;
        }
    }

    fn usage_state(&self, complete: bool) -> UsageState {
        match (self.counts.any(), self.closing && (self.ended || complete)) {
            (false, _) => UsageState::None,
            (true, true) => UsageState::Final,
            (true, false) => UsageState::Partial,
        }
    }

    /// Compactions and an advisor's runs are billed, the latter at another model's price, but are not in the counts of
    /// the call (WIRE §0): each is a run of its own.
    fn left_out(&self, at_us: u64) -> Vec<Call> {
        let apart = |kind: &str| matches!(kind, "compaction" | "advisor_message");
        let calls = self.iterations.iter().filter(|iteration| apart(&iteration.kind)).map(|iteration| Call {
            provider: self.call.provider,
            api: self.call.api,
            model: iteration.model.clone().or_else(|| self.call.model.clone()),
            response_id: self.call.response_id.clone(),
            stream: self.framed,
            usage: iteration.counts.normalised(self.call.provider, self.api),
            usage_state: if self.closing { UsageState::Final } else { UsageState::Partial },
            stop_reason: Some(iteration.kind.clone()),
            service_tier: self.call.service_tier.clone(),
            total_us: at_us,
            ..Call::default()
        });
        calls.collect()
    }
}

/// The model of the last run that took over from another.
fn answered_by(iterations: &[Iteration]) -> Option<String> {
    let fallback = iterations.iter().rev().find(|iteration| iteration.kind == "fallback_message")?;
    fallback.model.clone()
}
