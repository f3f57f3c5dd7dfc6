#!/usr/bin/env python3
"""Reads forwarded requests with h11, a parser that shares nothing with ours (`pip install h11`).

    h11_check.py < RECORDS          one JSON line per record: method, target, host, headers, body (hex)
    h11_check.py --table FILE       checks every `forwarded` message of a table of requests (see tests/tables/table.rs)

A record is its length in decimal digits, LF, and so many bytes: all that went to the origin for one request. It has
to be exactly one request with nothing after it. The exit code is 1 if any is not, and stderr says why. A record whose
request has not ended is `null`; in a table that is an error too.
"""

import json
import re
import sys

import h11


class Differs(Exception):
    """h11 does not read the bytes as the one request that they are meant to be."""


class Incomplete(Differs):
    """h11 waits for more."""


def read_request(raw):
    """The request in `raw`, and its body; raises Differs unless it is exactly one."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(raw)
    request, body, trailers, ended = None, b"", [], False
    try:
        while not ended:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                trailers, ended = list(event.headers), True
            else:
                raise Incomplete(f"not complete: {event!r}")
    except h11.RemoteProtocolError as error:
        raise Differs(f"refused: {error}") from error
    if connection.trailing_data[0]:
        raise Differs(f"{len(connection.trailing_data[0])} bytes after the request")
    return describe(request, body, trailers)


def describe(request, body, trailers):
    hosts = [value for name, value in request.headers if name == b"host"]
    if len(hosts) != 1:
        raise Differs(f"{len(hosts)} Host fields")
    text = lambda raw: raw.decode("latin-1")
    return {
        "method": text(request.method),
        "target": text(request.target),
        "version": text(request.http_version),
        "host": text(hosts[0]),
        "headers": [[text(name), text(value)] for name, value in request.headers.raw_items()],
        "body": body.hex(),
        "trailers": [[text(name), text(value)] for name, value in trailers],
    }


def records(stream):
    """Length-prefixed records."""
    while line := stream.readline():
        yield f"record of {line.strip().decode()} bytes", stream.read(int(line))


ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0"}
ESCAPE = re.compile(r"\\\((\d+)\*(.*?)\)|\\x(..)|\\(.)|([^\\])")


def unescape(text):
    def one(found):
        count, repeated, hexadecimal, escape, plain = found.groups()
        if count:
            return unescape(repeated) * int(count)
        if hexadecimal:
            return bytes.fromhex(hexadecimal)
        return ESCAPES.get(escape, escape.encode()) if escape else plain.encode("latin-1")

    return b"".join(one(found) for found in ESCAPE.finditer(text))


def forwarded(path):
    """The `forwarded` messages of a table, each under its case's name."""
    name, message = "", None
    with open(path, encoding="ascii") as table:
        for line in table.read().split("\n") + ["case end"]:
            if message is not None and not line.startswith("<"):
                yield name, message
                message = None
            if line.startswith("case "):
                name = line[5:]
            elif line == "forwarded":
                message = b""
            elif line.startswith("<|"):
                message += unescape(line[2:].removeprefix(" "))
            elif line.startswith("<"):
                message += unescape(line[1:].removeprefix(" ")) + b"\r\n"


def check_line(raw, request):
    """The request line means to h11 what it says."""
    line = f"{request['method']} {request['target']} HTTP/{request['version']}\r\nHost: {request['host']}\r\n"
    if not raw.startswith(line.encode("latin-1")):
        raise Differs(f"reads {line!r}")


def main():
    table = sys.argv[2] if len(sys.argv) == 3 and sys.argv[1] == "--table" else None
    read, failed = 0, 0
    for name, raw in forwarded(table) if table else records(sys.stdin.buffer):
        read += 1
        try:
            request = read_request(raw)
            check_line(raw, request)
        except Differs as error:
            if isinstance(error, Incomplete) and not table:
                print("null")
                continue
            failed += 1
            print(f"{name}: {error}", file=sys.stderr)
        else:
            if not table:
                print(json.dumps(request))
    print(f"{read} requests, {failed} not read as one", file=sys.stderr)
    return 1 if failed or not read else 0


if __name__ == "__main__":
    sys.exit(main())
