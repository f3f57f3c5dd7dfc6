//! One request with its response, in protocol-neutral form: judged, rewritten, observed, and recorded once.
//!
//! Everything that must hold for HTTP/1.1, for HTTP/2 streams and for a WebSocket alike lives here, never on the
//! connection. It owns no pipe: the connection machine carries heads and bodies, and tells the exchange what passed.

pub mod decide;
pub mod record;
pub mod refuse;
pub mod rewrite;
pub mod tap;
pub mod websocket;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::limits::Now;
use crate::model::price::PriceTable;
use crate::model::{Detected, ModelTable, Query, detect};
use crate::policy::host::Host;
use crate::telemetry::event::{HeadCopy, NetEvent};
use crate::wire::body::Framing;
use crate::wire::head::{Fields, Method, RequestHead, ResponseHead, Upgrade, Version};

use tap::{Keeper, RequestTap, Tap, TapHead};

pub use refuse::Refusal;

/// Buffers that live for one turn and are used again in the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The request head being read.
    pub request: RequestHead,
    /// The response head being read.
    pub response: ResponseHead,
    /// A head being written.
    pub out: Vec<u8>,
}

/// Where a request goes: one identity for authority, SNI, Host and the verified certificate (P6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Canonical host.
    pub host: Host,
    /// Port.
    pub port: u16,
    /// Whether it is TLS.
    pub secure: bool,
}

impl Destination {
    /// `host[:port]` for the Host field: the port is left out where it is the scheme's.
    pub fn authority(&self) -> Cow<'_, str> {
        let default = if self.secure { 443 } else { 80 };
        match self.host.authority() {
            host if self.port == default => host,
            host => format!("{host}:{}", self.port).into(),
        }
    }
}

/// One exchange.
pub struct Exchange {
    /// The row that it ends as, filled in as facts become known.
    pub row: Box<NetEvent>,
    /// When its request head was complete.
    pub started: Now,
    /// Where it goes.
    pub destination: Destination,
    /// Its method.
    pub method: Method,
    /// The guest's HTTP version.
    pub version: Version,
    /// Whether the guest means to use its connection again.
    pub keep_alive: bool,
    /// How long the request's body is.
    pub framing: Framing,
    /// What the request asks to become.
    pub upgrade: Option<Upgrade>,
    /// The WebSocket key, on an upgrade.
    pub websocket_key: Option<Box<[u8]>>,
    /// The request head as it goes to the origin; kept until the response begins, for the one retry (P30).
    pub onward: Vec<u8>,
    /// A recognised model call.
    detected: Option<Detected>,
    /// The request's Accept field, for the shape of refusals.
    accept: Option<Box<[u8]>>,
    request_tap: Option<Box<RequestTap>>,
    tap: Option<Box<Tap>>,
    request_copy: Option<Box<Keeper>>,
    response_copy: Option<Box<Keeper>>,
    /// Most that a tap may hold.
    inspect: usize,
    /// Bytes that are kept of each body.
    keep_bodies: usize,
    /// The request went to an origin, so that it may have cost something.
    sent: bool,
}

/// What an exchange needs to know of the proxy's settings.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// Which hosts serve models.
    pub models: &'a ModelTable,
    /// Most that a tap may hold, in bytes.
    pub inspect: usize,
    /// Whether heads are copied for the ledger.
    pub keep_headers: bool,
    /// Bytes of each body that are copied for the ledger.
    pub keep_bodies: usize,
}

/// What models are called and what their tokens cost.
#[derive(Debug)]
pub struct Tariff {
    /// Prices.
    pub prices: PriceTable,
    /// Placeholders and the models that they stand for.
    pub models: Arc<ModelTable>,
}

/// A tariff, shared by all reactors.
pub type Pricing = Arc<Tariff>;

impl fmt::Debug for Exchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Exchange").field("row", &self.row).finish_non_exhaustive()
    }
}

impl Exchange {
    /// Begins an exchange: the head was read, nothing is decided yet.
    pub fn begin(
        mut row: NetEvent,
        now: Now,
        head: &RequestHead,
        to: Destination,
        with: Settings<'_>,
    ) -> Self {
        let websocket = head.upgrade == Some(Upgrade::WebSocket);
        describe(&mut row, head, &to, websocket, with.keep_headers);
        let query = Query {
            host: to.host.as_str(),
            port: to.port,
            method: head.method.as_bytes(),
            path: head.path(),
            query: head.query(),
            upgrade: websocket,
        };
        let detected = detect(with.models, &query);
        let coding = head.fields.get(b"content-encoding");
        let has_body = head.framing != Framing::None;
        let kept = has_body && with.keep_bodies > 0;
        let observed = detected.as_ref().filter(|found| has_body && !found.websocket);
        Self {
            row: Box::new(row),
            started: now,
            method: head.method,
            version: head.version,
            keep_alive: head.keep_alive(),
            framing: head.framing,
            upgrade: head.upgrade,
            websocket_key: websocket.then(|| head.fields.get(b"sec-websocket-key").map(Into::into)).flatten(),
            onward: Vec::new(),
            accept: head.fields.get(b"accept").map(Into::into),
            request_tap: observed.map(|found| Box::new(RequestTap::new(found, coding))),
            tap: None,
            request_copy: kept.then(|| Box::new(Keeper::new(coding.unwrap_or_default(), with.keep_bodies))),
            response_copy: None,
            inspect: with.inspect,
            keep_bodies: with.keep_bodies,
            sent: false,
            detected,
            destination: to,
        }
    }

    /// Whether this is a recognised model call.
    pub fn detected(&self) -> Option<&Detected> {
        self.detected.as_ref()
    }

    /// Whether the request could be sent again when a pooled connection proves stale (P30).
    pub fn may_retry(&self) -> bool {
        self.method.is_idempotent() && matches!(self.framing, Framing::None | Framing::Length(0))
    }

    /// The request head went to the origin.
    pub fn note_sent(&mut self) {
        self.sent = true;
    }

    /// A piece of the request's body went on.
    pub fn request_data(&mut self, bytes: &[u8]) {
        self.row.request_bytes += bytes.len() as u64;
        if let Some(tap) = &mut self.request_tap {
            tap.push(bytes);
        }
        if let Some(copy) = &mut self.request_copy {
            copy.push(bytes);
        }
    }

    /// The final response head has come.
    pub fn response_head(&mut self, head: &ResponseHead, keep_headers: bool) {
        self.row.status = Some(head.status);
        if keep_headers {
            self.row.response_headers = Some(copy_fields(&head.fields));
        }
        if head.status == 101 {
            return;
        }
        let asked_at = self.started.wall;
        let facts = || TapHead { asked_at, ..TapHead::from_fields(head.status, head.fields.iter()) };
        self.tap = match &self.detected {
            Some(found) => Some(Box::new(Tap::new(found, &facts(), self.inspect))),
            None if head.status >= 400 => Some(Box::new(Tap::errors_only(&facts()))),
            None => None,
        };
        if self.keep_bodies > 0 {
            self.response_copy = Some(Box::new(Keeper::new(&facts().content_encoding, self.keep_bodies)));
        }
    }

    /// A piece of the response's body went on.
    pub fn response_data(&mut self, bytes: &[u8], now: Now) {
        self.row.response_bytes += bytes.len() as u64;
        if let Some(tap) = &mut self.tap {
            tap.push(bytes, now.mono.saturating_sub(self.started.mono));
        }
        if let Some(copy) = &mut self.response_copy {
            copy.push(bytes);
        }
    }
}

/// Fills in what the head says.
fn describe(row: &mut NetEvent, head: &RequestHead, to: &Destination, websocket: bool, keep_headers: bool) {
    row.scheme = match (to.secure, websocket) {
        (true, false) => "https",
        (true, true) => "wss",
        (false, false) => "http",
        (false, true) => "ws",
    };
    row.protocol = Some(if websocket { "ws" } else { "h1" });
    row.host = Some(to.host.shared());
    row.port = Some(to.port);
    row.method = Some(head.method);
    row.path = Some(head.path().into());
    row.query = head.query().map(Into::into);
    if keep_headers {
        row.request_headers = Some(copy_fields(&head.fields));
    }
}

fn copy_fields(fields: &Fields) -> HeadCopy {
    HeadCopy::new(fields.block(), fields.places())
}
