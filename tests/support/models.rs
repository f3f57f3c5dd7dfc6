//! Origins of model answers: each host's listener sends what a table says for a path, streamed or plain.

use std::io;

use super::certs::Flaw;
use super::origin::{Conn, Origin, chunk, response};
use super::proxy::Setup;

/// What a path answers.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The host it is on.
    pub host: &'static str,
    /// Path without the query.
    pub path: &'static str,
    /// Whether it answers requests for a stream, by `"stream": true` in their body.
    pub stream: bool,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The pieces in which it is sent, each in a chunk of its own.
    pub pieces: &'static [&'static str],
}

/// Starts an origin for each host of the table, and maps it.
pub fn serve(mut setup: Setup, table: &'static [Answer]) -> (Vec<Origin>, Setup) {
    let mut hosts: Vec<_> = table.iter().map(|answer| answer.host).collect();
    hosts.dedup();
    let mut origins = Vec::new();
    for host in hosts {
        let identity = setup.origins.server(host, Flaw::None);
        let origin = Origin::tls(identity, move |conn| answer_all(conn, host, table));
        setup = setup.map(&format!("{host}:443"), origin.address());
        origins.push(origin);
    }
    (origins, setup)
}

/// Serves one connection; what the table does not know is 404.
pub fn answer_all(conn: &mut Conn, host: &str, table: &[Answer]) -> io::Result<()> {
    while let Some(request) = conn.request()? {
        let text = String::from_utf8_lossy(&request);
        let target = text.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        let stream = wants_stream(body);
        let known = |answer: &&Answer| answer.host == host && answer.path == path && answer.stream == stream;
        match table.iter().find(known) {
            Some(answer) => send(conn, answer)?,
            None => conn.send(&response(404, "content-type: application/json\r\n", b"{\"error\":{}}"))?,
        }
    }
    Ok(())
}

fn wants_stream(body: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(body).is_ok_and(|body| body["stream"] == true)
}

fn send(conn: &mut Conn, answer: &Answer) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        answer.content_type
    );
    conn.send(head.as_bytes())?;
    for piece in answer.pieces {
        conn.send(&chunk(piece.as_bytes()))?;
    }
    conn.send(b"0\r\n\r\n")
}
