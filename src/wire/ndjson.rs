//! Newline-delimited JSON: finds lines in a stream cut anywhere, without copying them.
//!
//! A line ends in LF; a CR before it is white space to JSON and is left to the reader. Blank lines are not told, and
//! the last line needs no end. Refuses nothing: what a line holds is for its reader to judge.

use memchr::memchr;

/// What the scanner tells, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A piece of a line; never empty.
    Piece(&'a [u8]),
    /// The line is complete.
    End,
}

/// Finds lines in a stream.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    /// The line has had a byte that is not white space.
    begun: bool,
}

impl Scanner {
    /// Reads on, telling `sink` what it finds.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl FnMut(Token<'_>)) {
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            self.piece(&rest[..end], sink);
            self.finish(sink);
            rest = &rest[end + 1..];
        }
        self.piece(rest, sink);
    }

    /// Ends the line that is under way, if any.
    pub fn finish(&mut self, sink: &mut impl FnMut(Token<'_>)) {
        if std::mem::take(&mut self.begun) {
            sink(Token::End);
        }
    }

    fn piece(&mut self, piece: &[u8], sink: &mut impl FnMut(Token<'_>)) {
        let piece = if self.begun { piece } else { piece.trim_ascii_start() };
        if !piece.is_empty() {
            self.begun = true;
            sink(Token::Piece(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let mut scanner = Scanner::default();
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        let mut sink = |token: Token<'_>| match token {
            Token::Piece(piece) => line.extend_from_slice(piece),
            Token::End => lines.push(std::mem::take(&mut line)),
        };
        pieces.into_iter().for_each(|piece| scanner.push(piece, &mut sink));
        scanner.finish(&mut sink);
        lines
    }

    proptest! {
        #[test]
        fn lines_cut_anywhere_are_those_of_split(stream in "[ {}\"a\r\n]{0,60}", size in 1usize..5) {
            let expected: Vec<Vec<u8>> = stream
                .split('\n')
                .map(|line| line.as_bytes().trim_ascii_start().to_vec())
                .filter(|line| !line.is_empty())
                .collect();
            prop_assert_eq!(&lines(stream.as_bytes().chunks(size)), &expected);
            prop_assert_eq!(&lines([stream.as_bytes()]), &expected);
        }
    }
}
