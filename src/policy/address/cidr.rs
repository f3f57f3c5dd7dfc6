//! Address ranges in CIDR notation (RFC 4632).

use core::fmt;
use core::net::IpAddr;

/// A range of addresses; host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `fd00::/8` or a single address. `None`: no range, or one with host bits set.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            None => (text.parse().ok()?, None),
            Some((address, bits)) => (address.parse().ok()?, Some(bits.parse().ok()?)),
        };
        let range = Self { address, bits: bits.unwrap_or(width(address)) };
        (range.bits <= width(address) && range.masked(address) == Some(address)).then_some(range)
    }

    /// Whether `ip` lies in the range. An IPv4 range holds no IPv6 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.masked(ip) == Some(self.address)
    }

    /// Whether the range is one address.
    pub fn is_single(&self) -> bool {
        self.bits == width(self.address)
    }

    fn masked(&self, ip: IpAddr) -> Option<IpAddr> {
        let shift = u32::from(width(self.address).checked_sub(self.bits)?);
        match (self.address, ip) {
            (IpAddr::V4(_), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
                Some(IpAddr::V4((ip.to_bits() & mask).into()))
            }
            (IpAddr::V6(_), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                Some(IpAddr::V6((ip.to_bits() & mask).into()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.address)?;
        if self.is_single() { Ok(()) } else { write!(out, "/{}", self.bits) }
    }
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_name() {
        let range = Cidr::parse("10.1.0.0/16").expect("a range");
        assert!(range.contains("10.1.255.1".parse().expect("an address")));
        assert!(!range.contains("10.2.0.0".parse().expect("an address")));
        assert!(!range.contains("::ffff:10.1.0.1".parse().expect("an address")));
        assert!(
            Cidr::parse("0.0.0.0/0").is_some_and(|all| all.contains("8.8.8.8".parse().expect("an address")))
        );
        assert!(Cidr::parse("::1").is_some_and(|one| one.is_single()));
    }

    #[test]
    fn host_bits_and_nonsense_are_refused() {
        for text in ["10.1.0.1/16", "10.0.0.0/33", "10.0.0.0/", "10.0/8", "::/129", "x", "", "010.0.0.0/8"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}
