//! Promises about one moment, kept on a virtual clock: every deadline when it is due and not before, every limit at
//! the limit and one past, who is told what when either side leaves.

use std::net::{IpAddr, SocketAddr};

use tollgate::conn::{Conn, Side};
use tollgate::lab::cuts::Cuts;
use tollgate::lab::peer::{End, Peer};
use tollgate::lab::{Lab, Names, ORIGIN, Reach, normal, world};
use tollgate::limits::{Micros, SECOND};
use tollgate::telemetry::event::{Decision, NetEvent, Phase};
use tollgate::wire::head::Method;

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn lab() -> Lab {
    Lab::new(Cuts::Whole)
}

/// A lab whose guest has a TLS connection to `a.test`.
fn secure() -> Lab {
    let mut lab = lab();
    lab.guest_begins_tls("a.test");
    assert!(!lab.guest.is_handshaking());
    lab
}

/// The last status that the guest was told, 0 for none.
fn told(lab: &Lab) -> u16 {
    normal::responses(lab.guest.received(), &[Method::Get]).last().map_or(0, |message| message.status)
}

fn text(lab: &Lab) -> String {
    String::from_utf8_lossy(lab.guest.received()).into_owned()
}

/// The only row.
fn row(lab: &Lab) -> NetEvent {
    let rows = lab.rows();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    rows[0].clone()
}

fn assert_row(lab: &Lab, decision: Decision, phase: Phase) {
    let row = row(lab);
    assert_eq!((row.decision, row.fault_phase), (decision, Some(phase)), "{:?}", row.fault);
}

/// Nothing happens a moment before `after`, and something does at that moment.
fn at(lab: &mut Lab, after: Micros, happened: impl Fn(&Lab) -> bool) {
    lab.wait(after - 1);
    assert!(!happened(lab), "too early");
    lab.wait(1);
    assert!(happened(lab), "not at the moment");
}

#[test]
fn p21_hello_counts_from_accept_and_bytes_do_not_extend_it() {
    let mut silent = lab();
    at(&mut silent, 10 * SECOND, Lab::is_over);
    assert_row(&silent, Decision::Failed, Phase::Greet);

    let mut dripping = lab();
    dripping.wait(SECOND);
    for byte in b"\x16\x03\x01\x01\x00\x01" {
        dripping.guest.send_raw(&[*byte]);
        dripping.settle();
        dripping.wait(SECOND);
    }
    at(&mut dripping, 3 * SECOND, Lab::is_over);
    assert_row(&dripping, Decision::Failed, Phase::Hello);
}

#[test]
fn p21_handshake_counts_from_the_whole_hello() {
    let mut lab = lab();
    lab.guest.reads_only(0);
    lab.guest_begins_tls("a.test");
    at(&mut lab, 10 * SECOND, Lab::is_over);
    assert_row(&lab, Decision::Failed, Phase::Handshake);
}

#[test]
fn p21_head_counts_from_its_first_byte_and_bytes_do_not_extend_it() {
    let mut plain = lab();
    for byte in &GET[..9] {
        plain.guest_sends(&[*byte]);
        plain.wait(SECOND);
    }
    at(&mut plain, SECOND, |lab| told(lab) == 408);
    assert_row(&plain, Decision::Failed, Phase::Head);

    let mut first = secure();
    at(&mut first, 10 * SECOND, Lab::is_over);
    assert_row(&first, Decision::Failed, Phase::Head);
}

#[test]
fn p21_an_idle_connection_is_closed_without_a_row_of_its_own() {
    let mut lab = secure();
    lab.guest_sends(GET);
    lab.origin_sends(OK);
    at(&mut lab, 60 * SECOND, Lab::is_over);
    assert!(lab.guest.was_told_goodbye(), "a clean end is said so");
    assert_eq!(row(&lab).decision, Decision::Allowed);
}

#[test]
fn p35_an_idle_connection_ends_with_a_goodbye_and_half_an_answer_without() {
    let mut idle = secure();
    idle.guest_sends(GET);
    idle.origin_sends(OK);
    idle.act(|conn, cx| conn.cut("the proxy ends", cx));
    assert!(idle.is_over() && idle.guest.was_told_goodbye());

    let mut half = secure();
    half.guest_sends(GET);
    half.origin_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    half.act(|conn, cx| conn.cut("the proxy ends", cx));
    assert!(half.is_over() && !half.guest.was_told_goodbye());
}

#[test]
fn p21_an_empty_line_after_a_body_is_no_request() {
    for end in [None, Some(End::Fin)] {
        let mut lab = lab();
        lab.guest_sends(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab\r\n");
        lab.origin_sends(OK);
        match end {
            Some(end) => lab.guest_ends(end),
            None => at(&mut lab, 60 * SECOND, Lab::is_over),
        }
        assert!(lab.is_over());
        assert_eq!(row(&lab).decision, Decision::Allowed);
        assert!(text(&lab).ends_with("ok"), "nothing but the answer: {}", text(&lab));
    }
}

#[test]
fn p21_every_stage_towards_the_origin_is_504_at_its_moment() {
    let stages: [(Names, Reach, Micros, Phase); 2] = [
        (Names::Silent, Reach::Connects, 5 * SECOND, Phase::Dns),
        (Names::Are(vec![ORIGIN]), Reach::BlackHole, 10 * SECOND, Phase::Connect),
    ];
    for (names, reach, after, phase) in stages {
        let mut lab = secure();
        (lab.names, lab.reach) = (names, reach);
        lab.guest_sends(GET);
        at(&mut lab, after, |lab| told(lab) == 504);
        assert!(text(&lab).contains(phase.as_str()), "{}", text(&lab));
        assert_row(&lab, Decision::Failed, phase);
    }
}

#[test]
fn p21_first_byte_counts_from_the_end_of_sending() {
    let mut lab = secure();
    lab.guest_sends(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\na");
    lab.wait(100 * SECOND);
    lab.guest_sends(b"b");
    lab.wait(100 * SECOND);
    lab.origin_sends(b"HTTP/1.1 103 Early Hints\r\n\r\n");
    at(&mut lab, 200 * SECOND, |lab| told(lab) == 504);
    assert_row(&lab, Decision::Failed, Phase::FirstByte);
}

#[test]
fn p21_body_counts_silence_either_way() {
    let mut down = secure();
    down.guest_sends(GET);
    down.origin_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na");
    for _ in 0..4 {
        down.wait(100 * SECOND);
        down.origin_sends(b"a");
    }
    at(&mut down, 120 * SECOND, Lab::is_over);
    assert_row(&down, Decision::Failed, Phase::Body);
    assert!(!down.guest.was_told_goodbye(), "P18");

    let mut up = secure();
    up.guest_sends(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\na");
    at(&mut up, 120 * SECOND, |lab| told(lab) == 504);
    assert_row(&up, Decision::Failed, Phase::Body);
}

#[test]
fn p21_a_slow_reader_is_not_silent_and_gets_the_whole_answer() {
    for close in ["", "Connection: close\r\n"] {
        let mut lab = secure();
        lab.guest.reads_only(1000);
        lab.guest_sends(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{close}\r\n").as_bytes());
        let body = vec![b'x'; 30_000];
        lab.origin_sends(&[b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n", &body[..]].concat());
        while !text(&lab).ends_with(&"x".repeat(30_000)) {
            assert!(!lab.is_over() && lab.guest.ended.is_none(), "cut after {} bytes", text(&lab).len());
            lab.wait(50 * SECOND);
            lab.guest.reads_only(1000);
            lab.settle();
        }
        assert_eq!(row(&lab).decision, Decision::Allowed);
    }
}

/// A limit's name, a request of a size, the limit, and the status past it.
type Limit<'a> = (&'a str, &'a dyn Fn(usize) -> String, usize, u16);

#[test]
fn p22_limits_hold_at_the_limit_and_one_past() {
    let line = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(len - 14));
    let block = |len: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n",
            "a".repeat(len - "Host: a.test\r\nX: \r\n".len())
        )
    };
    let fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: 1\r\n".repeat(count - 1));
    let chunk = |len: usize| {
        let extension = "a".repeat(len - 2);
        format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1;{extension}\r\na\r\n0\r\n\r\n"
        )
    };
    let trailers = |len: usize| {
        let value = "a".repeat(len - "X: \r\n".len());
        format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: {value}\r\n\r\n"
        )
    };
    let limits: [Limit<'_>; 5] = [
        ("request line", &line, 16 << 10, 414),
        ("header block", &block, 64 << 10, 431),
        ("fields", &fields, 256, 431),
        ("chunk line", &chunk, 256, 400),
        ("trailers", &trailers, 8 << 10, 431),
    ];
    for (what, request, limit, status) in limits {
        for cuts in [Cuts::Whole, Cuts::from_seed(5)] {
            for (len, expected) in [(limit, 200), (limit + 1, status)] {
                let mut lab = Lab::new(cuts.clone());
                lab.guest_sends(request(len).as_bytes());
                if lab.has_origin() {
                    lab.origin_sends(OK);
                }
                assert_eq!(told(&lab), expected, "{what} of {len}");
                assert_eq!(lab.rows().len(), 1, "{what} of {len}");
            }
        }
    }
}

#[test]
fn p22_a_response_head_may_be_as_large_as_the_limit() {
    let head = |len: usize| {
        let fixed = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \r\n";
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: {}\r\n\r\nok", "a".repeat(len - fixed.len()))
    };
    for cuts in [Cuts::Whole, Cuts::Bytes, Cuts::from_seed(3)] {
        for make in [lab as fn() -> Lab, secure] {
            for (len, expected) in [(64 << 10, 200), ((64 << 10) + 1, 502)] {
                let mut lab = make();
                lab.set_cuts(cuts.clone());
                lab.guest_sends(GET);
                lab.origin_sends(head(len).as_bytes());
                assert_eq!(
                    told(&lab),
                    expected,
                    "{len} bytes, cut {cuts:?} {:?} {:?}",
                    lab.rows(),
                    lab.guest.received().len()
                );
            }
        }
    }
}

#[test]
fn p22_limits_of_a_response_hold_at_the_limit_and_one_past() {
    let fields = |count: usize| {
        let others = "X: 1\r\n".repeat(count - 1);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{others}\r\nok")
    };
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |len: usize| format!("{chunked}1;{}\r\na\r\n0\r\n\r\n", "a".repeat(len - 2));
    let trailers = |len: usize| format!("{chunked}0\r\nX: {}\r\n\r\n", "a".repeat(len - "X: \r\n".len()));
    let limits: [Limit<'_>; 3] = [
        ("fields", &fields, 256, 502),
        ("chunk line", &chunk, 256, 502),
        ("trailers", &trailers, 8 << 10, 502),
    ];
    for (what, response, limit, status) in limits {
        for (len, expected) in [(limit, 200), (limit + 1, status)] {
            let mut lab = secure();
            lab.guest_sends(GET);
            lab.origin_sends(response(len).as_bytes());
            assert_eq!(told(&lab), expected, "{what} of {len}");
            let decision = if expected == 200 { Decision::Allowed } else { Decision::Failed };
            assert_eq!(row(&lab).decision, decision, "{what} of {len}");
        }
    }
}

#[test]
fn p22_thirty_two_interim_responses_and_no_more() {
    for (count, expected) in [(32, 200), (33, 502)] {
        let mut lab = secure();
        lab.guest_sends(GET);
        lab.origin_sends(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n".repeat(count).as_slice());
        if lab.has_origin() {
            lab.origin_sends(OK);
        }
        assert_eq!(told(&lab), expected);
        assert_eq!(text(&lab).matches(" 103 ").count(), 32);
        assert_eq!(lab.rows().len(), 1);
    }
}

#[test]
fn p23_what_waits_for_a_peer_that_does_not_read_is_bounded() {
    let mut down = secure();
    down.guest.reads_only(0);
    down.guest_sends(GET);
    down.origin_sends(
        &[b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n", &vec![7; 8 << 20][..]].concat(),
    );
    assert!(down.conn.held() <= 128 << 10, "{} bytes", down.conn.held());

    let mut up = secure();
    up.guest_sends(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9000000\r\n\r\n");
    up.origin().reads_only(0);
    up.guest_sends(&vec![7; 8 << 20]);
    assert!(up.conn.held() <= 128 << 10, "{} bytes", up.conn.held());
}

#[test]
fn p23_pipelined_refusals_wait_for_a_guest_that_does_not_read() {
    let deny = "[network]\ndefault = \"deny\"\n";
    let mut lab = Lab::with(world::world(deny), Cuts::Whole);
    lab.guest.reads_only(0);
    lab.guest_sends(&GET.repeat(20_000));
    assert!(lab.conn.held() <= 192 << 10, "{} bytes", lab.conn.held());
    lab.guest.reads_only(usize::MAX);
    lab.settle();
    assert_eq!(lab.rows().len(), 20_000, "each is answered once the guest reads");
}

#[test]
fn p30_a_request_that_is_not_idempotent_is_sent_once_at_most() {
    for end in [End::Fin, End::Cut, End::Reset] {
        let mut lab = secure();
        lab.guest_sends(GET);
        lab.origin_sends(OK);
        assert_eq!(lab.pooled(), 1);
        lab.watches_pool = false; // it happens in the moment in which the connection is taken
        lab.pooled_ends(end);
        lab.guest.take_received();
        lab.guest_sends(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab");
        if told(&lab) == 0 {
            lab.origin_sends(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        }
        let posts = lab
            .origins
            .iter()
            .filter(|origin| origin.received().windows(4).any(|four| four == b"POST"))
            .count();
        assert!(posts <= 1, "P30: sent {posts} times");
        assert!(matches!(told(&lab), 201 | 502), "{end:?}: {}", text(&lab));
    }
}

#[test]
fn p30_a_stale_pooled_connection_is_replaced_once_for_idempotent_requests() {
    for (method, end, expected) in [
        ("GET", End::Fin, 200),
        ("GET", End::Reset, 200),
        ("DELETE", End::Cut, 200),
        ("POST", End::Fin, 502),
        ("PATCH", End::Reset, 502),
    ] {
        let mut lab = lab();
        lab.guest_sends(GET);
        lab.origin_sends(OK);
        lab.guest.take_received();
        lab.guest_sends(format!("{method} /2 HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes());
        lab.origin_ends(end);
        if lab.has_origin() {
            assert_eq!(lab.origins.len(), 2);
            lab.origin_sends(OK);
        }
        assert_eq!(told(&lab), expected, "{method} after {end:?}");
        assert_eq!(lab.rows().len(), 2);
    }
}

#[test]
fn p30_a_fresh_connection_that_dies_is_not_tried_again() {
    let mut lab = lab();
    lab.guest_sends(GET);
    lab.origin_ends(End::Reset);
    assert_eq!(told(&lab), 502);
    assert_eq!(lab.origins.len(), 1);
    assert_row(&lab, Decision::Failed, Phase::FirstByte);
}

#[test]
fn p31_a_guest_that_leaves_ends_its_origin_at_once() {
    type Prepare = fn(&mut Lab);
    let asked: Prepare = |lab| lab.guest_sends(GET);
    let dialling: Prepare = |lab| {
        lab.reach = Reach::BlackHole;
        lab.guest_sends(GET);
    };
    let answered: Prepare = |lab| {
        lab.guest_sends(GET);
        lab.origin_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na");
    };
    let pipelined: Prepare = |lab| lab.guest_sends(&GET.repeat(2));
    let uploading: Prepare =
        |lab| lab.guest_sends(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\na");
    let stages = [
        ("asked", asked, Phase::FirstByte),
        ("dialling", dialling, Phase::Connect),
        ("answered", answered, Phase::Body),
        ("pipelined", pipelined, Phase::FirstByte),
        ("uploading", uploading, Phase::Body),
    ];
    for (what, prepare, phase) in stages {
        for end in [End::Fin, End::Cut, End::Reset] {
            let mut lab = secure();
            prepare(&mut lab);
            lab.guest_ends(end);
            assert!(!lab.has_origin(), "{what}, {end:?}");
            assert!(lab.is_over(), "{what}, {end:?}");
            let row = row(&lab);
            assert_eq!((row.decision, row.fault_phase), (Decision::Aborted, Some(phase)), "{what}, {end:?}");
        }
    }
}

#[test]
fn p18_half_an_answer_ends_visibly() {
    let begun: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhalf",
    ];
    for bytes in begun {
        for version in ["1.1", "1.0"] {
            let mut plain = lab();
            plain.guest_sends(format!("GET / HTTP/{version}\r\nHost: a.test\r\n\r\n").as_bytes());
            plain.origin_sends(bytes);
            plain.origin_ends(End::Reset);
            assert!(plain.is_over() && !text(&plain).ends_with("0\r\n\r\n"), "{}", text(&plain));
            let ended = if version == "1.1" { End::Fin } else { End::Reset };
            assert_eq!(plain.guest.ended, Some(ended), "{}", text(&plain));
            assert_row(&plain, Decision::Failed, Phase::Body);
        }
        let mut lab = secure();
        lab.guest_sends(GET);
        lab.origin_sends(bytes);
        lab.origin_ends(End::Reset);
        assert!(!lab.guest.was_told_goodbye() && lab.is_over());
        assert!(text(&lab).contains("half") && !text(&lab).ends_with("0\r\n\r\n"), "{}", text(&lab));
    }
}

#[test]
fn p18_broken_framing_is_502_while_nothing_was_sent() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let mut lab = secure();
        lab.guest_sends(GET);
        lab.origin_sends(bytes);
        assert_eq!(told(&lab), 502, "{}", text(&lab));
        assert!(lab.guest.was_told_goodbye() && !lab.has_origin() && lab.pooled() == 0);
        assert_eq!((row(&lab).decision, row(&lab).status), (Decision::Failed, Some(502)));
    }
}

#[test]
fn p16_bytes_that_nobody_asked_for_cost_the_connection() {
    let mut idle = secure();
    idle.guest_sends(GET);
    idle.origin_sends(OK);
    assert_eq!(idle.pooled(), 1);
    idle.pooled_sends(OK);
    idle.settle();
    assert_eq!(idle.pooled(), 0);

    let mut fresh = lab();
    fresh.origin_speaks_first = Some(OK);
    fresh.guest_sends(GET);
    assert_eq!(told(&fresh), 502, "{}", text(&fresh));
    assert_eq!(fresh.origins[0].received(), b"");
}

#[test]
fn p16_an_early_answer_ends_both_connections() {
    let mut lab = secure();
    lab.guest_sends(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 900000\r\n\r\nabc");
    lab.origin_sends(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert!(text(&lab).contains("Connection: close\r\n") && text(&lab).ends_with("no"), "{}", text(&lab));
    assert_eq!((lab.pooled(), lab.has_origin()), (0, false));
    assert!(lab.guest.was_told_goodbye() && !lab.is_over(), "what still comes is thrown away for a while");
    lab.guest_sends(&vec![b'x'; 100_000]);
    lab.guest_ends(End::Fin);
    assert!(lab.is_over());
    assert_eq!(row(&lab).status, Some(413));
}

#[test]
fn p16_an_answer_is_read_although_the_origin_takes_nothing_more() {
    let mut lab = secure();
    lab.guest_sends(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 900000\r\n\r\nabc");
    lab.origin().reads_only(0);
    lab.act(|conn, cx| {
        conn.origin_refuses();
        conn.run(cx);
    });
    lab.origin_sends(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(told(&lab), 413);
}

#[test]
fn p19_interim_responses_are_not_for_http_1_0() {
    for (version, expected) in [("1.0", 0), ("1.1", 2)] {
        let mut lab = lab();
        lab.guest_sends(format!("GET / HTTP/{version}\r\nHost: a.test\r\n\r\n").as_bytes());
        lab.origin_sends(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n");
        lab.origin_sends(OK);
        assert_eq!(text(&lab).matches("HTTP/1.1 10").count(), expected);
        assert!(text(&lab).ends_with("ok"));
    }
}

#[test]
fn p19_http_1_0_gets_no_chunks_and_keeps_alive_when_asked() {
    let mut chunked = lab();
    chunked.guest_sends(b"GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
    chunked.origin_sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    assert!(text(&chunked).ends_with("Connection: close\r\n\r\nok"), "{}", text(&chunked));
    assert_eq!((chunked.guest.ended, chunked.pooled()), (Some(End::Fin), 1));

    let mut kept = lab();
    for _ in 0..2 {
        kept.guest_sends(b"GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
        kept.origin_sends(OK);
    }
    assert_eq!(text(&kept).matches("Connection: keep-alive\r\n").count(), 2, "{}", text(&kept));
}

#[test]
fn p12_no_tunnel_in_a_tunnel_and_no_other_protocols() {
    for (request, expected) in [
        (&b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"[..], 405),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n", 501),
    ] {
        let mut lab = lab();
        lab.guest_connects("a.test");
        lab.guest_sends(request);
        assert_eq!(told(&lab), expected, "{}", text(&lab));
        assert!(lab.origins.is_empty(), "P8");
        assert_eq!(row(&lab).decision, Decision::Denied);
    }
}

#[test]
fn p12_inside_connect_only_what_the_port_is_for() {
    for (port, bytes, expected) in [
        (443, GET, 400),
        (443, &b"\x00\x01\x02"[..], 0),
        (443, b"SSH-2.0-x\r\n", 400),
        (80, b"\x00\x01\x02", 0),
        (80, b"SSH-2.0-x\r\n", 400),
    ] {
        let mut lab = lab();
        lab.guest_sends(format!("CONNECT a.test:{port} HTTP/1.1\r\nHost: a.test:{port}\r\n\r\n").as_bytes());
        lab.guest.take_received();
        lab.guest_sends(bytes);
        assert_eq!(told(&lab), expected, "{}", text(&lab));
        assert!(lab.guest.ended.is_some(), "at once");
        assert!(lab.origins.is_empty());
        let row = row(&lab);
        assert_eq!((row.decision, row.host.as_deref()), (Decision::Denied, Some("a.test")));
    }
    let mut plain = lab();
    plain.guest_sends(b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n");
    plain.guest.take_received();
    plain.guest_sends(GET);
    plain.origin_sends(OK);
    assert_eq!(told(&plain), 200);
    assert_eq!(row(&plain).scheme, "http");
}

#[test]
fn p2_another_protocol_is_refused_at_its_first_wrong_byte() {
    for (bytes, expected) in [
        (&b"hello world"[..], 400),
        (b"<?xml version", 400),
        (b"{\"id\":", 400),
        (b" ", 400),
        (b"\r\r", 400),
        (b"GET ftp:", 400),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 501),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
        (b"EHLO example\r\n", 400),
        (b"HELP\n", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"\x80\x2e\x01\x03\x01", 0),
        (b"\x00\x00\x00\x00", 0),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", 0),
    ] {
        let mut lab = lab();
        lab.guest_sends(bytes);
        assert_eq!(told(&lab), expected, "{:?}", bytes.escape_ascii().to_string());
        assert!(lab.guest.ended.is_some());
        assert_eq!(row(&lab).decision, Decision::Denied);
    }
}

#[test]
fn p29_an_origin_of_another_protocol_is_502_at_its_first_wrong_byte() {
    for bytes in
        [&b"SSH-2.0-OpenSSH_9.2"[..], b"220 mail.test ESMTP", b"\x15\x03\x01", b"HTTP/1.1  200", b"\r\n"]
    {
        let mut lab = secure();
        lab.guest_sends(GET);
        lab.origin_sends(bytes);
        assert_eq!(told(&lab), 502, "{:?}", bytes.escape_ascii().to_string());
        assert!(!lab.has_origin());
        assert_row(&lab, Decision::Failed, Phase::FirstByte);
    }
}

#[test]
fn p32_a_guest_that_leaves_in_its_first_bytes_is_a_row_at_once() {
    for bytes in [&b"\x05"[..], b"\x05\x01\0\x05\x01\0\x03\x06a.t", b"PRI * HTTP", b"\x16\x03", b"GET / HT"] {
        let mut lab = lab();
        lab.guest_sends(bytes);
        lab.guest_ends(End::Fin);
        assert!(lab.is_over(), "{:?}", bytes.escape_ascii().to_string());
        assert_eq!(row(&lab).decision, Decision::Aborted);
    }
}

#[test]
fn p19_max_forwards_counts_down_and_ends_here() {
    let ask = |method: &str, value: &str| {
        let mut lab = secure();
        let field = format!("Max-Forwards: {value}\r\n");
        lab.guest_sends(format!("{method} / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n").as_bytes());
        let onward =
            lab.origins.first().map(|origin| String::from_utf8_lossy(origin.received()).into_owned());
        (told(&lab), onward.unwrap_or_default())
    };
    for method in ["TRACE", "OPTIONS"] {
        for (value, left) in [("1", "0"), ("10", "9"), ("007", "6")] {
            let (_, onward) = ask(method, value);
            assert!(onward.contains(&format!("\r\nMax-Forwards: {left}\r\n")), "{method} {value}: {onward}");
        }
        assert_eq!(ask(method, "0"), (501, String::new()), "{method}");
        for odd in ["", "-1", "1, 2", "1\r\nMax-Forwards: 1", "99999999999999999999"] {
            assert_eq!(ask(method, odd), (400, String::new()), "{method} {odd:?}");
        }
    }
    assert!(ask("GET", "0").1.contains("\r\nMax-Forwards: 0\r\n"), "it means nothing to other methods");
}

#[test]
fn p6_a_request_for_another_host_is_421_for_the_nth_too() {
    let mut lab = secure();
    for _ in 0..3 {
        lab.guest_sends(GET);
        lab.origin_sends(OK);
    }
    lab.guest_sends(b"GET /y HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert_eq!(told(&lab), 421);
    assert!(lab.guest.was_told_goodbye());
    let rows = lab.rows();
    assert_eq!(
        (rows.len(), rows[3].decision, rows[3].path.as_deref()),
        (4, Decision::Denied, Some(&b"/y"[..]))
    );
    assert_eq!(lab.origins.len(), 1);

    let mut tunnel = lab_with_sni_of_another_host();
    tunnel.guest_sends(b"GET /y HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert_eq!(told(&tunnel), 421);
    assert!(tunnel.origins.is_empty());
}

fn lab_with_sni_of_another_host() -> Lab {
    let mut lab = lab();
    lab.guest_sends(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
    lab.guest.take_received();
    lab.guest_begins_tls("b.test");
    lab
}

#[test]
fn p14_a_refused_head_is_recorded_with_what_was_read_of_it() {
    let mut lab = secure();
    lab.guest_sends(b"PUT /a/b?c=d HTTP/1.1\r\nHost: a.test\r\nX : 1\r\n\r\n");
    assert_eq!(told(&lab), 400);
    let row = row(&lab);
    assert_eq!((row.method, row.path.as_deref()), (Some(Method::Put), Some(&b"/a/b"[..])));
    assert_eq!((row.scheme, row.host.as_deref(), row.status), ("https", Some("a.test"), Some(400)));
}

#[test]
fn p35_what_runs_may_end_and_then_the_connection_does() {
    let mut lab = secure();
    lab.guest_sends(GET);
    lab.origin_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    lab.draining = true;
    assert!(!lab.conn.is_idle());
    lab.origin_sends(b"lf");
    assert!(text(&lab).ends_with("half") && lab.guest.was_told_goodbye(), "{}", text(&lab));
    lab.guest_ends(End::Fin);
    assert!(lab.is_over());
    assert_eq!(row(&lab).decision, Decision::Allowed);
}

#[test]
fn p35_a_connection_with_an_answer_to_deliver_is_not_idle() {
    let mut lab = secure();
    lab.guest.reads_only(300);
    lab.guest_sends(GET);
    lab.origin_sends(&[b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", &[b'x'; 9000][..]].concat());
    assert!(!lab.conn.is_idle());
    lab.draining = true;
    lab.guest.reads_only(usize::MAX);
    lab.settle();
    assert!(text(&lab).ends_with("xxx") && lab.guest.was_told_goodbye());
    assert_eq!(lab.guest.received().len() - text(&lab).find("xxx").expect("a body"), 9000);
}

#[test]
fn p32_a_probe_that_says_nothing_leaves_no_row() {
    for end in [End::Fin, End::Reset] {
        let mut lab = lab();
        lab.guest_ends(end);
        assert!(lab.is_over());
        assert!(lab.rows().is_empty(), "{end:?}");
    }
}

const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[test]
fn p12_a_websocket_is_relayed_and_recorded_once() {
    let close_1000 = b"\x88\x02\x03\xe8";
    let masked_close = b"\x88\x82\0\0\0\0\x03\xe8";
    let ends: [(&[u8], &[u8], End, Decision); 3] = [
        (masked_close, close_1000, End::Fin, Decision::Allowed),
        (b"", b"", End::Fin, Decision::Aborted),
        (b"", close_1000, End::Fin, Decision::Allowed),
    ];
    for (from_guest, from_origin, end, decision) in ends {
        for cuts in [Cuts::Whole, Cuts::Bytes] {
            let mut lab = secure();
            lab.set_cuts(cuts);
            lab.guest_sends(HANDSHAKE);
            lab.origin_sends(&[ACCEPTED, b"\x81\x02hi"].concat());
            assert_eq!(told(&lab), 101);
            assert!(lab.guest.received().ends_with(b"\x81\x02hi"), "what came with the 101 follows it");
            lab.origin().take_received();
            lab.guest_sends(b"\x81\x82\0\0\0\0yo");
            assert_eq!(lab.origin().received(), b"\x81\x82\0\0\0\0yo");
            lab.guest_sends(from_guest);
            lab.origin_sends(from_origin);
            lab.guest_ends(end);
            let row = row(&lab);
            assert_eq!((row.decision, row.status, row.scheme), (decision, Some(101), "wss"));
            let facts = row.websocket.expect("facts of a WebSocket");
            assert_eq!((facts.guest_messages, facts.origin_messages), (1, 1));
            assert_eq!(facts.guest_close, (!from_guest.is_empty()).then_some(1000));
            assert_eq!(facts.origin_close, (!from_origin.is_empty()).then_some(1000));
        }
    }
}

#[test]
fn p12_a_websocket_ends_once_both_sides_said_goodbye() {
    let mut lab = secure();
    lab.guest_sends(HANDSHAKE);
    lab.origin_sends(ACCEPTED);
    lab.origin_sends(b"\x88\x02\x03\xe8");
    assert!(lab.has_origin() && lab.rows().is_empty());
    lab.guest_sends(b"\x88\x82\0\0\0\0\x03\xe8");
    assert!(!lab.has_origin() && lab.guest.was_told_goodbye());
    assert_eq!((row(&lab).decision, row(&lab).fault), (Decision::Allowed, None));
}

#[test]
fn p12_an_origin_that_leaves_a_websocket_without_a_word_has_failed() {
    let mut lab = secure();
    lab.guest_sends(HANDSHAKE);
    lab.origin_sends(ACCEPTED);
    lab.origin_ends(End::Cut);
    assert_row(&lab, Decision::Failed, Phase::Body);
}

#[test]
fn p23_a_websocket_holds_little_either_way() {
    for from_guest in [true, false] {
        let mut lab = secure();
        lab.guest_sends(HANDSHAKE);
        lab.origin_sends(ACCEPTED);
        if from_guest {
            lab.origin().reads_only(0);
            lab.guest_sends(&vec![7; 4 << 20]);
        } else {
            lab.guest.reads_only(0);
            lab.origin_sends(&vec![7; 4 << 20]);
        }
        assert!(lab.conn.held() <= 128 << 10, "{} bytes", lab.conn.held());
    }
}

#[test]
fn p5_a_client_that_offers_only_h2_gets_an_alert() {
    let mut lab = lab();
    lab.guest = Peer::offering("a.test", &[b"h2"]);
    lab.settle();
    assert!(lab.guest.tls_error.as_deref().is_some_and(|error| error.contains("NoApplicationProtocol")));
    assert_row(&lab, Decision::Failed, Phase::Handshake);
}

#[test]
fn p1_a_splice_hands_on_the_very_bytes() {
    let splice = "[network]\ndefault = \"allow\"\nsplice = [\"a.test\"]\n";
    for cuts in [Cuts::Whole, Cuts::Bytes] {
        let mut lab = Lab::with(world::world(splice), cuts);
        let mut twin = Peer::plain();
        twin.begin_tls("a.test");
        let hello = twin.take_sent();
        lab.guest.send_raw(&hello);
        lab.settle();
        assert_eq!(lab.origin().received(), hello);
        lab.origin_sends(b"\x16\x03\x03\x00\x01x");
        assert_eq!(lab.guest.received(), b"\x16\x03\x03\x00\x01x");
        lab.origin_ends(End::Fin);
        assert_eq!(lab.guest.ended, Some(End::Fin), "a half-close goes on");
        lab.guest.send_raw(b"more");
        lab.settle();
        assert!(lab.origin().received().ends_with(b"more"), "the other half still works");
        lab.guest_ends(End::Fin);
        let row = row(&lab);
        assert_eq!((row.decision, row.response_bytes), (Decision::Spliced, 6));
        assert_eq!(row.request_bytes, hello.len() as u64 + 4);
    }
}

#[test]
fn p12_what_is_neither_tls_nor_http_passes_only_to_a_spliced_host_and_port() {
    const SPLICE: &str = "[network]\ndefault = \"allow\"\nsplice = [\"a.test\"]\nports = [22, 80]\n";
    let tunnel = |cuts: &Cuts, policy, bytes: &[u8]| {
        let mut lab = Lab::with(world::world(policy), cuts.clone());
        lab.guest_sends(b"CONNECT a.test:22 HTTP/1.1\r\nHost: a.test:22\r\n\r\n");
        assert!(lab.guest.take_received().starts_with(b"HTTP/1.1 200 "));
        lab.guest_sends(bytes);
        lab
    };
    for cuts in [Cuts::Whole, Cuts::Bytes] {
        for bytes in [&b"SSH-2.0-x comment\r\n"[..], b"\0\x01\x02", b"AAAAAAAAAAAAAAAAAAA"] {
            let mut lab = tunnel(&cuts, SPLICE, bytes);
            assert_eq!(lab.origin().received(), bytes);
            lab.guest_ends(End::Fin);
            lab.origin_ends(End::Fin);
            assert_eq!(row(&lab).decision, Decision::Spliced);
        }
        let lab = tunnel(&cuts, SPLICE, b"GET / HTTP/1.1\r\nHost: b.test:22\r\n\r\n");
        assert_eq!(told(&lab), 421, "HTTP is read and judged");
        let unspliced = "[network]\ndefault = \"allow\"\nports = [22]\n";
        let lab = tunnel(&cuts, unspliced, b"SSH-2.0-x\r\n");
        assert!(lab.origins.is_empty());
        assert_eq!(told(&lab), 400);
    }
}

#[test]
fn p31_a_cut_at_the_operators_word_is_one_row() {
    let mut lab = secure();
    lab.guest_sends(GET);
    lab.act(|conn: &mut Conn, cx| conn.cut("the proxy ends", cx));
    assert!(lab.is_over());
    assert_row(&lab, Decision::Aborted, Phase::FirstByte);
    assert_eq!(lab.conn.queued(Side::Guest), 0);
}

#[test]
fn p4_an_address_without_a_name_gets_a_leaf_for_that_address() {
    let mut lab = lab();
    lab.guest_sends(b"\x05\x01\x00");
    assert_eq!(lab.guest.take_received(), b"\x05\x00");
    lab.guest_sends(b"\x05\x01\x00\x01\xcb\x00\x71\x07\x01\xbb");
    assert!(lab.guest.take_received().starts_with(b"\x05\x00\x00\x01"));
    lab.guest_begins_tls("203.0.113.7");
    assert!(!lab.guest.is_handshaking(), "{:?}", lab.guest.tls_error);
    lab.guest_sends(b"GET / HTTP/1.1\r\nHost: 203.0.113.7\r\n\r\n");
    lab.origin_sends(OK);
    assert_eq!((told(&lab), row(&lab).host.as_deref()), (200, Some("203.0.113.7")));
}

#[test]
fn p13_our_own_listeners_cannot_be_reached_through_us() {
    let mut lab = secure();
    lab.reach = Reach::Own;
    lab.guest_sends(GET);
    assert_eq!(told(&lab), 403, "{}", text(&lab));
    assert!(lab.origins.is_empty());
}

#[test]
fn p7_p8_what_may_not_be_reached_is_not_dialled() {
    for (ip, dialled) in
        [([127, 0, 0, 1], false), ([10, 0, 0, 1], false), ([169, 254, 169, 254], false), ([8, 8, 8, 8], true)]
    {
        let mut lab = secure();
        lab.names = Names::Are(vec![IpAddr::from(ip)]);
        lab.guest_sends(GET);
        assert_eq!(lab.asked.iter().any(|asked| asked.starts_with("dial")), dialled, "{ip:?}");
        assert_eq!(told(&lab), if dialled { 0 } else { 403 });
    }
    let mut denied = Lab::with(world::world("[network]\ndefault = \"deny\"\n"), Cuts::Whole);
    denied.guest_sends(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
    assert_eq!(told(&denied), 403);
    assert!(denied.asked.is_empty(), "no name is asked for: {:?}", denied.asked);
}

#[test]
fn p7_an_address_that_may_not_be_reached_is_refused_before_a_tunnel_opens() {
    for address in ["127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "2130706433"] {
        let mut connect = lab();
        connect
            .guest_sends(format!("CONNECT {address}:443 HTTP/1.1\r\nHost: {address}:443\r\n\r\n").as_bytes());
        assert_eq!(told(&connect), 403, "{address}");
        assert_eq!(row(&connect).rule.as_deref(), Some("network.private_addresses"));

        let mut socks = lab();
        let name = [&[5, 1, 0, 5, 1, 0, 3, address.len() as u8][..], address.as_bytes(), &[0, 80]].concat();
        socks.guest_sends(&name);
        assert_eq!(socks.guest.received().get(..4), Some(&[5, 0, 5, 2][..]), "{address}");

        let mut via = lab();
        via.names = Names::Via(SocketAddr::new(ORIGIN, 3128));
        via.guest_sends(format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes());
        assert_eq!(told(&via), 403, "{address}: a corporate proxy is not asked for it either");
        assert!(via.origins.is_empty());
    }
    let mut public = lab();
    public.guest_sends(b"CONNECT 8.8.8.8:443 HTTP/1.1\r\nHost: 8.8.8.8:443\r\n\r\n");
    assert_eq!(told(&public), 200);
}

#[test]
fn observe_lets_a_denied_tunnel_pass_by_every_entrance() {
    let observe = "mode = \"observe\"\n[network]\ndefault = \"deny\"\n";
    let mut connect = Lab::with(world::world(observe), Cuts::Whole);
    connect.guest_connects("a.test");
    let mut socks = Lab::with(world::world(observe), Cuts::Whole);
    socks.guest_sends(b"\x05\x01\x00");
    socks.guest_sends(b"\x05\x01\x00\x03\x06a.test\x01\xbb");
    assert!(socks.guest.take_received().starts_with(b"\x05\x00\x05\x00"));
    socks.guest_begins_tls("a.test");
    for mut lab in [connect, socks] {
        lab.guest_sends(GET);
        lab.origin_sends(OK);
        assert_eq!(told(&lab), 200);
        assert!(row(&lab).reason.is_some_and(|reason| reason.contains("observe")));
    }
}
