//! What goes on is read back as the same request, and a request's head ends where it ends however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::wire::head::{
    HeadLimits, HeadScan, Method, Persist, RequestHead, RequestPlan, ResponseHead, parse_request,
    parse_response, write_request,
};

const LIMITS: HeadLimits = HeadLimits { request_line: 16 << 10, header_block: 64 << 10, header_fields: 256 };

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(end)) = HeadScan::for_response().find(bytes, &LIMITS) {
        let _ = parse_response(&bytes[..end], &Method::Get, &mut ResponseHead::default(), &LIMITS);
    }
    let whole = HeadScan::new().find(bytes, &LIMITS);
    let mut scan = HeadScan::new();
    let cut = (1..=bytes.len()).map(|end| scan.find(&bytes[..end], &LIMITS)).find(|step| *step != Ok(None));
    assert_eq!(whole, cut.unwrap_or(Ok(None)));
    let (Ok(Some(end)), mut head) = (whole, RequestHead::default()) else { return };
    if parse_request(&bytes[..end], &mut head, &LIMITS).is_err() || head.method == Method::Connect {
        return;
    }
    let authority = head.host().unwrap_or(b"host.test").to_vec();
    let plan =
        RequestPlan { authority: &authority, framing: head.framing, persist: Persist::Implied, edits: &[] };
    let (mut again, mut out) = (RequestHead::default(), Vec::new());
    write_request(&head, &plan, &mut out);
    assert_eq!(
        HeadScan::new().find(&out, &HeadLimits { header_block: 1 << 20, ..LIMITS }),
        Ok(Some(out.len()))
    );
    parse_request(&out, &mut again, &LIMITS).expect("what we write, we read");
    assert_eq!((again.path(), again.query(), again.framing), (head.path(), head.query(), head.framing));
    assert_eq!((again.method, again.host()), (head.method, Some(&authority[..])));
});
