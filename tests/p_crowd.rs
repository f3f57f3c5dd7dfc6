//! Many at once (P25, P26): at the limits accepting pauses and recovers by itself without a busy loop, and peers that
//! say nothing delay nobody else.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use support::client::Client;
use support::now;
use support::origin::{Origin, response};
use support::proxy::{Proxy, Setup};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn origin() -> Origin {
    Origin::plain(|conn| {
        while conn.request()?.is_some() {
            conn.send(&response(200, "", b"here"))?;
        }
        Ok(())
    })
}

/// Less than 2 % of a processor while nothing happens.
fn is_calm(proxy: &Proxy) {
    let before = proxy.cpu();
    thread::sleep(Duration::from_secs(1));
    let used = proxy.cpu() - before;
    assert!(used <= Duration::from_millis(20), "used {used:?} in a second");
}

/// A request that the kernel has taken, and the proxy not yet.
fn waiting(proxy: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(proxy).expect("the backlog takes it");
    socket.write_all(ASK).expect("the kernel takes it");
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a read timeout");
    let early = socket.read(&mut [0; 99]).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::WouldBlock), "it was served past the limit");
    socket
}

/// Whoever is in goes on, whoever is not waits, and comes in when there is room.
fn pauses_and_recovers(proxy: &Proxy, mut inside: Vec<Client>) {
    let mut outside = waiting(proxy.address());
    is_calm(proxy);
    let first = &mut inside[0];
    assert_eq!(first.ask(ASK).body, b"here", "existing connections go on");
    drop(inside);
    outside.set_read_timeout(Some(support::client::PATIENCE)).expect("a read timeout");
    let mut answer = [0; 12];
    outside.read_exact(&mut answer).expect("it comes in once there is room");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn p25_at_the_connection_limit_accepting_pauses_and_recovers() {
    let origin = origin();
    let proxy =
        Setup::default().map("a.example:80", origin.address()).more("[limits]\nconnections = 8").start();
    let mut inside: Vec<Client> = (0..8).map(|_| Client::plain(proxy.address())).collect();
    inside.iter_mut().for_each(|client| assert_eq!(client.ask(ASK).body, b"here"));
    pauses_and_recovers(&proxy, inside);
}

#[test]
fn p25_at_the_descriptor_limit_whoever_is_in_goes_on_and_the_ledger_too() {
    let origin = Origin::plain(|conn| {
        while conn.request()?.is_some() {
            conn.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhere")?;
        }
        Ok(())
    });
    let proxy = Setup::default().map("a.example:80", origin.address()).descriptors(64).start();
    let mut inside = vec![Client::plain(proxy.address())];
    assert_eq!(inside[0].ask(ASK).body, b"here");
    inside.extend((0..100).map(|_| Client::plain(proxy.address())));
    thread::sleep(Duration::from_millis(500));
    assert!(proxy.descriptors() < 50, "{} descriptors", proxy.descriptors());
    for _ in 0..5 {
        assert_eq!(inside[0].ask(ASK).body, b"here", "an origin connection each time");
    }
    pauses_and_recovers(&proxy, inside);
    proxy.ledger().net_events_count(8);
}

/// An address whose kernel takes no more connections and says nothing of it.
fn black_hole() -> (Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).expect("a free port");
    listener.listen(0).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let filling = (0..3).map(|_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        drop(socket.connect(&address)); // under way is enough
        socket
    });
    let filling = filling.collect();
    (listener, filling)
}

#[test]
fn p26_whoever_says_nothing_delays_no_other() {
    let origin = origin();
    let mute = Origin::plain(|conn| conn.until_closed());
    let (hole, _filling) = black_hole();
    let hole = hole.local_addr().expect("an address").as_socket().expect("an IP address");
    let proxy = Setup::default()
        .map("a.example:80", origin.address())
        .map("hole.example:80", hole)
        .map("mute.example:443", mute.address())
        .start();
    let silent: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: hole.example\r\n\r\n",
        b"GET https://mute.example/ HTTP/1.1\r\nHost: mute.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"CONNECT mute.example:443 HTTP/1.1\r\nHost: mute.example:443\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo",
    ];
    let _crowd: Vec<Client> = (0..200)
        .map(|n| {
            let mut client = Client::plain(proxy.address());
            client.send(silent[n % silent.len()]);
            client
        })
        .collect();
    let mut took: Vec<Duration> = (0..100)
        .map(|_| {
            let start = now();
            assert_eq!(Client::plain(proxy.address()).ask(ASK).body, b"here");
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    // The slowest few are the machine's own.
    assert!(took[94] < Duration::from_millis(50), "{took:?}");
}
