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
    let ms = |column: &str| row.int(column).map_or(-1.0, |us| us as f64 / 1e3);
    let total = ms("total_us");
    let wait = row.int("first_byte_us").map_or(total, |us| us as f64 / 1e3);
    let http = if row.text("protocol") == "h2" { "HTTP/2" } else { "HTTP/1.1" };
    let mut entry = json!({
        "startedDateTime": utc(row.int("started_at").unwrap_or(0)),
        "time": total,
        "request": request(row, http),
        "response": response(row, http),
        "cache": {},
        "timings": {
            "blocked": -1, "dns": ms("dns_us"), "connect": ms("connect_us"), "ssl": ms("tls_us"),
            "send": 0, "wait": wait, "receive": (total - wait).max(0.0),
        },
        "connection": row.int("connection_id").unwrap_or(0).to_string(),
        "comment": comment(row),
    });
    if let Ok(dialed) = row.text("dialed").parse::<SocketAddr>() {
        entry["serverIPAddress"] = json!(dialed.ip());
    }
    Some(entry)
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
    }
    json!({
        "status": row.int("status").unwrap_or(0),
        "statusText": "",
        "httpVersion": http,
        "cookies": [],
        "redirectURL": value_of(&headers, "location"),
        "headers": headers,
        "content": content,
        "headersSize": -1,
        "bodySize": row.int("response_bytes").unwrap_or(-1),
    })
}

fn url(row: &Record) -> String {
    let (scheme, host) = (row.text("scheme"), row.text("host"));
    let port = match (row.int("port"), scheme) {
        (None, _) | (Some(443), "https" | "wss") | (Some(80), "http" | "ws") => String::new(),
        (Some(port), _) => format!(":{port}"),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let query = row.text("query");
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{host}{port}{}{mark}{query}", row.text("path"))
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

/// What HAR has no field for.
fn comment(row: &Record) -> String {
    let parts =
        ["decision", "rule", "reason", "fault_phase", "fault", "process_name"].map(|column| row.text(column));
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}
