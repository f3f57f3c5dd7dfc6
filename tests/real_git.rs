//! git itself over HTTPS through the proxy: clone, push and fetch, against git's own HTTP backend behind an origin with
//! a certificate of the test's authority.

mod support;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use support::certs::Flaw;
use support::origin::{Conn, Origin, response};
use support::proxy::{Proxy, Setup};
use support::tools::{program, said, skipped};
use tollgate::demo::http1::Head;

const HOST: &str = "git.example.test";

/// git's program that serves repositories over CGI.
fn backend(git: &Path) -> Option<PathBuf> {
    let place = said(Command::new(git).arg("--exec-path"));
    let backend = Path::new(place.trim()).join("git-http-backend");
    if backend.is_file() { Some(backend) } else { skipped("git-http-backend") }
}

/// Serves the repositories under `root`.
fn serve(conn: &mut Conn, backend: &Path, root: &Path) -> io::Result<()> {
    let mut reader = BufReader::new(conn);
    while let Some(head) = Head::read(&mut reader)? {
        let mut body = Vec::new();
        head.request_body()?.read(&mut reader, &mut |piece| body.extend_from_slice(piece))?;
        let answer = cgi(Command::new(backend).env("GIT_PROJECT_ROOT", root), &head, body)?;
        reader.get_mut().send(&answer)?;
    }
    Ok(())
}

/// One request as a CGI program understands it (RFC 3875), and its answer as a response.
fn cgi(program: &mut Command, head: &Head, body: Vec<u8>) -> io::Result<Vec<u8>> {
    let (path, query) = head.word(1).split_once('?').unwrap_or((head.word(1), ""));
    let field = |name| OsString::from(head.field(name).unwrap_or_default());
    program.env("GIT_HTTP_EXPORT_ALL", "1").env("REQUEST_METHOD", head.word(0));
    program.env("PATH_INFO", path).env("QUERY_STRING", query).env("CONTENT_TYPE", field("content-type"));
    program
        .env("HTTP_CONTENT_ENCODING", field("content-encoding"))
        .env("GIT_PROTOCOL", field("git-protocol"));
    program.env("CONTENT_LENGTH", body.len().to_string());
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().expect("a piped stdin");
    let writing = thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output()?;
    drop(writing.join()); // a program that needs no more of the body closes the pipe
    let (mut rest, mut fields, mut status) = (&output.stdout[..], String::new(), 200);
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n").filter(|&at| at > 0) {
        let line = String::from_utf8_lossy(&rest[..at]);
        match line.strip_prefix("Status: ") {
            Some(said) => status = said[..3].parse().map_err(io::Error::other)?,
            None => fields.extend([&*line, "\r\n"]),
        }
        rest = &rest[at + 2..];
    }
    Ok(response(status, &fields, rest.get(2..).unwrap_or_default()))
}

/// git that knows the proxy and its CA, and nothing of whoever runs the test.
fn git(git: &Path, proxy: &Proxy, at: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(git);
    command.current_dir(at).args(arguments);
    command.env("https_proxy", format!("http://{}", proxy.address())).env("GIT_SSL_CAINFO", proxy.ca_file());
    command.env("HOME", proxy.dir()).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Test").env(format!("GIT_{role}_EMAIL"), "test@example.test");
    }
    said(&mut command)
}

/// Bytes that do not compress, so that a push is as long as its file.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| step()).collect()
}

#[test]
fn git_clones_pushes_in_chunks_and_fetches() {
    let Some(program) = program("git") else { return };
    let Some(backend) = backend(&program) else { return };
    let setup = Setup::default();
    let root = setup.path("repositories");
    fs::create_dir(&root).expect("a writable directory");
    let served = root.clone();
    let origin =
        Origin::tls(setup.origins.server(HOST, Flaw::None), move |conn| serve(conn, &backend, &served));
    let proxy = setup.map("git.example.test:443", origin.address()).start();
    let git = |at: &Path, arguments: &[&str]| git(&program, &proxy, at, arguments);
    git(&root, &["init", "--quiet", "--bare", "--initial-branch=main", "project"]);
    git(&root.join("project"), &["config", "http.receivepack", "true"]);
    let url = format!("https://{HOST}/project");

    git(proxy.dir(), &["clone", "--quiet", &url, "writer"]);
    let writer = proxy.dir().join("writer");
    let file = noise(3 << 20); // longer than http.postBuffer, so that the push goes in chunks
    fs::write(writer.join("noise"), &file).expect("a writable directory");
    git(&writer, &["add", "noise"]);
    git(&writer, &["commit", "--quiet", "--message=noise"]);
    git(&writer, &["push", "--quiet", "origin", "HEAD:main"]);

    git(proxy.dir(), &["clone", "--quiet", &url, "reader"]);
    let reader = proxy.dir().join("reader");
    assert!(fs::read(reader.join("noise")).expect("a file") == file, "the clone has what was pushed");
    git(&writer, &["commit", "--quiet", "--allow-empty", "--message=second"]);
    git(&writer, &["push", "--quiet", "origin", "HEAD:main"]);
    git(&reader, &["pull", "--quiet", "--ff-only"]);
    let revision = |at| git(at, &["rev-parse", "HEAD"]);
    assert_eq!(revision(&reader), revision(&writer));
    git(&reader, &["fsck", "--strict"]);

    let refused = "SELECT count(*) FROM net_events WHERE decision <> 'allowed' OR status <> 200";
    assert_eq!(proxy.ledger().number(refused), 0);
    let pushed = "SELECT max(request_bytes) FROM net_events WHERE path = '/project/git-receive-pack'";
    support::eventually("the row of the push", || (proxy.ledger().number(pushed) > 3 << 20).then_some(()));
}
