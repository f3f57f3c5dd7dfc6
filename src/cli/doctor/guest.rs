//! The checks inside a guest or a jail: what leads to the proxy, what the proxy says, and that nothing else answers.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::Duration;

use super::fetch::{PATIENCE, Url, fetch, plain};
use super::stores::{self, NOBODY};
use super::{Check, clock};
use crate::cert::bundle;
use crate::guest::redirect::Tool;

/// Documentation addresses, which no policy has reason to allow (RFC 5737, RFC 3849).
const NOBODY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NOBODY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// Hosts of which a policy often allows one.
const KNOWN: [&str; 6] = [
    "api.anthropic.com",
    "api.openai.com",
    "generativelanguage.googleapis.com",
    "github.com",
    "pypi.org",
    "registry.npmjs.org",
];
/// A reply that takes at least this long from its first byte to its last was not held back.
const SPREAD: Duration = Duration::from_millis(100);

/// Everything that can be looked at from inside.
pub(super) fn checks(url: Option<&Url>, stream: Option<&Url>) -> Vec<Check> {
    let mut checks = vec![clock(), devices_lead_nowhere()];
    checks.extend(rules());
    for (family, ip) in [("v4", NOBODY_V4), ("v6", NOBODY_V6)] {
        checks.push(relay(&format!("relay {family}"), ip));
        checks.push(denied(&format!("denied {family}"), ip));
        checks.push(name_server(&format!("dns {family}"), ip));
        checks.push(no_datagrams(&format!("udp {family}"), ip));
    }
    checks.extend([name_server_tcp(), names(), allowed(url)]);
    checks.extend(stream.map(streams));
    checks.extend(stores::checks(SocketAddr::new(NOBODY_V4, 443)));
    checks
}

/// The network devices of this namespace.
pub(super) fn devices() -> Vec<String> {
    let listed = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    listed.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// Another device is no fault where rules cover it, which the checks below show.
fn devices_lead_nowhere() -> Check {
    let others: Vec<String> = devices().into_iter().filter(|device| device != "lo").collect();
    match others.as_slice() {
        [] => Check::ok("devices", "loopback only"),
        _ => Check::ok(
            "devices",
            format!("{}: rules must cover them, as the next checks show", others.join(" ")),
        ),
    }
}

/// The rules themselves, where this user may read them.
fn rules() -> Option<Check> {
    let installed = Tool::find().ok()?.installed();
    let (rules, text) = installed.first().map(|rules| (rules, rules.to_string()))?;
    Some(if rules.port == 0 {
        Check::bad("rules", text, "install them again")
    } else {
        Check::ok("rules", text)
    })
}

/// Any port of any address must lead to the relay.
fn relay(name: &str, ip: IpAddr) -> Check {
    const ANY_PORT: u16 = 4;
    let connected = TcpStream::connect_timeout(&SocketAddr::new(ip, ANY_PORT), PATIENCE);
    let found = connected.map(|_| format!("[{ip}]:{ANY_PORT} leads to the relay"));
    Check::of(
        name,
        found,
        "start the relay (`tollgate relay --to … --capture`), or install the rules for both families",
    )
}

/// A request to an address that is nobody's must be answered, and by the proxy.
fn denied(name: &str, ip: IpAddr) -> Check {
    let host = if ip.is_ipv4() { ip.to_string() } else { format!("[{ip}]") };
    match plain(SocketAddr::new(ip, 80), &host, "/") {
        Ok(page) if page.is_ours() => Check::ok(name, format!("the proxy answers {}", page.status)),
        Ok(page) => {
            Check::bad(name, format!("somebody else answered {}", page.status), "redirect TCP to the relay")
        }
        Err(error) => Check::bad(
            name,
            error.to_string(),
            "the relay has no host: its listener must be there, with proxy_header = true",
        ),
    }
}

/// Whatever name server is asked must answer, and at once.
fn name_server(name: &str, ip: IpAddr) -> Check {
    let asked = || -> io::Result<()> {
        let socket = udp(ip, 53, PATIENCE)?;
        socket.send(&query())?;
        answered(&mut |answer| socket.recv(answer))
    };
    let found = asked().map(|()| format!("[{ip}]:53 answers over UDP"));
    Check::of(name, found, "redirect UDP port 53 to the relay, in both families")
}

fn name_server_tcp() -> Check {
    let asked = || -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(NOBODY_V4, 53), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let query = query();
        stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], &query].concat())?;
        stream.read_exact(&mut [0; 2])?;
        answered(&mut |answer| stream.read(answer))
    };
    let found = asked().map(|()| format!("{NOBODY_V4}:53 answers over TCP"));
    Check::of("dns tcp", found, "redirect TCP port 53 to the relay")
}

const ID: [u8; 2] = *b"tg";

/// A question for a name that cannot exist, type A.
fn query() -> Vec<u8> {
    let mut query = [&ID[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in NOBODY.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}

fn answered(receive: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
    let mut answer = [0; 512];
    let length = receive(&mut answer)?;
    let is_answer = length >= 12 && answer[..2] == ID && answer[2] & 0x80 != 0;
    if is_answer { Ok(()) } else { Err(io::Error::new(ErrorKind::InvalidData, "no answer to the question")) }
}

/// A name that cannot exist must be denied by the proxy at once, not after a timeout.
fn names() -> Check {
    match (NOBODY, 80).to_socket_addrs() {
        Ok(_) => Check::ok("names", "the policy allows every name"),
        Err(error) if error.to_string().contains("Temporary") => Check::bad(
            "names",
            error.to_string(),
            "no name server answers: is one named in /etc/resolv.conf?",
        ),
        Err(_) => Check::ok("names", "answered, and denied"),
    }
}

/// QUIC and everything else that is no TCP must be refused, and at once.
fn no_datagrams(name: &str, ip: IpAddr) -> Check {
    let sent = || -> io::Result<usize> {
        let socket = udp(ip, 443, Duration::from_millis(200))?;
        socket.send(b"tollgate")?;
        socket.recv(&mut [0; 16])
    };
    match sent() {
        Ok(_) => Check::bad(name, "port 443 answers", "QUIC leads around the proxy: refuse UDP"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Check::bad(name, "port 443 is not refused", "programs wait for it: reject instead of dropping")
        }
        Err(_) => Check::ok(name, "port 443 is refused"),
    }
}

fn udp(ip: IpAddr, port: u16, wait: Duration) -> io::Result<UdpSocket> {
    let any =
        if ip.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((ip, port))?;
    socket.set_read_timeout(Some(wait))?;
    Ok(socket)
}

/// A page that the policy allows must come from its origin.
fn allowed(url: Option<&Url>) -> Check {
    let known = || KNOWN.into_iter().find(|host| (*host, 443).to_socket_addrs().is_ok()).map(Url::of_host);
    let Some(url) = url.cloned().or_else(known) else {
        return Check::ok("allowed", "not tried: name a page that the policy allows with --url");
    };
    match fetch(&url, &system_roots()) {
        Ok(page) if page.is_ours() => {
            let said = page.text.lines().next().unwrap_or_default().to_owned();
            Check::bad(
                "allowed",
                format!("{url}: {said}"),
                "see `tollgate policy why` and `tollgate log` on the host",
            )
        }
        Ok(page) => Check::ok("allowed", format!("{url}: {}", page.status)),
        Err(error) => Check::bad("allowed", format!("{url}: {error}"), "see `tollgate log` on the host"),
    }
}

/// A page that is sent slowly must begin before it ends.
fn streams(url: &Url) -> Check {
    const MEND: &str =
        "something holds replies back, or the page is sent at once: name one that is sent slowly";
    match fetch(url, &system_roots()) {
        Ok(page) if page.is_ours() => Check::bad("streaming", format!("{url}: refused"), MEND),
        Ok(page) if page.spread >= SPREAD => Check::ok(
            "streaming",
            format!("the first bytes came {} ms before the last", page.spread.as_millis()),
        ),
        Ok(page) => Check::bad("streaming", format!("all within {} ms", page.spread.as_millis()), MEND),
        Err(error) => Check::bad("streaming", format!("{url}: {error}"), MEND),
    }
}

fn system_roots() -> std::path::PathBuf {
    let found = bundle::system_files().map(Path::new).find(|file| file.exists());
    found.unwrap_or(Path::new("/etc/ssl/certs/ca-certificates.crt")).to_owned()
}
