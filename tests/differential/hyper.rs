//! Reads requests with hyper: its server over bytes in memory, polled by hand, without a runtime.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{future, io};

use hyper::body::{Body, Buf, Bytes, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

/// What must be the same for every reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Essence {
    pub method: String,
    pub target: String,
    pub hosts: Vec<Vec<u8>>,
    pub body: Vec<u8>,
}

/// Every whole request that hyper sees in `raw`. It refuses targets with bytes that RFC 3986 wants encoded.
pub fn requests(raw: &[u8]) -> Vec<Essence> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request| {
        let seen = Arc::clone(&seen);
        async move {
            if let Some(request) = essence(request).await {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            }
            Ok::<_, Infallible>(Response::new(Nothing))
        }
    });
    let mut server = http1::Builder::new();
    server.half_close(true).max_headers(300); // as the end of the bytes is no wish to stop; as many as may go on
    let server = server.serve_connection(Wire(raw.to_vec()), service);
    turn(pin!(server), 64 + raw.len() / 64);
    std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Polls until it is done; what is not done after some turns waits for more, since all bytes are there.
fn turn(mut connection: Pin<&mut impl Future>, turns: usize) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..turns {
        if connection.as_mut().poll(&mut context).is_ready() {
            break;
        }
    }
}

async fn essence(request: Request<Incoming>) -> Option<Essence> {
    let (head, mut body) = request.into_parts();
    let mut essence = Essence {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        hosts: head.headers.get_all("host").iter().map(|value| value.as_bytes().to_vec()).collect(),
        body: Vec::new(),
    };
    while let Some(frame) = future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(mut data) = frame.ok()?.into_data() {
            essence.body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
    }
    Some(essence)
}

/// Bytes to be read, and then the end; what is written is nobody's.
struct Wire(Vec<u8>);

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let len = room.remaining().min(self.0.len());
        room.put_slice(&self.0[..len]);
        self.0.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// An answer without a body.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}
