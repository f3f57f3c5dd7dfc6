//! `tollgate top` in a terminal of its own, with keys, sizes and signals, and where there is no terminal.

mod ledger_support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use ledger_support::{Place, close, eventually, net};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::{Pid, ttyname};
use tollgate::model::usage::{Call, Usage, UsageState};
use tollgate::telemetry::event::{CallEvent, Decision, Event};
use tollgate::telemetry::{Ledger, Sink};

/// A ledger with requests and calls of the last minute.
struct Bench {
    place: Place,
    ledger: Ledger,
    sink: Sink,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new();
        let ledger = place.open();
        let sink = ledger.sender();
        let bench = Self { place, ledger, sink };
        bench.request("api.example.com", Decision::Allowed);
        bench.request("evil\x1b[2J.test", Decision::Denied);
        bench.call();
        assert!(eventually(|| bench.sink.written() == 4));
        bench
    }

    fn started(&self) -> i64 {
        self.place.number("SELECT max(started_at) FROM sessions")
    }

    fn request(&self, host: &str, decision: Decision) -> u64 {
        let mut event = net(self.sink.next_exchange_id());
        event.started_at = self.started();
        (event.host, event.decision) = (Some(host.into()), decision);
        let id = event.exchange_id;
        self.sink.try_send(Event::Net(Box::new(event))).expect("room");
        id
    }

    fn call(&self) {
        let exchange_id = self.request("api.anthropic.com", Decision::Spliced);
        let call = Call {
            provider: "anthropic",
            api: "anthropic.messages",
            model: Some("claude-x".into()),
            usage: Usage { input: Some(1200), output: Some(34), ..Usage::default() },
            usage_state: UsageState::Final,
            cost_pico_usd: Some(12_340_000_000),
            ..Call::default()
        };
        let call = CallEvent { exchange_id, started_at: self.started(), call, ..CallEvent::default() };
        self.sink.try_send(Event::Call(Box::new(call))).expect("room");
    }

    fn words(&self) -> [String; 5] {
        let db = self.place.db().display().to_string();
        ["top".into(), "--interval".into(), "100ms".into(), "--db".into(), db]
    }
}

/// The view in a terminal.
struct Terminal {
    child: Child,
    keys: File,
    /// Our own end of the terminal, so that it outlives the view.
    end: OwnedFd,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(bench: &Bench, more: &[(&str, &str)]) -> Self {
        let size = Winsize { ws_row: 30, ws_col: 130, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        let stdio = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        // `setsid --ctty` makes it the controlling terminal, so that a new size is told by a signal.
        let child = Command::new("setsid")
            .args(["--ctty", env!("CARGO_BIN_EXE_tollgate")])
            .args(bench.words())
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .envs(more.iter().copied())
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .expect("setsid of util-linux");
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let mut reader = File::from(pty.master.try_clone().expect("a descriptor"));
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                heard.lock().expect("no panic").extend_from_slice(&bytes[..n]);
            }
        });
        Self { child, keys: pty.master.into(), end: pty.slave, said }
    }

    fn said(&self) -> String {
        String::from_utf8(self.said.lock().expect("no panic").clone()).expect("UTF-8")
    }

    /// The lines of the newest whole frame, without colours.
    fn frame(&self) -> Vec<String> {
        let said = self.said();
        let whole = said.rfind("\x1b[J").map_or("", |end| &said[..end]);
        let frame = whole.rsplit("\x1b[H").next().unwrap_or_default();
        frame.split("\r\n").map(plain).collect()
    }

    fn shows(&self, text: &str) {
        let shown = eventually(|| self.frame().iter().any(|line| line.contains(text)));
        assert!(shown, "{text:?} is not in {:#?}", self.frame());
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.end).expect("a terminal").local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// It has ended well, and the terminal is as it was.
    fn ends(mut self) {
        let mut status = None;
        assert!(eventually(|| {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        }));
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", self.said());
        assert!(!self.is_raw());
        assert!(eventually(|| self.said().ends_with("\x1b[?7h\x1b[?25h\x1b[?1049l")), "{:?}", self.said());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A line without the sequences that the view itself writes.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        out += before;
        rest = &after[after.find(['m', 'K']).map_or(0, |at| at + 1)..];
    }
    out + rest
}

#[test]
fn rows_and_sums_are_shown_as_they_come_and_keys_choose() {
    let bench = Bench::new();
    let mut terminal = Terminal::start(&bench, &[]);
    terminal.shows("requests 3   allowed 1   denied 1   failed 0   aborted 0   spliced 1");
    assert!(terminal.is_raw());
    for text in ["claude-x", "$0.0123", "1_200", "api.example.com/", "overview", "q end"] {
        terminal.shows(text);
    }
    bench.request("new.example.com", Decision::Failed);
    terminal.shows("new.example.com/");
    terminal.press("4");
    terminal.shows("[4 models]");
    assert!(!terminal.frame().iter().any(|line| line.contains("new.example.com")));
    terminal.press("\x1b[D\x1b[D");
    terminal.shows("[2 requests]");
    terminal.press("d");
    terminal.shows("denied only");
    assert!(!terminal.frame().iter().any(|line| line.contains("new.example.com")));
    terminal.press("dd/NEW.\r");
    terminal.shows("hosts with \"new.\"");
    assert!(!terminal.frame().iter().any(|line| line.contains("api.example.com")));
    terminal.press("p");
    terminal.shows("held");
    bench.request("late.example.com", Decision::Allowed);
    assert!(eventually(|| bench.sink.written() == 6));
    terminal.press("/\r\x1b[H1");
    terminal.shows("[1 overview]");
    assert!(!terminal.frame().iter().any(|line| line.contains("late.example.com")));
    terminal.press(" ");
    terminal.shows("late.example.com/");
    terminal.press("q");
    terminal.ends();
    close(bench.ledger);
}

#[test]
fn the_terminal_is_given_back_after_keys_and_signals() {
    let bench = Bench::new();
    for signal in [Some(Signal::SIGTERM), Some(Signal::SIGINT), Some(Signal::SIGHUP), None] {
        let mut terminal = Terminal::start(&bench, &[]);
        terminal.shows("q end");
        match signal {
            Some(signal) => kill(Pid::from_raw(terminal.child.id().cast_signed()), signal).expect("running"),
            None => terminal.press("\x03"),
        }
        terminal.ends();
    }
    close(bench.ledger);
}

#[test]
fn a_new_size_is_obeyed() {
    let bench = Bench::new();
    let mut terminal = Terminal::start(&bench, &[]);
    terminal.shows("q end");
    let name = ttyname(&terminal.end).expect("a terminal's name");
    for (rows, columns) in [(12, 40), (3, 20), (50, 200), (1, 1), (24, 80)] {
        let size = [rows.to_string(), columns.to_string()];
        let set =
            Command::new("stty").arg("-F").arg(&name).args(["rows", &size[0], "cols", &size[1]]).status();
        assert!(set.expect("stty of coreutils").success());
        // stty sets rows and columns one after the other.
        let fits = |frame: &[String]| {
            frame.len() == rows && frame.iter().all(|line| line.chars().count() <= columns)
        };
        assert!(eventually(|| fits(&terminal.frame())), "{rows} by {columns}: {:#?}", terminal.frame());
    }
    terminal.press("q");
    terminal.ends();
    close(bench.ledger);
}

#[test]
fn p36_guest_text_is_escaped_and_colours_can_be_turned_off() {
    let bench = Bench::new();
    for (more, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false), (&[("TERM", "dumb")], false)] {
        let mut terminal = Terminal::start(&bench, more);
        terminal.shows("evil\\u{1b}[2J.test");
        assert_eq!(terminal.said().contains("\x1b[31m"), coloured);
        assert!(!terminal.said().contains("evil\x1b"));
        terminal.press("q");
        terminal.ends();
    }
    close(bench.ledger);
}

#[test]
fn where_there_is_no_terminal_it_prints_once_and_ends() {
    let bench = Bench::new();
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(bench.words())
        .stdin(Stdio::null())
        .output()
        .expect("started");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains('\x1b') && text.contains("evil\\u{1b}[2J.test"), "{text}");
    assert!(text.contains("requests 3") && text.contains("claude-x") && text.contains("$0.0123"), "{text}");
    let filtered = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(bench.words())
        .args(["--host", "*.anthropic.com"])
        .stdin(Stdio::null())
        .output()
        .expect("started");
    let text = String::from_utf8(filtered.stdout).expect("UTF-8");
    assert!(text.contains("requests 1") && !text.contains("example.com"), "{text}");
    close(bench.ledger);
}
