//! An origin that does exactly what a test says, one connection a thread, and keeps every byte it received.
//!
//! A panic or a forgotten error in its threads fails the test (LESSONS 46).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

/// Silence after which an origin gives a connection up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do with each connection.
pub type Handler = dyn Fn(&mut Conn) -> io::Result<()> + Send + Sync;

/// A listening origin; it stops when dropped.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    tls: Option<Arc<ServerConfig>>,
    handler: Box<Handler>,
    received: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    open: AtomicUsize,
    panicked: AtomicBool,
    stopping: AtomicBool,
}

/// One accepted connection.
pub struct Conn {
    pipe: Pipe,
    buffer: Vec<u8>,
    received: Arc<Mutex<Vec<u8>>>,
}

enum Pipe {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Origin {
    /// Serves plain TCP.
    pub fn plain(handler: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start(None, Box::new(handler))
    }

    /// Serves TLS.
    pub fn tls(
        config: Arc<ServerConfig>,
        handler: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(config), Box::new(handler))
    }

    /// Serves TLS and answers every request with the same bytes, keeping connections alive.
    pub fn answering(config: Arc<ServerConfig>, response: &[u8]) -> Self {
        let response = response.to_vec();
        Self::tls(config, move |conn| {
            while conn.request()?.is_some() {
                conn.send(&response)?;
            }
            Ok(())
        })
    }

    fn start(tls: Option<Arc<ServerConfig>>, handler: Box<Handler>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            tls,
            handler,
            received: Mutex::default(),
            open: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let listener = Some(thread::spawn(move || accept_until_stopped(&listener, &accepting)));
        Self { address, shared, listener }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The exact plaintext bytes that each connection has received so far, in the order of accepting.
    pub fn received(&self) -> Vec<Vec<u8>> {
        let all = self.shared.received.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|one| one.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// How many connections were accepted.
    pub fn accepted(&self) -> usize {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many connections are being served now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Acquire)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address)); // wakes the accept call
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
        if !thread::panicking() {
            assert!(!self.shared.panicked.load(Ordering::Acquire), "a thread of the origin panicked");
        }
    }
}

fn accept_until_stopped(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let socket = socket.expect("an accepted socket");
        let received = Arc::new(Mutex::default());
        shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&received));
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(socket, received, &shared));
    }
}

fn serve(socket: TcpStream, received: Arc<Mutex<Vec<u8>>>, shared: &Shared) {
    let _served = Served(shared);
    shared.open.fetch_add(1, Ordering::AcqRel);
    socket.set_nodelay(true).expect("TCP_NODELAY");
    socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    let pipe = match &shared.tls {
        None => Pipe::Plain(socket),
        Some(config) => {
            let connection = ServerConnection::new(Arc::clone(config)).expect("a server connection");
            Pipe::Tls(Box::new(StreamOwned::new(connection, socket)))
        }
    };
    // What a peer does to a connection is the test's to judge by bytes; an error here only ends the thread.
    drop((shared.handler)(&mut Conn { pipe, buffer: Vec::new(), received }));
}

/// Counts a connection as closed, and notes a panic on the way out.
struct Served<'a>(&'a Shared);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        if thread::panicking() {
            self.0.panicked.store(true, Ordering::Release);
        }
    }
}

impl Conn {
    /// Reads one whole request (head, and a body by length or chunks) and returns its exact bytes; `None` when the
    /// peer closed before one began.
    pub fn request(&mut self) -> io::Result<Option<Vec<u8>>> {
        let head = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if self.fill()? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let end = if text.contains("\r\ntransfer-encoding: chunked") {
            self.until(head, b"0\r\n\r\n")?
        } else {
            let length = text.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.lines().next());
            head + length.map_or(0, |digits| digits.trim().parse().expect("a Content-Length"))
        };
        while self.buffer.len() < end {
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Some(self.buffer.drain(..end).collect()))
    }

    /// Whatever has come, empty once the peer has closed.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads until `n` bytes are there.
    pub fn read(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < n {
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..n).collect())
    }

    /// Reads until `pattern` has come, and gives everything up to its end.
    pub fn read_past(&mut self, pattern: &[u8]) -> io::Result<Vec<u8>> {
        let end = self.until(0, pattern)?;
        Ok(self.buffer.drain(..end).collect())
    }

    /// Blocks until the peer closes; bytes that come first are kept among the received ones.
    pub fn until_closed(&mut self) -> io::Result<()> {
        while self.fill()? > 0 {}
        Ok(())
    }

    /// Sends bytes at once.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.pipe {
            Pipe::Plain(socket) => socket.write_all(bytes),
            Pipe::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Closes properly: `close_notify` on TLS, then FIN.
    pub fn close(&mut self) -> io::Result<()> {
        if let Pipe::Tls(stream) = &mut self.pipe {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown(Shutdown::Both)
    }

    /// Closes with FIN and without `close_notify`: a truncation, seen from TLS.
    pub fn cut(&mut self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Both)
    }

    /// Closes with RST.
    pub fn reset(&mut self) -> io::Result<()> {
        // The handler returns next and drops the socket: lingering for no time makes the kernel send RST.
        SockRef::from(self.socket()).set_linger(Some(Duration::ZERO))
    }

    fn socket(&self) -> &TcpStream {
        match &self.pipe {
            Pipe::Plain(socket) => socket,
            Pipe::Tls(stream) => &stream.sock,
        }
    }

    /// Reads until `pattern` stands at or after `from`; gives the end of it.
    fn until(&mut self, from: usize, pattern: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(at) = find(&self.buffer[from..], pattern) {
                return Ok(from + at + pattern.len());
            }
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut room = [0; 16 << 10];
        let n = self.pipe.read(&mut room)?;
        self.buffer.extend_from_slice(&room[..n]);
        self.received.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&room[..n]);
        Ok(n)
    }
}

/// Reads without keeping: for bodies too long to be held, and for parsers.
impl Read for Conn {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            return self.pipe.read(room);
        }
        let n = room.len().min(self.buffer.len());
        room[..n].copy_from_slice(&self.buffer[..n]);
        self.buffer.drain(..n);
        Ok(n)
    }
}

impl Read for Pipe {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(room),
            Self::Tls(stream) => stream.read(room),
        }
    }
}

/// A response with a Content-Length.
pub fn response(status: u16, fields: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status} X\r\n{fields}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// One chunk of a chunked body.
pub fn chunk(data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// A ServerHello that chooses TLS 1.1, as a server does that knows nothing newer.
pub fn tls_1_1_server_hello() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend_from_slice(&[0x42; 32]); // random
    body.extend_from_slice(&[0, 0xc0, 0x13, 0]); // no session, ECDHE-RSA-AES128-SHA, no compression
    let length = body.len() as u8;
    let mut record = vec![22, 3, 2, 0, length + 4, 2, 0, 0, length];
    record.extend_from_slice(&body);
    record
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
