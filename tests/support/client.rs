//! A client that sends exactly the bytes a test gives it, plain or inside TLS, and never waits for ever.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::SockRef;
use tollgate::demo::http1::{Body, Head};

/// Silence after which a read fails.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// A connection of a guest.
pub struct Client {
    pipe: BufReader<Pipe>,
}

enum Pipe {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A response as it was read.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Status line and fields.
    pub head: Head,
    /// The body without chunk framing.
    pub body: Vec<u8>,
}

impl Client {
    /// A plain connection.
    pub fn plain(proxy: SocketAddr) -> Self {
        let socket = TcpStream::connect(proxy).expect("a listening proxy");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        Self { pipe: BufReader::new(Pipe::Plain(socket)) }
    }

    /// TLS at once, as a redirected connection: the server name says where to.
    pub fn transparent(proxy: SocketAddr, host: &str, roots: &Path) -> Self {
        Self::plain(proxy).upgrade(host, roots)
    }

    /// CONNECT to port 443, then TLS.
    pub fn connect(proxy: SocketAddr, host: &str, roots: &Path) -> Self {
        let mut client = Self::plain(proxy);
        client.send(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes());
        let head = client.head().expect("an answer to CONNECT");
        assert_eq!(head.status().expect("a status"), 200, "{head:?}");
        client.upgrade(host, roots)
    }

    /// Begins TLS for `host` on a plain connection.
    pub fn upgrade(self, host: &str, roots: &Path) -> Self {
        let Pipe::Plain(socket) = self.pipe.into_inner() else { panic!("TLS inside TLS") };
        let name = ServerName::try_from(host.to_owned()).expect("a server name");
        let connection = ClientConnection::new(config(roots), name).expect("a client connection");
        Self { pipe: BufReader::new(Pipe::Tls(Box::new(StreamOwned::new(connection, socket)))) }
    }

    /// Sends bytes at once.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("a peer that reads");
    }

    /// Sends bytes to a peer that may be gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.pipe.get_mut() {
            Pipe::Plain(socket) => socket.write_all(bytes),
            Pipe::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Reads a response head.
    pub fn head(&mut self) -> io::Result<Head> {
        Head::read(&mut self.pipe)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads a whole response to a GET or POST.
    pub fn response(&mut self) -> io::Result<Response> {
        let head = self.head()?;
        let body = self.body(&head)?;
        Ok(Response { status: head.status()?, head, body })
    }

    /// Reads the body that belongs to a head, of an answer to a GET or POST.
    pub fn body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        head.response_body("GET")?.read(&mut self.pipe, &mut |piece| body.extend_from_slice(piece))?;
        Ok(body)
    }

    /// Sends a request and reads its response.
    pub fn ask(&mut self, request: &[u8]) -> Response {
        self.send(request);
        self.response().expect("a response")
    }

    /// The next `n` bytes of data of a chunked body, however it is cut into chunks; it may give more.
    pub fn chunked_data(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        while data.len() < n {
            data.extend(self.chunk()?);
        }
        Ok(data)
    }

    /// The end of a chunked body, and what data still came before it.
    pub fn chunked_end(&mut self) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        Body::Chunked.read(&mut self.pipe, &mut |piece| data.extend_from_slice(piece))?;
        Ok(data)
    }

    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut size = String::new();
        self.pipe.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim_end(), 16).map_err(io::Error::other)?;
        let mut data = vec![0; size + 2];
        self.pipe.read_exact(&mut data)?;
        data.truncate(size);
        Ok(data)
    }

    /// Everything until the peer closes; a reset or a missing `close_notify` is an end too.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut room = [0; 4096];
        loop {
            match self.pipe.read(&mut room) {
                Ok(0) => return rest,
                Ok(n) => rest.extend_from_slice(&room[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the peer does not close"),
                Err(_) => return rest,
            }
        }
    }

    /// Whether the peer has sent data or has closed, without waiting for it.
    pub fn has_answer(&mut self) -> bool {
        self.socket().set_nonblocking(true).expect("a socket");
        let looked = self.pipe.fill_buf().map(<[u8]>::len);
        self.socket().set_nonblocking(false).expect("a socket");
        !matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Leaves with FIN, without a word of TLS, as a killed process does.
    pub fn leave(self) {
        drop(self.socket().shutdown(Shutdown::Both));
    }

    /// Leaves with RST.
    pub fn reset(self) {
        drop(SockRef::from(self.socket()).set_linger(Some(Duration::ZERO)));
    }

    fn socket(&self) -> &TcpStream {
        match self.pipe.get_ref() {
            Pipe::Plain(socket) => socket,
            Pipe::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Client {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.pipe.read(room)
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

/// A client's TLS that trusts the certificates of a PEM file and nothing else.
fn config(roots: &Path) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots).expect("a PEM file") {
        store.add(certificate.expect("a certificate")).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("default versions")
        .with_root_certificates(store)
        .with_no_client_auth();
    Arc::new(config)
}
