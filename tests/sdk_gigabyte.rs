//! A very long gzip stream of a model's answer is read to its end, at bounded memory (P24): the counts at the end of it
//! are exact, and the process has not grown.

mod support;

use std::io;

use support::certs::Flaw;
use support::client::Client;
use support::origin::{Conn, Origin, chunk};
use support::proxy::Setup;
use tollgate::demo::gzip::whole;

const HOST: &str = "api.anthropic.com";
const FIRST: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_long\",\
    \"model\":\"claude-haiku-4-5\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n";
const LAST: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
    \"usage\":{\"output_tokens\":123456789}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
/// How much the process may grow: what one inspection may hold, with room for the connection.
const GROWTH: u64 = 4 << 20;

/// A quarter of a mebibyte or so of deltas, no two alike.
fn deltas() -> String {
    let delta = |n: usize| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
             {{\"type\":\"text_delta\",\"text\":\"{n} bottles of {:x}\"}}}}\n\n",
            n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )
    };
    (0..2000).map(delta).collect()
}

/// Answers with a stream of gzip members: a beginning, as many deltas as `size` bytes take, an end.
fn answer(conn: &mut Conn, size: usize) -> io::Result<()> {
    conn.request()?;
    conn.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\
        transfer-encoding: chunked\r\n\r\n",
    )?;
    conn.send(&chunk(&whole(FIRST.as_bytes())))?;
    let text = deltas();
    let member = chunk(&whole(text.as_bytes()));
    for _ in 0..size.div_ceil(text.len()) {
        conn.send(&member)?;
    }
    conn.send(&chunk(&whole(LAST.as_bytes())))?;
    conn.send(b"0\r\n\r\n")
}

fn a_long_stream_is_read_at_bounded_memory(size: usize) {
    let setup = Setup::default();
    let origin = Origin::tls(setup.origins.server(HOST, Flaw::None), move |conn| answer(conn, size));
    let proxy = setup.map("api.anthropic.com:443", origin.address()).start();
    let mut client = Client::connect(proxy.address(), HOST, &proxy.ca_file());
    let before = proxy.rss();
    client.send(
        b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nAccept-Encoding: gzip\r\n\
        Content-Length: 15\r\n\r\n{\"stream\":true}",
    );
    let head = client.head().expect("a response head");
    client.body(&head).expect("the whole body");
    let grown = proxy.rss().saturating_sub(before);
    let call = &proxy.ledger().model_calls(1)[0];
    assert_eq!((call.text("usage_state"), call.int("output_tokens")), (Some("final"), Some(123_456_789)));
    let event = &proxy.ledger().net_events(1)[0];
    assert!(event.int("response_decoded").is_some_and(|decoded| decoded >= size as i64), "{event:?}");
    eprintln!(
        "{} MiB decoded of {} KiB on the wire; grown by {} KiB",
        size >> 20,
        event.int("response_bytes").unwrap_or(0) >> 10,
        grown >> 10
    );
    assert!(grown < GROWTH, "the process grew by {} KiB", grown >> 10);
}

#[test]
fn p24_a_long_gzip_stream_is_read_at_bounded_memory() {
    a_long_stream_is_read_at_bounded_memory(32 << 20);
}

#[test]
#[ignore = "takes minutes without optimisation"]
fn p24_a_gigabyte_of_gzip_stream_is_read_at_bounded_memory() {
    a_long_stream_is_read_at_bounded_memory(1 << 30);
}
