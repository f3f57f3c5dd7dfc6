//! A small blocking HTTP/1.1 reader for the demo's own two ends.
//!
//! It is written apart from `wire` on purpose: the demo judges the proxy, so it must not read with the proxy's eyes.
//! It knows what the demo's peers send and refuses the rest; it is no server for strangers.

use std::io::{self, BufRead, ErrorKind, Read};

/// Longest line that is read, in bytes.
const LINE: u64 = 64 << 10;
/// Most fields that are read in a head.
const FIELDS: usize = 256;

/// A start line and header fields.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The request or status line.
    pub start: String,
    /// Names as received, values trimmed.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// Reads a head; `None` where the peer closed before the first byte of one.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(start) = line(from)? else { return Ok(None) };
        let mut head = Self { start, fields: Vec::new() };
        loop {
            let line = line(from)?.ok_or_else(|| broken("the head ends in its middle"))?;
            if line.is_empty() {
                return Ok(Some(head));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken("a field without a colon"))?;
            head.fields.push((name.to_owned(), value.trim().to_owned()));
            if head.fields.len() > FIELDS {
                return Err(broken("too many fields"));
            }
        }
    }

    /// The value of the first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The n-th word of the start line.
    pub fn word(&self, n: usize) -> &str {
        self.start.split(' ').nth(n).unwrap_or_default()
    }

    /// The status of a response.
    pub fn status(&self) -> io::Result<u16> {
        self.word(1).parse().map_err(|_| broken("a status line without a status"))
    }

    /// How a request's body is delimited: by length or by chunks, else there is none.
    pub fn request_body(&self) -> io::Result<Body> {
        Ok(self.delimited()?.unwrap_or(Body::Length(0)))
    }

    /// How the body of the response to `method` is delimited; without a word about it, by the end of the connection.
    pub fn response_body(&self, method: &str) -> io::Result<Body> {
        let bodiless = method == "HEAD" || matches!(self.status()?, 204 | 304);
        if bodiless { Ok(Body::Length(0)) } else { Ok(self.delimited()?.unwrap_or(Body::Close)) }
    }

    fn delimited(&self) -> io::Result<Option<Body>> {
        if self.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Ok(Some(Body::Chunked));
        }
        match self.field("content-length").map(str::parse) {
            None => Ok(None),
            Some(Ok(length)) => Ok(Some(Body::Length(length))),
            Some(Err(_)) => Err(broken("a Content-Length that is no number")),
        }
    }
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// That many bytes.
    Length(u64),
    /// Chunks, up to the last one.
    Chunked,
    /// Everything until the peer closes.
    Close,
}

impl Body {
    /// Reads the body, handing on each piece as it arrives.
    pub fn read(self, from: &mut impl BufRead, piece: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Length(length) => exactly(from, length, piece),
            Self::Chunked => chunks(from, piece),
            Self::Close => until_close(from, piece),
        }
    }
}

fn chunks(from: &mut impl BufRead, piece: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    loop {
        let size = line(from)?.ok_or_else(|| broken("the body ends before its last chunk"))?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| broken("a chunk without a size"))?;
        if size == 0 {
            while line(from)?.is_some_and(|trailer| !trailer.is_empty()) {}
            return Ok(());
        }
        exactly(from, size, piece)?;
        if line(from)?.as_deref() != Some("") {
            return Err(broken("a chunk without its end"));
        }
    }
}

fn exactly(from: &mut impl BufRead, mut left: u64, piece: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    while left > 0 {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Err(broken("the body is cut short"));
        }
        let take = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        piece(&buffer[..take]);
        from.consume(take);
        left -= take as u64;
    }
    Ok(())
}

fn until_close(from: &mut impl BufRead, piece: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let take = buffer.len();
        piece(buffer);
        from.consume(take);
    }
}

/// One line without its end; `None` at the end of the input.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    from.take(LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\r\n").ok_or_else(|| broken("a line without CRLF"))?;
    String::from_utf8(text.to_vec()).map(Some).map_err(|_| broken("a line that is no text"))
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> io::Result<(Head, Vec<u8>)> {
        let mut from = bytes.as_bytes();
        let head = Head::read(&mut from)?.expect("a head");
        let mut body = Vec::new();
        head.response_body("GET")?.read(&mut from, &mut |piece| body.extend_from_slice(piece))?;
        Ok((head, body))
    }

    #[test]
    fn all_three_framings_are_read() {
        let length = read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd").expect("a length");
        assert_eq!((length.0.status().expect("a status"), length.1.as_slice()), (200, &b"abc"[..]));
        let chunked =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n";
        assert_eq!(read(chunked).expect("chunks").1, b"abc");
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\nabc").expect("until close").1, b"abc");
    }

    #[test]
    fn a_cut_body_is_an_error() {
        for cut in [
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ] {
            assert!(read(cut).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn no_body_where_http_says_none() {
        let head =
            Head::read(&mut &b"HTTP/1.1 204 No Content\r\n\r\n"[..]).expect("readable").expect("a head");
        assert_eq!(head.response_body("GET").expect("framed"), Body::Length(0));
        assert!(Head::read(&mut &b""[..]).expect("readable").is_none());
    }
}
