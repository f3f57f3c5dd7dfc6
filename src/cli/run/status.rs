//! What a terminal shows of a session while it runs: its title, or a line at its bottom on request.
//!
//! The command writes to the same terminal, and we neither read nor hold back what it writes. The title disturbs no
//! program's screen, so it is the default. The line is kept free by a scrolling region: fine for a command that prints
//! line by line, not for one that takes the whole screen, which is why it must be asked for.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stderr};

use clap::ValueEnum;
use terminal_size::{Height, Width, terminal_size_of};

/// Where a terminal shows what a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Show {
    /// In the terminal's title
    Title,
    /// In a line of its own at the bottom, for commands that do not use the whole screen
    Line,
    /// Nowhere
    Off,
}

/// The place on the terminal, if standard error is one.
pub struct Status {
    show: Show,
    /// Rows of the terminal whose last one is ours now.
    rows: Option<u16>,
}

impl Status {
    /// Nothing is shown where nobody looks.
    pub fn new(show: Show) -> Self {
        Self { show: if stderr().is_terminal() { show } else { Show::Off }, rows: None }
    }

    /// Whether there is anything to draw.
    pub fn is_on(&self) -> bool {
        self.show != Show::Off
    }

    /// Shows a text in place of the one before.
    pub fn draw(&mut self, text: &str) {
        match self.show {
            Show::Off => {}
            Show::Title => put(&format!("\x1b]2;{text}\x07")),
            Show::Line => {
                if let Some((Width(columns), Height(rows))) = terminal_size_of(stderr()) {
                    put(&line(text, columns, rows, self.rows.replace(rows)));
                }
            }
        }
    }

    /// Gives the terminal back as it was, for good.
    pub fn clear(&mut self) {
        match (self.show, self.rows.take()) {
            (Show::Title, _) => put("\x1b]2;\x07"),
            (Show::Line, Some(rows)) => put(&format!("\x1b7\x1b[r\x1b[{rows};1H\x1b[2K\x1b8")),
            _ => {}
        }
        self.show = Show::Off;
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.clear();
    }
}

/// In one write, so that the command's own output stands before or after it.
fn put(sequence: &str) {
    let _ = stderr().write_all(sequence.as_bytes()); // a terminal that is gone is no trouble
}

/// Draws the line; before that it takes the last row out of what scrolls, if that is not so at this size.
fn line(text: &str, columns: u16, rows: u16, taken: Option<u16>) -> String {
    let mut sequence = String::new();
    if taken != Some(rows) {
        let last = rows.saturating_sub(1).max(1);
        // A line down and up again: the cursor may stand in the last row.
        let _ = write!(sequence, "\n\x1b[A\x1b7\x1b[1;{last}r\x1b8"); // to a String: cannot fail
    }
    let text: String = text.chars().take(usize::from(columns.saturating_sub(1))).collect();
    let _ = write!(sequence, "\x1b7\x1b[{rows};1H\x1b[2K\x1b[7m{text}\x1b[0m\x1b8"); // as above
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_is_taken_once_a_size_and_the_text_fits() {
        let first = line("0123456789", 5, 24, None);
        assert!(first.contains("\x1b[1;23r") && first.contains("\x1b[24;1H"));
        assert!(first.contains("\x1b[7m0123\x1b[0m"));
        assert!(!line("x", 80, 24, Some(24)).contains("\x1b[1;23r"));
        assert!(line("x", 80, 30, Some(24)).contains("\x1b[1;29r"), "the terminal has grown");
    }
}
