//! Which addresses may be dialled (P7): every answer of the resolver is checked here before the connect.
//!
//! Refuses, unless configured, whatever is not plainly on the public internet, also where IPv6 carries an IPv4
//! address inside (mapped, compatible, NAT64, 6to4, Teredo). Documentation ranges are let through: nothing is there.

mod cidr;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use cidr::Cidr;

/// What `private_addresses` and `private_allow` say about addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// `private_addresses = "allow"`: everything may be dialled.
    pub allow_private: bool,
    /// Ranges that may be dialled all the same. A metadata address must be named by itself, not by a range.
    pub except: Vec<Cidr>,
}

/// Whether `ip` may be dialled; the error names the class of address that it belongs to.
pub fn check(ip: IpAddr, rules: &AddressRules) -> Result<(), &'static str> {
    let Some(class) = class(ip).filter(|_| !rules.allow_private) else {
        return Ok(());
    };
    match embedded(ip).map(IpAddr::from) {
        Some(inner) if excepted(inner, rules) => Ok(()),
        Some(inner) if excepted(ip, rules) => check(inner, rules),
        None if excepted(ip, rules) => Ok(()),
        _ => Err(class),
    }
}

fn excepted(ip: IpAddr, rules: &AddressRules) -> bool {
    let by_itself = class(ip) == Some(METADATA);
    rules.except.iter().any(|range| range.contains(ip) && (range.is_single() || !by_itself))
}

const METADATA: &str = "metadata";

/// Addresses at which clouds hand credentials to whoever asks.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Google, Azure and most others
    Ipv4Addr::new(169, 254, 170, 2),   // AWS ECS task credentials
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba
    Ipv4Addr::new(168, 63, 129, 16),   // Azure's wire server
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle
];
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS EKS pod identity
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google
];

fn class(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => class_v4(ip),
        IpAddr::V6(ip) => class_v6(ip),
    }
}

/// RFC 6890 and the IANA registry of special-purpose addresses.
fn class_v4(ip: Ipv4Addr) -> Option<&'static str> {
    if METADATA_V4.contains(&ip) {
        return Some(METADATA);
    }
    Some(match ip.octets() {
        [0, ..] => "unspecified",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        [100, 64..=127, ..] => "carrier-grade NAT",
        [127, ..] => "loopback",
        [169, 254, ..] => "link-local",
        [198, 18..=19, ..] => "benchmarking",
        [224..=239, ..] => "multicast",
        [255, 255, 255, 255] => "broadcast",
        [192, 0, 0, _] | [240..=255, ..] => "reserved",
        _ => return None,
    })
}

fn class_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if METADATA_V6.contains(&ip) {
        return Some(METADATA);
    }
    let inner = || embedded(ip.into()).is_some_and(|inner| class_v4(inner).is_some());
    Some(match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => "unspecified",
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback",
        [0, 0, 0, 0, 0, 0xffff, ..] => "IPv4-mapped",
        [0, 0, 0, 0, 0, 0, ..] => "IPv4-compatible",
        [0x64, 0xff9b, 0 | 1, ..] => "NAT64",
        [0xfc00..=0xfdff, ..] => "unique local",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xfec0..=0xfeff, ..] => "site-local",
        [0xff00..=0xffff, ..] => "multicast",
        [0x2002, ..] if inner() => "6to4 of a private address",
        [0x2001, 0, ..] if inner() => "Teredo of a private address",
        [0x2000..=0x3fff, ..] => return None,
        _ => "reserved",
    })
}

/// The IPv4 address that a packet to `ip` would really reach.
fn embedded(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else {
        return None;
    };
    let quad = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(quad(high, low))
        }
        [0x2002, high, low, ..] => Some(quad(high, low)),
        [0x2001, 0, .., high, low] => Some(quad(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(ip: &str) -> Option<&'static str> {
        check(ip.parse().expect("an address"), &AddressRules::default()).err()
    }

    #[test]
    fn p7_every_private_spelling_is_refused() {
        for (ip, class) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.0", "private"),
            ("10.255.255.255", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("100.64.0.1", "carrier-grade NAT"),
            ("100.127.255.255", "carrier-grade NAT"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("169.254.1.1", "link-local"),
            ("169.254.169.254", "metadata"),
            ("169.254.170.2", "metadata"),
            ("100.100.100.200", "metadata"),
            ("168.63.129.16", "metadata"),
            ("192.0.0.192", "metadata"),
            ("192.0.0.8", "reserved"),
            ("198.18.0.1", "benchmarking"),
            ("198.19.255.255", "benchmarking"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.254", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::7f00:1", "IPv4-compatible"),
            ("::ffff:127.0.0.1", "IPv4-mapped"),
            ("::ffff:8.8.8.8", "IPv4-mapped"),
            ("64:ff9b::a9fe:a9fe", "NAT64"),
            ("64:ff9b::808:808", "NAT64"),
            ("64:ff9b:1::1", "NAT64"),
            ("fc00::1", "unique local"),
            ("fdff::1", "unique local"),
            ("fd00:ec2::254", "metadata"),
            ("fd20:ce::254", "metadata"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
            ("2002:7f00:1::", "6to4 of a private address"),
            ("2002:a00:1::1", "6to4 of a private address"),
            ("2001:0:102:304::80ff:fffe", "Teredo of a private address"),
            ("100::1", "reserved"),
            ("4000::1", "reserved"),
        ] {
            assert_eq!(refused(ip), Some(class), "{ip}");
        }
    }

    #[test]
    fn p7_public_addresses_pass() {
        for ip in [
            "8.8.8.8",
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.255.255",
            "192.0.2.1",
            "192.167.255.255",
            "198.17.255.255",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:db8::1",
            "2001:4860:4860::8888",
            "2002:808:808::1",
            "3fff::1",
        ] {
            assert_eq!(refused(ip), None, "{ip}");
        }
    }

    #[test]
    fn exceptions_open_what_they_name_and_no_more() {
        let rules = |ranges: &[&str]| AddressRules {
            allow_private: false,
            except: ranges.iter().map(|text| Cidr::parse(text).expect("a range")).collect(),
        };
        for (ranges, ip, class) in [
            (&["10.1.0.0/16"][..], "10.1.2.3", None),
            (&["10.1.0.0/16"], "10.2.0.1", Some("private")),
            (&["10.1.0.0/16"], "::ffff:10.1.2.3", None),
            (&["10.1.0.0/16"], "::ffff:10.2.0.1", Some("IPv4-mapped")),
            (&["64:ff9b::/96"], "64:ff9b::808:808", None),
            (&["64:ff9b::/96"], "64:ff9b::a00:1", Some("private")),
            (&["64:ff9b::/96", "10.0.0.0/8"], "64:ff9b::a00:1", None),
            (&["169.254.0.0/16"], "169.254.1.1", None),
            (&["169.254.0.0/16"], "169.254.169.254", Some("metadata")),
            (&["169.254.169.254"], "169.254.169.254", None),
            (&["169.254.0.0/16"], "64:ff9b::a9fe:a9fe", Some("NAT64")),
            (&["fd00::/8"], "fd12::1", None),
            (&["fd00::/8"], "fd00:ec2::254", Some("metadata")),
            (&["::1"], "::1", None),
            (&["0.0.0.0/0"], "::1", Some("loopback")),
        ] {
            let ip = ip.parse().expect("an address");
            assert_eq!(check(ip, &rules(ranges)).err(), class, "{ip} with {ranges:?}");
        }
        let everything = AddressRules { allow_private: true, except: Vec::new() };
        assert_eq!(check("169.254.169.254".parse().expect("an address"), &everything), Ok(()));
    }
}
