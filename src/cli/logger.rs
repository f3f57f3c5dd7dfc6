//! Messages for the operator on standard error, one line each, control bytes escaped (P36). `TOLLGATE_LOG` chooses
//! how much: error, warn (the default), info, debug, trace, or off.

use log::{LevelFilter, Log, Metadata, Record};

use crate::telemetry::text::printable;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tollgate")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = record.args().to_string();
            eprintln!("tollgate: {}: {}", record.level().as_str().to_lowercase(), printable(&line));
        }
    }

    fn flush(&self) {}
}

/// Starts to log.
pub fn start() {
    let wanted = std::env::var("TOLLGATE_LOG").ok().and_then(|level| level.parse().ok());
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(wanted.unwrap_or(LevelFilter::Warn));
    }
}
