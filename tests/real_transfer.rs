//! Long bodies through the proxy, compared by hash, while its memory stays where it was (P20, P23).

mod support;

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use aws_lc_rs::digest::{Context, Digest, SHA256};
use support::certs::Flaw;
use support::origin::{Conn, Origin, response};
use support::proxy::{Proxy, Setup};
use support::tools::program;
use tollgate::demo::http1::Head;

const LONG: u64 = 1 << 30;
const HOST: &str = "files.example.test";
/// What the process may grow by, all told, while it passes a long body on.
const GROWTH: u64 = 4 << 20;

/// Hands the body of `len` bytes to `piece`: blocks that begin with their number, so that no slip goes unseen.
fn body(len: u64, mut piece: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut block = [0x5a; 16 << 10];
    let mut left = len;
    while left > 0 {
        block[..8].copy_from_slice(&left.to_be_bytes());
        let n = left.min(block.len() as u64);
        piece(&block[..n as usize])?;
        left -= n;
    }
    Ok(())
}

fn hash(len: u64) -> Digest {
    let mut hash = Context::new(&SHA256);
    let update = |piece: &[u8]| {
        hash.update(piece);
        Ok(())
    };
    body(len, update).expect("hashing does not fail");
    hash.finish()
}

/// GET `/N`: a body of N bytes by length, `/N/chunked` in chunks. Else: the hash of the request's body.
fn serve(conn: &mut Conn) -> io::Result<()> {
    let mut reader = BufReader::new(conn);
    while let Some(head) = Head::read(&mut reader)? {
        let mut path = head.word(1).split('/').skip(1);
        let len = path.next().and_then(|len| len.parse().ok()).unwrap_or_default();
        if head.word(0) == "GET" {
            download(reader.get_mut(), len, path.next().is_some())?;
        } else {
            let mut hash = Context::new(&SHA256);
            head.request_body()?.read(&mut reader, &mut |piece| hash.update(piece))?;
            reader.get_mut().send(&response(200, "", hex(&hash.finish()).as_bytes()))?;
        }
    }
    Ok(())
}

fn download(conn: &mut Conn, len: u64, chunked: bool) -> io::Result<()> {
    if !chunked {
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").as_bytes())?;
        return body(len, |piece| conn.send(piece));
    }
    conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    body(len, |piece| conn.send(&support::origin::chunk(piece)))?;
    conn.send(b"0\r\n\r\n")
}

fn hex(digest: &Digest) -> String {
    format!("{digest:?}").trim_start_matches("SHA256:").to_owned()
}

/// The proxy between curl and the origin.
struct Bench {
    curl: PathBuf,
    proxy: Proxy,
    _origin: Origin,
}

impl Bench {
    fn start() -> Option<Self> {
        let curl = program("curl")?;
        let setup = Setup::default();
        let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), serve);
        let proxy = setup.map("files.example.test:443", origin.address()).start();
        let bench = Self { curl, proxy, _origin: origin };
        // What is made once is made now: buffers of a first connection, the leaf, the pages of code.
        for chunked in [false, true] {
            bench.download(1 << 20, chunked);
            bench.upload(1 << 20, chunked);
        }
        Some(bench)
    }

    /// The hash of what curl received.
    fn download(&self, len: u64, chunked: bool) -> String {
        let suffix = if chunked { "/chunked" } else { "" };
        let mut curl = self.curl(&[&format!("https://{HOST}/{len}{suffix}")]);
        let mut hash = Context::new(&SHA256);
        let mut stdout = curl.stdout.take().expect("a piped stdout");
        let mut room = vec![0; 64 << 10];
        loop {
            match stdout.read(&mut room).expect("a readable pipe") {
                0 => break,
                n => hash.update(&room[..n]),
            }
        }
        assert!(curl.wait().expect("a child").success());
        hex(&hash.finish())
    }

    /// The hash of what the origin received from curl: from a pipe in chunks, from a file by length.
    fn upload(&self, len: u64, chunked: bool) -> String {
        let file = self.proxy.dir().join("body");
        let source = if chunked { "-" } else { file.to_str().expect("a path in UTF-8") };
        if !chunked {
            let mut file = File::create(source).expect("a writable directory");
            body(len, |piece| file.write_all(piece)).expect("room on the disk");
        }
        let url = format!("https://{HOST}/upload");
        let mut curl = self.curl(&["--header", "Expect:", "--upload-file", source, &url]);
        let mut stdin = curl.stdin.take().expect("a piped stdin");
        let piped = if chunked { len } else { 0 };
        let writing = thread::spawn(move || body(piped, |piece| stdin.write_all(piece)));
        let output = curl.wait_with_output().expect("a child");
        assert!(output.status.success(), "{}", output.status);
        writing.join().expect("no panic").expect("a curl that reads");
        String::from_utf8(output.stdout).expect("hexadecimal digits")
    }

    fn curl(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(&self.curl);
        command.args(["--silent", "--show-error", "--fail", "--max-time", "300", "--proxy"]);
        command.arg(format!("http://{}", self.proxy.address())).arg("--cacert").arg(self.proxy.ca_file());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl")
    }
}

/// The bytes arrive as they were sent, and the proxy's memory has never been much higher than before.
fn passes(bench: &Bench, transfer: impl FnOnce() -> String) {
    let before = bench.proxy.peak_rss();
    assert_eq!(transfer(), hex(&hash(LONG)));
    let grown = bench.proxy.peak_rss() - before;
    assert!(grown < GROWTH, "the process grew by {} KiB", grown >> 10);
}

#[test]
fn p20_p23_a_gibibyte_down_by_length_and_up_in_chunks() {
    let Some(bench) = Bench::start() else { return };
    passes(&bench, || bench.download(LONG, false));
    passes(&bench, || bench.upload(LONG, true));
}

#[test]
fn p20_p23_a_gibibyte_down_in_chunks_and_up_by_length() {
    let Some(bench) = Bench::start() else { return };
    passes(&bench, || bench.download(LONG, true));
    passes(&bench, || bench.upload(LONG, false));
    let long = |column| format!("SELECT count(*) FROM net_events WHERE {column} = {LONG}");
    for column in ["request_bytes", "response_bytes"] {
        support::eventually("a row with its bytes", || {
            (bench.proxy.ledger().number(&long(column)) >= 1).then_some(())
        });
    }
}
