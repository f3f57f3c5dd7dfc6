//! The query of a request: parameters by name, each once, none unknown; and the filters that they mean.

use std::fmt;
use std::str::FromStr;

use super::http::Response;
use crate::telemetry::query::{Filter, QueryError, Reader};

/// Parameters that were not asked for yet.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

/// One text for the same question, however it was written.
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort();
        write!(f, "{pairs:?}")
    }
}

impl Params {
    /// Reads `a=b&c=d`, with `+` and `%XX` undone; a name said twice is refused.
    pub(super) fn read(query: Option<&[u8]>) -> Result<Self, Response> {
        let mut all: Vec<(String, String)> = Vec::new();
        let pairs = query.unwrap_or_default().split(|byte| *byte == b'&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let cut = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let name = decoded(&pair[..cut])?;
            if all.iter().any(|(known, _)| *known == name) {
                return Err(Response::problem(400, &format!("the parameter {name:?} is there twice")));
            }
            all.push((name, decoded(pair.get(cut + 1..).unwrap_or_default())?));
        }
        Ok(Self(all))
    }

    /// Takes a parameter's text.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes a parameter that has a form.
    pub(super) fn parse<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<Option<T>, Response> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let unclear = |why| Response::problem(400, &format!("{name}={text:?} cannot be understood: {why}"));
        text.parse().map(Some).map_err(unclear)
    }

    /// Takes a count that must not be larger than `most`.
    pub(super) fn count(&mut self, name: &str, most: usize) -> Result<Option<usize>, Response> {
        let count = self.parse(name)?;
        let fits = count.is_none_or(|count| (1..=most).contains(&count));
        if fits { Ok(count) } else { Err(Response::problem(400, &format!("{name} is 1 to {most}"))) }
    }

    /// Takes a switch: `1`, `true`, or nothing but the name.
    pub(super) fn switch(&mut self, name: &str) -> Result<bool, Response> {
        match self.take(name).as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(other) => Err(Response::problem(400, &format!("{name}={other:?}: write 1 or 0"))),
        }
    }

    /// Takes all filters; the session `current` is this process's.
    pub(super) fn filter(&mut self, reader: &Reader, current: &str) -> Result<Filter, Response> {
        Ok(Filter {
            host: self.parse("host")?,
            decision: self.decision()?,
            model: self.parse("model")?,
            provider: self.take("provider"),
            process: self.take("process"),
            status: self.parse("status")?,
            since: self.moment("since", reader)?,
            until: self.moment("until", reader)?,
            session: self.session(current)?,
        })
    }

    /// An empty one would be the start of every session's id.
    fn session(&mut self, current: &str) -> Result<Option<String>, Response> {
        match self.take("session") {
            Some(session) if session.is_empty() => Err(Response::problem(400, "session is empty")),
            Some(session) if session == "current" => Ok(Some(current.to_owned())),
            session => Ok(session),
        }
    }

    /// What nobody took is refused: a filter that is misspelt must not show everything.
    pub(super) fn finish(self) -> Result<(), Response> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Response::problem(400, &format!("unknown parameter {name:?}"))),
        }
    }

    fn decision(&mut self) -> Result<Option<String>, Response> {
        const WORDS: [&str; 5] = ["allowed", "denied", "failed", "aborted", "spliced"];
        let Some(word) = self.take("decision") else { return Ok(None) };
        let unknown = || Response::problem(400, &format!("decision is one of {}", WORDS.join(", ")));
        WORDS.contains(&&*word).then_some(Some(word)).ok_or_else(unknown)
    }

    /// A number of Unix microseconds, or what `--since` takes.
    fn moment(&mut self, name: &str, reader: &Reader) -> Result<Option<i64>, Response> {
        let Some(text) = self.take(name) else { return Ok(None) };
        if let Ok(micros) = text.parse() {
            return Ok(Some(micros));
        }
        let unclear = || {
            let forms = "Unix microseconds, 90s, 10m, 24h, 7d or a UTC date or time";
            Response::problem(400, &format!("{name}={text:?}: write {forms}"))
        };
        reader.moment(&text).map_err(|error| unreadable(&error))?.map(Some).ok_or_else(unclear)
    }
}

/// A failure to read the ledger.
pub(super) fn unreadable(error: &QueryError) -> Response {
    match error {
        QueryError::NoSuchFilter(_) => Response::problem(400, &error.to_string()),
        error => Response::problem(503, &format!("reading the ledger: {error}")),
    }
}

fn decoded(text: &[u8]) -> Result<String, Response> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
                let byte = digit(0).zip(digit(1)).map(|(high, low)| (high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or_default();
                byte.ok_or_else(|| Response::problem(400, "a % in the query is not followed by two digits"))?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Response::problem(400, "the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_taken_once_and_none_is_left_over() {
        let mut params = Params::read(Some(b"host=%2A.a&x=1+2&follow")).expect("parameters");
        assert_eq!(params.take("host").as_deref(), Some("*.a"));
        assert!(params.switch("follow").expect("a switch"));
        let left = params.finish().expect_err("x is unknown");
        assert!(left.status == 400 && left.body.contains(&b'x'), "{left:?}");
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for query in [
            "a=1&a=2",
            "a=%4",
            "a=%zz",
            "a=%+f",
            "a=%%41",
            "a=%ff",
            "limit=0",
            "limit=9",
            "limit=x",
            "follow=maybe",
        ] {
            let outcome = Params::read(Some(query.as_bytes())).and_then(|mut params| {
                params.count("limit", 8)?;
                params.switch("follow")
            });
            assert_eq!(outcome.expect_err(query).status, 400, "{query}");
        }
    }
}
