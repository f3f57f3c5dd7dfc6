//! `tollgate policy check`: reads the files as the proxy would, prints the merged policy, or says what is wrong.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Failure, Files, file_and_line, print, print_json, refused};
use crate::config::policy::{LoadedPolicy, Sample};
use crate::policy::draft::{Draft, Exception, Mode, Rule, Source, Sourced};
use crate::policy::http::Methods;
use crate::policy::path::PathPattern;

/// Check the policy files and print the merged policy
///
/// Prints each field with the layer, file and line that it came from, the fields of the user's that corp's file
/// overrules, the samples with what decides them, and notices about what has no effect. A file that cannot be read, parsed or
/// understood, or that fails its own samples, is an error with file, line and column; the proxy refuses it in the
/// same words.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tollgate policy check --config tollgate.toml
  tollgate policy check --user-policy user.toml --corp-policy corp.toml --json

Exit status:
  0  the policy can be used
  1  it cannot; stderr says where and why
  2  the command line is wrong")]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    args.files.named()?;
    let loaded = args.files.load().map_err(|error| refused(&error, args.json))?;
    if args.json { print_json(&document(&loaded)) } else { print(&text(&loaded)) }
}

fn text(loaded: &LoadedPolicy) -> String {
    let mut text = String::from("the policy is good\n\n");
    for Field { key, value, source } in fields(&loaded.draft) {
        let _ = writeln!(text, "{key:27} {value:32} {source}");
    }
    for rule in &loaded.draft.http {
        let _ = writeln!(text, "http {:6} {:48} {}", rule.action.as_str(), words(rule), rule.source);
    }
    section(
        &mut text,
        "ignored: corp's file overrules them",
        loaded.ignored.iter().map(|field| format!("{} ({}), locked by {}", field.key, field.place, field.by)),
    );
    section(&mut text, "samples", loaded.samples.iter().map(sample));
    section(&mut text, "notices", loaded.notices.iter().cloned());
    let _ = writeln!(text, "\ndigest {}", loaded.policy.digest());
    text
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    for (number, line) in lines.enumerate() {
        let head = if number == 0 { format!("\n{title}\n") } else { String::new() };
        let _ = writeln!(text, "{head}  {line}");
    }
}

fn sample(sample: &Sample) -> String {
    let kept = if sample.verdict == sample.expected { "kept" } else { "narrowed" };
    let Sample { expected, target, place, why, .. } = sample;
    format!("{kept}: {} {target} ({place}), by {}", expected.as_str(), why.rule)
}

/// One line of the merged policy: a field, or an entry of a list.
struct Field<'d> {
    key: &'static str,
    value: String,
    source: &'d Source,
}

fn fields(draft: &Draft) -> Vec<Field<'_>> {
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

/// `"github read only" api.github.com read /repos/acme/**`.
fn words(rule: &Rule) -> String {
    let mut words = format!("{:?} {}", rule.name, rule.host);
    let mut add = |label: &str, list: Vec<String>| {
        if !list.is_empty() {
            let _ = write!(words, "{label}{}", list.join(","));
        }
    };
    add(" port ", rule.ports.iter().map(u16::to_string).collect());
    add(" ", methods(&rule.methods));
    add(" ", rule.paths.iter().map(|path| path.as_str().to_owned()).collect());
    add(" process ", rule.processes.iter().map(ToString::to_string).collect());
    add(" uid ", rule.users.iter().map(u32::to_string).collect());
    add(" listener ", rule.listeners.iter().map(ToString::to_string).collect());
    words
}

/// Classes and tokens; nothing for every method.
fn methods(methods: &Methods) -> Vec<String> {
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
