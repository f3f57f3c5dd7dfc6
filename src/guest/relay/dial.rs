//! Connecting to the host without blocking, over a Unix socket or vsock.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::ListenAddress;

/// Where the host listens.
#[derive(Clone, Debug)]
pub enum To {
    /// A socket file.
    Unix(PathBuf),
    /// A socket file in a directory that is held open, so that it is reached whatever is mounted over it.
    Within(Arc<OwnedFd>, PathBuf),
    /// A vsock port; context id 2 is the host of a VM.
    Vsock {
        /// Context id.
        cid: u32,
        /// Port.
        port: u32,
    },
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            ListenAddress::Unix(path) => Ok(Self::Unix(path)),
            ListenAddress::Vsock { cid: Some(cid), port } => Ok(Self::Vsock { cid, port }),
            ListenAddress::Vsock { cid: None, .. } => {
                Err("write the host's context id: vsock://2:5002".to_owned())
            }
            ListenAddress::Tcp(_) => Err("a relay goes to vsock://CID:PORT or unix:///PATH".to_owned()),
        }
    }
}

impl fmt::Display for To {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) | Self::Within(_, path) => write!(out, "unix://{}", path.display()),
            Self::Vsock { cid, port } => write!(out, "vsock://{cid}:{port}"),
        }
    }
}

/// What an attempt came to.
#[derive(Debug)]
pub enum Dialed {
    /// Connected, or about to be: readiness and the first call tell.
    Socket(Socket),
    /// Nobody takes connections just now; worth another attempt.
    Busy,
}

impl To {
    /// The socket file `name` in a directory that is held open.
    pub fn within(directory: OwnedFd, name: &OsStr) -> Self {
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Self::Within(Arc::new(directory), path)
    }

    /// Begins to connect.
    pub fn dial(&self) -> io::Result<Dialed> {
        let (domain, address) = match self {
            Self::Unix(path) | Self::Within(_, path) => (Domain::UNIX, SockAddr::unix(path)?),
            Self::Vsock { cid, port } => (Domain::VSOCK, SockAddr::vsock(*cid, *port)),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address) {
            Ok(()) => Ok(Dialed::Socket(socket)),
            Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => Ok(Dialed::Socket(socket)),
            Err(error) if is_passing(&error) => Ok(Dialed::Busy),
            Err(error) => Err(error),
        }
    }
}

/// A full backlog of a Unix listener says `EAGAIN`; a host that restarts is not there for a moment; descriptors come
/// back when connections end.
fn is_passing(error: &io::Error) -> bool {
    if [nix::libc::EMFILE, nix::libc::ENFILE].map(Some).contains(&error.raw_os_error()) {
        return true;
    }
    let kinds = [
        ErrorKind::WouldBlock,
        ErrorKind::ConnectionRefused,
        ErrorKind::NotFound,
        ErrorKind::ConnectionReset,
    ];
    kinds.contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_host_are_read_and_written_alike() {
        for text in ["unix:///run/tollgate/guest.sock", "vsock://2:5002"] {
            assert_eq!(text.parse::<To>().expect(text).to_string(), text);
        }
        for text in ["vsock://any:5002", "tcp://127.0.0.1:1", "/run/x", ""] {
            assert!(text.parse::<To>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_that_is_not_there_is_worth_another_attempt() {
        let nowhere = To::Unix("/nonexistent/guest.sock".into());
        assert!(matches!(nowhere.dial(), Ok(Dialed::Busy)));
    }
}
