//! Server-sent events: finds events in a stream cut anywhere, without copying its lines.
//!
//! Follows the WHATWG "event stream interpretation", read as real servers write it (WIRE §6): lines end in LF, CRLF
//! or CR; a byte-order mark is dropped once; one space after the colon is optional; several `data` lines join with
//! LF; `event` may stand after `data`; comments, `id` and `retry` are skipped; what the end of the stream leaves
//! unfinished is still handed out. It refuses nothing: a line that is no field is handed out as [`Token::Other`],
//! because some servers send a bare JSON error into a stream.

use memchr::memchr2;

/// Longest event name that is told whole.
const MAX_NAME: usize = 64;

/// What the scanner tells, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A piece of the event's data; never empty.
    Data(&'a [u8]),
    /// The event's name, whole (its first 64 bytes); the last one counts.
    Name(&'a [u8]),
    /// The event is complete. An event without data is not told (but its name may have been).
    Dispatch,
    /// A piece of a line that is no field, its line end as `\n`.
    Other(&'a [u8]),
}

/// Finds events in a stream.
#[derive(Clone, Debug)]
pub struct Scanner {
    line: Line,
    /// How the field name goes so far; never longer than the longest known one.
    field: Short<5>,
    name: Short<MAX_NAME>,
    /// The event has had a `data` line.
    has_data: bool,
    /// The event has had an `event` line.
    has_name: bool,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    /// How much of the byte-order mark may still come: 0 to 3.
    mark: usize,
}

/// Where in a line the input stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Field,
    /// Right after the colon of this field.
    Colon(Field),
    Value(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Skipped,
    Other,
}

/// A short text, kept in place.
#[derive(Clone, Copy, Debug)]
struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

impl Default for Scanner {
    fn default() -> Self {
        Self {
            line: Line::Field,
            field: Short::EMPTY,
            name: Short::EMPTY,
            has_data: false,
            has_name: false,
            after_cr: false,
            mark: 0,
        }
    }
}

impl Scanner {
    /// Reads on, telling `sink` what it finds.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl FnMut(Token<'_>)) {
        let mut rest = self.drop_mark(bytes, sink);
        while !rest.is_empty() {
            rest = self.step(rest, sink);
        }
    }

    /// Ends the stream: tells an event that lacks its blank line.
    pub fn finish(&mut self, sink: &mut impl FnMut(Token<'_>)) {
        let unfinished_mark = std::mem::replace(&mut self.mark, BYTE_ORDER_MARK.len());
        if unfinished_mark > 0 && unfinished_mark < BYTE_ORDER_MARK.len() {
            self.field_bytes(&BYTE_ORDER_MARK[..unfinished_mark], sink);
        }
        if self.line != Line::Field || self.field.len > 0 {
            self.end_line(sink);
        }
        self.blank_line(sink);
    }

    /// Drops a byte-order mark at the very start, which may be cut; what only looked like one goes on.
    #[inline]
    fn drop_mark<'a>(&mut self, bytes: &'a [u8], sink: &mut impl FnMut(Token<'_>)) -> &'a [u8] {
        let mut rest = bytes;
        while self.mark < BYTE_ORDER_MARK.len() {
            let Some((&first, after)) = rest.split_first() else { break };
            if first != BYTE_ORDER_MARK[self.mark] {
                let seen = std::mem::replace(&mut self.mark, BYTE_ORDER_MARK.len());
                self.field_bytes(&BYTE_ORDER_MARK[..seen], sink);
                break;
            }
            self.mark += 1;
            rest = after;
        }
        rest
    }

    /// One piece of a line.
    #[inline]
    fn step<'a>(&mut self, bytes: &'a [u8], sink: &mut impl FnMut(Token<'_>)) -> &'a [u8] {
        match self.line {
            Line::Field => self.field(bytes, sink),
            Line::Colon(field) => {
                self.line = Line::Value(field);
                bytes.strip_prefix(b" ").unwrap_or(bytes)
            }
            Line::Value(field) => self.value(field, bytes, sink),
        }
    }

    fn field<'a>(&mut self, bytes: &'a [u8], sink: &mut impl FnMut(Token<'_>)) -> &'a [u8] {
        if self.field.len == 0 && !self.after_cr {
            for (start, field) in [(&b"data: "[..], Field::Data), (b"event: ", Field::Event)] {
                if let Some(rest) = bytes.strip_prefix(start) {
                    self.begin_value(field, sink);
                    self.line = Line::Value(field);
                    return rest;
                }
            }
        }
        let (byte, rest) = (bytes[0], &bytes[1..]);
        let after_cr = std::mem::take(&mut self.after_cr);
        match byte {
            b'\n' if after_cr => {}
            b'\n' | b'\r' => {
                self.after_cr = byte == b'\r';
                self.line_or_blank(sink);
            }
            b':' => {
                let field = Field::of(self.field.as_slice());
                self.begin_value(field, sink);
                if field == Field::Other {
                    sink(Token::Other(b":"));
                }
            }
            _ => self.field_bytes(&bytes[..1], sink),
        }
        rest
    }

    /// Bytes of a field name; once it is none that we know, the line is no field.
    fn field_bytes(&mut self, bytes: &[u8], sink: &mut impl FnMut(Token<'_>)) {
        for byte in bytes {
            let byte = std::slice::from_ref(byte);
            if self.line != Line::Field {
                sink(Token::Other(byte));
            } else if !self.field.push(byte) {
                self.begin_value(Field::Other, sink);
                sink(Token::Other(byte));
            }
        }
    }

    fn begin_value(&mut self, field: Field, sink: &mut impl FnMut(Token<'_>)) {
        self.line = Line::Colon(field);
        match field {
            Field::Data if self.has_data => sink(Token::Data(b"\n")),
            Field::Data => self.has_data = true,
            Field::Event => self.name = Short::EMPTY,
            Field::Other => {
                self.line = Line::Value(field);
                if self.field.len > 0 {
                    sink(Token::Other(self.field.as_slice()));
                }
            }
            Field::Skipped => {}
        }
        self.field = Short::EMPTY;
    }

    #[inline]
    fn value<'a>(&mut self, field: Field, bytes: &'a [u8], sink: &mut impl FnMut(Token<'_>)) -> &'a [u8] {
        let end = memchr2(b'\n', b'\r', bytes);
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        match field {
            Field::Data if !piece.is_empty() => sink(Token::Data(piece)),
            Field::Other if !piece.is_empty() => sink(Token::Other(piece)),
            Field::Event => {
                self.name.push(piece);
            }
            _ => {}
        }
        let Some(end) = end else { return &[] };
        self.after_cr = bytes[end] == b'\r';
        self.end_line(sink);
        &bytes[end + 1..]
    }

    fn line_or_blank(&mut self, sink: &mut impl FnMut(Token<'_>)) {
        if self.field.len == 0 {
            self.blank_line(sink);
        } else {
            self.end_line(sink);
        }
    }

    /// The end of a line that was not blank.
    fn end_line(&mut self, sink: &mut impl FnMut(Token<'_>)) {
        if self.line == Line::Field {
            // A field name alone is a field with an empty value.
            let field = Field::of(self.field.as_slice());
            self.begin_value(field, sink);
        }
        match self.line {
            Line::Colon(Field::Event) | Line::Value(Field::Event) => {
                self.has_name = true;
                sink(Token::Name(self.name.as_slice()));
            }
            Line::Value(Field::Other) => sink(Token::Other(b"\n")),
            _ => {}
        }
        self.line = Line::Field;
    }

    fn blank_line(&mut self, sink: &mut impl FnMut(Token<'_>)) {
        if self.has_data || self.has_name {
            sink(Token::Dispatch);
        }
        self.has_data = false;
        self.has_name = false;
    }
}

impl Field {
    fn of(name: &[u8]) -> Self {
        match name {
            b"data" => Self::Data,
            b"event" => Self::Event,
            b"" | b"id" | b"retry" => Self::Skipped,
            _ => Self::Other,
        }
    }
}

impl<const N: usize> Short<N> {
    const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// Appends what fits; false when something did not.
    fn push(&mut self, piece: &[u8]) -> bool {
        let fits = piece.len().min(N - self.len);
        self.bytes[self.len..self.len + fits].copy_from_slice(&piece[..fits]);
        self.len += fits;
        fits == piece.len()
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Event = (Option<Vec<u8>>, Vec<u8>);

    fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Vec<u8>) {
        let mut scanner = Scanner::default();
        let (mut events, mut other) = (Vec::new(), Vec::new());
        let (mut name, mut data) = (None, Vec::new());
        let mut sink = |token: Token<'_>| match token {
            Token::Data(piece) => {
                assert!(!piece.is_empty(), "no empty pieces");
                data.extend_from_slice(piece);
            }
            Token::Name(text) => name = Some(text.to_vec()),
            Token::Dispatch => events.push((name.take(), std::mem::take(&mut data))),
            Token::Other(piece) => other.extend_from_slice(piece),
        };
        pieces.into_iter().for_each(|piece| scanner.push(piece, &mut sink));
        scanner.finish(&mut sink);
        (events, other)
    }

    /// The naive twin: whole lines, copied.
    fn naive(stream: &[u8]) -> (Vec<Event>, Vec<u8>) {
        let stream = stream.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(stream);
        let text: Vec<char> = stream.iter().map(|&byte| char::from(byte)).collect();
        let text: String = text.into_iter().collect::<String>().replace("\r\n", "\n").replace('\r', "\n");
        let (mut events, mut other) = (Vec::new(), String::new());
        let (mut name, mut data): (Option<String>, Option<String>) = (None, None);
        let mut lines: Vec<&str> = text.split('\n').collect();
        lines.push("");
        let last = lines.len() - 2;
        for (at, line) in lines.into_iter().enumerate() {
            if line.is_empty() && at == last {
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() => {
                    if data.is_some() || name.is_some() {
                        events.push((name.take(), data.take().unwrap_or_default()));
                    }
                }
                "data" => data = Some(data.map_or_else(|| value.to_owned(), |data| data + "\n" + value)),
                "event" => name = Some(value.chars().take(MAX_NAME).collect()),
                "" | "id" | "retry" => {}
                _ => other = other + line + "\n",
            }
        }
        let bytes = |text: String| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
        let events = events.into_iter().map(|(name, data)| (name.map(bytes), bytes(data))).collect();
        (events, bytes(other))
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec![
            "",
            "",
            "",
            "data",
            "data:",
            "data: ",
            "data:  x",
            "data:{\"a\":1}",
            "data: two words",
            "event: name",
            "event",
            "event:",
            ": comment",
            ":",
            "id: 7",
            "retry: 10",
            "dat: a",
            "datax: b",
            "{",
            "  \"error\": 1",
            "\u{FEFF}",
            "event: 0123456789012345678901234567890123456789012345678901234567890123456789",
            "eventually: c",
        ]);
        (line, prop::sample::select(vec!["\n", "\r\n", "\r"]))
            .prop_map(|(line, end)| (line.to_owned() + end).into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn any_stream_cut_anywhere_is_read_as_the_naive_twin_reads_it(
            lines in prop::collection::vec(line(), 0..14),
            mark in any::<bool>(),
            chop in 0usize..3,
            size in 1usize..9,
        ) {
            let mut stream = if mark { BYTE_ORDER_MARK.to_vec() } else { Vec::new() };
            stream.extend(lines.concat());
            stream.truncate(stream.len().saturating_sub(chop));
            let expected = naive(&stream);
            prop_assert_eq!(&scan([&stream[..]]), &expected);
            prop_assert_eq!(&scan(stream.chunks(size)), &expected);
            prop_assert_eq!(&scan(stream.chunks(1)), &expected);
        }

        #[test]
        fn any_bytes_cut_anywhere_give_the_same(
            stream in prop::collection::vec(prop::sample::select(&b"data: \r\n:eventx\xef\xbb\xbf{"[..]), 0..60),
            size in 1usize..5,
        ) {
            let whole = scan([&stream[..]]);
            prop_assert_eq!(&scan(stream.chunks(size)), &whole);
            prop_assert_eq!(&whole, &naive(&stream));
        }
    }

    #[test]
    fn a_field_of_another_case_or_with_a_space_is_no_field() {
        let (events, other) = scan([&b"Data: x\ndata : y\n\n"[..]]);
        assert_eq!((events.len(), other), (0, b"Data: x\ndata : y\n".to_vec()));
    }

    #[test]
    fn crlf_cut_between_chunks_is_one_line_end() {
        let (events, _) = scan([&b"data: a\r"[..], &b"\ndata: b\r"[..], &b"\n\r"[..], &b"\n"[..]]);
        assert_eq!(events, [(None, b"a\nb".to_vec())]);
    }
}
