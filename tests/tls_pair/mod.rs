//! A TLS client and a TLS server joined in memory: no socket, no waiting.

use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection};
use tollgate::policy::host::Host;
use tollgate::upstream::trust;

pub type Pair = (ClientConnection, ServerConnection);

/// A host that is known to be valid.
pub fn host(text: &str) -> Host {
    Host::parse(text.as_bytes()).expect("a valid host")
}

/// Runs a whole handshake; the error is that of the side that found fault first.
pub fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, host: &Host) -> Result<Pair, Error> {
    let name = trust::server_name(host).expect("a name that TLS can carry");
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("a Vec takes everything");
        }
        feed(&bytes, |input| server.read_tls(input))?;
        server.process_new_packets()?;
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("a Vec takes everything");
        }
        feed(&bytes, |input| client.read_tls(input))?;
        client.process_new_packets()?;
    }
    Ok((client, server))
}

fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>) -> Result<(), Error> {
    while !bytes.is_empty() {
        read(&mut bytes).map_err(|error| Error::General(error.to_string()))?;
    }
    Ok(())
}
