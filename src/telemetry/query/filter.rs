//! Filters: what was asked for, as conditions over the aliases that [`Source`] gives its tables.

use std::fmt::Write;
use std::str::FromStr;

use rusqlite::types::Value;

use super::sums::Sums;
use super::{QueryError, Result, Source, schema};

/// Which rows are wanted; what is absent does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Host of the exchange, or name that was looked up.
    pub host: Option<Pattern>,
    /// allowed, denied, failed, aborted, spliced.
    pub decision: Option<String>,
    /// Model that answered or was asked for.
    pub model: Option<Pattern>,
    /// Provider of the model call.
    pub provider: Option<String>,
    /// Name or id of the process.
    pub process: Option<String>,
    /// Status that the guest was sent.
    pub status: Option<StatusRange>,
    /// Unix microseconds: rows that began then or later.
    pub since: Option<i64>,
    /// Unix microseconds: rows that began before.
    pub until: Option<i64>,
    /// Id, start of an id, or name of a session.
    pub session: Option<String>,
}

/// A name, or one with `*` for any run of characters. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(Self(text.to_lowercase()))
    }
}

impl Pattern {
    /// For GLOB: only `*` keeps a meaning of its own.
    fn glob(&self) -> String {
        self.0.replace('[', "[[]").replace('?', "[?]")
    }
}

/// `404`, `4xx` or `400-499`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let class =
            text.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok()).filter(|digit| *digit < 10);
        if let Some(class) = class {
            return Ok(Self { first: class * 100, last: class * 100 + 99 });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = first.parse().ok().zip(last.parse().ok()).filter(|(first, last)| first <= last);
        let (first, last) = range.ok_or("a status is 404, 4xx or 400-499, the lower one first")?;
        Ok(Self { first, last })
    }
}

/// By how much the clock may have been set back between a request and its row, in microseconds, where the commit does not
/// say how late its requests began.
const CLOCK_STEP: i64 = 600_000_000;

/// A process is meant by its id.
fn is_number(process: &str) -> bool {
    process.bytes().all(|byte| byte.is_ascii_digit())
}

impl Filter {
    /// Whether rows of this source can be filtered like that.
    pub fn check(&self, source: Source) -> Result<()> {
        self.condition(source, schema::VERSION).map(drop)
    }

    /// The condition with its values, which are numbered from `?4` on; always true where nothing is filtered. `version` is
    /// that of the ledger.
    pub(super) fn condition(&self, source: Source, version: i64) -> Result<(String, Vec<Value>)> {
        let mut condition = Condition::default();
        condition.pattern(self.host.as_ref(), &[source.host()]);
        condition.equal(self.decision.as_deref(), source.decision());
        self.of_calls(source, &mut condition)?;
        if let Some(process) = &self.process {
            let (name, id) = source.process();
            condition.add(&format!("({name} = ? OR CAST({id} AS TEXT) = ?)"), [process.clone().into()]);
        }
        if let Some(range) = self.status {
            let column = source.status().ok_or(QueryError::NoSuchFilter("status"))?;
            condition.add(&format!("{column} >= ?"), [i64::from(range.first).into()]);
            condition.add(&format!("{column} <= ?"), [i64::from(range.last).into()]);
        }
        if let Some(since) = self.since {
            condition.add(&format!("{} >= ?", source.time()), [since.into()]);
            if source == Source::Events {
                condition.commits_since(since, version);
            }
        }
        if let Some(until) = self.until {
            condition.add(&format!("{} < ?", source.time()), [until.into()]);
        }
        condition.session(self.session.as_deref(), source.session());
        Ok(condition.done())
    }

    /// The condition over sums of whole segments, `s` of `g`, but for time; none where sums do not tell, so that rows have
    /// to be read. Values are numbered from `?4` on.
    pub(super) fn over_sums(&self, sums: Sums) -> Option<(String, Vec<Value>)> {
        let mut condition = Condition::default();
        condition.pattern(self.host.as_ref(), &["s.host"]);
        condition.session(self.session.as_deref(), "s.session_id");
        let (calls, requests) = (
            self.model.is_some() || self.provider.is_some() || self.process.is_some(),
            self.decision.is_some(),
        );
        match sums {
            _ if self.status.is_some() => return None,
            Sums::Requests if calls => return None,
            Sums::Requests => condition.equal(self.decision.as_deref(), "s.decision"),
            Sums::Calls if requests || self.process.as_deref().is_some_and(is_number) => return None,
            Sums::Calls => {
                condition.pattern(self.model.as_ref(), &["s.model", "s.model_requested"]);
                condition.equal(self.provider.as_deref(), "s.provider");
                condition.equal(self.process.as_deref(), "s.process_name");
            }
        }
        Some(condition.done())
    }

    fn of_calls(&self, source: Source, condition: &mut Condition) -> Result<()> {
        match source {
            Source::Calls | Source::Tools => {
                condition.pattern(self.model.as_ref(), &["c.model", "c.model_requested"]);
                condition.equal(self.provider.as_deref(), "c.provider");
                Ok(())
            }
            Source::Dns if self.model.is_some() => Err(QueryError::NoSuchFilter("model")),
            Source::Dns if self.provider.is_some() => Err(QueryError::NoSuchFilter("provider")),
            _ if self.model.is_none() && self.provider.is_none() => Ok(()),
            _ => {
                let mut inner = Condition { first: condition.next(), ..Condition::default() };
                inner.pattern(self.model.as_ref(), &["c.model", "c.model_requested"]);
                inner.equal(self.provider.as_deref(), "c.provider");
                let (sql, values) = inner.done();
                condition.sql +=
                    " AND EXISTS (SELECT 1 FROM model_calls c WHERE c.exchange_id = e.exchange_id AND ";
                condition.sql += &sql;
                condition.sql.push(')');
                condition.values.extend(values);
                Ok(())
            }
        }
    }
}

/// A growing conjunction.
struct Condition {
    sql: String,
    values: Vec<Value>,
    /// Number of the first parameter.
    first: usize,
}

impl Default for Condition {
    fn default() -> Self {
        Self { sql: "TRUE".to_owned(), values: Vec::new(), first: 4 }
    }
}

impl Condition {
    fn next(&self) -> usize {
        self.first + self.values.len()
    }

    /// Adds a condition in which each `?` stands for the one value.
    fn add(&mut self, sql: &str, [value]: [Value; 1]) {
        let parameter = format!("?{}", self.next());
        write!(self.sql, " AND {}", sql.replace('?', &parameter)).expect("writing to a String does not fail");
        self.values.push(value);
    }

    fn pattern(&mut self, pattern: Option<&Pattern>, columns: &[&str]) {
        let Some(pattern) = pattern else { return };
        let any: Vec<_> = columns.iter().map(|column| format!("lower({column}) GLOB ?")).collect();
        self.add(&format!("({})", any.join(" OR ")), [pattern.glob().into()]);
    }

    /// Leaves the commits unopened of which no request began since then.
    fn commits_since(&mut self, since: i64, version: i64) {
        if version < schema::SUMS {
            self.add("k.at >= ?", [since.saturating_sub(CLOCK_STEP).into()]);
            return;
        }
        self.add("k.latest >= ?", [since.into()]);
    }

    fn session(&mut self, session: Option<&str>, column: &str) {
        let Some(session) = session else { return };
        let named = "SELECT session_id FROM sessions WHERE name = ? OR substr(session_id, 1, length(?)) = ?";
        self.add(&format!("{column} IN ({named})"), [session.to_owned().into()]);
    }

    fn equal(&mut self, value: Option<&str>, column: &str) {
        if let Some(value) = value {
            self.add(&format!("{column} = ?"), [value.to_owned().into()]);
        }
    }

    fn done(self) -> (String, Vec<Value>) {
        (self.sql, self.values)
    }
}

impl Source {
    fn host(self) -> &'static str {
        if self == Self::Dns { "d.name" } else { "e.host" }
    }

    fn decision(self) -> &'static str {
        if self == Self::Dns { "d.decision" } else { "e.decision" }
    }

    fn status(self) -> Option<&'static str> {
        match self {
            Self::Dns => None,
            Self::Errors => Some("u.status"),
            _ => Some("e.status"),
        }
    }

    fn process(self) -> (&'static str, &'static str) {
        if self == Self::Dns {
            ("d.process_name", "d.process_id")
        } else {
            ("e.process_name", "e.process_id")
        }
    }

    fn time(self) -> &'static str {
        match self {
            Self::Events => "e.started_at",
            Self::Calls | Self::Tools => "c.started_at",
            Self::Errors => "u.at",
            Self::Dns => "d.at",
        }
    }

    fn session(self) -> &'static str {
        match self {
            Self::Calls | Self::Tools => "c.session_id",
            Self::Dns => "d.session_id",
            _ => "e.session_id",
        }
    }
}
