//! Adds up: the sums that the writer keeps of whole segments, and the rows that no such sum tells of. The answer is the
//! same as of all rows.

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::super::{Filter, Reader, Result, Source};
use crate::telemetry::schema;
use crate::telemetry::sums::{CallSum, Groups, Histogram, Totals};

/// Of what there are sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telemetry) enum Sums {
    /// `model_calls`, by `call_id`.
    Calls,
    /// `net_events`, by `commit_id`.
    Requests,
}

/// What can be added up.
pub(in crate::telemetry) trait Addend: Default {
    const SUMS: Sums;
    /// What is read of a row, and of sums.
    const COLUMNS: [&'static [&'static str]; 2];
    /// Adds a row whose columns begin at `first`.
    fn add_row(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<()>;
    /// Adds sums whose columns begin at `first`.
    fn add_sums(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<()>;
}

/// Ids of rows, both ends included.
type Ids = (i64, i64);

const ALL: Ids = (i64::MIN, i64::MAX);

/// From so many ids on rows that are asked for by time are found by it.
const WIDE: i64 = 100_000;

impl Reader {
    /// Adds up by names of several parts, each with its column in rows and in sums.
    pub(super) fn added<S: Addend, const PARTS: usize>(
        &self,
        [in_rows, in_sums]: [[&str; PARTS]; 2],
        filter: &Filter,
    ) -> Result<Groups<S>> {
        self.at_one_moment(|reader| {
            let mut groups = Groups::default();
            let kept = filter.over_sums(S::SUMS).filter(|_| reader.version >= schema::SUMS);
            let rest = match kept {
                None => vec![ALL],
                Some(condition) => {
                    reader.add_sums(in_sums, filter, condition, &mut groups)?;
                    reader.rest(S::SUMS, filter)?
                }
            };
            for ids in rest {
                reader.add_rows(in_rows, filter, ids, &mut groups)?;
            }
            Ok(groups)
        })
    }

    /// Adds the sums of segments that lie within the time asked for.
    fn add_sums<S: Addend, const PARTS: usize>(
        &self,
        names: [&str; PARTS],
        filter: &Filter,
        (condition, values): (String, Vec<Value>),
        groups: &mut Groups<S>,
    ) -> Result<()> {
        let sql = format!(
            "SELECT {} FROM {} WHERE g.earliest >= ?1 AND g.latest < ?2 AND ?3 AND {condition}",
            columns(names, S::COLUMNS[1]),
            S::SUMS.tables(),
        );
        let (since, until) = times(filter);
        let values = [since, until, 1].map(Value::Integer).into_iter().chain(values);
        self.each(&sql, values, |row| groups.of(&name::<PARTS>(row, 0)?).add_sums(row, PARTS))
    }

    /// Adds rows one by one.
    fn add_rows<S: Addend, const PARTS: usize>(
        &self,
        names: [&str; PARTS],
        filter: &Filter,
        (first, last): Ids,
        groups: &mut Groups<S>,
    ) -> Result<()> {
        let source = S::SUMS.source();
        let (condition, values) = filter.condition(source, self.version)?;
        // An index is not used for what has a sign before it.
        let by_time = filter.since.is_some() && last.saturating_sub(first) >= WIDE;
        let sign = if by_time { "+" } else { "" };
        let sql = format!(
            "SELECT {} FROM {} WHERE {sign}{} BETWEEN ?1 AND ?2 AND ?3 AND {condition}",
            columns(names, S::COLUMNS[0]),
            source.tables(),
            source.major(),
        );
        let values = [first, last, 1].map(Value::Integer).into_iter().chain(values);
        self.each(&sql, values, |row| groups.of(&name::<PARTS>(row, 0)?).add_row(row, PARTS))
    }

    /// The ids of rows that no sums tell of: those between segments, and those of segments that lie in the time asked
    /// for with a part of them.
    fn rest(&self, sums: Sums, filter: &Filter) -> Result<Vec<Ids>> {
        let sql = sums.bounds();
        let bounds: (Option<i64>, Option<i64>) =
            self.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(mut next), Some(end)) = bounds else { return Ok(Vec::new()) };
        let mut rest = Vec::new();
        let (since, until) = times(filter);
        let values = [since, until].map(Value::Integer).into_iter();
        self.each(sums.told(), values, |row| {
            let (first, last): Ids = (row.get(0)?, row.get(1)?);
            if next < first {
                rest.push((next, first - 1));
            }
            next = last + 1;
            Ok(())
        })?;
        if next <= end {
            rest.push((next, end));
        }
        Ok(rest)
    }

    fn each(
        &self,
        sql: &str,
        values: impl Iterator<Item = Value>,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            read(row)?;
        }
        Ok(())
    }
}

impl Sums {
    fn source(self) -> Source {
        match self {
            Self::Calls => Source::Calls,
            Self::Requests => Source::Events,
        }
    }

    /// The first id and the last. Alone each is a look at the end of its table.
    fn bounds(self) -> &'static str {
        match self {
            Self::Calls => {
                "SELECT (SELECT min(call_id) FROM model_calls), (SELECT max(call_id) FROM model_calls)"
            }
            Self::Requests => {
                "SELECT (SELECT min(commit_id) FROM commits), (SELECT max(commit_id) FROM commits)"
            }
        }
    }

    /// Sums are `s`, their segment is `g`.
    fn tables(self) -> &'static str {
        match self {
            Self::Calls => "call_segments g CROSS JOIN call_sums s USING (first_call)",
            Self::Requests => "request_segments g CROSS JOIN request_sums s USING (first_commit)",
        }
    }

    /// Segments of which sums tell all that is asked for from `?1` up to `?2`, because they lie within or without.
    fn told(self) -> &'static str {
        match self {
            Self::Calls => {
                "SELECT first_call, last_call FROM call_segments \
                 WHERE earliest >= ?1 AND latest < ?2 OR latest < ?1 OR earliest >= ?2 ORDER BY first_call"
            }
            Self::Requests => {
                "SELECT first_commit, last_commit FROM request_segments \
                 WHERE earliest >= ?1 AND latest < ?2 OR latest < ?1 OR earliest >= ?2 ORDER BY first_commit"
            }
        }
    }
}

impl Addend for CallSum {
    const SUMS: Sums = Sums::Calls;
    const COLUMNS: [&'static [&'static str]; 2] = [
        &[
            "c.error_type IS NOT NULL",
            "c.usage_state = 'partial'",
            "c.input_tokens",
            "c.cache_read_tokens",
            "c.cache_write_tokens",
            "c.output_tokens",
            "c.reasoning_tokens",
            "c.cost_pico_usd",
            "c.first_token_us",
        ],
        &[
            "s.failed",
            "s.partial",
            "s.input_tokens",
            "s.cache_read_tokens",
            "s.cache_write_tokens",
            "s.output_tokens",
            "s.reasoning_tokens",
            "s.cost_pico_usd",
            "s.calls",
            "s.unpriced",
            "s.both_cache_read",
            "s.both_input",
            "s.first_tokens",
        ],
    ];

    fn add_row(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<()> {
        self.add(totals(row, first)?, row.get(first + 8)?);
        Ok(())
    }

    fn add_sums(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<()> {
        let column = first + 12;
        let first_tokens =
            Histogram::decode(row.get_ref(column)?.as_blob()?).ok_or(rusqlite::Error::InvalidColumnType(
                column,
                "first_tokens".to_owned(),
                rusqlite::types::Type::Blob,
            ))?;
        self.merge(&Self {
            totals: Totals {
                calls: row.get(first + 8)?,
                unpriced: row.get(first + 9)?,
                ..totals(row, first)?
            },
            cached: (row.get(first + 10)?, row.get(first + 11)?),
            first_tokens,
        });
        Ok(())
    }
}

impl Addend for i64 {
    const SUMS: Sums = Sums::Requests;
    const COLUMNS: [&'static [&'static str]; 2] = [&[], &["s.requests"]];

    fn add_row(&mut self, _: &Row<'_>, _: usize) -> rusqlite::Result<()> {
        *self += 1;
        Ok(())
    }

    fn add_sums(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<()> {
        *self = self.saturating_add(row.get(first)?);
        Ok(())
    }
}

/// What a call's columns and those of sums have in common.
fn totals(row: &Row<'_>, first: usize) -> rusqlite::Result<Totals> {
    Ok(Totals {
        failed: row.get(first)?,
        partial: row.get(first + 1)?,
        input_tokens: row.get(first + 2)?,
        cache_read_tokens: row.get(first + 3)?,
        cache_write_tokens: row.get(first + 4)?,
        output_tokens: row.get(first + 5)?,
        reasoning_tokens: row.get(first + 6)?,
        cost_pico_usd: row.get(first + 7)?,
        ..Totals::default()
    })
}

fn columns<const PARTS: usize>(names: [&str; PARTS], values: &[&str]) -> String {
    [&names, values].concat().join(", ")
}

/// The name in a row's columns from `first` on.
pub(in crate::telemetry) fn name<'r, const PARTS: usize>(
    row: &'r Row<'_>,
    first: usize,
) -> rusqlite::Result<[Option<&'r str>; PARTS]> {
    let mut name = [None; PARTS];
    for (column, part) in name.iter_mut().enumerate() {
        *part = row.get_ref(first + column)?.as_str_or_null()?;
    }
    Ok(name)
}

/// From when, and up to when.
fn times(filter: &Filter) -> (i64, i64) {
    (filter.since.unwrap_or(i64::MIN), filter.until.unwrap_or(i64::MAX))
}
