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
    // Hides nft, in the namespace only: what is no regular file is no program.
    let script = "for nft in $(type -ap nft) /usr/sbin/nft /sbin/nft; do [ -f $nft ] && mount --bind /dev/null $nft; done || true
        $T redirect install --uid 4242; $T redirect install --uid 4242
        iptables -S OUTPUT | grep -c tollgate_4242; ip6tables -t nat -S OUTPUT | grep -c tollgate_4242
        $T redirect uninstall --uid 4242
        iptables -S | grep -c tollgate_4242 || true";
    let Some(output) = in_namespace(script) else { return };
    let said = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    let counts: Vec<&str> = said.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert_eq!(counts, ["1", "1", "0"], "{said}");
}

#[test]
fn one_user_is_captured_and_nobody_else() {
    if program("nft").is_none() || program("curl").is_none() {
        return;
    }
    let script = "ip route add local default dev lo
        cat > $D/user.toml <<< $'[network]\\ndefault = \"deny\"'
        printf 'state_dir = \"%s/state\"\\n[[listen]]\\naddress = \"unix://%s/guest.sock\"\\nproxy_header = true\\n[policy]\\nuser = \"%s/user.toml\"\\n' $D $D $D > $D/t.toml
        $T serve --config $D/t.toml > $D/serve.log & S=$!
        $T relay --to unix://$D/guest.sock > $D/relay.log & R=$!
        trap 'kill $S $R' EXIT
        for i in $(seq 100); do grep -q listening $D/serve.log && grep -q relaying $D/relay.log && break; sleep 0.1; done || true
        $T redirect install --uid 4242
        U='setpriv --reuid 4242 --regid 4242 --clear-groups'
        $U curl -sS -m 5 http://192.0.2.1/ ; echo
        $U bash -c 'exec 3<>/dev/udp/192.0.2.1/443; echo x >&3; read -t 1 -u 3' && echo udp || echo refused
        curl -sS -m 5 http://192.0.2.1/ 2>&1 || echo free
        $T log --json --db $D/state/ledger.db | head -1";
    let Some(output) = in_namespace(script) else { return };
    let said = stdout(&output);
    assert!(said.contains("192.0.2.1 is not allowed"), "{output:?}");
    assert!(said.contains("refused") && said.contains("free"), "only that user is captured: {output:?}");
    assert!(said.contains("\"curl\"") && said.contains("4242"), "the ledger names process and user: {said}");
}
