//! Who may ask: on TCP whoever shows the token, under a name of this machine; on a Unix socket whoever the file's
//! mode lets in, which is this user.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::{constant_time, rand};

use crate::wire::head::RequestHead;

/// Decides by address and token; without one everybody is let in.
pub(super) struct Guard(Option<Tcp>);

struct Tcp {
    address: SocketAddr,
    token: String,
}

impl Guard {
    pub(super) fn of_unix() -> Self {
        Self(None)
    }

    /// Reads the token, or makes one where there is no file.
    pub(super) fn of_tcp(address: SocketAddr, token_file: &Path) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("the token file {}: {error}", token_file.display()))
        };
        Ok(Self(Some(Tcp { address, token: load_token(token_file).map_err(named)? })))
    }

    /// Whether the request names this machine. A page of another site that has its name resolve to 127.0.0.1 does not
    /// (DNS rebinding).
    pub(super) fn knows_host(&self, head: &RequestHead) -> bool {
        let Some(tcp) = &self.0 else { return true };
        head.host().and_then(|host| str::from_utf8(host).ok()).is_some_and(|host| is_ours(host, tcp.address))
    }

    /// Whether the request shows the token in `Authorization: Bearer`, or as `in_query`.
    pub(super) fn admits(&self, head: &RequestHead, in_query: Option<&str>) -> bool {
        let Some(tcp) = &self.0 else { return true };
        let shown = head.fields.get(b"authorization").and_then(bearer).or(in_query.map(str::as_bytes));
        shown.is_some_and(|shown| constant_time::verify_slices_are_equal(shown, tcp.token.as_bytes()).is_ok())
    }
}

/// `localhost`, `127.0.0.1` or `[::1]`, or the very address that is bound, with its port.
fn is_ours(host: &str, address: SocketAddr) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
        _ => (host, Some(80)),
    };
    let ip = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).parse::<IpAddr>();
    let known = ["localhost", "127.0.0.1", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known));
    port == Some(address.port()) && (known || ip.is_ok_and(|ip| ip == address.ip()))
}

/// RFC 6750 §2.1; the scheme in any case (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// The shortest token that an operator may choose.
const SHORTEST: usize = 16;

fn load_token(path: &Path) -> io::Result<String> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let token = new_token()?;
            file.set_permissions(Permissions::from_mode(0o600))?; // the umask may have taken bits away
            file.write_all(format!("{token}\n").as_bytes())?;
            Ok(token)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read_token(path),
        Err(error) => Err(error),
    }
}

fn read_token(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::new(ErrorKind::PermissionDenied, "others can read it; `chmod 600` it"));
    }
    let token = fs::read_to_string(path)?.trim().to_owned();
    let fit = token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic());
    fit.then_some(token).ok_or_else(|| {
        io::Error::other("holds no token of 16 or more visible characters; delete it to have one made")
    })
}

/// 256 random bits in hexadecimal digits; also good as a nonce.
pub(super) fn new_token() -> io::Result<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    Ok(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_with_its_port_are_ours() {
        let address: SocketAddr = "127.0.0.1:8090".parse().expect("an address");
        for host in ["localhost:8090", "LOCALHOST:8090", "127.0.0.1:8090", "[::1]:8090"] {
            assert!(is_ours(host, address), "{host}");
        }
        for host in ["localhost", "evil.test:8090", "127.0.0.1:80", "127.0.0.1.evil.test:8090", "[::1]", ""] {
            assert!(!is_ours(host, address), "{host}");
        }
        let other: SocketAddr = "127.0.0.5:80".parse().expect("an address");
        assert!(is_ours("127.0.0.5", other) && is_ours("localhost", other) && !is_ours("127.0.0.6", other));
    }

    #[test]
    fn p36_the_token_is_private_and_stays_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin.token");
        let token = load_token(&path).expect("made");
        assert_eq!(token.len(), 64);
        assert_eq!(load_token(&path).expect("read"), token);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("chmod");
        assert_eq!(load_token(&path).expect_err("refused").kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn an_empty_token_file_lets_nobody_in() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin.token");
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).expect("made");
        assert!(load_token(&path).is_err());
    }
}
