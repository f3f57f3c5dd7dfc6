//! What is known of a guest connection whatever state it is in: where it came in, who is at its end, and where it
//! said it wants to go.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::limits::Now;
use crate::policy::host::Host;
use crate::telemetry::event::{Client, NetEvent};

/// Facts of one guest connection.
#[derive(Debug)]
pub struct Session {
    /// Number of the connection, unique in the ledger.
    pub connection_id: u64,
    /// The listener as the ledger shows it.
    pub listener: Arc<str>,
    /// The TCP port of that listener, 0 where it has none.
    pub local_port: u16,
    /// Whether a PROXY v2 header comes first.
    pub proxy_header: bool,
    /// Who is at the guest's end.
    pub client: Arc<Client>,
    /// When it was accepted.
    pub opened: Now,
    /// Where the guest's packet was going, by redirect or PROXY v2: recorded, and its port used, never dialled.
    pub original: Option<SocketAddr>,
    /// What CONNECT or SOCKS asked for.
    pub target: Option<Target>,
    /// The host that the guest's TLS was terminated for.
    pub tls: Option<Host>,
    /// What the first request is told, decided before there was one.
    pub verdict: Option<Box<super::fault::Verdict>>,
    /// Heads read so far.
    pub requests: u64,
    /// The guest speaks HTTP, so that it can be answered in HTTP.
    pub speaks_http: bool,
    /// The guest sent something.
    pub received: bool,
}

/// A host and port that the guest named before any request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host.
    pub host: Host,
    /// Port.
    pub port: u16,
}

impl Session {
    /// A connection that was just accepted, at a listener without a port and without PROXY headers, and not redirected.
    pub fn begin(connection_id: u64, listener: Arc<str>, client: Arc<Client>, opened: Now) -> Self {
        Self {
            connection_id,
            listener,
            local_port: 0,
            proxy_header: false,
            client,
            opened,
            original: None,
            target: None,
            tls: None,
            verdict: None,
            requests: 0,
            speaks_http: false,
            received: false,
        }
    }

    /// The port that the guest was going to, where anything says so.
    pub fn known_port(&self) -> Option<u16> {
        let explicit = self.target.as_ref().map(|target| target.port);
        explicit.or_else(|| self.original.map(|address| address.port()))
    }

    /// The host that the guest was going to, as far as it is known without a request.
    pub fn known_host(&self) -> Option<Host> {
        let named = self.tls.clone().or_else(|| self.target.as_ref().map(|target| target.host.clone()));
        named.or_else(|| self.original.map(|address| Host::from_ip(address.ip())))
    }

    /// A row for an exchange, or for the connection itself, with all that is known at its start.
    pub fn row(&self, exchange_id: u64, started: Now) -> NetEvent {
        let (listener, client) = (Arc::clone(&self.listener), Arc::clone(&self.client));
        NetEvent {
            connection_id: self.connection_id,
            host: self.known_host().map(|host| host.shared()),
            port: self.known_port(),
            original: self.original,
            ..NetEvent::begin(exchange_id, started.wall, listener, client)
        }
    }
}
