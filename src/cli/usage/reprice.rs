//! `--reprice`: what the calls of a ledger cost by the price table of today, in place of the one that was known when
//! they were made; a price with a date counts from that date, an alias from the configuration for all that it names. A
//! cost that the provider itself named stays.

use std::collections::HashMap;

use crate::model::ModelTable;
use crate::model::price::{BY_PROVIDER, PriceTable, price};
use crate::model::usage::{Call, Usage};
use crate::telemetry::query::{Filter, Group, Range, Reader, Record, Result, Source, Totals, UsageReport};
use crate::telemetry::text::utc;

/// Puts new costs into a report, and its rows in their order.
pub(super) fn reprice(
    reader: &Reader,
    filter: &Filter,
    prices: &PriceTable,
    models: &ModelTable,
    report: &mut UsageReport,
) -> Result<()> {
    let mut total = Cost::default();
    let mut costs: HashMap<Option<String>, Cost> = HashMap::new();
    let mut providers = Names::default();
    reader.rows(Source::Calls, filter, Range::default(), |record| {
        let mut call = call(record, &mut providers);
        models.name_models(&mut call);
        let seconds = record.int("started_at").unwrap_or(0) / 1_000_000;
        let counted = call.usage.input.or(call.usage.output).is_some();
        let pico = price(prices, &call, seconds).map(|(pico, _)| pico);
        for cost in [costs.entry(key(report.by, record)).or_default(), &mut total] {
            cost.add(pico, counted);
        }
        true
    })?;
    for row in &mut report.rows {
        costs.remove(&row.key).unwrap_or_default().put(&mut row.sum.totals);
    }
    total.put(&mut report.total.totals);
    report.sort();
    Ok(())
}

#[derive(Default)]
struct Cost {
    known: Option<i64>,
    unpriced: i64,
}

impl Cost {
    fn add(&mut self, pico: Option<i64>, counted: bool) {
        match pico {
            Some(pico) => self.known = Some(self.known.unwrap_or(0).saturating_add(pico)),
            None => self.unpriced += i64::from(counted),
        }
    }

    fn put(self, totals: &mut Totals) {
        (totals.cost_pico_usd, totals.unpriced) = (self.known, self.unpriced);
    }
}

/// As the query's own grouping makes it.
fn key(by: Group, record: &Record) -> Option<String> {
    let text = |column: &str| Some(record.text(column)).filter(|text| !text.is_empty()).map(str::to_owned);
    match by {
        Group::Model => text("model").or_else(|| text("model_requested")),
        Group::Provider => text("provider"),
        Group::Host => text("host"),
        Group::Process => text("process_name"),
        Group::Day => record.int("started_at").map(|at| utc(at)[..10].to_owned()),
        Group::Session => text("session_id"),
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
