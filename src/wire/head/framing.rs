//! How long a body is, from the head alone (RFC 9112 §6), with every case refused that two readers could take
//! differently.

use super::fields::Kind;
use super::{Fields, HeadError, Method, Version, syntax};
use crate::wire::body::Framing;

/// A request's framing: nothing, one Content-Length or exactly `chunked` (P14).
pub fn of_request(fields: &Fields, version: Version, method: Method) -> Result<Framing, HeadError> {
    if fields.of_kind(Kind::Lookalike).next().is_some() {
        return Err(HeadError::FramingLookalike);
    }
    let chunked = is_chunked(fields, version)?;
    let length = single_length(fields)?;
    let framing = match (chunked, length) {
        (true, Some(_)) => return Err(HeadError::LengthAndTransferEncoding),
        (true, None) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::None,
    };
    match framing {
        Framing::None | Framing::Length(0) if method == Method::Connect => Ok(Framing::None),
        _ if method == Method::Connect => Err(HeadError::BodyOnConnect),
        _ => Ok(framing),
    }
}

/// A response's framing, and the length that it declares, which a HEAD or 304 answer has without a body.
pub fn of_response(
    fields: &Fields,
    version: Version,
    status: u16,
    method: Method,
) -> Result<(Framing, Option<u64>), HeadError> {
    let length = agreed_length(fields)?;
    if matches!(status, 100..=199 | 204) || (method == Method::Connect && status < 300) {
        return Ok((Framing::None, None));
    }
    let chunked = is_chunked(fields, version)?;
    if chunked && length.is_some() {
        return Err(HeadError::LengthAndTransferEncoding);
    }
    if status == 304 || method == Method::Head {
        return Ok((Framing::None, length));
    }
    let framing = match length {
        _ if chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    };
    Ok((framing, length))
}

/// Whether there is one Transfer-Encoding and it is `chunked`.
fn is_chunked(fields: &Fields, version: Version) -> Result<bool, HeadError> {
    let mut codings = fields.of_kind(Kind::TransferEncoding);
    let Some(coding) = codings.next() else { return Ok(false) };
    if codings.next().is_some() {
        return Err(HeadError::TransferEncodingTwice);
    }
    if version == Version::H10 {
        return Err(HeadError::TransferEncodingInHttp10);
    }
    if coding.eq_ignore_ascii_case(b"chunked") { Ok(true) } else { Err(unknown_coding(coding)) }
}

/// RFC 9112 §6.1 and §6.3: 501 for a compression that we could have known, 400 where `chunked` is not the last.
#[cold]
fn unknown_coding(value: &[u8]) -> HeadError {
    const KNOWN: [&[u8]; 5] = [b"gzip", b"deflate", b"compress", b"x-gzip", b"x-compress"];
    let known = |coding: &[u8]| KNOWN.iter().any(|known| coding.eq_ignore_ascii_case(known));
    match value.iter().rposition(|&byte| byte == b',') {
        Some(comma)
            if syntax::trim(&value[comma + 1..]).eq_ignore_ascii_case(b"chunked")
                && value[..comma].split(|&byte| byte == b',').map(syntax::trim).all(known) =>
        {
            HeadError::TransferEncodingUnknown
        }
        _ => HeadError::TransferEncoding,
    }
}

/// The only Content-Length; a second one is refused even if it says the same.
fn single_length(fields: &Fields) -> Result<Option<u64>, HeadError> {
    let mut lengths = fields.of_kind(Kind::ContentLength);
    let Some(value) = lengths.next() else { return Ok(None) };
    if lengths.next().is_some() {
        return Err(HeadError::TwoContentLengths);
    }
    decimal(value).map(Some).ok_or(HeadError::ContentLength)
}

/// The Content-Length on which all fields and list members agree (RFC 9110 §8.6).
fn agreed_length(fields: &Fields) -> Result<Option<u64>, HeadError> {
    let mut agreed = None;
    for member in fields.of_kind(Kind::ContentLength).flat_map(|value| value.split(|&byte| byte == b',')) {
        let length = decimal(syntax::trim(member)).ok_or(HeadError::ContentLength)?;
        if agreed.replace(length).is_some_and(|before| before != length) {
            return Err(HeadError::TwoContentLengths);
        }
    }
    Ok(agreed)
}

/// `1*DIGIT` that fits.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let push = |value: u64, byte: &u8| value.checked_mul(10)?.checked_add(digit(byte)?);
    if text.is_empty() { None } else { text.iter().try_fold(0, push) }
}
