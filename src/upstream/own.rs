//! Our own listeners, which cannot be reached through us (P13).
//!
//! An address is ours if a connection to it would come in at one of our listeners: the very address; an unspecified
//! one, which the kernel takes for loopback; and where a listener takes all addresses, every address of this machine.
//! Those change while it runs, so the kernel is asked each time: it binds its own addresses and no others.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The addresses of our listeners.
#[derive(Clone, Debug, Default)]
pub struct Own(Box<[SocketAddr]>);

impl Own {
    /// For these listeners, the admin one among them.
    pub fn new(listeners: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(listeners.into_iter().collect())
    }

    /// Whether a connection to this address would reach ourselves. Asks the kernel only for an address whose port is
    /// that of a listener on all addresses.
    pub fn holds(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let mut same_port = self.0.iter().filter(|listener| listener.port() == address.port());
        same_port.any(|listener| {
            let at = listener.ip().to_canonical();
            at == ip || ip.is_unspecified() || at.is_unspecified() && is_local(ip)
        })
    }
}

/// Whether this machine has the address. What the kernel cannot tell counts as ours.
fn is_local(ip: IpAddr) -> bool {
    let foreign = |error: &io::Error| error.kind() == io::ErrorKind::AddrNotAvailable;
    ip.is_loopback() || !UdpSocket::bind((ip, 0)).is_err_and(|error| foreign(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(listener: &str, address: &str) -> bool {
        let parse = |text: &str| text.parse().expect("an address");
        Own::new([parse(listener)]).holds(parse(address))
    }

    #[test]
    fn p13_every_way_to_a_listener_is_known() {
        for (listener, address) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80"),
            ("127.0.0.1:80", "0.0.0.0:80"),
            ("[::1]:80", "[::]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "127.8.9.1:80"),
            ("[::]:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
        ] {
            assert!(holds(listener, address), "{address} is {listener}");
        }
    }

    #[test]
    fn other_hosts_on_the_port_of_a_listener_on_all_addresses_are_not_ours() {
        for (listener, address) in [
            ("0.0.0.0:443", "192.0.2.1:443"),
            ("[::]:443", "[2001:db8::1]:443"),
            ("[::]:443", "192.0.2.1:443"),
            ("0.0.0.0:443", "127.0.0.1:444"),
            ("127.0.0.1:80", "127.0.0.2:80"),
        ] {
            assert!(!holds(listener, address), "{address} is not {listener}");
        }
    }
}
