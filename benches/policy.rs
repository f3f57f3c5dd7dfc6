//! Judging requests by 10,000 rules over 100,000 hosts: nanoseconds and allocations for each.

use std::fmt::Write;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use tollgate::config::file::Text;
use tollgate::config::policy::{Target, from_text};
use tollgate::policy::host::Host;
use tollgate::policy::{Policy, path};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const HOSTS: usize = 100_000;
const RULES: usize = 10_000;
/// Requests a sample, each to another host.
const REQUESTS: usize = 10_000;

fn main() {
    divan::main();
}

/// Even hosts are wildcards; every tenth host has a rule.
fn wide() -> Policy {
    let mut text = String::from("[network]\nallow = [\n");
    for number in 0..HOSTS {
        let _ = writeln!(text, "\"{}\",", pattern(number));
    }
    text.push_str("]\n");
    for number in (0..HOSTS).step_by(HOSTS / RULES) {
        rule(&mut text, &pattern(number), &format!("/repos/acme/{number}/**"));
    }
    load(&text)
}

/// All rules stand at one host.
fn narrow() -> Policy {
    let mut text = String::from("[network]\nallow = [\"a.test\"]\n");
    for number in 0..RULES {
        rule(&mut text, "a.test", &format!("/repos/acme/{number}/**"));
    }
    load(&text)
}

fn rule(text: &mut String, host: &str, path: &str) {
    let _ = writeln!(
        text,
        "[[http]]\nhost = \"{host}\"\nmethods = [\"read\"]\npaths = [\"{path}\", \"/v1/*/x\"]\naction = \"allow\""
    );
}

fn pattern(number: usize) -> String {
    let star = if number.is_multiple_of(2) { "*." } else { "" };
    format!("{star}{}", name(number))
}

fn name(number: usize) -> String {
    format!("h{number}.d{}.example", number % 500)
}

fn load(text: &str) -> Policy {
    from_text(Some(&Text::new("user.toml", text)), None).expect("the policy is good").policy
}

fn targets() -> Vec<Target> {
    let scattered = (0..REQUESTS).map(|number| number * 7919 % HOSTS);
    scattered
        .map(|number| {
            let below = if number.is_multiple_of(2) { "a.b." } else { "" };
            let url = format!("https://{below}{}/repos/acme/{number}/issues", name(number));
            Target::new("GET", &url).expect("a request")
        })
        .collect()
}

#[divan::bench(sample_count = 20)]
fn request_of_100_000_hosts(bencher: Bencher<'_, '_>) {
    let (policy, targets) = (wide(), targets());
    bencher.counter(ItemsCount::new(REQUESTS)).bench_local(|| {
        for target in &targets {
            black_box(policy.request(&target.question()));
        }
    });
}

#[divan::bench(sample_count = 20)]
fn host_of_100_000_hosts(bencher: Bencher<'_, '_>) {
    let (policy, targets) = (wide(), targets());
    bencher.counter(ItemsCount::new(REQUESTS)).bench_local(|| {
        for target in &targets {
            black_box(policy.host(&target.host, target.port));
        }
    });
}

#[divan::bench]
fn last_of_10_000_rules_of_one_host(bencher: Bencher<'_, '_>) {
    let policy = narrow();
    let target = Target::new("GET", "https://a.test/repos/acme/9999/issues").expect("a request");
    bencher.bench_local(|| policy.request(black_box(&target.question())));
}

#[divan::bench]
fn host_parsed() -> Host {
    Host::parse(black_box(b"Api.Anthropic.COM")).expect("a host")
}

#[divan::bench]
fn path_checked() -> Option<&'static str> {
    path::ambiguous(black_box(b"/v1beta/models/gemini-2.5-pro:streamGenerateContent"))
}
