//! What the data path tells the ledger: plain owned values, cheap to build, formatted by the writer thread.
//!
//! Nothing here is redacted yet: the writer does that before anything reaches the file (P36), so that the reactor
//! pays for a move and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::usage::{Call, OriginError};
use crate::wire::head::Method;

/// Everything the writer thread accepts.
#[derive(Debug)]
pub enum Event {
    /// One request, or one connection that ended before a request was read.
    Net(Box<NetEvent>),
    /// One model run.
    Call(Box<CallEvent>),
    /// An error on the way to, or reported by, an origin.
    Error(Box<ErrorEvent>),
    /// One name resolved for a guest.
    Dns(Box<DnsEvent>),
    /// A policy that came into force.
    Policy(PolicyEvent),
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed and completed.
    Allowed,
    /// Refused by policy, or by what HTTP and TLS forbid.
    Denied,
    /// Allowed, but something on the way broke.
    Failed,
    /// The guest left before the end.
    Aborted,
    /// Passed through without interception.
    Spliced,
}

impl Decision {
    /// The ledger's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Spliced => "spliced",
        }
    }
}

/// The stage in which something went wrong; the words are those of `[timeouts]` and of `fault_phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the first byte was understood.
    Greet,
    /// ClientHello.
    Hello,
    /// TLS with the guest.
    Handshake,
    /// Request head.
    Head,
    /// Name resolution.
    Dns,
    /// TCP connect to the origin.
    Connect,
    /// TLS with the origin.
    Tls,
    /// Waiting for the response.
    FirstByte,
    /// A body, either way.
    Body,
}

impl Phase {
    /// The ledger's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Greet => "greet",
            Self::Hello => "hello",
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Body => "body",
        }
    }
}

/// Who is at the guest's end, shared by all events of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Peer address, vsock CID, or what PROXY v2 said.
    pub address: Option<Arc<str>>,
    /// The comm of the process that holds the socket, where a relay told us.
    pub process_name: Option<Arc<str>>,
    /// Its pid.
    pub process_id: Option<u32>,
    /// Its uid.
    pub user_id: Option<u32>,
}

/// Header fields as they were on the wire: what they stood in, and behind it the place of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadCopy {
    bytes: Vec<u8>,
    /// How many of the bytes are what the fields stood in.
    block: usize,
}

/// Where a field lies in its block: start and end of its name, start and end of its value.
pub type Place = [u32; 4];

impl HeadCopy {
    /// Copies a block with fields at these places; allocates once.
    pub fn new(block: &[u8], places: impl ExactSizeIterator<Item = Place>) -> Self {
        let mut bytes = Vec::with_capacity(block.len() + places.len() * size_of::<Place>());
        bytes.extend_from_slice(block);
        for place in places {
            bytes.extend_from_slice(place.map(u32::to_ne_bytes).as_flattened());
        }
        Self { bytes, block: block.len() }
    }

    /// Fields in order, as (name, value).
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (block, places) = self.bytes.split_at(self.block);
        let at = |start: &[u8; 4], end: &[u8; 4]| {
            block.get(u32::from_ne_bytes(*start) as usize..u32::from_ne_bytes(*end) as usize)
        };
        let (places, _) = places.as_chunks::<{ size_of::<Place>() }>();
        places.iter().filter_map(move |place| match place.as_chunks::<4>().0 {
            [name, name_end, value, value_end] => Some((at(name, name_end)?, at(value, value_end)?)),
            _ => None,
        })
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for HeadCopy {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], &'a [u8])>>(fields: I) -> Self {
        let (mut block, mut places) = (Vec::new(), Vec::new());
        for (name, value) in fields {
            let (start, middle) = (block.len() as u32, (block.len() + name.len()) as u32);
            places.push([start, middle, middle, middle + value.len() as u32]);
            block.extend_from_slice(name);
            block.extend_from_slice(value);
        }
        Self::new(&block, places.into_iter())
    }
}

/// Bytes of a body past those that are to be kept, which show where a secret at their edge ends.
pub const LOOKAHEAD: usize = 1024;

/// The start of a body, content codings undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyCopy {
    /// The bytes that are to be kept, and up to [`LOOKAHEAD`] more.
    pub bytes: Vec<u8>,
    /// How many are to be kept.
    pub keep: usize,
    /// The body went on past them, or was not seen to its end.
    pub cut: bool,
}

impl BodyCopy {
    /// How many bytes are kept.
    pub fn kept(&self) -> usize {
        self.keep.min(self.bytes.len())
    }
}

/// One row of `net_events`, and what is kept of its bodies. Field meanings are those of `schema.sql`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are the columns of schema.sql, documented there")]
pub struct NetEvent {
    pub exchange_id: u64,
    pub connection_id: u64,
    pub started_at: i64,
    pub listener: Arc<str>,
    pub client: Arc<Client>,
    pub scheme: &'static str,
    pub protocol: Option<&'static str>,
    pub host: Option<Arc<str>>,
    pub port: Option<u16>,
    pub original: Option<SocketAddr>,
    pub dialed: Option<SocketAddr>,
    pub method: Option<Method>,
    pub path: Option<Box<[u8]>>,
    pub query: Option<Box<[u8]>>,
    pub decision: Decision,
    pub rule: Option<Arc<str>>,
    pub rule_layer: Option<&'static str>,
    pub reason: Option<Arc<str>>,
    pub fault_phase: Option<Phase>,
    pub fault: Option<String>,
    pub status: Option<u16>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub response_decoded: Option<u64>,
    pub request_headers: Option<HeadCopy>,
    pub response_headers: Option<HeadCopy>,
    pub request_body: Option<BodyCopy>,
    pub response_body: Option<BodyCopy>,
    pub tap: Option<String>,
    pub dns_us: Option<u64>,
    pub connect_us: Option<u64>,
    pub tls_us: Option<u64>,
    pub first_byte_us: Option<u64>,
    pub total_us: u64,
    /// WebSocket close code and message counts, where the exchange became one (JSON column `websocket`).
    pub websocket: Option<WebSocketFacts>,
}

impl NetEvent {
    /// A row of which nothing is known but who asked where and when. Unless it is told otherwise, it has failed.
    pub fn begin(exchange_id: u64, started_at: i64, listener: Arc<str>, client: Arc<Client>) -> Self {
        Self {
            exchange_id,
            connection_id: 0,
            started_at,
            listener,
            client,
            scheme: "tcp",
            protocol: None,
            host: None,
            port: None,
            original: None,
            dialed: None,
            method: None,
            path: None,
            query: None,
            decision: Decision::Failed,
            rule: None,
            rule_layer: None,
            reason: None,
            fault_phase: None,
            fault: None,
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            response_decoded: None,
            request_headers: None,
            response_headers: None,
            request_body: None,
            response_body: None,
            tap: None,
            dns_us: None,
            connect_us: None,
            tls_us: None,
            first_byte_us: None,
            total_us: 0,
            websocket: None,
        }
    }
}

/// What a WebSocket did, counted at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebSocketFacts {
    /// Close code the guest sent.
    pub guest_close: Option<u16>,
    /// Close code the origin sent.
    pub origin_close: Option<u16>,
    /// Messages from the guest.
    pub guest_messages: u64,
    /// Messages from the origin.
    pub origin_messages: u64,
}

/// One model run of an exchange.
#[derive(Clone, Debug, Default)]
pub struct CallEvent {
    /// The exchange it belongs to.
    pub exchange_id: u64,
    /// That of the exchange, whose own row may come later.
    pub host: Option<Arc<str>>,
    /// That of the exchange.
    pub client: Arc<Client>,
    /// Unix microseconds.
    pub started_at: i64,
    /// The facts.
    pub call: Call,
}

/// One row of `upstream_errors`.
#[derive(Clone, Debug)]
pub struct ErrorEvent {
    /// The exchange it belongs to.
    pub exchange_id: u64,
    /// Unix microseconds.
    pub at: i64,
    /// Where it happened.
    pub phase: Phase,
    /// The facts.
    pub error: OriginError,
}

/// One row of `dns_events`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are the columns of schema.sql, documented there")]
pub struct DnsEvent {
    pub at: i64,
    pub client: Arc<Client>,
    pub name: String,
    pub kind: String,
    pub decision: Decision,
    pub rule: Option<Arc<str>>,
    pub rcode: Option<String>,
    pub answers: Option<String>,
    pub total_us: Option<u64>,
}

/// One row of `policies`.
#[derive(Clone, Debug)]
pub struct PolicyEvent {
    /// Unix microseconds.
    pub at: i64,
    /// Of the policy's meaning.
    pub digest: Box<str>,
}
