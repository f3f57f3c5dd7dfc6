//! `/v1/events`, `/v1/calls`, `/v1/errors`: rows of the ledger a page at a time.

use super::State;
use super::follow::Follow;
use super::http::{JSON, Response};
use super::query::{Params, unreadable};
use crate::telemetry::query::{Filter, Position, Range, Reader, Source};

/// Rows of a page when nobody says, and at most.
const LIMIT: (usize, usize) = (100, 1000);
/// The newest rows that can be asked for; they are held in memory.
const NEWEST: usize = 500;
/// The same with bodies.
const NEWEST_BODIES: usize = 20;
/// A page ends after the row that takes it past this, in bytes.
const PAGE: usize = 4 << 20;

/// Rows now, or rows as they come.
pub(super) enum Rows {
    Page(Response),
    Follow(Follow),
}

/// What a request for rows asks for.
pub(super) struct Wanted {
    pub(super) source: Source,
    pub(super) filter: Filter,
    /// Only rows after this place.
    pub(super) after: Option<Position>,
    pub(super) newest: Option<usize>,
    /// With bodies, as far as they are kept.
    pub(super) bodies: bool,
    limit: usize,
}

/// Answers a request for rows. `after` is where an earlier answer ended; `last_event_id` is where this follower was when
/// it lost its connection. A browser then asks for the same address again, so that it goes before an `after` there.
pub(super) fn rows(
    state: &State,
    source: Source,
    mut params: Params,
    last_event_id: Option<&str>,
) -> Result<Rows, Response> {
    let reader = state.ledger.reader().map_err(|error| unreadable(&error))?;
    let follow = params.switch("follow")?;
    let bodies = source == Source::Events && params.switch("bodies")?;
    let most = if bodies { NEWEST_BODIES } else { NEWEST };
    let wanted = Wanted {
        source,
        filter: params.filter(&reader, &state.session)?,
        after: last_event_id.and_then(|id| id.parse().ok()).filter(|_| follow).or(params.parse("after")?),
        newest: params.count("newest", most)?,
        bodies,
        limit: params.count("limit", LIMIT.1)?.unwrap_or(LIMIT.0),
    };
    params.finish()?;
    wanted.filter.check(source).map_err(|error| unreadable(&error))?;
    if follow {
        return Ok(Rows::Follow(Follow::new(wanted)));
    }
    page(&reader, &wanted).map(Rows::Page)
}

/// `{"events": […], "next": "17.4"}`; `next` is what to say as `after` for the rows behind these.
fn page(reader: &Reader, wanted: &Wanted) -> Result<Response, Response> {
    let mut body = format!("{{\"{}\":[", word(wanted.source)).into_bytes();
    let empty = body.len();
    let limit = wanted.newest.is_none().then_some(wanted.limit);
    let after = match wanted.after {
        Some(after) => after.within(reader.end(wanted.source).map_err(|error| unreadable(&error))?),
        None => Position::default(),
    };
    let range = Range { after, newest: wanted.newest, limit, bodies: wanted.bodies, ..Range::default() };
    let each = |record: &crate::telemetry::query::Record| {
        if body.len() > empty {
            body.push(b',');
        }
        record.write_json(&mut body);
        wanted.newest.is_some() || body.len() < PAGE
    };
    let next = reader.rows(wanted.source, &wanted.filter, range, each).map_err(|error| unreadable(&error))?;
    body.extend_from_slice(format!("],\"next\":\"{next}\"}}\n").as_bytes());
    Ok(Response::new(JSON, body))
}

/// What rows of a source are called together.
fn word(source: Source) -> &'static str {
    match source {
        Source::Events => "events",
        Source::Calls => "calls",
        Source::Errors => "errors",
        Source::Tools => "tools",
        Source::Dns => "dns",
    }
}
