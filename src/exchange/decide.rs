//! May this request be made? Every question in order, against the newest policy, for every request (LESSONS 20, 27).

use std::sync::Arc;

use crate::policy::http::{RequestQuestion, is_override};
use crate::policy::{AMBIGUOUS_PATH, Allow, Policy, Why};
use crate::telemetry::event::{Client, NetEvent};
use crate::wire::head::{RequestHead, Upgrade};
use crate::wire::websocket;

use super::refuse::Refusal;
use super::{Destination, Exchange};

/// Judges a request; what decided is written into the row either way.
pub fn judge(
    exchange: &mut Exchange,
    head: &RequestHead,
    policy: &Policy,
    client: &Client,
    listener: &str,
) -> Result<(), Box<Refusal>> {
    let to = exchange.destination.clone();
    let asked = RequestQuestion {
        host: &to.host,
        port: to.port,
        method: head.method.as_bytes(),
        path: head.path(),
        process: client.process_name.as_deref(),
        uid: client.user_id,
        listener,
    };
    let verdict = verdict(&asked, &to, head, policy);
    match verdict {
        Ok(why) => note(&mut exchange.row, &why, why.reason.clone()),
        Err(refusal) if policy.observe() && refusal.by_policy => note_observed(&mut exchange.row, &refusal),
        Err(refusal) => return Err(refusal),
    }
    check_upgrade(head)?;
    check_hops(head)
}

/// Observe mode: the row says what would have been, and keeps to the first that would.
pub fn note_observed(row: &mut NetEvent, refusal: &Refusal) {
    const WOULD: &str = "observe: would be denied: ";
    let first = !row.reason.as_deref().is_some_and(|reason| reason.starts_with(WOULD));
    if let Some(why) = refusal.why.as_ref().filter(|_| first) {
        let reason = why.reason.as_deref().unwrap_or("no reason given");
        note(row, why, Some(format!("{WOULD}{}: {reason}", refusal.message).into()));
    }
}

fn verdict(
    asked: &RequestQuestion<'_>,
    to: &Destination,
    head: &RequestHead,
    policy: &Policy,
) -> Result<Why, Box<Refusal>> {
    let overridden = head.fields.iter().any(|(name, _)| is_override(name));
    match policy.request(asked) {
        (Allow::Allow, why) => match overridden.then(|| policy.overridden(&to.host, to.port)).flatten() {
            Some(why) => Err(Refusal::two_readings(why)),
            None => Ok(why),
        },
        (Allow::Deny, why) if *why.rule == *AMBIGUOUS_PATH => Err(Refusal::two_readings(why)),
        (Allow::Deny, why) => {
            let what = format!("{} on {} is not allowed", head.method.as_str(), to.authority());
            Err(Refusal::denied(why, what))
        }
    }
}

fn note(row: &mut NetEvent, why: &Why, reason: Option<Arc<str>>) {
    row.rule = Some(why.rule.clone());
    row.rule_layer = Some(why.layer.as_str());
    row.reason = reason;
}

/// Whether a policy denies an exchange that is under way: asked after a reload.
pub fn is_denied(exchange: &Exchange, policy: &Policy) -> bool {
    let row = &exchange.row;
    let asked = RequestQuestion {
        host: &exchange.destination.host,
        port: exchange.destination.port,
        method: exchange.method.as_bytes(),
        path: row.path.as_deref().unwrap_or_default(),
        process: row.client.process_name.as_deref(),
        uid: row.client.user_id,
        listener: &row.listener,
    };
    !policy.observe() && policy.request(&asked).0 == Allow::Deny
}

/// A request that says it goes no further ends here (RFC 9110 §7.6.2).
fn check_hops(head: &RequestHead) -> Result<(), Box<Refusal>> {
    match head.hops_left() {
        Ok(Some(0)) => {
            let method = head.method.as_str();
            let message = format!("Max-Forwards is 0, and this proxy answers no {method} itself");
            Err(Refusal::bad_request(501, message))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::bad_request(error.status(), error.as_str().into())),
    }
}

/// Of the upgrades only a proper WebSocket goes on (P12).
fn check_upgrade(head: &RequestHead) -> Result<(), Box<Refusal>> {
    match head.upgrade {
        None => Ok(()),
        Some(Upgrade::WebSocket) => {
            let version = head.fields.get(b"sec-websocket-version").unwrap_or_default();
            let key = head.fields.get(b"sec-websocket-key").unwrap_or_default();
            let proper = websocket::is_version(version) && websocket::is_key(key);
            let once = head.fields.count(b"sec-websocket-key") == 1;
            if proper && once {
                return Ok(());
            }
            Err(Refusal::bad_request(400, "not a WebSocket handshake as RFC 6455 has it".into()))
        }
        Some(Upgrade::H2c | Upgrade::Other) => {
            Err(Refusal::bad_request(501, "this Upgrade is not supported: only websocket is".into()))
        }
    }
}
