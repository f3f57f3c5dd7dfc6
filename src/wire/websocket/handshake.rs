//! What the upgrade needs (RFC 6455 §4, RFC 7692 §7), as functions of header values.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// What is hashed with the key (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Is this a `Sec-WebSocket-Key`: 16 bytes in base64?
pub fn is_key(value: &[u8]) -> bool {
    let is_digit = |byte: &u8| BASE64.contains(byte);
    matches!(value.split_last_chunk(), Some((digits, b"==")) if digits.len() == 22 && digits.iter().all(is_digit))
}

/// Is this the `Sec-WebSocket-Version` that RFC 6455 defines?
pub fn is_version(value: &[u8]) -> bool {
    value == b"13"
}

/// The `Sec-WebSocket-Accept` that answers a key (§4.2.2).
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    let mut text = [b'='; 28];
    for (bytes, digits) in hash.as_ref().chunks(3).zip(text.as_chunks_mut::<4>().0) {
        let word = bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - bytes.len()));
        for (n, digit) in digits.iter_mut().enumerate().take(bytes.len() + 1) {
            *digit = BASE64[(word >> (18 - 6 * n) & 63) as usize];
        }
    }
    text
}

/// An extension was agreed on that is not known here, so that the frames cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownExtension;

/// Does the response's `Sec-WebSocket-Extensions` agree on permessage-deflate? Its parameters make no difference to
/// a reader that keeps the largest window over all messages. Several fields are to be joined by commas.
pub fn agreed_deflate(value: &[u8]) -> Result<bool, UnknownExtension> {
    let mut deflate = false;
    for extension in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|text| !text.is_empty())
    {
        let name = extension.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        if deflate || !name.eq_ignore_ascii_case(b"permessage-deflate") {
            return Err(UnknownExtension);
        }
        deflate = true;
    }
    Ok(deflate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_rfc_6455() {
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_16_bytes_of_base64() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for key in [
            &b""[..],
            b"==",
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZR8=",
            b"dGhlIHNhbXBsZSBub2 jZQ==",
        ] {
            assert!(!is_key(key), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn extensions_are_known_or_not() {
        assert_eq!(agreed_deflate(b""), Ok(false));
        assert_eq!(agreed_deflate(b"permessage-deflate; server_max_window_bits=10"), Ok(true));
        assert_eq!(agreed_deflate(b"x-webkit-deflate-frame"), Err(UnknownExtension));
        assert_eq!(agreed_deflate(b"permessage-deflate, permessage-deflate"), Err(UnknownExtension));
    }
}
