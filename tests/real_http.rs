//! Real HTTP clients through a real listener, in every way that leads into it: curl, wget, Python's requests, httpx
//! and aiohttp, Node's fetch. The origin tells each of them what it was asked, and they compare.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use support::certs::Flaw;
use support::origin::{Conn, Origin, response};
use support::proxy::{Proxy, Setup};
use support::tools::{clients, node_with_sdks, program, python_with_sdks, said};
use tollgate::demo::gzip;
use tollgate::demo::http1::Head;

const HOST: &str = "www.example.test";

/// `https://www.example.test` and `http://www.example.test` behind a proxy.
struct Web {
    origins: [Origin; 2],
    proxy: Proxy,
}

impl Web {
    fn start() -> Self {
        let setup = Setup::default();
        let origins = [Origin::tls(setup.origins.server(HOST, Flaw::None), mirror), Origin::plain(mirror)];
        let [secure, plain] = &origins;
        let proxy =
            setup.map("www.example.test:443", secure.address()).map("www.example.test:80", plain.address());
        Self { proxy: proxy.start(), origins }
    }

    /// `http://` and the proxy's address.
    fn url(&self) -> String {
        format!("http://{}", self.proxy.address())
    }

    /// Waits for as many rows, all of them allowed and answered with 200, and gives `METHOD scheme path` of each.
    fn asked(&self, rows: usize) -> BTreeSet<String> {
        let rows = self.proxy.ledger().net_events(rows);
        let text = |row: &support::ledger::Row, name| row.text(name).unwrap_or_default().to_owned();
        for row in &rows {
            assert_eq!((row.text("decision"), row.int("status")), (Some("allowed"), Some(200)), "{row:#?}");
        }
        let asked = |row| format!("{} {} {}", text(row, "method"), text(row, "scheme"), text(row, "path"));
        rows.iter().map(asked).collect()
    }
}

/// Answers each request with its request line, its Host and its body. `/gzip` is answered compressed, `/chunked` in
/// chunks.
fn mirror(conn: &mut Conn) -> io::Result<()> {
    let mut reader = BufReader::new(conn);
    while let Some(head) = Head::read(&mut reader)? {
        if head.field("expect").is_some() {
            reader.get_mut().send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut answer = format!("{}\n{}\n", head.start, head.field("host").unwrap_or_default()).into_bytes();
        head.request_body()?.read(&mut reader, &mut |piece| answer.extend_from_slice(piece))?;
        reader.get_mut().send(&told(&head, &answer))?;
    }
    Ok(())
}

fn told(head: &Head, answer: &[u8]) -> Vec<u8> {
    match (head.word(0), head.word(1)) {
        ("HEAD", _) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len()).into_bytes(),
        (_, "/gzip") => response(200, "Content-Encoding: gzip\r\n", &gzip::whole(answer)),
        (_, "/chunked") => {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            answer.chunks(7).for_each(|piece| bytes.extend(support::origin::chunk(piece)));
            bytes.extend_from_slice(b"0\r\n\r\n");
            bytes
        }
        _ => response(200, "", answer),
    }
}

/// Bytes that a slip in their order or number shows.
fn upload(len: usize) -> String {
    (0..).flat_map(|n: u32| format!("{n:x} ").into_bytes()).take(len).map(char::from).collect()
}

// curl

/// Ways into the proxy, as curl is told: its arguments, the scheme that it then asks for, and the status line's
/// version that it must see.
const WAYS: [(&str, &[&str], &str); 14] = [
    ("connect", &["--proxy", "http://PROXY"], "https"),
    ("connect-http10", &["--proxy1.0", "PROXY"], "https"),
    ("http10-inside", &["--proxy", "http://PROXY", "--http1.0"], "https"),
    ("offers-h2", &["--proxy", "http://PROXY", "--http2"], "https"),
    ("no-alpn", &["--proxy", "http://PROXY", "--no-alpn"], "https"),
    ("tls12", &["--proxy", "http://PROXY", "--tls-max", "1.2"], "https"),
    ("socks5", &["--socks5", "PROXY", "--resolve", "www.example.test:443:192.0.2.7"], "https"),
    ("socks5-hostname", &["--socks5-hostname", "PROXY"], "https"),
    ("socks5-user", &["--socks5-hostname", "PROXY", "--proxy-user", "guest:secret"], "https"),
    ("redirected", &["--noproxy", "*", "--connect-to", "::PROXY"], "https"),
    ("absolute", &["--proxy", "http://PROXY"], "http"),
    ("absolute-http10", &["--proxy", "http://PROXY", "--http1.0"], "http"),
    ("plain-inside-connect", &["--proxy", "http://PROXY", "--proxytunnel"], "http"),
    ("plain-redirected", &["--noproxy", "*", "--connect-to", "::PROXY"], "http"),
];

/// curl on one of the ways.
fn curl(curl: &Path, web: &Web, way: &[&str]) -> Command {
    let mut command = Command::new(curl);
    command.args(["--silent", "--show-error", "--fail", "--max-time", "20", "--cacert"]);
    command.arg(web.proxy.ca_file());
    command.args(way.iter().map(|word| word.replace("PROXY", &web.proxy.address().to_string())));
    command
}

#[test]
fn curl_gets_and_posts_by_every_way() {
    let Some(program) = program("curl") else { return };
    let web = Web::start();
    let mut expected = BTreeSet::new();
    for (name, way, scheme) in WAYS {
        let url = format!("{scheme}://{HOST}/{name}");
        let seen =
            said(curl(&program, &web, way).args(["--write-out", "%{http_version} %{http_code}", &url]));
        assert_eq!(seen, format!("GET /{name} HTTP/1.1\n{HOST}\n1.1 200"), "{name}");
        let body = upload(300_000);
        let file = web.proxy.dir().join("body");
        fs::write(&file, &body).expect("a file");
        let seen = said(
            curl(&program, &web, way).arg("--data-binary").arg(format!("@{}", file.display())).arg(&url),
        );
        assert!(seen == format!("POST /{name} HTTP/1.1\n{HOST}\n{body}"), "{name}: {} bytes", seen.len());
        expected.extend([format!("GET {scheme} /{name}"), format!("POST {scheme} /{name}")]);
    }
    assert_eq!(web.asked(2 * WAYS.len()), expected);
}

#[test]
fn p19_curl_waits_for_100_sends_chunks_asks_for_heads_and_keeps_its_connection() {
    let Some(program) = program("curl") else { return };
    let web = Web::start();
    let body = upload(3 << 20);
    let file = web.proxy.dir().join("body");
    fs::write(&file, &body).expect("a file");
    for (scheme, way) in [("https", WAYS[0].1), ("http", WAYS[10].1)] {
        let url = |path: &str| format!("{scheme}://{HOST}/{path}");
        let long = said(
            curl(&program, &web, way)
                .args(["--header", "Expect: 100-continue", "--upload-file"])
                .arg(&file)
                .arg(url("expect")),
        );
        assert!(long == format!("PUT /expect HTTP/1.1\n{HOST}\n{body}"), "{scheme}: {} bytes", long.len());
        let chunked = said(
            curl(&program, &web, way)
                .args(["--header", "Transfer-Encoding: chunked", "--upload-file"])
                .arg(&file)
                .arg(url("upload")),
        );
        assert!(
            chunked == format!("PUT /upload HTTP/1.1\n{HOST}\n{body}"),
            "{scheme}: {} bytes",
            chunked.len()
        );
        let head = said(curl(&program, &web, way).args(["--head", &url("head")]));
        let length = format!("HEAD /head HTTP/1.1\n{HOST}\n").len();
        assert!(head.ends_with(&format!("Content-Length: {length}\r\n\r\n")), "{head}");
        let unpacked = said(curl(&program, &web, way).args(["--compressed", &url("gzip")]));
        assert_eq!(unpacked, format!("GET /gzip HTTP/1.1\n{HOST}\n"));
        let old = said(curl(&program, &web, way).args(["--http1.0", "--raw", &url("chunked")]));
        assert_eq!(old, format!("GET /chunked HTTP/1.1\n{HOST}\n"), "no chunks for a peer of HTTP/1.0");
        let twice = ["--write-out", "%{num_connects} ", "--output", "/dev/null", "--output", "/dev/null"];
        let counts = said(curl(&program, &web, way).args(twice).args([url("first"), url("second")]));
        assert_eq!(counts, "1 0 ", "{scheme}: the second request takes the first one's connection");
    }
    web.asked(14);
}

#[test]
fn p12_curl_is_not_let_through_with_h2c() {
    let Some(program) = program("curl") else { return };
    let web = Web::start();
    let status = ["--write-out", "%{http_code}", "--output", "/dev/null"];
    let url = format!("http://{HOST}/h2c");
    let way = WAYS[10].1;
    let mut upgrading = curl(&program, &web, way);
    let upgrading = support::tools::output(upgrading.arg("--http2").args(status).arg(&url));
    assert_eq!(String::from_utf8_lossy(&upgrading.stdout), "501");
    let mut knowing = curl(&program, &web, WAYS[13].1);
    let knowing = support::tools::output(knowing.arg("--http2-prior-knowledge").args(status).arg(&url));
    assert!(!knowing.status.success());
    web.proxy.ledger().net_events(2);
}

#[test]
fn p16_curl_sees_an_answer_that_comes_before_its_upload_ends() {
    let Some(program) = program("curl") else { return };
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), |conn| {
        conn.read_past(b"\r\n\r\n")?;
        conn.send(&response(413, "Connection: close\r\n", b"too long"))?;
        conn.close()
    });
    let proxy = setup.map("www.example.test:443", origin.address()).start();
    let file = proxy.dir().join("body");
    fs::write(&file, upload(8 << 20)).expect("a file");
    let web = Web { origins: [origin, Origin::plain(mirror)], proxy };
    let mut command = curl(&program, &web, WAYS[0].1);
    command
        .args(["--no-fail", "--header", "Expect:", "--write-out", " %{http_code}", "--upload-file"])
        .arg(file);
    assert_eq!(said(command.arg(format!("https://{HOST}/long"))), "too long 413");
    let rows = web.proxy.ledger().net_events(1);
    assert_eq!((rows[0].text("decision"), rows[0].int("status")), (Some("allowed"), Some(413)), "{rows:#?}");
}

#[test]
fn p31_a_killed_curl_frees_the_origin_and_is_a_row() {
    let Some(program) = program("curl") else { return };
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), |conn| {
        conn.read_past(b"\r\n\r\n")?;
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        conn.until_closed()
    });
    let proxy = setup.map("www.example.test:443", origin.address()).start();
    let web = Web { origins: [origin, Origin::plain(mirror)], proxy };
    let mut command = curl(&program, &web, WAYS[0].1);
    command.args(["--no-buffer", &format!("https://{HOST}/endless")]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("curl");
    let mut first = [0; 5];
    child.stdout.as_mut().expect("a piped stdout").read_exact(&mut first).expect("what has come so far");
    assert_eq!(&first, b"first");
    child.kill().expect("a running curl");
    child.wait().expect("a child");
    support::eventually("the origin is left", || (web.origins[0].open() == 0).then_some(()));
    let rows = web.proxy.ledger().net_events(1);
    assert_eq!(
        (rows[0].text("decision"), rows[0].int("response_bytes")),
        (Some("aborted"), Some(5)),
        "{rows:#?}"
    );
}

#[test]
fn p6_curl_reaches_hosts_however_they_are_spelled() {
    let Some(program) = program("curl") else { return };
    // What curl is asked for, and the name that its origin has.
    let hosts = [
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("WWW.Example.TEST", "www.example.test"),
        ("www.example.test.", "www.example.test"),
        ("bücher.example.test", "xn--bcher-kva.example.test"),
    ];
    for (asked, name) in hosts {
        let setup = Setup::default();
        let origin = Origin::tls(setup.origins.server(name, Flaw::None), mirror);
        let host = if name.contains(':') { asked } else { name };
        let proxy = setup.map(&format!("{host}:443"), origin.address()).start();
        let web = Web { proxy, origins: [origin, Origin::plain(mirror)] };
        for way in [WAYS[0].1, WAYS[7].1] {
            let mut command = curl(&program, &web, way);
            command.env("LC_ALL", "C.UTF-8").args(["--globoff", &format!("https://{asked}/named")]);
            assert_eq!(said(&mut command), format!("GET /named HTTP/1.1\n{host}\n"), "{asked} by {way:?}");
        }
        let rows = web.proxy.ledger().net_events(2);
        assert!(rows.iter().all(|row| row.text("host") == Some(name)), "{rows:#?}");
    }
}

#[test]
fn curl_asks_for_many_things_at_once() {
    let Some(program) = program("curl") else { return };
    let web = Web::start();
    for (way, scheme) in [(WAYS[0].1, "https"), (WAYS[7].1, "https"), (WAYS[10].1, "http")] {
        let mut command = curl(&program, &web, way);
        let each = format!("{scheme}://{HOST}/[1-60]");
        command.args(["--parallel", "--parallel-immediate", "--parallel-max", "30", &each]);
        let lines = said(&mut command);
        let seen: BTreeSet<&str> = lines.lines().filter(|line| *line != HOST).collect();
        assert_eq!((seen.len(), lines.lines().count()), (60, 120), "{scheme}");
    }
    web.asked(180);
}

// wget

#[test]
fn wget_through_its_own_settings() {
    let Some(program) = program("wget") else { return };
    let web = Web::start();
    let body = upload(100_000);
    let file = web.proxy.dir().join("body");
    fs::write(&file, &body).expect("a file");
    let wget = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args([
            "--quiet",
            "--no-config",
            "--tries=1",
            "--timeout=10",
            "--output-document=-",
            "--ca-certificate",
        ]);
        command.arg(web.proxy.ca_file()).args(arguments);
        said(command.env("https_proxy", web.url()).env("http_proxy", web.url()))
    };
    for scheme in ["https", "http"] {
        let url = format!("{scheme}://{HOST}/wget");
        assert_eq!(wget(&[&url]), format!("GET /wget HTTP/1.1\n{HOST}\n"));
        let posted = wget(&["--post-file", &file.display().to_string(), &url]);
        assert!(posted == format!("POST /wget HTTP/1.1\n{HOST}\n{body}"), "{} bytes", posted.len());
    }
    web.asked(4);
}

// Libraries

/// Each library's script asks this over both schemes, compares what it is told, and then says its own name.
const STEPS: [&str; 5] = ["GET /get", "GET /gzip", "GET /chunked", "POST /post", "PUT /stream"];

fn assert_steps(web: &Web, said: &str, libraries: &[&str]) {
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, libraries);
    let step = |step: &str, scheme: &str| step.replace(' ', &format!(" {scheme} "));
    let expected: BTreeSet<String> =
        STEPS.iter().flat_map(|one| ["https", "http"].map(|scheme| step(one, scheme))).collect();
    assert_eq!(web.asked(STEPS.len() * 2 * libraries.len()), expected);
}

#[test]
fn requests_httpx_aiohttp_and_urllib() {
    let Some(python) = python_with_sdks() else { return };
    let web = Web::start();
    let mut script = Command::new(python);
    script.arg(clients().join("python_http.py")).arg(HOST);
    script.env("HTTPS_PROXY", web.url()).env("HTTP_PROXY", web.url());
    let ca = web.proxy.ca_file();
    let printed = said(script.env("SSL_CERT_FILE", &ca).env("REQUESTS_CA_BUNDLE", &ca));
    assert_steps(&web, &printed, &["requests", "httpx", "aiohttp", "urllib"]);
}

#[test]
fn node_fetch() {
    let Some((node, place)) = node_with_sdks() else { return };
    let web = Web::start();
    let mut script = Command::new(node);
    script.arg(place.join("node_http.mjs")).arg(HOST);
    script.env("HTTPS_PROXY", web.url()).env("HTTP_PROXY", web.url());
    let printed = said(script.env("NODE_EXTRA_CA_CERTS", web.proxy.ca_file()));
    assert_steps(&web, &printed, &["fetch", "fetch in tunnels"]);
}
