//! The load generator: keeps a fixed number of connections busy through a proxy, and reads the proxy's CPU time at
//! both ends of the measured window. One thread.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use slab::Slab;

use crate::plan::{self, Plan};
use crate::reply::{Moments, Reply};
use crate::sample::{self, Sample};
use crate::socket::{SCRATCH, TlsSocket};
use crate::tls;

/// What the connections do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Scenario {
    /// One request after the other on kept connections; the unit is a request.
    Requests,
    /// A new connection for each request; the unit is a connection.
    Connect,
    /// Downloads of `--size` bytes; the unit is a GB.
    Bulk,
    /// Event streams with `--rate` events a second each (0: without gaps); the unit is an event.
    Stream,
    /// Connections that have served one request and wait; the unit is a connection, the figure memory.
    Idle,
}

/// How the load is made.
#[derive(clap::Args, Clone)]
pub struct Args {
    scenario: Scenario,
    /// The proxy.
    #[arg(long)]
    proxy: SocketAddr,
    /// The proxy's processes, for CPU time and memory.
    #[arg(long = "pid")]
    pids: Vec<u32>,
    /// Trusted authorities (PEM).
    #[arg(long)]
    ca: PathBuf,
    /// The host to ask for.
    #[arg(long, default_value = "perf.test")]
    name: String,
    /// Ask by CONNECT instead of sending TLS at once.
    #[arg(long)]
    connect: bool,
    /// Connections at once.
    #[arg(long, short = 'c', default_value_t = 64)]
    connections: usize,
    /// Body bytes of an answer.
    #[arg(long, default_value_t = 1024)]
    size: u64,
    /// Chunked instead of Content-Length.
    #[arg(long)]
    chunked: bool,
    /// Events a second and stream.
    #[arg(long, default_value_t = 10)]
    rate: u64,
    /// Gzip-coded streams.
    #[arg(long)]
    gzip: bool,
    /// Ask as a model client does (POST /v1/messages), so that a proxy meters the answer.
    #[arg(long)]
    model: bool,
    /// Resume TLS sessions on new connections.
    #[arg(long)]
    resume: bool,
    /// A name never seen before for each new connection.
    #[arg(long)]
    new_names: bool,
    /// Seconds before the window.
    #[arg(long, default_value_t = 1.0)]
    warm: f64,
    /// Seconds of the window.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

/// How many connections may be in their handshakes at once, so that a thousand streams start in good order.
const OPENING: usize = 32;
/// Give up when connections fail this often.
const TOO_MANY_ERRORS: u64 = 100;

/// Runs one scenario and prints its figures as one JSON line.
pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut load = Load::new(args.clone())?;
    load.until(|load| load.opened >= load.args.connections, Duration::from_mins(2))?;
    load.pass(load.args.warm)?;
    load.sample = Sample::default();
    let (start, cpu) = (Instant::now(), sample::cpu_us(&load.args.pids));
    load.pass(load.args.seconds)?;
    let cpu = sample::cpu_us(&load.args.pids) - cpu;
    println!("{}", load.report(start.elapsed().as_secs_f64(), cpu));
    Ok(())
}

struct Session {
    socket: TlsSocket,
    reply: Reply,
    moments: Moments,
    asked: u64,
    opened: bool,
}

struct Load {
    args: Args,
    poll: Poll,
    events: Events,
    config: Arc<ClientConfig>,
    request: Vec<u8>,
    sessions: Slab<Session>,
    /// Connections without the first byte of an answer.
    opening: usize,
    /// Connections that have had one.
    opened: usize,
    started: u64,
    sample: Sample,
    scratch: Vec<u8>,
}

impl Load {
    fn new(args: Args) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            config: tls::client(&args.ca, args.resume)?,
            request: request(&args, &args.name),
            sessions: Slab::new(),
            opening: 0,
            opened: 0,
            started: 0,
            sample: Sample::default(),
            scratch: vec![0; SCRATCH],
            args,
        })
    }

    fn pass(&mut self, seconds: f64) -> io::Result<()> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        self.until(move |_| Instant::now() >= end, Duration::MAX)
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool, patience: Duration) -> io::Result<()> {
        let start = Instant::now();
        while !done(self) {
            if start.elapsed() > patience {
                return Err(io::Error::other("the connections did not open in time"));
            }
            self.open()?;
            self.work()?;
        }
        Ok(())
    }

    /// Opens as many connections as are missing.
    fn open(&mut self) -> io::Result<()> {
        while self.sessions.len() < self.args.connections && self.opening < OPENING {
            let mut session = self.session()?;
            let entry = self.sessions.vacant_entry();
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut session.socket.tcp, Token(entry.key()), both)?;
            let key = entry.key();
            entry.insert(session);
            self.opening += 1;
            self.turn(key)?;
        }
        Ok(())
    }

    fn session(&mut self) -> io::Result<Session> {
        self.started += 1;
        let (name, request) = if self.args.new_names {
            let name = format!("n{}-{}.{}", std::process::id(), self.started, self.args.name);
            let request = request(&self.args, &name);
            (name, Some(request))
        } else {
            (self.args.name.clone(), None)
        };
        let asked = plan::now();
        let tcp = if self.args.connect {
            tunnel(self.args.proxy, &name)?
        } else {
            TcpStream::connect(self.args.proxy)?
        };
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut socket = TlsSocket::new(tcp, tls);
        socket.write(request.as_deref().unwrap_or(&self.request));
        Ok(Session { socket, reply: Reply::new(), moments: Moments::default(), asked, opened: false })
    }

    fn work(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(Duration::from_millis(20))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let mut touched = Vec::with_capacity(64);
        for event in &self.events {
            let key = event.token().0;
            if let Some(session) = self.sessions.get_mut(key) {
                session.socket.latch(event);
                touched.push(key);
            }
        }
        touched.into_iter().try_for_each(|key| self.turn(key))
    }

    /// Reads what is there and asks again; a failed connection is counted and replaced.
    fn turn(&mut self, key: usize) -> io::Result<()> {
        let Some(session) = self.sessions.get_mut(key) else { return Ok(()) };
        let was_open = session.opened;
        let outcome = session.turn(&self.args, &self.request, &mut self.sample, &mut self.scratch);
        if !was_open && session.opened {
            self.opening -= 1;
            self.opened += 1;
        }
        match outcome {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                self.sample.errors += 1;
                eprintln!("load: {error}");
            }
        }
        let session = self.sessions.remove(key);
        self.opening -= usize::from(!session.opened);
        if self.sample.errors < TOO_MANY_ERRORS {
            return Ok(());
        }
        Err(io::Error::other("too many connections failed"))
    }

    fn report(&mut self, seconds: f64, cpu_us: u64) -> String {
        let units = match self.args.scenario {
            Scenario::Bulk => self.sample.units as f64 / 1e9,
            Scenario::Idle => self.sessions.len() as f64,
            _ => self.sample.units as f64,
        };
        let (p50, p99) = (self.sample.quantile(0.5), self.sample.quantile(0.99));
        format!(
            "{{\"units\":{units:.3},\"seconds\":{seconds:.3},\"per_second\":{:.1},\"cpu_us\":{cpu_us},\
             \"cpu_us_per_unit\":{:.3},\"p50_us\":{p50},\"p99_us\":{p99},\"rss_kib\":{},\"errors\":{}}}",
            units / seconds,
            cpu_us as f64 / units,
            sample::rss_kib(&self.args.pids),
            self.sample.errors,
        )
    }
}

impl Session {
    /// True while the connection is to be kept.
    fn turn(
        &mut self,
        args: &Args,
        request: &[u8],
        sample: &mut Sample,
        scratch: &mut [u8],
    ) -> io::Result<bool> {
        let mut trouble = None;
        while self.socket.fill(scratch, |piece| {
            if args.scenario == Scenario::Stream && self.reply.begun() {
                self.moments.feed(piece, |sent| {
                    sample.units += 1;
                    sample.delay(plan::now().saturating_sub(sent));
                });
                return;
            }
            match self.reply.feed(piece) {
                Ok(body) if args.scenario == Scenario::Bulk => sample.units += body,
                Ok(_) => {}
                Err(error) => trouble = Some(error),
            }
        })? {}
        if let Some(trouble) = trouble {
            return Err(io::Error::other(trouble));
        }
        self.opened |= self.reply.begun();
        if self.reply.done() {
            return self.finish(args, request, sample);
        }
        self.socket.flush()?;
        if self.socket.eof() {
            return Err(io::Error::other("the proxy closed the connection"));
        }
        Ok(true)
    }

    /// A whole answer is there: count it, and ask again where the scenario does.
    fn finish(&mut self, args: &Args, request: &[u8], sample: &mut Sample) -> io::Result<bool> {
        let now = plan::now();
        if args.scenario != Scenario::Bulk {
            sample.units += 1;
        }
        sample.delay(now.saturating_sub(self.asked));
        match args.scenario {
            Scenario::Requests | Scenario::Bulk => {
                (self.asked, self.reply) = (now, Reply::new());
                self.socket.write(request);
            }
            Scenario::Connect => self.socket.close(),
            Scenario::Stream | Scenario::Idle => {}
        }
        self.socket.flush()?;
        Ok(args.scenario != Scenario::Connect)
    }
}

fn request(args: &Args, host: &str) -> Vec<u8> {
    let stream = args.scenario == Scenario::Stream;
    let plan = Plan { size: args.size, chunked: args.chunked, stream, rate: args.rate, gzip: args.gzip };
    let (line, body) =
        if args.model { ("POST /v1/messages HTTP/1.1", MODEL_REQUEST) } else { ("GET /perf HTTP/1.1", "") };
    let framing = match body.len() {
        0 => String::new(),
        length => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
    };
    format!(
        "{line}\r\nhost: {host}\r\nuser-agent: perf/1\r\naccept: */*\r\naccept-encoding: gzip, deflate\r\nx-perf: {}\r\n\
         {framing}\r\n{body}",
        plan.to_field()
    )
    .into_bytes()
}

const MODEL_REQUEST: &str = "{\"model\":\"claude-sonnet-4-5\",\"max_tokens\":1024,\"stream\":true,\
\"messages\":[{\"role\":\"user\",\"content\":\"Count the tokens, all of them.\"}]}";

/// Opens a CONNECT tunnel, blocking until the proxy has answered.
fn tunnel(proxy: SocketAddr, name: &str) -> io::Result<TcpStream> {
    let mut tcp = std::net::TcpStream::connect(proxy)?;
    write!(tcp, "CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n")?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        tcp.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if head.get(9..12) != Some(b"200") {
        return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
    }
    tcp.set_nonblocking(true)?;
    Ok(TcpStream::from_std(tcp))
}
