//! Tables for people: fixed columns, the last takes what the terminal leaves, nothing can move the cursor (P36).

mod width;

use std::borrow::Cow;
use std::io::IsTerminal;

use crate::telemetry::text::{printable, utc};

pub use width::{cut, width};

/// A column: its title, its width, on which side its cells begin, and whether narrow terminals do without it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    width: usize,
    /// Its width where there is room.
    roomy: usize,
    right: bool,
    wide: bool,
}

impl Column {
    /// The same column, left out in narrow lines: of fewer than [`WIDE`] characters, or too few for all columns.
    pub const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    /// The same column with another width where lines are not narrow.
    pub const fn roomy(self, roomy: usize) -> Self {
        Self { roomy, ..self }
    }
}

/// Lines from this length on show every column, if the last has [`LAST`] characters then.
const WIDE: usize = 120;

/// The least that the last column gets before others are left out.
const LAST: usize = 20;

/// A column of words.
pub const fn left(title: &'static str, width: usize) -> Column {
    Column { title, width, roomy: width, right: false, wide: false }
}

/// A column of numbers.
pub const fn right(title: &'static str, width: usize) -> Column {
    Column { title, width, roomy: width, right: true, wide: false }
}

/// Lays out rows.
#[derive(Clone, Debug)]
pub struct Table {
    columns: &'static [Column],
    /// Characters in a line; none for output that is no terminal, where nothing is cut.
    line: Option<usize>,
}

impl Table {
    /// For stdout as it is.
    pub fn for_stdout(columns: &'static [Column]) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let line =
            terminal.then(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))).flatten();
        Self { columns, line }
    }

    /// For lines of so many characters.
    pub fn of_width(columns: &'static [Column], line: Option<usize>) -> Self {
        Self { columns, line }
    }

    /// Whether there is no room for every column.
    fn is_narrow(&self) -> bool {
        let all: usize = self.columns.iter().rev().skip(1).map(|column| column.roomy + 2).sum();
        self.line.is_some_and(|line| line < WIDE.max(all + LAST))
    }

    /// The line of titles.
    pub fn head(&self) -> String {
        let titles: Vec<_> = self.columns.iter().map(|column| Cow::Borrowed(column.title)).collect();
        self.row(&titles)
    }

    /// One line.
    pub fn row(&self, cells: &[Cow<'_, str>]) -> String {
        let mut out = String::new();
        let narrow = self.is_narrow();
        let last = self.columns.len().saturating_sub(1);
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            if column.wide && narrow {
                continue;
            }
            let cell = printable(cell);
            if index == last {
                let room = self.line.map_or(usize::MAX, |line| line.saturating_sub(width(&out)));
                out += &cut(&cell, room);
            } else {
                let most = if narrow { column.width } else { column.roomy };
                let cell = if self.line.is_some() { cut(&cell, most) } else { cell };
                pad(&mut out, &cell, most, column.right);
                out.push_str("  ");
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

fn pad(out: &mut String, cell: &str, most: usize, right: bool) {
    let spaces = " ".repeat(most.saturating_sub(width(cell)));
    if right {
        out.push_str(&spaces);
    }
    out.push_str(cell);
    if !right {
        out.push_str(&spaces);
    }
}

/// A number with an apostrophe-free grouping that copies well: `1_234_567` reads as Rust and Python do.
pub fn count(number: Option<i64>) -> Cow<'static, str> {
    let Some(number) = number else { return Cow::Borrowed("-") };
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len() - index;
        if index > 0 && left.is_multiple_of(3) && !out.ends_with('-') {
            out.push('_');
        }
        out.push(digit);
    }
    Cow::Owned(out)
}

/// So many of what `noun` names one of: `1 request`, `1_200 requests`.
pub fn counted(number: i64, noun: &str) -> String {
    format!("{} {noun}{}", count(Some(number)), if number == 1 { "" } else { "s" })
}

/// A moment in UTC, as far as a line has room for it: `11-22 02:05:02`.
pub fn time(micros: Option<i64>) -> Cow<'static, str> {
    micros.map_or(Cow::Borrowed("-"), |micros| Cow::Owned(utc(micros)[5..19].replace('T', " ")))
}

/// Money: cents, and two significant digits below; `-` where it is unknown.
pub fn usd(pico: Option<i64>) -> Cow<'static, str> {
    let Some(pico) = pico else { return Cow::Borrowed("-") };
    let dollars = pico as f64 / 1e12;
    Cow::Owned(match dollars.abs() {
        0.0 => "$0".to_owned(),
        size if size < 0.000_001 => "<$1e-6".to_owned(),
        size if size >= 0.1 => format!("${dollars:.2}"),
        size if size >= 0.001 => format!("${dollars:.4}"),
        _ => format!("${dollars:.6}"),
    })
}

/// A duration in microseconds, for reading.
pub fn duration(us: Option<i64>) -> Cow<'static, str> {
    let Some(us) = us else { return Cow::Borrowed("-") };
    let ms = us as f64 / 1e3;
    Cow::Owned(match us {
        10_000..10_000_000 => format!("{ms:.0}ms"),
        ..10_000 => format!("{ms:.1}ms"),
        _ => format!("{:.1}s", ms / 1e3),
    })
}

/// Bytes, for reading.
pub fn bytes(bytes: Option<i64>) -> Cow<'static, str> {
    let Some(bytes) = bytes else { return Cow::Borrowed("-") };
    let size = bytes as f64;
    Cow::Owned(match bytes {
        ..10_000 => format!("{bytes}"),
        10_000..10_000_000 => format!("{:.1}K", size / 1024.0),
        10_000_000..10_000_000_000 => format!("{:.1}M", size / 1_048_576.0),
        _ => format!("{:.1}G", size / 1_073_741_824.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[left("A", 4), right("N", 5), left("REST", 0)];
    const WIDER: &[Column] = &[left("A", 4).wide(), left("REST", 0)];

    #[test]
    fn lines_fit_the_terminal_and_pipes_get_everything() {
        let table = Table { columns: COLUMNS, line: Some(20) };
        let cells = ["abcdefg".into(), "12".into(), "0123456789".into()];
        assert_eq!(table.row(&cells), "abc…     12  012345…");
        assert_eq!(table.head(), "A         N  REST");
        assert_eq!(Table { columns: WIDER, line: Some(80) }.head(), "REST");
        assert_eq!(Table { columns: WIDER, line: Some(WIDE) }.head(), "A     REST");
        let pipe = Table { columns: COLUMNS, line: None };
        assert_eq!(pipe.row(&cells), "abcdefg     12  0123456789");
    }

    #[test]
    fn columns_stand_below_each_other_whatever_is_in_them() {
        const ROOMY: &[Column] = &[left("A", 2).roomy(4), left("REST", 0)];
        const MANY: &[Column] = &[left("A", 60), left("B", 60).wide(), left("REST", 0)];
        let table = Table { columns: COLUMNS, line: Some(20) };
        let row = |cell: &'static str| table.row(&[cell.into(), "12".into(), "x".into()]);
        for (cell, line) in [
            ("漢", "漢       12  x"),
            ("漢字漢", "漢…      12  x"),
            ("e\u{301}e\u{301}", "e\u{301}e\u{301}       12  x"),
        ] {
            assert_eq!(row(cell), line);
        }
        let rest = table.row(&["a".into(), "1".into(), "漢字漢字".into()]);
        assert_eq!(rest, "a         1  漢字漢…");
        let row = |line| Table { columns: ROOMY, line }.row(&["abcd".into(), "x".into()]);
        let head = |line| Table { columns: MANY, line: Some(line) }.head().contains('B');
        assert!(!head(143) && head(144), "the last column is not crowded out");
        assert_eq!([row(Some(80)), row(Some(WIDE)), row(None)], ["a…  x", "abcd  x", "abcd  x"]);
    }

    #[test]
    fn p36_cells_cannot_move_the_cursor() {
        let table = Table { columns: COLUMNS, line: None };
        let row = table.row(&["\x1b[2J".into(), "\r".into(), "a\nb".into()]);
        assert!(!row.chars().any(char::is_control), "{row}");
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(count(Some(1_234_567)), "1_234_567");
        assert_eq!(count(Some(-123_456)), "-123_456");
        assert_eq!(count(Some(12)), "12");
        assert_eq!(count(None), "-");
        assert_eq!([0, 1, 1200].map(|n| counted(n, "row")), ["0 rows", "1 row", "1_200 rows"]);
        assert_eq!(usd(Some(12_345_600_000_000)), "$12.35");
        assert_eq!(usd(Some(12_340_000_000)), "$0.0123");
        assert_eq!(usd(Some(1_230_000)), "$0.000001");
        assert_eq!(usd(Some(160_000)), "<$1e-6");
        assert_eq!(usd(Some(0)), "$0");
        assert_eq!(usd(None), "-");
        assert_eq!(duration(Some(1_234)), "1.2ms");
        assert_eq!(duration(Some(12_345_678)), "12.3s");
        assert_eq!(bytes(Some(20_480)), "20.0K");
        assert_eq!(time(Some(1_795_313_102_123_456)), "11-22 02:05:02");
    }
}
