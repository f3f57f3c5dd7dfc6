//! The tables of raw requests and responses over real sockets, all of them through one running proxy: what reaches an
//! origin or a guest is what the tables say, what is refused is answered, and each is one row (P14 to P19, P22, P32).

mod support;
#[path = "tables/table.rs"]
mod table;

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use support::client::Client;
use support::origin::{Conn, Origin, response};
use support::proxy::Setup;
use table::{Case, Outcome};
use tollgate::lab::normal;
use tollgate::wire::head::Method;

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

/// What the table says of a response's end, besides what came after it.
fn end(case: &Case) -> &str {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Word(word) => !word.starts_with("excess"),
        Outcome::Forwarded(_) => false,
    };
    match case.outcomes.iter().rfind(|outcome| word(outcome)) {
        Some(Outcome::Word(word)) => word,
        _ => "",
    }
}

fn has_excess(case: &Case) -> bool {
    case.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Word(word) if word.starts_with("excess")))
}

/// Answers the request for `N.test` as case N says, and closes unless another one may follow; knows probes.
fn answer_as_told(conn: &mut Conn, cases: &[Case]) -> io::Result<()> {
    while let Some(request) = conn.request()? {
        let text = String::from_utf8_lossy(&request).into_owned();
        if text.starts_with("GET /probe ") {
            conn.send(&response(200, "", b"probe"))?;
            continue;
        }
        let number = text.split("\r\nHost: ").nth(1).and_then(|rest| rest.split('.').next());
        let case = &cases[number.and_then(|digits| digits.parse::<usize>().ok()).expect("a case")];
        conn.send(&case.sent)?;
        if end(case) != "reusable" {
            return conn.close();
        }
    }
    Ok(())
}

/// What the guest is told until the answer is whole or the connection ends.
fn told(client: &mut Client, case: &Case) -> Vec<normal::Message> {
    let method = Method::parse(case.method.as_bytes()).expect("a method");
    let mut received = Vec::new();
    let mut room = [0; 16 << 10];
    loop {
        let messages = normal::responses(&received, &[method]);
        let whole = messages.last().is_some_and(|last| last.complete && last.status >= 200);
        let len = if whole { 0 } else { client.read(&mut room).unwrap_or(0) };
        if len == 0 {
            return messages;
        }
        received.extend_from_slice(&room[..len]);
    }
}

/// Plays a case; an error says how it differs from the table.
fn compare(number: usize, case: &Case, proxy: SocketAddr, origin: &Origin) -> Result<(), String> {
    let mut client = Client::plain(proxy);
    client.send(format!("{} / HTTP/1.1\r\nHost: {number}.test\r\n\r\n", case.method).as_bytes());
    let messages = told(&mut client, case);
    let expected: Vec<&Vec<u8>> = case.outcomes.iter().filter_map(bytes).collect();
    let last = messages.last().ok_or("nothing was told")?;
    let fail = |what: &str| Err(format!("{}: {what}: {messages:?}", case.name));
    match end(case) {
        "reusable" | "closing" => {
            if messages.iter().map(|message| &message.bytes).ne(expected) {
                return fail("told otherwise");
            }
            let before = origin.accepted();
            let probed = client.ask(format!("GET /probe HTTP/1.1\r\nHost: {number}.test\r\n\r\n").as_bytes());
            let reused = origin.accepted() == before;
            let reusable = end(case) == "reusable" && !has_excess(case);
            if probed.body != b"probe" || reused != reusable {
                return fail("the origin's connection was kept, or was not");
            }
        }
        // The answer had begun: it must not look whole.
        word if word.starts_with("aborted") && !expected.is_empty() && last.status != 502 => {
            return if last.complete { fail("looks whole") } else { Ok(()) };
        }
        _ if last.status != 502 => return fail("not 502"),
        _ => {}
    }
    Ok(())
}

#[test]
fn p16_to_p19_responses_reach_a_guest_as_the_table_says() {
    let cases = table::read(include_str!("tables/responses.txt"));
    let cases: Vec<Case> = cases.into_iter().filter(|case| case.method != "CONNECT").collect();
    let cases = Arc::new(cases);
    let shown = Arc::clone(&cases);
    let origin = Origin::plain(move |conn| answer_as_told(conn, &shown));
    let proxy = Setup::default().map("*:80", origin.address()).start();
    let differ: Vec<String> = cases
        .iter()
        .enumerate()
        .filter_map(|(number, case)| compare(number, case, proxy.address(), &origin).err())
        .collect();
    assert!(differ.is_empty(), "{} of {} differ:\n{}", differ.len(), cases.len(), differ.join("\n"));
    assert!(cases.len() > 180, "only {} cases", cases.len());
    let ended_well = |case: &&Case| matches!(end(case), "reusable" | "closing");
    let probes = cases.iter().filter(ended_well).count();
    proxy.ledger().net_events_count((cases.len() + probes) as i64);
    let allowed = "SELECT count(*) FROM net_events WHERE decision = 'allowed'";
    assert_eq!(proxy.ledger().number(allowed), 2 * probes as i64, "all others have failed");
}
