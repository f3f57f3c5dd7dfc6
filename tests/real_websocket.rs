//! Real clients of WebSocket through a real listener against an echo, and Responses as Codex speaks it, frame by frame.

mod support;

use std::io::{self, BufReader};
use std::process::Command;

use serde_json::{Value, json};
use support::certs::Flaw;
use support::client::Client;
use support::frames::{CLOSE, Frame, PING, PONG};
use support::ledger::Row;
use support::origin::{Conn, Origin};
use support::proxy::{Proxy, Setup};
use support::tools::{clients, node_with_sdks, python_with_sdks, said};
use tollgate::demo::http1::Head;
use tollgate::wire::websocket::accept_key;

/// Reads the handshake, which must offer no extension, and accepts it.
fn accept(reader: &mut BufReader<&mut Conn>) -> io::Result<Head> {
    let head = Head::read(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    assert_eq!(head.field("sec-websocket-extensions"), None, "what is compressed cannot be seen");
    let key = accept_key(head.field("sec-websocket-key").expect("a key").as_bytes());
    let key = String::from_utf8_lossy(&key);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {key}\r\n\r\n"
    );
    reader.get_mut().send(answer.as_bytes())?;
    Ok(head)
}

// Real clients

/// Sends every frame back, and answers pings.
fn echo(conn: &mut Conn) -> io::Result<()> {
    let mut reader = BufReader::new(conn);
    accept(&mut reader)?;
    loop {
        let frame = Frame::read(&mut reader)?;
        assert!(frame.masked, "a client's frames are masked");
        let opcode = if frame.opcode == PING { PONG } else { frame.opcode };
        reader.get_mut().send(&Frame { opcode, ..frame.clone() }.bytes())?;
        if frame.opcode == CLOSE {
            return reader.get_mut().close();
        }
    }
}

/// `wss://` and `ws://` of `echo.example.test` behind a proxy.
fn echoes() -> ([Origin; 2], Proxy) {
    let setup = Setup::default();
    let identity = setup.origins.server("echo.example.test", Flaw::None);
    let [secure, plain] = [Origin::tls(identity, echo), Origin::plain(echo)];
    let setup = setup.map("echo.example.test:443", secure.address());
    let proxy = setup.map("echo.example.test:80", plain.address()).start();
    ([secure, plain], proxy)
}

/// Both sockets of a client are one row each, with the close code that it gave and the messages that it sent.
fn assert_sockets(proxy: &Proxy, messages: u64) {
    let rows = proxy.ledger().net_events(2);
    assert_eq!(rows.iter().map(|row| row.text("scheme")).collect::<Vec<_>>(), [Some("wss"), Some("ws")]);
    for row in &rows {
        assert_eq!((row.text("decision"), row.int("status")), (Some("allowed"), Some(101)), "{row:#?}");
        let facts: Value = serde_json::from_str(row.text("websocket").expect("facts")).expect("JSON");
        assert_eq!(facts["guest_messages"], json!(messages), "{facts}");
        assert_eq!(facts["guest_close"], json!(4001), "{facts}");
        assert_eq!(facts["origin_close"], json!(4001), "{facts}");
    }
}

#[test]
fn python_websockets() {
    let Some(python) = python_with_sdks() else { return };
    let (_origins, proxy) = echoes();
    let mut script = Command::new(python);
    script.arg(clients().join("python_websocket.py")).arg("echo.example.test");
    script.env("HTTPS_PROXY", format!("http://{}", proxy.address()));
    assert_eq!(said(script.env("SSL_CERT_FILE", proxy.ca_file())), "wss\nws\n");
    assert_sockets(&proxy, 4);
}

#[test]
fn node_websocket() {
    let Some((node, place)) = node_with_sdks() else { return };
    let (_origins, proxy) = echoes();
    let mut script = Command::new(node);
    script.arg(place.join("node_websocket.mjs")).arg("echo.example.test");
    script.env("HTTPS_PROXY", format!("http://{}", proxy.address()));
    script.env("HTTP_PROXY", format!("http://{}", proxy.address()));
    assert_eq!(said(script.env("NODE_EXTRA_CA_CERTS", proxy.ca_file())), "wss\nws\n");
    assert_sockets(&proxy, 3);
}

// Codex

const CODEX: &[u8] = b"GET /v1/responses HTTP/1.1\r\nHost: api.openai.com\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    OpenAI-Beta: responses_websockets=2026-02-06\r\nUser-Agent: codex_exec/0.169.0\r\n\
    Originator: codex_exec\r\nSession-Id: 0199\r\nThread-Id: 0199\r\nAuthorization: Bearer sk-test\r\n\r\n";

/// What the origin says after each message of the guest: a warm-up, a run that asks for a tool, a run that answers,
/// a run that fails.
fn script() -> [Vec<Value>; 4] {
    let begun = |id| json!({"type": "response.created", "response": {"id": id, "model": "gpt-5", "status": "in_progress", "usage": null}});
    let usage = |input: u64, cached: u64, output: u64, reasoning: u64| {
        json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": output,
               "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": input + output})
    };
    let ended = |id, output: Value, usage: Value| {
        json!({"type": "response.completed", "response": {"id": id, "model": "gpt-5-2026", "status": "completed",
               "service_tier": "default", "output": output, "usage": usage}})
    };
    let tool = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "shell",
                      "arguments": "{\"command\":[\"ls\"]}"});
    let text = |delta| json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": delta});
    [
        vec![begun("resp_0"), ended("resp_0", json!([]), usage(0, 0, 0, 0))],
        vec![
            begun("resp_1"),
            json!({"type": "response.output_item.done", "output_index": 0, "item": tool}),
            ended("resp_1", json!([tool]), usage(9_000, 8_000, 70, 64)),
        ],
        vec![
            begun("resp_2"),
            text("all "),
            text("done"),
            ended("resp_2", json!([]), usage(9_200, 9_000, 5, 0)),
        ],
        vec![json!({"type": "error", "status": 429, "error": {"type": "rate_limit_error",
                    "code": "rate_limit_exceeded", "message": "slow down", "param": null}})],
    ]
}

/// Plays the script, each event a text message.
fn codex_origin(conn: &mut Conn) -> io::Result<()> {
    let mut reader = BufReader::new(conn);
    let head = accept(&mut reader)?;
    assert_eq!(head.field("openai-beta"), Some("responses_websockets=2026-02-06"));
    for events in script() {
        message(&mut reader)?;
        for event in events {
            reader.get_mut().send(&Frame::text(event.to_string()).bytes())?;
        }
    }
    while Frame::read(&mut reader)?.opcode != CLOSE {}
    reader.get_mut().send(&Frame::close(1000).bytes())?;
    reader.get_mut().close()
}

/// Reads up to the end of a message; a ping inside it is left unanswered.
fn message(reader: &mut BufReader<&mut Conn>) -> io::Result<()> {
    loop {
        let frame = Frame::read(reader)?;
        if frame.last && frame.opcode != PING {
            return Ok(());
        }
    }
}

/// The messages that Codex sends: the warm-up with the whole prompt, then only what is new.
fn codex_messages() -> [Value; 4] {
    let prompt = "Mind the gap. ".repeat(2_500);
    let tools = json!([{"type": "function", "name": "shell"}, {"type": "custom", "name": "apply_patch"}]);
    let user =
        json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list"}]}]);
    let create = |input: &Value| {
        json!({"type": "response.create", "model": "gpt-5", "stream": true, "store": false,
                                        "instructions": prompt, "tools": tools, "input": input})
    };
    let with = |mut message: Value, name: &str, value: Value| {
        message[name] = value;
        message
    };
    let result = json!([{"type": "function_call_output", "call_id": "call_1", "output": "Cargo.toml"}]);
    [
        with(create(&user), "generate", json!(false)),
        with(create(&user), "previous_response_id", json!("resp_0")),
        with(create(&result), "previous_response_id", json!("resp_1")),
        with(create(&user), "previous_response_id", json!("resp_2")),
    ]
}

/// A message in two frames with a ping between them, as RFC 6455 §5.4 allows.
fn in_pieces(message: &Value) -> Vec<u8> {
    let text = message.to_string().into_bytes();
    let (first, rest) = text.split_at(text.len() / 3);
    let first = Frame { last: false, ..Frame::text(first) };
    [first, Frame::new(PING, *b"?"), Frame::new(0, rest)].iter().flat_map(Frame::masked_bytes).collect()
}

/// Plays Codex; every event of the origin must arrive as it was sent.
fn codex(mut client: Client) {
    client.send(CODEX);
    let head = client.head().expect("an answer");
    assert_eq!((head.status().expect("a status"), head.field("sec-websocket-extensions")), (101, None));
    for (n, (message, events)) in codex_messages().iter().zip(script()).enumerate() {
        let whole = Frame::text(message.to_string()).masked_bytes();
        client.send(&if n == 2 { in_pieces(message) } else { whole });
        for event in events {
            let frame = Frame::read(&mut client).expect("an event");
            assert_eq!(serde_json::from_slice::<Value>(&frame.payload).expect("JSON"), event);
        }
    }
    client.send(&Frame::close(1000).masked_bytes());
    assert_eq!(Frame::read(&mut client).expect("a close frame").opcode, CLOSE);
}

fn assert_run(row: &Row, id: &str, counts: [Option<i64>; 4], stop: Option<&str>) {
    assert_eq!(
        (row.text("provider"), row.text("api")),
        (Some("openai"), Some("openai.responses")),
        "{row:#?}"
    );
    assert_eq!((row.text("model_requested"), row.int("stream")), (Some("gpt-5"), Some(1)), "{row:#?}");
    assert_eq!((row.text("response_id"), row.text("model")), (Some(id), Some("gpt-5-2026")), "{row:#?}");
    let names = ["input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"];
    assert_eq!(names.map(|name| row.int(name)), counts, "{row:#?}");
    assert_eq!((row.text("usage_state"), row.text("stop_reason")), (Some("final"), stop), "{row:#?}");
    assert_eq!((row.int("tools_count"), row.text("error_type")), (Some(2), None), "{row:#?}");
}

#[test]
fn each_run_of_codex_on_one_websocket_is_a_model_call() {
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server("api.openai.com", Flaw::None), codex_origin);
    let proxy = setup.map("api.openai.com:443", origin.address()).start();
    codex(Client::connect(proxy.address(), "api.openai.com", &proxy.ca_file()));

    let events = proxy.ledger().net_events(1);
    let event = &events[0];
    assert_eq!((event.int("status"), event.text("scheme")), (Some(101), Some("wss")));
    assert_eq!((event.text("decision"), event.text("tap")), (Some("allowed"), None), "{event:#?}");
    let calls = proxy.ledger().model_calls(3);
    for call in &calls {
        assert_eq!(call.int("exchange_id"), event.int("exchange_id"));
        assert!(call.int("system_bytes").is_some_and(|bytes| bytes >= 35_000), "{call:#?}");
    }
    assert_run(&calls[0], "resp_1", [9_000, 8_000, 70, 64].map(Some), Some("completed"));
    assert_run(&calls[1], "resp_2", [9_200, 9_000, 5, 0].map(Some), Some("completed"));
    assert!(calls[0].int("started_at") <= calls[1].int("started_at"));
    let failed = &calls[2];
    assert_eq!(
        (failed.text("error_type"), failed.text("error_message")),
        (Some("rate_limit_error"), Some("slow down"))
    );
    assert_eq!((failed.int("input_tokens"), failed.text("usage_state")), (None, Some("none")), "{failed:#?}");

    let ledger = proxy.ledger();
    let tools = ledger.rows("SELECT tool_call_id, name, call_id FROM tool_calls");
    assert_eq!(tools.len(), 1, "{tools:#?}");
    assert_eq!((tools[0].text("tool_call_id"), tools[0].text("name")), (Some("call_1"), Some("shell")));
    assert_eq!(tools[0].int("call_id"), calls[0].int("call_id"));
    let results = ledger.rows("SELECT tool_call_id, call_id FROM tool_results");
    assert_eq!(results.len(), 1, "{results:#?}");
    assert_eq!(
        (results[0].text("tool_call_id"), results[0].int("call_id")),
        (Some("call_1"), calls[1].int("call_id"))
    );
    let errors = ledger.rows("SELECT status, type, code, message FROM upstream_errors");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!((errors[0].int("status"), errors[0].text("code")), (Some(429), Some("rate_limit_exceeded")));
}

// Gemini Live

const LIVE: &[u8] =
    b"GET /ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=AIzaSecret HTTP/1.1\r\n\
    Host: generativelanguage.googleapis.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const BINARY: u8 = 2;

/// What Gemini says after each message of the guest; it sends JSON in binary messages.
fn turns() -> [Vec<Value>; 3] {
    let said = |text| json!({"serverContent": {"modelTurn": {"parts": [{"text": text}]}}});
    let over = |input, output, thoughts| {
        json!({"serverContent": {"turnComplete": true}, "usageMetadata": {"promptTokenCount": input,
               "responseTokenCount": output, "thoughtsTokenCount": thoughts}})
    };
    [
        vec![json!({"setupComplete": {}})],
        vec![said("one"), said("two"), over(10, 5, 3)],
        vec![said("three"), over(20, 7, 0)],
    ]
}

fn live_origin(conn: &mut Conn) -> io::Result<()> {
    let mut reader = BufReader::new(conn);
    accept(&mut reader)?;
    for events in turns() {
        message(&mut reader)?;
        for event in events {
            reader.get_mut().send(&Frame::new(BINARY, event.to_string()).bytes())?;
        }
    }
    while Frame::read(&mut reader)?.opcode != CLOSE {}
    reader.get_mut().send(&Frame::close(1000).bytes())?;
    reader.get_mut().close()
}

#[test]
fn each_turn_of_gemini_live_is_a_model_call() {
    let setup = Setup::default();
    let host = "generativelanguage.googleapis.com";
    let origin = Origin::tls(setup.origins.server(host, Flaw::None), live_origin);
    let proxy = setup.map(&format!("{host}:443"), origin.address()).start();
    let mut client = Client::connect(proxy.address(), host, &proxy.ca_file());
    client.send(LIVE);
    assert_eq!(client.head().expect("an answer").status().expect("a status"), 101);
    let content = json!({"clientContent": {"turns": [{"role": "user", "parts": [{"text": "x"}]}], "turnComplete": true}});
    let asked = [json!({"setup": {"model": "models/gemini-live-2.5-flash"}}), content.clone(), content];
    for (message, events) in asked.iter().zip(turns()) {
        client.send(&Frame::text(message.to_string()).masked_bytes());
        for event in events {
            let frame = Frame::read(&mut client).expect("an event");
            assert_eq!(serde_json::from_slice::<Value>(&frame.payload).expect("JSON"), event);
        }
    }
    client.send(&Frame::close(1000).masked_bytes());
    assert_eq!(Frame::read(&mut client).expect("a close frame").opcode, CLOSE);

    let calls = proxy.ledger().model_calls(2);
    let counts =
        |call: &Row| ["input_tokens", "output_tokens", "reasoning_tokens"].map(|name| call.int(name));
    assert_eq!([counts(&calls[0]), counts(&calls[1])], [[10, 8, 3].map(Some), [20, 7, 0].map(Some)]);
    for call in &calls {
        assert_eq!((call.text("provider"), call.text("api")), (Some("google"), Some("google.live")));
        assert_eq!(call.text("model_requested"), Some("models/gemini-live-2.5-flash"));
        assert_eq!(
            (call.text("usage_state"), call.int("messages_count")),
            (Some("final"), Some(1)),
            "{call:#?}"
        );
        assert!(call.int("first_token_us").is_some() && call.int("cost_pico_usd").is_some(), "{call:#?}");
    }
    let query = proxy.ledger().net_events(1)[0].text("query").expect("a query").to_owned();
    assert!(!query.contains("AIza"), "{query}");
}
