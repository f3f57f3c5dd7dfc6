//! Reading heads and writing them anew, with structures that have been used before, as on a kept connection.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tollgate::wire::head::{
    HeadLimits, HeadScan, Method, Persist, RequestHead, RequestPlan, ResponseHead, ResponsePlan,
    parse_request, parse_response, write_request, write_response,
};

const LIMITS: HeadLimits = HeadLimits { request_line: 16 << 10, header_block: 64 << 10, header_fields: 256 };

const REQUEST: &[u8] = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: api.anthropic.com\r\n\
    User-Agent: Anthropic/Python 0.75.0\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Connection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: 1834\r\n\
    X-Api-Key: sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz\r\nanthropic-version: 2023-06-01\r\n\
    X-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\nX-Stainless-Retry-Count: 0\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\
    Cache-Control: no-cache\r\nrequest-id: req_011CS0123456789\r\nContent-Encoding: gzip\r\n\
    anthropic-ratelimit-requests-remaining: 49\r\nServer: cloudflare\r\n\r\n";

fn main() {
    divan::main();
}

#[divan::bench]
fn request(bencher: Bencher<'_, '_>) {
    let mut head = RequestHead::default();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let end = HeadScan::new().find(black_box(REQUEST), &LIMITS);
        (end, parse_request(REQUEST, &mut head, &LIMITS))
    });
}

#[divan::bench]
fn request_written(bencher: Bencher<'_, '_>) {
    let (mut head, mut out) = (RequestHead::default(), Vec::new());
    parse_request(REQUEST, &mut head, &LIMITS).expect("the sample is a request");
    let framing = head.framing;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        out.clear();
        let plan =
            RequestPlan { authority: b"api.anthropic.com", framing, persist: Persist::Implied, edits: &[] };
        write_request(black_box(&head), &plan, &mut out);
        out.len()
    });
}

#[divan::bench]
fn response(bencher: Bencher<'_, '_>) {
    let mut head = ResponseHead::default();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let end = HeadScan::for_response().find(black_box(RESPONSE), &LIMITS);
        (end, parse_response(RESPONSE, &Method::Post, &mut head, &LIMITS))
    });
}

#[divan::bench]
fn response_written(bencher: Bencher<'_, '_>) {
    let (mut head, mut out) = (ResponseHead::default(), Vec::new());
    parse_response(RESPONSE, &Method::Post, &mut head, &LIMITS).expect("the sample is a response");
    let framing = head.framing;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        out.clear();
        write_response(
            black_box(&head),
            &ResponsePlan { framing, persist: Persist::Implied, edits: &[] },
            &mut out,
        );
        out.len()
    });
}
