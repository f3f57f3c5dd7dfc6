//! The checks inside a guest or a jail.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use super::Check;
use crate::cert::bundle;

const PATIENCE: Duration = Duration::from_secs(5);
/// Documentation addresses, which no policy has reason to allow (RFC 5737, RFC 3849).
const DENIED: [(&str, &str, &str); 2] =
    [("capture v4", "192.0.2.1", "192.0.2.1"), ("capture v6", "2001:db8::1", "[2001:db8::1]")];

/// Everything that can be looked at from inside.
pub(super) fn checks() -> Vec<Check> {
    let captures = DENIED.iter().map(|(name, ip, host)| captured(name, ip, host));
    let mut checks: Vec<Check> = captures.collect();
    checks.extend([only_loopback(), names(), no_datagrams(), roots()]);
    checks.extend(variables());
    checks
}

/// The network devices of this namespace.
pub(super) fn devices() -> Vec<String> {
    let listed = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    listed.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

fn only_loopback() -> Check {
    let devices = devices().join(" ");
    if devices == "lo" {
        Check::ok("devices", "loopback only")
    } else {
        Check::bad("devices", devices, "another device may lead around the proxy: rules must cover it")
    }
}

/// A plain request to an address that is nobody's must be answered, and by the proxy.
fn captured(name: &'static str, ip: &str, host: &str) -> Check {
    let asked = || -> std::io::Result<String> {
        let ip: IpAddr = ip.parse().map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, 80), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match asked() {
        Ok(answer) if answer.contains("tollgate") => Check::ok(name, "the proxy answers, and denies"),
        Ok(answer) => Check::bad(
            name,
            answer.lines().next().unwrap_or_default(),
            "somebody else answered: is TCP redirected?",
        ),
        Err(error) => Check::bad(name, error.to_string(), "is the relay running, and does the host listen?"),
    }
}

/// A name that cannot exist must be denied by the proxy at once, not after a timeout.
fn names() -> Check {
    match ("doctor.tollgate.invalid", 80).to_socket_addrs() {
        Ok(_) => Check::ok("names", "the policy allows every name"),
        Err(error) if error.to_string().contains("Temporary") => {
            Check::bad("names", error.to_string(), "no name server answers: is UDP port 53 redirected?")
        }
        Err(_) => Check::ok("names", "answered, and denied"),
    }
}

fn no_datagrams() -> Check {
    let answered = || -> std::io::Result<usize> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(("192.0.2.1", 443))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.send(b"tollgate")?;
        socket.recv(&mut [0; 16])
    };
    match answered() {
        Ok(_) => Check::bad("udp", "UDP to port 443 was answered", "QUIC leads around the proxy: refuse UDP"),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Check::bad(
            "udp",
            "UDP to port 443 is not refused",
            "programs wait for it: reject instead of dropping",
        ),
        Err(_) => Check::ok("udp", "refused"),
    }
}

/// Our CA's name in the system's own bundle.
fn roots() -> Check {
    let file = bundle::system_files().find_map(|file| Some((file, fs::read_to_string(file).ok()?)));
    let Some((file, pem)) = file else {
        return Check::bad(
            "roots",
            "the system has no bundle",
            "install ca-certificates, or set SSL_CERT_FILE",
        );
    };
    let mut all = crate::cert::Bundle::default();
    all.add(&pem);
    let ours = all
        .certificates()
        .iter()
        .any(|der| der.windows(8).any(|part| part.eq_ignore_ascii_case(b"tollgate")));
    if ours {
        Check::ok("roots", format!("{file} holds the CA"))
    } else {
        Check::bad(
            "roots",
            format!("{file} lacks the CA"),
            "put ca.crt of the host there (update-ca-certificates)",
        )
    }
}

/// Variables that name a file must name one that is there.
fn variables() -> impl Iterator<Item = Check> {
    ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)))
        .filter(|(_, file)| !std::path::Path::new(file).exists())
        .map(|(name, file)| {
            Check::bad("variable", format!("{name} names {file}, which is not there"), "unset it")
        })
}
