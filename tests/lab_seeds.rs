//! However the bytes of a conversation are cut, and whoever moves first, it comes out the same: what each side
//! receives, what is recorded, what is asked of the world. `TOLLGATE_LAB_SEEDS` says how many seeds are played.

use tollgate::lab::peer::End;
use tollgate::lab::round::{Entrance, Outcome, Reply, Script, run};
use tollgate::lab::world::ALLOW;

/// Seeds that every test run plays; 0 and 1 (nowhere, everywhere) are among them.
const SEEDS: u64 = 12;

fn seeds() -> u64 {
    std::env::var("TOLLGATE_LAB_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS)
}

fn same_for_every_seed(name: &str, script: &Script) -> Outcome {
    let whole = run(0, script);
    for seed in 1..seeds() {
        let cut = run(seed, script);
        assert!(cut == whole, "{name}: seed {seed} differs:\n{}", differences(&cut, &whole));
    }
    whole
}

/// The lines that differ, each cut short.
fn differences(cut: &Outcome, whole: &Outcome) -> String {
    let (cut, whole) = (format!("{cut:#?}"), format!("{whole:#?}"));
    let differing = cut.lines().zip(whole.lines()).filter(|(cut, whole)| cut != whole);
    let short = |line: &str| line.chars().take(160).collect::<String>();
    let lines: Vec<String> =
        differing.map(|(cut, whole)| format!("{}\n  not {}", short(cut), short(whole))).collect();
    lines.join("\n")
}

fn script(entrance: Entrance, guest: &[u8], replies: Vec<Reply>) -> Script {
    Script { entrance, guest: guest.to_vec(), guest_end: None, replies, policy: ALLOW }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n4\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n";

fn long_post(host: &str) -> Vec<u8> {
    let mut bytes =
        format!("POST /up?q=1 HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for n in 1..40_usize {
        let data: Vec<u8> = (0..n * 97).map(|at| (at * 31 % 251) as u8).collect();
        bytes.extend(format!("{:x}\r\n", data.len()).into_bytes());
        bytes.extend(data);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\nX-Sum: 7\r\n\r\n");
    bytes
}

#[test]
fn lab_seeds() {
    let get = |n: usize| format!("GET /{n} HTTP/1.1\r\nHost: a.test\r\n\r\n").into_bytes();
    let pipelined = [get(1), get(2), long_post("a.test"), get(3)].concat();
    let other_host = [get(1), b"GET /2 HTTP/1.1\r\nHost: b.test\r\n\r\n".to_vec(), get(3)].concat();
    let long_reply = {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n".to_vec();
        bytes.extend((0..200_000_usize).map(|at| (at * 7 % 253) as u8));
        bytes
    };
    let entrances = [Entrance::Plain, Entrance::Tls("a.test"), Entrance::Connect("a.test")];
    for entrance in entrances {
        let name = |what: &str| format!("{what} by {entrance:?}");
        let outcome = same_for_every_seed(
            &name("pipelined"),
            &script(entrance, &pipelined, vec![Reply::keep(OK), Reply::keep(CHUNKED)]),
        );
        assert_eq!((outcome.requests.len(), outcome.guest.len(), outcome.rows.len()), (4, 4, 4));
        let outcome = same_for_every_seed(
            &name("long reply, then the end"),
            &script(entrance, &get(1), vec![Reply::end(&long_reply, End::Fin)]),
        );
        assert!(outcome.guest[0].complete && outcome.guest[0].bytes.len() > 200_000);
        let outcome =
            same_for_every_seed(&name("second host"), &script(entrance, &other_host, vec![Reply::keep(OK)]));
        let fixed = entrance != Entrance::Plain;
        assert_eq!(outcome.guest.last().map(|last| last.status), Some(if fixed { 421 } else { 200 }), "P6");
        same_for_every_seed(
            &name("no head at all"),
            &script(entrance, b"GET / HTTP/1.1\r\nHost: a.test\r\nX: \0\r\n\r\n", vec![]),
        );
        let truncated = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel";
        let outcome = same_for_every_seed(
            &name("truncated"),
            &script(entrance, &get(1), vec![Reply::end(truncated, End::Cut)]),
        );
        assert!(!outcome.guest[0].complete && !outcome.goodbye, "P18");
        let mut closing = script(
            entrance,
            &long_post("a.test"),
            vec![Reply::end(b"HTTP/1.1 200 OK\r\n\r\nto the end", End::Fin)],
        );
        if entrance == Entrance::Plain {
            closing.guest_end = Some(End::Fin);
        }
        let outcome = same_for_every_seed(&name("until close"), &closing);
        assert!(outcome.guest[0].complete, "{outcome:?}");
    }
}

#[test]
fn p19_a_half_closed_plain_guest_gets_all_answers() {
    let mut script = script(
        Entrance::Plain,
        b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n",
        vec![Reply::keep(OK), Reply::keep(CHUNKED)],
    );
    script.guest_end = Some(End::Fin);
    let outcome = same_for_every_seed("half-closed", &script);
    assert_eq!(outcome.guest.len(), 2);
    assert!(outcome.guest.iter().all(|message| message.complete));
    assert_eq!(outcome.guest_ended, Some(End::Fin));
}
