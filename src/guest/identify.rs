//! Which process holds a socket: `/proc/net/{tcp,udp}{,6}` gives its inode and user, `/proc/*/fd` the process.
//!
//! Both are slow with many sockets and processes, so a thread of its own does it, in batches, and looks first at the
//! processes that it found last. A question that it has no room for goes unanswered: identity is a fact for the ledger, never a
//! condition for carrying.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// A process, as far as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The kernel's `comm`.
    pub name: Option<String>,
    /// Its pid, as this namespace counts.
    pub pid: Option<u32>,
    /// The user that made the socket, as the outermost namespace that we know of counts.
    pub uid: Option<u32>,
}

/// A socket to find the holder of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Comes back with the answer.
    pub id: u64,
    /// Which table it stands in.
    pub transport: Transport,
    /// The holder's own address.
    pub local: SocketAddr,
}

/// A table of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `/proc/net/tcp` and `tcp6`.
    Tcp,
    /// `/proc/net/udp` and `udp6`.
    Udp,
}

/// Questions that may wait.
const QUEUE: usize = 4096;

/// Starts the thread, which ends with the returned sender. `deliver` is called on it.
pub fn start(deliver: impl Fn(u64, Process) + Send + 'static) -> std::io::Result<SyncSender<Question>> {
    let (sender, questions) = sync_channel(QUEUE);
    thread::Builder::new().name("identify".to_owned()).spawn(move || work(&questions, &deliver))?;
    Ok(sender)
}

fn work(questions: &Receiver<Question>, deliver: &dyn Fn(u64, Process)) {
    let mut holders = Holders::new();
    while let Ok(first) = questions.recv() {
        let batch: Vec<Question> = std::iter::once(first).chain(questions.try_iter()).collect();
        let sockets = sockets(&batch);
        let pids = holders.find(sockets.values().map(|socket| socket.inode).collect());
        for question in &batch {
            let socket = sockets.get(&(question.transport, question.local.port()));
            let process = socket.map(|socket| holders.process(*socket, pids.get(&socket.inode).copied()));
            deliver(question.id, process.unwrap_or_default());
        }
    }
}

/// A line of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SocketLine {
    inode: u64,
    uid: u32,
}

type Sockets = HashMap<(Transport, u16), SocketLine>;

/// The sockets that are asked about, by table and port; each table is read once.
fn sockets(batch: &[Question]) -> Sockets {
    let mut found = Sockets::new();
    for (transport, name) in [(Transport::Tcp, "tcp"), (Transport::Udp, "udp")] {
        let wanted: HashMap<u16, IpAddr> = batch
            .iter()
            .filter(|question| question.transport == transport)
            .map(|question| (question.local.port(), question.local.ip()))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        for file in [format!("/proc/self/net/{name}"), format!("/proc/self/net/{name}6")] {
            let table = fs::read_to_string(file).unwrap_or_default();
            for (local, socket) in table.lines().skip(1).filter_map(parse_line) {
                let Some(ip) = wanted.get(&local.port()) else { continue };
                let same = local.ip().is_unspecified() || local.ip().to_canonical() == ip.to_canonical();
                if same && socket.inode != 0 {
                    found.insert((transport, local.port()), socket);
                }
            }
        }
    }
    found
}

/// Local address, user and inode of one line (`proc(5)`, `/proc/net/tcp`).
fn parse_line(line: &str) -> Option<(SocketAddr, SocketLine)> {
    let mut words = line.split_ascii_whitespace();
    let (ip, port) = words.nth(1)?.split_once(':')?;
    let uid = words.nth(5)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    let local = SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?);
    Some((local, SocketLine { inode, uid }))
}

/// The kernel writes each 32-bit word of an address as the machine's number.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = std::array::from_fn(|n| words[n / 4][n % 4]);
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Finds holders. Whoever held a socket lately is looked at first: most connections come from few processes.
struct Holders {
    recent: Vec<u32>,
    users: Vec<UserRange>,
}

/// Processes looked at before all others.
const RECENT: usize = 32;

impl Holders {
    fn new() -> Self {
        let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        Self { recent: Vec::new(), users: users.lines().filter_map(UserRange::parse).collect() }
    }

    /// The holders of these inodes, where there is one that we may look at.
    fn find(&mut self, mut wanted: HashSet<u64>) -> HashMap<u64, u32> {
        let mut found = HashMap::new();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for pid in self.recent.clone().into_iter().chain(all) {
            if wanted.is_empty() {
                break;
            }
            for inode in inodes(pid) {
                if wanted.remove(&inode) {
                    found.insert(inode, pid);
                    self.remember(pid);
                }
            }
        }
        found
    }

    fn remember(&mut self, pid: u32) {
        self.recent.retain(|known| *known != pid);
        self.recent.insert(0, pid);
        self.recent.truncate(RECENT);
    }

    fn process(&self, socket: SocketLine, pid: Option<u32>) -> Process {
        let name = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
        Process {
            name: name.map(|name| name.trim_end_matches('\n').to_owned()),
            pid,
            uid: Some(self.outer_user(socket.uid)),
        }
    }

    fn outer_user(&self, uid: u32) -> u32 {
        self.users.iter().find_map(|range| range.outer(uid)).unwrap_or(uid)
    }
}

/// Socket inodes among the descriptors of a process; none where we may not look.
fn inodes(pid: u32) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

/// A line of `/proc/self/uid_map` (`user_namespaces(7)`).
#[derive(Clone, Copy, Debug)]
struct UserRange {
    inner: u32,
    outer: u32,
    count: u32,
}

impl UserRange {
    fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_ascii_whitespace().map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Self { inner: next()?, outer: next()?, count: next()? })
    }

    fn outer(self, uid: u32) -> Option<u32> {
        let offset = uid.checked_sub(self.inner)?;
        (offset < self.count).then_some(self.outer.wrapping_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_line_of_each_table_is_read() {
        let line = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        let (local, socket) = parse_line(line).expect("a line");
        assert_eq!(local, "127.0.0.1:8080".parse().expect("an address"));
        assert_eq!(socket, SocketLine { inode: 4711, uid: 1000 });
        assert_eq!(parse_ip("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
        assert!(parse_line("  sl  local_address rem_address").is_none());
    }

    #[test]
    fn users_of_a_namespace_are_said_as_the_outer_one_counts() {
        let range = UserRange::parse("         0      65534          1").expect("a line");
        assert_eq!((range.outer(0), range.outer(1)), (Some(65534), None));
    }

    #[test]
    fn our_own_connection_is_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
        let (told, hear) = mpsc::channel();
        let ask = start(move |id, process| drop(told.send((id, process)))).expect("a thread");
        let local = stream.local_addr().expect("connected");
        ask.send(Question { id: 7, transport: Transport::Tcp, local }).expect("room");
        let (id, process) = hear.recv().expect("an answer");
        assert_eq!((id, process.pid), (7, Some(std::process::id())));
        assert_eq!(process.uid, Some(nix::unistd::geteuid().as_raw()));
        assert!(process.name.is_some());
    }
}
