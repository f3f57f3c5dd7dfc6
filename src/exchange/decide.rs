//! May this request be made? Every question in order, against the newest policy, for every request (LESSONS 20, 27).

use crate::policy::http::{RequestQuestion, is_override};
use crate::policy::{AMBIGUOUS_PATH, Allow, Policy, Why};
use crate::telemetry::event::Client;
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
        Ok(why) => note(exchange, &why, None),
        Err(refusal) if policy.observe() && refusal.by_policy => {
            if let Some(why) = &refusal.why {
                let reason = why.reason.as_deref().unwrap_or("no reason given");
                note(
                    exchange,
                    why,
                    Some(&format!("observe: would be denied: {}: {reason}", refusal.message)),
                );
            }
        }
        Err(refusal) => return Err(refusal),
    }
    check_upgrade(head)?;
    check_hops(head)
}

fn verdict(
    asked: &RequestQuestion<'_>,
    to: &Destination,
    head: &RequestHead,
    policy: &Policy,
) -> Result<Why, Box<Refusal>> {
    let overridden = head.fields.iter().any(|(name, _)| is_override(name));
    match policy.request(asked) {
        (Allow::Allow, _) if overridden && policy.guards(&to.host, to.port).refuse_overrides() => {
            let message = "a field that overrides method or URL, and this host has rules for them";
            Err(Refusal::bad_request(400, message.into()))
        }
        (Allow::Allow, why) => Ok(why),
        (Allow::Deny, why) if *why.rule == *AMBIGUOUS_PATH => {
            let reason = why.reason.as_deref().unwrap_or("the path has two readings").to_owned();
            Err(Refusal::bad_request(400, reason))
        }
        (Allow::Deny, why) => {
            let what = format!("{} on {} is not allowed", head.method.as_str(), to.authority());
            Err(Refusal::denied(why, what))
        }
    }
}

fn note(exchange: &mut Exchange, why: &Why, reason: Option<&str>) {
    exchange.row.rule = Some(why.rule.clone());
    exchange.row.rule_layer = Some(why.layer.as_str());
    exchange.row.reason = reason.map(Into::into).or_else(|| why.reason.clone());
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
