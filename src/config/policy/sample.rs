//! `[[sample]]`: requests that a policy promises to allow or deny. One that breaks its promise is refused (LESSONS 22).

use super::{Sample, Target};
use crate::config::error::ConfigError;
use crate::config::file::{Item, Spot, Table};
use crate::policy::draft::Layer;
use crate::policy::{Allow, Policy, Why};

/// A sample as it was typed.
#[derive(Clone, Debug)]
pub(super) struct TypedSample<'t> {
    target: Target,
    expected: Allow,
    layer: Layer,
    spot: Spot<'t>,
}

/// Reads one `[[sample]]`: `allow` or `deny`, and optionally who asks.
pub(super) fn read(mut table: Table<'_>, layer: Layer) -> Result<TypedSample<'_>, ConfigError> {
    let spot = table.spot();
    let (item, expected) = match (table.take("allow"), table.take("deny")) {
        (Some(item), None) => (item, Allow::Allow),
        (None, Some(item)) => (item, Allow::Deny),
        (Some(_), Some(item)) => {
            return Err(item.fail("a sample with both allow and deny").help("make it two"));
        }
        (None, None) => {
            let example = "add allow = \"GET https://example.com/\" or deny = \"…\"";
            return Err(table.fail("a sample that says neither allow nor deny").help(example));
        }
    };
    let mut target = Target::parse(item.str()?).map_err(|message| item.fail(message))?;
    table.read_some("process", Item::string, &mut target.process)?;
    table.read_some(
        "uid",
        |item| item.number(0..=u64::from(u32::MAX)).map(|uid| uid as u32),
        &mut target.uid,
    )?;
    table.read("listener", Item::string, &mut target.listener)?;
    table.finish()?;
    Ok(TypedSample { target, expected, layer, spot })
}

/// Judges every sample with the very evaluator that the proxy runs.
pub(super) fn check(
    policy: &Policy,
    samples: Vec<TypedSample<'_>>,
    notices: &mut Vec<String>,
) -> Result<Vec<Sample>, ConfigError> {
    samples.into_iter().map(|sample| judge(policy, sample, notices)).collect()
}

fn judge(policy: &Policy, sample: TypedSample<'_>, notices: &mut Vec<String>) -> Result<Sample, ConfigError> {
    let TypedSample { target, expected, layer, spot } = sample;
    let explanation = policy.explain(&target.question());
    let (verdict, why) = (explanation.verdict, explanation.why);
    if verdict != expected {
        let message = format!(
            "this sample fails: {target} should be {}, but {} says {}",
            past(expected),
            named(&why),
            verdict.as_str()
        );
        if layer != Layer::Corp || why.layer != Layer::User {
            return Err(spot
                .fail(message)
                .help("correct the rules or the sample; `tollgate policy why` explains"));
        }
        // A user may narrow what corp allows; that must not keep the proxy from starting.
        notices.push(format!("{}: {message}", spot.place()));
    }
    Ok(Sample { target, expected, layer, place: spot.place().to_string(), verdict, why })
}

fn past(verdict: Allow) -> &'static str {
    match verdict {
        Allow::Allow => "allowed",
        Allow::Deny => "denied",
    }
}

fn named(why: &Why) -> String {
    match &why.place {
        Some(place) => format!("{:?} ({}, {place})", why.rule, why.layer.as_str()),
        None => format!("{:?} ({})", why.rule, why.layer.as_str()),
    }
}
