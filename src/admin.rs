//! The admin listener: usage API, metrics and the page, on loopback or a Unix socket of this user's.
//!
//! Not the data path: one thread accepts, each connection has a thread of a bounded number, everything blocks with a
//! deadline. It reads the ledger through read-only connections and the reactors' counters; the only thing that it
//! can change is to have the policy files read again.
//!
//! ```text
//!  listen  sockets, threads, bounds        guard   token, Host            route   path -> answer
//!  waiting who makes room for others
//!  http    one request, one response       query   parameters -> Filter   rows, follow, sums, metrics   the answers
//!  ledger  its reader, kept
//! ```
//!
//! It refuses: any address that is not local (configuration), a request without the token on TCP unless it asks for
//! health, a Host that is not this machine's (DNS rebinding), bodies. Guests cannot reach it through the proxy: its
//! address is one of the proxy's own (P13).

mod follow;
mod guard;
mod http;
mod ledger;
mod listen;
mod metrics;
mod query;
mod route;
mod rows;
mod sums;
mod waiting;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::config;
use crate::limits::Now;
use crate::reactor::shared::Shared;
use crate::service::Rulebook;
use crate::telemetry::{Health, Sink};

use guard::Guard;
use ledger::Ledger;
use listen::Listener;
use sums::Sums;
use waiting::Waiting;

/// What the listener shows.
pub struct Context {
    /// The ledger's file.
    pub ledger: PathBuf,
    /// The session of this process.
    pub session: String,
    /// Counters and clocks.
    pub shared: Arc<Shared>,
    /// The ledger's queue.
    pub sink: Sink,
    /// The policy.
    pub rulebook: Arc<Rulebook>,
}

/// A listener that is bound but not served yet, so that its address is known before the proxy starts.
pub struct Bound {
    listener: Listener,
    guard: Guard,
    name: String,
    token_file: PathBuf,
}

/// A running listener.
pub struct Admin {
    state: Arc<State>,
    listener: Arc<Listener>,
    thread: JoinHandle<()>,
}

/// What all its threads share.
struct State {
    ledger: Ledger,
    session: String,
    shared: Arc<Shared>,
    sink: Mutex<Sink>,
    rulebook: Arc<Rulebook>,
    guard: Guard,
    sums: Sums,
    started: Now,
    /// The proxy takes no new connections: not ready, and followers end.
    draining: AtomicBool,
    /// No more connections here.
    stopping: AtomicBool,
    connections: AtomicUsize,
    waiting: Waiting,
    followers: AtomicUsize,
}

impl Bound {
    /// Binds the listener; on TCP it reads the token, or makes one.
    pub fn new(settings: &config::Admin) -> io::Result<Self> {
        let listener = Listener::bind(&settings.address)?;
        let (name, guard) = match listener.tcp_address() {
            None => (settings.address.to_string(), Guard::of_unix()),
            Some(address) => (format!("tcp://{address}"), Guard::of_tcp(address, &settings.token_file)?),
        };
        Ok(Self { listener, guard, name, token_file: settings.token_file.clone() })
    }

    /// The address as `listening on` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The TCP address, where it is one.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.listener.tcp_address()
    }

    /// What the operator is told: where the page is and what opens it. Never the token itself.
    pub fn invitation(&self) -> String {
        match self.tcp_address() {
            None => format!("the admin API and page are on {}", self.name),
            Some(address) => format!(
                "the admin API and page are on http://{address}/; the token is in {}",
                self.token_file.display()
            ),
        }
    }

    /// Starts to serve.
    pub fn serve(self, context: Context) -> io::Result<Admin> {
        let started = context.shared.now();
        let state = Arc::new(State {
            ledger: Ledger::new(context.ledger),
            session: context.session,
            shared: context.shared,
            sink: Mutex::new(context.sink),
            rulebook: context.rulebook,
            guard: self.guard,
            sums: Sums::default(),
            started,
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            waiting: Waiting::default(),
            followers: AtomicUsize::new(0),
        });
        let listener = Arc::new(self.listener);
        let thread = listen::spawn(Arc::clone(&listener), Arc::clone(&state))?;
        Ok(Admin { state, listener, thread })
    }
}

impl Admin {
    /// The proxy is ending: `/readyz` says so, and followers are let go.
    pub fn drain(&self) {
        self.state.draining.store(true, Relaxed);
    }

    /// Takes no more connections.
    pub fn stop(self) {
        self.drain();
        self.state.stopping.store(true, Relaxed);
        self.state.ledger.close();
        if self.listener.wake() && self.thread.join().is_err() {
            log::error!("the admin listener panicked; this is a defect");
        }
    }
}

impl State {
    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why requests are not taken now, if so.
    fn not_ready(&self) -> Option<String> {
        if self.draining.load(Relaxed) {
            return Some("the proxy is ending".to_owned());
        }
        let sink = self.sink();
        match sink.health(self.shared.now().mono) {
            Health::Failed(crate::telemetry::OnFailure::Refuse) => Some(sink.trouble().to_string()),
            _ => None,
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}
