//! The table of raw requests over real sockets, all of it through one running proxy: what reaches an origin is what
//! the table says, what is refused is answered, and each is one row (P14 to P17, P19, P22, P32).

mod support;
#[path = "tables/table.rs"]
mod table;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use support::client::Client;
use support::origin::{Conn, Origin, response};
use support::proxy::Setup;
use table::{Case, Outcome};
use tollgate::lab::normal;

const POLICY: &str = "[network]\ndefault = \"allow\"\nports = [80, 443, 8080, 8443]\n";

/// Cases that a plain origin cannot answer, or that are taken for another protocol than HTTP/1.1.
fn fits(case: &Case) -> bool {
    let sent = String::from_utf8_lossy(&case.sent).to_lowercase();
    let answered = !case.outcomes.contains(&Outcome::word("incomplete"));
    let other = ["https://", "upgrade: websocket", "pri * http/2", "\u{16}"];
    answered && !other.iter().any(|other| sent.contains(other))
}

#[test]
fn p14_to_p17_requests_reach_an_origin_as_the_table_says() {
    let cases = table::read(include_str!("tables/requests.txt"));
    let cases: Vec<&Case> = cases.iter().filter(|case| fits(case)).collect();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let origin = Origin::plain(move |conn| answer_each(conn, &seen));
    let setup = ["*:80", "*:8080"].iter().fold(Setup::default(), |setup, at| setup.map(at, origin.address()));
    let proxy = setup.user(POLICY).start();
    let mut rows = 0;
    let mut differ = Vec::new();
    for case in &cases {
        let statuses = play(&mut Client::plain(proxy.address()), case);
        let forwarded = std::mem::take(&mut *requests.lock().unwrap_or_else(PoisonError::into_inner));
        let expected: Vec<&Vec<u8>> = case.outcomes.iter().filter_map(bytes).collect();
        let told: Vec<u16> = case.outcomes.iter().filter_map(status).collect();
        rows += told.iter().filter(|&&status| status != CONNECTED).count();
        if forwarded.iter().map(|request| &request.bytes).ne(expected.iter().copied()) || statuses != told {
            differ.push(format!("{}: told {statuses:?}, not {told:?}", case.name));
        }
    }
    assert!(differ.is_empty(), "{} of {} differ:\n{}", differ.len(), cases.len(), differ.join("\n"));
    let connects =
        cases.iter().filter(|case| case.outcomes.iter().filter_map(status).any(|status| status == CONNECTED));
    // A tunnel that its guest leaves unused is a row of its own.
    proxy.ledger().net_events_count((rows + connects.count()) as i64);
    assert!(cases.len() > 600, "only {} cases", cases.len());
}

/// Answers each whole request, and notes it.
fn answer_each(conn: &mut Conn, seen: &Mutex<Vec<normal::Message>>) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let more = conn.some()?;
        if more.is_empty() {
            return Ok(());
        }
        buffer.extend(more);
        while let Some((message, used)) =
            normal::first_request(&buffer).filter(|(message, _)| message.complete)
        {
            buffer.drain(..used);
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            conn.send(&response(200, "", b""))?;
        }
    }
}

/// Sends the case and reads as many answers as the table promises.
fn play(client: &mut Client, case: &Case) -> Vec<u16> {
    drop(client.try_send(&case.sent));
    let promised = case.outcomes.iter().filter_map(status).count();
    let mut statuses = Vec::new();
    for outcome in 0..promised {
        let Ok(head) = client.head() else { break };
        statuses.push(head.status().unwrap_or_default());
        let is_head = case.sent.starts_with(b"HEAD ") && outcome == 0;
        if tunnels(case) || !is_head && client.body(&head).is_err() {
            break;
        }
    }
    statuses.iter().map(|&status| if status == 200 && tunnels(case) { CONNECTED } else { status }).collect()
}

/// Stands for the 200 of a CONNECT, which has no row.
const CONNECTED: u16 = 299;

fn tunnels(case: &Case) -> bool {
    matches!(case.outcomes.last(), Some(Outcome::Word(word)) if word.starts_with("handed CONNECT"))
}

fn bytes(outcome: &Outcome) -> Option<&Vec<u8>> {
    if let Outcome::Forwarded(bytes) = outcome { Some(bytes) } else { None }
}

fn status(outcome: &Outcome) -> Option<u16> {
    let Outcome::Word(word) = outcome else { return Some(200) };
    match word.split_once(' ').unwrap_or((word, "")) {
        ("refused", rest) => rest.split(' ').next().and_then(|status| status.parse().ok()),
        ("handed", "no host") => Some(400),
        ("handed", rest) if rest.starts_with("upgrade") => Some(501),
        ("handed", _) => Some(CONNECTED),
        _ => None,
    }
}
