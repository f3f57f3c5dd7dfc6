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

/// The guest's side.
#[derive(Default)]
pub struct Guest {
    buffer: Vec<u8>,
    scan: HeadScan,
    head: RequestHead,
    message: Option<Message>,
    outcomes: Vec<Outcome>,
    over: bool,
}

impl Guest {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while !self.over && self.turn() {}
    }

    pub fn end(mut self) -> Vec<Outcome> {
        let begun = self.message.is_some() || !self.buffer.is_empty() || self.outcomes.is_empty();
        if !self.over && begun {
            self.outcomes.push(Outcome::word("incomplete"));
        }
        self.outcomes
    }

    fn stop(&mut self, word: String) -> bool {
        self.outcomes.push(Outcome::word(word));
        self.over = true;
        false
    }

    fn turn(&mut self) -> bool {
        if self.message.is_some() { self.read_body() } else { self.read_head() }
    }

    fn read_head(&mut self) -> bool {
        let parsed = self.scan.find(&self.buffer, &REQUEST_LIMITS).and_then(|found| {
            let Some(len) = found else { return Ok(None) };
            parse_request(&self.buffer[..len], &mut self.head, &REQUEST_LIMITS).map(|()| found)
        });
        match parsed {
            Ok(None) => false,
            Ok(Some(len)) => {
                self.buffer.drain(..len);
                self.scan.reset();
                self.decide()
            }
            Err(error) => self.stop(format!("refused {} {error}", error.status())),
        }
    }

    fn decide(&mut self) -> bool {
        let head = &self.head;
        let persist = match head.upgrade {
            None => Persist::Implied,
            Some(Upgrade::WebSocket) => Persist::WebSocket,
            Some(Upgrade::H2c) => return self.stop("handed upgrade h2c".into()),
            Some(Upgrade::Other) => return self.stop("handed upgrade other".into()),
        };
        let Some(host) = head.host() else { return self.stop("handed no host".into()) };
        if head.form == Form::Authority {
            let word = format!("handed CONNECT {}", String::from_utf8_lossy(host));
            return self.stop(word);
        }
        let authority = &host.to_ascii_lowercase();
        let mut out = Vec::new();
        write_request(head, &RequestPlan { authority, framing: head.framing, persist, edits: &[] }, &mut out);
        self.message = Some(Message::new(out, head.framing, head.framing));
        true
    }

    fn read_body(&mut self) -> bool {
        let message = self.message.as_mut().expect("a message is under way");
        match message.take(&mut self.buffer) {
            Ok(true) => {
                self.outcomes.push(Outcome::Forwarded(message.bytes()));
                self.message = None;
                self.over = !self.head.keep_alive();
                true
            }
            Ok(false) => false,
            Err(error) => self.stop(format!("refused {} {}", error.status(), error.as_str())),
        }
    }
}

/// The origin's side.
pub struct Origin {
    method: Method,
    buffer: Vec<u8>,
    scan: HeadScan,
    head: ResponseHead,
    message: Option<Message>,
    outcomes: Vec<Outcome>,
    /// The final response has ended, well or not.
    over: bool,
    complete: bool,
}

impl Origin {
    pub fn new(method: &str) -> Self {
        Self {
            method: Method::parse(method.as_bytes()).expect("a method"),
            buffer: Vec::new(),
            scan: HeadScan::for_response(),
            head: ResponseHead::default(),
            message: None,
            outcomes: Vec::new(),
            over: false,
            complete: false,
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while !self.over && self.turn() {}
    }

    pub fn end(mut self) -> Vec<Outcome> {
        if let Some(mut message) = self.message.take() {
            match message.decoder.eof() {
                Ok(()) => self.finish(&message),
                Err(error) => self.abort(&message, error.as_str()),
            }
        } else if !self.over {
            self.outcomes.push(Outcome::word("aborted no head"));
        }
        if self.complete && !self.buffer.is_empty() {
            self.outcomes.push(Outcome::word(format!("excess {}", self.buffer.len())));
        }
        self.outcomes
    }

    fn stop(&mut self, word: String) -> bool {
        self.outcomes.push(Outcome::word(word));
        self.over = true;
        false
    }

    fn turn(&mut self) -> bool {
        if self.message.is_some() { self.read_body() } else { self.read_head() }
    }

    fn read_head(&mut self) -> bool {
        let parsed = self.scan.find(&self.buffer, &RESPONSE_LIMITS).and_then(|found| {
            let Some(len) = found else { return Ok(None) };
            parse_response(&self.buffer[..len], &self.method, &mut self.head, &RESPONSE_LIMITS)
                .map(|()| found)
        });
        match parsed {
            Ok(None) => false,
            Ok(Some(len)) => {
                self.buffer.drain(..len);
                self.scan.reset();
                self.decide()
            }
            Err(error) => self.stop(format!("refused {error}")),
        }
    }

    fn decide(&mut self) -> bool {
        if self.head.status == 101 {
            let what = match self.head.upgrade {
                Some(Upgrade::WebSocket) => "websocket",
                Some(Upgrade::H2c) => "h2c",
                Some(Upgrade::Other) => "other",
                None => "none",
            };
            return self.stop(format!("handed upgrade {what}"));
        }
        let framing = if self.head.framing == Framing::Close { Framing::Chunked } else { self.head.framing };
        let mut out = Vec::new();
        let plan = ResponsePlan { framing, persist: Persist::Implied, edits: &[] };
        write_response(&self.head, &plan, &mut out);
        if self.head.is_interim() {
            self.outcomes.extend([Outcome::Forwarded(out), Outcome::word("interim")]);
        } else {
            self.message = Some(Message::new(out, self.head.framing, framing));
        }
        true
    }

    fn read_body(&mut self) -> bool {
        let mut message = self.message.take().expect("a message is under way");
        match message.take(&mut self.buffer) {
            Ok(true) => self.finish(&message),
            Ok(false) => self.message = Some(message),
            Err(error) => self.abort(&message, error.as_str()),
        }
        false
    }

    fn finish(&mut self, message: &Message) {
        self.outcomes.push(Outcome::Forwarded(message.bytes()));
        self.outcomes.push(Outcome::word(if self.head.keep_alive { "reusable" } else { "closing" }));
        (self.over, self.complete) = (true, true);
    }

    fn abort(&mut self, message: &Message, why: &str) {
        self.outcomes.push(Outcome::Forwarded(message.bytes()));
        self.outcomes.push(Outcome::word(format!("aborted {why}")));
        self.over = true;
    }
}
