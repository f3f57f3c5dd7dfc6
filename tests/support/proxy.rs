//! The proxy as a process: the built binary on a free port, with a configuration of its own in a temporary place.
//!
//! When it is dropped it is ended by its pid, and a panic anywhere in it fails the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::certs::Authority;
use super::ledger::Ledger;
use super::{SOON, eventually};

/// What a test configures before the proxy starts.
pub struct Setup {
    dir: TempDir,
    /// The authority that signs test origins; the proxy trusts it.
    pub origins: Arc<Authority>,
    user: Option<String>,
    corp: Option<String>,
    map: BTreeMap<String, SocketAddr>,
    upstream: String,
    environment: Vec<(&'static str, &'static str)>,
    first: String,
    more: String,
    descriptors: Option<usize>,
}

/// A running proxy.
pub struct Proxy {
    child: Child,
    address: SocketAddr,
    setup: Setup,
}

impl Default for Setup {
    fn default() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let origins = Arc::new(Authority::new(dir.path()));
        let user = Some("[network]\ndefault = \"allow\"\n".to_owned());
        Self {
            dir,
            origins,
            user,
            corp: None,
            map: BTreeMap::new(),
            upstream: String::new(),
            environment: Vec::new(),
            first: String::new(),
            more: String::new(),
            descriptors: None,
        }
    }
}

impl Setup {
    /// The text of `user.toml`; without a word, everything is allowed.
    pub fn user(mut self, text: &str) -> Self {
        self.user = Some(text.to_owned());
        self
    }

    /// The text of `corp.toml`; without a word there is none.
    pub fn corp(mut self, text: &str) -> Self {
        self.corp = Some(text.to_owned());
        self
    }

    /// Dials `address` for `"host:port"`.
    pub fn map(mut self, host_and_port: &str, address: SocketAddr) -> Self {
        self.map.insert(host_and_port.to_owned(), address);
        self
    }

    /// More lines for the table `[upstream]`.
    pub fn upstream(mut self, text: &str) -> Self {
        self.upstream.push_str(text);
        self.upstream.push('\n');
        self
    }

    /// An environment variable of the proxy.
    pub fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Writes no `[policy]` table: the test brings its own by [`Setup::more`].
    pub fn without_policy(mut self) -> Self {
        self.user = None;
        self
    }

    /// A key of `tollgate.toml` that stands before all tables.
    pub fn key(mut self, line: &str) -> Self {
        self.first.push_str(line);
        self.first.push('\n');
        self
    }

    /// More lines for `tollgate.toml`, beginning with a table's header.
    pub fn more(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self.more.push('\n');
        self
    }

    /// How many descriptors the proxy may have.
    pub fn descriptors(mut self, limit: usize) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Starts the proxy and waits until it listens.
    pub fn start(self) -> Proxy {
        self.write_files();
        let mut child = self.spawn();
        if let Some(address) = listening(&mut child) {
            return Proxy { child, address, setup: self };
        }
        drop(child.kill());
        let status = child.wait().expect("a child");
        panic!("the proxy did not start ({status}): {}", self.stderr());
    }

    /// Starts the proxy where it must refuse to; gives its exit status and what it said on stderr.
    pub fn start_refused(self) -> (ExitStatus, String) {
        self.write_files();
        let mut child = self.spawn();
        if let Some(address) = listening(&mut child) {
            drop(Proxy { child, address, setup: self });
            panic!("the proxy listens, though it should have refused to start");
        }
        (child.wait().expect("a child"), self.stderr())
    }

    /// A path in the test's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spawn(&self) -> Child {
        let stderr = fs::File::create(self.path("stderr")).expect("a log file");
        let limit = self.descriptors.map_or(String::new(), |limit| format!("ulimit -n {limit}; "));
        Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_tollgate")])
            .args(["serve", "--config"])
            .arg(self.path("tollgate.toml"))
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the built binary")
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("stderr")).expect("a log file")).into_owned()
    }

    fn write_files(&self) {
        let write = |name: &str, text: &str| fs::write(self.path(name), text).expect("a writable directory");
        for (name, text) in [("user.toml", &self.user), ("corp.toml", &self.corp)] {
            if let Some(text) = text {
                write(name, text);
            }
        }
        write("tollgate.toml", &self.config());
    }

    fn config(&self) -> String {
        let quoted = |path: &Path| format!("{:?}", path.to_string_lossy());
        let at = |name: &str| quoted(&self.path(name));
        let listen = "[[listen]]\naddress = \"tcp://127.0.0.1:0\"";
        let mut text = format!("state_dir = {}\n{}{listen}\n", at("state"), self.first);
        if self.user.is_some() {
            let _ = writeln!(text, "[policy]\nuser = {}", at("user.toml"));
        }
        if self.corp.is_some() {
            let _ = writeln!(text, "corp = {}", at("corp.toml"));
        }
        let _ = writeln!(text, "[upstream]\nextra_ca_files = [{}]", quoted(self.origins.file()));
        text.push_str(&self.upstream);
        text.push_str("[upstream.map]\n");
        for (host_and_port, address) in &self.map {
            let _ = writeln!(text, "{host_and_port:?} = \"{address}\"");
        }
        text + &self.more
    }
}

impl Proxy {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that its guests trust.
    pub fn ca_file(&self) -> PathBuf {
        self.setup.path("state").join("ca.crt")
    }

    /// The directory of this test, for what other programs need.
    pub fn dir(&self) -> &Path {
        self.setup.dir.path()
    }

    /// Its ledger.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.setup.path("state").join("ledger.db"))
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that was ever resident, in bytes.
    pub fn peak_rss(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn memory(&self, what: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line of memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// Processor time that it has used.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a running process");
        let fields = stat.rsplit_once(") ").expect("a name in brackets").1.split(' ');
        let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 10) // USER_HZ is 100
    }

    /// How many descriptors it holds.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("a running process").count()
    }

    /// Writes `user.toml` anew and has it read by SIGHUP.
    pub fn reload_user(&self, text: &str) {
        fs::write(self.setup.path("user.toml"), text).expect("a writable directory");
        self.signal(Signal::SIGHUP);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("a running process");
    }

    /// What it said on stderr so far.
    pub fn stderr(&self) -> String {
        self.setup.stderr()
    }

    /// Ends it by SIGTERM and gives its exit status.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for its end and gives its exit status.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the proxy ends", || self.child.try_wait().expect("a child"))
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        let said = self.stderr();
        if thread::panicking() {
            eprintln!("the proxy said:\n{said}");
        } else {
            assert!(!said.contains("panicked at"), "the proxy panicked:\n{said}");
        }
    }
}

/// Runs the built binary to its end.
pub fn tollgate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the built binary")
}

/// The first TCP address that the child says it listens on; `None` when it ends or stays silent.
fn listening(child: &mut Child) -> Option<SocketAddr> {
    let stdout = child.stdout.take().expect("a piped stdout");
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            drop(send.send(line)); // reads on when nobody listens, so that the child never blocks on a full pipe
        }
    });
    loop {
        let line: String = lines.recv_timeout(SOON * 2).ok()?;
        if let Some(Ok(address)) = line.strip_prefix("listening on tcp://").map(str::parse) {
            return Some(address);
        }
    }
}
