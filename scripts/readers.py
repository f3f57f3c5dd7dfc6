"""What `scripts/readers` needs beside a shell: `fill LEDGER N` puts rows of an earlier session into a ledger, `read DIR
TOLLGATE WARM SECONDS` asks everything that can be read, once a second, and notes in DIR how much CPU time that took after
WARM seconds, `spin DIR SECONDS` takes as much and asks nothing."""

import http.client
import http.server
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time


def fill(path, count):
    ledger = sqlite3.connect(path)
    ledger.execute("PRAGMA foreign_keys = OFF")
    (first,) = ledger.execute("SELECT coalesce(max(end_id), 1) + 1 FROM id_blocks").fetchone()
    now = int(time.time() * 1e6) - 3_600_000_000
    ledger.execute("INSERT INTO sessions VALUES ('00000000-before', 'before', NULL, ?, ?, '0', '')", (now, now))
    ledger.execute(
        "INSERT INTO id_blocks (first_id, end_id, session_id) VALUES (?, ?, '00000000-before')", (first, first + count)
    )
    rows = range(count)
    headers = '[["content-type","application/json"],["user-agent","tool/1"],["authorization","hmac:0123456789abcdef"]]'
    ledger.executemany(
        "INSERT INTO net_events (exchange_id, session_id, connection_id, started_at, listener, process_name, scheme, "
        "host, port, method, path, decision, status, request_headers, response_headers, total_us) VALUES "
        "(?, '00000000-before', 1, ?, 'tcp://127.0.0.1:8080', ?, 'https', ?, 443, 'POST', '/v1/messages', 'allowed', "
        "200, ?, ?, 900)",
        ((first + n, now + n * 30_000, f"tool{n % 5}", f"api{n % 7}.test", headers, headers) for n in rows),
    )
    ledger.executemany(
        "INSERT INTO model_calls (exchange_id, session_id, started_at, provider, api, model_requested, model, stream, "
        "input_tokens, cache_read_tokens, output_tokens, usage, usage_state, cost_pico_usd, first_token_us, total_us) "
        "VALUES (?, '00000000-before', ?, 'anthropic', 'anthropic.messages', ?, ?, 1, 1200, 1000, 34, "
        "'{\"input_tokens\":200}', 'final', 123456789, 4000, 900000)",
        ((first + n, now + n * 30_000, f"model-{n % 9}", f"model-{n % 9}") for n in rows),
    )
    for n in range(0, count, 1000):
        last = first + min(n + 999, count - 1)
        written = now + (n + 1000) * 30_000  # after the last of its rows began
        ledger.execute(
            "INSERT INTO commits (at, net_events, latest) VALUES (?, ?, ?)", (written, f"[[{first + n},{last}]]", written)
        )
    ledger.commit()


ENDPOINTS = (
    ["/healthz", "/readyz", "/metrics", "/v1/policy", "/"]
    + [f"/v1/{rows}?{part}" for rows in ("events", "calls", "errors") for part in ("limit=100", "newest=100")]
    + [f"/v1/usage?group_by={by}" for by in ("model", "provider", "host", "process", "day", "session")]
    + ["/v1/usage?since=24h", "/v1/usage?session=current"]
)
COMMANDS = [
    ["log", "-n", "20"], ["log", "calls", "-n", "20"], ["log", "tools", "-n", "20"], ["log", "errors", "-n", "20"],
    ["log", "dns", "-n", "20"], ["usage"], ["usage", "--by", "host", "--since", "1h"], ["sessions"], ["top"],
    ["export", "jsonl", "--since", "1s"], ["export", "har", "--since", "1s"],
]


class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what `export otlp` sends, and throws it away."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


class Used:
    """CPU time of this process and of the commands that it runs, in seconds."""

    def __init__(self):
        self.ended = 0.0
        self.running = set()

    def start(self, words):
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        self.running.add(child.pid)
        return child

    def run(self, words):
        child = self.start(words)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0, words
        self.running.remove(child.pid)
        self.ended += usage.ru_utime + usage.ru_stime

    def so_far(self):
        return time.process_time() + self.ended + sum(map(cpu_time, list(self.running)))


def cpu_time(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except FileNotFoundError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read(directory, tollgate, warm, seconds):
    end = time.monotonic() + warm + seconds
    asked = {"endpoints": 0, "commands": 0}
    database = ["--db", f"{directory}/state/ledger.db"]
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = ["--endpoint", f"http://127.0.0.1:{collector.server_port}"]
    used = Used()

    def endpoints():
        while time.monotonic() < end:
            due = time.monotonic() + 1
            connection = Local(f"{directory}/admin.sock")
            for path in ENDPOINTS:
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200, (path, answer.status)
                asked["endpoints"] += 1
            connection.close()
            time.sleep(max(0, due - time.monotonic()))

    def commands():
        while time.monotonic() < end:
            due = time.monotonic() + 1
            for words in COMMANDS:
                used.run([tollgate, *words, *(endpoint if "otlp" in words else []), *database])
                asked["commands"] += 1
            time.sleep(max(0, due - time.monotonic()))

    def follow():
        connection = Local(f"{directory}/admin.sock")
        connection.request("GET", "/v1/events?follow=1&newest=50")
        answer = connection.getresponse()
        while time.monotonic() < end:
            answer.readline()

    log = used.start([tollgate, "log", "--follow", "--json", "-n", "1", *database])
    threads = [threading.Thread(target=work, daemon=True) for work in (endpoints, commands, follow)]
    for thread in threads:
        thread.start()
    time.sleep(warm)
    before = used.so_far()
    time.sleep(seconds)
    spent = used.so_far() - before
    with open(f"{directory}/spent", "w") as file:
        file.write(str(spent / seconds))
    for thread in threads[:2]:  # the follower waits for a row that may not come
        thread.join()
    log.terminate()
    print(
        f"{asked['endpoints']} answers of endpoints and {asked['commands']} commands in {warm + seconds:.0f} s, "
        f"{spent:.1f} s of CPU in {seconds:.0f} s",
        file=sys.stderr,
    )


def spin(directory, seconds):
    """Takes as much CPU time as `read` took, in pieces as long as a command's."""
    with open(f"{directory}/spent") as file:
        share = float(file.read())
    end, piece = time.monotonic() + seconds, 0.5
    while time.monotonic() < end:
        due, enough = time.monotonic() + piece, time.process_time() + share * piece
        while time.process_time() < enough and time.monotonic() < end:
            pass
        time.sleep(max(0, due - time.monotonic()))
    print(f"{time.process_time():.1f} s of CPU spun", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "spin":
        spin(sys.argv[2], float(sys.argv[3]))
    else:
        read(sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
