//! SIGKILL at random moments: the file stays whole and at most the last 200 ms are lost (P33).

mod ledger_support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ledger_support::{Place, now, options, send};
use tollgate::telemetry::Ledger;

const ROUNDS: u64 = 50;

/// What a killed process may take along.
const WINDOW: Duration = Duration::from_millis(200);

#[test]
fn p33_fifty_kills_lose_no_row_older_than_the_window() {
    let place = Place::new();
    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        let sent = killed_after(place.dir.path(), Duration::from_millis(20 + round * 37 % 100));
        let (last, before) = sent.split_last().expect("it sent something");
        expected.extend(before.iter().filter(|(_, at)| last.1 - *at > WINDOW).map(|(id, _)| *id));
        assert_eq!(place.number("SELECT count(*) FROM pragma_quick_check WHERE quick_check = 'ok'"), 1);
    }
    assert!(expected.len() > ROUNDS as usize, "only {} rows were old enough", expected.len());
    let database = place.look();
    let mut there = database.prepare("SELECT 1 FROM net_events WHERE exchange_id = ?").expect("prepared");
    let missing: Vec<_> = expected.iter().filter(|&&id| !there.exists([id as i64]).expect("read")).collect();
    assert!(missing.is_empty(), "{} of {} rows are missing: {missing:?}", missing.len(), expected.len());
    assert_eq!(place.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    assert_eq!(place.number("SELECT count(*) FROM sessions WHERE ended_at IS NULL"), ROUNDS as i64);
}

/// Runs this binary as a process that sends rows, kills it after a while, and says what it had sent when.
fn killed_after(dir: &Path, life: Duration) -> Vec<(u64, Instant)> {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture", "send_until_killed"])
        .env("TOLLGATE_TEST_DIR", dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut sent = Vec::new();
    let mut end = None;
    while let Some(Ok(line)) = lines.next() {
        let Ok(id) = line.parse() else { continue };
        sent.push((id, now()));
        if sent.last().is_some_and(|(_, at)| *at > *end.get_or_insert(*at + life + WINDOW)) {
            break;
        }
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    sent
}

#[test]
#[ignore = "run and killed by the other test"]
fn send_until_killed() {
    let dir = std::path::PathBuf::from(std::env::var_os("TOLLGATE_TEST_DIR").expect("set by the caller"));
    let ledger = Ledger::open(options(&dir)).expect("opened");
    let sink = ledger.sender();
    let mut out = std::io::stdout().lock();
    // The caller kills long before this ends; a caller that died leaves nothing behind that runs for ever.
    for _ in 0..20_000 {
        let id = send(&sink);
        if writeln!(out, "\n{id}").and_then(|()| out.flush()).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}
