//! `tollgate policy why METHOD URL`: the running evaluator explains itself.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Failure, Files, file_and_line, print, print_json, refused, whose, why_json};
use crate::config::policy::{LoadedPolicy, Target};
use crate::policy::explain::Explanation;
use crate::policy::{Allow, path};

/// Say what the policy answers to a request, and which rule decides
///
/// Prints the verdict, the rule that decided, its layer (corp, user, default) and its file and line, the verdict on
/// the host, and the runner-up rules: whatever else is written about the same request but does not decide. Names are
/// not looked up; the address check that follows a lookup is made here for IP literals only.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tollgate policy why --config tollgate.toml GET https://api.github.com/repos/acme/x
  tollgate policy why --user-policy user.toml --process git POST https://github.com/acme/x.git/git-receive-pack

Exit status:
  0  the question was answered, whatever the answer
  1  the policy cannot be used; or, with --exit-code, the request would be denied
  2  the command line is wrong")]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// The method, as it would be sent: methods are case-sensitive
    method: String,
    /// The URL: http, https, ws or wss
    url: String,
    /// The client's process name, for rules that look at it
    #[arg(long, value_name = "NAME")]
    process: Option<String>,
    /// The client's user id, for rules that look at it
    #[arg(long, value_name = "N")]
    uid: Option<u32>,
    /// The listener's address, for rules that look at it
    #[arg(long, value_name = "ADDR")]
    listener: Option<String>,
    /// Exit with 1 where the request would be denied
    #[arg(long)]
    exit_code: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    args.files.named()?;
    let mut target = Target::new(&args.method, &args.url).map_err(Failure::usage)?;
    target.process.clone_from(&args.process);
    target.uid = args.uid;
    target.listener = args.listener.clone().unwrap_or_default();
    let loaded = args.files.load().map_err(|error| refused(&error, args.json))?;
    let explanation = loaded.policy.explain(&target.question());
    if args.json {
        print_json(&document(&loaded, &target, &explanation))?;
    } else {
        print(&text(&loaded, &target, &explanation))?;
    }
    match explanation.verdict {
        Allow::Deny if args.exit_code => Err(Failure { code: 1, message: String::new() }),
        _ => Ok(()),
    }
}

fn document(loaded: &LoadedPolicy, target: &Target, explanation: &Explanation) -> Value {
    let why = &explanation.why;
    let (file, line) = file_and_line(why.place.as_deref());
    let (host_verdict, host_why) = &explanation.host;
    let mut host = why_json(host_why);
    host["verdict"] = host_verdict.as_str().into();
    let runners_up = explanation.runners_up.iter().map(|other| {
        let mut document = why_json(&other.why);
        document["says"] = other.says.into();
        document
    });
    json!({
        "request": target.to_string(),
        "verdict": explanation.verdict.as_str(),
        "rule": &*why.rule,
        "layer": why.layer.as_str(),
        "reason": why.reason.as_deref(),
        "file": file,
        "line": line,
        "host": host,
        "path_ambiguity": path::ambiguous(target.path.as_bytes()),
        "observe": loaded.policy.observe(),
        "runners_up": runners_up.collect::<Vec<_>>(),
        "policy_digest": loaded.policy.digest(),
    })
}

fn text(loaded: &LoadedPolicy, target: &Target, explanation: &Explanation) -> String {
    let why = &explanation.why;
    let observed = explanation.verdict == Allow::Deny && loaded.policy.observe();
    let though = if observed { " (observe mode: it would go on, and the record says so)" } else { "" };
    let (host_verdict, host_why) = &explanation.host;
    let mut lines = vec![
        target.to_string(),
        format!("  verdict  {}{though}", explanation.verdict.as_str()),
        format!("  rule     {}", why.rule),
        format!("  layer    {}", whose(why)),
    ];
    lines.extend(why.reason.iter().map(|reason| format!("  reason   {reason}")));
    lines.push(format!("  host     {}: {}, {}", host_verdict.as_str(), host_why.rule, whose(host_why)));
    let mut text = lines.join("\n") + "\n";
    if !explanation.runners_up.is_empty() {
        text.push_str("also written about it:\n");
    }
    for other in &explanation.runners_up {
        let _ = writeln!(text, "  {:7}  {}, {}", other.says, other.why.rule, whose(&other.why));
    }
    text
}
