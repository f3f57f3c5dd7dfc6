//! Ids of traces and spans, which follow from session, exchange and call: a row that is sent twice is the same span twice.

use aws_lc_rs::digest;

use crate::telemetry::query::Record;
use crate::telemetry::text;

/// The ids of an exchange's spans.
pub(super) struct Ids {
    seed: [u8; 32],
    pub(super) trace: String,
    pub(super) exchange: String,
    /// That of the guest's own span, where it named one.
    pub(super) parent: Option<String>,
}

impl Ids {
    pub(super) fn of(row: &Record) -> Self {
        let seed = hash(&[row.text("session_id"), &row.int("exchange_id").unwrap_or(0).to_string()]);
        let parent = row.header("traceparent").and_then(|value| traceparent(&value));
        let trace = parent.as_ref().map_or_else(|| hex(&seed[..16]), |(trace, _)| trace.clone());
        Self { seed, trace, exchange: hex(&seed[16..24]), parent: parent.map(|(_, span)| span) }
    }

    /// The span of one of its calls.
    pub(super) fn call(&self, call_id: i64) -> String {
        hex(&hash(&[&hex(&self.seed), &call_id.to_string()])[..8])
    }
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, parts.join("\n").as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    text::hex(bytes, &mut out);
    String::from_utf8(out).expect("hex digits are ASCII")
}

/// Trace and span of a `traceparent` field (W3C Trace Context, 3.2).
fn traceparent(value: &str) -> Option<(String, String)> {
    let mut parts = value.split('-');
    let (_version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let valid = |id: &str, length| {
        id.len() == length && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
    };
    (valid(trace, 32) && valid(span, 16)).then(|| (trace.to_lowercase(), span.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_trace_goes_on() {
        let parent = "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01";
        let ids = traceparent(parent).expect("valid");
        assert_eq!(ids, ("0af7651916cd43dd8448eb211c80319c".into(), "b7ad6b7169203331".into()));
        for bad in ["", "00-0-1-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "x"] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_follow_from_their_row() {
        assert_eq!(hash(&["a", "1"]), hash(&["a", "1"]));
        assert_ne!(hash(&["a", "1"]), hash(&["a", "2"]));
        assert_eq!(hex(&[0, 255]), "00ff");
    }
}
