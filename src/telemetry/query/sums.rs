//! Sums over a ledger: usage by group, sessions with their totals, and what a policy could be learnt from.
//!
//! A sum of nothing known is null, never 0: calls whose cost is unknown are counted beside the sum of the others.

mod added;

use std::cmp::Reverse;

use serde::Serialize;

use super::{Filter, Reader, Result};
use crate::telemetry::sums::{CallSum, Totals};

pub(in crate::telemetry) use added::{Addend, Sums, name};

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
    /// What names a call's group: in its row, and in sums.
    fn key(self) -> [[&'static str; 1]; 2] {
        match self {
            Self::Model => {
                [["coalesce(c.model, c.model_requested)"], ["coalesce(s.model, s.model_requested)"]]
            }
            Self::Provider => [["c.provider"], ["s.provider"]],
            Self::Host => [["e.host"], ["s.host"]],
            Self::Process => [["e.process_name"], ["s.process_name"]],
            Self::Day => {
                [["date(c.started_at / 1000000, 'unixepoch')"], ["date(s.day * 86400, 'unixepoch')"]]
            }
            Self::Session => [["c.session_id"], ["s.session_id"]],
        }
    }
}

/// Sums over model calls, and what cannot be added up further.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UsageSum {
    /// What can.
    #[serde(flatten)]
    pub totals: Totals,
    /// The part of all input that was read from a cache, from 0 to 1, over the calls of which both counts are known.
    pub cache_hit_share: Option<f64>,
    /// Half of the calls that say so had their first token within this many microseconds (nearest rank, to 1 %).
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

impl RequestRow {
    fn of(name: &[Option<&str>], requests: i64) -> Self {
        let part = |at: usize| name.get(at).copied().flatten();
        Self { host: part(0).map(str::to_owned), decision: part(1).unwrap_or_default().to_owned(), requests }
    }
}

impl UsageSum {
    fn of(sum: &CallSum) -> Self {
        let (read, all) = sum.cached;
        Self {
            totals: sum.totals.clone(),
            cache_hit_share: (all > 0.0).then(|| (read / all).min(1.0)),
            first_token_p50_us: sum.first_tokens.percentile(50),
            first_token_p99_us: sum.first_tokens.percentile(99),
        }
    }
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
    /// Usage by group and in total. A first token's time is known to 1 %, so that no more than a histogram is kept of it.
    pub fn usage_report(&self, by: Group, filter: &Filter) -> Result<UsageReport> {
        let (mut rows, mut total) = (Vec::new(), CallSum::default());
        for (name, sum) in self.added::<CallSum, 1>(by.key(), filter)?.iter() {
            total.merge(sum);
            rows.push(UsageRow { key: name[0].map(str::to_owned), sum: UsageSum::of(sum) });
        }
        let mut report = UsageReport { by, rows, total: UsageSum::of(&total) };
        report.sort();
        Ok(report)
    }

    /// Requests by host and decision, the most first, then by name.
    pub fn requests(&self, filter: &Filter) -> Result<Vec<RequestRow>> {
        let counts = self.added::<i64, 2>([["e.host", "e.decision"], ["s.host", "s.decision"]], filter)?;
        let mut rows: Vec<_> =
            counts.iter().map(|(name, requests)| RequestRow::of(&name, *requests)).collect();
        rows.sort_by(|a, b| {
            let order = |row: &RequestRow| (Reverse(row.requests), row.host.clone(), row.decision.clone());
            order(a).cmp(&order(b))
        });
        Ok(rows)
    }

    /// All sessions in the order of their start.
    pub fn sessions(&self) -> Result<Vec<SessionTotals>> {
        self.at_one_moment(Self::sessions_now)
    }

    fn sessions_now(&self) -> Result<Vec<SessionTotals>> {
        let all = Filter::default();
        let mut calls = self.added::<CallSum, 1>(Group::Session.key(), &all)?;
        let names = [["e.session_id", "e.decision"], ["s.session_id", "s.decision"]];
        let mut requests = self.added::<i64, 2>(names, &all)?;
        let mut statement = self.connection.prepare_cached(
            "SELECT session_id, name, command, started_at, ended_at, version, policy_digest FROM sessions \
             ORDER BY started_at, session_id",
        )?;
        let rows = statement.query_map([], |row| {
            let session_id: String = row.get(0)?;
            let mut counted = |decision| *requests.of(&[Some(&session_id), Some(decision)]);
            let [denied, failed] = [counted("denied"), counted("failed")];
            let others: i64 = ["allowed", "aborted", "spliced"].map(counted).iter().sum();
            Ok(SessionTotals {
                requests: others + denied + failed,
                denied,
                failed_requests: failed,
                totals: calls.of(&[Some(&session_id)]).totals.clone(),
                session_id,
                name: row.get(1)?,
                command: row.get(2)?,
                started_at: row.get(3)?,
                ended_at: row.get(4)?,
                version: row.get(5)?,
                policy_digest: row.get(6)?,
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
