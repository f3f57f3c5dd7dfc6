//! The origin: answers each request as its `x-perf` field asks. One thread; it waits in `epoll` until the next event
//! of some stream is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustls::{ServerConfig, ServerConnection};
use slab::Slab;

use crate::plan::{self, Event, OPENING, Plan};
use crate::socket::{SCRATCH, TlsSocket};
use crate::tls;

/// How the origin is started.
#[derive(clap::Args)]
pub struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Certificate chain and key.
    #[arg(long)]
    leaf: PathBuf,
}

const LISTENER: Token = Token(usize::MAX);
/// Filler of plain bodies; a piece fits one TLS record with its chunk framing.
const FILLER: [u8; (16 << 10) - 16] = [b'x'; (16 << 10) - 16];
/// Stands for the bytes left of a paced stream that has no entry among the due ones yet.
const UNSCHEDULED: u64 = 1;
/// How many events go out together in a stream without gaps.
const BURST: usize = 64;

/// Serves until it is killed.
pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(args.listen.parse()?)?;
    println!("listening on {}", listener.local_addr()?);
    let mut origin = Origin {
        poll: Poll::new()?,
        listener,
        config: tls::server(&args.leaf)?,
        guests: Slab::new(),
        due: BinaryHeap::new(),
        writer: Writer::new(),
        serial: 0,
        scratch: vec![0; SCRATCH],
    };
    Ok(origin.run()?)
}

struct Guest {
    socket: TlsSocket,
    serial: u64,
    /// Request bytes that do not yet make a head.
    head: Vec<u8>,
    /// Bytes of a request body still to come, to be thrown away.
    skip: usize,
    /// What is being answered, and the body bytes left of it.
    current: Option<(Plan, u64)>,
}

struct Origin {
    poll: Poll,
    listener: TcpListener,
    config: Arc<ServerConfig>,
    guests: Slab<Guest>,
    /// (moment, guest, serial) of the next event of each paced stream.
    due: BinaryHeap<Reverse<(u64, usize, u64)>>,
    writer: Writer,
    serial: u64,
    scratch: Vec<u8>,
}

impl Origin {
    fn run(&mut self) -> io::Result<()> {
        self.poll.registry().register(&mut self.listener, LISTENER, Interest::READABLE)?;
        let mut events = Events::with_capacity(1024);
        loop {
            let wait = self.due.peek().map(|Reverse((moment, ..))| moment.saturating_sub(plan::now()));
            match self.poll.poll(&mut events, wait.map(Duration::from_micros)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                } else if let Some(guest) = self.guests.get_mut(event.token().0) {
                    guest.socket.latch(event);
                    self.turn(event.token().0);
                }
            }
            self.tick();
        }
    }

    fn accept(&mut self) {
        while let Ok((mut tcp, _)) = self.listener.accept() {
            let Ok(connection) = ServerConnection::new(Arc::clone(&self.config)) else { continue };
            let entry = self.guests.vacant_entry();
            let (key, both) = (entry.key(), Interest::READABLE | Interest::WRITABLE);
            if self.poll.registry().register(&mut tcp, Token(key), both).is_ok() {
                self.serial += 1;
                let socket = TlsSocket::new(tcp, connection);
                entry.insert(Guest { socket, serial: self.serial, head: Vec::new(), skip: 0, current: None });
                self.turn(key);
            }
        }
    }

    fn turn(&mut self, key: usize) {
        let guest = &mut self.guests[key];
        if !matches!(guest.turn(&mut self.scratch, &mut self.writer), Ok(true)) {
            self.guests.remove(key);
            return;
        }
        if let Some((plan, left)) = &mut guest.current
            && plan.stream
            && plan.rate > 0
            && *left == UNSCHEDULED
        {
            *left = 0;
            let period = 1_000_000 / plan.rate;
            let phase = guest.serial.wrapping_mul(7919) % period;
            self.due.push(Reverse((plan::now() + phase, key, guest.serial)));
        }
    }

    /// Sends the events that are due.
    fn tick(&mut self) {
        let now = plan::now();
        while let Some(&Reverse((moment, key, serial))) = self.due.peek()
            && moment <= now
        {
            self.due.pop();
            let Some(guest) = self.guests.get_mut(key).filter(|guest| guest.serial == serial) else {
                continue;
            };
            let Some((plan, _)) = guest.current else { continue };
            if !guest.socket.backlog() {
                guest.socket.write(self.writer.events(plan, 1));
            }
            if guest.socket.flush().is_ok() {
                self.due.push(Reverse((moment + 1_000_000 / plan.rate, key, serial)));
            }
        }
    }
}

impl Guest {
    /// True while the connection lives.
    fn turn(&mut self, scratch: &mut [u8], writer: &mut Writer) -> io::Result<bool> {
        loop {
            let Self { socket, head, skip, .. } = self;
            let read = socket.fill(scratch, |piece| {
                let skipped = piece.len().min(*skip);
                *skip -= skipped;
                head.extend_from_slice(&piece[skipped..]);
            })?;
            self.begin(writer);
            self.socket.flush()?;
            self.feed(writer)?;
            if self.socket.eof() {
                return Ok(false);
            }
            if !read {
                return Ok(true);
            }
        }
    }

    /// Starts the next answer when a whole request head is there and the answer before it is out.
    fn begin(&mut self, writer: &mut Writer) {
        while self.current.is_none()
            && let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n")
        {
            let plan = Plan::from_head(&self.head[..end + 2]).unwrap_or_default();
            let body = content_length(&self.head[..end]).min(64 << 20);
            let here = body.min(self.head.len() - end - 4);
            self.skip = body - here;
            self.head.drain(..end + 4 + here);
            let whole = !plan.stream && plan.size <= FILLER.len() as u64;
            self.socket.write(writer.opening(plan, whole));
            self.current = (!whole).then_some((plan, if plan.stream { UNSCHEDULED } else { plan.size }));
        }
    }

    /// Writes what the current answer has to give without waiting, while the socket takes it.
    fn feed(&mut self, writer: &mut Writer) -> io::Result<()> {
        while let Some((plan, left)) = &mut self.current
            && !self.socket.backlog()
        {
            match plan {
                Plan { stream: true, rate: 0, .. } => self.socket.write(writer.events(*plan, BURST)),
                Plan { stream: true, .. } => return Ok(()),
                _ => {
                    let piece = (*left).min(FILLER.len() as u64);
                    *left -= piece;
                    let last = *left == 0;
                    self.socket.write(writer.piece(*plan, piece as usize, last));
                    if last {
                        self.current = None;
                    }
                }
            }
            self.socket.flush()?;
        }
        Ok(())
    }
}

fn content_length(head: &[u8]) -> usize {
    let Some(at) = memchr::memmem::find(head, b"ontent-") else { return 0 };
    let rest = String::from_utf8_lossy(&head[at..]).to_ascii_lowercase();
    let Some((_, value)) = rest.split_once("ontent-length:") else { return 0 };
    value.split("\r\n").next().and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Builds the bytes of answers in one reused buffer.
struct Writer {
    event: Event,
    packed_opening: Vec<u8>,
    batch: Vec<u8>,
    out: Vec<u8>,
}

impl Writer {
    fn new() -> Self {
        Self {
            event: Event::new(),
            packed_opening: plan::packed_opening(),
            batch: Vec::new(),
            out: Vec::new(),
        }
    }

    /// The head, with the whole body behind it where `whole`, else with a stream's opening.
    fn opening(&mut self, plan: Plan, whole: bool) -> &[u8] {
        self.out.clear();
        self.head(plan);
        if whole {
            self.body(plan, plan.size as usize, true);
        } else if plan.stream {
            let opening = if plan.gzip { &self.packed_opening } else { OPENING.as_bytes() };
            chunk(opening, &mut self.out);
        }
        &self.out
    }

    fn head(&mut self, plan: Plan) {
        let framing = if plan.chunked || plan.stream {
            "transfer-encoding: chunked".to_string()
        } else {
            format!("content-length: {}", plan.size)
        };
        let kind = if plan.stream { "text/event-stream" } else { "application/octet-stream" };
        let coding = if plan.gzip { "content-encoding: gzip\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nserver: perf\r\ndate: Mon, 02 Nov 2026 10:00:00 GMT\r\n\
             content-type: {kind}\r\n{coding}cache-control: no-cache\r\n{framing}\r\n\r\n"
        );
        self.out.extend_from_slice(head.as_bytes());
    }

    fn piece(&mut self, plan: Plan, len: usize, last: bool) -> &[u8] {
        self.out.clear();
        self.body(plan, len, last);
        &self.out
    }

    fn body(&mut self, plan: Plan, len: usize, last: bool) {
        if !plan.chunked {
            self.out.extend_from_slice(&FILLER[..len]);
            return;
        }
        chunk(&FILLER[..len], &mut self.out);
        if last {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
    }

    fn events(&mut self, plan: Plan, count: usize) -> &[u8] {
        let now = plan::now();
        self.batch.clear();
        for _ in 0..count {
            if plan.gzip {
                self.event.write_packed(now, &mut self.batch);
            } else {
                self.event.write_plain(now, &mut self.batch);
            }
        }
        self.out.clear();
        chunk(&self.batch, &mut self.out);
        &self.out
    }
}

fn chunk(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}
