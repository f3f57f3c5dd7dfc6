//! `policy why`: the verdict of the running evaluator, and what else is written about the same request.

use super::draft::{Allow, Rule};
use super::http::RequestQuestion;
use super::{HostVerdict, Policy, Why};

/// The verdict on one request and everything that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict on the request.
    pub verdict: Allow,
    /// What decided it.
    pub why: Why,
    /// The verdict on the host, and what decided that.
    pub host: (HostVerdict, Why),
    /// What else is written about this very request and did not decide, in the order of precedence.
    pub runners_up: Vec<RunnerUp>,
}

/// A list entry or rule that matches but did not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerUp {
    /// `allow`, `deny`, `block` or `splice`.
    pub says: &'static str,
    /// Which one it is.
    pub why: Why,
}

impl Policy {
    /// Judges a request as the proxy does, an IP literal's address included, and says why.
    pub fn explain(&self, question: &RequestQuestion<'_>) -> Explanation {
        let host = self.host(question.host, question.port);
        let (mut verdict, mut why) = self.request(question);
        if let (Allow::Allow, Some(ip)) = (verdict, question.host.ip())
            && let Err(refused) = self.address(question.host, ip)
        {
            (verdict, why) = (Allow::Deny, refused);
        }
        let mut runners_up = self.written_about(question);
        runners_up.retain(|other| other.why != why);
        Explanation { verdict, why, host, runners_up }
    }

    fn written_about(&self, question: &RequestQuestion<'_>) -> Vec<RunnerUp> {
        let path = super::path::Normal::parse(question.path).ok();
        let listed = self.listed.iter().zip(&self.listed_why);
        let listed = listed.filter(|(entry, _)| entry.pattern.matches(question.host));
        let matches = |rule: &Rule| rule.host.matches(question.host) && rule.matches(question, path);
        let rules = self.rules.iter().filter(|(rule, _)| matches(rule));
        listed
            .map(|(entry, why)| RunnerUp { says: entry.list.says(), why: why.clone() })
            .chain(rules.map(|(rule, why)| RunnerUp { says: rule.action.as_str(), why: why.clone() }))
            .collect()
    }
}
