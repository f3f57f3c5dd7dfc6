//! Names to addresses, as the system does it (nsswitch, hosts file, resolv.conf), without making anybody
//! wait.
//!
//! `getaddrinfo` blocks and cannot be cancelled, so each question runs on a thread of its own, grown on
//! demand to a bound; a slow name delays no other (P26). Equal questions are asked once. Past the bound a
//! short queue, past that [`ResolveError::Busy`] at once. Answers, good and bad, are kept for a while in a
//! bounded cache. There is no deadline here: the caller stops waiting when it likes, and the late answer
//! still fills the cache.
//!
//! It reads no clock: an answer's age counts from the `now` of the question that asked for it. All callers'
//! clocks must share one start.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::limits::{Micros, SECOND};
use crate::policy::host::Host;

/// Who asked: a connection of a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Index of the reactor.
    pub reactor: u16,
    /// Its token for the connection; means nothing to the resolver.
    pub token: u64,
}

/// The addresses of a name, in the system's order, without doubles and never empty; or why there are none.
pub type Answer = Result<Arc<[IpAddr]>, ResolveError>;

/// What asking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Known, or known to be impossible.
    Ready(Answer),
    /// The answer will be delivered under the ticket.
    Pending,
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// There is no such name, or it has no address.
    NotFound,
    /// No name server answered, or none could.
    TryAgain,
    /// Too many names are being looked up.
    Busy,
    /// The system's resolver failed otherwise.
    Failed,
}

impl ResolveError {
    /// The ledger's words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "name not found",
            Self::TryAgain => "name server unreachable",
            Self::Busy => "resolver busy",
            Self::Failed => "resolver failed",
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for ResolveError {}

/// Asks the system, or in a test somebody else. Blocks.
pub type LookupFn = dyn Fn(&str) -> Answer + Send + Sync;

/// Tells whoever holds the ticket. Called on a resolver thread; must not block.
pub type DeliverFn = dyn Fn(Ticket, Answer) + Send + Sync;

/// Bounds of a [`Resolver`].
#[derive(Clone, Debug)]
pub struct ResolveOptions {
    /// Lookups at once.
    pub threads: usize,
    /// Names that may wait for a thread.
    pub queue: usize,
    /// Names known or being asked for.
    pub cache: usize,
    /// How long addresses are kept.
    pub positive: Micros,
    /// How long a failure is kept.
    pub negative: Micros,
    /// How long a thread waits for work before it ends.
    pub linger: Duration,
}

impl Default for ResolveOptions {
    fn default() -> Self {
        Self {
            threads: 128,
            queue: 256,
            cache: 4096,
            positive: 30 * SECOND,
            negative: 5 * SECOND,
            linger: Duration::from_secs(30),
        }
    }
}

/// The resolver, shared by all reactors. Dropping it lets its threads end.
pub struct Resolver {
    shared: Arc<Shared>,
    questions: Sender<Question>,
    waiting: Receiver<Question>,
}

struct Shared {
    options: ResolveOptions,
    table: Mutex<Table>,
    lookup: Box<LookupFn>,
    deliver: Box<DeliverFn>,
}

struct Question {
    name: Arc<str>,
    asked: Micros,
}

#[derive(Default)]
struct Table {
    names: HashMap<Arc<str>, Entry>,
    threads: usize,
    /// Questions that a thread works on or that wait for one.
    open: usize,
}

enum Entry {
    Asked(Vec<Ticket>),
    Known { answer: Answer, until: Micros },
}

impl Resolver {
    /// A resolver that asks the system.
    pub fn new(options: ResolveOptions, deliver: Box<DeliverFn>) -> Self {
        Self::with_lookup(options, Box::new(system), deliver)
    }

    /// A resolver that asks `lookup`.
    pub fn with_lookup(options: ResolveOptions, lookup: Box<LookupFn>, deliver: Box<DeliverFn>) -> Self {
        let (questions, waiting) = crossbeam_channel::bounded(options.threads + options.queue);
        let shared = Arc::new(Shared { options, table: Mutex::default(), lookup, deliver });
        Self { shared, questions, waiting }
    }

    /// The addresses of a host: at once if it is one, or is known; else the ticket will be called.
    pub fn ask(&self, host: &Host, ticket: Ticket, now: Micros) -> Lookup {
        if let Some(ip) = host.ip() {
            return Lookup::Ready(Ok(Arc::from([ip])));
        }
        let mut table = self.shared.table();
        match table.names.get_mut(host.as_str()) {
            Some(Entry::Known { answer, until }) if now < *until => return Lookup::Ready(answer.clone()),
            Some(Entry::Asked(tickets)) => {
                tickets.push(ticket);
                return Lookup::Pending;
            }
            _ => {}
        }
        self.start(&mut table, host, ticket, now)
    }

    fn start(&self, table: &mut Table, host: &Host, ticket: Ticket, now: Micros) -> Lookup {
        let options = &self.shared.options;
        let has_thread = self.grow(table);
        if !has_thread
            || table.open >= options.threads + options.queue
            || !table.make_room(options.cache, now)
        {
            return Lookup::Ready(Err(ResolveError::Busy));
        }
        if self.questions.try_send(Question { name: host.shared(), asked: now }).is_err() {
            return Lookup::Ready(Err(ResolveError::Busy));
        }
        table.open += 1;
        table.names.insert(host.shared(), Entry::Asked(vec![ticket]));
        Lookup::Pending
    }

    /// Makes sure that one more question finds a thread, within the bound. False when there is no thread at
    /// all.
    fn grow(&self, table: &mut Table) -> bool {
        if table.open >= table.threads && table.threads < self.shared.options.threads {
            let (shared, waiting) = (Arc::clone(&self.shared), self.waiting.clone());
            let name = "resolve".to_owned();
            let started = thread::Builder::new().name(name).spawn(move || work(&shared, &waiting));
            table.threads += usize::from(started.is_ok());
        }
        table.threads > 0
    }
}

impl Shared {
    /// Every change to the table is made whole under one lock, so a panic elsewhere leaves it sound.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an answer and tells everybody who waited for it.
    fn settle(&self, question: Question, answer: &Answer) {
        let lifetime = if answer.is_ok() { self.options.positive } else { self.options.negative };
        let known = Entry::Known { answer: answer.clone(), until: question.asked.saturating_add(lifetime) };
        let mut table = self.table();
        table.open -= 1;
        let before = table.names.insert(question.name, known);
        drop(table);
        if let Some(Entry::Asked(tickets)) = before {
            for ticket in tickets {
                (self.deliver)(ticket, answer.clone());
            }
        }
    }
}

impl Table {
    /// Room for one more name: what is stale goes first, then all that is known. False when every place is
    /// taken by a question that is still open.
    fn make_room(&mut self, bound: usize, now: Micros) -> bool {
        if self.names.len() >= bound {
            self.names.retain(|_, entry| !matches!(entry, Entry::Known { until, .. } if *until <= now));
        }
        if self.names.len() >= bound {
            self.names.retain(|_, entry| matches!(entry, Entry::Asked(_)));
        }
        self.names.len() < bound
    }
}

/// A thread's life: answer questions until there is none for a while, or the resolver is gone.
fn work(shared: &Shared, waiting: &Receiver<Question>) {
    loop {
        while let Ok(question) = waiting.recv_timeout(shared.options.linger) {
            let answer = (shared.lookup)(&question.name);
            shared.settle(question, &answer);
        }
        let mut table = shared.table();
        if waiting.is_empty() {
            table.threads -= 1;
            return;
        }
    }
}

fn system(name: &str) -> Answer {
    let found = (name, 0).to_socket_addrs().map_err(|error| classify(&error))?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    if addresses.is_empty() { Err(ResolveError::NotFound) } else { Ok(addresses.into()) }
}

/// The standard library gives getaddrinfo's error as text alone: those of glibc, then those of musl.
fn classify(error: &io::Error) -> ResolveError {
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["not known", "No address associated", "does not resolve", "has no usable address"]) {
        ResolveError::NotFound
    } else if says(&["Temporary failure", "Try again"]) {
        ResolveError::TryAgain
    } else {
        ResolveError::Failed
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    const ONE: Ticket = Ticket { reactor: 0, token: 1 };
    const TWO: Ticket = Ticket { reactor: 1, token: 2 };

    fn host(name: &str) -> Host {
        Host::parse(name.as_bytes()).unwrap()
    }

    fn address() -> Arc<[IpAddr]> {
        Arc::from(["192.0.2.1".parse().unwrap()])
    }

    /// A resolver whose names called `slow…` wait for the gate, and `bad…` do not exist.
    struct Bench {
        resolver: Resolver,
        delivered: Receiver<(Ticket, Answer)>,
        gate: Sender<()>,
        lookups: Arc<AtomicUsize>,
    }

    fn bench(options: ResolveOptions) -> Bench {
        let (gate, closed) = crossbeam_channel::unbounded::<()>();
        let (tell, delivered) = crossbeam_channel::unbounded();
        let lookups = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&lookups);
        let lookup = move |name: &str| {
            counter.fetch_add(1, Ordering::SeqCst);
            if name.starts_with("slow") {
                let _ = closed.recv(); // an error is an open gate, too
            }
            if name.starts_with("bad") { Err(ResolveError::NotFound) } else { Ok(address()) }
        };
        let deliver = move |ticket, answer| drop(tell.send((ticket, answer)));
        let resolver = Resolver::with_lookup(options, Box::new(lookup), Box::new(deliver));
        Bench { resolver, delivered, gate, lookups }
    }

    impl Bench {
        fn ask(&self, name: &str, ticket: Ticket, now: Micros) -> Lookup {
            self.resolver.ask(&host(name), ticket, now)
        }

        fn next(&self) -> (Ticket, Answer) {
            self.delivered.recv_timeout(PATIENCE).unwrap()
        }
    }

    #[test]
    fn an_address_is_its_own_answer() {
        let bench = bench(ResolveOptions::default());
        assert_eq!(bench.ask("192.0.2.1", ONE, 0), Lookup::Ready(Ok(address())));
        assert_eq!(bench.lookups.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn answers_good_and_bad_are_kept_for_their_time() {
        let bench = bench(ResolveOptions { positive: 30, negative: 5, ..ResolveOptions::default() });
        for (name, lifetime, answer) in
            [("good.example", 30, Ok(address())), ("bad.example", 5, Err(ResolveError::NotFound))]
        {
            assert_eq!(bench.ask(name, ONE, 100), Lookup::Pending);
            assert_eq!(bench.next(), (ONE, answer.clone()));
            assert_eq!(bench.ask(name, TWO, 100 + lifetime - 1), Lookup::Ready(answer));
            assert_eq!(bench.ask(name, TWO, 100 + lifetime), Lookup::Pending, "{name} is asked again");
            assert_eq!(bench.next().0, TWO);
        }
    }

    #[test]
    fn equal_questions_are_asked_once() {
        let bench = bench(ResolveOptions::default());
        assert_eq!(bench.ask("slow.example", ONE, 0), Lookup::Pending);
        assert_eq!(bench.ask("SLOW.example.", TWO, 0), Lookup::Pending);
        bench.gate.send(()).unwrap();
        assert_eq!([bench.next().0, bench.next().0], [ONE, TWO]);
        assert_eq!(bench.lookups.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn p26_slow_names_delay_no_other() {
        let bench = bench(ResolveOptions::default());
        for n in 1..ResolveOptions::default().threads {
            assert_eq!(bench.ask(&format!("slow{n}.example"), ONE, 0), Lookup::Pending);
        }
        for n in 0..100 {
            assert_eq!(bench.ask(&format!("fast{n}.example"), TWO, 0), Lookup::Pending);
            assert_eq!(bench.next().0, TWO, "answered while all but one hang");
        }
    }

    #[test]
    fn past_threads_and_queue_the_answer_is_busy_at_once() {
        let bench = bench(ResolveOptions { threads: 2, queue: 3, ..ResolveOptions::default() });
        for n in 0..5 {
            assert_eq!(bench.ask(&format!("slow{n}.example"), ONE, 0), Lookup::Pending, "{n}");
        }
        assert_eq!(bench.ask("fast.example", TWO, 0), Lookup::Ready(Err(ResolveError::Busy)));
        assert_eq!(bench.ask("slow4.example", TWO, 0), Lookup::Pending, "one that is open costs nothing");
        drop(bench.gate);
        for _ in 0..6 {
            assert!(bench.delivered.recv_timeout(PATIENCE).unwrap().1.is_ok());
        }
        assert_eq!(bench.resolver.ask(&host("fast.example"), TWO, 0), Lookup::Pending, "it recovers");
    }

    #[test]
    fn the_cache_is_bounded() {
        let bench = bench(ResolveOptions { cache: 4, ..ResolveOptions::default() });
        for n in 0..100 {
            bench.ask(&format!("n{n}.example"), ONE, 0);
            assert_eq!(bench.next().0, ONE);
            assert!(bench.resolver.shared.table().names.len() <= 4);
        }
    }

    #[test]
    fn idle_threads_end_and_come_back() {
        let bench = bench(ResolveOptions { linger: Duration::from_millis(1), ..ResolveOptions::default() });
        for n in 0..20 {
            assert_eq!(bench.ask(&format!("n{n}.example"), ONE, 0), Lookup::Pending);
            assert_eq!(bench.next().0, ONE);
            thread::sleep(Duration::from_millis(3));
        }
        for _ in 0..10_000 {
            if bench.resolver.shared.table().threads == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("threads linger");
    }

    #[test]
    fn the_system_knows_localhost_and_no_invalid_name() {
        let found = system("localhost").unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
        let unique: std::collections::HashSet<_> = found.iter().collect();
        assert_eq!(unique.len(), found.len(), "no address twice");
        assert!(system("nowhere.invalid").is_err());
    }

    #[test]
    fn messages_of_both_c_libraries_are_understood() {
        for (text, expected) in [
            ("failed to lookup address information: Name or service not known", ResolveError::NotFound),
            (
                "failed to lookup address information: No address associated with hostname",
                ResolveError::NotFound,
            ),
            ("failed to lookup address information: Name does not resolve", ResolveError::NotFound),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                ResolveError::TryAgain,
            ),
            ("failed to lookup address information: Try again", ResolveError::TryAgain),
            ("out of file descriptors", ResolveError::Failed),
        ] {
            assert_eq!(classify(&io::Error::other(text)), expected, "{text}");
        }
    }
}
