//! A guest without a network card: a qemu VM whose only device to the outside is vsock, carried by vhost-device-vsock as
//! Firecracker does it. `scripts/vm` prepares kernel and initramfs and runs this; without it the test is skipped.

mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use support::certs::Flaw;
use support::gate::Gate;
use support::origin::{Origin, chunk, response};
use support::proxy::{Proxy, Setup};

/// TCG takes ten seconds on an idle machine.
const BOOT: Duration = Duration::from_mins(3);

const POLICY: &str = r#"
[network]
default = "deny"
allow = ["ok.test", "api.anthropic.com"]
[[http]]
name = "no secrets"
host = "ok.test"
paths = ["/secret"]
action = "deny"
[[http]]
host = "ok.test"
action = "allow"
"#;

/// What the guest does. Each line that counts begins with `=`.
const INIT: &str = r#"#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
echo nameserver 198.18.0.53 > /etc/resolv.conf
export PATH=/bin:/usr/bin:/usr/sbin HOME=/ CURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
/bin/tollgate-relay --to vsock://2:5002 --capture &
for try in 1 2 3 4 5 6 7 8 9 10; do nft list tables | busybox grep -q tollgate && break; sleep 1; done
echo "=devices $(ls /sys/class/net | busybox tr '\n' ' ')"
echo "=allowed $(curl -sS -m 30 https://ok.test/page)"
echo "=denied $(curl -sS -m 30 -o /dev/null -w '%{http_code}' https://ok.test/secret)"
echo "=noname $(curl -s -m 30 https://evil.test/; echo $?)"
echo "=address $(curl -sS -m 30 -o /dev/null -w '%{http_code}' http://192.0.2.1/)"
echo "=v6 $(curl -sS -m 30 -o /dev/null -w '%{http_code}' http://[2001:db8::1]/)"
echo "=quic $(busybox nc -u -w 2 192.0.2.1 443 < /bin/sh > /dev/null 2>&1; echo $?)"
curl -sSN -m 60 -X POST -d '{"model":"claude-sonnet-4-5","stream":true,"messages":[]}' \
  -H 'content-type: application/json' -H 'x-api-key: k' https://api.anthropic.com/v1/messages |
  while read line; do [ -n "$line" ] && echo "=event $line"; done
curl -sS -m 60 https://ok.test/big | busybox wc -c | while read n; do echo "=big $n"; done
tollgate doctor --url https://ok.test/page --stream https://ok.test/slow; echo "=doctor $?"
# The proxy on this kernel, with a vsock listener of its own; its guest is another network namespace, which vsock crosses.
mkdir /native /www; echo by vsock > /www/page; busybox httpd -p 127.0.0.1:8000 -h /www
cat > /native/user.toml <<END
[network]
allow = ["native.test"]
END
cat > /native/tollgate.toml <<END
state_dir = "/native/state"
[[listen]]
address = "vsock://any:5009"
proxy_header = true
[policy]
user = "/native/user.toml"
[upstream.map]
"native.test:80" = "127.0.0.1:8000"
END
tollgate serve --config /native/tollgate.toml &
for try in 1 2 3 4 5 6 7 8 9 10; do [ -e /native/state/ledger.db ] && break; sleep 1; done
busybox unshare -n sh -c 'tollgate-relay --to vsock://1:5009 --capture &
  for try in 1 2 3 4 5 6 7 8 9 10; do nft list tables | busybox grep -q tollgate && break; sleep 1; done
  echo "=native $(curl -sS -m 30 http://native.test/page)"
  echo "=refused $(curl -sS -m 30 -o /dev/null -w "%{http_code}" http://192.0.2.1/)"'
sleep 1
tollgate log --json --db /native/state/ledger.db | while read -r line; do echo "=ledger $line"; done
echo "=done"
poweroff -f
"#;

const FIRST: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-sonnet-4-5\",\"usage\":{\"input_tokens\":11,\"output_tokens\":1}}}\n\n";
const LAST: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":42}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
/// Bytes of a larger page.
const BIG: usize = 8 << 20;

#[test]
fn a_vm_without_a_network_card_reaches_the_allowed_and_nothing_else() {
    let Some(vm) = env::var_os("TOLLGATE_VM").map(PathBuf::from) else {
        // The kernel and initramfs take minutes to prepare: `just vm` does it, and this says so where nobody did.
        eprintln!("skipped: needs a prepared VM: run scripts/vm");
        return;
    };
    let gate = Gate::default();
    let setup = Setup::default();
    let pages = page_origin(&setup);
    let model = model_origin(&setup, gate.clone());
    let uds = setup.path("vm.sock");
    let listener = format!("[[listen]]\naddress = \"unix://{}_5002\"\nproxy_header = true\n", uds.display());
    let proxy = setup
        .user(POLICY)
        .map("ok.test:443", pages.address())
        .map("api.anthropic.com:443", model.address())
        .more(&listener)
        .start();
    let guest = Guest::boot(&vm, &uds, &proxy);
    assert_eq!(guest.line("devices"), "lo");
    assert_eq!(guest.line("allowed"), "a page");
    assert_eq!(guest.line("denied"), "403");
    assert_eq!(guest.line("noname"), "6", "curl: could not resolve");
    assert_eq!(guest.line("address"), "403");
    assert_eq!(guest.line("v6"), "403");
    assert_ne!(guest.line("quic"), "0");
    assert_eq!(guest.line("event"), "event: message_start");
    assert!(!gate.is_open(), "the first event came while the origin held the reply open");
    gate.open();
    assert!(guest.line("event").contains("\"input_tokens\":11"));
    assert!(guest.line("event").contains("message_delta"));
    assert_eq!(guest.line("big"), BIG.to_string());
    assert_eq!(guest.line("doctor"), "0", "every check is in order");
    assert_eq!(guest.line("native"), "by vsock");
    assert_eq!(guest.line("refused"), "403");
    for (decision, path) in [("allowed", "/page"), ("denied", "/")] {
        assert_native(&guest.line("ledger"), decision, path);
    }
    guest.line("done");
    assert_ledger(&proxy);
}

/// A row that came in by the vsock listener, with what the relay said of its process.
fn assert_native(row: &str, decision: &str, path: &str) {
    let row: serde_json::Value = serde_json::from_str(row).expect("a row as JSON");
    let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    assert_eq!((word("decision"), word("path")), (decision.to_owned(), path.to_owned()), "{row:#}");
    assert_eq!(word("process_name"), "curl", "{row:#}");
    assert!(word("listener").starts_with("vsock://") && word("listener").ends_with(":5009"), "{row:#}");
}

fn page_origin(setup: &Setup) -> Origin {
    let big = response(200, "", &vec![b'x'; BIG]);
    let page = response(200, "", b"a page");
    Origin::tls(setup.origins.server("ok.test", Flaw::None), move |conn| {
        while let Some(head) = conn.request()? {
            match String::from_utf8_lossy(&head).split(' ').nth(1) {
                Some("/big") => conn.send(&big)?,
                Some("/slow") => {
                    let (first, last) = page.split_at(page.len() - 1);
                    conn.send(first)?;
                    thread::sleep(Duration::from_millis(500));
                    conn.send(last)?;
                }
                _ => conn.send(&page)?,
            }
        }
        Ok(())
    })
}

fn model_origin(setup: &Setup, gate: Gate) -> Origin {
    Origin::tls(setup.origins.server("api.anthropic.com", Flaw::None), move |conn| {
        if conn.request()?.is_none() {
            return Ok(());
        }
        conn.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        conn.send(&chunk(FIRST.as_bytes()))?;
        gate.wait();
        conn.send(&chunk(LAST.as_bytes()))?;
        conn.send(b"0\r\n\r\n")
    })
}

fn assert_ledger(proxy: &Proxy) {
    let ledger = proxy.ledger();
    let count = |condition: &str| ledger.number(&format!("SELECT count(*) FROM {condition}"));
    assert_eq!(
        count("net_events WHERE process_name = 'curl' AND path = '/page' AND decision = 'allowed'"),
        1
    );
    assert_eq!(
        count("net_events WHERE process_name = 'curl' AND path = '/secret' AND decision = 'denied'"),
        1
    );
    assert_eq!(
        count("model_calls WHERE input_tokens = 11 AND output_tokens = 42 AND usage_state = 'final'"),
        1
    );
    assert!(
        count("dns_events WHERE name = 'evil.test' AND rcode = 'NXDOMAIN' AND process_name = 'curl'") > 0
    );
}

/// A running VM and its vsock device.
struct Guest {
    device: Child,
    qemu: Child,
    lines: Receiver<String>,
}

impl Guest {
    fn boot(vm: &Path, uds: &Path, proxy: &Proxy) -> Self {
        let initramfs = initramfs(vm, proxy);
        let vhost = proxy.dir().join("vhost.sock");
        let device = Command::new(vm.join("bin/vhost-device-vsock"))
            .arg("--vm")
            .arg(format!("guest-cid=4,uds-path={},socket={}", uds.display(), vhost.display()))
            .stdout(Stdio::null())
            .spawn()
            .expect("vhost-device-vsock");
        support::eventually("the vsock device listens", || vhost.exists().then_some(()));
        let mut qemu = Command::new("qemu-system-x86_64")
            .args([
                "-accel",
                "tcg",
                "-cpu",
                "max",
                "-smp",
                "1",
                "-m",
                "512",
                "-nodefaults",
                "-nic",
                "none",
                "-no-reboot",
            ])
            .args(["-object", "memory-backend-memfd,id=mem,size=512M,share=on", "-numa", "node,memdev=mem"])
            .args(["-chardev", &format!("socket,id=vsock,path={}", vhost.display())])
            .args(["-device", "vhost-user-vsock-pci,chardev=vsock", "-display", "none", "-serial", "stdio"])
            .args(["-append", "console=ttyS0 quiet panic=-1", "-kernel"])
            .arg(vm.join("vmlinuz"))
            .arg("-initrd")
            .arg(initramfs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu");
        let serial = BufReader::new(qemu.stdout.take().expect("a pipe"));
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in serial.lines().map_while(Result::ok) {
                eprintln!("guest: {line}");
                let _ = tell.send(line); // the test may have ended
            }
        });
        Self { device, qemu, lines }
    }

    /// What the next line with this mark says.
    fn line(&self, mark: &str) -> String {
        loop {
            let line =
                self.lines.recv_timeout(BOOT).unwrap_or_else(|_| panic!("the guest never said {mark}"));
            if let Some(said) = line.trim_end().split_once(&format!("={mark}")) {
                return said.1.strip_prefix(' ').unwrap_or(said.1).to_owned();
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        for child in [&mut self.qemu, &mut self.device] {
            let _ = child.kill(); // it may have ended
            let _ = child.wait();
        }
    }
}

/// The prepared files, and behind them what belongs to this test: our program, the CA, the script.
fn initramfs(vm: &Path, proxy: &Proxy) -> PathBuf {
    let root = proxy.dir().join("root");
    for dir in ["bin", "etc/ssl/certs"] {
        fs::create_dir_all(root.join(dir)).expect("a writable directory");
    }
    let copy = |from: &Path, to: &str| fs::copy(from, root.join(to)).map(drop).expect("a file");
    copy(&vm.join("tollgate"), "bin/tollgate");
    copy(&vm.join("tollgate-relay"), "bin/tollgate-relay");
    copy(&proxy.ca_file(), "etc/ssl/certs/ca-certificates.crt");
    fs::write(root.join("init"), INIT).expect("a writable directory");
    let script = "chmod 755 init && find . | cpio --quiet -o -H newc | gzip -1";
    let ours = Command::new("sh").args(["-c", script]).current_dir(&root).output().expect("cpio");
    let mut whole = fs::read(vm.join("base.cpio.gz")).expect("scripts/vm prepared it");
    whole.extend_from_slice(&ours.stdout);
    let file = proxy.dir().join("initramfs");
    fs::write(&file, whole).expect("a writable directory");
    file
}
