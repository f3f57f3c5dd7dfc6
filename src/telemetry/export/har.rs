//! HAR 1.2: what browsers' network panels open. One entry for each request; bodies where they are asked for and kept.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::telemetry::query::Record;
use crate::telemetry::text::utc;

/// What stands before the first entry.
pub fn opening() -> String {
    let creator = json!({"name": "tollgate", "version": env!("CARGO_PKG_VERSION")});
    format!(r#"{{"log":{{"version":"1.2","creator":{creator},"pages":[],"entries":["#)
}

/// What stands after the last.
pub const CLOSING: &str = "]}}";

/// One entry; none for a connection that ended before a request.
pub fn entry(row: &Record) -> Option<Value> {
    if row.text("method").is_empty() {
        return None;
    }
    let http = if row.text("protocol") == "h2" { "HTTP/2" } else { "HTTP/1.1" };
    let mut entry = json!({
        "startedDateTime": utc(row.int("started_at").unwrap_or(0)),
        "time": ms(row.int("total_us")),
        "request": request(row, http),
        "response": response(row, http),
        "cache": {},
        "timings": timings(row),
        "connection": row.int("connection_id").unwrap_or(0).to_string(),
        "comment": comment(row),
    });
    if let Ok(dialed) = row.text("dialed").parse::<SocketAddr>() {
        entry["serverIPAddress"] = json!(dialed.ip());
    }
    Some(entry)
}

/// What the phases took. All but `ssl`, which HAR counts within `connect`, add up to the entry's time.
fn timings(row: &Record) -> Value {
    let [dns, tcp, tls] = ["dns_us", "connect_us", "tls_us"].map(|column| row.int(column));
    let connect = tcp.or(tls).map(|_| tcp.unwrap_or(0) + tls.unwrap_or(0));
    let left = row.int("total_us").unwrap_or(0) - dns.unwrap_or(0) - connect.unwrap_or(0);
    let wait = row.int("first_byte_us").unwrap_or(left).min(left).max(0);
    json!({
        "blocked": -1, "dns": ms(dns), "connect": ms(connect), "ssl": ms(tls),
        "send": 0, "wait": ms(Some(wait)), "receive": ms(Some((left - wait).max(0))),
    })
}

/// Milliseconds; HAR's -1 for what is not known.
fn ms(us: Option<i64>) -> f64 {
    us.map_or(-1.0, |us| us as f64 / 1e3)
}

fn request(row: &Record, http: &str) -> Value {
    let headers = headers(row, "request_headers");
    let mut request = json!({
        "method": row.text("method"),
        "url": url(row),
        "httpVersion": http,
        "cookies": [],
        "queryString": query(row.text("query")),
        "headersSize": -1,
        "bodySize": row.int("request_bytes").unwrap_or(-1),
    });
    if let Some(text) = body(row, "request_body") {
        request["postData"] = json!({"mimeType": value_of(&headers, "content-type"), "text": text});
        note_cut(row, "request_cut", &mut request["postData"]);
    }
    request["headers"] = Value::Array(headers);
    request
}

fn response(row: &Record, http: &str) -> Value {
    let headers = headers(row, "response_headers");
    let size = row.int("response_decoded").or(row.int("response_bytes")).unwrap_or(0);
    let mut content = json!({"size": size, "mimeType": value_of(&headers, "content-type")});
    if let Some(text) = body(row, "response_body") {
        content["text"] = Value::String(text);
        note_cut(row, "response_cut", &mut content);
    }
    // Of an answer that Tollgate gave itself the ledger keeps no size.
    let from_origin = row.int("first_byte_us").is_some();
    json!({
        "status": row.int("status").unwrap_or(0),
        "statusText": "",
        "httpVersion": http,
        "cookies": [],
        "redirectURL": value_of(&headers, "location"),
        "headers": headers,
        "content": content,
        "headersSize": -1,
        "bodySize": row.int("response_bytes").filter(|_| from_origin).unwrap_or(-1),
    })
}

/// The URL that was asked for.
pub(super) fn url(row: &Record) -> String {
    let (scheme, host) = (row.text("scheme"), row.text("host"));
    let port = match (row.int("port"), scheme) {
        (None, _) | (Some(443), "https" | "wss") | (Some(80), "http" | "ws") => String::new(),
        (Some(port), _) => format!(":{port}"),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let query = row.text("query");
    let mark = if query.is_empty() { "" } else { "?" };
    // OPTIONS * asks about the host itself (RFC 9110 §7.1).
    let path = if row.text("path") == "*" { "" } else { row.text("path") };
    format!("{scheme}://{host}{port}{path}{mark}{query}")
}

fn query(raw: &str) -> Vec<Value> {
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

fn headers(row: &Record, column: &str) -> Vec<Value> {
    let fields: Vec<(String, String)> = serde_json::from_str(row.text(column)).unwrap_or_default();
    fields.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn value_of<'h>(headers: &'h [Value], name: &str) -> &'h str {
    let is_it = |field: &&Value| field["name"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name));
    headers.iter().find(is_it).and_then(|field| field["value"].as_str()).unwrap_or("")
}

fn body(row: &Record, column: &str) -> Option<String> {
    row.bytes(column).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn note_cut(row: &Record, column: &str, body: &mut Value) {
    if row.int(column) == Some(1) {
        body["comment"] = Value::from("cut");
    }
}

/// What HAR has no field for.
fn comment(row: &Record) -> String {
    let parts =
        ["decision", "rule", "reason", "fault_phase", "fault", "process_name"].map(|column| row.text(column));
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}
