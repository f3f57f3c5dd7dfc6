//! What a call costs, in integer pico-USD (1e-12): a table of rates, and the one formula.
//!
//! The built-in table is `config/prices.json`, which `scripts/prices.py` generates; the operator's file has the same
//! form and comes first. What no table knows costs `None`, never 0 (lesson 13); what the provider itself charged
//! beats every table.

mod apart;
mod table;

use super::usage::{Call, Usage};
use table::{Model, Price, Rates};

pub use table::{PriceError, PriceTable};

/// The version that a cost carries when the provider named it.
pub const BY_PROVIDER: &str = "provider";

/// The cost of a call at a moment (Unix seconds), with the version of the table it comes from.
pub fn price<'a>(table: &'a PriceTable, call: &Call, at: i64) -> Option<(i64, &'a str)> {
    if let Some(cost) = call.cost_pico_usd {
        return Some((cost, BY_PROVIDER));
    }
    let named = [&call.model, &call.model_requested].into_iter().flatten();
    let (model, version) = named.into_iter().find_map(|name| table.find(call.provider, name))?;
    if apart::counts_any(&model.apart, call.usage_json.as_deref()) {
        return None;
    }
    let price = in_force(model, tier(call).as_deref(), at)?;
    Some((cost(price, &call.usage)?, version))
}

/// The tier to pay for; what a provider says of its ordinary service is none.
fn tier(call: &Call) -> Option<String> {
    let tier = call.service_tier.as_deref()?.to_ascii_lowercase();
    // Gemini's traffic types: ON_DEMAND_PRIORITY, ON_DEMAND_FLEX.
    Some(tier.strip_prefix("on_demand_").unwrap_or(&tier).to_owned())
}

/// The last of a model's prices that is in force; a tier without prices of its own costs what the standard does.
fn in_force<'a>(model: &'a Model, tier: Option<&str>, at: i64) -> Option<&'a Price> {
    let special = tier.and_then(|tier| model.tiers.get(tier));
    let pick = |prices: &'a [Price]| prices.iter().rev().find(|price| price.holds(at));
    special.and_then(|prices| pick(prices)).or_else(|| pick(&model.prices)).or(model.prices.first())
}

/// `None` where a count or a rate that matters is unknown.
fn cost(price: &Price, usage: &Usage) -> Option<i64> {
    let input = usage.input?;
    let rates = price.rates_for(input);
    let [read, write] = [usage.cache_read, usage.cache_write].map(Option::unwrap_or_default);
    let write_1h = usage.cache_write_1h.unwrap_or(0).min(write);
    let fresh = input.saturating_sub(read).saturating_sub(write);
    let Rates { input: plain, cache_read, cache_write, cache_write_1h, output } = *rates;
    let parts = [
        (fresh, plain),
        (read, cache_read.or(plain)),
        (write - write_1h, cache_write.or(plain)),
        (write_1h, cache_write_1h.or(cache_write).or(plain)),
        (usage.output.unwrap_or(0), output),
    ];
    let tokens = parts.into_iter().try_fold(0i64, |sum, (count, rate)| {
        if count == 0 {
            return Some(sum);
        }
        sum.checked_add(i64::try_from(count).ok()?.checked_mul(rate?)?)
    })?;
    tokens.checked_add(price.request)
}

#[cfg(test)]
mod rates;
#[cfg(test)]
mod tests {
    use super::*;

    /// 22 Nov 2026.
    const TODAY: i64 = 20_779 * 86_400 + 12 * 3600;

    fn call(provider: &'static str, model: &str, counts: [Option<u64>; 5]) -> Call {
        let [input, cache_read, cache_write, cache_write_1h, output] = counts;
        let usage = Usage { input, cache_read, cache_write, cache_write_1h, output, ..Usage::default() };
        Call { provider, model: Some(model.into()), usage, ..Call::default() }
    }

    fn cost_of(call: &Call) -> Option<i64> {
        price(PriceTable::built_in(), call, TODAY).map(|(cost, _)| cost)
    }

    #[test]
    fn known_models_cost_what_their_tables_say() {
        /// provider, model, [input, read, write, write 1h, output], pico-USD
        type Row = (&'static str, &'static str, [Option<u64>; 5], Option<i64>);
        let cases: &[Row] = &[
            (
                "anthropic",
                "claude-sonnet-4-5-20250929",
                [Some(1000), None, None, None, Some(100)],
                Some(1000 * 3_000_000 + 100 * 15_000_000),
            ),
            (
                "anthropic",
                "claude-sonnet-4-5",
                [Some(1000), Some(600), Some(300), Some(100), Some(0)],
                Some(100 * 3_000_000 + 600 * 300_000 + 200 * 3_750_000 + 100 * 6_000_000),
            ),
            (
                "anthropic",
                "claude-sonnet-4-5",
                [Some(200_001), None, None, None, Some(1)],
                Some(200_001 * 6_000_000 + 22_500_000),
            ),
            ("google", "claude-sonnet-4-5@20250929", [Some(1), None, None, None, None], Some(3_000_000)),
            (
                "google",
                "models/gemini-2.5-pro",
                [Some(10), Some(10), None, None, Some(1)],
                Some(10 * 125_000 + 10_000_000),
            ),
            (
                "openai",
                "gpt-4o-2024-08-06",
                [Some(10), Some(4), None, None, Some(2)],
                Some(6 * 2_500_000 + 4 * 1_250_000 + 2 * 10_000_000),
            ),
            ("azure", "gpt-4o", [Some(1), None, None, None, None], Some(2_500_000)),
            ("openai", "some-model-of-tomorrow", [Some(10), None, None, None, Some(2)], None),
            ("other", "gpt-4o", [Some(10), None, None, None, Some(2)], None),
            ("openai", "gpt-4o", [None, None, None, None, Some(2)], None),
        ];
        for (provider, model, counts, expected) in cases {
            assert_eq!(cost_of(&call(provider, model, *counts)), *expected, "{provider} {model} {counts:?}");
        }
    }

    #[test]
    fn tiers_have_prices_of_their_own() {
        let standard = call("openai", "gpt-4o", [Some(100), None, None, None, None]);
        let cost = |tier: &str| cost_of(&Call { service_tier: Some(tier.into()), ..standard.clone() });
        assert_eq!((cost("default"), cost("priority")), (Some(250_000_000), Some(425_000_000)));
        assert_eq!((cost("batch"), cost("unheard of")), (Some(125_000_000), Some(250_000_000)));
    }

    #[test]
    fn the_providers_own_charge_is_preferred() {
        let charged =
            Call { cost_pico_usd: Some(7), ..call("openrouter", "x/y", [Some(1), None, None, None, None]) };
        assert_eq!(price(PriceTable::built_in(), &charged, TODAY), Some((7, BY_PROVIDER)));
    }

    #[test]
    fn lesson_13_an_unknown_model_costs_nothing_that_is_known() {
        let nameless = Call {
            provider: "openai",
            usage: Usage { input: Some(1), ..Usage::default() },
            ..Call::default()
        };
        assert_eq!(cost_of(&nameless), None);
    }

    #[test]
    fn the_operators_prices_come_first() {
        let own = r#"{"version":"mine 1","providers":{"openai":{"models":[{"id":"g","match":"^gpt-4o","prices":[{"rates":[5,null,null,null,7]}]}]},
            "other":{"models":[{"id":"local","match":["=qwen",{"and":["^llama-#",{"not":"~test"}]}],"prices":[{"rates":[1,null,null,null,2]},{"rates":[3,null,null,null,4],"since":20000}]}]}}}"#;
        let table = PriceTable::with(own).expect("valid");
        let priced = |provider, model| {
            price(&table, &call(provider, model, [Some(10), None, None, None, Some(1)]), TODAY)
        };
        assert_eq!(priced("openai", "gpt-4o"), Some((57, "mine 1")));
        assert_eq!(priced("other", "qwen"), Some((34, "mine 1")));
        assert_eq!(priced("other", "LLAMA-3-big"), Some((34, "mine 1")));
        assert_eq!((priced("other", "llama-3-test"), priced("other", "llama-x")), (None, None));
        assert!(priced("anthropic", "claude-sonnet-4-5").is_some(), "the built-in table is still there");
        let wrong = PriceTable::with("{\"version\":1}").expect_err("a number is no version");
        assert!(wrong.to_string().contains("line 1"), "{wrong}");
    }

    #[test]
    fn prices_hold_from_their_day_and_in_their_hours() {
        let own = r#"{"version":"t","providers":{"other":{"models":[{"id":"m","match":"=m","prices":[
            {"rates":[1,null,null,null,1]},{"rates":[2,null,null,null,2],"since":100},{"rates":[3,null,null,null,3],"minutes":[1380,60]}]}]}}}"#;
        let table = PriceTable::with(own).expect("valid");
        let at = |seconds| {
            price(&table, &call("other", "m", [Some(1), None, None, None, None]), seconds)
                .map(|(cost, _)| cost)
        };
        let (noon, midnight) = (12 * 3600, 24 * 3600 - 1);
        assert_eq!(
            (at(99 * 86_400 + noon), at(100 * 86_400 + noon), at(99 * 86_400 + midnight)),
            (Some(1), Some(2), Some(3))
        );
    }
}
