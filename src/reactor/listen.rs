//! Listeners: TCP by `SO_REUSEPORT` on every reactor, Unix and vsock on the first, which hands connections on.
//!
//! Refuses an address that another process listens on, although `SO_REUSEPORT` would allow to share it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};
use vsock::{VsockAddr, VsockListener};

use crate::config::ListenAddress as Address;
use crate::guest::redirect::original_destination;

use super::socket::Socket;

/// What all connections of a listener share.
#[derive(Debug)]
pub struct Entrance {
    /// The address as the ledger shows it.
    pub name: Arc<str>,
    /// Whether connections begin with a PROXY v2 header that we believe.
    pub proxy_header: bool,
    /// The TCP port we listen on, 0 elsewhere.
    pub port: u16,
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket.
    pub socket: Socket,
    /// The peer as the ledger shows it.
    pub client: Option<Arc<str>>,
    /// Where a redirected connection really wanted to go.
    pub original: Option<SocketAddr>,
    /// Where it came in.
    pub entrance: Arc<Entrance>,
}

/// One listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Listening,
    /// What its connections share.
    pub entrance: Arc<Entrance>,
    /// There may be connections to accept.
    pub ready: bool,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
    Vsock(VsockListener),
}

impl Listener {
    /// Binds. A TCP listener can be bound once more for each further reactor with [`Listener::again`].
    pub fn bind(address: &Address, proxy_header: bool) -> io::Result<Self> {
        let socket = match address {
            Address::Tcp(address) => Listening::Tcp(bind_tcp(*address, true)?),
            Address::Unix(path) => Listening::Unix(bind_unix(path)?),
            Address::Vsock { cid, port } => Listening::Vsock(bind_vsock(*cid, *port)?),
        };
        let bound = match (&socket, address) {
            (Listening::Tcp(listener), _) => Address::Tcp(listener.local_addr()?),
            (_, other) => other.clone(),
        };
        let port = if let Address::Tcp(address) = &bound { address.port() } else { 0 };
        let entrance = Entrance { name: bound.to_string().into(), proxy_header, port };
        Ok(Self { socket, entrance: Arc::new(entrance), ready: true })
    }

    /// The same TCP address again, for another reactor; `None` for the other kinds.
    pub fn again(&self) -> io::Result<Option<Self>> {
        let Listening::Tcp(listener) = &self.socket else { return Ok(None) };
        let socket = Listening::Tcp(bind_tcp(listener.local_addr()?, false)?);
        Ok(Some(Self { socket, entrance: Arc::clone(&self.entrance), ready: true }))
    }

    /// The TCP address that was bound.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Listening::Tcp(listener) => listener.local_addr().ok(),
            Listening::Unix(_) | Listening::Vsock(_) => None,
        }
    }

    /// Whether only the first reactor has it, so that its connections are handed round.
    pub fn is_shared(&self) -> bool {
        !matches!(self.socket, Listening::Tcp(_))
    }

    /// Registers for readiness.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Listening::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Listening::Unix(listener) => registry.register(listener, token, Interest::READABLE),
            Listening::Vsock(listener) => {
                registry.register(&mut SourceFd(&listener.as_raw_fd()), token, Interest::READABLE)
            }
        }
    }

    /// Accepts one connection.
    pub fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Listening::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                self.accepted_tcp(stream, peer)
            }
            Listening::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok(self.accepted(Socket::Unix(stream), None))
            }
            Listening::Vsock(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let client = Some(format!("vsock:{}", peer.cid()).into());
                Ok(self.accepted(Socket::Vsock(stream), client))
            }
        }
    }

    fn accepted(&self, socket: Socket, client: Option<Arc<str>>) -> Accepted {
        Accepted { socket, client, original: None, entrance: Arc::clone(&self.entrance) }
    }

    fn accepted_tcp(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<Accepted> {
        stream.set_nodelay(true)?;
        let original = original_destination(&stream, stream.local_addr()?);
        let client = Some(canonical(peer).to_string().into());
        Ok(Accepted { original, ..self.accepted(Socket::Tcp(stream), client) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listening::Unix(listener) = &self.socket
            && let Ok(address) = listener.local_addr()
            && let Some(path) = address.as_pathname()
        {
            let _ = std::fs::remove_file(path); // somebody may have removed it already
        }
    }
}

/// An IPv4-mapped address (RFC 4291 §2.5.5.2) as the IPv4 address it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn bind_tcp(address: SocketAddr, first: bool) -> io::Result<TcpListener> {
    if first && address.port() != 0 {
        drop(listen_tcp(address, false)?); // somebody else's listener shows here
    }
    listen_tcp(address, true)
}

fn listen_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Connections that the kernel keeps for us while we take none.
const BACKLOG: i32 = 4096;

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// A socket that only our own user can connect to, from its first moment on.
pub fn bind_private(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    remove_stale(path)?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before it is bound: its file gets the mode that the socket has (unix(7)'s Linux way).
    let socket = std::fs::File::from(std::os::fd::OwnedFd::from(socket));
    socket.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    let socket = socket2::Socket::from(std::os::fd::OwnedFd::from(socket));
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(std::os::fd::OwnedFd::from(socket).into())
}

/// Removes a socket that nobody listens on any more; anything else at this path is left alone and an error.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        let message = format!("{} exists and is not a socket", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(_) => std::fs::remove_file(path),
    }
}

fn bind_vsock(cid: Option<u32>, port: u32) -> io::Result<VsockListener> {
    let any = nix::libc::VMADDR_CID_ANY;
    let listener = VsockListener::bind(&VsockAddr::new(cid.unwrap_or(any), port))?;
    SockRef::from(&listener).set_nonblocking(true)?;
    Ok(listener)
}
