//! From a ClientHello to a finished handshake: the host is judged before anything is minted, dialled or asked of a
//! resolver (P2, P8). A denied host still gets its handshake, so that the denial can be an answer in HTTP.

use crate::exchange::Refusal;
use crate::leg::Leg;
use crate::limits::Micros;
use crate::policy::HostVerdict;
use crate::policy::host::Host;
use crate::telemetry::event::Phase;
use crate::wire::hello::{self, HelloReader};

use super::fault::{Fault, Verdict};
use super::request::Request;
use super::session::Target;
use super::state::{State, Step, Turn};
use super::tunnel::{self, Scheme};
use super::{Cx, Legs, Session};

/// TLS alerts (RFC 8446 §6).
const UNRECOGNIZED_NAME: u8 = 112;
const INTERNAL_ERROR: u8 = 80;
/// The port of a host that came without one.
const HTTPS: u16 = 443;

/// Reading a ClientHello.
#[derive(Debug)]
pub struct Hello {
    reader: HelloReader,
    /// When it has taken too long.
    pub deadline: Micros,
    /// How much of it may wait unread.
    pub mark: usize,
}

/// What may come along with the last record of a hello that is as large as allowed.
const SLACK: usize = 32 << 10;

impl Hello {
    /// A hello of which the first byte has come.
    pub fn new(deadline: Micros, cx: &Cx<'_>) -> Self {
        let limit = cx.world.limits.hello;
        Self { reader: HelloReader::new(limit), deadline, mark: limit + SLACK }
    }

    /// Reads on.
    pub fn turn(mut self: Box<Self>, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        match self.reader.read(legs.guest.inbox()) {
            Ok(Some(hello)) => understood(&hello, legs, session, cx),
            Ok(None) if legs.guest.is_fin() => Err(Fault::left_in_handshake()),
            Ok(None) => Ok(Step::Wait(State::Hello(self))),
            Err(error) => Err(Fault::bad_hello(error.as_str(), error.alert())),
        }
    }
}

fn understood(hello: &hello::Hello, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
    let host = named_host(hello, session)?;
    let port = session.known_port().unwrap_or(HTTPS);
    if let Some(target) = session.target.as_ref().filter(|target| target.host != host) {
        let message = format!("the tunnel was asked for {}, and the TLS in it is for {host}", target.host);
        session.verdict = Some(at_first_request(Refusal::misdirected(Phase::Hello, message)));
    } else {
        let (verdict, why) = cx.world.policy.host(&host, port);
        match verdict {
            HostVerdict::Splice => {
                let target = Target { host, port };
                return Ok(Step::Go(tunnel::splice(target, Scheme::Tls, &why, session, cx)));
            }
            HostVerdict::Deny if !cx.world.policy.observe() => {
                let what = format!("{host} may not be talked to");
                session.verdict = Some(at_first_request(Refusal::denied(why, what)));
            }
            HostVerdict::Deny | HostVerdict::Intercept => {}
        }
    }
    intercept(host, legs, session, cx)
}

/// SNI decides; without it the tunnel's target or the address that the packet was going to.
fn named_host(hello: &hello::Hello, session: &Session) -> Result<Host, Box<Fault>> {
    match hello.sni() {
        Some(name) => Host::parse(name.as_bytes()).map_err(|error| {
            Fault::bad_hello(&format!("illegal server name: {}", error.as_str()), UNRECOGNIZED_NAME)
        }),
        None => session.known_host().ok_or_else(|| {
            Fault::bad_hello("no server name, and no address that it was going to", UNRECOGNIZED_NAME)
        }),
    }
}

fn at_first_request(refusal: Box<Refusal>) -> Box<Verdict> {
    Box::new(Verdict { refusal: refusal.closing() })
}

fn intercept(host: Host, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
    let leg = cx
        .world
        .minter
        .server_config(&host, cx.now.wall)
        .map_err(|error| error.to_string())
        .and_then(|config| Leg::server(config).map_err(|error| error.to_string()));
    let leg = leg.map_err(|error| Fault::bad_hello(&format!("no certificate: {error}"), INTERNAL_ERROR))?;
    let mut plain = std::mem::replace(&mut legs.guest, leg);
    session.tls = Some(host);
    if plain.is_fin() {
        legs.guest.end_of_input();
    }
    legs.guest.feed(plain.inbox()).map_err(|error| handshake_failed(&error))?;
    let deadline = cx.now.mono + cx.world.timeouts.handshake;
    Ok(Step::Go(State::Handshake(Handshake { deadline })))
}

fn handshake_failed(error: &rustls::Error) -> Box<Fault> {
    Box::new(Fault::tls(super::Side::Guest, error))
}

/// The guest's TLS handshake.
#[derive(Debug)]
pub struct Handshake {
    /// When it has taken too long.
    pub deadline: Micros,
}

impl Handshake {
    /// Waits for its end.
    pub fn turn(self, legs: &mut Legs, session: &mut Session, cx: &mut Cx<'_>) -> Turn {
        if !legs.guest.is_handshaking() {
            session.speaks_http = true;
            let deadline = cx.now.mono + cx.world.timeouts.head;
            return Ok(Step::Go(State::Request(Request::first(deadline, cx))));
        }
        if legs.guest.is_exhausted() {
            return Err(Fault::left_in_handshake());
        }
        Ok(Step::Wait(State::Handshake(self)))
    }
}
