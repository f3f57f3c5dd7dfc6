//! Header fields that were written before. Most fields of a request are those of the one before it, so what became of
//! a field is kept for the next time. Only fields that are stored as they came are kept: no secret stays here.

/// How many fields are kept; one that falls on another's place takes it.
const SLOTS: usize = 256;

/// Longest field that is kept: bytes of name and value together.
const LONGEST: usize = 512;

/// A field, and the JSON that it became.
#[derive(Debug, Default)]
struct Slot {
    /// Name and value.
    field: Vec<u8>,
    /// Bytes of the name.
    name: usize,
    json: Vec<u8>,
}

/// What became of fields: at most [`SLOTS`] of them, each with less than 4 KiB.
#[derive(Debug)]
pub(super) struct Memo {
    slots: Box<[Slot]>,
}

impl Memo {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Slot::default()).collect() }
    }

    /// The JSON of a field, if it is known.
    pub(super) fn get(&self, name: &[u8], value: &[u8]) -> Option<&[u8]> {
        let slot = &self.slots[place(name, value)];
        let same = slot.field.split_at_checked(slot.name) == Some((name, value));
        (same && !slot.json.is_empty()).then_some(&slot.json)
    }

    /// Keeps the JSON of a field.
    pub(super) fn put(&mut self, name: &[u8], value: &[u8], json: &[u8]) {
        if name.len() + value.len() > LONGEST {
            return;
        }
        let slot = &mut self.slots[place(name, value)];
        slot.field.clear();
        slot.field.extend_from_slice(name);
        slot.field.extend_from_slice(value);
        slot.name = name.len();
        slot.json.clear();
        slot.json.extend_from_slice(json);
    }
}

/// Where a field belongs. Whoever makes fields collide makes them be written as if there were no memory.
fn place(name: &[u8], value: &[u8]) -> usize {
    (mix(mix(0, name), value) >> 56) as usize % SLOTS
}

fn mix(hash: u64, text: &[u8]) -> u64 {
    /// 2^64 divided by the golden ratio, which spreads consecutive numbers (Knuth, TAOCP 6.4).
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = text.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let step =
        |hash: u64, word: &[u8; 8]| (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(SPREAD);
    step(words.iter().fold(hash, step), &last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_known_until_another_takes_its_place() {
        let mut memo = Memo::new();
        for number in 0..10_000u32 {
            let value = number.to_string().into_bytes();
            assert_eq!(memo.get(b"name", &value), None);
            memo.put(b"name", &value, &number.to_ne_bytes());
            assert_eq!(memo.get(b"name", &value), Some(&number.to_ne_bytes()[..]));
        }
        let used = memo.slots.iter().filter(|slot| !slot.field.is_empty()).count();
        assert_eq!(used, SLOTS, "fields spread over all places");
    }

    #[test]
    fn name_and_value_are_told_apart() {
        let mut memo = Memo::new();
        for split in 0..=8 {
            let (name, value) = b"abcdabcd".split_at(split);
            assert_eq!(memo.get(name, value), None, "{split}");
            memo.put(name, value, &[split as u8]);
            assert_eq!(memo.get(name, value), Some(&[split as u8][..]));
            // Wherever the same bytes lie, another name is another field.
            let (other, rest) = b"abcdabcd".split_at((split + 1) % 9);
            memo.slots.swap(place(name, value), place(other, rest));
            assert_eq!(memo.get(other, rest), None, "{split}");
            memo = Memo::new();
        }
        assert_eq!(Memo::new().get(b"", b""), None);
    }

    #[test]
    fn a_long_field_is_not_kept() {
        let mut memo = Memo::new();
        memo.put(b"a", &[b'a'; LONGEST - 1], b"x");
        memo.put(b"b", &[b'b'; LONGEST], b"x");
        assert_eq!(memo.get(b"a", &[b'a'; LONGEST - 1]), Some(&b"x"[..]));
        assert_eq!(memo.get(b"b", &[b'b'; LONGEST]), None);
    }
}
