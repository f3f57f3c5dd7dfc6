//! `--reprice`: what the calls of a ledger cost by the price table of today, in place of the one that was known when
//! they were made; a price with a date counts from that date. A cost that the provider itself named stays.

use std::collections::HashMap;

use super::By;
use crate::model::price::{BY_PROVIDER, PriceTable, price};
use crate::model::usage::{Call, Usage};
use crate::telemetry::query::{Filter, Range, Reader, Record, Result, Source, UsageRow};
use crate::telemetry::text::utc;

/// Puts new costs into rows that were added up by `by`; without it there is one row over everything.
pub(super) fn reprice(
    reader: &Reader,
    filter: &Filter,
    table: &PriceTable,
    by: Option<By>,
    rows: &mut [UsageRow],
) -> Result<()> {
    let mut costs: HashMap<Option<String>, Cost> = HashMap::new();
    let mut providers = Names::default();
    reader.rows(Source::Calls, filter, Range::default(), |record| {
        let call = call(record, &mut providers);
        let seconds = record.int("started_at").unwrap_or(0) / 1_000_000;
        let counted = call.usage.input.or(call.usage.output).is_some();
        let cost = costs.entry(by.and_then(|by| key(by, record))).or_default();
        match price(table, &call, seconds) {
            Some((pico, _)) => cost.known = Some(cost.known.unwrap_or(0).saturating_add(pico)),
            None => cost.unpriced += i64::from(counted),
        }
        true
    })?;
    for row in rows {
        let cost = costs.remove(&row.key).unwrap_or_default();
        (row.totals.cost_pico_usd, row.totals.unpriced) = (cost.known, cost.unpriced);
    }
    Ok(())
}

#[derive(Default)]
struct Cost {
    known: Option<i64>,
    unpriced: i64,
}

/// As the query's own grouping makes it.
fn key(by: By, record: &Record) -> Option<String> {
    let text = |column: &str| Some(record.text(column)).filter(|text| !text.is_empty()).map(str::to_owned);
    match by {
        By::Model => text("model").or_else(|| text("model_requested")),
        By::Provider => text("provider"),
        By::Host => text("host"),
        By::Process => text("process_name"),
        By::Day => record.int("started_at").map(|at| utc(at)[..10].to_owned()),
        By::Session => text("session_id"),
    }
}

fn call(record: &Record, providers: &mut Names) -> Call {
    let text = |column: &str| Some(record.text(column)).filter(|text| !text.is_empty()).map(str::to_owned);
    let count = |column: &str| record.int(column).map(|count| count as u64);
    Call {
        provider: providers.lasting(record.text("provider")),
        model: text("model"),
        model_requested: text("model_requested"),
        service_tier: text("service_tier"),
        usage_json: text("usage"),
        usage: Usage {
            input: count("input_tokens"),
            cache_read: count("cache_read_tokens"),
            cache_write: count("cache_write_tokens"),
            cache_write_5m: count("cache_write_5m_tokens"),
            cache_write_1h: count("cache_write_1h_tokens"),
            output: count("output_tokens"),
            reasoning: count("reasoning_tokens"),
        },
        cost_pico_usd: record.int("cost_pico_usd").filter(|_| record.text("price_version") == BY_PROVIDER),
        ..Call::default()
    }
}

/// Provider names, which calls hold for as long as the program runs: a handful, each kept once.
#[derive(Default)]
struct Names(Vec<&'static str>);

impl Names {
    fn lasting(&mut self, name: &str) -> &'static str {
        if let Some(known) = self.0.iter().find(|known| **known == name) {
            return known;
        }
        let kept: &'static str = name.to_owned().leak();
        self.0.push(kept);
        kept
    }
}
