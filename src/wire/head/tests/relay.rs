//! A proxy of its own, in memory: what the connection machine does with heads and bodies, and nothing else.

use super::super::*;
use super::table::Outcome;
use crate::wire::body::{BodyLimits, ChunkHead, Decoder, Framing, write_last_chunk};

/// The documented defaults.
pub const REQUEST_LIMITS: HeadLimits =
    HeadLimits { request_line: 16 << 10, header_block: 64 << 10, header_fields: 256 };
/// The documented defaults.
pub const RESPONSE_LIMITS: HeadLimits =
    HeadLimits { request_line: 0, header_block: 64 << 10, header_fields: 256 };
const BODY_LIMITS: BodyLimits = BodyLimits { chunk_line: 256, trailers: 8 << 10 };

/// A message on its way: what was written, and the body as far as it was read.
struct Message {
    head: Vec<u8>,
    framing: Framing,
    decoder: Decoder,
    data: Vec<u8>,
}

impl Message {
    fn new(head: Vec<u8>, received: Framing, onward: Framing) -> Self {
        Self { head, framing: onward, decoder: Decoder::new(received, BODY_LIMITS), data: Vec::new() }
    }

    /// The bytes that went on; all of them if the body is done.
    fn bytes(&self) -> Vec<u8> {
        let mut out = self.head.clone();
        let chunked = self.framing == Framing::Chunked;
        if chunked && !self.data.is_empty() {
            out.extend_from_slice(ChunkHead::new(self.data.len()).as_bytes());
        }
        out.extend_from_slice(&self.data);
        if chunked && !self.data.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        if chunked && self.decoder.is_done() {
            write_last_chunk(self.decoder.trailers(), &mut out);
        }
        out
    }

    /// Takes what it can from `buffer`; true once done.
    fn take(&mut self, buffer: &mut Vec<u8>) -> Result<bool, crate::wire::body::BodyError> {
        loop {
            let step = self.decoder.step(buffer)?;
            assert!(step.data.end <= step.used && step.used <= buffer.len(), "{step:?}");
            assert_eq!(step.done, self.decoder.is_done());
            self.data.extend_from_slice(&buffer[step.data]);
            buffer.drain(..step.used);
            if step.done || step.used == 0 {
                return Ok(step.done);
            }
        }
    }
}

/// What is under way on either side.
#[derive(Default)]
pub struct Reading {
    buffer: Vec<u8>,
    scan: HeadScan,
    message: Option<Message>,
    outcomes: Vec<Outcome>,
    /// Nothing more is read: it was refused, or the final response has ended.
    over: bool,
}

impl Reading {
    fn stop(&mut self, word: String) -> bool {
        self.outcomes.push(Outcome::word(word));
        self.over = true;
        false
    }
}

/// Either side.
pub trait Relay {
    fn reading(&mut self) -> &mut Reading;
    fn read_head(&mut self) -> bool;
    fn read_body(&mut self) -> bool;

    fn feed(&mut self, bytes: &[u8]) {
        self.reading().buffer.extend_from_slice(bytes);
        loop {
            let reading = self.reading();
            let (over, inside) = (reading.over, reading.message.is_some());
            if over || !(if inside { self.read_body() } else { self.read_head() }) {
                break;
            }
        }
    }
}

/// The guest's side.
#[derive(Default)]
pub struct Guest {
    reading: Reading,
    head: RequestHead,
}

impl Guest {
    pub fn end(mut self) -> Vec<Outcome> {
        let begun = self.reading.message.is_some()
            || !self.reading.buffer.is_empty()
            || self.reading.outcomes.is_empty();
        if !self.reading.over && begun {
            self.reading.outcomes.push(Outcome::word("incomplete"));
        }
        self.reading.outcomes
    }

    fn decide(&mut self) -> bool {
        let head = &self.head;
        let persist = match head.upgrade {
            None => Persist::Implied,
            Some(Upgrade::WebSocket) => Persist::WebSocket,
            Some(Upgrade::H2c) => return self.reading.stop("handed upgrade h2c".into()),
            Some(Upgrade::Other) => return self.reading.stop("handed upgrade other".into()),
        };
        let Some(host) = head.host() else { return self.reading.stop("handed no host".into()) };
        if head.form == Form::Authority {
            let word = format!("handed CONNECT {}", String::from_utf8_lossy(host));
            return self.reading.stop(word);
        }
        let authority = &host.to_ascii_lowercase();
        let mut out = Vec::new();
        write_request(head, &RequestPlan { authority, framing: head.framing, persist, edits: &[] }, &mut out);
        self.reading.message = Some(Message::new(out, head.framing, head.framing));
        true
    }
}

impl Relay for Guest {
    fn reading(&mut self) -> &mut Reading {
        &mut self.reading
    }

    fn read_head(&mut self) -> bool {
        let parsed = self.reading.scan.find(&self.reading.buffer, &REQUEST_LIMITS).and_then(|found| {
            let Some(len) = found else { return Ok(None) };
            parse_request(&self.reading.buffer[..len], &mut self.head, &REQUEST_LIMITS).map(|()| found)
        });
        match parsed {
            Ok(None) => false,
            Ok(Some(len)) => {
                self.reading.buffer.drain(..len);
                self.reading.scan.reset();
                self.decide()
            }
            Err(error) => self.reading.stop(format!("refused {} {error}", error.status())),
        }
    }

    fn read_body(&mut self) -> bool {
        let message = self.reading.message.as_mut().expect("a message is under way");
        match message.take(&mut self.reading.buffer) {
            Ok(true) => {
                self.reading.outcomes.push(Outcome::Forwarded(message.bytes()));
                self.reading.message = None;
                self.reading.over = !self.head.keep_alive();
                true
            }
            Ok(false) => false,
            Err(error) => self.reading.stop(format!("refused {} {}", error.status(), error.as_str())),
        }
    }
}

/// The origin's side.
pub struct Origin {
    method: Method,
    reading: Reading,
    head: ResponseHead,
    complete: bool,
}

impl Origin {
    pub fn new(method: &str) -> Self {
        Self {
            method: Method::parse(method.as_bytes()).expect("a method"),
            reading: Reading { scan: HeadScan::for_response(), ..Reading::default() },
            head: ResponseHead::default(),
            complete: false,
        }
    }

    pub fn end(mut self) -> Vec<Outcome> {
        if let Some(mut message) = self.reading.message.take() {
            match message.decoder.eof() {
                Ok(()) => self.finish(&message),
                Err(error) => self.abort(&message, error.as_str()),
            }
        } else if !self.reading.over {
            self.reading.outcomes.push(Outcome::word("aborted no head"));
        }
        if self.complete && !self.reading.buffer.is_empty() {
            self.reading.outcomes.push(Outcome::word(format!("excess {}", self.reading.buffer.len())));
        }
        self.reading.outcomes
    }

    fn decide(&mut self) -> bool {
        if self.head.status == 101 {
            let what = match self.head.upgrade {
                Some(Upgrade::WebSocket) => "websocket",
                Some(Upgrade::H2c) => "h2c",
                Some(Upgrade::Other) => "other",
                None => "none",
            };
            return self.reading.stop(format!("handed upgrade {what}"));
        }
        let framing = if self.head.framing == Framing::Close { Framing::Chunked } else { self.head.framing };
        let mut out = Vec::new();
        let plan = ResponsePlan { framing, persist: Persist::Implied, edits: &[] };
        write_response(&self.head, &plan, &mut out);
        if self.head.is_interim() {
            self.reading.outcomes.extend([Outcome::Forwarded(out), Outcome::word("interim")]);
        } else {
            self.reading.message = Some(Message::new(out, self.head.framing, framing));
        }
        true
    }

    fn finish(&mut self, message: &Message) {
        self.reading.outcomes.push(Outcome::Forwarded(message.bytes()));
        self.reading.outcomes.push(Outcome::word(if self.head.keep_alive { "reusable" } else { "closing" }));
        (self.reading.over, self.complete) = (true, true);
    }

    fn abort(&mut self, message: &Message, why: &str) {
        self.reading.outcomes.push(Outcome::Forwarded(message.bytes()));
        self.reading.outcomes.push(Outcome::word(format!("aborted {why}")));
        self.reading.over = true;
    }
}

impl Relay for Origin {
    fn reading(&mut self) -> &mut Reading {
        &mut self.reading
    }

    fn read_head(&mut self) -> bool {
        let parsed = self.reading.scan.find(&self.reading.buffer, &RESPONSE_LIMITS).and_then(|found| {
            let Some(len) = found else { return Ok(None) };
            parse_response(&self.reading.buffer[..len], &self.method, &mut self.head, &RESPONSE_LIMITS)
                .map(|()| found)
        });
        match parsed {
            Ok(None) => false,
            Ok(Some(len)) => {
                self.reading.buffer.drain(..len);
                self.reading.scan.reset();
                self.decide()
            }
            Err(error) => self.reading.stop(format!("refused {error}")),
        }
    }

    fn read_body(&mut self) -> bool {
        let mut message = self.reading.message.take().expect("a message is under way");
        match message.take(&mut self.reading.buffer) {
            Ok(true) => self.finish(&message),
            Ok(false) => self.reading.message = Some(message),
            Err(error) => self.abort(&message, error.as_str()),
        }
        false
    }
}
