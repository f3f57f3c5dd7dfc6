//! The floor: a blind relay that terminates TLS on both sides and parses nothing.
//!
//! One thread, edge-triggered sockets, `TCP_NODELAY`, one leaf, resumption on both sides, one origin connection for
//! each guest connection. What a proxy costs above this is what its understanding costs; `scripts/perf` prints that
//! ratio. It refuses nothing and has no timeouts.
//!
//! `floor LISTEN ORIGIN NAME LEAF.pem CA.pem`

#[path = "perf/socket.rs"]
mod socket;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use slab::Slab;
use socket::{SCRATCH, TlsSocket};

const LISTENER: Token = Token(usize::MAX);

fn main() -> Result<(), Box<dyn Error>> {
    let [listen, origin, name, leaf, ca] = arguments()?;
    let mut floor = Floor {
        poll: Poll::new()?,
        listener: TcpListener::bind(listen.parse()?)?,
        origin: origin.parse()?,
        name: ServerName::try_from(name)?,
        server: server_config(&leaf)?,
        client: client_config(&ca)?,
        pairs: Slab::new(),
        scratch: vec![0; SCRATCH],
    };
    println!("listening on {}", floor.listener.local_addr()?);
    Ok(floor.run()?)
}

fn arguments() -> Result<[String; 5], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: floor LISTEN ORIGIN NAME LEAF.pem CA.pem".to_string())
}

fn server_config(leaf: &str) -> Result<Arc<ServerConfig>, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(leaf)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(leaf)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

fn client_config(ca: &str) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// A guest connection and the origin connection that mirrors it.
struct Pair {
    guest: TlsSocket,
    origin: TlsSocket,
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    origin: SocketAddr,
    name: ServerName<'static>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    pairs: Slab<Pair>,
    scratch: Vec<u8>,
}

impl Floor {
    fn run(&mut self) -> io::Result<()> {
        self.poll.registry().register(&mut self.listener, LISTENER, Interest::READABLE)?;
        let mut events = Events::with_capacity(1024);
        let mut touched = Vec::new();
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                self.latch(event, &mut touched);
            }
            for key in touched.drain(..) {
                self.turn(key);
            }
        }
    }

    fn latch(&mut self, event: &Event, touched: &mut Vec<usize>) {
        if event.token() == LISTENER {
            self.accept(touched);
            return;
        }
        let (key, is_origin) = (event.token().0 / 2, event.token().0 % 2 == 1);
        if let Some(pair) = self.pairs.get_mut(key) {
            let socket = if is_origin { &mut pair.origin } else { &mut pair.guest };
            socket.latch(event);
            touched.push(key);
        }
    }

    fn accept(&mut self, touched: &mut Vec<usize>) {
        while let Ok((tcp, _)) = self.listener.accept() {
            match self.pair(tcp) {
                Ok(key) => touched.push(key),
                Err(error) => eprintln!("floor: accept: {error}"),
            }
        }
    }

    fn pair(&mut self, tcp: TcpStream) -> Result<usize, Box<dyn Error>> {
        let guest = ServerConnection::new(Arc::clone(&self.server))?;
        let origin = ClientConnection::new(Arc::clone(&self.client), self.name.clone())?;
        let mut pair = Pair {
            guest: TlsSocket::new(tcp, guest),
            origin: TlsSocket::new(TcpStream::connect(self.origin)?, origin),
        };
        let entry = self.pairs.vacant_entry();
        let key = entry.key();
        pair.register(self.poll.registry(), key)?;
        entry.insert(pair);
        Ok(key)
    }

    /// Moves what can be moved; a pair whose turn ends with an error or with nothing left to do is forgotten.
    fn turn(&mut self, key: usize) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if !matches!(pair.turn(&mut self.scratch), Ok(true)) {
            self.pairs.remove(key);
        }
    }
}

impl Pair {
    fn register(&mut self, registry: &Registry, key: usize) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut self.guest.tcp, Token(key * 2), both)?;
        registry.register(&mut self.origin.tcp, Token(key * 2 + 1), both)
    }

    /// True while the pair lives.
    fn turn(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        pump(&mut self.guest, &mut self.origin, scratch)?;
        pump(&mut self.origin, &mut self.guest, scratch)?;
        self.guest.flush()?;
        self.origin.flush()?;
        if !self.guest.eof() && !self.origin.eof() {
            return Ok(true);
        }
        self.guest.close();
        self.origin.close();
        self.guest.flush()?;
        self.origin.flush()?;
        Ok(self.guest.backlog() && !self.guest.eof())
    }
}

/// Carries plaintext one way until there is none, or the other side's socket is full.
fn pump(from: &mut TlsSocket, to: &mut TlsSocket, scratch: &mut [u8]) -> io::Result<()> {
    loop {
        to.flush()?;
        if to.backlog() || !from.fill(scratch, |piece| to.write(piece))? {
            return Ok(());
        }
    }
}
