"""Talks to the echo of tests/real_websocket.rs through the library websockets, over wss and then ws.

    python_websocket.py HOST

Proxy and CA come from HTTPS_PROXY and SSL_CERT_FILE. Each scheme on which every message came back is printed.
"""

import os
import sys

from websockets.sync.client import connect

MESSAGES = ["", "déjà vu", bytes(range(256)) * 4096]
PIECES = ["one message ", "in three ", "frames"]


def talk(url: str) -> None:
    with connect(url, proxy=os.environ["HTTPS_PROXY"], max_size=None, open_timeout=10) as socket:
        for message in MESSAGES:
            socket.send(message)
            compare(socket.recv(timeout=10), message)
        socket.send(PIECES)
        compare(socket.recv(timeout=10), "".join(PIECES))
        if not socket.ping().wait(10):
            raise SystemExit("no pong")
        socket.close(4001, "enough")
        if socket.protocol.close_rcvd.code != 4001:
            raise SystemExit(f"closed with {socket.protocol.close_rcvd}")


def compare(told, expected) -> None:
    if told != expected:
        raise SystemExit(f"told {told[:100]!r}, not {expected[:100]!r}")


for scheme in ["wss", "ws"]:
    talk(f"{scheme}://{sys.argv[1]}/echo")
    print(scheme)
