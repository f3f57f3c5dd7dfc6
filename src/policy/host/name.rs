//! What a DNS name may look like: RFC 1123 §2.1, with the underscore that real hosts have.

use super::HostError;

/// The longest name in its text form (RFC 1035 §2.3.4).
pub(super) const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Copies `raw` into `buffer` in lower case, without one trailing dot.
pub(super) fn lowered<'b>(raw: &[u8], buffer: &'b mut [u8; LONGEST]) -> Result<&'b str, HostError> {
    let raw = raw.strip_suffix(b".").unwrap_or(raw);
    if raw.is_empty() {
        return Err(HostError::Empty);
    }
    let name = buffer.get_mut(..raw.len()).ok_or(HostError::TooLong)?;
    name.copy_from_slice(raw);
    name.make_ascii_lowercase();
    core::str::from_utf8(name).ok().filter(|name| name.is_ascii()).ok_or(HostError::NotAscii)
}

/// Whether the last label is a number, so that the whole must be an IPv4 address (WHATWG URL, "ends in a number").
pub(super) fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let digits = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    digits || last.starts_with("0x") && super::ipv4::number(last).is_some()
}

/// Checks a lowered name label by label.
pub(super) fn check(name: &str) -> Result<(), HostError> {
    let mut encoded = false;
    for label in name.split('.') {
        check_label(label.as_bytes())?;
        encoded |= label.starts_with("xn--");
    }
    if encoded && !decodes(name) {
        return Err(HostError::ALabel);
    }
    Ok(())
}

/// A-labels of a Unicode name (UTS 46, not transitional).
pub(super) fn to_ascii(text: &str) -> Result<Vec<u8>, HostError> {
    let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY);
    ascii.map(|name| name.as_bytes().to_vec()).map_err(|_| HostError::ALabel)
}

fn check_label(label: &[u8]) -> Result<(), HostError> {
    if label.is_empty() {
        return Err(HostError::EmptyLabel);
    }
    if label.len() > LONGEST_LABEL {
        return Err(HostError::TooLong);
    }
    if !label.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')) {
        return Err(HostError::Illegal);
    }
    if label.starts_with(b"-") || label.ends_with(b"-") {
        return Err(HostError::Hyphen);
    }
    Ok(())
}

/// Whether every A-label is what its own Unicode form encodes to.
fn decodes(name: &str) -> bool {
    idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::EMPTY).is_ok_and(|ascii| ascii == name)
}
