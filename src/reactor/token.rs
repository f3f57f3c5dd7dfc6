//! What a mio token means: a listener, the mailbox, or a port with its generation.

use mio::Token;

/// The mailbox's waker.
pub const MAILBOX: Token = Token(usize::MAX);
/// Listeners have tokens from here on, by index.
const LISTENERS: usize = usize::MAX - 4096;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Something lies in the mailbox.
    Mailbox,
    /// The listener with this index has connections to accept.
    Listener(usize),
    /// A port, if its generation still fits.
    Port {
        /// Its slot.
        key: usize,
        /// Its generation.
        generation: u32,
    },
}

/// The token of the listener with this index.
pub fn listener(index: usize) -> Token {
    Token(LISTENERS + index)
}

/// The token of a port.
pub fn port(key: usize, generation: u32) -> Token {
    Token((generation as usize & 0x00ff_ffff) << 32 | key)
}

/// Reads a token.
pub fn source(token: Token) -> Source {
    match token.0 {
        value if token == MAILBOX || value > LISTENERS + 4000 => Source::Mailbox,
        value if value >= LISTENERS => Source::Listener(value - LISTENERS),
        value => Source::Port { key: value & 0xffff_ffff, generation: (value >> 32) as u32 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_reads_back_as_what_it_was_made_from() {
        assert_eq!(source(MAILBOX), Source::Mailbox);
        assert_eq!(source(listener(3)), Source::Listener(3));
        assert_eq!(source(port(70_000, 5)), Source::Port { key: 70_000, generation: 5 });
        assert_eq!(source(port(1, 0x0100_0001)), Source::Port { key: 1, generation: 1 });
    }
}
