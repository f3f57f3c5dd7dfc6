//! `tollgate policy check`: reads the files as the proxy would, prints the merged policy, or says what is wrong.

use std::fmt::Write;

use super::{Failure, Files, print, print_json, refused};
use crate::config::policy::document::{Field, fields, methods};
use crate::config::policy::{LoadedPolicy, Sample};
use crate::policy::draft::Rule;

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
    if args.json { print_json(&loaded.document()) } else { print(&text(&loaded)) }
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
