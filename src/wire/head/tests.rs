//! The tables of `tests/tables`, run through scanner, parser, decoder and writer, whole and cut; properties of what
//! goes on; limits at the limit.

#[path = "../../../tests/tables/table.rs"]
mod table;

mod relay;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::body::Framing;
use relay::{Guest, Origin, REQUEST_LIMITS, Relay};
use table::{Case, Outcome};

fn requests() -> Vec<Case> {
    table::read(include_str!("../../../tests/tables/requests.txt"))
}

fn responses() -> Vec<Case> {
    table::read(include_str!("../../../tests/tables/responses.txt"))
}

fn relay_request(pieces: &[&[u8]]) -> Vec<Outcome> {
    let mut guest = Guest::default();
    for piece in pieces {
        guest.feed(piece);
    }
    guest.end()
}

fn relay_response(method: &str, pieces: &[&[u8]]) -> Vec<Outcome> {
    let mut origin = Origin::new(method);
    for piece in pieces {
        origin.feed(piece);
    }
    origin.end()
}

/// Lists all cases that fail before it fails, so that one run shows the whole picture.
fn check(cases: &[Case], relay: impl Fn(&Case) -> Vec<Outcome>) {
    let mut failed = 0;
    for case in cases {
        let outcomes = relay(case);
        if outcomes != case.outcomes {
            failed += 1;
            eprintln!("{}\n  is     {}\n  wanted {}", case.name, show(&outcomes), show(&case.outcomes));
        }
    }
    assert_eq!(failed, 0, "of {} cases", cases.len());
}

fn show(outcomes: &[Outcome]) -> String {
    let one = |outcome: &Outcome| match outcome {
        Outcome::Forwarded(bytes) => format!("forwarded {:.300?}", String::from_utf8_lossy(bytes)),
        Outcome::Word(word) => word.clone(),
    };
    outcomes.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[test]
fn p14_p15_p17_p19_p22_requests_of_the_table() {
    check(&requests(), |case| relay_request(&[&case.sent]));
}

#[test]
fn p16_p17_p18_p19_p22_responses_of_the_table() {
    check(&responses(), |case| relay_response(&case.method, &[&case.sent]));
}

#[test]
fn requests_byte_by_byte_are_the_same() {
    check(&requests(), |case| relay_request(&case.sent.chunks(1).collect::<Vec<_>>()));
}

#[test]
fn responses_byte_by_byte_are_the_same() {
    check(&responses(), |case| relay_response(&case.method, &case.sent.chunks(1).collect::<Vec<_>>()));
}

#[test]
fn p15_what_goes_on_is_read_again_as_the_same() {
    for case in requests() {
        for outcome in case.outcomes {
            if let Outcome::Forwarded(bytes) = &outcome {
                assert_eq!(relay_request(&[bytes]), [outcome], "{}", case.name);
            }
        }
    }
}

#[test]
fn what_goes_on_is_read_the_same_by_httparse() {
    for case in requests() {
        for outcome in &case.outcomes {
            if let Outcome::Forwarded(bytes) = outcome {
                agrees_with_httparse(bytes);
            }
        }
    }
}

fn agrees_with_httparse(bytes: &[u8]) {
    let mut slots = [httparse::EMPTY_HEADER; 300];
    let mut theirs = httparse::Request::new(&mut slots);
    let len = theirs.parse(bytes).expect("httparse reads it").unwrap();
    let mut ours = RequestHead::default();
    parse_request(&bytes[..len], &mut ours, &REQUEST_LIMITS).expect("it went on");
    assert_eq!(theirs.method, Some(ours.method.as_str()));
    assert_eq!(theirs.path.map(str::as_bytes), Some(ours.target.as_bytes()));
    let theirs: Vec<_> = theirs.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    assert_eq!(theirs, ours.fields.iter().collect::<Vec<_>>());
}

/// Cuts `bytes` at `cuts`, each a share of the length in 1/65536.
fn cut<'a>(bytes: &'a [u8], cuts: &[u16]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|&share| (bytes.len() * usize::from(share)) >> 16).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    places.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn requests_cut_anywhere_are_the_same(cuts in vec(any::<u16>(), 1..8)) {
        check(&requests(), |case| relay_request(&cut(&case.sent, &cuts)));
    }

    #[test]
    fn responses_cut_anywhere_are_the_same(cuts in vec(any::<u16>(), 1..8)) {
        check(&responses(), |case| relay_response(&case.method, &cut(&case.sent, &cuts)));
    }
}

/// Bytes that mean something to a parser of heads, so that random input reaches its corners.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            &b"GET / HTTP/1.1\r\n"[..],
            b"HTTP/1.1 200 OK\r\n",
            b"Host: a.test\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: ",
            b"\r\n",
            b"\r\n\r\n",
            b"\n",
            b"\r",
            b": ",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b";a=\"b\"",
            b" ",
            b"\0",
        ])
        .prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn p3_any_request_bytes_end_the_same_whole_and_cut(bytes in soup(), cuts in vec(any::<u16>(), 0..6)) {
        let whole = relay_request(&[&bytes]);
        prop_assert_eq!(&relay_request(&cut(&bytes, &cuts)), &whole);
        prop_assert_eq!(&relay_request(&bytes.chunks(1).collect::<Vec<_>>()), &whole);
    }

    #[test]
    fn p3_any_response_bytes_end_the_same_whole_and_cut(bytes in soup(), cuts in vec(any::<u16>(), 0..6)) {
        let whole = relay_response("GET", &[&bytes]);
        prop_assert_eq!(&relay_response("GET", &cut(&bytes, &cuts)), &whole);
        prop_assert_eq!(&relay_response("GET", &bytes.chunks(1).collect::<Vec<_>>()), &whole);
    }

    #[test]
    fn p14_p15_what_is_written_is_read_as_written(
        method in "[A-Z]{1,12}",
        target in "/[!-~&&[^#]]{0,40}",
        fields in vec(("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", "([!-~]([ -~]{0,30}[!-~])?)?"), 0..12),
        length in any::<Option<u64>>(),
        chunked in any::<bool>(),
    ) {
        let framing = match length {
            _ if chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::None,
        };
        round_trip(&method, &target, &fields, framing);
    }
}

/// Builds a request from its parts, lets it go on, and reads it back.
fn round_trip(method: &str, target: &str, fields: &[(String, String)], framing: Framing) {
    let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
    let raw = format!("{method} {target} HTTP/1.1\r\nHost: a.test\r\n{}\r\n", lines.concat());
    let mut first = RequestHead::default();
    if method == "CONNECT" || parse_request(raw.as_bytes(), &mut first, &REQUEST_LIMITS).is_err() {
        return;
    }
    let mut written = Vec::new();
    let plan = RequestPlan { authority: b"a.test", framing, persist: Persist::Implied, edits: &[] };
    write_request(&first, &plan, &mut written);
    let mut second = RequestHead::default();
    parse_request(&written, &mut second, &REQUEST_LIMITS).expect("what we write, we read");
    assert_eq!((second.method.as_str(), second.target.as_bytes()), (method, target.as_bytes()));
    assert_eq!((second.host(), second.framing), (Some(&b"a.test"[..]), framing));
    assert!(second.upgrade.is_none() && second.keep_alive());
    let ours = |name: &[u8]| {
        [&b"host"[..], b"content-length", b"transfer-encoding"]
            .iter()
            .any(|our| name.eq_ignore_ascii_case(our))
    };
    let onward =
        first.fields.onward().filter(|(kind, ..)| matches!(kind, fields::Kind::Plain | fields::Kind::Expect));
    let wanted: Vec<_> = onward.map(|(_, name, value)| (name, value)).collect();
    let read: Vec<_> = second
        .fields
        .iter()
        .filter(|(name, _)| !ours(name) && !name.eq_ignore_ascii_case(b"trailer"))
        .collect();
    assert_eq!(read, wanted);
}

fn request(raw: &str) -> RequestHead {
    let mut head = RequestHead::default();
    parse_request(raw.as_bytes(), &mut head, &REQUEST_LIMITS).expect("a valid request");
    head
}

#[test]
fn edits_replace_add_and_remove() {
    let head = request("GET / HTTP/1.1\r\nHost: a.test\r\nA: 1\r\nB: 2\r\na: 3\r\nC: 4\r\n\r\n");
    let edits = [
        Edit { name: b"a", value: Some(b"5") },
        Edit { name: b"C", value: None },
        Edit { name: b"D", value: Some(b"6") },
    ];
    let plan = RequestPlan {
        authority: b"b.test:81",
        framing: Framing::None,
        persist: Persist::Close,
        edits: &edits,
    };
    let mut out = Vec::new();
    write_request(&head, &plan, &mut out);
    let wanted = "GET / HTTP/1.1\r\nHost: b.test:81\r\nB: 2\r\na: 5\r\nD: 6\r\nConnection: close\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), wanted);
}

#[test]
fn p19_a_client_of_http_1_0_is_told_how_the_connection_goes_on() {
    let mut head = ResponseHead::default();
    let raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    parse_response(raw, &Method::Get, &mut head, &relay::RESPONSE_LIMITS).expect("a valid response");
    let write = |framing, persist| {
        let mut out = Vec::new();
        write_response(&head, &ResponsePlan { framing, persist, edits: &[] }, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    assert_eq!(write(Framing::Close, Persist::KeepAlive), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    let wanted = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 18446744073709551615\r\n\r\n";
    assert_eq!(write(Framing::Length(u64::MAX), Persist::KeepAlive), wanted);
}

#[test]
fn fields_are_found_without_regard_to_case_and_keep_their_own() {
    let mut fields = Fields::new();
    for (name, value) in [(b"A-a", b"1"), (b"b-B", b"2"), (b"a-A", b"3")] {
        fields.push(name, value);
    }
    assert_eq!((fields.get(b"a-a"), fields.get(b"c"), fields.count(b"A-A")), (Some(&b"1"[..]), None, 2));
    assert_eq!(fields.all(b"A-A").collect::<Vec<_>>(), [b"1", b"3"]);
    fields.replace(b"a-a", b"four");
    fields.replace(b"new", b"5");
    let all: Vec<_> = fields.iter().collect();
    assert_eq!(all, [(&b"A-a"[..], &b"four"[..]), (b"b-B", b"2"), (b"new", b"5")]);
    fields.remove(b"B-B");
    assert_eq!((fields.len(), fields.get(b"b-b")), (2, None));
    fields.clear();
    assert!(fields.is_empty());
}

#[test]
fn p23_a_large_head_does_not_stay_in_memory() {
    let mut head = request(&format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "a".repeat(60_000)));
    head.clear();
    assert!(head.fields.capacity() <= 8 << 10);
}

#[test]
fn a_failed_head_shows_nothing_of_the_one_before() {
    let mut head = request("POST /secret HTTP/1.1\r\nHost: a.test\r\nX: 1\r\n\r\n");
    assert!(parse_request(b"BAD\r\n\r\n", &mut head, &REQUEST_LIMITS).is_err());
    assert!(head.target.as_bytes().is_empty() && head.fields.is_empty() && head.host().is_none());
    let refused = b"PUT /new HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n";
    assert!(parse_request(refused, &mut head, &REQUEST_LIMITS).is_err());
    assert_eq!((head.method, head.path()), (Method::Put, &b"/new"[..]));
}

#[test]
fn p30_methods_say_whether_they_may_be_repeated() {
    let of = |name: &[u8]| Method::parse(name).expect("a token");
    for name in [&b"GET"[..], b"HEAD", b"OPTIONS", b"TRACE"] {
        assert!(of(name).is_safe() && of(name).is_idempotent());
    }
    for name in [&b"PUT"[..], b"DELETE"] {
        assert!(!of(name).is_safe() && of(name).is_idempotent());
    }
    for name in [&b"POST"[..], b"PATCH", b"CONNECT", b"get", b"PROPFIND"] {
        assert!(!of(name).is_safe() && !of(name).is_idempotent());
    }
}

#[test]
fn authorities_are_split() {
    let parse = |raw| Authority::parse(raw);
    assert_eq!(parse(b"a_b.Test"), Ok(Authority { host: b"a_b.Test", port: None }));
    assert_eq!(parse(b"[::1]:80"), Ok(Authority { host: b"[::1]", port: Some(80) }));
    assert_eq!(parse(b"a:00080"), Ok(Authority { host: b"a", port: Some(80) }));
    assert_eq!(parse(b"a:65535"), Ok(Authority { host: b"a", port: Some(65535) }));
    assert_eq!(parse(b"u@a"), Err(HeadError::Userinfo));
    for raw in
        [&b""[..], b":80", b"a:", b"a:0", b"a:65536", b"a:1x", b"::1", b"[::1", b"[::1]80", b"a b", b"a/b"]
    {
        assert_eq!(parse(raw), Err(HeadError::Authority), "{}", String::from_utf8_lossy(raw));
    }
}

#[test]
fn p22_a_scan_sees_each_byte_once() {
    let head = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: 1\r\n".repeat(200));
    let mut scan = HeadScan::new();
    for len in 1..head.len() {
        assert_eq!(scan.find(&head.as_bytes()[..len], &REQUEST_LIMITS), Ok(None));
        assert_eq!(scan.seen(), len);
    }
    assert_eq!(scan.find(head.as_bytes(), &REQUEST_LIMITS), Ok(Some(head.len())));
}
