//! The corporate proxy as it is used: the configuration's words with the credentials read.

use core::fmt;
use std::path::PathBuf;
use std::{env, fs, io};

use super::no_proxy::{NoProxy, NoProxyError};
use crate::config::{self, Credentials};
use crate::policy::host::Host;

/// A corporate proxy, ready to be asked.
#[derive(Clone, PartialEq, Eq)]
pub struct ViaOptions {
    /// The proxy's own host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Speak TLS to the proxy itself (`https://`).
    pub tls: bool,
    /// Value of `Proxy-Authorization`.
    pub authorization: Option<Box<str>>,
    /// Hosts that are reached directly.
    pub no_proxy: NoProxy,
}

impl ViaOptions {
    /// Reads the credentials where the configuration says they are, and the list of hosts that go past.
    pub fn new<'a>(
        via: &config::Via,
        no_proxy: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ViaSetupError> {
        let credentials = via.credentials.as_ref().map(read).transpose()?;
        Ok(Self {
            host: via.host.clone(),
            port: via.port,
            tls: via.tls,
            authorization: credentials.map(|pair| basic(&pair).into_boxed_str()),
            no_proxy: NoProxy::parse(no_proxy).map_err(ViaSetupError::NoProxy)?,
        })
    }
}

impl fmt::Debug for ViaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViaOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("authorization", &self.authorization.as_ref().map(|_| "[elided]"))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// Why the corporate proxy cannot be set up.
#[derive(Debug)]
pub enum ViaSetupError {
    /// The credentials file cannot be read.
    File(PathBuf, io::Error),
    /// The environment variable is not set.
    Unset(String),
    /// What was found there is not `user:password`.
    Form,
    /// An entry of `no_proxy` means nothing.
    NoProxy(NoProxyError),
}

impl fmt::Display for ViaSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Unset(name) => write!(f, "the environment variable {name} is not set"),
            Self::Form => f.write_str("the corporate proxy's credentials are not of the form user:password"),
            Self::NoProxy(error) => write!(f, "no_proxy: {error}"),
        }
    }
}

impl std::error::Error for ViaSetupError {}

fn read(place: &Credentials) -> Result<String, ViaSetupError> {
    let text = match place {
        Credentials::File(path) => {
            fs::read_to_string(path).map_err(|error| ViaSetupError::File(path.clone(), error))?
        }
        Credentials::Env(name) => env::var(name).map_err(|_| ViaSetupError::Unset(name.clone()))?,
    };
    let line = text.lines().next().unwrap_or_default();
    if line.contains(':') { Ok(line.to_owned()) } else { Err(ViaSetupError::Form) }
}

/// `Basic …` for `user:password` (RFC 7617 §2).
fn basic(credentials: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = String::from("Basic ");
    for chunk in credentials.as_bytes().chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0, |word, (n, byte)| word | u32::from(*byte) << (16 - 8 * n));
        for place in 0..4 {
            let digit = word >> (18 - 6 * place) & 63;
            value.push(if place <= chunk.len() { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    value
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn proxy(credentials: Option<Credentials>) -> config::Via {
        config::Via { tls: false, host: Host::parse(b"proxy.corp").unwrap(), port: 3128, credentials }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let coded = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, coded) in coded.into_iter().enumerate() {
            assert_eq!(basic(&"foobar"[..length]), format!("Basic {coded}"));
        }
    }

    #[test]
    fn credentials_are_the_first_line_of_a_file_and_p36_do_not_show() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        fs::write(&path, "Aladdin:open sesame\r\n# of 2026\n").unwrap();
        let options = ViaOptions::new(&proxy(Some(Credentials::File(path))), []).unwrap();
        assert_eq!(options.authorization.as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert!(!format!("{options:?}").contains("QWxhZGRpbj"), "{options:?}");
    }

    #[test]
    fn what_cannot_be_set_up_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        let set_up = |credentials| ViaOptions::new(&proxy(Some(credentials)), []);
        assert!(matches!(set_up(Credentials::File(path.clone())), Err(ViaSetupError::File(..))));
        fs::write(&path, "no colon\n").unwrap();
        assert!(matches!(set_up(Credentials::File(path)), Err(ViaSetupError::Form)));
        let unset = Credentials::Env("TOLLGATE_TEST_NEVER_SET".to_owned());
        assert!(matches!(set_up(unset), Err(ViaSetupError::Unset(_))));
        assert!(matches!(ViaOptions::new(&proxy(None), ["10.0.0.1/8"]), Err(ViaSetupError::NoProxy(_))));
    }
}
