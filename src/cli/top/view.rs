//! What the view looks like: lines for a size, from what was read and what was pressed. Everything from guests and
//! origins passes through [`Table`] or [`printable`], which escape it (P36).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::data::{Data, Sums};
use super::screen::{Key, Line, Size, Style};
use crate::cli::log::{CALLS, EVENTS, View as Rows, first, place, why};
use crate::cli::table::{Column, Table, count, cut, left, right, time, usd};
use crate::telemetry::query::Record;
use crate::telemetry::text::printable;

/// What is shown, as it was chosen by keys.
pub(super) struct View {
    pane: Pane,
    /// Rows that were scrolled past.
    skip: usize,
    /// Rows of a page, as last shown.
    page: usize,
    held: bool,
    only: Only,
    /// Only hosts with this text.
    host: String,
    /// The text is being typed.
    typing: bool,
    note: Option<String>,
    /// Requests seen so far, at some moments of the last seconds.
    seen: VecDeque<(Instant, i64)>,
}

/// What pressing a key comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    GoOn,
    Quit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pane {
    Overview,
    Requests,
    Calls,
    Models,
    Hosts,
    Denials,
}

const PANES: [(Pane, &str); 6] = [
    (Pane::Overview, "overview"),
    (Pane::Requests, "requests"),
    (Pane::Calls, "calls"),
    (Pane::Models, "models"),
    (Pane::Hosts, "hosts"),
    (Pane::Denials, "denials"),
];

/// Which requests are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    All,
    Denied,
    Failed,
}

/// The parts of the overview from top to bottom, each with the most rows that it takes; the last takes the rest.
const OVERVIEW: [(Pane, usize); 5] =
    [(Pane::Models, 5), (Pane::Hosts, 5), (Pane::Denials, 4), (Pane::Calls, 5), (Pane::Requests, usize::MAX)];

/// Lines above the tables, and below.
const AROUND: usize = 5;
/// Lines that the overview keeps for requests.
const REQUESTS: usize = 4;
/// How long requests are counted for their rate.
const RATE: Duration = Duration::from_secs(10);
/// Rows of each part of a snapshot.
const SNAPSHOT: usize = 20;

/// The overview for output that is no terminal: nothing is cut to a width.
pub(super) fn snapshot(data: &Data) -> Vec<String> {
    let view = View::new();
    let mut lines = vec![title(data, ""), requests(data), calls(data)];
    for (pane, _) in OVERVIEW {
        lines.push(String::new());
        lines.extend(view.table(data, pane, None, 0, SNAPSHOT).into_iter().map(|line| line.text));
    }
    lines
}

impl View {
    pub(super) fn new() -> Self {
        Self {
            pane: Pane::Overview,
            skip: 0,
            page: 1,
            held: false,
            only: Only::All,
            host: String::new(),
            typing: false,
            note: None,
            seen: VecDeque::new(),
        }
    }

    /// Whether nothing new is to be read.
    pub(super) fn paused(&self) -> bool {
        self.held
    }

    /// What stands in the way of reading, if something does.
    pub(super) fn note(&mut self, note: Option<String>) {
        self.note = note;
    }

    /// Notes how many requests there were at a moment, for their rate.
    pub(super) fn count(&mut self, now: Instant, requests: i64) {
        while self.seen.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE) {
            self.seen.pop_front();
        }
        self.seen.push_back((now, requests));
    }

    /// Requests in a second, over the last seconds.
    fn rate(&self) -> Option<f64> {
        let ((first, before), (last, after)) = self.seen.front().zip(self.seen.back())?;
        let seconds = last.duration_since(*first).as_secs_f64();
        (seconds > 0.0).then(|| (after - before).max(0) as f64 / seconds)
    }

    /// Obeys a key.
    pub(super) fn press(&mut self, key: Key) -> Outcome {
        match key {
            Key::Interrupt => return Outcome::Quit,
            key if self.typing => self.type_host(key),
            Key::Char('q') => return Outcome::Quit,
            Key::Char(digit @ '1'..='6') => self.show(digit as usize - '1' as usize),
            Key::Tab | Key::Right => self.show((self.index() + 1) % PANES.len()),
            Key::Left => self.show((self.index() + PANES.len() - 1) % PANES.len()),
            Key::Up => self.skip = self.skip.saturating_sub(1),
            Key::Down => self.skip += 1,
            Key::PageUp => self.skip = self.skip.saturating_sub(self.page),
            Key::PageDown => self.skip += self.page,
            Key::Home => self.skip = 0,
            Key::Char(' ' | 'p') => self.held = !self.held,
            Key::Char('d') => self.only = self.only.next(),
            Key::Char('/') => (self.typing, self.host) = (true, String::new()),
            _ => {}
        }
        Outcome::GoOn
    }

    fn type_host(&mut self, key: Key) {
        match key {
            Key::Enter => self.typing = false,
            Key::Escape => (self.typing, self.host) = (false, String::new()),
            Key::Backspace => drop(self.host.pop()),
            Key::Char(c) if self.host.len() < 64 => self.host.extend(c.to_lowercase()),
            _ => {}
        }
        self.skip = 0;
    }

    fn show(&mut self, index: usize) {
        (self.pane, self.skip) = (PANES[index].0, 0);
    }

    fn index(&self) -> usize {
        PANES.iter().position(|(pane, _)| *pane == self.pane).unwrap_or(0)
    }

    /// The lines of a frame; at most as many as fit.
    pub(super) fn frame(&mut self, data: &Data, size: Size) -> Vec<Line> {
        let room = size.rows.saturating_sub(AROUND);
        self.page = room.saturating_sub(1).max(1);
        self.skip = self.skip.min(self.length(data).saturating_sub(1));
        let mut frame = vec![
            Line { style: Style::Title, text: title(data, &self.state()) },
            plain(requests(data)),
            plain(calls(data)),
            Line { style: Style::Faint, text: self.tabs() },
        ];
        frame.extend(match self.pane {
            Pane::Overview => self.overview(data, size.columns, room),
            pane => self.table(data, pane, Some(size.columns), self.skip, room.saturating_sub(1)),
        });
        frame.truncate(size.rows.saturating_sub(1));
        frame.resize(size.rows.saturating_sub(1), Line::default());
        frame.push(Line { style: Style::Faint, text: self.help() });
        for line in &mut frame {
            if let Cow::Owned(short) = cut(&line.text, size.columns) {
                line.text = short;
            }
        }
        frame
    }

    fn state(&self) -> String {
        let mut parts = vec![if self.held { "held".to_owned() } else { "live".to_owned() }];
        parts.extend(self.rate().map(|rate| format!("{rate:.1} requests/s")));
        parts.extend(self.only.word().map(str::to_owned));
        if !self.host.is_empty() {
            parts.push(format!("hosts with {:?}", self.host));
        }
        parts.extend(self.note.as_deref().map(|note| printable(note).into_owned()));
        parts.join(" · ")
    }

    fn tabs(&self) -> String {
        let tab = |(index, (pane, name)): (usize, &(Pane, &str))| {
            if *pane == self.pane {
                format!("[{} {name}]", index + 1)
            } else {
                format!(" {} {name} ", index + 1)
            }
        };
        PANES.iter().enumerate().map(tab).collect::<Vec<_>>().join(" ")
    }

    fn help(&self) -> String {
        if self.typing {
            return format!("only hosts with: {}_   Enter keeps, Esc ends", printable(&self.host));
        }
        "q end   Tab, 1-6 panes   arrows rows   space hold   d denied, failed   / host".to_owned()
    }

    fn overview(&self, data: &Data, columns: usize, room: usize) -> Vec<Line> {
        let mut left = room.saturating_sub(REQUESTS);
        let mut lines = Vec::new();
        for (pane, most) in OVERVIEW {
            let last = pane == Pane::Requests;
            let rows = if last { left + REQUESTS.min(room) } else { left.min(most + 1) };
            let part = self.table(data, pane, Some(columns), 0, rows.saturating_sub(1));
            // A title without rows says nothing.
            if last || part.len() > 1 {
                left -= part.len().min(left);
                lines.extend(part);
            }
        }
        lines
    }

    /// How many rows the pane could show.
    fn length(&self, data: &Data) -> usize {
        match self.pane {
            Pane::Overview => 0,
            Pane::Requests => data.requests.len(),
            Pane::Calls => data.calls.len(),
            Pane::Models => data.models.len(),
            Pane::Hosts => data.hosts.len(),
            Pane::Denials => data.denials.len(),
        }
    }

    /// The title and rows of a pane.
    fn table(&self, data: &Data, pane: Pane, width: Option<usize>, skip: usize, most: usize) -> Vec<Line> {
        let page = Page { width, skip, most };
        match pane {
            Pane::Models => page.sums(MODELS, &data.models, false),
            Pane::Hosts => page.sums(HOSTS, &data.hosts, true),
            Pane::Calls => page.rows(&CALLS, data.calls.iter().rev().filter(|row| self.wants_host(row))),
            Pane::Denials => {
                page.rows(&DENIALS, data.denials.iter().rev().filter(|row| self.wants_host(row)))
            }
            Pane::Requests | Pane::Overview => {
                let wanted = |row: &&Record| self.wants_host(row) && self.only.takes(row.text("decision"));
                page.rows(&EVENTS, data.requests.iter().rev().filter(wanted))
            }
        }
    }

    fn wants_host(&self, row: &Record) -> bool {
        self.host.is_empty() || row.text("host").to_lowercase().contains(&self.host)
    }
}

impl Only {
    fn next(self) -> Self {
        match self {
            Self::All => Self::Denied,
            Self::Denied => Self::Failed,
            Self::Failed => Self::All,
        }
    }

    fn word(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Denied => Some("denied only"),
            Self::Failed => Some("failed only"),
        }
    }

    fn takes(self, decision: &str) -> bool {
        match self {
            Self::All => true,
            Self::Denied => decision == "denied",
            Self::Failed => matches!(decision, "failed" | "aborted"),
        }
    }
}

/// Which rows of a table are shown, and how wide.
struct Page {
    width: Option<usize>,
    skip: usize,
    most: usize,
}

impl Page {
    fn rows<'r>(&self, rows: &Rows, records: impl Iterator<Item = &'r Record>) -> Vec<Line> {
        let table = Table::of_width(rows.columns, self.width);
        let head = Line { style: Style::Title, text: table.head() };
        let line = |record| Line { style: style(record), text: table.row(&(rows.cells)(record)) };
        std::iter::once(head).chain(records.skip(self.skip).take(self.most).map(line)).collect()
    }

    /// Sums, what cost most or was asked most first.
    fn sums(&self, columns: &'static [Column], all: &BTreeMap<String, Sums>, requests: bool) -> Vec<Line> {
        let table = Table::of_width(columns, self.width);
        let mut rows: Vec<_> = all.iter().collect();
        rows.sort_by_key(|(_, sums)| Reverse((sums.cost, sums.requests, sums.calls)));
        let mut lines = vec![Line { style: Style::Title, text: table.head() }];
        let page = rows.into_iter().skip(self.skip).take(self.most);
        lines.extend(page.map(|(name, sums)| plain(table.row(&cells(name, sums, requests)))));
        lines
    }
}

fn plain(text: String) -> Line {
    Line { style: Style::Plain, text }
}

/// The colour of a row says how it ended.
fn style(record: &Record) -> Style {
    match record.text("decision") {
        "denied" => Style::Bad,
        "failed" | "aborted" => Style::Warning,
        _ if !record.text("error_type").is_empty() => Style::Warning,
        "spliced" => Style::Faint,
        _ => Style::Good,
    }
}

fn title(data: &Data, state: &str) -> String {
    let since = time(data.since());
    let separator = if state.is_empty() { "" } else { " · " };
    format!("tollgate top · since {since} UTC{separator}{state}")
}

fn requests(data: &Data) -> String {
    let decided = ["allowed", "denied", "failed", "aborted", "spliced"].map(|word| {
        let number = data.decisions.get(word).copied().unwrap_or(0);
        format!("   {word} {}", count(Some(number)))
    });
    format!("requests {}{}", count(Some(data.total.requests)), decided.concat())
}

fn calls(data: &Data) -> String {
    let total = &data.total;
    let unpriced = match total.unpriced {
        0 => String::new(),
        number => format!("   ({number} without a known price)"),
    };
    format!(
        "calls {}   failed {}   input {}   cached {}   output {}   cost {}{unpriced}",
        count(Some(total.calls)),
        count(Some(total.failed)),
        count(total.input),
        count(total.cached),
        count(total.output),
        usd(total.cost)
    )
}

const MODELS: &[Column] = &[
    right("CALLS", 8),
    right("FAILED", 7),
    right("INPUT", 13),
    right("CACHED", 13).wide(),
    right("OUTPUT", 11),
    right("COST", 10),
    left("MODEL", 0),
];

const HOSTS: &[Column] = &[
    right("REQUESTS", 8),
    right("DENIED", 7),
    right("INPUT", 13),
    right("CACHED", 13).wide(),
    right("OUTPUT", 11),
    right("COST", 10),
    left("HOST", 0),
];

/// The cells of [`HOSTS`] where `requests`, else of [`MODELS`].
fn cells<'a>(name: &'a str, sums: &Sums, requests: bool) -> [Cow<'a, str>; 7] {
    let (number, bad) = if requests { (sums.requests, sums.denied) } else { (sums.calls, sums.failed) };
    [
        count(Some(number)),
        count(Some(bad)),
        count(sums.input),
        count(sums.cached),
        count(sums.output),
        usd(sums.cost),
        name.into(),
    ]
}

const DENIALS: Rows = Rows {
    source: EVENTS.source,
    columns: &[
        left("TIME (UTC)", 14),
        left("METHOD", 7),
        left("LAYER", 8).wide(),
        left("RULE", 24),
        left("DENIED", 0),
    ],
    cells: |record| {
        vec![
            time(record.int("started_at")),
            first(record, &["method"]),
            first(record, &["rule_layer"]),
            first(record, &["rule"]),
            denied(record).into(),
        ]
    },
};

/// What was refused and why; the rule has a column of its own.
fn denied(record: &Record) -> String {
    why(record).into_iter().skip_while(|why| *why == record.text("rule")).fold(
        place(record),
        |mut line, why| {
            line.extend([" · ", why]);
            line
        },
    )
}
