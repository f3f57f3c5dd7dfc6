//! Sums over a ledger: usage by group, sessions with their totals, and what a policy could be learnt from.
//!
//! A sum of nothing known is null, never 0: calls whose cost is unknown are counted beside the sum of the others.

mod gather;

use std::cmp::Reverse;

use rusqlite::params_from_iter;
use rusqlite::types::Value;
use serde::Serialize;

use super::{Filter, Reader, Result, Source};
use gather::{Gathering, Groups};

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

/// Sums over model calls, and what cannot be added up further.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UsageSum {
    /// What can.
    #[serde(flatten)]
    pub totals: Totals,
    /// The part of all input that was read from a cache, from 0 to 1, over the calls of which both counts are known.
    pub cache_hit_share: Option<f64>,
    /// Half of the calls that say so had their first token within this many microseconds (nearest rank).
    pub first_token_p50_us: Option<i64>,
    /// 99 of 100 had it within these.
    pub first_token_p99_us: Option<i64>,
}

/// The usage of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsageRow {
    /// What the group is called; null where that is unknown.
    pub key: Option<String>,
    /// Its sums.
    #[serde(flatten)]
    pub sum: UsageSum,
}

/// Usage by group, with the sum over everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsageReport {
    /// What the rows are added up by.
    pub by: Group,
    /// The groups, the dearest first, then by name.
    pub rows: Vec<UsageRow>,
    /// Their sum.
    pub total: UsageSum,
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

/// Requests to one host that ended alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// The host, where it is known.
    pub host: Option<String>,
    /// allowed, denied, failed, aborted, spliced.
    pub decision: String,
    /// How many.
    pub requests: i64,
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
    /// Requests and connections that reached an origin.
    pub reached: i64,
    /// Those of them that were passed through unread.
    pub spliced: i64,
    /// Addresses that they reached by our own look-up, `IP:PORT` each, with commas between.
    pub resolved: Option<String>,
}

/// Values for the parameters before those of filters.
fn unused() -> impl Iterator<Item = Value> {
    [Value::Null, Value::Null, Value::Null].into_iter()
}

impl UsageReport {
    /// Puts the dearest first.
    pub fn sort(&mut self) {
        self.rows.sort_by(|a, b| {
            let order = |row: &UsageRow| Reverse(row.sum.totals.cost_pico_usd);
            order(a).cmp(&order(b)).then_with(|| a.key.cmp(&b.key))
        });
    }
}

impl Reader {
    /// Usage by group and in total, in one pass over the calls. A first token's time takes 8 bytes meanwhile.
    pub fn usage_report(&self, by: Group, filter: &Filter) -> Result<UsageReport> {
        let (mut rows, mut total) = (Vec::new(), Gathering::default());
        for (key, gathering) in self.gather(by, filter)? {
            total.merge(&gathering);
            rows.push(UsageRow { key, sum: gathering.end() });
        }
        let mut report = UsageReport { by, rows, total: total.end() };
        report.sort();
        Ok(report)
    }

    fn gather(&self, by: Group, filter: &Filter) -> Result<Groups> {
        let (condition, values) = filter.condition(Source::Calls)?;
        // Filters are numbered from ?4 on; the first three are for rows, so they are only named here.
        let sql = format!(
            "SELECT {}, {} FROM {} WHERE coalesce(?1, ?2, ?3) IS NULL AND {condition}",
            by.key(),
            gather::COLUMNS,
            Source::Calls.tables()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(unused().chain(values)))?;
        let mut groups = Groups::default();
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_str_or_null().map_err(rusqlite::Error::from)?;
            groups.of(name).add(row, 1)?;
        }
        Ok(groups)
    }

    /// Requests by host and decision, the most first, in one pass over them: neighbours are mostly alike.
    pub fn requests(&self, filter: &Filter) -> Result<Vec<RequestRow>> {
        let (condition, values) = filter.condition(Source::Events)?;
        let sql = format!(
            "SELECT e.host, e.decision FROM {} WHERE coalesce(?1, ?2, ?3) IS NULL AND {condition}",
            Source::Events.tables()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(unused().chain(values)))?;
        let mut counts = gather::Counts::default();
        while let Some(row) = rows.next()? {
            let text = |column| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
            counts.add(text(0)?, text(1)?.unwrap_or_default());
        }
        Ok(counts.end())
    }

    /// All sessions in the order of their start. The requests of one lie in its blocks of ids, so each is read once.
    pub fn sessions(&self) -> Result<Vec<SessionTotals>> {
        let mut calls = self.gather(Group::Session, &Filter::default())?;
        let mut statement = self.connection.prepare_cached(
            "WITH requests AS (SELECT session_id, count(*) AS requests, sum(decision = 'denied') AS denied, \
                sum(decision = 'failed') AS failed FROM net_events GROUP BY session_id) \
             SELECT s.session_id, s.name, s.command, s.started_at, s.ended_at, s.version, s.policy_digest, \
                coalesce(requests, 0), coalesce(denied, 0), coalesce(failed, 0) \
             FROM sessions s LEFT JOIN requests USING (session_id) \
             ORDER BY s.started_at, s.session_id",
        )?;
        let rows = statement.query_map([], |row| {
            let session_id: String = row.get(0)?;
            Ok(SessionTotals {
                totals: calls.take(&session_id),
                session_id,
                name: row.get(1)?,
                command: row.get(2)?,
                started_at: row.get(3)?,
                ended_at: row.get(4)?,
                version: row.get(5)?,
                policy_digest: row.get(6)?,
                requests: row.get(7)?,
                denied: row.get(8)?,
                failed_requests: row.get(9)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Every kind of request that was seen, with counts, by host, path and method.
    pub fn learn_rows(&self, since: Option<i64>, session: Option<&str>) -> Result<Vec<LearnRow>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT host, port, method, path, sum(decision <> 'denied' AND dialed IS NOT NULL), \
             sum(decision = 'spliced' AND dialed IS NOT NULL), \
             group_concat(DISTINCT CASE WHEN dns_us IS NOT NULL THEN dialed END) FROM net_events \
             WHERE host IS NOT NULL AND port IS NOT NULL AND started_at >= coalesce(?1, started_at) \
             AND session_id = coalesce(?2, session_id) GROUP BY 1, 2, 4, 3 ORDER BY 1, 2, 4, 3",
        )?;
        let rows = statement.query_map((since, session), |row| {
            Ok(LearnRow {
                host: row.get(0)?,
                port: row.get(1)?,
                method: row.get(2)?,
                path: row.get(3)?,
                reached: row.get(4)?,
                spliced: row.get(5)?,
                resolved: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
