//! Token counts as the provider names them, and the one arithmetic that makes them comparable (WIRE §0).
//!
//! Counts in a stream are cumulative: each replaces the one before it, field by field, and is never added to it.

use crate::model::api::Api;
use crate::model::usage::Usage;

/// A count in a provider's usage object, by its meaning there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Input,
    CacheRead,
    /// Cache reads under another name, where the usual one is missing (DeepSeek, Moonshot, older xAI).
    CacheHit,
    CacheWrite,
    /// Cache writes under another name, where the usual one is missing (Bedrock's metrics).
    CacheStored,
    CacheWrite5m,
    CacheWrite1h,
    /// Input on top of the prompt (Gemini's tool use).
    ExtraInput,
    Output,
    /// Output on top of the completion (Perplexity's citations).
    ExtraOutput,
    Reasoning,
    /// Input and output as billed, where the provider also says what was used (Cohere).
    BilledInput,
    BilledOutput,
}

/// How many there are.
const KINDS: usize = Count::BilledOutput as usize + 1;

/// The counts said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts([Option<u64>; KINDS]);

/// What a provider's `input` and `output` leave out.
#[derive(Clone, Copy, Debug, Default)]
struct Excluded {
    cache: bool,
    reasoning: bool,
}

impl Counts {
    pub(super) fn set(&mut self, which: Count, count: u64) {
        self.0[which as usize] = Some(count);
    }

    pub(super) fn get(&self, which: Count) -> Option<u64> {
        self.0[which as usize]
    }

    /// Whether the provider has said anything.
    pub(super) fn any(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// The counts as the ledger defines them: input includes cache reads and writes, output includes reasoning.
    pub(super) fn normalised(&self, provider: &str, api: Api) -> Usage {
        let excluded = Excluded::by(provider, api);
        let reasoning = self.get(Count::Reasoning);
        let cache_read = self.get(Count::CacheRead).or(self.get(Count::CacheHit));
        let lifetimes = sum([self.get(Count::CacheWrite5m), self.get(Count::CacheWrite1h), None]);
        let cache_write = self.get(Count::CacheWrite).or(lifetimes).or(self.get(Count::CacheStored));
        let cache = if excluded.cache { [cache_read, cache_write] } else { [None, None] };
        let input = self.get(Count::Input).or(self.get(Count::BilledInput));
        let output = self.get(Count::Output).or(self.get(Count::BilledOutput));
        let thought = if excluded.reasoning { reasoning } else { None };
        Usage {
            input: plus(input, [cache[0], cache[1], self.get(Count::ExtraInput)]),
            cache_read,
            cache_write,
            cache_write_5m: self.get(Count::CacheWrite5m),
            cache_write_1h: self.get(Count::CacheWrite1h),
            output: sum([output, thought, self.get(Count::ExtraOutput)]),
            reasoning,
        }
    }
}

impl Excluded {
    fn by(provider: &str, api: Api) -> Self {
        match api {
            Api::AnthropicMessages | Api::BedrockInvoke | Api::BedrockConverse => {
                Self { cache: true, reasoning: false }
            }
            Api::GoogleGenerate
            | Api::GoogleLive
            | Api::GoogleInteractions
            | Api::GoogleEmbed
            | Api::GooglePredict => Self { cache: false, reasoning: true },
            Api::OpenAiChat if matches!(provider, "xai" | "perplexity") => {
                Self { cache: false, reasoning: true }
            }
            _ => Self::default(),
        }
    }
}

/// The sum of what is known, `None` when nothing is.
fn sum(parts: [Option<u64>; 3]) -> Option<u64> {
    let mut known = parts.into_iter().flatten();
    plus(known.next(), [known.next(), known.next(), None])
}

/// `base` with what is known of `more`; unknown when `base` is, or when no ledger could hold it.
fn plus(base: Option<u64>, more: [Option<u64>; 3]) -> Option<u64> {
    let sum = more.into_iter().flatten().try_fold(base?, u64::checked_add)?;
    i64::try_from(sum).is_ok().then_some(sum)
}
