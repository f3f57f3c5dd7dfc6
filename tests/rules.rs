//! The architecture's rules, held against the sources: who may use whom, one door for each dependency, where clocks
//! are read, how long a file may be. `src/lib.rs` and `ARCHITECTURE.md` say why; a broken sample shows that each rule
//! can fail.

#[path = "rules/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use source::Source;

/// What an area of ours may use of ours. An area that is missing here may use everything but [`NOBODY_USES`].
const MAY_USE: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("wire", &[]),
    ("policy", &[]),
    ("model", &["wire"]),
    ("leg", &[]),
    ("exchange", &["wire", "model", "policy", "telemetry::event", "limits"]),
    (
        "conn",
        &["leg", "exchange", "wire", "policy", "cert", "telemetry::event", "limits", "model::ModelTable"],
    ),
];

/// What an area must not use of ours: the sides stay apart, and nobody looks up the tree.
const MUST_NOT_USE: &[(&str, &[&str])] = &[
    ("cert", &["conn", "exchange", "reactor", "upstream", "telemetry", "guest"]),
    ("upstream", &["conn", "exchange", "reactor", "cert", "telemetry", "guest"]),
    ("telemetry", &["conn", "exchange", "reactor", "cert", "upstream", "guest"]),
    ("guest", &["conn", "exchange", "reactor", "cert", "upstream", "telemetry"]),
    ("config", &["conn", "exchange", "reactor", "leg"]),
];

/// Used by the binary, by the command line and by tests only.
const NOBODY_USES: &[(&str, &[&str])] = &[("cli", &[]), ("demo", &["cli"]), ("lab", &[])];

/// Standard modules that pure areas do without (addresses come from `core::net`).
const IMPURE: &[&str] = &["std::net", "std::fs", "std::thread", "std::time", "std::process"];
const PURE: &[&str] = &["wire", "policy", "model"];

/// What the machine of a connection leaves to the reactor and the writer.
const WORLD: &[&str] = &[
    "mio",
    "rusqlite",
    "crossbeam_channel",
    "std::thread",
    "std::sync::mpsc",
    "std::time",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::os::unix::net",
    "std::fs",
];
const WORLDLESS: &[&str] = &["conn", "exchange"];

/// One door for each dependency: the modules that may name it. An empty list: it is plain data or plumbing, and any
/// module may (`ARCHITECTURE.md` says why it is there).
const DOORS: &[(&str, &[&str])] = &[
    ("arc_swap", &["reactor", "upstream", "config", "cli", "admin", "demo"]),
    ("aws_lc_rs", &[]),
    ("brotli_decompressor", &["wire::coding"]),
    ("clap", &["cli"]),
    ("crossbeam_channel", &["reactor", "telemetry", "upstream"]),
    ("idna", &["policy::host"]),
    ("landlock", &["confine::files"]),
    ("log", &[]),
    ("memchr", &[]),
    ("miniz_oxide", &["wire::coding", "demo::gzip"]),
    ("mio", &["reactor", "guest::relay"]),
    ("nix", &["reactor", "guest", "confine::calls", "telemetry", "cert", "config", "cli", "demo"]),
    ("rcgen", &["cert::mint"]),
    ("rusqlite", &["telemetry", "demo"]),
    ("rustls", &["leg", "cert", "upstream", "reactor", "conn", "telemetry::export", "demo", "lab"]),
    ("rustls_native_certs", &["upstream", "cert"]),
    ("seccompiler", &["confine::calls"]),
    ("serde", &[]),
    ("serde_json", &[]),
    ("signal_hook", &["reactor", "cli", "guest"]),
    ("slab", &["reactor", "upstream::pool", "guest::relay"]),
    ("socket2", &["reactor", "upstream", "guest"]),
    ("terminal_size", &["cli"]),
    ("toml", &["config", "policy"]),
    ("vsock", &["reactor", "guest"]),
    ("webpki_roots", &["upstream", "cert"]),
    ("x509_parser", &["cert"]),
];

/// TLS connections have a door of their own within rustls.
const CONNECTIONS: &[&str] =
    &["ServerConnection", "ClientConnection", "Connection", "Acceptor", "StreamOwned"];
const CONNECTION_DOORS: &[&str] = &["leg", "demo"];

/// Where clocks are read. Everything else is handed `limits::Now`.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now"];
const CLOCK_DOORS: &[&str] = &["reactor", "telemetry::writer", "guest::relay", "demo", "cli"];

/// Lines of a file, its inline tests not counted.
const LONGEST: usize = 600;

type Rule = fn(&Source) -> Vec<String>;

/// Every rule, and a file that breaks it.
const RULES: &[(&str, Rule, &str, &str)] = &[
    ("header", header, "src/wire/head.rs", "use std::fmt;\n"),
    ("length", length, "src/wire/head.rs", "//! Head.\n…700 lines…"),
    ("areas", areas, "src/wire/head.rs", "//! Head.\nuse crate::limits::Limits;\n"),
    ("areas, by super", areas, "src/policy/host.rs", "//! Host.\nfn f() { super::super::wire::head(); }\n"),
    (
        "areas, in a tree",
        areas,
        "src/conn/serve.rs",
        "//! Serve.\nuse crate::{leg::Leg, upstream::{pool}};\n",
    ),
    (
        "areas, part of one",
        areas,
        "src/exchange.rs",
        "//! Exchange.\nuse crate::telemetry::writer::Writer;\n",
    ),
    ("areas, apart", areas, "src/cert.rs", "//! Cert.\nuse crate::telemetry::Sink;\n"),
    ("areas, upward", areas, "src/reactor.rs", "//! Loop.\nfn f() { crate::cli::main(); }\n"),
    ("purity", purity, "src/policy/host.rs", "//! Host.\nuse std::{fmt, net::IpAddr};\n"),
    ("world", world, "src/conn.rs", "//! Conn.\nuse std::net::{SocketAddr, TcpStream};\n"),
    ("doors", doors, "src/conn.rs", "//! Conn.\nuse rusqlite::Connection;\n"),
    ("doors, unlisted", doors, "src/conn.rs", "//! Conn.\nuse tokio::net::TcpStream;\n"),
    ("connections", connections, "src/reactor.rs", "//! Loop.\nuse rustls::server::ServerConnection;\n"),
    ("clocks", clocks, "src/conn.rs", "//! Conn.\nfn f() { let _ = std::time::Instant::now(); }\n"),
    ("unsafe", no_unsafe, "src/leg.rs", "//! Leg.\nfn f() { unsafe { g() } }\n"),
];

#[test]
fn the_sources_keep_every_rule() {
    let sources = sources();
    assert!(sources.len() > 30, "only {} sources found", sources.len());
    let broken: BTreeSet<String> =
        RULES.iter().flat_map(|(_, rule, ..)| sources.iter().flat_map(rule)).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_broken_sample_breaks_each_rule() {
    for (name, rule, file, text) in RULES {
        let text = text.replace("…700 lines…", &"const X: u8 = 0;\n".repeat(700));
        assert_eq!(rule(&Source::new(file, &text)).len(), 1, "{name}");
    }
}

#[test]
fn comments_literals_and_tests_break_no_rule() {
    let text = "//! Conn, which never says crate::cli.\n/* use rusqlite::X; */\n\
        const A: &str = \"use mio::net;\"; const B: &str = r#\"std::thread \"x\" \"#; const C: char = '\"';\n\
        fn f<'a>(x: &'a str) -> &'a str { x }\n\
        #[cfg(test)]\nmod tests {\n    use std::thread;\n    fn g() { if true { rusqlite::open(); } }\n}\n";
    let source = Source::new("src/conn.rs", text);
    assert!(RULES.iter().all(|(_, rule, ..)| rule(&source).is_empty()), "{:?}", source.paths());
    assert_eq!(source.length(), 4);
}

#[test]
fn trees_and_relative_paths_are_spelled_out() {
    let text = "use super::{self, a::{B, c as d}, *};\nuse self::x::Y;\nfn f() -> crate::leg::Leg { std::mem::take(&mut z) }\n";
    let mut paths = Source::new("src/conn/serve.rs", text).paths();
    paths.sort();
    let expected = [
        "crate::conn",
        "crate::conn::*",
        "crate::conn::a::B",
        "crate::conn::a::c",
        "crate::conn::serve::x::Y",
        "crate::leg::Leg",
        "std::mem::take",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn unsafe_code_is_forbidden_for_the_whole_crate() {
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
}

#[test]
fn every_dependency_has_a_door_and_a_reason() {
    let manifest = read("Cargo.toml");
    let listed = manifest.split("\n[dependencies]\n").nth(1).and_then(|rest| rest.split("\n[").next());
    let lines = listed.expect("Cargo.toml has a list of dependencies").lines();
    let names: Vec<&str> = lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    let crates: Vec<String> = names.iter().map(|name| name.replace('-', "_")).collect();
    assert!(
        DOORS.iter().map(|(door, _)| *door).eq(crates.iter().map(String::as_str)),
        "no door for one of {names:?}"
    );
    let reasons = read("ARCHITECTURE.md");
    let unexplained: Vec<_> = names.iter().filter(|name| !reasons.contains(&format!("`{name}`"))).collect();
    assert!(unexplained.is_empty(), "ARCHITECTURE.md gives no reason for {unexplained:?}");
}

fn header(source: &Source) -> Vec<String> {
    let missing = !source.is_test() && !source.text.starts_with("//! ");
    complain(
        source,
        missing.then_some("does not start with a header (`//!`) that says what it is".to_string()),
    )
}

fn length(source: &Source) -> Vec<String> {
    let long = !source.is_test() && source.length() > LONGEST;
    complain(source, long.then(|| format!("has {} lines; split it by idea at {LONGEST}", source.length())))
}

fn areas(source: &Source) -> Vec<String> {
    let area = source.area();
    let allowed = MAY_USE.iter().find(|(name, _)| *name == area).map(|(_, uses)| *uses);
    let barred = MUST_NOT_USE.iter().find(|(name, _)| *name == area).map_or(&[][..], |(_, uses)| *uses);
    let used = named(source, |path| path.strip_prefix("crate::").map(str::to_string));
    let wrong = used.into_iter().filter(|used| {
        let other = used.split("::").next().unwrap_or_default();
        let is_ours = other != area && other.starts_with(char::is_lowercase);
        let hidden =
            !area.is_empty() && NOBODY_USES.iter().any(|(name, but)| *name == other && !but.contains(&area));
        is_ours && (hidden || within(used, barred) || allowed.is_some_and(|allowed| !within(used, allowed)))
    });
    complain(source, wrong.map(|used| format!("uses crate::{used}, which `{area}` may not")))
}

fn purity(source: &Source) -> Vec<String> {
    let wrong = named(source, |path| within(path, IMPURE).then(|| path.to_string()));
    complain(
        source,
        wrong.into_iter().filter(|_| PURE.contains(&source.area())).map(|path| format!("uses {path}")),
    )
}

fn world(source: &Source) -> Vec<String> {
    let wrong = named(source, |path| within(path, WORLD).then(|| path.to_string()));
    let wrong = wrong.into_iter().filter(|_| WORLDLESS.contains(&source.area()));
    complain(
        source,
        wrong.map(|path| format!("uses {path}: sockets, threads, clocks and files are the reactor's")),
    )
}

fn doors(source: &Source) -> Vec<String> {
    let used = used_dependencies(source);
    let wrong = used.into_iter().filter_map(|name| match DOORS.iter().find(|(door, _)| *door == name) {
        None => Some(format!("uses {name}, which has no door in tests/rules.rs")),
        Some((_, modules)) if modules.is_empty() || within(&source.module, modules) => None,
        Some((_, modules)) => Some(format!("uses {name}, whose door is {}", modules.join(", "))),
    });
    complain(source, wrong)
}

/// Names of crates: what a `use` or a path starts with, and is neither ours nor the language's.
fn used_dependencies(source: &Source) -> BTreeSet<String> {
    const LANGUAGE: &[&str] = &["crate", "self", "super", "std", "core", "alloc", "tollgate"];
    if source.is_test() {
        return BTreeSet::new();
    }
    let listed = |name: &String| DOORS.iter().any(|(door, _)| door == name);
    let roots = source.paths().into_iter().filter_map(|path| Some(path.split_once("::")?.0.to_string()));
    let foreign = source.foreign_roots().into_iter().filter(|name| !LANGUAGE.contains(&name.as_str()));
    roots.filter(listed).chain(foreign).collect()
}

fn connections(source: &Source) -> Vec<String> {
    let names = |path: &str| CONNECTIONS.iter().any(|name| path.ends_with(&format!("::{name}")));
    let wrong = named(source, |path| (path.starts_with("rustls::") && names(path)).then(|| path.to_string()));
    let wrong = wrong.into_iter().filter(|_| !within(&source.module, CONNECTION_DOORS));
    complain(source, wrong.map(|path| format!("uses {path}, whose door is {}", CONNECTION_DOORS.join(", "))))
}

fn clocks(source: &Source) -> Vec<String> {
    let reads =
        |path: &str| CLOCKS.iter().any(|clock| path == *clock || path.ends_with(&format!("::{clock}")));
    let wrong = named(source, |path| reads(path).then(|| path.to_string()));
    let wrong = wrong.into_iter().filter(|_| !within(&source.module, CLOCK_DOORS));
    complain(source, wrong.map(|path| format!("reads {path}; take `limits::Now` as an argument")))
}

fn no_unsafe(source: &Source) -> Vec<String> {
    complain(source, source.has_token("unsafe").then_some("holds unsafe code".to_string()))
}

/// Whether `path` is one of `roots` or lies below one.
fn within(path: &str, roots: &[&str]) -> bool {
    roots
        .iter()
        .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
}

/// What `pick` makes of the named paths, each once.
fn named(source: &Source, pick: impl Fn(&str) -> Option<String>) -> BTreeSet<String> {
    if source.is_test() {
        return BTreeSet::new();
    }
    source.paths().iter().filter_map(|path| pick(path)).collect()
}

fn complain(source: &Source, about: impl IntoIterator<Item = String>) -> Vec<String> {
    about.into_iter().map(|what| format!("{}: {what}", source.file)).collect()
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "src", &mut found);
    found
}

fn walk(dir: &Path, name: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).expect("src is readable").map(|entry| entry.expect("src is readable")) {
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), &name, found);
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            found.push(Source::new(&name, &fs::read_to_string(entry.path()).expect("sources are UTF-8")));
        }
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}
