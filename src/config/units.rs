//! Durations (`"500ms"`, `"10s"`, `"5m"`, `"1h"`, `"30d"`) and sizes (`"64KiB"`, `"1MiB"`): numbers carry their unit.

use crate::limits::Micros;

const DURATIONS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Reads a duration. `None`: not a whole number with one of the units, or too large.
pub fn duration(text: &str) -> Option<Micros> {
    scaled(text, &DURATIONS)
}

/// Reads a size in bytes. `None`: not a whole number with one of the units, or too large.
pub fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZES)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(duration("500ms"), Some(500_000));
        assert_eq!(duration("10s"), Some(10_000_000));
        assert_eq!(duration("5m"), Some(300_000_000));
        assert_eq!(duration("1h"), Some(3_600_000_000));
        assert_eq!(duration("30d"), Some(2_592_000_000_000));
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("1MiB"), Some(1 << 20));
        assert_eq!(size("0B"), Some(0));
    }

    #[test]
    fn what_carries_no_unit_is_refused() {
        for text in
            ["10", "s", "", "1.5s", "-1s", "10 s", "10S", "99999999999999999999s", "999999999999999999d"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["64", "64KB", "64kib", "KiB", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
