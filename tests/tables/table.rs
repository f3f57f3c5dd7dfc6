//! Reads the tables beside this file: raw messages and what becomes of them.
//!
//! ```text
//! # a comment; empty lines separate cases
//! case NAME                 starts a case; names are unique in a file
//! method HEAD               responses only: the request's method, GET where it is not said
//! > text                    sent: text and CRLF
//! >| text                   sent: text alone
//! forwarded                 a message goes on, as these bytes:
//! < text                    text and CRLF
//! <| text                   text alone
//! refused 400 two Host fields    requests: status and label; nothing of this message goes on
//! refused two Content-Lengths    responses: label; the guest is told 502
//! incomplete                requests: nothing more goes on, and nothing is wrong yet
//! handed WHAT               read, and left to the caller: `no host`, `CONNECT host:port`, `upgrade h2c`…
//! reusable | closing        responses: the message ended well, and what that says about the origin's connection
//! interim                   responses: that was a 1xx, another head follows
//! excess N                  responses: so many bytes came after the end
//! aborted WHY               responses: the message that was begun cannot be completed
//! ```
//!
//! Escapes in text: `\r \n \t \0 \\ \xHH`, and `\(N*text)` for N times a text, which may hold escapes. Outcomes follow
//! each other in the order of the messages; what the sender's `Connection: close` cuts off is not answered. Bytes
//! that go on are those for a peer of HTTP/1.1 whose connection persists, with the host in its canonical form. A
//! chunked body stands as one chunk: how data is cut into chunks is not part of the outcome.

/// One case of a table.
#[derive(Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The method that a response answers.
    pub method: String,
    /// The bytes sent.
    pub sent: Vec<u8>,
    /// What becomes of them.
    pub outcomes: Vec<Outcome>,
}

/// One thing that becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on as these bytes.
    Forwarded(Vec<u8>),
    /// Anything else, as it stands in the table.
    Word(String),
}

impl Outcome {
    /// An outcome in a word or two.
    pub fn word(text: impl Into<String>) -> Self {
        Self::Word(text.into())
    }
}

/// Reads a whole table.
///
/// # Panics
///
/// On a malformed table.
pub fn read(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("case ") {
            assert!(cases.iter().all(|case| case.name != name), "two cases have the name {name:?}");
            cases.push(Case {
                name: name.into(),
                method: "GET".into(),
                sent: Vec::new(),
                outcomes: Vec::new(),
            });
        } else {
            read_line(line, cases.last_mut().expect("a table starts with a case"));
        }
    }
    cases
}

fn read_line(line: &str, case: &mut Case) {
    if let Some(method) = line.strip_prefix("method ") {
        case.method = method.into();
    } else if line.starts_with('>') {
        append(line, &mut case.sent);
    } else if line.starts_with('<') {
        match case.outcomes.last_mut() {
            Some(Outcome::Forwarded(bytes)) => append(line, bytes),
            _ => panic!("{line:?} does not follow `forwarded` in {:?}", case.name),
        }
    } else if line == "forwarded" {
        case.outcomes.push(Outcome::Forwarded(Vec::new()));
    } else {
        case.outcomes.push(Outcome::word(line));
    }
}

/// Appends what stands behind the mark of `line`.
fn append(line: &str, bytes: &mut Vec<u8>) {
    let (text, end): (&str, &[u8]) = match line[1..].strip_prefix('|') {
        Some(text) => (text, b""),
        None => (&line[1..], b"\r\n"),
    };
    unescape(text.strip_prefix(' ').unwrap_or(text), bytes);
    bytes.extend_from_slice(end);
}

fn unescape(text: &str, bytes: &mut Vec<u8>) {
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(run) = rest.strip_prefix("\\(") {
            let (count, run) = run.split_once('*').expect("a run has a count");
            let (repeated, after) = run.split_once(')').expect("a run is closed");
            let mut once = Vec::new();
            unescape(repeated, &mut once);
            bytes.extend(once.repeat(count.parse().expect("a run's count is a number")));
            rest = after;
        } else {
            let (byte, after) = one_byte(rest);
            bytes.push(byte);
            rest = after;
        }
    }
}

fn one_byte(text: &str) -> (u8, &str) {
    let Some(escape) = text.strip_prefix('\\') else { return (text.as_bytes()[0], &text[1..]) };
    let byte = match escape.as_bytes()[0] {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'0' => 0,
        b'x' => return (u8::from_str_radix(&escape[1..3], 16).expect("two hex digits"), &escape[3..]),
        other => other,
    };
    (byte, &escape[1..])
}
