//! Decoded bytes of a response: finds events in them, whatever frames them, and hands them to the meter or, where the
//! call failed, to the reader of error bodies.

use crate::model::api::Api;
use crate::model::detect::Detected;
use crate::model::failure::FailureReader;
use crate::model::meter::Meter;
use crate::model::request::RequestFacts;
use crate::model::usage::{Call, OriginError, UsageState};
use crate::wire::eventstream::Messages;
use crate::wire::{ndjson, sse};

use super::{TapHead, TapReport, frames};

/// Reads the decoded body.
pub(super) enum Observer {
    Call(Box<Metered>),
    Failure(Box<Failed>),
}

/// A successful answer.
pub(super) struct Metered {
    framing: Framing,
    feed: Feed,
    /// The URL says that the answer streams, whatever it looks like.
    streams: bool,
    /// As the head says it, for errors inside the answer.
    request_id: Option<String>,
}

/// The meter, and what was wrong with events on the way to it.
pub(super) struct Feed {
    pub(super) meter: Meter,
    stray: Stray,
    /// An event that was no JSON; told only where the counts have suffered from it.
    flaw: Option<String>,
}

/// What lines of an event stream that are no fields are taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stray {
    /// A line starts.
    #[default]
    Start,
    /// Inside a line that says nothing.
    Noise,
    /// A bare document, over any number of lines (Google's errors are some).
    Document,
}

/// An answer of 4xx or 5xx, or anything else that is no success.
pub(super) struct Failed {
    reader: FailureReader,
    /// What the head says.
    head: OriginError,
    /// Provider and format, where the request was a call.
    call: Option<(&'static str, Api)>,
    told: bool,
}

/// How events stand in the body.
enum Framing {
    /// Not known before the first byte, whatever the head says.
    Sniff(Said, Api),
    /// Sound, pictures and the like: nothing to read.
    Opaque,
    Sse(sse::Scanner),
    Lines(ndjson::Scanner),
    Documents,
    Frames(Messages),
}

/// What a head says of the framing. Some servers say the wrong thing, so the first byte has the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Events,
    Lines,
    Document,
}

impl Observer {
    pub(super) fn of_call(detected: &Detected, head: &TapHead<'_>, cap: usize) -> Self {
        if !(200..300).contains(&head.status) {
            return Self::failed(head, Some((detected.provider, detected.api)));
        }
        let framing = Framing::by_content_type(head.content_type, detected.api, cap / 4);
        let streams = detected.stream == Some(true);
        let meter = Meter::new(detected.provider, detected.api, streams || framing.has_events(), cap);
        let feed = Feed { meter, stray: Stray::Start, flaw: None };
        Self::Call(Box::new(Metered { framing, feed, streams, request_id: head.error().request_id }))
    }

    pub(super) fn of_failure(head: &TapHead<'_>) -> Self {
        Self::failed(head, None)
    }

    fn failed(head: &TapHead<'_>, call: Option<(&'static str, Api)>) -> Self {
        let media_type = head.content_type.map(media_type).unwrap_or_default();
        let page = matches!(&media_type[..], b"text/html" | b"application/xhtml+xml");
        let reader = FailureReader::new(page);
        Self::Failure(Box::new(Failed { reader, head: head.error(), call, told: false }))
    }

    /// The next decoded bytes; an error says why it is of no use to read on.
    pub(super) fn read(&mut self, piece: &[u8], at_us: u64) -> Result<(), String> {
        match self {
            Self::Call(metered) => metered.read(piece, at_us),
            Self::Failure(failed) => {
                failed.reader.push(piece);
                Ok(())
            }
        }
    }

    pub(super) fn take_errors(&mut self) -> Vec<OriginError> {
        match self {
            Self::Call(metered) => metered.take_errors(),
            Self::Failure(failed) if failed.reader.complete() => failed.tell().into_iter().collect(),
            Self::Failure(_) => Vec::new(),
        }
    }

    pub(super) fn end(self, facts: RequestFacts, complete: bool, at_us: u64) -> TapReport {
        match self {
            Self::Call(metered) => metered.end(facts, complete, at_us),
            Self::Failure(mut failed) => {
                let calls = failed.call(facts, at_us).into_iter().collect();
                let errors = failed.tell().into_iter().collect();
                TapReport { calls, errors, decoded: None, off: None }
            }
        }
    }
}

impl Metered {
    fn read(&mut self, mut piece: &[u8], at_us: u64) -> Result<(), String> {
        if let Framing::Sniff(said, api) = self.framing {
            piece = without_blanks_or_mark(piece);
            let Some(&first) = piece.first() else { return Ok(()) };
            self.framing = Framing::by_first_byte(first, said, api);
            self.feed.meter.frame(self.streams || self.framing.has_events());
        }
        let Self { framing, feed, .. } = self;
        match framing {
            Framing::Sniff(..) | Framing::Opaque => {}
            Framing::Sse(scanner) => scanner.push(piece, &mut |token| feed.sse(token, at_us)),
            Framing::Lines(scanner) => scanner.push(piece, &mut |token| feed.line(token, at_us)),
            Framing::Documents => feed.meter.document(piece, at_us).map_err(|error| error.to_string())?,
            Framing::Frames(messages) => frames::read(messages, piece, feed, at_us)?,
        }
        Ok(())
    }

    fn end(mut self, facts: RequestFacts, complete: bool, at_us: u64) -> TapReport {
        let late = self.finish(complete, at_us);
        let errors = self.take_errors();
        let Feed { meter, flaw, .. } = self.feed;
        let calls = meter.end(facts, complete, at_us);
        let exact = calls.iter().any(|call| call.usage_state == UsageState::Final);
        TapReport { calls, errors, decoded: None, off: late.or(flaw.filter(|_| !exact)) }
    }

    fn take_errors(&mut self) -> Vec<OriginError> {
        let mut errors = self.feed.meter.take_errors();
        for error in &mut errors {
            error.request_id = error.request_id.take().or_else(|| self.request_id.clone());
        }
        errors
    }

    /// What lacks its end is complete now, if the body is; what a cut left behind is no flaw.
    fn finish(&mut self, complete: bool, at_us: u64) -> Option<String> {
        let Self { framing, feed, .. } = self;
        let before = feed.flaw.clone();
        let mut late = None;
        match framing {
            Framing::Sniff(..) | Framing::Opaque | Framing::Frames(_) => {}
            Framing::Sse(scanner) => {
                scanner.finish(&mut |token| feed.sse(token, at_us));
                feed.end_stray();
            }
            Framing::Lines(scanner) => scanner.finish(&mut |token| feed.line(token, at_us)),
            Framing::Documents => late = feed.meter.finish_document().err().map(|error| error.to_string()),
        }
        if !complete {
            feed.flaw = before;
            return None;
        }
        late
    }
}

impl Feed {
    fn sse(&mut self, token: sse::Token<'_>, at_us: u64) {
        if !matches!(token, sse::Token::Other(_)) {
            self.end_stray();
        }
        match token {
            sse::Token::Data(piece) => self.meter.piece(piece, at_us),
            sse::Token::Name(name) => self.meter.name(name),
            sse::Token::Dispatch => self.dispatch(),
            sse::Token::Other(piece) => self.stray(piece, at_us),
        }
    }

    fn line(&mut self, token: ndjson::Token<'_>, at_us: u64) {
        match token {
            ndjson::Token::Piece(piece) => self.meter.piece(piece, at_us),
            ndjson::Token::End => self.dispatch(),
        }
    }

    /// A piece of a line that is no field; only the first byte of a line can start a document, however it is cut.
    fn stray(&mut self, piece: &[u8], at_us: u64) {
        if let (Stray::Start, Some(first)) = (self.stray, piece.trim_ascii_start().first()) {
            self.stray = if matches!(first, b'{' | b'[') { Stray::Document } else { Stray::Noise };
        }
        match self.stray {
            Stray::Document => self.meter.piece(piece, at_us),
            Stray::Noise if piece.ends_with(b"\n") => self.stray = Stray::Start,
            Stray::Noise | Stray::Start => {}
        }
    }

    fn end_stray(&mut self) {
        if std::mem::take(&mut self.stray) == Stray::Document {
            self.dispatch();
        }
    }

    /// Ends the event under way; remembers the first that was no JSON.
    pub(super) fn dispatch(&mut self) {
        if let Err(error) = self.meter.dispatch() {
            self.flawed(&error);
        }
    }

    pub(super) fn flawed(&mut self, what: &dyn core::fmt::Display) {
        self.flaw.get_or_insert_with(|| format!("an event was skipped: {what}"));
    }
}

impl Framing {
    fn by_content_type(content_type: Option<&[u8]>, api: Api, cap: usize) -> Self {
        let media_type = content_type.map(media_type).unwrap_or_default();
        match &media_type[..] {
            b"text/event-stream" => Self::Sniff(Said::Events, api),
            b"application/x-ndjson"
            | b"application/ndjson"
            | b"application/jsonl"
            | b"application/stream+json" => Self::Sniff(Said::Lines, api),
            b"application/vnd.amazon.eventstream" => Self::Frames(Messages::new(cap)),
            b"application/json" => Self::Sniff(Said::Document, api),
            b"application/octet-stream" if matches!(api, Api::OpenAiAudio | Api::OpenAiImages) => {
                Self::Opaque
            }
            other if [&b"audio/"[..], b"image/", b"video/"].iter().any(|kind| other.starts_with(kind)) => {
                Self::Opaque
            }
            _ => Self::Sniff(Said::Nothing, api),
        }
    }

    /// No document begins like a field of an event stream or its comments, no line of one like a document.
    fn by_first_byte(first: u8, said: Said, api: Api) -> Self {
        match (first, said) {
            (b'{', Said::Lines) => Self::Lines(ndjson::Scanner::default()),
            (b'{', Said::Nothing | Said::Events) if api.streams_by_default() => {
                Self::Lines(ndjson::Scanner::default())
            }
            (b'{' | b'[', _) => Self::Documents,
            (b'd' | b'e' | b'i' | b'r' | b':', _) | (_, Said::Nothing | Said::Events) => {
                Self::Sse(sse::Scanner::default())
            }
            (_, Said::Lines) => Self::Lines(ndjson::Scanner::default()),
            (_, Said::Document) => Self::Documents,
        }
    }

    /// Whether events come one by one, as far as is known.
    fn has_events(&self) -> bool {
        match self {
            Self::Sniff(said, _) => matches!(said, Said::Events | Said::Lines),
            Self::Documents | Self::Opaque => false,
            Self::Sse(_) | Self::Lines(_) | Self::Frames(_) => true,
        }
    }
}

/// What stands before a body without being part of it: blanks, and a byte-order mark, however it is cut.
fn without_blanks_or_mark(piece: &[u8]) -> &[u8] {
    let blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
    &piece[piece.iter().take_while(|byte| blank(byte)).count()..]
}

/// A content type without its parameters, in lower case.
fn media_type(value: &[u8]) -> Vec<u8> {
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().to_ascii_lowercase()
}

impl Failed {
    /// The error, once.
    fn tell(&mut self) -> Option<OriginError> {
        let is_error = self.head.status.is_some_and(|status| status >= 400);
        let first = !std::mem::replace(&mut self.told, true);
        (first && is_error).then(|| self.error())
    }

    fn error(&self) -> OriginError {
        let body = self.reader.error();
        OriginError {
            status: self.head.status,
            kind: body.kind.or_else(|| self.head.kind.clone()),
            retry_after_us: self.head.retry_after_us.or(body.retry_after_us),
            request_id: self.head.request_id.clone().or_else(|| body.request_id.clone()),
            ..body
        }
    }

    /// A failed call is a call: with an error, and without counts.
    fn call(&self, facts: RequestFacts, at_us: u64) -> Option<Call> {
        let (provider, api) = self.call?;
        let error = self.error();
        let status = self.head.status.unwrap_or_default();
        Some(Call {
            provider,
            api: api.as_str(),
            model_requested: facts.model,
            stream: facts.stream.unwrap_or(false),
            messages_count: facts.messages_count,
            tools_count: facts.tools_count,
            system_bytes: facts.system_bytes,
            tool_results: facts.tool_results,
            error_type: error.kind.or(error.code).or_else(|| Some(format!("http_{status}"))),
            error_message: error.message,
            total_us: at_us,
            ..Call::default()
        })
    }
}
