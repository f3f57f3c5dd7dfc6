//! Which tools trust the CA in a jail with no configuration at all: prints tool × works, and fails for a tool that is
//! here and does not. A tool works when its request reached the origin, which only happens over TLS that it verified.

mod support;

use std::os::unix::process::CommandExt;
use std::process::Command;

use support::jail::Stage;
use support::tools::skipped;

const URL: &str = "https://ok.test/";

/// Tool, the program that must be here, and a script that makes one request, whatever its answer is worth to the tool.
const TOOLS: &[(&str, &str, &str)] = &[
    ("curl", "curl", "curl -sS $URL"),
    ("wget", "wget", "wget -q -O - $URL"),
    ("git", "git", "git ls-remote ${URL}repository"),
    (
        "openssl",
        "openssl",
        "printf 'GET / HTTP/1.0\\r\\nHost: ok.test\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error -servername ok.test -connect ok.test:443",
    ),
    (
        "gnutls-cli",
        "gnutls-cli",
        "printf 'GET / HTTP/1.0\\r\\nHost: ok.test\\r\\n\\r\\n' | gnutls-cli --logfile=/dev/null ok.test",
    ),
    ("Python urllib", "python3", "python3 -c \"import urllib.request as r; r.urlopen('$URL').read()\""),
    ("Python requests", "python3", "python3 -c \"import requests; requests.get('$URL')\""),
    ("Python httpx", "python3", "python3 -c \"import httpx; httpx.get('$URL')\""),
    (
        "Python aiohttp",
        "python3",
        "printf 'import aiohttp, asyncio\\nasync def go():\\n  async with aiohttp.ClientSession() as s, s.get(\"%s\") as r: await r.read()\\nasyncio.run(go())' $URL | python3",
    ),
    (
        "Python gRPC",
        "python3",
        "python3 -c \"import grpc; c = grpc.secure_channel('ok.test:443', grpc.ssl_channel_credentials()); c.unary_unary('/a/b')(b'', timeout=5)\"",
    ),
    ("pip", "pip", "pip download --retries 0 --index-url ${URL}simple --no-deps -d . nothing"),
    ("uv", "uv", "HOME=$PWD UV_HTTP_RETRIES=0 uv pip install --index-url ${URL}simple --target t nothing"),
    (
        "aws",
        "aws",
        "AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b aws --region us-east-1 --endpoint-url $URL s3api list-buckets",
    ),
    ("Node fetch", "node", "node -e \"fetch('$URL').then(r => r.text())\""),
    ("Node https", "node", "node -e \"require('https').get('$URL', r => r.resume())\""),
    ("npm", "npm", "npm view --registry $URL --fetch-retries 0 nothing"),
    ("pnpm", "pnpm", "HOME=$PWD npm_config_fetch_retries=0 pnpm view --registry $URL nothing"),
    ("Deno fetch", "deno", "HOME=$PWD deno eval \"await (await fetch('$URL')).text()\""),
    ("Bun fetch", "bun", "HOME=$PWD bun -e \"await (await fetch('$URL')).text()\""),
    (
        "Java",
        "java",
        "echo 'class T { public static void main(String[] a) throws Exception { new java.net.URL(\"'$URL'\").openStream().readAllBytes(); } }' > T.java && java T.java",
    ),
    (
        "Go",
        "go",
        "printf 'package main\\nimport \"net/http\"\\nfunc main() { if _, e := http.Get(\"'$URL'\"); e != nil { panic(e) } }\\n' > t.go && HOME=$PWD go run t.go",
    ),
    (
        "cargo",
        "cargo",
        "mkdir -p c/.cargo c/src && cd c && touch src/lib.rs && printf '[package]\\nname=\"c\"\\nversion=\"0.1.0\"\\n[dependencies]\\nx={version=\"1\",registry=\"r\"}\\n' > Cargo.toml && printf '[registries.r]\\nindex=\"sparse+'$URL'\"\\n' > .cargo/config.toml && CARGO_NET_OFFLINE=false cargo generate-lockfile",
    ),
    ("Ruby", "ruby", "ruby -ropen-uri -e \"URI.open('$URL').read\""),
    ("PHP", "php", "php -r \"file_get_contents('$URL');\""),
    ("Perl LWP", "lwp-request", "lwp-request $URL"),
];

/// What a Python without the package says.
const NOT_HERE: &str = "ModuleNotFoundError";
/// What a client says that speaks HTTP/2 only: the handshake came as far as choosing a protocol, and no further.
const ONLY_HTTP_2: &[&str] = &["no application protocol", "NO_APPLICATION_PROTOCOL", "missing selected ALPN"];

fn is_here(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

#[test]
fn lesson_34_every_tool_that_is_here_trusts_the_ca() {
    let stage = Stage::new(nix::unistd::geteuid().as_raw());
    let tried = stage.sh("true");
    if tried.code != Some(0) {
        return skipped(&format!("a kernel that builds jails: {}", tried.stderr)).unwrap_or(());
    }
    let mut broken = Vec::new();
    for (tool, name, script) in TOOLS {
        // The matrix is of what is here: no tool in it is required.
        let (word, said) = if is_here(name) { tries(&stage, script) } else { ("not here", String::new()) };
        println!("{tool:<16} {word}");
        if word == BROKEN {
            broken.push(format!("{tool}: {said}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

const BROKEN: &str = "DOES NOT WORK";

/// How one request went, and what the tool said.
fn tries(stage: &Stage, script: &str) -> (&'static str, String) {
    let before = stage.origin.accepted();
    let said = stage.sh(&format!("export URL={URL}; ({script}) < /dev/null"));
    let word = if stage.origin.accepted() > before {
        "works"
    } else if said.stderr.contains(NOT_HERE) {
        "not here"
    } else if ONLY_HTTP_2.iter().any(|words| said.stderr.contains(words)) {
        "speaks HTTP/2 only: splice its hosts"
    } else {
        BROKEN
    };
    (word, said.stderr)
}

#[test]
fn variables_that_were_set_are_merged_and_not_dropped() {
    let stage = Stage::new(nix::unistd::geteuid().as_raw());
    let own = stage.path("own/mine.pem");
    let authority = support::certs::Authority::new(&stage.path("own"));
    std::fs::copy(authority.file(), &own).expect("a writable directory");
    let mut command: Command = stage.command(&["-q", "--", "sh", "-c", "cat $SSL_CERT_FILE"]);
    let output = command.env("SSL_CERT_FILE", &own).arg0("tollgate").output().expect("the built binary");
    if !output.status.success() {
        return skipped("a kernel that builds jails").unwrap_or(());
    }
    let bundle = String::from_utf8_lossy(&output.stdout);
    let theirs = std::fs::read_to_string(&own).expect("a file");
    assert!(bundle.contains(theirs.trim()), "the user's own CA is trusted still");
    assert!(bundle.matches("BEGIN CERTIFICATE").count() > 1);
}
