//! What OpenAI's formats share, and its smaller ones: embeddings, images, audio, decisions, moderations (WIRE §2).
//! Usage under either of OpenAI's two vocabularies; of what is generated only that it has begun.

use crate::wire::json::Shape;

use super::counts::Count;
use super::event::{Event, Field};
use super::progress::Progress;
use super::{Format, MESSAGE, NAME, USAGE};

pub(super) static FORMAT: Format = Format { shape: &ANSWER, apply };

static ANSWER: Shape<Field> = Shape::object(&[
    ("id", &Shape::value(Field::Id, NAME)),
    ("model", &Shape::value(Field::Model, NAME)),
    ("usage", &USAGE_OBJECT),
    ("service_tier", &Shape::value(Field::Tier, NAME)),
    ("delta", &Shape::value(Field::Generated, 0)),
    ("error", &ERROR),
])
.tagged(Field::Document);

/// Usage where it is not that of a chat: the words of Responses, of its older relatives, and of Realtime, which says
/// `token_details`.
pub(super) static USAGE_OBJECT: Shape<Field> = Shape::object(&[
    ("input_tokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("output_tokens", &Shape::value(Field::Count(Count::Output), 0)),
    ("input_tokens_details", &INPUT_DETAILS),
    ("output_tokens_details", &OUTPUT_DETAILS),
    ("input_token_details", &INPUT_DETAILS),
    ("output_token_details", &OUTPUT_DETAILS),
    ("prompt_tokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("completion_tokens", &Shape::value(Field::Count(Count::Output), 0)),
    ("prompt_tokens_details", &INPUT_DETAILS),
    ("completion_tokens_details", &OUTPUT_DETAILS),
    ("cost", &COST),
    ("cost_in_usd_ticks", &Shape::value(Field::CostTicks, 0)),
])
.tagged(Field::Usage)
.raw(USAGE);

pub(super) static INPUT_DETAILS: Shape<Field> = Shape::object(&[
    ("cached_tokens", &Shape::value(Field::Count(Count::CacheRead), 0)),
    ("cache_read_input_tokens", &Shape::value(Field::Count(Count::CacheHit), 0)),
    ("cache_write_tokens", &Shape::value(Field::Count(Count::CacheWrite), 0)),
]);

pub(super) static OUTPUT_DETAILS: Shape<Field> =
    Shape::object(&[("reasoning_tokens", &Shape::value(Field::Count(Count::Reasoning), 0))]);

/// What the provider charges: USD at `OpenRouter`, an object with a sum at Perplexity.
pub(super) static COST: Shape<Field> =
    Shape::object(&[("total_cost", &Shape::value(Field::Cost, 0))]).tagged(Field::Cost);

pub(super) static ERROR: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::ErrorKind, NAME)),
    ("code", &Shape::value(Field::ErrorCode, NAME)),
    ("message", &Shape::value(Field::ErrorMessage, MESSAGE)),
    ("headers", &ERROR_HEADERS),
])
.tagged(Field::Error)
.keeping(MESSAGE);

/// What the head of an answer would have said, in an error frame of a WebSocket.
static ERROR_HEADERS: Shape<Field> = Shape::object(&[
    ("retry-after", &Shape::value(Field::RetryDelay, NAME)),
    ("x-request-id", &Shape::value(Field::RequestId, NAME)),
]);

fn apply(event: &mut Event, progress: &mut Progress) {
    if event.usage {
        progress.close();
    }
    progress.error_in(event);
}
