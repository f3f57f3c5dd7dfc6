//! Whether each store of roots that this machine's tools use holds the CA: seen by a handshake with the proxy that
//! trusts that store and nothing else.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Check;
use super::fetch::encrypted;
use crate::cert::{bundle, environment};

/// Nobody's name, which the proxy shows a certificate for all the same.
pub(super) const NOBODY: &str = "doctor.tollgate.invalid";

const MEND: &str = "put the host's ca.crt there (update-ca-certificates, `tollgate ca bundle`), or set what \
    `tollgate ca env` prints";

/// Each store once, with everything that names it.
pub(super) fn checks(proxy: SocketAddr) -> Vec<Check> {
    let mut stores: Vec<(PathBuf, Vec<&str>)> = Vec::new();
    for (name, path) in named() {
        let real = path.canonicalize().unwrap_or(path);
        match stores.iter_mut().find(|(other, _)| *other == real) {
            Some((_, names)) => names.push(name),
            None => stores.push((real, vec![name])),
        }
    }
    let mut checks: Vec<Check> = stores.iter().map(|(path, names)| store(proxy, path, names)).collect();
    if !stores.iter().any(|(_, names)| names.contains(&SYSTEM)) {
        checks.push(Check::bad(
            "roots",
            "the system has no bundle",
            "install ca-certificates, or set SSL_CERT_FILE",
        ));
    }
    checks.extend(java());
    checks
}

const SYSTEM: &str = "the system";

fn named() -> impl Iterator<Item = (&'static str, PathBuf)> {
    let files = bundle::system_files().map(PathBuf::from).filter(|file| file.exists());
    let variables =
        environment::PEM_FILE.into_iter().filter_map(|name| Some((name, PathBuf::from(env::var_os(name)?))));
    files.map(|file| (SYSTEM, file)).chain(variables)
}

fn store(proxy: SocketAddr, path: &Path, names: &[&str]) -> Check {
    let of = names.join(" ");
    match encrypted(proxy, NOBODY, "/", path) {
        Ok(_) => Check::ok("roots", format!("{} holds the CA ({of})", path.display())),
        Err(error) => Check::bad("roots", format!("{} ({of}): {error}", path.display()), MEND),
    }
}

/// The trust store that `JAVA_TOOL_OPTIONS` names. No handshake: only Java reads it.
fn java() -> Option<Check> {
    let options = env::var("JAVA_TOOL_OPTIONS").ok()?;
    let store = options.split_once("-Djavax.net.ssl.trustStore=")?.1;
    let store = store.split(['"', ' ']).next().unwrap_or_default();
    Some(if Path::new(store).exists() {
        Check::ok("roots", format!("{store} is there (JAVA_TOOL_OPTIONS)"))
    } else {
        Check::bad(
            "roots",
            format!("{store} is not there (JAVA_TOOL_OPTIONS)"),
            "unset it, or see `tollgate ca env`",
        )
    })
}
