//! Which files a running proxy needs, and what happens where the kernel cannot take the others from it.

use std::path::{Path, PathBuf};

use super::{StartError, failed};
use crate::config::{Confine, ListenAddress, Settings};
use crate::confine::files::{Files, places_of};
use crate::confine::{self, Confinement};
use crate::telemetry::query;

/// Confines this process as the settings say; what is missing goes to `notice`. `None`: it was not wanted.
pub(super) fn confine(
    settings: &Settings,
    ports: Vec<u16>,
    notice: &mut dyn FnMut(&str),
) -> Result<Option<Confinement>, StartError> {
    if settings.confine == Confine::Off {
        return Ok(None);
    }
    let files = files(settings, ports);
    if let Some(beside) = places_of(&settings.telemetry.db).first()
        && let Err(error) = query::keep_temporary_files(beside)
    {
        log::warn!("large sorts will fail: {}: {error}", beside.display());
    }
    let confinement = confine::confine(&files);
    if !confinement.is_whole() {
        let partly = format!("confined in part: {confinement}");
        if settings.confine == Confine::Require {
            return Err(failed(format!("{partly}; set confine = \"auto\" to start all the same")));
        }
        notice(&partly);
    }
    Ok(Some(confinement))
}

/// What is read or written after the start: policies at a reload, the ledger and its companions, sockets at the end.
fn files(settings: &Settings, ports: Vec<u16>) -> Files {
    let policies = [&settings.policy.user, &settings.policy.corp].into_iter().flatten();
    let ledger = places_of(&settings.telemetry.db);
    let listeners = settings.listen.iter().map(|listen| &listen.address);
    let sockets = listeners.chain(settings.admin.as_ref().map(|admin| &admin.address)).filter_map(socket_of);
    Files {
        read: policies.flat_map(|file| places_of(file)).chain(resolver()).collect(),
        own: std::iter::once(settings.state_dir.clone()).chain(ledger).collect(),
        sockets: sockets.flat_map(places_of).collect(),
        ports,
    }
}

/// Where the list of name servers really lies; often a service keeps it below `/run`.
fn resolver() -> Vec<PathBuf> {
    places_of(Path::new("/etc/resolv.conf"))
}

fn socket_of(address: &ListenAddress) -> Option<&Path> {
    match address {
        ListenAddress::Unix(path) => Some(path),
        ListenAddress::Tcp(_) | ListenAddress::Vsock { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Listen, PolicyFiles};

    #[test]
    fn a_ledger_elsewhere_and_every_policy_stay_within_reach() {
        let mut settings = Settings::new("/state".into());
        settings.telemetry.db = "/data/ledger.db".into();
        settings.policy =
            PolicyFiles { user: Some("/u/user.toml".into()), corp: Some("/c/corp.toml".into()) };
        let address = ListenAddress::Unix("/sock/guest".into());
        settings.listen = vec![Listen { address, proxy_header: true }];
        let files = files(&settings, vec![1]);
        let has = |list: &[PathBuf], path: &str| list.contains(&path.into());
        assert!(has(&files.read, "/u") && has(&files.read, "/c"));
        assert!(has(&files.own, "/state") && has(&files.own, "/data"));
        assert_eq!(files.sockets, [PathBuf::from("/sock")]);
    }
}
