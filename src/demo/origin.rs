//! The demo's origin: every model host of the scripts and two plain routes, over real TLS on loopback.
//!
//! One blocking thread a connection. What it answers comes from `script`; coding is negotiated as real providers do
//! it (gzip where the request accepts it). A request may ask to be held: then the answer stops after its first
//! event until the client lets it go on, which proves that nothing between them waits for the end.

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::gzip::{self, Gzip};
use super::http1::Head;
use super::script::{self, Script};

mod hold;

pub use hold::{HOLD_FIELD, Holds};

/// Silence after which a connection is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lets the head travel before the first event is stamped, so that the event is measured and not the head.
const BEFORE_FIRST_EVENT: Duration = Duration::from_millis(2);

/// Gives the certificate for a server name.
pub type Identity = dyn Fn(&str) -> io::Result<Arc<ServerConfig>> + Send + Sync;

/// A request as the origin received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The value of `Host`.
    pub host: String,
    /// Path and query.
    pub target: String,
}

/// A running origin. It stops listening when dropped.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    scripts: Vec<Script>,
    identity: Box<Identity>,
    holds: Holds,
    seen: Mutex<Vec<Seen>>,
    stopping: AtomicBool,
}

type Stream = BufReader<StreamOwned<ServerConnection, TcpStream>>;

impl Origin {
    /// Listens on a free port of loopback.
    pub fn start(identity: Box<Identity>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            scripts: script::all(),
            identity,
            holds: Holds::default(),
            seen: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let listener = thread::Builder::new()
            .name("demo-origin".into())
            .spawn(move || accept_until_stopped(&listener, &accepting))?;
        Ok(Self { address, shared, listener: Some(listener) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers that are held after their first event.
    pub fn holds(&self) -> &Holds {
        &self.shared.holds
    }

    /// Every request so far, in the order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address)); // wakes the accept call
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

fn accept_until_stopped(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let shared = Arc::clone(shared);
        // A connection that breaks is its client's to notice; the demo compares what the client got.
        let serving = move || drop(serve(socket, &shared));
        drop(thread::Builder::new().name("demo-origin-conn".into()).spawn(serving));
    }
}

fn serve(socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut stream = BufReader::new(accept_tls(socket, shared)?);
    while let Some(head) = Head::read(&mut stream)? {
        let mut body = Vec::new();
        head.request_body()?.read(&mut stream, &mut |piece| body.extend_from_slice(piece))?;
        answer(&mut stream, &head, &body, shared)?;
    }
    Ok(())
}

fn accept_tls(
    mut socket: TcpStream,
    shared: &Shared,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let mut acceptor = Acceptor::default();
    let hello = loop {
        if acceptor.read_tls(&mut socket)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(hello) = acceptor.accept().map_err(|(error, _)| io::Error::other(error))? {
            break hello;
        }
    };
    let config = (shared.identity)(hello.client_hello().server_name().unwrap_or_default())?;
    let connection = hello.into_connection(config).map_err(|(error, _)| io::Error::other(error))?;
    Ok(StreamOwned::new(connection, socket))
}

fn answer(stream: &mut Stream, head: &Head, body: &[u8], shared: &Shared) -> io::Result<()> {
    let (method, target) = (head.word(0), head.word(1));
    let host = head.field("host").unwrap_or_default();
    let seen = Seen { method: method.into(), host: host.into(), target: target.into() };
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    let gzip = head.field("accept-encoding").is_some_and(|value| value.contains("gzip"));
    match find(&shared.scripts, method, host, target, body) {
        Some(script) if script.truth.stream => send_stream(stream, head, script, gzip, shared),
        Some(script) => send_whole(stream, 200, script.content_type, &document(script, gzip), gzip),
        None => {
            let (status, document) = plain_route(method, host, target);
            send_whole(stream, status, "application/json", document.as_bytes(), false)
        }
    }
}

fn find<'a>(
    scripts: &'a [Script],
    method: &str,
    host: &str,
    target: &str,
    body: &[u8],
) -> Option<&'a Script> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    scripts.iter().find(|script| {
        let by_body = body["stream"].as_bool().unwrap_or(false) == script.truth.stream;
        let by_url = script.truth.api == "google.generate" && query == script.query();
        method == "POST" && host == script.host && path == script.path() && (by_body || by_url)
    })
}

/// The answer to a count of tokens, which is no model call.
pub const COUNT: &str = r#"{"input_tokens":14}"#;
/// The answer to a read of a repository.
pub const REPOSITORY: &str = r#"{"full_name":"acme/tollgate"}"#;

/// What is not a model call.
fn plain_route(method: &str, host: &str, target: &str) -> (u16, &'static str) {
    match (method, host, target) {
        ("POST", "api.anthropic.com", "/v1/messages/count_tokens") => (200, COUNT),
        ("GET", "api.github.com", "/repos/acme/tollgate") => (200, REPOSITORY),
        _ => (404, r#"{"error":{"type":"not_found_error","message":"the demo has no such route"}}"#),
    }
}

fn send_whole(
    stream: &mut Stream,
    status: u16,
    content_type: &str,
    body: &[u8],
    gzip: bool,
) -> io::Result<()> {
    let coding = if gzip { "content-encoding: gzip\r\n" } else { "" };
    let mut message = format!(
        "HTTP/1.1 {status} Demo\r\ncontent-type: {content_type}\r\n{coding}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    message.extend_from_slice(body);
    stream.get_mut().write_all(&message)?;
    stream.get_mut().flush()
}

fn send_stream(
    stream: &mut Stream,
    head: &Head,
    script: &Script,
    gzip: bool,
    shared: &Shared,
) -> io::Result<()> {
    let hold = head.field(HOLD_FIELD).and_then(|value| value.parse().ok());
    let coding = if gzip { "content-encoding: gzip\r\n" } else { "" };
    let start = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {}\r\n{coding}transfer-encoding: chunked\r\n\r\n",
        script.content_type
    );
    let mut pieces = coded_pieces(&script.events, gzip).into_iter();
    let out = stream.get_mut();
    out.write_all(start.as_bytes())?;
    if let Some(id) = hold {
        out.flush()?;
        thread::sleep(BEFORE_FIRST_EVENT);
        shared.holds.sending(id);
        send_chunk(out, &pieces.next().unwrap_or_default())?;
        shared.holds.wait(id);
    }
    pieces.try_for_each(|piece| send_chunk(out, &piece))?;
    out.write_all(b"0\r\n\r\n")?;
    out.flush()
}

/// The exact body of a script's answer, coded as it is sent.
pub fn coded(script: &Script, gzip: bool) -> Vec<u8> {
    if script.truth.stream { coded_pieces(&script.events, gzip).concat() } else { document(script, gzip) }
}

fn document(script: &Script, gzip: bool) -> Vec<u8> {
    let answer = script.answer().into_bytes();
    if gzip { gzip::whole(&answer) } else { answer }
}

/// The bytes of each event, the end of the gzip member as a piece of its own.
fn coded_pieces(events: &[String], gzip: bool) -> Vec<Vec<u8>> {
    if !gzip {
        return events.iter().map(|event| event.as_bytes().to_vec()).collect();
    }
    let mut member = Gzip::default();
    let mut pieces: Vec<Vec<u8>> = Vec::with_capacity(events.len() + 1);
    for event in events {
        let mut piece = Vec::new();
        member.piece(event.as_bytes(), &mut piece);
        pieces.push(piece);
    }
    let mut end = Vec::new();
    member.finish(&mut end);
    pieces.push(end);
    pieces
}

fn send_chunk(out: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
    chunk.extend_from_slice(piece);
    chunk.extend_from_slice(b"\r\n");
    out.write_all(&chunk)?;
    out.flush()
}
