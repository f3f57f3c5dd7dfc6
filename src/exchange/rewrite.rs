//! Heads as they go on: written anew, with the few changes that inspection and the hop itself need.

use std::borrow::Cow;

use crate::wire::body::Framing;
use crate::wire::coding::{Coding, narrow_accept_encoding};
use crate::wire::head::{
    Edit, Persist, RequestHead, RequestPlan, ResponseHead, ResponsePlan, Upgrade, Version, write_request,
    write_response,
};

use super::Exchange;

impl Exchange {
    /// Writes the request head for the origin into `onward`.
    ///
    /// Max-Forwards counts down where it counts (RFC 9110 §7.6.2). Accept-Encoding is narrowed where the answer will be inspected; WebSocket extensions are left out, so that
    /// messages can be read as they pass (RFC 6455 §9.1: what is not offered is not used).
    pub fn write_onward(&mut self, head: &RequestHead) {
        let websocket = self.upgrade == Some(Upgrade::WebSocket);
        let accepted = self.detected.as_ref().and_then(|_| narrowed(head));
        let mut edits = Vec::new();
        if let Some(value) = &accepted {
            edits.push(Edit { name: b"Accept-Encoding", value: Some(value) });
        }
        if websocket {
            edits.push(Edit { name: b"Sec-WebSocket-Extensions", value: None });
        }
        let hops = head.hops_left().ok().flatten().map(|hops| hops.saturating_sub(1).to_string());
        if let Some(value) = &hops {
            edits.push(Edit { name: b"Max-Forwards", value: Some(value.as_bytes()) });
        }
        let authority = self.destination.authority();
        let plan = RequestPlan {
            authority: authority.as_bytes(),
            framing: head.framing,
            persist: if websocket { Persist::WebSocket } else { Persist::Implied },
            edits: &edits,
        };
        self.onward.clear();
        write_request(head, &plan, &mut self.onward);
    }

    /// Writes a response head for the guest and gives the framing that its body goes on with. `close` asks for the
    /// end of the guest's connection after this exchange.
    pub fn write_response(&self, head: &ResponseHead, close: bool, out: &mut Vec<u8>) -> Framing {
        let framing = self.guest_framing(head);
        let persist = match (head.status, self.version) {
            (101, _) => Persist::WebSocket,
            (100..200, _) => Persist::Implied,
            _ if close || framing == Framing::Close => Persist::Close,
            (_, Version::H10) => Persist::KeepAlive,
            (_, Version::H11) => Persist::Implied,
        };
        write_response(head, &ResponsePlan { framing, persist, edits: &[] }, out);
        framing
    }

    /// What an HTTP/1.0 guest cannot read as chunks ends with its connection; for others, what ends with the
    /// origin's connection goes on as chunks.
    fn guest_framing(&self, head: &ResponseHead) -> Framing {
        match (head.framing, self.version) {
            (Framing::Close | Framing::Chunked, Version::H11) => Framing::Chunked,
            (Framing::Close | Framing::Chunked, Version::H10) => Framing::Close,
            (framing, _) => framing,
        }
    }
}

fn narrowed(head: &RequestHead) -> Option<Vec<u8>> {
    let mut values = head.fields.all(b"accept-encoding");
    let first = values.next()?;
    let joined =
        values.fold(Cow::Borrowed(first), |joined, value| [&joined, &b", "[..], value].concat().into());
    narrow_accept_encoding(&joined, &[Coding::Gzip, Coding::Deflate])
}
