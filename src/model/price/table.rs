//! The price table: `config/prices.json`, and an operator's file of the same form before it.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::Deserialize;

/// Prices by provider, in layers; the first layer that knows a model decides.
#[derive(Clone, Debug)]
pub struct PriceTable {
    layers: Vec<Layer>,
}

/// Why a price file cannot be used: what, and where in it.
#[derive(Debug)]
pub struct PriceError(serde_json::Error);

impl core::fmt::Display for PriceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "price table: {}", self.0)
    }
}

impl std::error::Error for PriceError {}

#[derive(Clone, Debug, Deserialize)]
struct Layer {
    version: String,
    providers: HashMap<String, Provider>,
}

#[derive(Clone, Debug, Deserialize)]
struct Provider {
    /// Providers whose models this one serves too, at their prices.
    #[serde(default)]
    fallback: Vec<String>,
    models: Vec<Model>,
}

/// One model.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Model {
    #[serde(rename = "match")]
    names: Names,
    pub(super) prices: Vec<Price>,
    #[serde(default)]
    pub(super) tiers: HashMap<String, Vec<Price>>,
    /// Kinds of tokens that cost something else, which is not here.
    #[serde(default)]
    pub(super) apart: Vec<String>,
}

/// Which names a model answers to; see `scripts/prices.py` for the form.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Any(Vec<Names>),
    All { and: Vec<Names> },
    Not { not: Box<Names> },
}

/// A set of rates, and when it holds.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Price {
    rates: Rates,
    /// Rates for the whole call once its input is longer than so many tokens, ascending.
    #[serde(default)]
    over: Vec<(u64, Rates)>,
    /// Pico-USD for the request itself.
    #[serde(default)]
    pub(super) request: i64,
    /// Unix day from which it holds.
    since: Option<i64>,
    /// Minutes of the UTC day between which it holds; may pass midnight.
    minutes: Option<(i64, i64)>,
}

/// Pico-USD a token, in the order of the file's arrays.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(from = "(Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>)")]
pub(super) struct Rates {
    pub(super) input: Option<i64>,
    pub(super) cache_read: Option<i64>,
    pub(super) cache_write: Option<i64>,
    pub(super) cache_write_1h: Option<i64>,
    pub(super) output: Option<i64>,
}

type Columns = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

impl From<Columns> for Rates {
    fn from((input, cache_read, cache_write, cache_write_1h, output): Columns) -> Self {
        Self { input, cache_read, cache_write, cache_write_1h, output }
    }
}

impl PriceTable {
    /// The table that comes with the program, parsed once.
    pub fn built_in() -> &'static Self {
        static TABLE: OnceLock<PriceTable> = OnceLock::new();
        TABLE.get_or_init(|| Self { layers: vec![built_in_layer()] })
    }

    /// An operator's table (JSON in the form of `config/prices.json`) before the built-in one.
    pub fn with(own: &str) -> Result<Self, PriceError> {
        let own = serde_json::from_str(own).map_err(PriceError)?;
        Ok(Self { layers: vec![own, Self::built_in().layers[0].clone()] })
    }

    /// The model of that name at that provider, and the version of the layer that knows it.
    pub(super) fn find(&self, provider: &str, name: &str) -> Option<(&Model, &str)> {
        let name = name.to_ascii_lowercase();
        // Gemini's own form is `models/{id}`, Vertex's `projects/…/publishers/google/models/{id}`.
        let name = name.rsplit_once("models/").map_or(name.as_str(), |(_, id)| id);
        self.layers.iter().find_map(|layer| Some((layer.find(provider, name)?, layer.version.as_str())))
    }
}

fn built_in_layer() -> Layer {
    let text = include_str!("../../../config/prices.json");
    serde_json::from_str(text).expect("the built-in table is checked by a test")
}

impl Layer {
    fn find(&self, provider: &str, name: &str) -> Option<&Model> {
        let provider = self.providers.get(provider)?;
        let others = provider.fallback.iter().filter_map(|other| self.providers.get(other));
        core::iter::once(provider).chain(others).find_map(|provider| provider.find(name))
    }
}

impl Provider {
    fn find(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.names.accept(name))
    }
}

impl Names {
    fn accept(&self, name: &str) -> bool {
        match self {
            Self::One(pattern) => accepts(pattern, name),
            Self::Any(any) => any.iter().any(|names| names.accept(name)),
            Self::All { and } => and.iter().all(|names| names.accept(name)),
            Self::Not { not } => !not.accept(name),
        }
    }
}

/// One pattern: a sign and a text in which `#` is a digit; without a sign, the whole name, as people type it.
fn accepts(pattern: &str, name: &str) -> bool {
    let (sign, text) = pattern.split_at(pattern.len().min(1));
    match sign {
        "=" => name.len() == text.len() && starts_with(name, text),
        "^" => starts_with(name, text),
        "$" => name.ends_with(text),
        "~" => name.contains(text),
        _ => name.eq_ignore_ascii_case(pattern),
    }
}

fn starts_with(name: &str, text: &str) -> bool {
    let same =
        |(letter, wanted): (u8, u8)| if wanted == b'#' { letter.is_ascii_digit() } else { letter == wanted };
    name.len() >= text.len() && name.bytes().zip(text.bytes()).all(same)
}

impl Price {
    /// Whether it holds at a moment, in Unix seconds.
    pub(super) fn holds(&self, at: i64) -> bool {
        let minute = at.rem_euclid(86_400) / 60;
        let hours = self.minutes.is_none_or(|(from, to)| {
            if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to }
        });
        self.since.is_none_or(|day| at.div_euclid(86_400) >= day) && hours
    }

    /// The rates for a call with so much input.
    pub(super) fn rates_for(&self, input: u64) -> &Rates {
        let over = self.over.iter().rev().find(|(start, _)| input > *start);
        over.map_or(&self.rates, |(_, rates)| rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_say_by_their_sign_what_they_match() {
        let cases = [
            ("=gpt-4o", "gpt-4o", true),
            ("=gpt-4o", "gpt-4o-mini", false),
            ("^gpt-####", "gpt-2026-11", true),
            ("$-mini", "gpt-4o-mini", true),
            ("~sonnet", "claude-sonnet-4-5", true),
            ("Acme-1", "acme-1", true),
            ("acme-1", "acme-10", false),
            ("", "acme-1", false),
        ];
        for (pattern, name, accepted) in cases {
            assert_eq!(accepts(pattern, name), accepted, "{pattern} {name}");
        }
    }

    #[test]
    fn the_built_in_table_is_whole() {
        let layer = &PriceTable::built_in().layers[0];
        assert!(layer.version.starts_with("genai-prices "));
        for (name, provider) in &layer.providers {
            assert!(crate::model::detect::PROVIDERS.contains(&name.as_str()), "{name}");
            assert!(provider.fallback.iter().all(|other| layer.providers.contains_key(other)), "{name}");
            assert!(provider.models.iter().all(|model| !model.prices.is_empty()), "{name}");
        }
    }
}
