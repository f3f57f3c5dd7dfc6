//! The ledger as requests read it. To open the file, and to have SQLite read the schema and compile the statements, costs
//! more than most answers, so a reader is kept from one request to the next, for as long as the file is the same.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::telemetry::query::{QueryError, Reader, identity};

/// Where readers come from and go back to.
pub(super) struct Ledger {
    path: PathBuf,
    idle: Mutex<Idle>,
}

/// The reader that nobody uses now; more are not kept.
enum Idle {
    Kept(Option<Opened>),
    Over,
}

/// A reader, and which file it opened.
struct Opened {
    file: (u64, u64),
    reader: Reader,
}

/// A reader in use.
pub(super) struct Lent<'l> {
    ledger: &'l Ledger,
    opened: Option<Opened>,
}

impl Ledger {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Idle::Kept(None)) }
    }

    /// A reader of the file that is there now: it may have been set aside and made again since the last time.
    pub(super) fn reader(&self) -> Result<Lent<'_>, QueryError> {
        let kept = match &mut *self.lock() {
            Idle::Kept(kept) => kept.take(),
            Idle::Over => None,
        };
        let file = identity(&self.path).ok_or(QueryError::Missing)?;
        let opened = match kept.filter(|kept| kept.file == file) {
            Some(kept) => kept,
            None => Opened { file, reader: Reader::open(&self.path)? },
        };
        Ok(Lent { ledger: self, opened: Some(opened) })
    }

    /// Keeps none from now on: whoever closes the ledger last puts its log away, and that is to be the writer.
    pub(super) fn close(&self) {
        *self.lock() = Idle::Over;
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Lent<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.opened.as_ref().expect("it is there until the end").reader
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Idle::Kept(kept) = &mut *self.ledger.lock() {
            *kept = self.opened.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::telemetry::query::Source;
    use crate::telemetry::{Ledger as Written, LedgerOptions, SessionInfo};

    fn write(directory: &std::path::Path) {
        let options = LedgerOptions::in_dir(directory, SessionInfo::default());
        Written::open(options).expect("opened").close(crate::limits::SECOND);
    }

    fn is_kept(ledger: &Ledger) -> bool {
        matches!(*ledger.lock(), Idle::Kept(Some(_)))
    }

    #[test]
    fn a_reader_is_kept_while_its_file_is_the_ledger() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("ledger.db");
        let ledger = Ledger::new(file.clone());
        assert!(matches!(ledger.reader().map(drop), Err(QueryError::Missing)));
        write(place.path());
        let first = ledger.reader().expect("readable").opened.as_ref().map(|opened| opened.file);
        assert!(is_kept(&ledger));
        fs::rename(&file, place.path().join("aside.db")).expect("renamed");
        assert!(matches!(ledger.reader().map(drop), Err(QueryError::Missing)));
        write(place.path());
        let second = ledger.reader().expect("readable");
        assert_ne!(second.opened.as_ref().map(|opened| opened.file), first);
        second.end(Source::Events).expect("readable");
    }

    #[test]
    fn none_is_kept_once_the_proxy_ends() {
        let place = tempfile::tempdir().expect("a directory");
        write(place.path());
        let ledger = Ledger::new(place.path().join("ledger.db"));
        let late = ledger.reader().expect("readable");
        drop(ledger.reader().expect("readable"));
        assert!(is_kept(&ledger));
        ledger.close();
        drop(late);
        drop(ledger.reader().expect("readable"));
        assert!(!is_kept(&ledger));
    }
}
