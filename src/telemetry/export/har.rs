//! HAR 1.2: what browsers' network panels open. One entry for each request; bodies where they are asked for and kept.
//! Nothing is copied that a row holds.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use serde_json::json;

use crate::telemetry::query::{Field, Record};
use crate::telemetry::text::{printable_json, utc};

/// What stands before the first entry.
pub fn opening() -> String {
    let creator = json!({"name": "tollgate", "version": env!("CARGO_PKG_VERSION")});
    format!(r#"{{"log":{{"version":"1.2","creator":{creator},"pages":[],"entries":["#)
}

/// What stands after the last.
pub const CLOSING: &str = "]}}";

/// One entry as JSON; none for a connection that ended before a request.
pub fn entry(row: &Record) -> Option<String> {
    if row.text("method").is_empty() {
        return None;
    }
    let http = if row.text("protocol") == "h2" { "HTTP/2" } else { "HTTP/1.1" };
    let [sent, answered] = ["request_headers", "response_headers"].map(|column| row.fields(column));
    let dialed: Option<SocketAddr> = row.text("dialed").parse().ok();
    let entry = Entry {
        started_date_time: utc(row.int("started_at").unwrap_or(0)),
        time: ms(row.int("total_us")),
        request: Request::of(row, http, &sent),
        response: Response::of(row, http, &answered),
        cache: Nothing {},
        timings: Timings::of(row),
        connection: row.int("connection_id").unwrap_or(0).to_string(),
        server_ip_address: dialed.map(|dialed| dialed.ip()),
        comment: comment(row),
    };
    Some(printable_json(serde_json::to_string(&entry).expect("texts and numbers have a JSON form")))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    started_date_time: String,
    time: f64,
    request: Request<'a>,
    response: Response<'a>,
    cache: Nothing,
    timings: Timings,
    connection: String,
    #[serde(rename = "serverIPAddress", skip_serializing_if = "Option::is_none")]
    server_ip_address: Option<IpAddr>,
    comment: String,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: &'a str,
    url: String,
    http_version: &'static str,
    cookies: [Nothing; 0],
    headers: &'a [Field<'a>],
    query_string: Vec<Field<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<Body<'a>>,
    headers_size: i64,
    body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    status: i64,
    status_text: &'static str,
    http_version: &'static str,
    cookies: [Nothing; 0],
    #[serde(rename = "redirectURL")]
    redirect_url: &'a str,
    headers: &'a [Field<'a>],
    content: Body<'a>,
    headers_size: i64,
    body_size: i64,
}

/// A `postData`, or a `content`, which has a size.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<i64>,
    mime_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'static str>,
}

/// What the phases took. All but `ssl`, which HAR counts within `connect`, add up to the entry's time.
#[derive(Serialize)]
struct Timings {
    blocked: i64,
    dns: f64,
    connect: f64,
    ssl: f64,
    send: i64,
    wait: f64,
    receive: f64,
}

/// HAR's word for a number that is not known.
const UNKNOWN: i64 = -1;

impl<'a> Request<'a> {
    fn of(row: &'a Record, http_version: &'static str, headers: &'a [Field<'a>]) -> Self {
        let body = Body::of(row, headers, "request_body", "request_cut");
        Self {
            method: row.text("method"),
            url: url(row),
            http_version,
            cookies: [],
            headers,
            query_string: query(row.text("query")),
            post_data: body.text.is_some().then_some(body),
            headers_size: UNKNOWN,
            body_size: row.int("request_bytes").unwrap_or(UNKNOWN),
        }
    }
}

impl<'a> Response<'a> {
    fn of(row: &'a Record, http_version: &'static str, headers: &'a [Field<'a>]) -> Self {
        let size = row.int("response_decoded").or(row.int("response_bytes")).unwrap_or(0);
        // Of an answer that Tollgate gave itself the ledger keeps no size.
        let from_origin = row.int("first_byte_us").is_some();
        Self {
            status: row.int("status").unwrap_or(0),
            status_text: "",
            http_version,
            cookies: [],
            redirect_url: value_of(headers, "location"),
            headers,
            content: Body { size: Some(size), ..Body::of(row, headers, "response_body", "response_cut") },
            headers_size: UNKNOWN,
            body_size: row.int("response_bytes").filter(|_| from_origin).unwrap_or(UNKNOWN),
        }
    }
}

impl<'a> Body<'a> {
    fn of(row: &'a Record, headers: &'a [Field<'a>], column: &str, cut: &str) -> Self {
        let text = row.bytes(column).map(String::from_utf8_lossy);
        let comment = (text.is_some() && row.int(cut) == Some(1)).then_some("cut");
        Self { size: None, mime_type: value_of(headers, "content-type"), text, comment }
    }
}

impl Timings {
    fn of(row: &Record) -> Self {
        let [dns, tcp, tls] = ["dns_us", "connect_us", "tls_us"].map(|column| row.int(column));
        let connect = tcp.or(tls).map(|_| tcp.unwrap_or(0) + tls.unwrap_or(0));
        let left = row.int("total_us").unwrap_or(0) - dns.unwrap_or(0) - connect.unwrap_or(0);
        let wait = row.int("first_byte_us").unwrap_or(left).min(left).max(0);
        Self {
            blocked: UNKNOWN,
            dns: ms(dns),
            connect: ms(connect),
            ssl: ms(tls),
            send: 0,
            wait: ms(Some(wait)),
            receive: ms(Some((left - wait).max(0))),
        }
    }
}

/// Milliseconds.
fn ms(us: Option<i64>) -> f64 {
    us.map_or(UNKNOWN as f64, |us| us as f64 / 1e3)
}

/// The URL that was asked for.
pub(super) fn url(row: &Record) -> String {
    let (scheme, host) = (row.text("scheme"), row.text("host"));
    let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
    let mut url = [scheme, "://", open, host, close].concat();
    match (row.int("port"), scheme) {
        (None, _) | (Some(443), "https" | "wss") | (Some(80), "http" | "ws") => {}
        (Some(port), _) => write!(url, ":{port}").expect("writing to a String does not fail"),
    }
    let query = row.text("query");
    let mark = if query.is_empty() { "" } else { "?" };
    // OPTIONS * asks about the host itself (RFC 9110 §7.1).
    let path = if row.text("path") == "*" { "" } else { row.text("path") };
    url.extend([path, mark, query]);
    url
}

fn query(raw: &str) -> Vec<Field<'_>> {
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| Field { name: name.into(), value: value.into() })
        .collect()
}

fn value_of<'h>(headers: &'h [Field<'_>], name: &str) -> &'h str {
    headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map_or("", |field| &field.value)
}

/// What HAR has no field for.
fn comment(row: &Record) -> String {
    let parts =
        ["decision", "rule", "reason", "fault_phase", "fault", "process_name"].map(|column| row.text(column));
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}
