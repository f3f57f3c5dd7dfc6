//! What goes on, as others read it: every request of the table is sent through the running proxy, and the very bytes
//! that reach an origin are given to hyper, to h11 and to Node's llhttp. Each must see exactly one request in them, the
//! one that the table says (P14, P15), and none where nothing was to go on whole.

#[path = "differential/hyper.rs"]
mod hyper_reader;
mod support;
#[path = "tables/table.rs"]
mod table;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::origin::{Conn, Origin};
use support::proxy::Setup;
use support::tools::{program, python_with_sdks};
use table::{Case, Outcome};
use tollgate::lab::normal;

const POLICY: &str = "[network]\ndefault = \"allow\"\nports = [80, 443, 8080, 8443]\n";

/// Cases that a plain origin can answer, of HTTP/1.1.
fn fits(case: &Case) -> bool {
    let sent = String::from_utf8_lossy(&case.sent).to_lowercase();
    let other = ["https://", "upgrade: websocket", "pri * http/2", "\u{16}"];
    !other.iter().any(|other| sent.contains(other))
}

/// Answers the first request and takes no other: each connection's bytes are those of one request.
fn answer_once(conn: &mut Conn) -> io::Result<()> {
    let mut seen = Vec::new();
    while !normal::first_request(&seen).is_some_and(|(message, _)| message.complete) {
        let more = conn.some()?;
        if more.is_empty() {
            return Ok(());
        }
        seen.extend(more);
    }
    conn.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
    conn.until_closed()
}

/// Sends the case, says that nothing follows, and waits for the end of what is answered.
fn play(proxy: SocketAddr, case: &Case) {
    let mut socket = TcpStream::connect(proxy).expect("a listening proxy");
    socket.set_read_timeout(Some(support::client::PATIENCE)).expect("a read timeout");
    let (head, rest) = case.sent.split_at(head_len(&case.sent));
    // A proxy that refuses the case's beginning may be gone before its end.
    drop(socket.write_all(head));
    thread::sleep(Duration::from_millis(2)); // the head is on its way when a broken body follows
    drop(socket.write_all(rest).and_then(|()| socket.shutdown(Shutdown::Write)));
    let ended = socket.read_to_end(&mut Vec::new());
    let silent = ended.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    assert!(!silent, "{}: not ended", case.name);
}

fn head_len(sent: &[u8]) -> usize {
    sent.windows(4).position(|four| four == b"\r\n\r\n").map_or(sent.len(), |at| at + 4)
}

/// A parser's word on each record, as JSON.
fn read_by(parser: &mut Command, records: &[Vec<u8>]) -> Vec<Value> {
    let input: Vec<u8> =
        records.iter().flat_map(|raw| [format!("{}\n", raw.len()).as_bytes(), raw].concat()).collect();
    let mut child =
        parser.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a parser");
    let mut stdin = child.stdin.take().expect("a piped stdin");
    let writing = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("a child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    writing.join().expect("no panic").expect("a parser that reads");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let read: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert_eq!(read.len(), records.len(), "each record is read");
    read
}

/// What must be the same for every reader.
fn essence(request: &Value) -> [&Value; 4] {
    ["method", "target", "host", "body"].map(|name| &request[name])
}

/// The bytes of each connection to the origin while all cases are played.
fn forwarded(cases: &[Case]) -> Vec<Vec<u8>> {
    let origin = Origin::plain(answer_once);
    let setup = ["*:80", "*:8080"].iter().fold(Setup::default(), |setup, at| setup.map(at, origin.address()));
    let proxy = setup.user(POLICY).start();
    for case in cases {
        play(proxy.address(), case);
    }
    support::eventually("the origin has read everything", || (origin.open() == 0).then_some(()));
    origin.received().into_iter().filter(|bytes| !bytes.is_empty()).collect()
}

/// The messages that the table says go on.
fn promised(cases: &[Case]) -> Vec<Vec<u8>> {
    let bytes = |outcome: &Outcome| {
        if let Outcome::Forwarded(bytes) = outcome { Some(bytes.clone()) } else { None }
    };
    cases.iter().flat_map(|case| &case.outcomes).filter_map(bytes).collect()
}

fn cases() -> Vec<Case> {
    table::read(include_str!("tables/requests.txt")).into_iter().filter(fits).collect()
}

#[test]
fn p14_p15_hyper_reads_what_goes_on_as_the_table_does() {
    let cases = cases();
    let records = forwarded(&cases);
    let read: Vec<_> = records.iter().map(|raw| hyper_reader::requests(raw)).collect();
    assert!(read.iter().all(|requests| requests.len() <= 1), "two requests where one was sent");
    let whole: Vec<_> = read.into_iter().flatten().collect();
    let promised = promised(&cases);
    let wanted: Vec<_> = promised.iter().flat_map(|raw| hyper_reader::requests(raw)).collect();
    for (n, (whole, wanted)) in whole.iter().zip(&wanted).enumerate() {
        assert_eq!(whole, wanted, "request {n}");
    }
    assert_eq!(whole.len(), wanted.len(), "as many requests as promised");
    assert!(whole.len() > 200, "only {} requests", whole.len());
    assert!(
        promised.len() - whole.len() < promised.len() / 20,
        "hyper read {} of {}",
        whole.len(),
        promised.len()
    );
}

#[test]
fn p14_p15_h11_and_llhttp_read_what_goes_on_as_the_table_does() {
    let Some(python) = python_with_sdks() else { return };
    let Some(node) = program("node") else { return };
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    let h11 = |records: &[Vec<u8>]| read_by(Command::new(&python).arg(scripts.join("h11_check.py")), records);
    let cases = cases();
    let records = forwarded(&cases);
    let by_h11 = h11(&records);
    let by_node = read_by(Command::new(node).arg(scripts.join("node_check.mjs")), &records);
    let mut unknown = 0;
    for (raw, (python, node)) in records.iter().zip(by_h11.iter().zip(&by_node)) {
        if node.get("unknown").is_some() {
            unknown += 1;
        } else {
            let same = python.is_null() == node.is_null() && essence(python) == essence(node);
            assert!(same, "{}\nh11: {python}\nllhttp: {node}", raw.escape_ascii());
        }
    }
    let whole: Vec<_> = by_h11.iter().filter(|request| !request.is_null()).map(essence).collect();
    let promised = h11(&promised(&cases));
    for (n, (whole, promised)) in whole.iter().zip(&promised).enumerate() {
        assert_eq!(*whole, essence(promised), "request {n}");
    }
    assert_eq!(whole.len(), promised.len(), "as many requests as promised");
    assert!(whole.len() > 200, "only {} requests", whole.len());
    assert!(records.len() > whole.len(), "some went on in part before their end was refused");
    assert!(unknown < whole.len() / 10, "llhttp did not read {unknown} of {}", whole.len());
}
