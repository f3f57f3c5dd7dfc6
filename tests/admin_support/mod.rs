//! What the tests of the admin listener share: a proxy with one, real model traffic through it, and a way to ask.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tollgate::demo::origin::Origin;
use tollgate::demo::script;

use crate::support::certs::{Authority, Flaw};
use crate::support::client::{Client, Response};
use crate::support::proxy::{Proxy, Setup};

/// The policy that most tests begin with.
pub const POLICY: &str = "[network]\ndefault = \"allow\"\nblock = [\"evil.test\"]\n";

/// A proxy with an admin listener on TCP.
pub struct Bench {
    /// The proxy.
    pub proxy: Proxy,
    /// Where the admin listener is.
    pub admin: SocketAddr,
    /// What opens it.
    pub token: String,
    _origin: Origin,
}

impl Bench {
    /// A proxy in front of the demo's model providers.
    pub fn new() -> Self {
        Self::start(Setup::default())
    }

    /// As [`Bench::new`], with origins of the test's own.
    pub fn start(setup: Setup) -> Self {
        let setup = setup.user(POLICY).more("[admin]\naddress = \"tcp://127.0.0.1:0\"");
        let authority: Arc<Authority> = Arc::clone(&setup.origins);
        let origin = Origin::start(Box::new(move |name: &str| Ok(authority.server(name, Flaw::None))));
        let origin = origin.expect("an origin");
        let hosts = script::all().into_iter().map(|script| format!("{}:443", script.host));
        let proxy = hosts.fold(setup, |setup, host| setup.map(&host, origin.address())).start();
        let said = proxy.stderr();
        let admin: Option<SocketAddr> =
            said.split("on http://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        let token = fs::read_to_string(proxy.dir().join("state/admin.token")).expect("a token file");
        let admin = admin.expect("the admin listener's address");
        Self { proxy, admin, token: token.trim().to_owned(), _origin: origin }
    }

    /// Makes every scripted model call, and one request that the policy denies.
    pub fn traffic(&self) {
        for script in script::all() {
            let mut client = Client::connect(self.proxy.address(), script.host, &self.proxy.ca_file());
            let head = format!(
                "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                script.target,
                script.host,
                script.request.len()
            );
            assert_eq!(client.ask(&[head.as_bytes(), script.request.as_bytes()].concat()).status, 200);
        }
        self.denied("/");
        self.proxy.ledger().net_events(script::all().len() + 1);
        self.proxy.ledger().model_calls(script::all().len());
    }

    /// One request that the policy denies.
    pub fn denied(&self, path: &str) {
        let mut client = Client::plain(self.proxy.address());
        let request = format!("GET http://evil.test{path} HTTP/1.1\r\nHost: evil.test\r\n\r\n");
        assert_eq!(client.ask(request.as_bytes()).status, 403);
    }

    /// Sends a request with the token.
    pub fn ask(&self, method: &str, target: &str) -> Response {
        let token = format!("Authorization: Bearer {}\r\n", self.token);
        self.ask_with(method, target, &self.admin.to_string(), &token)
    }

    /// Sends a request with this Host and these further fields.
    pub fn ask_with(&self, method: &str, target: &str, host: &str, fields: &str) -> Response {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        Client::plain(self.admin).ask(request.as_bytes())
    }

    /// Asks with GET for a document that must be there.
    pub fn json(&self, target: &str) -> Value {
        let answer = self.ask("GET", target);
        assert_eq!(answer.status, 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).expect("a JSON document")
    }

    /// The text of an answer to GET.
    pub fn text(&self, target: &str) -> String {
        String::from_utf8(self.ask("GET", target).body).expect("text")
    }
}
