//! Where byte streams are cut and who moves first: nowhere, everywhere, or as a seed says. The generator is
//! xorshift64*: short, and the same on every machine.

/// How streams are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// As much as the machine takes, the guest first.
    Whole,
    /// Byte by byte.
    Bytes,
    /// Pieces of changing sizes, in changing order; the state of the generator, never 0.
    Seeded(u64),
}

impl Cuts {
    /// Cuts that follow from a seed: 0 cuts nowhere, 1 everywhere.
    pub fn from_seed(seed: u64) -> Self {
        match seed {
            0 => Self::Whole,
            1 => Self::Bytes,
            _ => Self::Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        }
    }

    /// The largest next piece.
    pub fn size(&mut self) -> usize {
        match self {
            Self::Whole => usize::MAX,
            Self::Bytes => 1,
            Self::Seeded(state) => {
                let drawn = next(state);
                // Small pieces mostly, a large one now and then.
                (1 << (drawn % 15)) + (drawn >> 32) as usize % 7
            }
        }
    }

    /// Whether the guest moves first.
    pub fn flip(&mut self) -> bool {
        match self {
            Self::Whole | Self::Bytes => true,
            Self::Seeded(state) => next(state) & 1 == 0,
        }
    }
}

fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
}
