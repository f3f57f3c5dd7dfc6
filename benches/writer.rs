//! What a row costs: CPU time of the writer thread and of the sending thread, per `net_events` row.
//!
//! `cargo bench --bench writer [ROWS] [CASE]`. CPU time comes from `/proc/self/task/*/schedstat`, so that other work on the
//! machine does not count (LESSONS 47).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tollgate::telemetry::event::{Client, Decision, Event, HeadCopy, NetEvent};
use tollgate::telemetry::{Ledger, LedgerOptions, SessionInfo};
use tollgate::wire::head::Method;

const REQUEST: &[(&str, &str)] = &[
    ("Host", "api.anthropic.com"),
    ("User-Agent", "Anthropic/Python 2.12.0"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Content-Type", "application/json"),
    ("Content-Length", "1834"),
    ("x-api-key", "sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz"),
    ("anthropic-version", "2023-06-01"),
    ("x-stainless-retry-count", "0"),
];

const RESPONSE: &[(&str, &str)] = &[
    ("Date", "Sat, 21 Nov 2026 12:00:00 GMT"),
    ("Content-Type", "application/json"),
    ("Content-Length", "1024"),
    ("Connection", "keep-alive"),
    ("request-id", "req_011CS0123456789"),
    ("anthropic-ratelimit-requests-remaining", "49"),
    ("Server", "cloudflare"),
];

type Shape = fn(Heads) -> Heads;

const CASES: &[(&str, Shape)] = &[
    ("plain, no headers", |_| Heads { request: None, response: None }),
    ("3 + 3 headers", |_| Heads::cut(1, 3)),
    ("8 + 7 headers, no secret", Heads::without_secret),
    ("9 + 7 headers, one secret", |heads| heads),
];

fn main() {
    let rows = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(400_000);
    println!("{:<28} {:>10} {:>12} {:>12} {:>8}", "case", "rows/s", "writer us", "sender us", "B/row");
    let only = std::env::args().skip(1).find(|word| word.starts_with(char::is_alphabetic));
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only));
    for _ in 0..2 {
        for (name, shape) in CASES {
            if wanted(name) {
                measure(name, rows, *shape);
            }
        }
    }
}

struct Heads {
    request: Option<HeadCopy>,
    response: Option<HeadCopy>,
}

impl Heads {
    fn full() -> Self {
        Self { request: Some(head(REQUEST)), response: Some(head(RESPONSE)) }
    }

    fn without_secret(self) -> Self {
        let fields: Vec<_> = REQUEST.iter().copied().filter(|(name, _)| *name != "x-api-key").collect();
        Self { request: Some(head(&fields)), ..self }
    }

    fn cut(from: usize, count: usize) -> Self {
        Self { request: Some(head(&REQUEST[..count])), response: Some(head(&RESPONSE[from..from + count])) }
    }
}

fn head(fields: &[(&str, &str)]) -> HeadCopy {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

fn measure(name: &str, rows: u64, shape: Shape) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = LedgerOptions::in_dir(dir.path(), SessionInfo::default());
    let path = options.path.clone();
    let ledger = Ledger::open(options).expect("opened");
    let sink = ledger.sender();
    let heads = shape(Heads::full());
    let common = Common::new();
    let (writer_before, sender_before) = (cpu("ledger"), cpu(""));
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    let start = std::time::Instant::now();
    for n in 0..rows {
        let mut event = Event::Net(Box::new(common.row(sink.next_exchange_id(), n, &heads)));
        while let Err(full) = sink.try_send(event) {
            event = full.0;
            std::thread::sleep(Duration::from_millis(1));
        }
        if n % 1024 == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let sender = cpu("") - sender_before;
    while sink.written() < rows {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (wall, writer) = (start.elapsed(), cpu("ledger") - writer_before);
    ledger.close(60_000_000);
    let size = std::fs::metadata(path).expect("the database").len();
    println!(
        "{name:<28} {:>10.0} {:>12.2} {:>12.2} {:>8}",
        rows as f64 / wall.as_secs_f64(),
        writer as f64 / rows as f64 / 1e3,
        sender as f64 / rows as f64 / 1e3,
        size / rows
    );
}

/// What all rows of a run share.
struct Common {
    listener: Arc<str>,
    client: Arc<Client>,
    host: Arc<str>,
    dialed: SocketAddr,
}

impl Common {
    fn new() -> Self {
        Self {
            listener: "tcp://127.0.0.1:8080".into(),
            client: Arc::new(Client { address: Some("127.0.0.1:40312".into()), ..Client::default() }),
            host: "api.anthropic.com".into(),
            dialed: "160.79.104.10:443".parse().expect("an address"),
        }
    }

    fn row(&self, exchange_id: u64, n: u64, heads: &Heads) -> NetEvent {
        let at = 1_795_000_000_000_000 + n as i64 * 40;
        let (listener, client) = (Arc::clone(&self.listener), Arc::clone(&self.client));
        NetEvent {
            connection_id: 1,
            scheme: "https",
            protocol: Some("h1"),
            host: Some(Arc::clone(&self.host)),
            port: Some(443),
            dialed: Some(self.dialed),
            method: Some(Method::Post),
            path: Some(b"/v1/messages"[..].into()),
            query: Some(b"beta=true"[..].into()),
            decision: Decision::Allowed,
            rule: Some(Arc::clone(&self.host)),
            rule_layer: Some("user"),
            status: Some(200),
            request_bytes: 1834,
            response_bytes: 1024,
            response_decoded: Some(1024),
            request_headers: heads.request.clone(),
            response_headers: heads.response.clone(),
            first_byte_us: Some(812),
            total_us: 1904,
            ..NetEvent::begin(exchange_id, at, listener, client)
        }
    }
}

/// Nanoseconds of CPU that threads of this name have used; the main thread has no name of its own.
fn cpu(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let main = std::process::id().to_string();
    let of = |task: std::path::PathBuf| {
        let comm = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        let wanted = if name.is_empty() { task.ends_with(&main) } else { comm.trim() == name };
        let stat = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        if wanted { stat.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0) } else { 0u64 }
    };
    tasks.flatten().map(|task| of(task.path())).sum()
}
