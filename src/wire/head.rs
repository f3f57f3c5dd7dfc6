//! HTTP/1.1 heads (RFC 9110, RFC 9112): found, read strictly, written anew.
//!
//! A request is read only if every origin would read it the same way (P14); everything else is a [`HeadError`].
//! What goes on is written by [`write_request`] and [`write_response`] from what was understood, never copied as a
//! whole: CRLF, one framing field of ours, no hop-by-hop field (P15, P17). The reading is one pass of ours, with no
//! general parser underneath: `httparse` takes bare LF, empty lines without number, two `Content-Length`s and any
//! byte above 0x20 in a target, so each of its answers would have to be asked for again. It serves the tests as an
//! independent reader.
//!
//! Refused in requests: bare CR and LF, NUL and other control bytes, obs-fold, white space around names, names that
//! are no tokens, none or two Hosts, a Host that is not the target's, userinfo, fragments, two lengths of any kind,
//! codings other than one `chunked`, and names that CGI-like origins would take for framing (`Content_Length`).
//! Refused in responses: the same, except for what real origins do and no reader can misunderstand once it has been
//! rewritten: a missing reason, lines that all end in a bare LF (a mixture is refused), equal lengths said twice,
//! white space before a colon (which RFC 9112 §5.1 has a proxy remove).

mod error;
mod fields;
mod framing;
mod method;
mod request;
mod response;
mod scan;
mod syntax;
mod target;
mod write;

#[cfg(test)]
mod tests;

pub(in crate::wire) use syntax::is_tchar;

pub use error::HeadError;
pub use fields::Fields;
pub use method::{Method, Token};
pub use request::{RequestHead, parse_request};
pub use response::{ResponseHead, parse_response};
pub use scan::{HeadLimits, HeadScan};
pub use target::{Authority, Form, Scheme, Target};
pub use write::{Edit, Persist, RequestPlan, ResponsePlan, write_fields, write_request, write_response};

/// The two versions that are spoken here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    H10,
    /// HTTP/1.1.
    #[default]
    H11,
}

/// What the `Connection` fields say, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `close` was among the options.
    pub close: bool,
    /// `keep-alive` was.
    pub keep_alive: bool,
    /// `upgrade` was.
    pub upgrade: bool,
}

impl Connection {
    /// Whether the sender means to go on using the connection (RFC 9112 §9.3).
    pub fn persists(self, version: Version) -> bool {
        !self.close && (version == Version::H11 || self.keep_alive)
    }
}

/// What an `Upgrade` field asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// `websocket` alone, named by `Connection`, and in a request: a GET of HTTP/1.1 without a body (RFC 6455 §4.1).
    WebSocket,
    /// `h2c` is among the protocols.
    H2c,
    /// Anything else, or a WebSocket upgrade that lacks one of the conditions above.
    Other,
}
