//! DNS over a guest connection: what a relay took on port 53, framed as over TCP (RFC 1035 §4.2.2).
//!
//! Every answer is known at once: a name that the policy lets be talked to has a synthetic address of each family, any
//! other name does not exist. Nothing is looked up, so that a query carries nothing out, a denied name causes no
//! traffic (P8), and the real address comes from our own resolution when the guest connects (P7): SNI and Host say
//! for which name, whatever address the guest dialled. Other record types are empty: no `ech`, no `h3`, no detours.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::limits::Micros;
use crate::policy::host::Host;
use crate::policy::{HostVerdict, Policy, Why};
use crate::telemetry::event::{Decision, DnsEvent, Event};
use crate::wire::dns::{self, Answer, Kind, Question};

use super::fault::Fault;
use super::state::{State, Step, Turn};
use super::{Cx, HIGH_MARK, Legs, Life, Session};

/// Answering queries.
#[derive(Debug)]
pub struct Dns {
    /// When the guest has been silent for too long.
    pub deadline: Micros,
}

impl Dns {
    /// The port that DNS is asked on.
    pub const PORT: u16 = 53;

    /// For a connection that went to [`Dns::PORT`].
    pub fn new(cx: &Cx<'_>) -> Self {
        Self { deadline: cx.now.mono + cx.world.timeouts.keep_alive }
    }

    /// Answers what has come.
    pub fn turn(mut self, legs: &mut Legs, session: &Session, cx: &mut Cx<'_>) -> Turn {
        while legs.guest.queued() < HIGH_MARK {
            let Some(query) = first(legs.guest.inbox()) else { break };
            let used = 2 + query.len();
            let question = dns::parse(query).map_err(|error| Fault::garbage(error.as_str()))?;
            let (answer, why) = answer(&question, &cx.world.policy);
            let reply = framed(query, &question, answer);
            cx.events.push(event(&question, answer, why, session, cx.now.wall));
            legs.guest.send(&reply);
            legs.guest.consume(used);
            self.deadline = cx.now.mono + cx.world.timeouts.keep_alive;
        }
        if legs.guest.is_fin() && first(legs.guest.inbox()).is_none() && legs.guest.queued() == 0 {
            return Ok(Step::Done(Life::Over { reset: false }));
        }
        Ok(Step::Wait(State::Dns(self)))
    }
}

/// The first whole message.
fn first(inbox: &[u8]) -> Option<&[u8]> {
    let (length, rest) = inbox.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

fn framed(query: &[u8], question: &Question, answer: Answer) -> Vec<u8> {
    let mut reply = vec![0; 2];
    dns::write(query, question, answer, &mut reply);
    let length = (reply.len() - 2) as u16;
    reply[..2].copy_from_slice(&length.to_be_bytes());
    reply
}

/// What the policy lets be said. A name that is no host (`_dmarc.example.com`) has no rule and does not exist.
fn answer(question: &Question, policy: &Policy) -> (Answer, Option<Why>) {
    let Ok(host) = Host::parse(question.name.as_bytes()) else { return (Answer::NoSuchName, None) };
    let (verdict, why) = policy.name(&host);
    let answer = match question.kind {
        _ if verdict == HostVerdict::Deny && !policy.observe() => Answer::NoSuchName,
        Kind::A => Answer::Address(synthetic_v4(&host).into()),
        Kind::AAAA => Answer::Address(synthetic_v6(&host).into()),
        _ => Answer::NoData,
    };
    (answer, Some(why))
}

/// An address of the benchmarking range 198.18.0.0/15 (RFC 2544), which no origin has. Two names may share one.
fn synthetic_v4(host: &Host) -> Ipv4Addr {
    Ipv4Addr::from(0xc612_0000 | (fnv(host.as_str()) as u32 & 0x1_ffff))
}

/// An address of one unique local network (RFC 4193), `fd74:6f6c:6c67:6174::/64`.
fn synthetic_v6(host: &Host) -> Ipv6Addr {
    Ipv6Addr::from(0xfd74_6f6c_6c67_6174_u128 << 64 | u128::from(fnv(host.as_str())))
}

/// FNV-1a, 64 bits.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn event(question: &Question, answer: Answer, why: Option<Why>, session: &Session, at: i64) -> Event {
    let denied = answer == Answer::NoSuchName;
    let address = match answer {
        Answer::Address(ip) => Some(IpAddr::to_string(&ip)),
        Answer::NoData | Answer::NoSuchName => None,
    };
    Event::Dns(Box::new(DnsEvent {
        at,
        client: Arc::clone(&session.client),
        name: question.name.clone(),
        kind: question.kind.to_string(),
        decision: if denied { Decision::Denied } else { Decision::Allowed },
        rule: why.map(|why| why.rule.clone()),
        rcode: Some(answer.rcode().to_owned()),
        answers: address,
        total_us: Some(0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_addresses_stay_in_their_ranges_and_differ() {
        let host = |name: &str| Host::parse(name.as_bytes()).expect("a host");
        let all: Vec<_> = ["a.example", "b.example", "api.anthropic.com", "x"].map(host).into();
        for host in &all {
            assert_eq!(synthetic_v4(host).octets()[0], 198);
            assert_eq!(synthetic_v4(host).octets()[1] & 0xfe, 18);
            assert_eq!(synthetic_v6(host).segments()[..4], [0xfd74, 0x6f6c, 0x6c67, 0x6174]);
        }
        assert_ne!(synthetic_v4(&all[0]), synthetic_v4(&all[1]));
    }

    #[test]
    fn messages_are_cut_by_their_length() {
        assert_eq!(first(b"\0"), None);
        assert_eq!(first(b"\0\x02a"), None);
        assert_eq!(first(b"\0\x02abcd"), Some(&b"ab"[..]));
    }
}
