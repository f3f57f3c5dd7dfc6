//! Heads written anew (P15, P17): the first line and framing from what was understood, the end-to-end fields in
//! their order, nothing that was meant for the hop before.

use super::fields::Kind;
use super::{Fields, RequestHead, ResponseHead, fields, syntax};
use crate::wire::body::Framing;

/// What `Connection` says in a head of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persist {
    /// Nothing: the connection of HTTP/1.1 persists.
    #[default]
    Implied,
    /// `close`.
    Close,
    /// `keep-alive`, for a client of HTTP/1.0.
    KeepAlive,
    /// `Upgrade`, with `Upgrade: websocket`.
    WebSocket,
}

/// One change to the fields that go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// The field's name.
    pub name: &'a [u8],
    /// Takes the place of all fields of this name, or is added at the end; `None` takes them away.
    pub value: Option<&'a [u8]>,
}

/// How a request goes on.
#[derive(Clone, Copy, Debug)]
pub struct RequestPlan<'a> {
    /// The value of Host: the canonical host, with its port unless that is the scheme's.
    pub authority: &'a [u8],
    /// The body's framing on the way out; [`Framing::Close`] writes none.
    pub framing: Framing,
    /// What `Connection` says.
    pub persist: Persist,
    /// Changes to the end-to-end fields. Neither framing nor hop-by-hop fields can be set here.
    pub edits: &'a [Edit<'a>],
}

/// How a response goes on.
#[derive(Clone, Copy, Debug)]
pub struct ResponsePlan<'a> {
    /// The body's framing on the way out. [`Framing::Close`] makes [`Persist::Close`] of anything else;
    /// [`Framing::None`] keeps the length that an answer to HEAD or a 304 declares.
    pub framing: Framing,
    /// What `Connection` says.
    pub persist: Persist,
    /// Changes to the end-to-end fields, as in a request.
    pub edits: &'a [Edit<'a>],
}

/// Writes the request to `out` in origin form (`*` where it was the asterisk), always as HTTP/1.1. A request of
/// CONNECT does not go on, so it is not written.
pub fn write_request(head: &RequestHead, plan: &RequestPlan<'_>, out: &mut Vec<u8>) {
    out.reserve(head.target.as_bytes().len() + plan.authority.len() + head.fields.block().len() + OWN);
    put(out, &[head.method.as_bytes(), b" ", head.path()]);
    if let Some(query) = head.query() {
        put(out, &[b"?", query]);
    }
    put(out, &[b" HTTP/1.1\r\nHost: ", plan.authority, b"\r\n"]);
    let chunked = plan.framing == Framing::Chunked;
    write_onward(&head.fields, plan.edits, chunked, out);
    write_persist(plan.persist, out);
    write_framing(plan.framing, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes the response to `out`, always as HTTP/1.1 (RFC 9112 §2.3).
pub fn write_response(head: &ResponseHead, plan: &ResponsePlan<'_>, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS];
    put(out, &[b"HTTP/1.1 ", decimal(u64::from(head.status), &mut digits), b" ", head.reason(), b"\r\n"]);
    let chunked = plan.framing == Framing::Chunked;
    write_onward(&head.fields, plan.edits, chunked, out);
    let persist = if plan.framing == Framing::Close { Persist::Close } else { plan.persist };
    write_persist(persist, out);
    match (plan.framing, head.framing, head.content_length) {
        (Framing::None, Framing::None, Some(length)) => write_framing(Framing::Length(length), out),
        (framing, ..) => write_framing(framing, out),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes fields as they are, each with its line end.
pub fn write_fields(fields: &Fields, out: &mut Vec<u8>) {
    for (name, value) in fields.iter() {
        put(out, &[name, b": ", value, b"\r\n"]);
    }
}

fn write_onward(fields: &Fields, edits: &[Edit<'_>], chunked: bool, out: &mut Vec<u8>) {
    for (kind, name, value) in fields.onward() {
        let goes_on = match kind {
            Kind::Plain | Kind::Expect | Kind::Lookalike => true,
            Kind::Trailer => chunked && syntax::list(value).all(fields::is_trailer),
            _ => false,
        };
        if goes_on && !edits.iter().any(|edit| edit.name.eq_ignore_ascii_case(name)) {
            put(out, &[name, b": ", value, b"\r\n"]);
        }
    }
    for edit in edits {
        if let Some(value) = edit.value {
            put(out, &[edit.name, b": ", value, b"\r\n"]);
        }
    }
}

fn write_persist(persist: Persist, out: &mut Vec<u8>) {
    out.extend_from_slice(match persist {
        Persist::Implied => b"",
        Persist::Close => b"Connection: close\r\n",
        Persist::KeepAlive => b"Connection: keep-alive\r\n",
        Persist::WebSocket => b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    });
}

fn write_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::None | Framing::Close => {}
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) => {
            let mut digits = [b'0'; DIGITS];
            put(out, &[b"Content-Length: ", decimal(length, &mut digits), b"\r\n"]);
        }
    }
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// What is written beside target, authority and fields, without edits: about.
const OWN: usize = 128;

/// As many as `u64::MAX` has.
const DIGITS: usize = 20;

fn decimal(mut value: u64, digits: &mut [u8; DIGITS]) -> &[u8] {
    let mut at = DIGITS - 1;
    loop {
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
        at -= 1;
    }
}
