//! What a session did: a status while it runs, and a summary at its end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::status::{Show, Status};
use crate::cli::Failure;
use crate::cli::table::{count, counted, usd};
use crate::service::Service;
use crate::telemetry::query::{Reader, SessionTotals};

/// Reads the session's totals from the ledger, as anybody could.
pub struct Summary {
    db: PathBuf,
    session: String,
    quiet: bool,
    status: Status,
    shown: Instant,
}

/// How often the status is drawn anew.
const INTERVAL: Duration = Duration::from_secs(1);

impl Summary {
    /// For a service that has just started.
    pub fn new(service: &Service, quiet: bool, show: Show) -> Self {
        let db = service.settings().telemetry.db.clone();
        let session = service.session_id().to_owned();
        let status = Status::new(if quiet { Show::Off } else { show });
        Self { db, session, quiet, status, shown: now() }
    }

    /// Draws the status anew if it is time to.
    pub fn show(&mut self) {
        if self.status.is_on() && self.shown.elapsed() >= INTERVAL {
            self.shown = now();
            if let Ok(totals) = self.totals() {
                self.status.draw(&format!("tollgate: {}", line(&totals)));
            }
        }
    }

    /// Prints the summary; gives it as JSON too.
    pub fn finish(&mut self) -> Result<String, Failure> {
        self.status.clear();
        let totals = self.totals()?;
        if !self.quiet {
            eprintln!("tollgate: {}", line(&totals));
        }
        serde_json::to_string_pretty(&totals).map_err(|error| Failure::failed(error.to_string()))
    }

    fn totals(&self) -> Result<SessionTotals, Failure> {
        let unreadable = |error| Failure::failed(format!("{}: {error}", self.db.display()));
        let sessions = Reader::open(&self.db).and_then(|reader| reader.sessions()).map_err(unreadable)?;
        let ours = sessions.into_iter().find(|session| session.session_id == self.session);
        ours.ok_or_else(|| Failure::failed("the ledger has lost this session"))
    }
}

fn line(totals: &SessionTotals) -> String {
    let sums = &totals.totals;
    format!(
        "{}, {} denied, {} failed; {}, {} in, {} out, {}",
        counted(totals.requests, "request"),
        totals.denied,
        totals.failed_requests,
        counted(sums.calls, "model call"),
        counted(sums.input_tokens.unwrap_or(0), "token"),
        count(sums.output_tokens.or(Some(0))),
        usd(sums.cost_pico_usd),
    )
}

#[expect(clippy::disallowed_methods, reason = "a person's clock, for a line that a person reads")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::query::Totals;

    fn session(requests: i64, totals: Totals) -> SessionTotals {
        SessionTotals {
            session_id: String::new(),
            name: None,
            command: None,
            started_at: 0,
            ended_at: None,
            version: String::new(),
            policy_digest: String::new(),
            requests,
            denied: 0,
            failed_requests: 0,
            totals,
        }
    }

    #[test]
    fn one_of_a_kind_is_not_said_to_be_many() {
        let sums = Totals { calls: 1, input_tokens: Some(1), output_tokens: Some(2), ..Totals::default() };
        let one = "1 request, 0 denied, 0 failed; 1 model call, 1 token in, 2 out, -";
        assert_eq!(line(&session(1, sums)), one);
        let none = "0 requests, 0 denied, 0 failed; 0 model calls, 0 tokens in, 0 out, -";
        assert_eq!(line(&session(0, Totals::default())), none);
    }
}
