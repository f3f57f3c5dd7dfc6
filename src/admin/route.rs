//! Paths and their answers.

use std::io;

use serde_json::{Value, json};

use super::http::{Connection, JSON, NoRequest, Response, TEXT};
use super::query::Params;
use super::rows::{Rows, rows};
use super::{State, guard, metrics};
use crate::telemetry::query::Source;
use crate::telemetry::text::printable_json;
use crate::wire::head::{Method, RequestHead};

/// Requests that one connection may make.
const REQUESTS: usize = 1000;

/// Serves a connection to its end.
pub(super) fn serve(connection: &mut Connection, state: &State) -> io::Result<()> {
    for left in (0..REQUESTS).rev() {
        let waits = state.waiting.enter(&connection.stream);
        let head = match connection.next() {
            Ok(head) => head,
            Err(NoRequest::Over) => return Ok(()),
            Err(NoRequest::Refused(response)) => return connection.refuse(&response),
        };
        drop(waits);
        let keep_alive = head.keep_alive() && left > 0 && !state.is_draining();
        let is_head = head.method == Method::Head;
        match answer(state, head).unwrap_or_else(Rows::Page) {
            Rows::Follow(follow) if !is_head => return follow.run(state, &mut connection.stream),
            Rows::Follow(_) => {
                return Response::new("text/event-stream", String::new())
                    .write_head(&mut connection.stream, false);
            }
            Rows::Page(response) if is_head => response.write_head(&mut connection.stream, keep_alive)?,
            Rows::Page(response) => response.write(&mut connection.stream, keep_alive)?,
        }
        if !keep_alive {
            return Ok(());
        }
    }
    Ok(())
}

fn answer(state: &State, head: &RequestHead) -> Result<Rows, Response> {
    if !state.guard.knows_host(head) {
        return Err(Response::problem(421, "this listener is reached as localhost, 127.0.0.1 or [::1] only"));
    }
    let path = str::from_utf8(head.path()).unwrap_or_default();
    let Some(route) = ROUTES.iter().find(|route| route.path == path) else {
        return Err(Response::problem(404, "there is nothing at this path"));
    };
    let mut params = Params::read(head.query())?;
    admit(state, head, route, &mut params)?;
    let fits = head.method == route.method || (route.method == Method::Get && head.method == Method::Head);
    if !fits {
        let (allowed, words) =
            if route.method == Method::Get { ("GET, HEAD", "GET or HEAD") } else { ("POST", "POST") };
        return Err(Response::problem(405, &format!("use {words} here")).with("allow", allowed));
    }
    let last_event_id = head.fields.get(b"last-event-id").and_then(|id| str::from_utf8(id).ok());
    (route.answer)(state, params, last_event_id)
}

/// The token may stand in the query of the page only: a browser's address line can say no header field.
fn admit(state: &State, head: &RequestHead, route: &Route, params: &mut Params) -> Result<(), Response> {
    let is_page = route.path == PAGE;
    let in_query = if is_page { params.take("token") } else { None };
    if route.open || state.guard.admits(head, in_query.as_deref()) {
        return Ok(());
    }
    if is_page {
        return Err(challenge(Response { status: 401, ..page(LOGIN)? }));
    }
    Err(challenge(Response::problem(401, "show the token: Authorization: Bearer TOKEN")))
}

/// With what every 401 says (RFC 9110 §15.5.2).
fn challenge(response: Response) -> Response {
    response.with("www-authenticate", "Bearer realm=\"tollgate\"")
}

/// One path.
struct Route {
    path: &'static str,
    method: Method,
    /// No token is needed.
    open: bool,
    answer: fn(&State, Params, Option<&str>) -> Result<Rows, Response>,
}

const PAGE: &str = "/";

const fn get(
    path: &'static str,
    answer: fn(&State, Params, Option<&str>) -> Result<Rows, Response>,
) -> Route {
    Route { path, method: Method::Get, open: false, answer }
}

const ROUTES: &[Route] = &[
    get(PAGE, |_, params, _| whole(params, || page(DASHBOARD))),
    Route { open: true, ..get("/healthz", |_, params, _| whole(params, || Ok(words(200, "ok")))) },
    Route { open: true, ..get("/readyz", |state, params, _| whole(params, || Ok(ready(state)))) },
    get("/metrics", |state, params, _| {
        whole(params, || Ok(Response::new(metrics::KIND, metrics::text(state))))
    }),
    get("/v1/events", |state, params, id| rows(state, Source::Events, params, id)),
    get("/v1/calls", |state, params, id| rows(state, Source::Calls, params, id)),
    get("/v1/errors", |state, params, id| rows(state, Source::Errors, params, id)),
    get("/v1/usage", |state, params, _| state.sums.answer(state, params).map(Rows::Page)),
    get("/v1/policy", |state, params, _| whole(params, || Ok(policy(state)))),
    Route { method: Method::Post, ..get("/v1/reload", |state, params, _| whole(params, || reload(state))) },
];

fn whole(params: Params, answer: impl FnOnce() -> Result<Response, Response>) -> Result<Rows, Response> {
    params.finish()?;
    answer().map(Rows::Page)
}

fn words(status: u16, text: &str) -> Response {
    Response { status, ..Response::new(TEXT, format!("{text}\n")) }
}

fn ready(state: &State) -> Response {
    match state.not_ready() {
        None => words(200, "ready"),
        Some(why) => words(503, &format!("not ready: {why}")),
    }
}

const DASHBOARD: &str = include_str!("page.html");
const LOGIN: &str = include_str!("login.html");

/// A page whose one script and one style are known by a fresh nonce, and which can load nothing else from anywhere.
fn page(text: &str) -> Result<Response, Response> {
    let nonce = guard::new_token().map_err(|error| Response::problem(500, &error.to_string()))?;
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let html = Response::new("text/html; charset=utf-8", text.replace("{nonce}", &nonce));
    Ok(html.with("content-security-policy", &policy).with("cross-origin-opener-policy", "same-origin"))
}

/// As `policy check --json` prints it, with the mode.
fn policy(state: &State) -> Response {
    let loaded = state.rulebook.loaded();
    let mut whole = loaded.document();
    whole["mode"] = if loaded.policy.observe() { "observe" } else { "enforce" }.into();
    document(&whole)
}

fn reload(state: &State) -> Result<Response, Response> {
    let mut notices = Vec::new();
    match state.rulebook.reload(&mut |line| notices.push(line.to_owned())) {
        Ok(loaded) => {
            log::info!("the policy was read again by the admin API and is in force");
            Ok(document(&json!({"digest": loaded.policy.digest(), "notices": notices})))
        }
        Err(error) => {
            log::warn!("the policy was not reloaded, the old one stays in force: {error}");
            Err(Response::problem(409, &error.to_string()))
        }
    }
}

fn document(value: &Value) -> Response {
    Response::new(JSON, printable_json(format!("{value}\n")))
}
