//! XXH64 with seed 0, the content checksum of a frame (RFC 8878 §3.1.1; xxHash specification).

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

const STRIPE: usize = 32;

/// A running hash.
pub(super) struct Xxh64 {
    lanes: [u64; 4],
    /// The beginning of a stripe.
    pending: [u8; STRIPE],
    total: u64,
}

impl Default for Xxh64 {
    fn default() -> Self {
        let lanes = [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, PRIMES[0].wrapping_neg()];
        Self { lanes, pending: [0; STRIPE], total: 0 }
    }
}

impl Xxh64 {
    /// Takes more bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        let held = self.total as usize % STRIPE;
        self.total += bytes.len() as u64;
        if held > 0 {
            let (head, rest) = bytes.split_at(bytes.len().min(STRIPE - held));
            self.pending[held..held + head.len()].copy_from_slice(head);
            bytes = rest;
            if held + head.len() < STRIPE {
                return;
            }
            stripe(&mut self.lanes, &self.pending);
        }
        let (stripes, rest) = bytes.as_chunks();
        for bytes in stripes {
            stripe(&mut self.lanes, bytes);
        }
        self.pending[..rest.len()].copy_from_slice(rest);
    }

    /// The hash of everything taken so far.
    pub(super) fn value(&self) -> u64 {
        let mut hash = if self.total >= STRIPE as u64 { merge(self.lanes) } else { PRIMES[4] };
        hash = hash.wrapping_add(self.total);
        let (words, rest) = self.pending[..self.total as usize % STRIPE].as_chunks::<8>();
        for word in words {
            hash = (hash ^ round(0, u64::from_le_bytes(*word))).rotate_left(27);
            hash = hash.wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]);
        }
        let (half, rest) = rest.as_chunks::<4>();
        for half in half {
            hash = (hash ^ u64::from(u32::from_le_bytes(*half)).wrapping_mul(PRIMES[0])).rotate_left(23);
            hash = hash.wrapping_mul(PRIMES[1]).wrapping_add(PRIMES[2]);
        }
        for &byte in rest {
            hash = (hash ^ u64::from(byte).wrapping_mul(PRIMES[4])).rotate_left(11).wrapping_mul(PRIMES[0]);
        }
        hash = (hash ^ hash >> 33).wrapping_mul(PRIMES[1]);
        hash = (hash ^ hash >> 29).wrapping_mul(PRIMES[2]);
        hash ^ hash >> 32
    }
}

fn stripe(lanes: &mut [u64; 4], bytes: &[u8; STRIPE]) {
    for (lane, word) in lanes.iter_mut().zip(bytes.as_chunks().0) {
        *lane = round(*lane, u64::from_le_bytes(*word));
    }
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIMES[1])).rotate_left(31).wrapping_mul(PRIMES[0])
}

fn merge(lanes: [u64; 4]) -> u64 {
    let [a, b, c, d] = lanes;
    let sum = [(a, 1), (b, 7), (c, 12), (d, 18)].map(|(lane, bits)| lane.rotate_left(bits));
    let sum = sum.into_iter().fold(0, u64::wrapping_add);
    lanes
        .into_iter()
        .fold(sum, |hash, lane| (hash ^ round(0, lane)).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_whole_and_cut() {
        let sequence: Vec<u8> = (0..=255).collect();
        let cases: [(&[u8], u64); 4] = [
            (b"", 0xef46_db37_51d8_e999),
            (b"a", 0xd24e_c4f1_a98c_6e5b),
            (b"abc", 0x44bc_2cf5_ad77_0999),
            (&sequence, 0x1fac_be84_06cd_904b),
        ];
        for (bytes, expected) in cases {
            for size in [1, 7, 32, 300] {
                let mut hash = Xxh64::default();
                bytes.chunks(size).for_each(|part| hash.update(part));
                assert_eq!(hash.value(), expected, "{} bytes in pieces of {size}", bytes.len());
            }
        }
    }
}
