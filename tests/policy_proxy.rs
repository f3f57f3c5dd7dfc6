//! `tests/tables/policy.txt` through a running proxy: what the evaluator says is what happens (LESSONS 20).
//!
//! Requests go in absolute form with their port, so that one kind of client can ask about every host and port; what is
//! spliced goes by CONNECT. Rules by process, user and listener need a relay and are left to the evaluator's test.

mod policy_support;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use policy_support::{Block, Case, blocks, target};
use support::SOON;
use support::ledger::Row;
use support::proxy::{Proxy, Setup};

#[test]
fn lesson_20_the_running_proxy_decides_as_the_table_says() {
    let origin = origin();
    let mut wrong = Vec::new();
    for block in blocks().iter().filter(|block| !observes(block)) {
        let cases: Vec<&Case<'_>> =
            block.cases.iter().filter(|case| case.request.split(' ').count() == 2).collect();
        let proxy = start(block, &cases, origin);
        let statuses: Vec<u16> = cases.iter().map(|case| ask(proxy.address(), case)).collect();
        let rows = proxy.ledger().net_events(cases.len());
        for ((case, status), row) in cases.iter().zip(statuses).zip(&rows) {
            if let Some(found) = differs(case, status, row) {
                wrong.push(format!("{}: {}: {found}, not {:?}", block.name, case.request, case.expected));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

fn observes(block: &Block<'_>) -> bool {
    [&block.user, &block.corp].into_iter().flatten().any(|text| text.contains("observe"))
}

/// What may be talked to is dialled at the test's origin; addresses that must be refused are not in the map, because
/// the map is exempt from their rule.
fn start(block: &Block<'_>, cases: &[&Case<'_>], origin: SocketAddr) -> Proxy {
    let mut setup = Setup::default().user(block.user.as_deref().unwrap_or_default());
    if let Some(corp) = &block.corp {
        setup = setup.corp(corp);
    }
    for case in cases.iter().filter(|case| matches!(case.expected.0, "allow" | "splice")) {
        let target = target(case.request);
        setup = setup.map(&format!("{}:{}", target.host, target.port), origin);
    }
    setup.start()
}

/// How a case came out, where it is not as the table says.
fn differs(case: &Case<'_>, status: u16, row: &Row) -> Option<String> {
    let (verdict, layer, rule) = case.expected;
    let text = |column: &str| row.text(column).unwrap_or_default();
    let (expected, decision) = match verdict {
        "allow" => (200, "allowed"),
        "splice" => (200, "spliced"),
        "ambiguous" => (400, "denied"),
        _ => (403, "denied"),
    };
    // A request that HTTP itself refuses names no rule.
    let named = verdict == "ambiguous" || (text("rule") == rule && text("rule_layer") == layer);
    let same = status == expected && text("decision") == decision && named;
    (!same).then(|| format!("{status} {} {} {}", text("decision"), text("rule_layer"), text("rule")))
}

/// Sends a request and gives the status of whatever refused it, or of the answer.
fn ask(proxy: SocketAddr, case: &Case<'_>) -> u16 {
    let request = case.request;
    let target = target(request);
    let (method, url) = request.split_once(' ').expect("a method");
    let (_, rest) = url.split_once("://").expect("a scheme");
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
    let typed = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let host = typed.map_or(authority, |(host, _)| host);
    let host = if host.is_ascii() { host.to_owned() } else { target.host.to_string() };
    let authority = format!("{host}:{}", target.port);

    let mut stream = TcpStream::connect(proxy).expect("the proxy");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    let mut form = format!("http://{authority}{path}");
    if case.expected.0 == "splice" {
        write!(stream, "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").expect("sent");
        match status(&mut stream, request) {
            200 => form = path,
            refused => return refused,
        }
    }
    let head = format!("{method} {form} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    write!(stream, "{head}Accept: application/json\r\nContent-Length: 0\r\n\r\n").expect("sent");
    let status = status(&mut stream, request);
    let _ = stream.read_to_end(&mut Vec::new());
    status
}

/// Reads one head and gives its status.
fn status(stream: &mut TcpStream, request: &str) -> u16 {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            other => panic!("{request}: {other:?} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    let line = String::from_utf8_lossy(&head);
    line.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{request}: {line}"))
}

/// Answers every request with 200, in clear.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
