//! `tollgate run` with real namespaces, as root and as an ordinary user: what comes out of a jail, what does not, and
//! what the command notices of it. Where the kernel refuses, a test says so and is skipped.

mod support;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::jail::{Stage, as_each_user};
use support::tools::{program, skipped};
use tempfile::TempDir;

#[test]
fn a_page_is_fetched_with_the_systems_tools_and_the_ledger_names_the_process() {
    as_each_user(|stage| {
        let said = stage.sh("curl -sS https://ok.test/page");
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), "hello"), "{said:?}");
        let sql = |what: &str| format!("SELECT {what} FROM net_events WHERE decision = 'allowed'");
        assert_eq!(stage.column(&sql("process_name || ' ' || host || path")), ["curl ok.test/page"]);
        assert_eq!(stage.column(&sql("CAST(user_id AS TEXT)")), [stage.uid.to_string()]);
        assert_eq!(stage.column(&sql("CAST(process_id > 1 AS TEXT)")), ["1"]);
        let names = "SELECT DISTINCT process_name || ' ' || name || ' ' || rcode FROM dns_events";
        assert_eq!(stage.column(names), ["curl ok.test NOERROR"]);
        assert_eq!(stage.origin.accepted(), 1);
    });
}

#[test]
fn lesson_34_tools_that_know_only_the_systems_roots_trust_the_ca() {
    as_each_user(|stage| {
        let said =
            stage.sh("env -u SSL_CERT_FILE -u CURL_CA_BUNDLE -u SSL_CERT_DIR curl -sS https://ok.test/");
        assert_eq!(said.stdout, "hello", "{said:?}");
    });
}

#[test]
fn a_denied_page_is_403_and_a_denied_name_does_not_exist() {
    as_each_user(|stage| {
        let said = stage.sh("curl -sS -w '%{http_code}' https://ok.test/secret; curl -sS https://evil.test/");
        assert!(said.stdout.contains("no secrets") && said.stdout.ends_with("403"), "{said:?}");
        assert_eq!(said.code, Some(6), "curl: the name does not exist");
        let denied =
            "SELECT DISTINCT name || ' ' || rcode || ' ' || rule FROM dns_events WHERE decision = 'denied'";
        assert_eq!(stage.column(denied), ["evil.test NXDOMAIN network.default"]);
    });
}

#[test]
fn names_are_answered_over_udp_and_tcp_whatever_the_name_server() {
    if program("perl").is_none() {
        return;
    }
    // A query by hand: id, flags, one question; ok.test, type HTTPS (65) must be empty, type A must not.
    let ask = r#"perl -e '
        use Socket; my ($proto, $type) = @ARGV;
        my $q = pack("n6", 7, 256, 1, 0, 0, 0) . "\2ok\4test\0" . pack("n2", $type, 1);
        socket(my $s, PF_INET, $proto eq "udp" ? SOCK_DGRAM : SOCK_STREAM, 0) or die;
        connect($s, pack_sockaddr_in(53, inet_aton("8.8.8.8"))) or die;
        syswrite($s, $proto eq "udp" ? $q : pack("n", length $q) . $q);
        sysread($s, my $a, 512); $a = substr($a, 2) if $proto eq "tcp";
        my @h = unpack("n6", $a); print "$h[0] $h[3] " . ($h[1] & 15) . "\n";' "#;
    as_each_user(|stage| {
        let script: String =
            ["udp 1", "tcp 1", "udp 28", "udp 65", "tcp 65"].map(|what| format!("{ask}{what}\n")).concat();
        assert_eq!(stage.sh(&script).stdout, "7 1 0\n7 1 0\n7 1 0\n7 0 0\n7 0 0\n");
    });
}

#[test]
fn exit_codes_and_the_working_directory_are_the_commands_own() {
    as_each_user(|stage| {
        for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143)] {
            assert_eq!(stage.sh(script).code, Some(code), "{script}");
        }
        assert_eq!(stage.run(&["--", "/nonexistent/program"]).status.code(), Some(127));
        assert_eq!(stage.run(&["--", "/etc/passwd"]).status.code(), Some(126));
        let own = stage.path("own");
        let said = stage.sh("pwd; id -u; echo $HOME");
        let home = std::env::var("HOME").unwrap_or_default();
        assert_eq!(said.stdout, format!("{}\n{}\n{home}\n", own.display(), stage.uid));
    });
}

#[test]
fn nothing_of_ours_goes_to_standard_output_and_the_summary_counts() {
    as_each_user(|stage| {
        let file = stage.path("own/summary.json");
        let file = file.to_str().expect("a plain path");
        let output = stage.run(&["--json-summary", file, "--", "curl", "-sS", "https://ok.test/"]);
        assert_eq!(output.stdout, b"hello");
        assert!(String::from_utf8_lossy(&output.stderr).contains("1 request, 0 denied"), "{output:?}");
        let summary: serde_json::Value =
            serde_json::from_slice(&fs::read(file).expect("a summary")).expect("JSON");
        assert_eq!(summary["requests"], 1);
    });
}

#[test]
fn signals_reach_the_command() {
    as_each_user(|stage| {
        for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT"), (Signal::SIGUSR1, "USR1")]
        {
            let script = format!("trap 'echo got; exit 3' {name}; echo up; while :; do sleep 0.05; done");
            let mut child = stage
                .command(&["-q", "--", "bash", "-c", &script])
                .stdout(Stdio::piped())
                .spawn()
                .expect("the built binary");
            let mut stdout = child.stdout.take().expect("a pipe");
            let mut said = [0; 3];
            stdout.read_exact(&mut said).expect("the command starts");
            kill(Pid::from_raw(child.id().cast_signed()), signal).expect("a running process");
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).expect("text");
            assert_eq!((rest.as_str(), child.wait().expect("a child").code()), ("got\n", Some(3)), "{name}");
        }
    });
}

#[test]
fn a_jail_ends_with_its_proxy() {
    as_each_user(|stage| {
        let mut child = stage
            .command(&["-q", "--", "bash", "-c", "echo up; exec sleep 1000.125"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the built binary");
        child.stdout.take().expect("a pipe").read_exact(&mut [0; 3]).expect("the command starts");
        child.kill().expect("a running process");
        child.wait().expect("a child");
        support::eventually("the command ends too", || (!runs("1000.125")).then_some(()));
        assert_eq!(stage.sh("echo again").stdout, "again\n", "what was left behind disturbs nobody");
        assert_eq!(fs::read_dir(stage.path("own/state/run")).expect("a directory").count(), 0);
    });
}

/// Whether some process has this argument.
fn runs(argument: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("procfs").flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
}

#[test]
fn lesson_38_no_way_leads_out_but_the_proxy() {
    as_each_user(|stage| {
        let outside = Outside::new();
        for (what, script) in outside.attempts() {
            let said = stage.sh(&script);
            assert_ne!(said.code, Some(0), "{what} succeeded: {said:?}");
            println!("user {:<5}  {what}: no way out", stage.uid);
        }
        thread::sleep(Duration::from_millis(50));
        outside.assert_untouched();
    });
}

/// Services of this machine that no jailed process may reach.
struct Outside {
    dir: TempDir,
    tcp: TcpListener,
    tcp6: Option<TcpListener>,
    udp: UdpSocket,
    path: UnixListener,
    hidden: UnixListener,
    own_address: SocketAddr,
}

impl Outside {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("our own");
        let path = UnixListener::bind(dir.path().join("service.sock")).expect("a socket");
        fs::set_permissions(dir.path().join("service.sock"), fs::Permissions::from_mode(0o777))
            .expect("our own");
        let name = format!("tollgate-test-{}", std::process::id());
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name).expect("a name");
        let hidden = UnixListener::bind_addr(&name).expect("a socket");
        let tcp = TcpListener::bind("0.0.0.0:0").expect("a port");
        let udp = UdpSocket::bind("0.0.0.0:0").expect("a port");
        // No packet is sent: this only chooses the address that the machine has towards others.
        let chosen = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
            socket.connect("192.0.2.1:9")?;
            socket.local_addr()
        });
        let own_address = chosen.unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        tcp.set_nonblocking(true).expect("a socket");
        udp.set_nonblocking(true).expect("a socket");
        path.set_nonblocking(true).expect("a socket");
        hidden.set_nonblocking(true).expect("a socket");
        let tcp6 = TcpListener::bind("[::1]:0").ok();
        if let Some(tcp6) = &tcp6 {
            tcp6.set_nonblocking(true).expect("a socket");
        }
        Self { dir, tcp, tcp6, udp, path, hidden, own_address }
    }

    fn attempts(&self) -> Vec<(&'static str, String)> {
        let port = self.tcp.local_addr().expect("bound").port();
        let udp = self.udp.local_addr().expect("bound").port();
        let port6 = self.tcp6.as_ref().map_or(port, |tcp6| tcp6.local_addr().expect("bound").port());
        let (ip, dir) = (self.own_address.ip(), self.dir.path().display());
        let name = format!("tollgate-test-{}", std::process::id());
        let socket = |family: &str, kind: &str, protocol: u8| {
            format!("perl -e 'use Socket; socket(my $s, {family}, {kind}, {protocol}) or exit 1'")
        };
        vec![
            ("the host's loopback", format!("exec 3<>/dev/tcp/127.0.0.1/{port}")),
            ("the host's loopback, IPv6", format!("exec 3<>/dev/tcp/::1/{port6}")),
            ("the host's own address", format!("curl -sSf -m 3 http://{ip}:{port}/")),
            ("the host's own address, by CONNECT-less TLS", format!("curl -sSfk -m 3 https://{ip}:{port}/")),
            (
                "UDP to the host",
                format!("echo x > /dev/udp/{ip}/{udp} && sleep 0.1 && echo x > /dev/udp/{ip}/{udp}; false"),
            ),
            ("QUIC's port", "exec 3<>/dev/udp/192.0.2.1/443 && echo x >&3 && read -t 1 -u 3".to_owned()),
            (
                "another port of a denied address",
                "curl -sSf -m 3 telnet://192.0.2.1:22 < /dev/null | grep .".to_owned(),
            ),
            ("IPv6 of a denied address", "curl -sSf -m 3 http://[2001:db8::1]/".to_owned()),
            ("a Unix socket", format!("curl -sS -m 3 --unix-socket {dir}/service.sock http://x/")),
            ("an abstract Unix socket", format!("curl -sS -m 3 --abstract-unix-socket {name} http://x/")),
            ("a disk", "for file in /dev/*; do [ -b $file ] && exit 0; done; exit 1".to_owned()),
            ("raw IP", socket("PF_INET", "SOCK_RAW", 1)),
            ("raw packets", socket("17", "SOCK_RAW", 0)),
            ("vsock", socket("40", "SOCK_STREAM", 0)),
            ("another network namespace", format!("unshare -Urn bash -c 'exec 3<>/dev/tcp/{ip}/{port}'")),
            (
                "the host's network namespace",
                "nsenter -t 1 -n true && [ $(readlink /proc/1/ns/net) != $(readlink /proc/self/ns/net) ]"
                    .to_owned(),
            ),
            ("other rules", "nft flush ruleset || iptables -F || unshare -Ur nft flush ruleset".to_owned()),
            ("what is mounted below", "umount /run || unshare -Urm umount /run".to_owned()),
            // A program that the kernel starts outside of every namespace. Opened for writing, and not written.
            ("the kernel's settings", "exec 3>>/proc/sys/kernel/core_pattern".to_owned()),
            (
                "the kernel's settings, uncovered",
                "umount /proc/sys || umount -l /proc/sys || mount -o remount,bind,rw /proc/sys || umount /proc || exit 1
                exec 3>>/proc/sys/kernel/core_pattern"
                    .to_owned(),
            ),
            (
                "the kernel's settings, elsewhere",
                "mkdir p; mount -t proc p p || unshare -Urmpf mount -t proc p p || exit 1
                unshare -Urmpf bash -c 'mount -t proc p p; exec 3>>p/sys/kernel/core_pattern'"
                    .to_owned(),
            ),
            ("devices of the kernel", "exec 3>>/sys/kernel/uevent_helper || exec 3>>/sys/power/state".to_owned()),
            ("a device of one's own", "mknod disk b 8 0 && exec 3<disk".to_owned()),
            ("memory and raw disks", "for file in /dev/mem /dev/sg0 /dev/nvme0; do [ -c $file ] && exec 3<$file && [ -s $file ] && exit 0; done; exit 1".to_owned()),
            ("a kernel's log", "exec 3<>/dev/kmsg".to_owned()),
        ]
    }

    fn assert_untouched(&self) {
        assert!(self.tcp.accept().is_err(), "somebody connected to the host's TCP port");
        assert!(self.tcp6.as_ref().is_none_or(|tcp6| tcp6.accept().is_err()), "somebody connected over IPv6");
        assert!(self.udp.recv(&mut [0; 8]).is_err(), "a datagram got out");
        assert!(self.path.accept().is_err(), "somebody connected to the Unix socket");
        assert!(self.hidden.accept().is_err(), "somebody connected to the abstract socket");
    }
}

#[test]
fn root_may_name_whom_the_command_runs_as_and_is_told_where_it_does_not() {
    if !nix::unistd::geteuid().is_root() || program("bash").is_none() {
        return;
    }
    let stage = Stage::new(0);
    let told =
        |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).contains("runs as root");
    let output = stage.run(&["--", "id", "-u"]);
    if output.stdout.is_empty() {
        return skipped(&format!("a kernel that builds jails: {output:?}")).unwrap_or(());
    }
    assert!(output.stdout == b"0\n" && told(&output), "{output:?}");
    let script = "id -u; exec 3>>/etc/passwd || echo refused; umount /proc/sys; exec 3>>/proc/sys/kernel/core_pattern || echo refused";
    let output = stage.run(&["--user", "nobody", "--", "bash", "-c", script]);
    assert!(output.stdout == b"65534\nrefused\nrefused\n" && !told(&output), "{output:?}");
    let output =
        stage.run(&["--user", "root", "--", "bash", "-c", script.split_once("umount").expect("in it").1]);
    assert!(output.stdout == b"refused\n" && !told(&output), "{output:?}");
}

#[test]
fn the_ledger_and_the_key_are_out_of_reach() {
    as_each_user(|stage| {
        let state = stage.path("own/state");
        let said =
            stage.sh(&format!("ls -A {0}; cat {0}/ca.key {0}/ledger.db; touch {0}/x; true", state.display()));
        assert_eq!(said.stdout, "", "{said:?}");
        assert!(is_key(&state.join("ca.key")), "the key lies where we looked");
        assert!(!state.join("x").exists());
    });
}

#[test]
fn a_jail_is_built_where_proc_cannot_be_mounted_as_in_a_jail() {
    as_each_user(|stage| {
        let tollgate = env!("CARGO_BIN_EXE_tollgate");
        let said = stage.sh(&format!("{tollgate} run -q --state-dir state2 -- id -u"));
        assert_eq!(said.stdout, format!("{}\n", stage.uid), "{said:?}");
    });
}

#[test]
fn the_command_cannot_change_the_rules_that_it_is_held_to() {
    as_each_user(|stage| {
        let policy = stage.path("own/a policy.toml");
        fs::copy(stage.path("user.toml"), &policy).expect("a writable directory");
        std::os::unix::fs::chown(&policy, Some(stage.uid), Some(stage.uid)).expect("root, or ourselves");
        let before = fs::read(&policy).expect("a file");
        let script = "cat 'a policy.toml' && ! echo x >> 'a policy.toml' && ! rm -f 'a policy.toml' && ! mv user.toml 'a policy.toml' \
            && ! umount 'a policy.toml' && ! unshare -Urm umount 'a policy.toml'; echo $?";
        let mut command = stage.tollgate();
        command.arg("run").arg("--config").arg(stage.path("tollgate.toml")).arg("--policy").arg(&policy);
        let output = command.args(["-q", "--", "bash", "-c", script]).output().expect("the built binary");
        assert!(output.stdout.starts_with(&before) && output.stdout.ends_with(b"0\n"), "{output:?}");
        assert_eq!(fs::read(&policy).expect("still there"), before);
    });
}

fn is_key(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.contains("PRIVATE KEY"))
}

#[test]
fn lesson_37_what_cannot_be_jailed_does_not_start() {
    if program("unshare").is_none() || program("sh").is_none() {
        return;
    }
    let stage = Stage::new(nix::unistd::geteuid().as_raw());
    let mark = stage.path("own/started");
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec {} run --config {} --policy {} -- touch {}",
        env!("CARGO_BIN_EXE_tollgate"),
        stage.path("tollgate.toml").display(),
        stage.path("user.toml").display(),
        mark.display()
    );
    let output = Command::new("unshare").args(["-Ur", "sh", "-c", &script]).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare:") || said.contains("cannot create") {
        return skipped("user namespaces whose limits can be set").unwrap_or(());
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("user.max_user_namespaces"), "it says what would help: {said}");
    assert!(!mark.exists(), "the command started");
}

#[test]
fn a_terminal_stays_a_terminal() {
    if program("script").is_none() {
        return;
    }
    as_each_user(|stage| {
        let command =
            stage.command(&["-q", "--", "bash", "-c", "test -t 0 && test -t 1 && stty size && echo yes"]);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let mut script = Command::new("script");
        script.args(["-qec", &line.join(" "), "/dev/null"]).current_dir(stage.path("own"));
        if stage.uid != nix::unistd::geteuid().as_raw() {
            script.uid(stage.uid).gid(stage.uid);
        }
        let output = script.stdin(Stdio::null()).output().expect("script");
        assert!(String::from_utf8_lossy(&output.stdout).contains("yes"), "{output:?}");
    });
}

#[test]
fn a_terminal_shows_requests_in_its_title_or_in_a_line_that_nothing_scrolls() {
    let stage = Stage::new(nix::unistd::geteuid().as_raw());
    if program("curl").is_none() || stage.sh("true").code != Some(0) {
        return skipped("a kernel that builds jails").unwrap_or(());
    }
    let script = "curl -sS https://ok.test/page; sleep 1.5";
    for (how, shown, cleared) in [
        ("title", "\x1b]2;tollgate: 1 request, 0 denied", "\x1b]2;\x07"),
        ("line", "\x1b[24;1H\x1b[2K\x1b[7mtollgate: 1 request, 0 denied", "\x1b[r\x1b[24;1H\x1b[2K"),
    ] {
        let said = on_terminal(stage.command(&["--status", how, "--", "bash", "-c", script]));
        let (before, after) = said.split_once(shown).unwrap_or_else(|| panic!("{how}: {said:?}"));
        assert!(before.contains("hello") && after.contains(cleared), "{how}: {said:?}");
        assert!(after.contains("tollgate: 1 request"), "the summary stays: {said:?}");
        assert_eq!(before.contains("\x1b[1;23r"), how == "line", "the last row is kept out of what scrolls");
    }
    let said = on_terminal(stage.command(&["--status", "off", "--", "bash", "-c", script]));
    assert!(!said.contains('\x1b'), "{said:?}");
}

#[test]
fn nothing_is_typed_into_the_terminal_of_whoever_started_it() {
    if program("perl").is_none() || program("setsid").is_none() {
        return;
    }
    as_each_user(|stage| {
        const TYPE: &str = "my $key = 'x'; print ioctl(STDIN, 0x5412, $key) ? 'typed' : \"refused: $!\"";
        // A session of its own, so that the terminal is the one that the kernel would let it type into.
        let said =
            on_terminal(stage.command(&["-q", "--", "setsid", "--ctty", "--wait", "perl", "-e", TYPE]));
        assert!(said.contains("refused: Operation not permitted"), "{said:?}");
    });
}

/// Runs a command on a terminal of 80 columns and 24 rows; gives all that it showed.
fn on_terminal(mut command: Command) -> String {
    let size = nix::pty::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pair = nix::pty::openpty(&size, None).expect("a terminal");
    let side = || Stdio::from(pair.slave.try_clone().expect("a descriptor"));
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("the built binary");
    drop((command, pair.slave));
    let mut said = Vec::new();
    let _ = fs::File::from(pair.master).read_to_end(&mut said); // ends with an error when the last process is gone
    child.wait().expect("a child");
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn limits_of_the_command_are_its_own() {
    as_each_user(|stage| {
        let (soft, hard) =
            nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(stage.sh("ulimit -Sn; ulimit -Hn").stdout, format!("{soft}\n{hard}\n"));
    });
}

#[test]
fn many_connections_at_once_are_carried_and_named() {
    if program("python3").is_none() {
        return;
    }
    let script = "import asyncio\nasync def main():\n  \
        pairs = await asyncio.gather(*[asyncio.open_connection(f'192.0.2.{1 + n % 250}', 80) for n in range(400)])\n  \
        for _, w in pairs: w.write(b'GET / HTTP/1.1\\r\\nHost: many.test\\r\\nConnection: close\\r\\n\\r\\n')\n  \
        said = await asyncio.gather(*[r.read() for r, _ in pairs])\n  \
        print(sum(b' 403 ' in text[:20] for text in said))\nasyncio.run(main())";
    let stage = Stage::new(nix::unistd::geteuid().as_raw());
    let output = stage.run(&["-q", "--", "python3", "-c", script]);
    if String::from_utf8_lossy(&output.stderr).contains("namespaces") {
        return skipped("a kernel that builds jails").unwrap_or(());
    }
    assert_eq!(String::from_utf8_lossy(&output.stdout), "400\n", "{output:?}");
    let named = "SELECT CAST(count(*) AS TEXT) FROM net_events WHERE host = 'many.test' AND process_name LIKE 'python%'";
    assert_eq!(stage.column(named), ["400"]);
}
