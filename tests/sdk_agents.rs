//! The agents' own command lines through the proxy, with dummy keys and one question: claude-code in print mode,
//! `codex exec` (over its WebSocket) and gemini-cli. Each ends well, and what it counted is what the origin sent and
//! what the ledger says. Everything else that they try to reach is denied, and they bear it.

mod support;

use std::io;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::certs::Flaw;
use support::counts::lines;
use support::ledger::Row;
use support::models::{Answer, serve};
use support::origin::{Conn, Origin, response};
use support::proxy::{Proxy, Setup};
use support::tools::{agents, output};
use tollgate::wire::websocket::{Walker, WsEvent, accept_key};

const QUESTION: &str = "The wire tests fail. Why?";

/// A proxy that lets an agent talk to its model's host only.
fn allowing(host: &str) -> Setup {
    Setup::default().user(&format!("[network]\nallow = [\"{host}\"]\n"))
}

/// Runs an agent in an empty home, through the proxy.
fn ask(proxy: &Proxy, bin: &Path, agent: &str, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "90"]).arg(bin.join(agent)).args(args);
    command.current_dir(proxy.dir()).env_clear().env("PATH", path).env("HOME", proxy.dir());
    command.env("HTTPS_PROXY", format!("http://{}", proxy.address()));
    command.env("SSL_CERT_FILE", proxy.ca_file()).env("NODE_EXTRA_CA_CERTS", proxy.ca_file());
    let said = output(command.envs(variables.iter().copied()));
    let [stdout, stderr] = [&said.stdout, &said.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(said.status.success(), "{}\nstdout: {stdout}\nstderr: {stderr}", said.status);
    said
}

/// What the ledger says of one call.
fn counted(row: &Row) -> Value {
    json!({
        "api": row.text("api"), "model": row.text("model"), "id": row.text("response_id"),
        "stop": row.text("stop_reason"), "state": row.text("usage_state"), "stream": row.int("stream"),
        "input": row.int("input_tokens"), "cache_read": row.int("cache_read_tokens"),
        "cache_write": row.int("cache_write_tokens"), "output": row.int("output_tokens"),
        "reasoning": row.int("reasoning_tokens"),
    })
}

const CLAUDE: &[Answer] = &[Answer {
    host: "api.anthropic.com",
    path: "/v1/messages",
    stream: true,
    content_type: "text/event-stream; charset=utf-8",
    pieces: &[
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_agent\",\"type\":\"message\",\
         \"role\":\"assistant\",\"model\":\"claude-haiku-4-5-20251001\",\"content\":[],\"stop_reason\":null,\
         \"stop_sequence\":null,\"usage\":{\"input_tokens\":11,\"cache_creation_input_tokens\":300,\
         \"cache_read_input_tokens\":4000,\"cache_creation\":{\"ephemeral_5m_input_tokens\":300,\
         \"ephemeral_1h_input_tokens\":0},\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":\
         {\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
         {\"type\":\"text_delta\",\"text\":\"A cut is wrong.\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\
         \"stop_sequence\":null},\"usage\":{\"output_tokens\":29}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ],
}];

#[test]
fn claude_code_counts_what_the_ledger_counts() {
    let Some(bin) = agents() else { return };
    let (_origins, setup) = serve(allowing("api.anthropic.com"), CLAUDE);
    let proxy = setup.start();
    let args = ["-p", QUESTION, "--output-format", "json", "--model", "claude-haiku-4-5"];
    let said = ask(&proxy, &bin, "claude", &args, &[("ANTHROPIC_API_KEY", "test-key")]);
    let told: Value = serde_json::from_slice(&said.stdout).expect("a JSON document");
    assert_eq!(told["result"], "A cut is wrong.");
    let usage = &told["usage"];
    let names = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"];
    assert_eq!(names.map(|name| &usage[name]), [11, 300, 4000, 29], "{usage}");
    // It asks for a title of the session too, with a model of its own choice; it adds up each model by itself.
    let by_model = told["modelUsage"].as_object().expect("an object");
    let calls = proxy.ledger().model_calls(by_model.len());
    let truth = json!({
        "api": "anthropic.messages", "model": "claude-haiku-4-5-20251001", "id": "msg_agent", "stop": "end_turn",
        "state": "final", "stream": 1, "input": 4311, "cache_read": 4000, "cache_write": 300, "output": 29,
        "reasoning": null,
    });
    for call in &calls {
        assert_eq!(counted(call), truth);
        let own = &by_model[call.text("model_requested").expect("a model")];
        let names = ["inputTokens", "cacheCreationInputTokens", "cacheReadInputTokens", "outputTokens"];
        assert_eq!(names.map(|name| &own[name]), [11, 300, 4000, 29], "{own}");
        let cost = call.int("cost_pico_usd").expect("a priced model");
        assert_eq!(cost, 931_000_000, "11 at $1, 300 at $1.25, 4000 at $0.10, 29 at $5 a million");
        assert_eq!(own["costUSD"].as_f64().map(|usd| (usd * 1e12).round() as i64), Some(cost), "{own}");
    }
    assert!(by_model.contains_key("claude-haiku-4-5"), "{by_model:?}");
}

const GEMINI: &[Answer] = &[Answer {
    host: "generativelanguage.googleapis.com",
    path: "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
    stream: false, // the URL says it
    content_type: "text/event-stream",
    pieces: &[
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"A cut \"}],\"role\":\"model\"},\"index\":0}],\
         \"usageMetadata\":{\"promptTokenCount\":7000,\"totalTokenCount\":7090,\"thoughtsTokenCount\":90},\
         \"modelVersion\":\"gemini-2.5-pro\",\"responseId\":\"gemini-agent\"}\r\n\r\n",
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"is wrong.\"}],\"role\":\"model\"},\
         \"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":7000,\
         \"candidatesTokenCount\":6,\"totalTokenCount\":7096,\"cachedContentTokenCount\":512,\
         \"thoughtsTokenCount\":90},\"modelVersion\":\"gemini-2.5-pro\",\"responseId\":\"gemini-agent\"}\r\n\r\n",
    ],
}];

#[test]
fn gemini_cli_counts_what_the_ledger_counts() {
    let Some(bin) = agents() else { return };
    let (_origins, setup) = serve(allowing("generativelanguage.googleapis.com"), GEMINI);
    let proxy = setup.start();
    let args = ["-p", QUESTION, "-o", "json", "-m", "gemini-2.5-pro", "--skip-trust"];
    let said = ask(&proxy, &bin, "gemini", &args, &[("GEMINI_API_KEY", "test-key")]);
    let told: Value = serde_json::from_slice(&said.stdout).expect("a JSON document");
    assert_eq!(told["response"], "A cut is wrong.");
    let tokens = &told["stats"]["models"]["gemini-2.5-pro"]["tokens"];
    assert_eq!(
        ["prompt", "cached", "candidates", "thoughts"].map(|name| &tokens[name]),
        [7000, 512, 6, 90],
        "{tokens}"
    );
    let calls = proxy.ledger().model_calls(1);
    let truth = json!({
        "api": "google.generate", "model": "gemini-2.5-pro", "id": "gemini-agent", "stop": "STOP",
        "state": "final", "stream": 1, "input": 7000, "cache_read": 512, "cache_write": null, "output": 96,
        "reasoning": 90,
    });
    assert_eq!(counted(&calls[0]), truth);
}

/// OpenAI as Codex meets it: a WebSocket on `/v1/responses`, and nothing else.
fn codex_origin(conn: &mut Conn) -> io::Result<()> {
    while let Some(request) = conn.request()? {
        let text = String::from_utf8_lossy(&request).into_owned();
        let is_key = |line: &&str| line.to_lowercase().starts_with("sec-websocket-key:");
        let key = text.lines().find(is_key);
        match key.filter(|_| text.starts_with("GET /v1/responses ")) {
            Some(line) => return converse(conn, line["sec-websocket-key:".len()..].trim()),
            None => conn.send(&response(404, "content-type: application/json\r\n", b"{\"error\":{}}"))?,
        }
    }
    Ok(())
}

/// Answers every `response.create` until the client closes: a warm-up with nothing, the rest with a sentence.
fn converse(conn: &mut Conn, key: &str) -> io::Result<()> {
    let accept = accept_key(key.as_bytes());
    conn.send(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            String::from_utf8_lossy(&accept)
        )
        .as_bytes(),
    )?;
    let mut walker = Walker::new(true, false, 1 << 20);
    loop {
        let bytes = conn.some()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let mut asked: Vec<Value> = Vec::new();
        let read = walker.push(&bytes, &mut |event| {
            if let WsEvent::Message { payload, .. } = event {
                asked.push(serde_json::from_slice(payload).expect("a JSON message"));
            }
        });
        read.map_err(|error| io::Error::other(error.as_str()))?;
        for message in &asked {
            answer(conn, message)?;
        }
    }
}

fn answer(conn: &mut Conn, asked: &Value) -> io::Result<()> {
    if asked["type"] != "response.create" {
        return Ok(());
    }
    let warm_up = asked["generate"] == false;
    let id = if warm_up { "resp_warm" } else { "resp_agent" };
    let item = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "A cut is wrong.", "annotations": []}]});
    let output = if warm_up { json!([]) } else { json!([item]) };
    let [input, cached, out, reasoning] = if warm_up { [0; 4] } else { [9000, 8192, 70, 64] };
    let usage = json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": out, "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": input + out});
    let begun = json!({"id": id, "object": "response", "status": "in_progress", "model": "gpt-5-codex", "output": []});
    send(conn, &json!({"type": "response.created", "sequence_number": 0, "response": begun}))?;
    if !warm_up {
        send(
            conn,
            &json!({"type": "response.output_item.done", "sequence_number": 1, "output_index": 0, "item": item}),
        )?;
    }
    let whole = json!({"id": id, "object": "response", "status": "completed", "model": "gpt-5-codex", "output": output, "usage": usage});
    send(conn, &json!({"type": "response.completed", "sequence_number": 2, "response": whole}))
}

/// One unmasked text frame.
fn send(conn: &mut Conn, message: &Value) -> io::Result<()> {
    let text = message.to_string();
    let mut frame = vec![0x81, 126];
    frame.extend_from_slice(&u16::try_from(text.len()).expect("a short message").to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
    conn.send(&frame)
}

#[test]
fn codex_over_its_websocket_counts_what_the_ledger_counts() {
    let Some(bin) = agents() else { return };
    let setup = allowing("api.openai.com");
    let origin = Origin::tls(setup.origins.server("api.openai.com", Flaw::None), codex_origin);
    let proxy = setup.map("api.openai.com:443", origin.address()).start();
    let args = ["exec", "--json", "--skip-git-repo-check", "-m", "gpt-5-codex", QUESTION];
    let variables = [("CODEX_API_KEY", "test-key"), ("OPENAI_API_KEY", "test-key")];
    let told = lines(&ask(&proxy, &bin, "codex", &args, &variables).stdout);
    let turn = told.iter().find(|line| line["type"] == "turn.completed").expect("a finished turn");
    assert!(told.iter().any(|line| line["item"]["text"] == "A cut is wrong."), "{told:#?}");
    let names = ["input_tokens", "cached_input_tokens", "output_tokens"];
    assert_eq!(names.map(|name| &turn["usage"][name]), [9000, 8192, 70], "{turn}");
    let calls = proxy.ledger().model_calls(1);
    let truth = json!({
        "api": "openai.responses", "model": "gpt-5-codex", "id": "resp_agent", "stop": "completed",
        "state": "final", "stream": 1, "input": 9000, "cache_read": 8192, "cache_write": null, "output": 70,
        "reasoning": 64,
    });
    assert_eq!(counted(&calls[0]), truth);
    let sockets = proxy.ledger().number("SELECT count(*) FROM net_events WHERE status = 101");
    assert_eq!(sockets, 1, "both runs on one socket");
}
