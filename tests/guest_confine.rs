//! The proxy confines itself once it has started: what the kernel says of it, what it can no longer open, and that
//! what it does need goes on working.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use support::client::Client;
use support::jail::Stage;
use support::origin::{Origin, response};
use support::proxy::{Proxy, Setup};
use support::tools::skipped;

/// One word of each thread's status.
fn of_each_thread(process: u32, what: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a running process").flatten();
    let statuses = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    let word =
        |status: String| status.lines().find_map(|line| Some(line.strip_prefix(what)?.trim().to_owned()));
    statuses.filter_map(word).collect()
}

/// A proxy that says it is confined by Landlock too, or a skip.
fn confined(setup: Setup) -> Option<Proxy> {
    let proxy = setup.start();
    let said = proxy.stderr();
    if said.contains("confined: Landlock") {
        return Some(proxy);
    }
    eprintln!("skipped: needs a kernel with Landlock: {said}");
    None
}

#[test]
fn every_thread_is_filtered_and_gains_no_privilege() {
    let proxy = Setup::default().start();
    let modes = of_each_thread(proxy.id(), "Seccomp:");
    assert!(modes.len() > 2 && modes.iter().all(|mode| mode == "2"), "{modes:?}");
    assert!(of_each_thread(proxy.id(), "NoNewPrivs:").iter().all(|set| set == "1"));
}

#[test]
fn the_switch_turns_it_off_and_require_starts_where_it_can_be_kept() {
    let proxy = Setup::default().key("confine = \"off\"").start();
    assert!(of_each_thread(proxy.id(), "Seccomp:").iter().all(|mode| mode == "0"));
    assert!(!proxy.stderr().contains("confined"));
    if confined(Setup::default()).is_some() {
        drop(Setup::default().key("confine = \"require\"").start());
    }
}

#[test]
fn where_a_part_is_missing_require_refuses_to_start_and_says_which() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().join("tollgate.toml");
    let text = "confine = \"require\"\nstate_dir = \"state\"\n[[listen]]\naddress = \"tcp://127.0.0.1:0\"\n";
    fs::write(&config, text).expect("a writable directory");
    // A kernel without it, as far as the proxy can tell.
    let call = ["-f", "-o", "/dev/null", "-e", "trace=landlock_create_ruleset"];
    let mut strace = Command::new("strace");
    strace.args(call).args(["-e", "inject=landlock_create_ruleset:error=EOPNOTSUPP"]);
    strace.arg(env!("CARGO_BIN_EXE_tollgate")).args(["serve", "--config"]).arg(&config);
    let Ok(output) = strace.output() else {
        return eprintln!("skipped: needs strace");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no Landlock (not in this kernel") && said.contains(", seccomp;"), "{said}");
    assert!(output.stdout.is_empty(), "it never listened");
}

#[test]
fn a_policy_that_leads_elsewhere_is_out_of_reach_and_the_old_one_stays() {
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let open = elsewhere.path().join("user.toml");
    fs::write(&open, "[network]\ndefault = \"allow\"\n").expect("a writable directory");
    let Some(proxy) = confined(Setup::default().user("[network]\ndefault = \"deny\"\n")) else { return };
    let policy = proxy.dir().join("user.toml");
    fs::remove_file(&policy).expect("our own");
    symlink(&open, &policy).expect("a link");
    proxy.signal(Signal::SIGHUP);
    support::eventually("the reload is refused", || {
        let said = proxy.stderr();
        (said.contains("the old one stays in force") && said.contains("a running proxy is confined"))
            .then_some(())
    });
    let denied =
        Client::plain(proxy.address()).ask(b"GET http://any.test/ HTTP/1.1\r\nHost: any.test\r\n\r\n");
    assert_eq!(denied.head.status().expect("a status"), 403);
}

#[test]
fn a_policy_that_is_replaced_by_renaming_is_read() {
    let proxy = Setup::default().start();
    let new = proxy.dir().join("new.toml");
    fs::write(&new, "[network]\ndefault = \"deny\"\n").expect("a writable directory");
    fs::rename(&new, proxy.dir().join("user.toml")).expect("our own");
    proxy.signal(Signal::SIGHUP);
    support::eventually("the policy is read", || proxy.stderr().contains("is in force").then_some(()));
}

#[test]
fn names_are_looked_up_as_the_system_does_it() {
    let origin = Origin::plain(|conn| {
        conn.request()?;
        conn.send(&response(200, "Connection: close\r\n", b"by name"))
    });
    let port = origin.address().port();
    let policy =
        format!("[network]\nallow = [\"localhost\"]\nprivate_addresses = \"allow\"\nports = [{port}]\n");
    let proxy = Setup::default().user(&policy).start();
    let request = format!("GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    let answer = Client::plain(proxy.address()).ask(request.as_bytes());
    assert_eq!((answer.head.status().expect("a status"), answer.body.as_slice()), (200, &b"by name"[..]));
}

#[test]
fn run_confines_the_proxy_and_not_the_command() {
    let stage = Stage::new(nix::unistd::geteuid().as_raw());
    let mut child = stage
        .command(&["-q", "--", "bash", "-c", "(exec bash -c 'echo up'); read -t 5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the built binary");
    let mut said = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut stdout, &mut said).expect("text");
    if said == "up\n" {
        let modes = of_each_thread(child.id(), "Seccomp:");
        assert!(modes.len() > 2 && modes.iter().all(|mode| mode == "2"), "{modes:?}");
    } else {
        skipped::<()>("a kernel that builds jails");
    }
    drop(child.stdin.take());
    child.wait().expect("a child");
}
