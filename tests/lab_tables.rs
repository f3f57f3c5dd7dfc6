//! The tables of raw messages, through a whole connection machine: what goes on is what the table says, what is
//! refused is answered so and recorded once, whole and byte by byte (P14 to P19, P22, P32).

#[path = "tables/table.rs"]
mod table;

use table::{Case, Outcome};
use tollgate::lab::peer::End;
use tollgate::lab::round::{Reply, Script, run};
use tollgate::lab::{self, Lab, cuts::Cuts};
use tollgate::telemetry::event::Decision;
use tollgate::wire::head::Method;

/// What a connection takes for another protocol before anyone reads a head.
const OTHER_PROTOCOLS: &[&str] = &["preface of HTTP/2", "a TLS hello"];

fn cases(file: &str) -> Vec<Case> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(file);
    table::read(&std::fs::read_to_string(path).expect("a table"))
}

/// Runs every case and shows all that differ.
fn compare(file: &str, check: impl Fn(&Case) -> Result<(), String>) {
    let cases = cases(file);
    let differ: Vec<String> = cases
        .iter()
        .filter_map(|case| check(case).err().map(|why| format!("{}: {why}", case.name)))
        .collect();
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), cases.len(), differ.join("\n"));
}

#[test]
fn p14_to_p17_requests_go_on_or_are_refused_as_the_table_says() {
    compare("requests.txt", |case| {
        if OTHER_PROTOCOLS.contains(&&*case.name) {
            return Ok(());
        }
        request(case, 0)?;
        if case.sent.len() < 4096 { request(case, 1) } else { request(case, 7) }
    });
}

fn request(case: &Case, seed: u64) -> Result<(), String> {
    let ok = Reply::keep(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let played = run(seed, &Script::plain(&case.sent, vec![ok]));
    let expected: Vec<&Vec<u8>> = case.outcomes.iter().filter_map(forwarded).collect();
    if played.requests.iter().map(|request| &request.bytes).ne(expected.iter().copied()) {
        let shown = |all: &mut dyn Iterator<Item = &Vec<u8>>| {
            all.map(|one| one[..one.len().min(400)].escape_ascii().to_string())
                .collect::<Vec<_>>()
                .join(" | ")
        };
        return Err(format!(
            "seed {seed} forwarded [{}], not [{}]; {:?}",
            shown(&mut played.requests.iter().map(|request| &request.bytes)),
            shown(&mut expected.iter().copied()),
            played.rows
        ));
    }
    let last = played.guest.last().map_or(0, |message| message.status);
    let wanted = case.outcomes.last().and_then(status);
    match wanted {
        Some(status) if status != last => {
            return Err(format!("seed {seed} told {last}, not {status}: {:?}", played.rows));
        }
        None if last >= 300 => return Err(format!("seed {seed} told {last}: {:?}", played.rows)),
        _ => {}
    }
    let refused = usize::from(wanted.is_some_and(|status| status >= 400));
    if played.rows.len() != expected.len() + refused {
        return Err(format!("seed {seed}: {} rows: {:?}", played.rows.len(), played.rows));
    }
    Ok(())
}

fn forwarded(outcome: &Outcome) -> Option<&Vec<u8>> {
    if let Outcome::Forwarded(bytes) = outcome { Some(bytes) } else { None }
}

/// The status that a guest is told, where it is not an origin's.
fn status(outcome: &Outcome) -> Option<u16> {
    let Outcome::Word(word) = outcome else { return None };
    let (first, rest) = word.split_once(' ').unwrap_or((word, ""));
    match (first, rest) {
        ("refused", rest) => rest.split(' ').next().and_then(|status| status.parse().ok()),
        ("handed", "no host") => Some(400),
        ("handed", rest) if rest.starts_with("upgrade") => Some(501),
        ("handed", _) => Some(200),
        _ => None,
    }
}

#[test]
fn p16_to_p19_responses_go_on_or_break_off_as_the_table_says() {
    compare("responses.txt", |case| {
        if case.method == "CONNECT" {
            return Ok(()); // never sent to an origin
        }
        response(case, 0)?;
        if case.sent.len() < 4096 { response(case, 1) } else { response(case, 7) }
    });
}

fn response(case: &Case, seed: u64) -> Result<(), String> {
    let mut lab = Lab::new(Cuts::from_seed(seed));
    lab.guest_sends(format!("{} / HTTP/1.1\r\nHost: a.test\r\n\r\n", case.method).as_bytes());
    lab.origin_sends(&case.sent);
    let pooled = lab.pooled();
    if lab.has_origin() {
        lab.origin_ends(End::Fin);
    }
    let method = Method::parse(case.method.as_bytes()).expect("a method");
    let got = lab::normal::responses(lab.guest.received(), &[method]);
    let told: Vec<&Vec<u8>> = got.iter().map(|message| &message.bytes).collect();
    let row = lab.rows().into_iter().next().cloned().ok_or("no row")?;
    let expected: Vec<&Vec<u8>> = case.outcomes.iter().filter_map(forwarded).collect();
    let last = case.outcomes.iter().rev().find_map(|outcome| match outcome {
        Outcome::Word(word) if !word.starts_with("excess") => Some(word.as_str()),
        _ => None,
    });
    let word = last.unwrap_or_default();
    let excess = case
        .outcomes
        .iter()
        .any(|outcome| matches!(outcome, Outcome::Word(word) if word.starts_with("excess")));
    let facts = format!(
        "seed {seed}: {word}: told {:?} {:?} pooled {pooled} {:?} {:?}",
        told.iter().map(|bytes| bytes[..bytes.len().min(300)].escape_ascii().to_string()).collect::<Vec<_>>(),
        lab.guest.ended,
        row.decision,
        row.fault
    );
    let check = |what: &str, holds: bool| if holds { Ok(()) } else { Err(format!("{what}; {facts}")) };
    let last_status = got.last().map_or(0, |message| message.status);
    match word {
        "reusable" | "closing" => {
            check("forwarded otherwise", told == expected)?;
            check("allowed", row.decision == Decision::Allowed)?;
            check("pooled", pooled == usize::from(word == "reusable" && !excess))
        }
        _ if word.starts_with("aborted") && !expected.is_empty() && last_status != 502 => {
            check("not aborted visibly", !got.last().is_some_and(|message| message.complete))?;
            check("failed", row.decision == Decision::Failed && pooled == 0)?;
            check("over", lab.guest.ended.is_some())
        }
        _ => {
            check("not 502", last_status == 502)?;
            check("failed", row.decision == Decision::Failed && pooled == 0)
        }
    }
}
