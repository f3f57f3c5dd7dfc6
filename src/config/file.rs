//! Text files with positions: the only place that knows TOML.
//!
//! A `Table` is taken apart key by key; what is left over at the end is an unknown key and refused, with the place
//! and the nearest known key. Every error names file, line and column.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::{suggest, units};

/// A file's text and the name that errors call it by.
#[derive(Clone, Debug)]
pub struct Text {
    name: Arc<str>,
    content: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Text {
    /// A text that is at hand.
    pub fn new(name: &str, text: impl Into<String>) -> Self {
        let content = text.into();
        let lines = [0].into_iter().chain(content.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), content, lines }
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self::new(&name, text)),
            Err(error) => Err(unreadable(name, &error)),
        }
    }

    /// Parses the text as a table of keys.
    pub(super) fn parse(&self) -> Result<Table<'_>, ConfigError> {
        let (table, errors) = DeTable::parse_recoverable(&self.content);
        let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        match errors.iter().min_by_key(|error| start(error)) {
            None => Ok(Table::new(self, String::new(), table)),
            Some(first) => {
                Err(ConfigError::new(self.place(start(first)), first.message().replace('\n', ", ")))
            }
        }
    }

    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at)
    }

    fn place(&self, at: usize) -> String {
        let line = self.line(at);
        let before = self.content.get(self.lines[line - 1]..at).unwrap_or_default();
        format!("{}:{line}:{}", self.name, before.chars().count() + 1)
    }
}

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'t> {
    text: &'t Text,
    at: usize,
}

impl Spot<'_> {
    /// An error here: file, line and column.
    pub(super) fn fail(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.text.place(self.at), message)
    }

    /// File and line: `user.toml:12`.
    pub(super) fn place(&self) -> Arc<str> {
        format!("{}:{}", self.text.name, self.text.line(self.at)).into()
    }
}

fn unreadable(name: String, error: &io::Error) -> ConfigError {
    let help = match error.kind() {
        io::ErrorKind::NotFound => "create it, or correct the path that names it",
        io::ErrorKind::PermissionDenied => {
            "make it readable for the user that runs tollgate; a running proxy is confined to the directories that \
             its policy files were in when it started"
        }
        io::ErrorKind::InvalidData => "save it as UTF-8",
        _ => "see that the path names a readable file",
    };
    ConfigError::new(name, format!("cannot be read: {error}")).help(help)
}

/// A table of keys, some of them taken.
#[derive(Debug)]
pub(super) struct Table<'t> {
    text: &'t Text,
    /// The table's own name, as in `[upstream.map]`; empty for the whole file.
    name: String,
    at: usize,
    rest: DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    fn new(text: &'t Text, name: String, table: Spanned<DeTable<'t>>) -> Self {
        let at = table.span().start;
        Self { text, name, at, rest: table.into_inner(), known: Vec::new() }
    }

    /// Takes a key out, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'t>> {
        self.known.push(key);
        let value = self.rest.remove(key)?;
        Some(self.item(key, value))
    }

    /// Takes a key out and reads it over `into`, if it is there.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(Item<'t>) -> Result<T, ConfigError>,
        into: &mut T,
    ) -> Result<(), ConfigError> {
        if let Some(item) = self.take(key) {
            *into = parse(item)?;
        }
        Ok(())
    }

    /// As [`Table::read`], for a value that may be absent.
    pub(super) fn read_some<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(Item<'t>) -> Result<T, ConfigError>,
        into: &mut Option<T>,
    ) -> Result<(), ConfigError> {
        self.read(key, |item| parse(item).map(Some), into)
    }

    /// Takes a table out; an absent one reads as empty.
    pub(super) fn table(&mut self, key: &'static str) -> Result<Self, ConfigError> {
        match self.take(key) {
            Some(item) => item.table(),
            None => Ok(Self {
                text: self.text,
                name: self.below(key),
                at: self.at,
                rest: DeTable::new(),
                known: Vec::new(),
            }),
        }
    }

    /// Takes an array of tables out; an absent one reads as empty.
    pub(super) fn tables(&mut self, key: &'static str) -> Result<Vec<Self>, ConfigError> {
        match self.take(key) {
            Some(item) => item.list()?.into_iter().map(Item::table).collect(),
            None => Ok(Vec::new()),
        }
    }

    /// Takes everything that is left, for tables whose keys are names that the user chose.
    pub(super) fn drain(mut self) -> Vec<(String, Item<'t>)> {
        let rest = std::mem::take(&mut self.rest);
        let mut all: Vec<_> = rest
            .into_iter()
            .map(|(key, value)| (key.get_ref().to_string(), self.item(key.get_ref(), value)))
            .collect();
        all.sort_by_key(|(_, item)| item.at);
        all
    }

    /// Refuses whatever was not taken.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let Some(unknown) = self.rest.iter().map(|(key, _)| key).min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let name = unknown.get_ref();
        let within = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
        let error = ConfigError::new(
            self.text.place(unknown.span().start),
            format!("unknown key \"{}\"{within}", name.escape_debug()),
        );
        Err(match suggest::nearest(name, self.known.iter().copied()) {
            Some(near) => error.help(format!("did you mean \"{near}\"?")),
            None => error.help(format!("known here: {}", self.known.join(", "))),
        })
    }

    /// An error at the head of the table.
    pub(super) fn fail(&self, message: impl Into<String>) -> ConfigError {
        self.spot().fail(message)
    }

    /// Where the table begins.
    pub(super) fn spot(&self) -> Spot<'t> {
        Spot { text: self.text, at: self.at }
    }

    fn below(&self, key: &str) -> String {
        let dot = if self.name.is_empty() { "" } else { "." };
        format!("{}{dot}{key}", self.name)
    }

    fn item(&self, key: &str, value: Spanned<DeValue<'t>>) -> Item<'t> {
        let at = value.span().start;
        Item { text: self.text, name: self.below(key), at, value: value.into_inner() }
    }
}

/// A value with the place that it came from.
#[derive(Debug)]
pub(super) struct Item<'t> {
    text: &'t Text,
    name: String,
    at: usize,
    value: DeValue<'t>,
}

impl<'t> Item<'t> {
    /// An error at this value.
    pub(super) fn fail(&self, message: impl Into<String>) -> ConfigError {
        self.spot().fail(message)
    }

    /// Where the value begins.
    pub(super) fn spot(&self) -> Spot<'t> {
        Spot { text: self.text, at: self.at }
    }

    /// The text of a string.
    pub(super) fn str(&self) -> Result<&str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.mistyped("a string in quotes"))
    }

    /// An owned string.
    pub(super) fn string(self) -> Result<String, ConfigError> {
        self.str().map(str::to_owned)
    }

    /// A path; a relative one begins at the directory of the file that holds it.
    pub(super) fn path(self) -> Result<PathBuf, ConfigError> {
        let typed = self.str()?;
        if typed.is_empty() {
            return Err(self.fail(format!("{} is an empty path", self.name)));
        }
        let base = Path::new(&*self.text.name).parent().unwrap_or(Path::new(""));
        Ok(base.join(typed))
    }

    /// `true` or `false`.
    pub(super) fn bool(self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.mistyped("true or false"))
    }

    /// A whole number within `range`.
    pub(super) fn number(&self, range: std::ops::RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let wanted = || self.mistyped(&format!("a whole number from {} to {}", range.start(), range.end()));
        let number = self.value.as_integer().ok_or_else(wanted)?;
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
        number.filter(|number| range.contains(number)).ok_or_else(wanted)
    }

    /// A duration in microseconds.
    pub(super) fn duration(self) -> Result<u64, ConfigError> {
        let read = self.value.as_str().and_then(units::duration);
        read.ok_or_else(|| {
            self.mistyped("a duration with its unit, such as \"500ms\", \"10s\", \"5m\", \"1h\"")
        })
    }

    /// A duration in microseconds, more than nothing.
    pub(super) fn timeout(self) -> Result<u64, ConfigError> {
        let zero = self.fail(format!("{} must be more than zero", self.name));
        self.duration().and_then(|micros| if micros == 0 { Err(zero) } else { Ok(micros) })
    }

    /// A size in bytes, more than nothing.
    pub(super) fn size(self) -> Result<u64, ConfigError> {
        let read = self.value.as_str().and_then(units::size).filter(|&bytes| bytes > 0);
        read.ok_or_else(|| {
            self.mistyped("a size with its unit, such as \"512B\", \"64KiB\", \"1MiB\", \"2GiB\"")
        })
    }

    /// A size in bytes that must not be larger than `most`.
    pub(super) fn size_up_to(self, most: u64) -> Result<usize, ConfigError> {
        let read = self.value.as_str().and_then(units::size).filter(|bytes| (1..=most).contains(bytes));
        let wanted = || self.mistyped(&format!("a size with its unit, at most \"{}KiB\"", most >> 10));
        read.map(|bytes| bytes as usize).ok_or_else(wanted)
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(self, words: &[(&'static str, T)]) -> Result<T, ConfigError> {
        let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let typed = self.value.as_str().ok_or_else(|| self.mistyped(&all.join(" or ")))?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == typed) {
            return Ok(*meaning);
        }
        let error = self.fail(format!("{} is {typed:?}, not {}", self.name, all.join(" or ")));
        Err(match suggest::nearest(typed, words.iter().map(|(word, _)| *word)) {
            Some(near) => error.help(format!("did you mean \"{near}\"?")),
            None => error,
        })
    }

    /// The values of an array.
    pub(super) fn list(self) -> Result<Vec<Self>, ConfigError> {
        let (text, name) = (self.text, self.name.clone());
        match self.value {
            DeValue::Array(values) => Ok(values
                .into_iter()
                .map(|value| Self {
                    text,
                    name: name.clone(),
                    at: value.span().start,
                    value: value.into_inner(),
                })
                .collect()),
            _ => Err(self.mistyped("a list in [brackets]")),
        }
    }

    /// The values of an array, or the one value that stands for an array of one.
    pub(super) fn one_or_more(self) -> Result<Vec<Self>, ConfigError> {
        match self.value {
            DeValue::Array(_) => self.list(),
            _ => Ok(vec![self]),
        }
    }

    /// A table.
    pub(super) fn table(self) -> Result<Table<'t>, ConfigError> {
        match self.value {
            DeValue::Table(rest) => {
                Ok(Table { text: self.text, name: self.name, at: self.at, rest, known: Vec::new() })
            }
            _ => Err(self.mistyped(&format!("a table, written as [{0}] or [[{0}]]", self.name))),
        }
    }

    fn mistyped(&self, wanted: &str) -> ConfigError {
        self.fail(format!("{} must be {wanted}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        Text::new("a.toml", text)
    }

    #[test]
    fn a_syntax_error_names_line_and_column() {
        let error = text("a = 1\nb = = 2\n").parse().expect_err("no TOML");
        assert!(error.place.starts_with("a.toml:2:"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_one() {
        let file = text("[network]\n  alow = []\n");
        let mut root = file.parse().expect("TOML");
        let mut network = root.table("network").expect("a table");
        assert!(network.take("allow").is_none());
        let error = network.finish().expect_err("an unknown key");
        assert_eq!(
            error.to_string(),
            "a.toml:2:3: unknown key \"alow\" in [network]; did you mean \"allow\"?"
        );
        root.finish().expect("nothing left");
    }

    #[test]
    fn a_value_of_the_wrong_type_says_what_is_wanted() {
        let file = text("a = 1\nb = \"x\"\nc = 5\nd = \"always\"\n");
        let mut root = file.parse().expect("TOML");
        let mut take = |key| root.take(key).expect("a value");
        assert_eq!(
            take("a").string().expect_err("no string").to_string(),
            "a.toml:1:5: a must be a string in quotes"
        );
        assert!(take("b").bool().is_err());
        assert!(take("c").number(6..=9).is_err_and(|error| error.message.contains("from 6 to 9")));
        let error = take("d").one_of(&[("allow", 1), ("deny", 2)]).expect_err("another word");
        assert_eq!(error.message, "d is \"always\", not \"allow\" or \"deny\"");
    }

    #[test]
    fn columns_count_characters() {
        let file = text("a = [\"é\", 1]\n");
        let mut root = file.parse().expect("TOML");
        let items = root.take("a").expect("a value").list().expect("a list");
        assert_eq!(items[1].fail("").place, "a.toml:1:11");
    }
}
