//! The ledger through the running proxy: what befalls its file with both choices of `on_failure` (P34), secrets in every
//! place that a request has (P36), and readers that page while rows are written.

mod ledger_support;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use ledger_support::{Place, close, net};
use rusqlite::{Connection, OpenFlags};
use support::client::{Client, Response};
use support::eventually;
use support::origin::Origin;
use support::proxy::{Proxy, Setup};
use tollgate::telemetry::event::Event;
use tollgate::telemetry::query::{Filter, Position, Range, Reader, Source};

fn origin() -> Origin {
    Origin::plain(|conn| {
        while conn.request()?.is_some() {
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    })
}

fn proxy(origin: &Origin, on_failure: &str) -> Proxy {
    let telemetry = format!("[telemetry]\npatience = \"300ms\"\non_failure = \"{on_failure}\"");
    Setup::default().map("a.test:80", origin.address()).more(&telemetry).start()
}

fn request(proxy: &Proxy) -> Response {
    Client::plain(proxy.address()).ask(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
}

/// What happens to requests while the ledger fails, and that all is well after `mend`.
fn fails_and_comes_back(proxy: &Proxy, on_failure: &str, trouble: &str, mend: impl FnOnce()) {
    assert_eq!(request(proxy).status, 200, "within its patience the ledger has not failed");
    if on_failure == "refuse" {
        let refused = eventually("a refusal", || Some(request(proxy)).filter(|answer| answer.status == 503));
        assert!(String::from_utf8_lossy(&refused.body).contains("the ledger"), "{refused:?}");
    } else {
        eventually("a notice", || proxy.stderr().contains(trouble).then_some(()));
        assert_eq!(request(proxy).status, 200);
    }
    assert!(proxy.stderr().contains(trouble), "{}", proxy.stderr());
    mend();
    eventually("requests are taken again", || (request(proxy).status == 200).then_some(()));
    eventually("rows are written again", || proxy.stderr().contains("can be written again").then_some(()));
}

#[test]
fn p34_a_locked_ledger_refuses_or_passes_and_comes_back() {
    let origin = origin();
    for on_failure in ["refuse", "pass"] {
        let proxy = proxy(&origin, on_failure);
        let holder = Connection::open(proxy.ledger().file()).expect("a database");
        holder.execute_batch("BEGIN IMMEDIATE").expect("locked");
        fails_and_comes_back(&proxy, on_failure, "locked by another process", || {
            holder.execute_batch("ROLLBACK").expect("unlocked");
        });
        let lost = "SELECT coalesce(sum(count), 0) FROM dropped";
        assert_eq!(proxy.ledger().number(lost), 0, "nothing is lost while the queue has room");
        let decided = |decision: &str| {
            proxy.ledger().number(&format!("SELECT count(*) FROM net_events WHERE decision = '{decision}'"))
        };
        if on_failure == "refuse" {
            eventually("the row of a refusal (P32)", || (decided("failed") > 0).then_some(()));
        } else {
            eventually("rows", || (decided("allowed") >= 2).then_some(()));
            assert_eq!(decided("failed"), 0);
        }
    }
}

#[test]
fn p34_a_ledger_whose_directory_is_away_refuses_or_passes_and_comes_back() {
    let origin = origin();
    for on_failure in ["refuse", "pass"] {
        let proxy = proxy(&origin, on_failure);
        let (state, away) = (proxy.dir().join("state"), proxy.dir().join("away"));
        fs::rename(&state, &away).expect("renamed");
        fails_and_comes_back(&proxy, on_failure, "the ledger", || {
            fs::rename(&away, &state).expect("renamed");
        });
        assert_eq!(proxy.ledger().number("SELECT count(*) FROM dropped"), 0, "nothing was written twice");
        assert!(!proxy.stderr().contains("in a new file"), "{}", proxy.stderr());
    }
}

#[test]
fn p34_a_deleted_and_a_damaged_ledger_are_made_again_without_a_refusal() {
    let origin = origin();
    for on_failure in ["refuse", "pass"] {
        let proxy = proxy(&origin, on_failure);
        assert_eq!(request(&proxy).status, 200);
        proxy.ledger().net_events(1);
        let db = proxy.ledger().file().to_owned();
        for side in ["", "-wal", "-shm"] {
            fs::remove_file(format!("{}{side}", db.display())).expect("deleted");
        }
        assert_eq!(request(&proxy).status, 200);
        let rows = || -> Option<i64> {
            let ledger = Connection::open_with_flags(&db, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
            ledger.query_row("SELECT count(*) FROM net_events", [], |row| row.get(0)).ok()
        };
        eventually("the new file", || rows().filter(|rows| *rows >= 1));
        let notice = format!("the ledger goes on in a new file: {}", db.display());
        eventually("a notice", || proxy.stderr().contains(&notice).then_some(()));
        // What the log still holds mends the file; what it does not is set aside with it (see `ledger_faults`).
        fs::write(&db, vec![0x5a; 64 << 10]).expect("overwritten");
        assert_eq!(request(&proxy).status, 200);
        assert_eq!(request(&proxy).status, 200);
        eventually("rows", || rows().filter(|rows| *rows >= 2));
        assert_eq!(proxy.ledger().number("SELECT count(*) FROM dropped"), 0, "what was there is not lost");
    }
}

#[test]
fn p36_secrets_of_a_request_are_at_rest_nowhere() {
    const SECRET: &str = "pl4nted-s3cret-Zq7";
    let answer = format!(
        "HTTP/1.1 401 No\r\nSet-Cookie: a={SECRET}\r\nLocation: http://u:{SECRET}@b.test/?token={SECRET}#access_token={SECRET}\r\n\
         X-Own: {SECRET}\r\nContent-Type: application/json\r\nContent-Length: 82\r\n\r\n"
    );
    let body = format!("{:82}", format!(r#"{{"error":{{"message":"no: password={SECRET}"}}}}"#));
    let origin = Origin::plain(move |conn| {
        while conn.request()?.is_some() {
            conn.send(answer.as_bytes())?;
            conn.send(body.as_bytes())?;
        }
        Ok(())
    });
    let setup = Setup::default().map("a.test:80", origin.address());
    let mut proxy = setup.more("[telemetry]\nbodies = \"full\"").start();
    let key = format!("sk-ant-{SECRET}");
    let sent = format!("client_secret={SECRET}&x=https%3A//u&y=postgres://u:{SECRET}@db/");
    let request = format!(
        "POST http://a.test/p/{key}/q;token={SECRET}/http://u:{SECRET}@c.test/?key={SECRET}&a=1&X-Amz-Signature={SECRET}\
         &b={key}&u=http://u:{SECRET}@d.test/&v=http%3A%2F%2Fu%3A{SECRET}%40d.test HTTP/1.1\r\nHost: a.test\r\n\
         Authorization: Bearer {SECRET}\r\nCookie: a={SECRET}\r\nX-Api-Key: {SECRET}\r\nX-Goog-Api-Key: {SECRET}\r\n\
         Proxy-Authorization: Basic {SECRET}\r\nX-Unheard-Of: {SECRET}\r\nReferer: https://u:{SECRET}@c.test/\r\n\
         User-Agent: tool {key}\r\nContent-Length: {}\r\n\r\n{sent}",
        sent.len()
    );
    assert_eq!(Client::plain(proxy.address()).ask(request.as_bytes()).status, 401);
    let row = proxy.ledger().net_events(1).remove(0);
    assert!(row.text("query").is_some_and(|query| query.contains("&a=1&")), "{row:?}");
    let state = proxy.dir().join("state");
    let look = || {
        for file in fs::read_dir(&state).expect("listed").flatten() {
            let bytes = fs::read(file.path()).expect("readable");
            let found = memchr::memmem::find(&bytes, SECRET.as_bytes());
            assert!(found.is_none(), "{}", file.path().display());
        }
    };
    look();
    assert_eq!(proxy.stop().code(), Some(0));
    look();
    assert!(!proxy.stderr().contains(SECRET));
}

/// Rows come in another order than their ids were given, as in life.
fn shuffled(ids: &mut [u64]) {
    for at in 0..ids.len() {
        ids.swap(at, (at * 7919 + 13) % ids.len());
    }
}

#[test]
fn pages_and_followers_lose_and_repeat_nothing_while_rows_are_written() {
    const ROWS: usize = 4000;
    let place = Place::new();
    let ledger = place.open();
    let sink = ledger.sender();
    let mut ids: Vec<u64> = (0..ROWS).map(|_| sink.next_exchange_id()).collect();
    shuffled(&mut ids);
    let mut follower = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["log", "--follow", "--json", "--db"])
        .arg(place.db())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
    let sent = ids.clone();
    let writer = thread::spawn(move || {
        for id in sent {
            sink.try_send(Event::Net(Box::new(net(id)))).expect("room");
            if id % 50 == 0 {
                thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    });
    let (mut after, mut paged) = (Position::default(), Vec::new());
    let wanted = Filter { host: Some("api.*".parse().expect("a pattern")), ..Filter::default() };
    while paged.len() < ROWS {
        let reader = Reader::open(&place.db()).expect("readable");
        let range = Range { after, limit: Some(7), ..Range::default() };
        let each = |record: &tollgate::telemetry::query::Record| {
            paged.push(record.int("exchange_id").expect("an id") as u64);
            true
        };
        after = reader.rows(Source::Events, &wanted, range, each).expect("read");
    }
    writer.join().expect("written");
    let id =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["exchange_id"].as_u64();
    let followed: Vec<u64> = lines.take(ROWS).filter_map(|line| id(&line.expect("a line"))).collect();
    follower.kill().expect("killed");
    follower.wait().expect("ended");
    assert_eq!(paged.iter().collect::<BTreeSet<_>>().len(), ROWS);
    assert_eq!(followed, paged, "the order is the same for everybody");
    close(ledger);
}
