//! One identity for each request (P6): the tunnel's target, SNI, Host or the absolute target, and later the name that
//! the origin's certificate must show, are one host and one port, or the request is refused.

use crate::exchange::{Destination, Refusal};
use crate::policy::host::Host;
use crate::telemetry::event::Phase;
use crate::wire::head::{Form, RequestHead, Scheme};

use super::Session;

/// Where a request goes, or why that is not one place.
pub fn destination(session: &Session, head: &RequestHead) -> Result<Destination, Box<Refusal>> {
    let fixed = session.tls.as_ref().or(session.target.as_ref().map(|target| &target.host));
    let named = named(head, fixed)?;
    let secure = is_secure(session, head)?;
    let host = match (fixed, &named) {
        (Some(fixed), Some((host, _))) if host != fixed => {
            return Err(misdirected(format!(
                "this connection is for {fixed}, and the request is for {host}"
            )));
        }
        (Some(fixed), _) => fixed.clone(),
        (None, Some((host, _))) => host.clone(),
        (None, None) => session
            .known_host()
            .ok_or_else(|| Refusal::bad_request(400, "the request names no host".into()))?,
    };
    let named =
        Named { port: named.and_then(|(_, port)| port), in_target: matches!(head.form, Form::Absolute(_)) };
    let port = port(session, &named, &host, secure)?;
    Ok(Destination { host, port, secure })
}

/// The host and port that the request itself names. That of the connection, in its usual spelling, is not parsed again.
fn named(head: &RequestHead, fixed: Option<&Host>) -> Result<Option<(Host, Option<u16>)>, Box<Refusal>> {
    let Some(raw) = head.host() else { return Ok(None) };
    let usual = |host: &&Host| host.ip().is_none() && raw.eq_ignore_ascii_case(host.as_str().as_bytes());
    if let Some(host) = fixed.filter(usual) {
        return Ok(Some((host.clone(), None)));
    }
    Host::parse_authority(raw)
        .map(Some)
        .map_err(|error| Refusal::bad_request(400, format!("illegal host: {}", error.as_str())))
}

/// Inside TLS everything is https. Outside, an absolute target says; what came through a tunnel or a redirect is as
/// it looks.
fn is_secure(session: &Session, head: &RequestHead) -> Result<bool, Box<Refusal>> {
    match (session.tls.is_some(), head.form) {
        (true, Form::Absolute(Scheme::Http)) => Err(misdirected("an http target inside TLS".into())),
        (false, Form::Absolute(Scheme::Https)) if session.known_port().is_some() => {
            Err(misdirected("an https target on a connection without TLS".into()))
        }
        (true, _) | (false, Form::Absolute(Scheme::Https)) => Ok(true),
        (false, _) => Ok(false),
    }
}

/// The port that a request names, and whether its target does, not `Host` alone.
struct Named {
    port: Option<u16>,
    in_target: bool,
}

fn port(session: &Session, named: &Named, host: &Host, secure: bool) -> Result<u16, Box<Refusal>> {
    match (session.known_port(), named.port) {
        (None, _) => free_port(session, named, host, secure),
        (Some(known), Some(port)) if port != known => Err(misdirected(format!(
            "this connection is for port {known}, and the request is for port {port}"
        ))),
        (Some(known), _) => Ok(known),
    }
}

/// Nothing but the request says which port. A client that was pointed at our own port (`--resolve`) and speaks as if to
/// the origin names that one: it means the scheme's. One that speaks to a proxy means what it says.
fn free_port(session: &Session, named: &Named, host: &Host, secure: bool) -> Result<u16, Box<Refusal>> {
    let default = if secure { 443 } else { 80 };
    let is_ours = |port: u16| port == session.local_port && host.ip().is_none() && !named.in_target;
    match named.port {
        None => Ok(default),
        Some(port) if is_ours(port) => Ok(default),
        Some(port) if session.tls.is_some() && port != default => {
            Err(misdirected(format!("port {port} on a connection that can only be for port {default}")))
        }
        Some(port) => Ok(port),
    }
}

fn misdirected(message: String) -> Box<Refusal> {
    Refusal::misdirected(Phase::Head, message)
}
