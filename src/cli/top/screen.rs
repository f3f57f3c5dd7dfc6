//! The terminal while the view has it: raw input, a screen of its own, no line wrapping. It is given back as it was
//! however the view ends, also by a panic, and while the view is stopped (Ctrl-Z).

use std::io::{self, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};

/// Another screen, no cursor, no wrapping.
const BEGIN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// The opposite.
const END: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The size of a terminal that does not say.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// Characters in a line, and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// How a line is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Title,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Style {
    /// Select Graphic Rendition (ECMA-48 §8.3.117); what is no colour is used without colours too.
    fn code(self, colours: bool) -> &'static str {
        match self {
            Self::Title => "1",
            Self::Good if colours => "32",
            Self::Warning if colours => "33",
            Self::Bad if colours => "31",
            Self::Faint if colours => "2",
            _ => "",
        }
    }
}

/// One line of a frame; its text holds no control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) style: Style,
    pub(super) text: String,
}

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Tab,
    Interrupt,
    Suspend,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
}

/// What ended a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Time, or a new size.
    Nothing,
    Keys(Vec<Key>),
    /// A signal, or the terminal has gone.
    Quit,
}

/// A terminal that is ours until this is dropped.
pub(super) struct Screen {
    before: Termios,
    quit: Arc<AtomicBool>,
    resized: Arc<AtomicBool>,
    colours: bool,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn enter() -> io::Result<Self> {
        let (quit, resized) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&quit))?;
        }
        signal_hook::flag::register(SIGWINCH, Arc::clone(&resized))?;
        let wanted = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let colours = wanted("NO_COLOR").is_none() && wanted("TERM").is_none_or(|term| term != "dumb");
        let screen = Self { before: tcgetattr(stdin())?, quit, resized, colours };
        screen.take()?;
        Ok(screen)
    }

    fn take(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSADRAIN, &raw)?;
        write(BEGIN)
    }

    fn give_back(&self) -> io::Result<()> {
        let said = write(END);
        tcsetattr(stdin(), SetArg::TCSADRAIN, &self.before)?;
        said
    }

    /// The terminal's size as it is now.
    pub(super) fn size() -> Size {
        let size = terminal_size::terminal_size_of(stdout());
        size.map_or(USUAL, |(width, height)| Size { columns: width.0.into(), rows: height.0.into() })
    }

    /// Shows a frame in place of the one before.
    pub(super) fn draw(&self, frame: &[Line]) -> io::Result<()> {
        let mut out = String::with_capacity(8 << 10);
        out += if self.resized.swap(false, Relaxed) { "\x1b[2J\x1b[H" } else { "\x1b[H" };
        for (index, line) in frame.iter().enumerate() {
            out += if index == 0 { "" } else { "\r\n" };
            match line.style.code(self.colours) {
                "" => out += &line.text,
                code => out.extend(["\x1b[", code, "m", &line.text, "\x1b[0m"]),
            }
            out += "\x1b[K";
        }
        write(&(out + "\x1b[J"))
    }

    /// Waits for keys, a signal or a new size, for so long.
    pub(super) fn wait(&self, most: Duration) -> io::Result<Event> {
        let input = stdin();
        let mut ready = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX);
        let polled = match poll(&mut ready, timeout) {
            Err(Errno::EINTR) => 0,
            polled => polled?,
        };
        if self.quit.load(Relaxed) {
            return Ok(Event::Quit);
        }
        if polled == 0 {
            return Ok(Event::Nothing);
        }
        let mut bytes = [0; 256];
        match nix::unistd::read(&input, &mut bytes) {
            Ok(0) => Ok(Event::Quit),
            Ok(read) => self.pressed(&bytes[..read]),
            Err(Errno::EINTR) => Ok(Event::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    fn pressed(&self, bytes: &[u8]) -> io::Result<Event> {
        let mut keys = keys(bytes);
        if keys.contains(&Key::Suspend) {
            keys.retain(|key| *key != Key::Suspend);
            self.give_back()?;
            raise(Signal::SIGTSTP)?;
            self.take()?;
        }
        Ok(Event::Keys(keys))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone cannot be given back.
        drop(self.give_back());
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The keys in what a terminal sent; what is not known is left out.
fn keys(bytes: &[u8]) -> Vec<Key> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = &*text;
    let mut keys = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (key, length) = match rest.strip_prefix("\x1b[").or(rest.strip_prefix("\x1bO")) {
            Some(sequence) => function_key(sequence),
            None => (plain_key(first), first.len_utf8()),
        };
        keys.extend(key);
        rest = &rest[length..];
    }
    keys
}

fn plain_key(first: char) -> Option<Key> {
    Some(match first {
        '\x03' => Key::Interrupt,
        '\x1a' => Key::Suspend,
        '\t' => Key::Tab,
        '\r' | '\n' => Key::Enter,
        '\x1b' => Key::Escape,
        '\x08' | '\x7f' => Key::Backspace,
        c if c.is_control() => return None,
        c => Key::Char(c),
    })
}

/// The key of a control sequence behind its introducer, and how long both are.
fn function_key(sequence: &str) -> (Option<Key>, usize) {
    let end = sequence.find(|c: char| matches!(c, '@'..='~')).map_or(sequence.len(), |at| at + 1);
    let key = match &sequence[..end] {
        "A" => Some(Key::Up),
        "B" => Some(Key::Down),
        "C" => Some(Key::Right),
        "D" => Some(Key::Left),
        "H" | "1~" => Some(Key::Home),
        "5~" => Some(Key::PageUp),
        "6~" => Some(Key::PageDown),
        _ => None,
    };
    (key, 2 + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        use Key::{Char, Down, Enter, Escape, Interrupt, PageDown, Tab, Up};
        assert_eq!(keys(b"q/\xc3\xa9\t\r\x03"), [Char('q'), Char('/'), Char('é'), Tab, Enter, Interrupt]);
        assert_eq!(keys(b"\x1b[A\x1bOB\x1b[6~\x1b[1;5Cq"), [Up, Down, PageDown, Char('q')]);
        assert_eq!(keys(b"\x1b"), [Escape]);
        assert_eq!(keys(b"\x1b[200"), []);
        assert_eq!(keys(b"\xff"), [Char('\u{fffd}')]);
    }
}
