//! Sockets and threads of the admin listener: one accepts, each connection has one of its own, their number is
//! bounded. Refuses to wait for a silent peer: reading and writing have deadlines.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::http::{Connection, Response};
use super::{State, route};
use crate::config::ListenAddress;
use crate::reactor::listen::bind_private;

/// Connections served at once; for more, those make room that wait for their peer.
const CONNECTIONS: usize = 32;
/// Threads at most, with those that were just made to end; more connections are answered 503.
const THREADS: usize = 2 * CONNECTIONS;
/// How long a peer may take none of what is written to it.
const WRITE: Duration = Duration::from_secs(5);
/// How long to wait after a failed accept, so that a lack of descriptors is no busy loop.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(super) enum Listener {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds; a socket file is for this user only (0600).
    pub(super) fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) if address.ip().to_canonical().is_loopback() => {
                let listener = TcpListener::bind(address)?;
                let address = listener.local_addr()?;
                Ok(Self::Tcp(listener, address))
            }
            ListenAddress::Unix(path) => Ok(Self::Unix(bind_private(path)?, path.clone())),
            _ => Err(io::Error::other("use a loopback address or a unix:// socket")),
        }
    }

    pub(super) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            Self::Unix(..) => None,
        }
    }

    /// Has the accepting thread look at its flags; false when it cannot be reached.
    pub(super) fn wake(&self) -> bool {
        match self {
            Self::Tcp(_, address) => TcpStream::connect(address).is_ok(),
            Self::Unix(_, path) => UnixStream::connect(path).is_ok(),
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        let stream = match self {
            Self::Tcp(listener, _) => Stream::Tcp(listener.accept()?.0),
            Self::Unix(listener, _) => Stream::Unix(listener.accept()?.0),
        };
        stream.prepare()?;
        Ok(stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path); // somebody may have removed it already
        }
    }
}

/// A connection's socket.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(WRITE))
            }
            Self::Unix(stream) => stream.set_write_timeout(Some(WRITE)),
        }
    }

    /// A second handle of the same connection.
    pub(super) fn handle(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    /// Ends the connection, whoever else holds it.
    pub(super) fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Both)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        }
    }

    /// How long the next read may take.
    pub(super) fn set_read_timeout(&self, wait: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(wait)),
            Self::Unix(stream) => stream.set_read_timeout(Some(wait)),
        }
    }
}

impl Stream {
    /// Says no more and takes what still comes, until the peer has ended too or so long has passed. Closing with bytes
    /// unread would reset the connection and could take the answer from the peer (RFC 9112 §9.6).
    pub(super) fn linger(&mut self, until: impl Fn() -> Option<Duration>) -> io::Result<()> {
        self.shutdown(Shutdown::Write)?;
        let mut room = [0; 16 << 10];
        while let Some(left) = until() {
            self.set_read_timeout(left)?;
            if self.read(&mut room)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Waits so long, or shorter: whether the peer ended its side meanwhile. What it says is thrown away.
    pub(super) fn has_ended(&mut self, wait: Duration) -> io::Result<bool> {
        self.set_read_timeout(wait)?;
        match self.read(&mut [0; 512]) {
            Ok(0) => Ok(true),
            Ok(_) => {
                thread::sleep(wait); // or who talks on would not be waited for
                Ok(false)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the accepting thread.
pub(super) fn spawn(listener: Arc<Listener>, state: Arc<State>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("admin".to_owned()).spawn(move || accept_all(&listener, &state))
}

fn accept_all(listener: &Listener, state: &Arc<State>) {
    while !state.stopping.load(Relaxed) {
        match listener.accept() {
            Ok(stream) if has_room(state) => begin(stream, state),
            Ok(mut stream) => drop(Response::problem(503, "too many connections").write(&mut stream, false)),
            Err(error) => {
                log::warn!("admin: accept: {error}");
                thread::sleep(PAUSE);
            }
        }
    }
}

fn has_room(state: &State) -> bool {
    let connections = state.connections.load(Relaxed);
    connections < CONNECTIONS || (connections < THREADS && state.waiting.end_longest())
}

fn begin(stream: Stream, state: &Arc<State>) {
    let counted = Counted::new(Arc::clone(state));
    let serve = move || {
        let state = &counted.0;
        if let Err(error) = route::serve(&mut Connection::new(stream, Arc::clone(&state.shared)), state) {
            log::debug!("admin: {error}");
        }
    };
    if let Err(error) = thread::Builder::new().name("admin-request".to_owned()).spawn(serve) {
        log::warn!("admin: no thread for a connection: {error}");
    }
}

/// Counts a connection for as long as it lives, also when its thread panics or never starts.
struct Counted(Arc<State>);

impl Counted {
    fn new(state: Arc<State>) -> Self {
        state.connections.fetch_add(1, Relaxed);
        Self(state)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}
