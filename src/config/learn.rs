//! `policy learn`: the smallest `user.toml` that would have allowed what was seen. Pure: rows in, text out.
//!
//! It names exactly the hosts that were seen, never a wildcard. With paths it adds rules for exactly the methods and
//! paths seen, except that many siblings become one `*`. What it cannot express it leaves open, and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use crate::policy::address::{AddressRules, check};
use crate::policy::host::Host;
use crate::policy::path;

/// A kind of request that went through, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The host as recorded.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The request; `None` where the TLS was passed through.
    pub request: Option<SeenRequest>,
    /// Where our own look-up led.
    pub addresses: Vec<IpAddr>,
}

/// What was asked of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRequest {
    /// The method.
    pub method: String,
    /// The raw path without the query.
    pub path: String,
}

/// More siblings than this under one parent become `parent/*`.
const SIBLINGS: usize = 8;

/// Writes a policy that allows these requests; with `paths` only their methods and paths.
pub fn learn(rows: &[Seen], paths: bool) -> String {
    let mut hosts: BTreeMap<Host, Traffic<'_>> = BTreeMap::new();
    for row in rows {
        if let Ok(host) = Host::parse(row.host.as_bytes()) {
            hosts.entry(host).or_default().add(row);
        }
    }
    let mut text = network(&hosts);
    for (host, traffic) in &hosts {
        let rules = if paths && !traffic.spliced { traffic.rules(host, &mut text) } else { Vec::new() };
        for (methods, paths) in &rules {
            rule(&mut text, host, methods, paths);
        }
        samples(&mut text, host, traffic, !rules.is_empty());
    }
    text
}

/// What was seen of one host.
#[derive(Debug, Default)]
struct Traffic<'r> {
    ports: BTreeSet<u16>,
    spliced: bool,
    /// It was reached at an address that is refused unless `private_allow` names it.
    private: bool,
    /// For each path the methods seen, and a request that stands for it.
    paths: BTreeMap<&'r str, BTreeSet<&'r str>>,
    first: Option<&'r Seen>,
}

impl<'r> Traffic<'r> {
    fn add(&mut self, row: &'r Seen) {
        self.ports.insert(row.port);
        self.first.get_or_insert(row);
        self.private |= row.addresses.iter().any(|&ip| check(ip, &AddressRules::default()).is_err());
        match &row.request {
            Some(request) => {
                self.paths.entry(&request.path).or_default().insert(&request.method);
            }
            None => self.spliced = true,
        }
    }

    /// Methods and the path patterns that they were used on; none where a path could not be named in a rule.
    fn rules(&self, host: &Host, text: &mut String) -> Vec<(BTreeSet<&'r str>, BTreeSet<String>)> {
        if let Some(how) = self.paths.keys().find_map(|path| unnameable(path)) {
            let _ = writeln!(text, "\n# {host}: no rules, because a path that was seen {how}");
            return Vec::new();
        }
        let mut groups: BTreeMap<&BTreeSet<&str>, BTreeSet<&str>> = BTreeMap::new();
        for (path, methods) in &self.paths {
            groups.entry(methods).or_default().insert(path);
        }
        groups.into_iter().map(|(methods, paths)| (methods.clone(), patterns(&paths))).collect()
    }
}

fn unnameable(path: &str) -> Option<&'static str> {
    if path == "*" { Some("is *") } else { path::ambiguous(path.as_bytes()) }
}

/// The paths themselves; where one parent has many children they become `*`, and what is below them has one parent.
fn patterns(paths: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut patterns = BTreeSet::new();
    // Each path, as far as it is written already, and its segments that are not.
    let mut open: BTreeSet<(String, &str)> =
        paths.iter().filter_map(|path| Some((String::new(), path.strip_prefix('/')?))).collect();
    while !open.is_empty() {
        let mut children: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (parent, rest) in &open {
            children.entry(parent.clone()).or_default().insert(segment(rest).0);
        }
        let mut below = BTreeSet::new();
        for (parent, rest) in open {
            let (child, rest) = segment(rest);
            let many = children[&parent].iter().filter(|child| !child.is_empty()).count() > SIBLINGS;
            let star = many && !child.is_empty();
            let path = format!("{parent}/{}", if star { "*".to_owned() } else { literal(child) });
            match rest {
                Some(rest) => below.insert((path, rest)),
                None => patterns.insert(path),
            };
        }
        open = below;
    }
    patterns
}

/// The first segment, and what follows the slash behind it.
fn segment(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)))
}

/// A segment as a pattern: a star that was really sent is encoded, and what the ledger hashed may be anything.
fn literal(segment: &str) -> String {
    let mut parts = segment.split(HASHED);
    let mut text = parts.next().unwrap_or_default().replace('*', "%2A");
    for part in parts {
        let digits = part.bytes().take(16).take_while(u8::is_ascii_hexdigit).count();
        if !text.ends_with('*') {
            text.push('*');
        }
        text.push_str(&part[digits..].replace('*', "%2A"));
    }
    text
}

/// What stands before the 16 hexadecimal digits in the place of a secret.
const HASHED: &str = "hmac:";

fn network(hosts: &BTreeMap<Host, Traffic<'_>>) -> String {
    let mut text =
        String::from("# Learned from the ledger. Read it before you put it into force.\n\n[network]\n");
    let _ = writeln!(text, "default = \"deny\"");
    let of = |spliced: bool| hosts.iter().filter(move |(_, traffic)| traffic.spliced == spliced);
    list(&mut text, "allow", of(false).map(|(host, _)| host.as_str()));
    list(&mut text, "splice", of(true).map(|(host, _)| host.as_str()));
    let ports: BTreeSet<u16> = hosts.values().flat_map(|traffic| &traffic.ports).copied().collect();
    if !ports.iter().all(|port| [80, 443].contains(port)) {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let _ = writeln!(text, "ports = [{}]", ports.join(", "));
    }
    let closed = |ip| check(ip, &AddressRules::default()).is_err();
    let private = hosts.iter().filter(|(host, traffic)| host.ip().map_or(traffic.private, closed));
    let private: Vec<&str> = private.map(|(host, _)| host.as_str()).collect();
    if !private.is_empty() {
        text.push_str("# Reached at private addresses. Keep only what is meant.\n");
    }
    list(&mut text, "private_allow", private.into_iter());
    text
}

fn list<'h>(text: &mut String, key: &str, entries: impl Iterator<Item = &'h str>) {
    let entries: Vec<String> = entries.map(|entry| format!("    {},\n", quoted(entry))).collect();
    if !entries.is_empty() {
        let _ = writeln!(text, "{key} = [\n{}]", entries.concat());
    }
}

fn rule(text: &mut String, host: &Host, methods: &BTreeSet<&str>, paths: &BTreeSet<String>) {
    let methods: Vec<String> = methods.iter().map(|method| quoted(method)).collect();
    let _ =
        writeln!(text, "\n[[http]]\nhost = {}\nmethods = [{}]", quoted(host.as_str()), methods.join(", "));
    list(text, "paths", paths.iter().map(String::as_str));
    let _ = writeln!(text, "action = \"allow\"");
}

/// One sample for each host; with rules, one for each path seen.
fn samples(text: &mut String, host: &Host, traffic: &Traffic<'_>, ruled: bool) {
    let Some(first) = traffic.first else { return };
    let (scheme, usual) = if first.port == 80 { ("http", 80) } else { ("https", 443) };
    let port = if first.port == usual { String::new() } else { format!(":{}", first.port) };
    let mut sample = |method: &str, path: &str| {
        let request = quoted(&format!("{method} {scheme}://{host}{port}{path}"));
        let _ = writeln!(text, "\n[[sample]]\nallow = {request}");
    };
    match &first.request {
        Some(_) if ruled => {
            let all = traffic
                .paths
                .iter()
                .flat_map(|(path, methods)| methods.iter().map(move |method| (method, path)));
            for (method, path) in all {
                sample(method, path);
            }
        }
        Some(request) => sample(&request.method, "/"),
        None => sample("GET", "/"),
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Text;
    use crate::config::policy::{LoadedPolicy, Target, from_text};
    use crate::policy::Allow;

    fn seen(request: &str) -> Seen {
        let target = Target::parse(request).expect("a request");
        let Target { port, method, path, host, .. } = target;
        let request = Some(SeenRequest { method, path });
        Seen { host: host.as_str().to_owned(), port, request, addresses: Vec::new() }
    }

    fn loaded(rows: &[Seen], paths: bool) -> LoadedPolicy {
        let text = learn(rows, paths);
        from_text(Some(&Text::new("learned.toml", text.as_str())), None)
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn verdict(loaded: &LoadedPolicy, request: &str) -> Allow {
        loaded.policy.explain(&Target::parse(request).expect("a request").question()).verdict
    }

    #[test]
    fn what_was_seen_is_allowed_and_nothing_else() {
        let rows = ["GET https://a.test/x", "POST http://b.test:8080/y", "GET http://127.0.0.1/z"].map(seen);
        let loaded = loaded(&rows, false);
        for request in ["GET https://a.test/other", "POST http://b.test:8080/y", "GET http://127.0.0.1/"] {
            assert_eq!(verdict(&loaded, request), Allow::Allow, "{request}");
        }
        for request in
            ["GET https://c.test/", "GET https://x.a.test/", "GET http://b.test:22/", "GET http://10.0.0.1/"]
        {
            assert_eq!(verdict(&loaded, request), Allow::Deny, "{request}");
        }
    }

    #[test]
    fn with_paths_only_the_methods_and_paths_that_were_seen() {
        let rows = ["GET https://a.test/x", "POST https://a.test/x", "GET https://a.test/s*/y"].map(seen);
        let loaded = loaded(&rows, true);
        assert_eq!(verdict(&loaded, "POST https://a.test/x"), Allow::Allow);
        assert_eq!(verdict(&loaded, "GET https://a.test/s*/y"), Allow::Allow);
        for request in [
            "PUT https://a.test/x",
            "POST https://a.test/s*/y",
            "GET https://a.test/sx/y",
            "GET https://a.test/",
        ] {
            assert_eq!(verdict(&loaded, request), Allow::Deny, "{request}");
        }
    }

    #[test]
    fn many_siblings_become_a_star() {
        let rows: Vec<Seen> = (0..20).map(|n| seen(&format!("GET https://a.test/items/{n}"))).collect();
        let loaded = loaded(&rows, true);
        assert_eq!(verdict(&loaded, "GET https://a.test/items/99"), Allow::Allow);
        assert_eq!(verdict(&loaded, "GET https://a.test/items/9/x"), Allow::Deny);
        assert_eq!(loaded.draft.http.len(), 1);
    }

    #[test]
    fn many_parents_become_a_star_with_all_their_children() {
        let paths = (0..20).map(|n| format!("GET https://a.test/files/{n}/f-{n}/info"));
        let rows: Vec<Seen> = paths.map(|request| seen(&request)).collect();
        let loaded = loaded(&rows, true);
        assert_eq!(loaded.draft.http[0].paths.len(), 1);
        assert_eq!(verdict(&loaded, "GET https://a.test/files/99/f-7/info"), Allow::Allow);
        for request in ["GET https://a.test/files/99/f-7", "GET https://a.test/other/9/f-9/info"] {
            assert_eq!(verdict(&loaded, request), Allow::Deny, "{request}");
        }
    }

    #[test]
    fn what_the_ledger_hashed_may_be_anything() {
        let rows = ["POST https://a.test/bothmac:0123456789abcdef/send", "POST https://a.test/x"].map(seen);
        let loaded = loaded(&rows, true);
        assert_eq!(verdict(&loaded, "POST https://a.test/bot7:AAE-x/send"), Allow::Allow);
        for request in ["POST https://a.test/7:AAE-x/send", "POST https://a.test/bot7:AAE-x/get"] {
            assert_eq!(verdict(&loaded, request), Allow::Deny, "{request}");
        }
    }

    #[test]
    fn a_name_that_led_to_a_private_address_may_do_so_again() {
        let mut rows = ["GET https://in.test/", "GET https://out.test/"].map(seen);
        rows[0].addresses = vec![[10, 0, 0, 1].into()];
        rows[1].addresses = vec![[8, 8, 8, 8].into()];
        let loaded = loaded(&rows, false);
        let private = |name: &str| {
            let host = Host::parse(name.as_bytes()).expect("a host");
            loaded.policy.address(&host, [10, 0, 0, 9].into()).is_ok()
        };
        assert!(private("in.test") && !private("out.test"));
    }

    #[test]
    fn a_path_with_two_readings_leaves_its_host_without_rules() {
        let rows = ["GET https://a.test/x//y", "GET https://b.test/"].map(seen);
        let loaded = loaded(&rows, true);
        assert_eq!(verdict(&loaded, "GET https://a.test/x//y"), Allow::Allow);
        assert_eq!(verdict(&loaded, "GET https://b.test/x"), Allow::Deny);
    }

    #[test]
    fn tls_that_was_passed_through_is_passed_through_again() {
        let row = Seen { host: "p.test".into(), port: 443, request: None, addresses: Vec::new() };
        let learned = loaded(&[row], true);
        assert_eq!(learned.draft.splice.len(), 1);
        assert!(learned.draft.allow.is_empty());
    }
}
