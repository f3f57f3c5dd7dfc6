//! The demo's client: HTTP/1.1 over TLS on std sockets, directly or through the proxy.
//!
//! It trusts exactly the roots it is given, keeps its connections alive, and notes when the first byte of a body
//! arrives. It follows nothing and retries nothing.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::clock;
use super::http1::Head;

/// Silence after which the demo gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Straight to the origin's address.
    Direct(SocketAddr),
    /// Through the proxy by CONNECT.
    Connect(SocketAddr),
    /// Through the proxy as a redirected connection: TLS at once, the server name says where to.
    Transparent(SocketAddr),
}

/// A client for one route, trusting one file of roots.
pub struct Client {
    route: Route,
    tls: Arc<ClientConfig>,
}

/// A request. Host and Content-Length are written by the client.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The host, for SNI and `Host`.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// More header fields.
    pub fields: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Status line and fields.
    pub head: Head,
    /// The body without its chunk framing, still content-coded.
    pub body: Vec<u8>,
    /// When its first byte arrived.
    pub first_byte: Option<Instant>,
}

/// What opening a connection led to.
pub enum Opened {
    /// A connection to the host.
    Link(Box<Link>),
    /// The proxy's answer to a CONNECT that it refused.
    Refused(Reply),
}

/// One kept-alive connection to one host.
pub struct Link {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Client {
    /// Trusts the certificates of a PEM file and nothing else.
    pub fn new(route: Route, roots: &Path) -> io::Result<Self> {
        let mut store = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(roots).map_err(io::Error::other)?;
        let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        store.add_parsable_certificates(certificates); // a system's bundle may hold some that nobody can use
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(store)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { route, tls: Arc::new(tls) })
    }

    /// Opens a connection to `host` on port 443.
    pub fn open(&self, host: &str) -> io::Result<Opened> {
        let (Route::Direct(address) | Route::Connect(address) | Route::Transparent(address)) = self.route;
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        if let Route::Connect(_) = self.route
            && let Some(refusal) = connect(&mut socket, host)?
        {
            return Ok(Opened::Refused(refusal));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let stream = BufReader::new(StreamOwned::new(connection, socket));
        Ok(Opened::Link(Box::new(Link { stream })))
    }

    /// Opens a connection, sends one request and reads its answer.
    pub fn once(&self, request: &Request) -> io::Result<Reply> {
        match self.open(request.host)? {
            Opened::Link(mut link) => link.send(request, &mut || ()),
            Opened::Refused(reply) => Ok(reply),
        }
    }
}

impl Link {
    /// Sends a request and reads its answer. `first` is called once, when the first byte of the body has arrived.
    pub fn send(&mut self, request: &Request, first: &mut dyn FnMut()) -> io::Result<Reply> {
        self.stream.get_mut().write_all(&request.bytes())?;
        self.stream.get_mut().flush()?;
        let head = Head::read(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut reply = Reply { status: head.status()?, head, body: Vec::new(), first_byte: None };
        let framing = reply.head.response_body(request.method)?;
        framing.read(&mut self.stream, &mut |piece| {
            if reply.first_byte.is_none() {
                reply.first_byte = Some(clock());
                first();
            }
            reply.body.extend_from_slice(piece);
        })?;
        Ok(reply)
    }
}

impl Request<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host).into_bytes();
        for (name, value) in self.fields {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !self.body.is_empty() {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body);
        bytes
    }
}

/// Asks for a tunnel; `Some` is the proxy's refusal.
fn connect(socket: &mut TcpStream, host: &str) -> io::Result<Option<Reply>> {
    socket.write_all(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes())?;
    // Nothing follows a 200 before our ClientHello, so the buffer holds nothing that the tunnel would miss.
    let mut from = BufReader::new(&*socket);
    let head = Head::read(&mut from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.status()?;
    if status == 200 {
        return Ok(None);
    }
    let mut body = Vec::new();
    head.response_body("GET")?.read(&mut from, &mut |piece| body.extend_from_slice(piece))?;
    Ok(Some(Reply { status, head, body, first_byte: None }))
}
