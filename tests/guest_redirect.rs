//! `tollgate redirect` and `tollgate relay` on a host: one user's traffic, in a network namespace that the test makes so
//! that this machine's own rules stay as they are. Needs root.

mod support;

use std::process::{Command, Output};

use support::tools::{program, skipped};

/// Runs a script as root of a network namespace with loopback up; `$T` is the built binary, `$D` a directory of its own.
fn in_namespace(script: &str) -> Option<Output> {
    let needed = ["unshare", "setpriv", "bash", "ip"];
    if !nix::unistd::geteuid().is_root() {
        return skipped("root");
    }
    if needed.iter().any(|name| program(name).is_none()) {
        return None;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let script = format!("set -e; ip link set lo up; {script}");
    let output = Command::new("unshare")
        .args(["-nm", "bash", "-c", &script])
        .env("T", env!("CARGO_BIN_EXE_tollgate"))
        .env("D", dir.path())
        .output();
    Some(output.expect("unshare"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn rules_are_printed_installed_once_seen_and_removed() {
    let script = "$T redirect install --uid 4242 --print | grep -q 15001
        test -z \"$(nft list ruleset)\"
        $T redirect status --uid 4242 && exit 9
        $T redirect install --uid 4242; $T redirect install --uid 4242; $T redirect install --uid 4242 --port 15002
        $T redirect status --uid 4242 && exit 9
        nft list ruleset | grep -c 'table inet tollgate_4242'
        $T redirect uninstall --uid 4242; $T redirect uninstall --uid 4242
        nft list ruleset | grep -c tollgate || true";
    if program("nft").is_none() {
        return;
    }
    let Some(output) = in_namespace(script) else { return };
    let said = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    let counts: Vec<&str> = said.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert_eq!(counts, ["1", "0"], "{said}");
}

#[test]
fn iptables_does_the_same_where_it_is_all_there_is() {
    if program("iptables").is_none() {
        return;
    }
    // A crash in the middle leaves a chain that nothing leads to, of one family.
    let script = "
        iptables -t nat -N tollgate_4242; iptables -t nat -A tollgate_4242 -p tcp -j REDIRECT --to-ports 9
        $T redirect status --uid 4242 && exit 9
        $T redirect install --uid 4242; $T redirect install --uid 4242
        iptables -S OUTPUT | grep -c tollgate_4242; ip6tables -t nat -S OUTPUT | grep -c tollgate_4242
        $T redirect uninstall --uid 4242
        iptables-save | grep -c tollgate_4242 || ip6tables-save | grep -c tollgate_4242 || true";
    let Some(output) = in_namespace(&format!("{WITHOUT_NFT} {script}")) else { return };
    let said = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    let counts: Vec<&str> = said.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert_eq!(counts, ["1", "1", "0", "0"], "{said}");
}

/// Hides nft, in the namespace only: what is no regular file is no program.
const WITHOUT_NFT: &str = "for nft in $(type -ap nft) /usr/sbin/nft /sbin/nft; do [ -f $nft ] && mount --bind /dev/null $nft; done || true;";

/// A proxy and a relay as root, and `$U` to run something as the user who is captured. `$S` and `$R` are their pids.
const RUNNING: &str = "ip route add local default dev lo; ip -6 route add local default dev lo
    printf '[network]\\ndefault = \"deny\"\\n' > $D/user.toml
    printf 'state_dir = \"%s/state\"\\n[[listen]]\\naddress = \"unix://%s/guest.sock\"\\nproxy_header = true\\n[policy]\\nuser = \"%s/user.toml\"\\n' $D $D $D > $D/t.toml
    $T serve --config $D/t.toml > $D/serve.log & S=$!
    relay() { $T relay --to unix://$D/guest.sock > $D/relay.log & R=$!
        for i in $(seq 100); do grep -q relaying $D/relay.log && break; sleep 0.1; done || true; }
    trap 'kill $S $R' EXIT
    for i in $(seq 100); do grep -q listening $D/serve.log && break; sleep 0.1; done || true
    relay
    U='setpriv --reuid 4242 --regid 4242 --clear-groups'
    $T redirect install --uid 4242;";

#[test]
fn one_user_is_captured_over_both_families_and_nobody_else() {
    if program("nft").is_none() || program("iptables").is_none() || program("curl").is_none() {
        return;
    }
    // A request of HTTP/1.0 names no host: only the address that the packet was redirected from says where it was going.
    let script = "
        for ip in 192.0.2.7 2001:db8::7; do
            $U bash -c \"exec 3<>/dev/tcp/$ip/80; printf 'GET /by-address HTTP/1.0\\r\\n\\r\\n' >&3; timeout 5 cat <&3\" | head -1
        done
        $U curl -sS -m 5 http://192.0.2.1/; echo
        for ip in 192.0.2.1 2001:db8::1; do
            $U bash -c \"exec 3<>/dev/udp/$ip/443; echo x >&3; read -t 1 -u 3\" && echo udp || echo refused
        done
        $U bash -c 'exec 3<>/dev/tcp/127.0.0.1/1' && echo loopback || echo closed
        curl -sS -m 5 http://192.0.2.1/ 2>&1 || echo free
        $U $T doctor --place guest || true
        $T doctor --place host --config $D/t.toml || true
        $T log --json --db $D/state/ledger.db";
    for hidden in ["", WITHOUT_NFT] {
        let Some(output) = in_namespace(&format!("{hidden} {RUNNING} {script}")) else { return };
        let said = stdout(&output);
        assert!(said.contains("192.0.2.1 is not allowed"), "{output:?}");
        assert_eq!(said.matches(" 403 ").count(), 2, "{output:?}");
        assert_eq!(said.matches("\nrefused").count(), 2, "{output:?}");
        assert!(said.contains("\nfree"), "nobody else is captured: {output:?}");
        for check in [
            "relay v4",
            "relay v6",
            "denied v4",
            "denied v6",
            "dns v4",
            "dns v6",
            "dns tcp",
            "udp v4",
            "udp v6",
        ] {
            let line = format!("ok    {check}");
            assert!(said.lines().any(|said| said.starts_with(&line)), "{check}: {output:?}");
        }
        let rules = "ok    redirect         user 4242: TCP and DNS, IPv4 and IPv6, to port 15001";
        assert!(said.contains(rules), "{output:?}");
        let rows = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let rows: Vec<_> = rows.filter(|row| row["path"] == "/by-address").collect();
        let hosts: Vec<_> = rows.iter().map(|row| row["host"].as_str().unwrap_or_default()).collect();
        assert_eq!(hosts, ["192.0.2.7", "2001:db8::7"], "where the packets were going: {said}");
        assert!(rows.iter().all(|row| row["user_id"] == 4242 && row["process_name"] == "bash"), "{said}");
    }
}

#[test]
fn lesson_39_a_crash_opens_no_way_out_and_the_next_start_takes_up_again() {
    if program("nft").is_none() || program("curl").is_none() {
        return;
    }
    let script = "ask() { $U curl -s -o /dev/null -m 5 -w '%{http_code} ' http://192.0.2.1/ || true; }
        ask; kill -KILL $R; wait $R || true; ask; $T redirect status --uid 4242 > $D/status; relay; ask
        kill -KILL $S; wait $S || true; $U curl -s -m 1 http://192.0.2.1/ && echo open || echo shut
        $T serve --config $D/t.toml > $D/serve.log & S=$!
        for i in $(seq 100); do grep -q listening $D/serve.log && break; sleep 0.1; done || true
        ask; $T redirect uninstall --uid 4242 > $D/status; ask";
    let Some(output) = in_namespace(&format!("{RUNNING} {script}")) else { return };
    let said = stdout(&output);
    let said: Vec<&str> = said.split_ascii_whitespace().filter(|word| word.len() <= 4).collect();
    let end = said.iter().position(|word| *word == "403").unwrap_or_default();
    assert_eq!(said[end..], ["403", "000", "403", "shut", "403", "000"], "{output:?}");
}

#[test]
fn lesson_36_a_user_who_runs_the_proxy_is_not_captured_nor_is_root() {
    let script = "$T redirect install --uid 0 && exit 9
        printf '[network]\\ndefault = \"deny\"\\n' > $D/user.toml; chmod 755 $D; mkdir $D/own; chown 4242 $D/own
        setpriv --reuid 4242 --regid 4242 --clear-groups $T serve --listen tcp://127.0.0.1:0 --state-dir $D/own --user-policy $D/user.toml > $D/log & S=$!
        trap 'kill $S' EXIT
        for i in $(seq 100); do grep -q listening $D/log && break; sleep 0.1; done || true
        $T redirect install --uid 4242 && exit 9
        kill $S; wait $S; trap - EXIT
        $T redirect install --uid 4242";
    let Some(output) = in_namespace(script) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("root is not captured") && said.contains("would capture itself"), "{said}");
}
