//! A running proxy: its listeners, its reactor threads, and the words that steer them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use mio::Poll;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::{Listen, ListenAddress};
use crate::limits::Limits;
use crate::telemetry::Sink;

use super::Reactor;
use super::listen::Listener;
use super::mailbox::{Mail, mailbox};
use super::shared::{Local, Shared};

/// Listeners that are bound but not served yet: addresses are known before threads run.
pub struct Bound {
    first: Vec<Listener>,
}

/// A running proxy.
pub struct Server {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    names: Vec<String>,
}

/// Why a listener could not be bound.
#[derive(Debug)]
pub struct BindError {
    /// Where.
    pub address: ListenAddress,
    /// Why.
    pub error: io::Error,
}

impl Bound {
    /// Binds all listeners.
    pub fn new(listen: &[Listen]) -> Result<Self, BindError> {
        let bind = |listen: &Listen| {
            Listener::bind(&listen.address, listen.proxy_header)
                .map_err(|error| BindError { address: listen.address.clone(), error })
        };
        Ok(Self { first: listen.iter().map(bind).collect::<Result<_, _>>()? })
    }

    /// The TCP addresses that were bound.
    pub fn tcp_addresses(&self) -> Vec<SocketAddr> {
        self.first.iter().filter_map(Listener::local_address).collect()
    }

    /// All addresses as the ledger shows them.
    pub fn names(&self) -> Vec<String> {
        self.first.iter().map(|listener| listener.entrance.name.to_string()).collect()
    }

    /// Starts the reactors.
    pub fn serve(self, reactors: usize, shared: Arc<Shared>, sink: impl Fn() -> Sink) -> io::Result<Server> {
        let descriptors = raise_descriptor_limit();
        let names = self.names();
        let listeners = self.split(reactors)?;
        let mut postboxes = Vec::new();
        let mut waiting = Vec::new();
        for (index, own) in listeners.into_iter().enumerate() {
            let poll = Poll::new()?;
            let (postbox, mail) = mailbox(poll.registry())?;
            postboxes.push(postbox);
            let mut world = shared.world();
            fit(&mut world.limits, descriptors, reactors.max(1));
            let local = Local::new(Arc::clone(&shared), sink());
            waiting.push(Reactor::new(index as u16, poll, own, mail, local, world)?);
        }
        shared.introduce(postboxes);
        let threads = waiting.into_iter().enumerate().map(spawn).collect::<io::Result<_>>()?;
        Ok(Server { shared, threads, names })
    }

    /// Each reactor's listeners: the first has all, the others have the TCP ones once more.
    fn split(self, reactors: usize) -> io::Result<Vec<Vec<Listener>>> {
        let mut all = Vec::new();
        for _ in 1..reactors.max(1) {
            let again = self.first.iter().map(Listener::again).collect::<io::Result<Vec<_>>>()?;
            all.push(again.into_iter().flatten().collect());
        }
        all.insert(0, self.first);
        Ok(all)
    }
}

/// Takes as many descriptors as the system lets us have, and says how many.
fn raise_descriptor_limit() -> usize {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(hard)
    });
    raised.map_or_else(
        |error| {
            log::warn!("cannot raise the limit of open files: {error}");
            getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft as usize)
        },
        |hard| hard as usize,
    )
}

/// Descriptors that the ledger, the resolver, the listeners and the admin listener need.
const RESERVED: usize = 32;

/// Leaves what is reserved to whom it is for, so that whoever is in can be served at the limit (P25): of the rest two
/// fifths are for guests, two for their origins, one for idle origin connections.
fn fit(limits: &mut Limits, descriptors: usize, reactors: usize) {
    let fifth = (descriptors.saturating_sub(RESERVED) / 5).max(1);
    limits.connections = limits.connections.min(2 * fifth);
    limits.pool_total = limits.pool_total.min(fifth / reactors);
}

fn spawn((index, reactor): (usize, Reactor)) -> io::Result<JoinHandle<io::Result<()>>> {
    thread::Builder::new().name(format!("reactor-{index}")).spawn(move || reactor.run())
}

impl Server {
    /// Addresses as the ledger shows them, in the configuration's order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What the reactors share: counters, for the admin listener.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// No new connections; running exchanges may end within the grace period (P35).
    pub fn drain(&self) {
        self.shared.post_all(|| Mail::Drain);
    }

    /// Ends everything now.
    pub fn cut(&self) {
        self.shared.post_all(|| Mail::Cut);
    }

    /// Whether a reactor has ended.
    pub fn has_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits until all reactors have ended.
    pub fn join(self) -> io::Result<()> {
        for thread in self.threads {
            match thread.join() {
                Ok(outcome) => outcome?,
                Err(_) => return Err(io::Error::other("a reactor panicked; this is a defect")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p25_descriptors_are_left_for_origins_and_the_ledger() {
        let fitted = |descriptors, reactors| {
            let mut limits = Limits::default();
            fit(&mut limits, descriptors, reactors);
            (limits.connections, limits.pool_total)
        };
        assert_eq!(fitted(64, 2), (12, 3));
        assert_eq!(fitted(1024, 4), (396, 49));
        assert_eq!(fitted(1 << 20, 2), (65_536, 512));
        assert_eq!(fitted(0, 1), (2, 1));
        for descriptors in [64, 100, 1024, 4096] {
            let (guests, idle) = fitted(descriptors, 4);
            assert!(2 * guests + 4 * idle + RESERVED <= descriptors, "{descriptors}");
        }
    }
}
