//! AWS event stream frames around model events (WIRE §1): Bedrock's `chunk` holds one Anthropic event in base64,
//! Converse's frames are events themselves, and exceptions are errors inside the stream.

use crate::model::failure::FailureReader;
use crate::model::usage::OriginError;
use crate::wire::eventstream::{Message, Messages};
use crate::wire::json::{Shape, Sink, Skimmer, Value};

use super::observer::Feed;

/// Reads the next bytes of a body of frames.
pub(super) fn read(messages: &mut Messages, piece: &[u8], feed: &mut Feed, at_us: u64) -> Result<(), String> {
    let mut out = |message: Message<'_>| one(&message, feed, at_us);
    messages.push(piece, &mut out).map_err(|error| error.as_str().to_owned())
}

fn one(message: &Message<'_>, feed: &mut Feed, at_us: u64) {
    if message.message_type().is_some_and(|kind| kind != "event") {
        return feed.meter.fail(exception(message));
    }
    let kind = message.event_type().unwrap_or_default();
    if kind == "chunk" {
        match chunk(message.payload) {
            Some(event) => feed.meter.piece(&event, at_us),
            None => return feed.flawed(&"a chunk without an event"),
        }
    } else {
        feed.meter.name(kind.as_bytes());
        feed.meter.piece(message.payload, at_us);
    }
    feed.dispatch();
}

fn exception(message: &Message<'_>) -> OriginError {
    let mut reader = FailureReader::new(false);
    reader.push(message.payload);
    let kind = message.exception_type().or(message.text(":error-code")).map(str::to_owned);
    let mut error = reader.error();
    error.kind = kind.or(error.kind);
    error
}

/// The event inside `{"bytes":"<base64>"}`; a frame's own cap bounds it.
fn chunk(payload: &[u8]) -> Option<Vec<u8>> {
    static CHUNK: Shape<()> = Shape::object(&[("bytes", &Shape::value((), usize::MAX))]);
    #[derive(Default)]
    struct Bytes(Option<Vec<u8>>);
    impl Sink<()> for Bytes {
        fn value(&mut self, (): (), value: Value<'_>) {
            self.0 = value.text().and_then(|text| base64(text.bytes));
        }
    }
    let (mut skimmer, mut bytes) = (Skimmer::one(&CHUNK), Bytes::default());
    skimmer.push(payload, &mut bytes).ok()?;
    bytes.0
}

/// RFC 4648 §4, padding optional.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for &letter in group {
            bits = bits << 6 | u32::from(sextet(letter)?);
        }
        bits <<= 6 * (4 - group.len());
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(out)
}

fn sextet(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_decoded() {
        for (text, plain) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")] {
            assert_eq!(super::base64(text.as_bytes()).as_deref(), Some(plain.as_bytes()), "{text}");
        }
        assert_eq!(super::base64(b"Zm9*"), None);
    }
}
