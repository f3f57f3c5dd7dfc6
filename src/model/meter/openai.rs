//! OpenAI's single answers: embeddings, images, audio, decisions (WIRE §2). Usage under either of OpenAI's two
//! vocabularies, nothing generated that is looked at.

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
    ("error", &ERROR),
])
.tagged(Field::Document);

static USAGE_OBJECT: Shape<Field> = Shape::object(&[
    ("prompt_tokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("completion_tokens", &Shape::value(Field::Count(Count::Output), 0)),
    ("input_tokens", &Shape::value(Field::Count(Count::Input), 0)),
    ("output_tokens", &Shape::value(Field::Count(Count::Output), 0)),
    ("input_tokens_details", &DETAILS),
    ("prompt_tokens_details", &DETAILS),
    ("output_tokens_details", &DETAILS),
    ("cost", &Shape::value(Field::Cost, 0)),
])
.tagged(Field::Usage)
.raw(USAGE);

static DETAILS: Shape<Field> = Shape::object(&[
    ("cached_tokens", &Shape::value(Field::Count(Count::CacheRead), 0)),
    ("cache_write_tokens", &Shape::value(Field::Count(Count::CacheWrite), 0)),
    ("reasoning_tokens", &Shape::value(Field::Count(Count::Reasoning), 0)),
]);

static ERROR: Shape<Field> = Shape::object(&[
    ("type", &Shape::value(Field::ErrorKind, NAME)),
    ("code", &Shape::value(Field::ErrorCode, NAME)),
    ("message", &Shape::value(Field::ErrorMessage, MESSAGE)),
])
.tagged(Field::Error)
.keeping(MESSAGE);

fn apply(event: &mut Event, progress: &mut Progress) {
    if event.usage {
        progress.close();
    }
    progress.error_in(event);
}
