//! What the ledger's tests share: a ledger in a temporary directory, events, and a look at the file.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tollgate::limits::SECOND;
use tollgate::telemetry::event::{BodyCopy, Decision, Event, NetEvent};
use tollgate::telemetry::{Ledger, LedgerOptions, SessionInfo, Sink};
use tollgate::wire::head::Method;

/// Where a test's ledger lies.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("temporary directory") }
    }

    pub fn db(&self) -> PathBuf {
        self.dir.path().join("ledger.db")
    }

    pub fn options(&self) -> LedgerOptions {
        options(self.dir.path())
    }

    pub fn open(&self) -> Ledger {
        Ledger::open(self.options()).expect("opened")
    }

    /// A look from outside, as a user's tool would take it.
    pub fn look(&self) -> Connection {
        Connection::open(self.db()).expect("readable")
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.look().query_row(sql, [], |row| row.get(0)).expect(sql)
    }
}

pub fn options(dir: &Path) -> LedgerOptions {
    LedgerOptions::in_dir(dir, SessionInfo { name: Some("test".to_owned()), ..SessionInfo::default() })
}

/// Closes with time enough.
pub fn close(ledger: Ledger) -> tollgate::telemetry::Closed {
    ledger.close(20 * SECOND)
}

pub fn net(id: u64) -> NetEvent {
    let host: Arc<str> = "api.example.com".into();
    let (at, listener) = (1_795_000_000_000_000 + id as i64, "tcp://127.0.0.1:8080".into());
    NetEvent {
        connection_id: 1,
        scheme: "https",
        protocol: Some("h1"),
        host: Some(host),
        port: Some(443),
        method: Some(Method::Get),
        path: Some(b"/"[..].into()),
        decision: Decision::Allowed,
        status: Some(200),
        total_us: 1,
        ..NetEvent::begin(id, at, listener, Arc::default())
    }
}

/// A whole body.
pub fn body(bytes: Vec<u8>) -> BodyCopy {
    BodyCopy { keep: bytes.len(), bytes, cut: false }
}

/// Sends one plain event and says its id.
pub fn send(sink: &Sink) -> u64 {
    let id = sink.next_exchange_id();
    sink.try_send(Event::Net(Box::new(net(id)))).expect("room");
    id
}

pub fn send_many(sink: &Sink, count: usize) {
    for _ in 0..count {
        send(sink);
    }
}

/// Waits for something to become true; false after ten seconds.
pub fn eventually(mut what: impl FnMut() -> bool) -> bool {
    let end = now() + Duration::from_secs(10);
    while !what() {
        if now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[expect(clippy::disallowed_methods, reason = "a test waits by the clock")]
pub fn now() -> Instant {
    Instant::now()
}
