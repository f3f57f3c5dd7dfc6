//! IPv4 addresses in all the spellings that `inet_aton` and browsers accept (WHATWG URL, "IPv4 parser").

use core::net::Ipv4Addr;

/// Reads one to four numbers, decimal, octal (`0…`) or hexadecimal (`0x…`); the last one fills what is left.
pub(super) fn parse(name: &str) -> Option<Ipv4Addr> {
    let mut address = 0_u64;
    let mut parts = 0_u32;
    let mut last = 0;
    for part in name.split('.') {
        if parts > 0 {
            address = address << 8 | u64::from(u8::try_from(last).ok()?);
        }
        last = number(part)?;
        parts += 1;
    }
    if parts > 4 {
        return None;
    }
    let room = 8 * (5 - parts);
    (last < 1 << room).then(|| Ipv4Addr::from_bits((address << room | last) as u32))
}

/// One part. Leading zeros mean octal, so `08` is no number; a lone `0x` is zero.
pub(super) fn number(part: &str) -> Option<u64> {
    let (digits, radix) = match part.as_bytes() {
        [] => return None,
        [b'0', b'x', ..] => (part[2..].trim_start_matches('0'), 16),
        [b'0', _, ..] => (part.trim_start_matches('0'), 8),
        _ => (part, 10),
    };
    let legal = digits.bytes().all(|byte| char::from(byte).is_digit(radix));
    match digits.len() {
        0 => Some(0),
        1..=12 if legal => u64::from_str_radix(digits, radix).ok(),
        _ => None,
    }
}
