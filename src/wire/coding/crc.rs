//! CRC-32 in both of the polynomials that wire formats use, sixteen bytes at a step (slicing, Kounavis and Berry).

/// Bytes taken at a time.
const STEP: usize = 16;

/// CRC-32 as gzip and AWS event streams have it (IEEE 802.3).
pub type Crc32 = Crc<0xedb8_8320>;
/// CRC-32C as PROXY v2 has it (Castagnoli).
pub type Crc32c = Crc<0x82f6_3b78>;

/// A running CRC over the reflected polynomial `POLY`.
#[derive(Clone, Copy, Debug)]
pub struct Crc<const POLY: u32> {
    state: u32,
}

impl<const POLY: u32> Default for Crc<POLY> {
    fn default() -> Self {
        Self { state: !0 }
    }
}

impl<const POLY: u32> Crc<POLY> {
    const TABLES: &[[u32; 256]; STEP] = &tables(POLY);

    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> u32 {
        let mut crc = Self::default();
        crc.update(bytes);
        crc.value()
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let (steps, rest) = bytes.as_chunks();
        for step in steps {
            self.step(*step);
        }
        for &byte in rest {
            self.state = Self::TABLES[0][usize::from(byte ^ self.state as u8)] ^ self.state >> 8;
        }
    }

    fn step(&mut self, mut bytes: [u8; STEP]) {
        for (byte, state) in bytes.iter_mut().zip(self.state.to_le_bytes()) {
            *byte ^= state;
        }
        self.state = (0..STEP).fold(0, |state, n| state ^ Self::TABLES[STEP - 1 - n][usize::from(bytes[n])]);
    }

    /// The checksum of everything taken so far.
    pub fn value(self) -> u32 {
        !self.state
    }
}

/// Table `n` advances a byte by `n` further bytes of zeros.
const fn tables(poly: u32) -> [[u32; 256]; STEP] {
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ poly } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut n = 1;
    while n < STEP {
        let mut byte = 0;
        while byte < 256 {
            let before: u32 = tables[n - 1][byte];
            tables[n][byte] = tables[0][(before & 0xff) as usize] ^ before >> 8;
            byte += 1;
        }
        n += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn check_values_of_the_catalogue() {
        assert_eq!(Crc32::of(b"123456789"), 0xcbf4_3926);
        assert_eq!(Crc32c::of(b"123456789"), 0xe306_9283);
        assert_eq!(Crc32::of(b""), 0);
    }

    proptest! {
        #[test]
        fn words_and_cuts_change_nothing(bytes: Vec<u8>, cut: prop::sample::Index) {
            let bitwise = bytes.iter().fold(!0u32, |state, &byte| {
                (0..8).fold(state ^ u32::from(byte), |s, _| if s & 1 == 1 { s >> 1 ^ 0xedb8_8320 } else { s >> 1 })
            });
            let mut crc = Crc32::default();
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            crc.update(head);
            crc.update(tail);
            prop_assert_eq!(crc.value(), !bitwise);
        }
    }
}
