"""Asks the mirror of tests/real_http.rs through requests, httpx, aiohttp and urllib, and compares every answer.

    python_http.py HOST

Proxy and CA come from the environment. Each library that was answered as it should be has its name printed.
"""

import asyncio
import gzip
import sys
import urllib.request

import aiohttp
import httpx
import requests

HOST = sys.argv[1]
BODY = b"".join(b"%x " % n for n in range(50_000))
PIECES = [BODY[at : at + 10_000] for at in range(0, len(BODY), 10_000)]
GETS = ["get", "gzip", "chunked"]


def compare(answer: bytes, method: str, path: str, body: bytes = b"") -> None:
    expected = f"{method} /{path} HTTP/1.1\n{HOST}\n".encode() + body
    if answer != expected:
        raise SystemExit(f"{method} /{path} was told {answer[:200]!r}, {len(answer)} bytes")


def with_requests(base: str) -> None:
    with requests.Session() as session:
        for path in GETS:
            compare(session.get(base + path, timeout=20).content, "GET", path)
        compare(session.post(base + "post", data=BODY, timeout=20).content, "POST", "post", BODY)
        compare(session.put(base + "stream", data=iter(PIECES), timeout=20).content, "PUT", "stream", BODY)


def with_httpx(base: str) -> None:
    with httpx.Client(timeout=20) as client:
        for path in GETS:
            compare(client.get(base + path).content, "GET", path)
        compare(client.post(base + "post", content=BODY).content, "POST", "post", BODY)
        compare(client.put(base + "stream", content=iter(PIECES)).content, "PUT", "stream", BODY)


async def with_aiohttp(base: str) -> None:
    async def pieces():
        for piece in PIECES:
            yield piece

    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(trust_env=True, timeout=timeout) as session:
        for path in GETS:
            async with session.get(base + path) as answer:
                compare(await answer.read(), "GET", path)
        async with session.post(base + "post", data=BODY) as answer:
            compare(await answer.read(), "POST", "post", BODY)
        async with session.put(base + "stream", data=pieces()) as answer:
            compare(await answer.read(), "PUT", "stream", BODY)


def with_urllib(base: str) -> None:
    for path in GETS:
        with urllib.request.urlopen(base + path, timeout=20) as answer:
            told = answer.read()
            compare(gzip.decompress(told) if path == "gzip" else told, "GET", path)
    for method, path, data in [("POST", "post", BODY), ("PUT", "stream", iter(PIECES))]:
        request = urllib.request.Request(base + path, data, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            compare(answer.read(), method, path, BODY)


def main() -> None:
    libraries = {
        "requests": with_requests,
        "httpx": with_httpx,
        "aiohttp": lambda base: asyncio.run(with_aiohttp(base)),
        "urllib": with_urllib,
    }
    for name, ask in libraries.items():
        for scheme in ["https", "http"]:
            ask(f"{scheme}://{HOST}/")
        print(name)


if __name__ == "__main__":
    main()
