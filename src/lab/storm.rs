//! Any bytes at all: a program in which each instruction lets a side send, leave or stop reading, or lets time pass.
//! Whatever it does, the promises that have no exception must hold (P3, P15, P21, P23, P32).

use std::collections::BTreeSet;

use crate::limits::SECOND;
use crate::telemetry::event::Decision;

use super::cuts::Cuts;
use super::normal;
use super::peer::End;
use super::{Lab, Names, Reach};

/// Most bytes that a connection may hold: what may wait each way, and a head as large as allowed each way.
const HELD: usize = 512 << 10;
/// Longest life of a connection on which nothing happens: the longest deadlines, one after the other.
const LONGEST: u64 = 600 * SECOND;

/// What guests and origins like to say.
const PHRASES: [&[u8]; 16] = [
    b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n",
    b"POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"\r\n",
    b"HEAD / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n",
    b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n",
    b"GET http://b.test/ HTTP/1.1\r\nHost: b.test\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
];

/// Runs a program.
///
/// # Panics
///
/// When a promise is broken.
pub fn weather(program: &[u8]) {
    let Some((&first, mut rest)) = program.split_first() else { return };
    let mut lab = Lab::new(Cuts::from_seed(u64::from(first >> 4)));
    prepare(&mut lab, first);
    while let Some(after) = instruction(&mut lab, rest) {
        rest = after;
        assert!(lab.conn.held() <= HELD, "P23: {} bytes are held", lab.conn.held());
    }
    settle_down(&mut lab);
    check(&lab);
}

fn prepare(lab: &mut Lab, first: u8) {
    match first & 7 {
        0 => lab.guest_begins_tls("a.test"),
        1 => lab.guest_connects("a.test"),
        2 => lab.names = Names::Silent,
        3 => lab.reach = Reach::BlackHole,
        4 => lab.reach = Reach::Refused,
        _ => {}
    }
}

/// Carries out the first instruction and gives the rest.
fn instruction<'a>(lab: &mut Lab, program: &'a [u8]) -> Option<&'a [u8]> {
    let (&what, rest) = program.split_first()?;
    let argument = usize::from(what >> 4);
    match what & 15 {
        0..4 => guest_says(lab, PHRASES[argument]),
        4..7 => origin_says(lab, PHRASES[argument]),
        7 | 8 => {
            let (said, rest) = rest.split_at(rest.len().min(argument));
            if what & 15 == 7 {
                guest_says(lab, said);
            } else {
                origin_says(lab, said);
            }
            return Some(rest);
        }
        9 => lab.guest_ends([End::Fin, End::Cut, End::Reset][argument % 3]),
        10 if lab.has_origin() => lab.origin_ends([End::Fin, End::Cut, End::Reset][argument % 3]),
        11 => lab.guest.reads_only(argument * 100),
        12 if lab.has_origin() => lab.origin().reads_only(argument * 100),
        13 => lab.draining |= argument > 12,
        14 => lab.pooled_ends([End::Fin, End::Cut, End::Reset][argument % 3]),
        _ => lab.wait((argument as u64 + 1) * SECOND),
    }
    Some(rest)
}

fn guest_says(lab: &mut Lab, bytes: &[u8]) {
    if !lab.is_over() {
        lab.guest_sends(bytes);
    }
}

fn origin_says(lab: &mut Lab, bytes: &[u8]) {
    if lab.has_origin() {
        lab.origin_sends(bytes);
    }
}

/// Nothing more is said: deadline after deadline fires until the connection has ended.
fn settle_down(lab: &mut Lab) {
    let mut left = LONGEST;
    while !lab.is_over() {
        let wait = lab.conn.deadline().saturating_sub(lab.now.mono).max(1);
        assert!(wait <= left, "P21: a connection outlives its deadlines");
        left -= wait;
        lab.wait(wait);
    }
}

fn check(lab: &Lab) {
    let mut seen = BTreeSet::new();
    for row in lab.rows() {
        assert!(seen.insert(row.exchange_id), "P32: two rows for one exchange");
        let explained = row.decision != Decision::Failed || row.fault_phase.is_some();
        assert!(explained, "a failure without a phase: {row:?}");
    }
    for origin in &lab.origins {
        let requests = normal::requests(origin.received());
        let unfinished = requests.iter().filter(|request| !request.complete).count();
        assert!(unfinished <= 1, "P15: something follows an unfinished request");
        let read = normal::read(origin.received());
        assert_eq!(read, origin.received().len(), "P15: an origin reads something that is no request");
    }
}
