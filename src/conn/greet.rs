//! The first bytes of a connection say what it is: a PROXY v2 header where the listener trusts one, then TLS, SOCKS5
//! or HTTP. Anything else is refused, in its own protocol where it has an answer.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::limits::Micros;
use crate::policy::host::Host;
use crate::policy::{HostVerdict, Why};
use crate::telemetry::event::Client;
use crate::wire::proxy_header::{self, ProxyHeader};
use crate::wire::socks::{self, Socks, SocksRequest, SocksStep, SocksTarget};

use super::dns::Dns;
use super::fault::Fault;
use super::hello::Hello;
use super::request::Request;
use super::session::Target;
use super::state::{State, Step, Turn};
use super::tunnel::{self, Scheme};
use super::{Cx, Legs, Life, Session};

/// Waiting for the first bytes.
#[derive(Debug)]
pub struct Greet {
    stage: Stage,
    /// When the guest has been silent for too long.
    pub deadline: Micros,
}

#[derive(Debug)]
enum Stage {
    /// A PROXY v2 header must come first.
    ProxyHeader,
    /// The first byte says which protocol it is.
    FirstByte,
    /// A SOCKS5 negotiation.
    Socks(Box<Socks>),
    /// The first byte inside a tunnel that CONNECT or SOCKS opened.
    Inside,
}

impl Greet {
    /// For a connection that was just accepted.
    pub fn new(session: &Session) -> Self {
        let stage = if session.proxy_header { Stage::ProxyHeader } else { Stage::FirstByte };
        Self { stage, deadline: Micros::MAX }
    }

    /// For what comes inside a tunnel.
    pub fn inside(cx: &Cx<'_>) -> Self {
        Self { stage: Stage::Inside, deadline: cx.now.mono + cx.world.timeouts.hello }
    }

    /// Looks at what has come.
    pub fn turn(mut self, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        if self.deadline == Micros::MAX {
            self.deadline = session.opened.mono + cx.world.timeouts.hello;
        }
        let first = legs.guest.inbox().first().copied();
        let Some(first) = first else { return self.wait(legs, session) };
        session.received = true;
        match self.stage {
            Stage::ProxyHeader => self.read_proxy_header(legs, session),
            Stage::FirstByte => self.read_first_byte(first, legs, session, cx),
            Stage::Socks(socks) => Self::read_socks(socks, self.deadline, legs, session, cx),
            // The answer that opened the tunnel leaves first: TLS takes the pipe over.
            Stage::Inside if legs.guest.queued() > 0 => Ok(Step::Wait(State::Greet(self))),
            Stage::Inside => self.read_inside(first, legs, session, cx),
        }
    }

    /// What has come is not enough: more is needed, unless the guest sends no more.
    fn wait(self, legs: &Legs, session: &Session) -> Turn {
        if !legs.guest.has_ended() {
            return Ok(Step::Wait(State::Greet(self)));
        }
        if session.received { Err(Fault::left_early()) } else { Ok(Step::Done(Life::Over { reset: false })) }
    }

    fn read_proxy_header(self, legs: &mut Legs, session: &mut Session) -> Turn {
        match proxy_header::parse(legs.guest.inbox()) {
            Ok(None) => self.wait(legs, session),
            Ok(Some((header, used))) => {
                legs.guest.consume(used);
                adopt(&header, session);
                Ok(Step::Go(State::Greet(Self { stage: Stage::FirstByte, ..self })))
            }
            Err(error) => Err(Fault::garbage(error.as_str())),
        }
    }

    fn read_first_byte(self, first: u8, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        match first {
            _ if session.known_port() == Some(Dns::PORT) => Ok(Step::Go(State::Dns(Dns::new(cx)))),
            TLS_HANDSHAKE => Ok(Step::Go(State::Hello(Box::new(Hello::new(self.deadline, cx))))),
            SOCKS5 => {
                let socks = Stage::Socks(Box::default());
                Ok(Step::Go(State::Greet(Self { stage: socks, ..self })))
            }
            byte if begins_http(byte) => self.read_http(legs, session, cx),
            _ => Err(Fault::garbage("the first byte is of no known protocol")),
        }
    }

    /// HTTP, unless it is the preface of HTTP/2 (RFC 9113 §3.4), which we do not speak yet.
    fn read_http(self, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        let inbox = legs.guest.inbox();
        let common = inbox.len().min(HTTP2_PREFACE.len());
        if inbox[..common] != HTTP2_PREFACE[..common] {
            session.speaks_http = true;
            return Ok(Step::Go(State::Request(Request::first(self.deadline, cx))));
        }
        if common < HTTP2_PREFACE.len() {
            return self.wait(legs, session);
        }
        Err(Fault::http2_preface())
    }

    fn read_socks(
        mut socks: Box<Socks>,
        deadline: Micros,
        legs: &mut Legs,
        session: &mut Session,
        cx: &mut Cx<'_>,
    ) -> Turn {
        let mut reply = Vec::new();
        let step = socks.step(legs.guest.inbox(), &mut reply);
        legs.guest.send(&reply);
        match step {
            Ok(SocksStep::NeedMore) => Self { stage: Stage::Socks(socks), deadline }.wait(legs, session),
            Ok(SocksStep::Request(request)) => {
                legs.guest.consume(request.used);
                open_tunnel(request, legs, session, cx)
            }
            Err(error) => Err(Fault::socks(error.as_str(), None)),
        }
    }

    /// Inside a tunnel: TLS or HTTP, both read. What is neither passes unread only to a host and port that the policy
    /// splices (P12).
    fn read_inside(self, first: u8, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        if first == TLS_HANDSHAKE {
            return Ok(Step::Go(State::Hello(Box::new(Hello::new(self.deadline, cx)))));
        }
        if let Some((target, why)) = spliced(session, cx) {
            match begins_method(legs.guest.inbox()) {
                None => return self.wait(legs, session),
                Some(false) => return Ok(Step::Go(tunnel::splice(target, Scheme::Tcp, &why, session, cx))),
                Some(true) => {}
            }
        }
        if begins_http(first) && session.known_port() != Some(443) {
            return self.read_http(legs, session, cx);
        }
        session.speaks_http = begins_http(first);
        Err(Fault::not_tls_inside())
    }
}

/// The tunnel's target, where the policy splices it.
fn spliced(session: &Session, cx: &Cx<'_>) -> Option<(Target, Why)> {
    let target = Target { host: session.known_host()?, port: session.known_port()? };
    let (verdict, why) = cx.world.policy.host(&target.host, target.port);
    (verdict == HostVerdict::Splice).then_some((target, why))
}

/// Whether bytes begin as a request line does, with capital letters and a space; `None` while they may.
fn begins_method(inbox: &[u8]) -> Option<bool> {
    let letters = inbox.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    match inbox.get(letters) {
        Some(b' ') => Some(letters > 0),
        Some(_) => Some(false),
        None if letters > LONGEST_METHOD => Some(false),
        None => None,
    }
}

/// Takes over what a relay says of the guest's end.
fn adopt(header: &ProxyHeader, session: &mut Session) {
    if let Some((ip, port)) = header.destination {
        session.original = Some(SocketAddr::new(ip, port));
    }
    let source = header.source.map(|(ip, port)| SocketAddr::new(ip, port).to_string().into());
    session.client = Arc::new(Client {
        address: source.or_else(|| session.client.address.clone()),
        process_name: header.process_name.as_deref().map(Into::into),
        process_id: header.process_id,
        user_id: header.user_id,
    });
}

/// A SOCKS request: a name is judged now; an address is only where the guest's packet was going.
fn open_tunnel(request: SocksRequest, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
    match request.target {
        SocksTarget::Ip(ip) => session.original = Some(SocketAddr::new(ip, request.port)),
        SocksTarget::Name(name) => {
            let Ok(host) = Host::parse(&name) else {
                return Err(Fault::socks("no legal host", Some(socks::reply(SOCKS_GENERAL_FAILURE))));
            };
            let target = Target { host, port: request.port };
            let (verdict, why) = cx.world.policy.host(&target.host, target.port);
            let denied = (verdict == HostVerdict::Deny && !cx.world.policy.observe()).then_some(why);
            let denied = denied.or_else(|| cx.world.denied_address(&target));
            session.target = Some(target);
            if let Some(why) = denied {
                return Err(Fault::socks_denied(socks::reply(SOCKS_NOT_ALLOWED), why));
            }
        }
    }
    legs.guest.send(&socks::reply(SOCKS_SUCCEEDED));
    Ok(Step::Go(State::Greet(Greet::inside(cx))))
}

/// TLS `handshake` content type (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// SOCKS version 5 (RFC 1928 §3).
const SOCKS5: u8 = 0x05;
const SOCKS_SUCCEEDED: u8 = 0;
const SOCKS_GENERAL_FAILURE: u8 = 1;
const SOCKS_NOT_ALLOWED: u8 = 2;
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No registered method is longer (`UPDATEREDIRECTREF`, RFC 4437).
const LONGEST_METHOD: usize = 17;

/// Text of any kind is taken for HTTP, so that what is wrong with it can be said in HTTP.
fn begins_http(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace()
}
