//! A loaded policy as one JSON document and as its lines: for `policy check` and for the admin API.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{LoadedPolicy, Sample};
use crate::policy::draft::{Draft, Exception, Mode, Rule, Source, Sourced};
use crate::policy::http::Methods;
use crate::policy::path::PathPattern;

impl LoadedPolicy {
    /// Fields and rules with layer, file and line, what was ignored, samples, notices and the digest.
    pub fn document(&self) -> Value {
        document(self)
    }
}

/// One line of the merged policy: a field, or an entry of a list.
pub struct Field<'d> {
    /// `network.ports`.
    pub key: &'static str,
    /// As it is written.
    pub value: String,
    /// Who wrote it.
    pub source: &'d Source,
}

/// The merged policy without its rules, line by line.
pub fn fields(draft: &Draft) -> Vec<Field<'_>> {
    let mode = if draft.mode.value == Mode::Observe { "observe" } else { "enforce" };
    let ports: Vec<String> = draft.ports.value.iter().map(u16::to_string).collect();
    let private = &draft.private_addresses;
    let mut fields = vec![
        Field { key: "mode", value: mode.into(), source: &draft.mode.source },
        Field {
            key: "network.default",
            value: draft.default.value.as_str().into(),
            source: &draft.default.source,
        },
        Field { key: "network.ports", value: ports.join(", "), source: &draft.ports.source },
        Field {
            key: "network.private_addresses",
            value: private.value.as_str().into(),
            source: &private.source,
        },
    ];
    fields.extend(entries("network.private_allow", &draft.private_allow, exception));
    fields.extend(entries("network.block", &draft.block, ToString::to_string));
    fields.extend(entries("network.allow", &draft.allow, ToString::to_string));
    fields.extend(entries("network.splice", &draft.splice, ToString::to_string));
    fields
}

fn entries<'d, T>(
    key: &'static str,
    list: &'d [Sourced<T>],
    text: impl Fn(&T) -> String,
) -> impl Iterator<Item = Field<'d>> {
    list.iter().map(move |entry| Field { key, value: text(&entry.value), source: &entry.source })
}

fn exception(exception: &Exception) -> String {
    match exception {
        Exception::Range(range) => range.to_string(),
        Exception::Host(pattern) => pattern.to_string(),
    }
}

/// Classes and tokens; nothing for every method.
pub fn methods(methods: &Methods) -> Vec<String> {
    if methods.is_every() {
        return Vec::new();
    }
    let classes = [("read", methods.read), ("write", methods.write)];
    let classes = classes.into_iter().filter(|(_, on)| *on).map(|(word, _)| word.to_owned());
    classes.chain(methods.tokens.iter().map(ToString::to_string)).collect()
}

fn document(loaded: &LoadedPolicy) -> Value {
    let fields = fields(&loaded.draft).into_iter().map(|Field { key, value, source }| {
        let mut document = place(source);
        document["key"] = key.into();
        document["value"] = value.into();
        document
    });
    let ignored =
        loaded.ignored.iter().map(|field| json!({"key": field.key, "place": field.place, "by": field.by}));
    json!({
        "ok": true,
        "fields": fields.collect::<Vec<_>>(),
        "http": loaded.draft.http.iter().map(rule_json).collect::<Vec<_>>(),
        "ignored": ignored.collect::<Vec<_>>(),
        "samples": loaded.samples.iter().map(sample_json).collect::<Vec<_>>(),
        "notices": loaded.notices,
        "digest": loaded.policy.digest(),
    })
}

fn place(source: &Source) -> Value {
    let (file, line) = file_and_line(source.place.as_deref());
    json!({"layer": source.layer.as_str(), "file": file, "line": line})
}

fn rule_json(rule: &Rule) -> Value {
    let mut document = place(&rule.source);
    let texts = |list: &[Arc<str>]| list.iter().map(|text| &**text).collect::<Value>();
    document["name"] = json!(&*rule.name);
    document["host"] = json!(rule.host.to_string());
    document["port"] = json!(rule.ports);
    document["methods"] = json!(methods(&rule.methods));
    document["paths"] = rule.paths.iter().map(PathPattern::as_str).collect();
    document["process"] = texts(&rule.processes);
    document["uid"] = json!(rule.users);
    document["listener"] = texts(&rule.listeners);
    document["action"] = json!(rule.action.as_str());
    document["reason"] = json!(rule.reason.as_deref());
    document
}

fn sample_json(sample: &Sample) -> Value {
    json!({
        "request": sample.target.to_string(),
        "expected": sample.expected.as_str(),
        "verdict": sample.verdict.as_str(),
        "kept": sample.verdict == sample.expected,
        "layer": sample.layer.as_str(),
        "place": sample.place,
        "rule": &*sample.why.rule,
    })
}

/// A place as file and line.
pub fn file_and_line(place: Option<&str>) -> (Option<&str>, Option<u64>) {
    match place.and_then(|place| place.rsplit_once(':')) {
        Some((file, line)) => (Some(file), line.parse().ok()),
        None => (None, None),
    }
}
