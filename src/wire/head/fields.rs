//! Header fields in order, in one buffer, reused from head to head.

use std::ops::Range;

use super::{Connection, HeadError, syntax};
use syntax::LineEnd;

/// Bytes and fields for which [`Fields::clear`] keeps memory; what a larger head took is given back, so that idle
/// connections stay small (P23).
const KEPT: (usize, usize) = (8 << 10, 64);

/// How many `Connection` options are looked at; each costs a walk over all fields.
const MAX_OPTIONS: usize = 64;

/// Ordered header fields. Names keep the case in which they came and are compared without regard to it; values come
/// without surrounding white space.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// One field: where it lies in the buffer, and what it is to us.
#[derive(Clone, Copy, Debug)]
struct Span {
    name: (u32, u32),
    value: (u32, u32),
    kind: Kind,
    /// Named by a `Connection` option, so it ends here.
    named: bool,
}

/// The names that mean something to the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// End-to-end, nothing to us.
    Plain,
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `Upgrade`.
    Upgrade,
    /// `Expect`.
    Expect,
    /// `Trailer`.
    Trailer,
    /// Ends at the next hop whatever `Connection` says (RFC 9110 §7.6.1, RFC 7540 §3.2.1).
    HopByHop,
    /// A framing name with `_` for `-`: one field to CGI-like origins, another to the rest.
    Lookalike,
}

impl Span {
    fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[range(self.name)]
    }

    fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[range(self.value)]
    }

    fn is(&self, name: &[u8], bytes: &[u8]) -> bool {
        self.name(bytes).eq_ignore_ascii_case(name)
    }
}

fn range((start, end): (u32, u32)) -> Range<usize> {
    start as usize..end as usize
}

impl Fields {
    /// No fields, no memory.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), spans: Vec::new() }
    }

    /// Forgets all fields and keeps a typical head's memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.bytes.shrink_to(KEPT.0);
        self.spans.shrink_to(KEPT.1);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// What names and values stand in, with what is between them.
    pub fn block(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each field lies in [`Fields::block`]: start and end of its name, start and end of its value.
    pub fn places(&self) -> impl ExactSizeIterator<Item = [u32; 4]> {
        self.spans.iter().map(|span| [span.name.0, span.name.1, span.value.0, span.value.1])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds a field at the end. The name is a token and the value has no control bytes: the caller wrote them.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let name_at = self.store(name);
        let value_at = self.store(value);
        self.spans.push(Span { name: name_at, value: value_at, kind: classify(name), named: false });
    }

    fn store(&mut self, text: &[u8]) -> (u32, u32) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text);
        (start, self.bytes.len() as u32)
    }

    /// All fields in order, as (name, value).
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|span| (span.name(&self.bytes), span.value(&self.bytes)))
    }

    /// The first value under `name`.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// All values under `name`, in order.
    pub fn all(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().filter(move |span| span.is(name, &self.bytes)).map(|span| span.value(&self.bytes))
    }

    /// How many fields have this name.
    pub fn count(&self, name: &[u8]) -> usize {
        self.all(name).count()
    }

    /// Takes all fields of this name away.
    pub fn remove(&mut self, name: &[u8]) {
        let Self { bytes, spans } = self;
        spans.retain(|span| !span.is(name, bytes));
    }

    /// Gives the first field of this name the value and takes the others away; adds one if there is none.
    pub fn replace(&mut self, name: &[u8], value: &[u8]) {
        let Some(at) = self.spans.iter().position(|span| span.is(name, &self.bytes)) else {
            return self.push(name, value);
        };
        self.spans[at].value = self.store(value);
        let Self { bytes, spans } = self;
        let mut index = 0;
        spans.retain(|span| {
            index += 1;
            index <= at + 1 || !span.is(name, bytes)
        });
    }

    /// Values of one kind, in order.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().filter(move |span| span.kind == kind).map(|span| span.value(&self.bytes))
    }

    /// Fields that may go to the next hop, with their kind: not hop-by-hop and not named by `Connection`. What the
    /// writer writes itself (Host, framing) is still among them.
    pub(super) fn onward(&self) -> impl Iterator<Item = (Kind, &[u8], &[u8])> {
        let onward = |span: &&Span| !span.named && span.kind != Kind::HopByHop;
        let parts = |span: &Span| (span.kind, span.name(&self.bytes), span.value(&self.bytes));
        self.spans.iter().filter(onward).map(parts)
    }

    /// Reads a trailer section with the empty line that ends it, and keeps what [`is_trailer`] lets through.
    pub(in crate::wire) fn read_trailers(section: &[u8]) -> Result<Self, HeadError> {
        let mut trailers = Self::new();
        trailers.read(section, LineEnd::CrLf, false)?;
        let Self { bytes, spans } = &mut trailers;
        spans.retain(|span| is_trailer(span.name(bytes)));
        Ok(trailers)
    }

    /// Reads field lines up to the empty one that ends them. Nothing may follow.
    pub(super) fn read(&mut self, block: &[u8], end: LineEnd, lenient: bool) -> Result<(), HeadError> {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(block);
        let mut rest = block;
        loop {
            let start = base + block.len() - rest.len();
            let (line, after) = syntax::split_line(rest)?;
            let line = end.strip(line)?;
            rest = after;
            if line.is_empty() {
                return if rest.is_empty() { Ok(()) } else { Err(HeadError::Incomplete) };
            }
            let field = syntax::field_line(line, lenient)?;
            let at = |part: Range<usize>| ((start + part.start) as u32, (start + part.end) as u32);
            let kind = classify(&line[field.name.clone()]);
            self.spans.push(Span { name: at(field.name), value: at(field.value), kind, named: false });
        }
    }

    /// Reads the `Connection` options and marks the fields that they name. Framing, Host and Expect cannot be named
    /// away (P17): without them the message would mean something else.
    pub(super) fn connection(&mut self) -> Result<Connection, HeadError> {
        let mut connection = Connection::default();
        let mut seen = 0;
        let Self { bytes, spans } = self;
        for index in 0..spans.len() {
            if spans[index].kind != Kind::Connection {
                continue;
            }
            for option in syntax::list(spans[index].value(bytes)) {
                seen += 1;
                if seen > MAX_OPTIONS {
                    return Err(HeadError::ConnectionOptions);
                }
                apply(option, &mut connection, spans, bytes);
            }
        }
        Ok(connection)
    }
}

fn apply(option: &[u8], connection: &mut Connection, spans: &mut [Span], bytes: &[u8]) {
    if option.eq_ignore_ascii_case(b"close") {
        connection.close = true;
    } else if option.eq_ignore_ascii_case(b"keep-alive") {
        connection.keep_alive = true;
    } else if option.eq_ignore_ascii_case(b"upgrade") {
        connection.upgrade = true;
    } else {
        for span in spans.iter_mut().filter(|span| span.kind == Kind::Plain || span.kind == Kind::Trailer) {
            span.named |= span.is(option, bytes);
        }
    }
}

fn classify(name: &[u8]) -> Kind {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is(b"te") => Kind::HopByHop,
        4 if is(b"host") => Kind::Host,
        6 if is(b"expect") => Kind::Expect,
        7 if is(b"upgrade") => Kind::Upgrade,
        7 if is(b"trailer") => Kind::Trailer,
        10 if is(b"connection") => Kind::Connection,
        10 if is(b"keep-alive") => Kind::HopByHop,
        14 if is(b"content-length") => Kind::ContentLength,
        14 if is(b"http2-settings") => Kind::HopByHop,
        16 if is(b"proxy-connection") => Kind::HopByHop,
        17 if is(b"transfer-encoding") => Kind::TransferEncoding,
        18 if is(b"proxy-authenticate") => Kind::HopByHop,
        19 if is(b"proxy-authorization") => Kind::HopByHop,
        25 if is(b"proxy-authentication-info") => Kind::HopByHop,
        14 if is(b"content_length") => Kind::Lookalike,
        17 if is(b"transfer_encoding") => Kind::Lookalike,
        _ => Kind::Plain,
    }
}

/// Whether a field of this name may stand in a trailer section: nothing that frames, routes, authenticates, modifies
/// the request, controls the response or says what the content is (RFC 9110 §6.5.1). `_` counts as `-`, as it does
/// to CGI-like origins.
pub fn is_trailer(name: &[u8]) -> bool {
    if classify(name) != Kind::Plain {
        return false;
    }
    let starts = |prefix: &[u8]| name.len() >= prefix.len() && same(&name[..prefix.len()], prefix);
    let digest = same(name, b"content-digest") || same(name, b"content-md5");
    digest
        || !(FORBIDDEN.iter().any(|known| same(name, known)) || FORBIDDEN_PREFIXES.iter().any(|p| starts(p)))
}

fn same(name: &[u8], known: &[u8]) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == known.len() && name.iter().zip(known).all(|(&a, &b)| plain(a) == b)
}

/// Beside what [`classify`] knows.
const FORBIDDEN: [&[u8]; 20] = [
    b"age",
    b"date",
    b"vary",
    b"range",
    b"cookie",
    b"pragma",
    b"expires",
    b"warning",
    b"location",
    b"forwarded",
    b"x-api-key",
    b"set-cookie",
    b"retry-after",
    b"max-forwards",
    b"authorization",
    b"cache-control",
    b"x-rewrite-url",
    b"x-goog-api-key",
    b"x-original-url",
    b"www-authenticate",
];

const FORBIDDEN_PREFIXES: [&[u8]; 6] =
    [b"content-", b"proxy-", b"if-", b"x-forwarded-", b"x-http-method", b"x-method-override"];
