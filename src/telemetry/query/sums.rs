//! Sums over a ledger: usage by group, sessions with their totals, and what a policy could be learnt from.
//!
//! A sum of nothing known is null, never 0: calls whose cost is unknown are counted beside the sum of the others.

use rusqlite::{Row, params_from_iter};
use serde::Serialize;

use super::{Filter, Reader, Result, Source};

/// What usage is added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The model that answered, else the one asked for.
    Model,
    /// The provider.
    Provider,
    /// The host.
    Host,
    /// The process.
    Process,
    /// The day in UTC.
    Day,
    /// The session.
    Session,
}

impl Group {
    fn key(self) -> &'static str {
        match self {
            Self::Model => "coalesce(c.model, c.model_requested)",
            Self::Provider => "c.provider",
            Self::Host => "e.host",
            Self::Process => "e.process_name",
            Self::Day => "date(c.started_at / 1000000, 'unixepoch')",
            Self::Session => "c.session_id",
        }
    }
}

/// Sums over model calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Calls.
    pub calls: i64,
    /// Calls that ended in an error.
    pub failed: i64,
    /// Calls whose counts are not the provider's last word.
    pub partial: i64,
    /// All input, cache reads and writes included.
    pub input_tokens: Option<i64>,
    /// Input read from a cache.
    pub cache_read_tokens: Option<i64>,
    /// Input written to a cache.
    pub cache_write_tokens: Option<i64>,
    /// All output, reasoning included.
    pub output_tokens: Option<i64>,
    /// Output that was reasoning.
    pub reasoning_tokens: Option<i64>,
    /// Known cost, in 1e-12 USD.
    pub cost_pico_usd: Option<i64>,
    /// Calls with tokens whose cost is unknown.
    pub unpriced: i64,
}

/// The usage of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageRow {
    /// What the group is called; null where that is unknown.
    pub key: Option<String>,
    /// Its sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Usage by group, with the sum over everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageReport {
    /// What the rows are added up by.
    pub by: Group,
    /// The groups.
    pub rows: Vec<UsageRow>,
    /// Their sum.
    pub total: Totals,
}

/// A session with its totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are columns of the table sessions, and counts named for what they count"
)]
pub struct SessionTotals {
    pub session_id: String,
    pub name: Option<String>,
    pub command: Option<String>,
    pub started_at: i64,
    pub ended_at: Option<i64>,
    pub version: String,
    pub policy_digest: String,
    pub requests: i64,
    pub denied: i64,
    pub failed_requests: i64,
    #[serde(flatten)]
    pub totals: Totals,
}

/// One kind of request that was seen, for proposing rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LearnRow {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The method; none for connections that were passed through or refused whole.
    pub method: Option<String>,
    /// The path, without its query.
    pub path: Option<String>,
    /// Requests that went through.
    pub allowed: i64,
    /// Requests that policy refused.
    pub denied: i64,
    /// Connections whose TLS was passed through.
    pub spliced: i64,
}

impl Totals {
    /// Both together; what is known of neither stays unknown.
    fn and(self, other: &Self) -> Self {
        let known = |a: Option<i64>, b: Option<i64>| a.map_or(b, |a| Some(a.saturating_add(b.unwrap_or(0))));
        Self {
            calls: self.calls + other.calls,
            failed: self.failed + other.failed,
            partial: self.partial + other.partial,
            input_tokens: known(self.input_tokens, other.input_tokens),
            cache_read_tokens: known(self.cache_read_tokens, other.cache_read_tokens),
            cache_write_tokens: known(self.cache_write_tokens, other.cache_write_tokens),
            output_tokens: known(self.output_tokens, other.output_tokens),
            reasoning_tokens: known(self.reasoning_tokens, other.reasoning_tokens),
            cost_pico_usd: known(self.cost_pico_usd, other.cost_pico_usd),
            unpriced: self.unpriced + other.unpriced,
        }
    }
}

const SUMS: &str = "count(c.call_id), count(c.error_type), coalesce(sum(c.usage_state = 'partial'), 0), \
    sum(c.input_tokens), sum(c.cache_read_tokens), sum(c.cache_write_tokens), sum(c.output_tokens), \
    sum(c.reasoning_tokens), sum(c.cost_pico_usd), \
    coalesce(sum(c.cost_pico_usd IS NULL AND coalesce(c.input_tokens, c.output_tokens) IS NOT NULL), 0)";

/// Reads the columns of [`SUMS`], which begin at `first`.
fn totals(row: &Row, first: usize) -> rusqlite::Result<Totals> {
    Ok(Totals {
        calls: row.get(first)?,
        failed: row.get(first + 1)?,
        partial: row.get(first + 2)?,
        input_tokens: row.get(first + 3)?,
        cache_read_tokens: row.get(first + 4)?,
        cache_write_tokens: row.get(first + 5)?,
        output_tokens: row.get(first + 6)?,
        reasoning_tokens: row.get(first + 7)?,
        cost_pico_usd: row.get(first + 8)?,
        unpriced: row.get(first + 9)?,
    })
}

impl Reader {
    /// Usage by group, the dearest first, then by name; `None` for one row over everything.
    pub fn usage(&self, group: Option<Group>, filter: &Filter) -> Result<Vec<UsageRow>> {
        let (condition, values) = filter.condition(Source::Calls)?;
        let key = group.map_or("NULL", Group::key);
        let grouped =
            if group.is_some() { "GROUP BY 1 ORDER BY sum(c.cost_pico_usd) DESC NULLS LAST, 1" } else { "" };
        // Filters are numbered from ?4 on; the first three are for rows, so they are only named here.
        let sql = format!(
            "SELECT {key}, {SUMS} FROM {} WHERE coalesce(?1, ?2, ?3) IS NULL AND {condition} {grouped}",
            Source::Calls.tables()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let none = [rusqlite::types::Value::Null, rusqlite::types::Value::Null, rusqlite::types::Value::Null];
        let rows = statement.query_map(params_from_iter(none.into_iter().chain(values)), |row| {
            Ok(UsageRow { key: row.get(0)?, totals: totals(row, 1)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Usage by group and in total.
    pub fn usage_report(&self, by: Group, filter: &Filter) -> Result<UsageReport> {
        let rows = self.usage(Some(by), filter)?;
        let total = rows.iter().fold(Totals::default(), |sum, row| sum.and(&row.totals));
        Ok(UsageReport { by, rows, total })
    }

    /// All sessions in the order of their start. The requests of one lie in its blocks of ids, so each is read once.
    pub fn sessions(&self) -> Result<Vec<SessionTotals>> {
        let sql = format!(
            "WITH requests AS (SELECT session_id, count(*) AS requests, sum(decision = 'denied') AS denied, \
                sum(decision = 'failed') AS failed FROM net_events GROUP BY session_id), \
             calls AS (SELECT session_id AS id, {SUMS} FROM model_calls c GROUP BY session_id) \
             SELECT s.session_id, s.name, s.command, s.started_at, s.ended_at, s.version, s.policy_digest, \
                coalesce(requests, 0), coalesce(denied, 0), coalesce(failed, 0), calls.* \
             FROM sessions s LEFT JOIN requests USING (session_id) LEFT JOIN calls ON calls.id = s.session_id \
             ORDER BY s.started_at, s.session_id"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([], |row| {
            let has_calls = row.get::<_, Option<String>>(10)?.is_some();
            Ok(SessionTotals {
                session_id: row.get(0)?,
                name: row.get(1)?,
                command: row.get(2)?,
                started_at: row.get(3)?,
                ended_at: row.get(4)?,
                version: row.get(5)?,
                policy_digest: row.get(6)?,
                requests: row.get(7)?,
                denied: row.get(8)?,
                failed_requests: row.get(9)?,
                totals: if has_calls { totals(row, 11)? } else { Totals::default() },
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Every kind of request that was seen, with counts, by host, path and method.
    pub fn learn_rows(&self, since: Option<i64>, session: Option<&str>) -> Result<Vec<LearnRow>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT host, port, method, path, sum(decision <> 'denied'), sum(decision = 'denied'), \
             sum(decision = 'spliced') FROM net_events \
             WHERE host IS NOT NULL AND port IS NOT NULL AND started_at >= coalesce(?1, started_at) \
             AND session_id = coalesce(?2, session_id) GROUP BY 1, 2, 4, 3 ORDER BY 1, 2, 4, 3",
        )?;
        let rows = statement.query_map((since, session), |row| {
            Ok(LearnRow {
                host: row.get(0)?,
                port: row.get(1)?,
                method: row.get(2)?,
                path: row.get(3)?,
                allowed: row.get(4)?,
                denied: row.get(5)?,
                spliced: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
