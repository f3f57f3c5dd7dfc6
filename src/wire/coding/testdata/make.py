"""Writes the coded bodies that the tests of `wire::coding` decode. Needs `brotli` and `zstandard` from PyPI.

python3 make.py, in this directory. The text is what `text()` in `tests.rs` makes.
"""

import gzip
import zlib

import brotli
import zstandard


def text(count):
    events = []
    state = 1
    for n in range(count):
        state = state * 48271 % 2147483647
        events.append(b'event: delta\ndata: {"index":%d,"text":"token %x"}\n\n' % (n, state))
    return events


def save(name, data):
    with open(name, "wb") as file:
        file.write(data)


def member(data, name=b"", extra=b"", comment=b"", checksum=False):
    flags = 4 * bool(extra) | 8 * bool(name) | 16 * bool(comment) | 2 * checksum
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff"
    if extra:
        head += len(extra).to_bytes(2, "little") + extra
    if name:
        head += name + b"\0"
    if comment:
        head += comment + b"\0"
    if checksum:
        head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(data) + packer.flush()
    return head + body + zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")


def flushed(packer, events, flush):
    """An event for each flush, with the flush's length before it."""
    out = []
    for event in events:
        part = packer.compress(event) + flush(packer)
        out.append(len(part).to_bytes(2, "little") + part)
    return b"".join(out)


EVENTS = text(100)
TEXT = b"".join(EVENTS)
save("text.gz", gzip.compress(TEXT, mtime=0))
save("members.gz", member(TEXT[:1000], b"name") + member(b"") + member(TEXT[1000:], b"n", b"extra", b"comment", True))
save("text.zlib", zlib.compress(TEXT))
raw = zlib.compressobj(wbits=-15)
save("text.deflate", raw.compress(TEXT) + raw.flush())
save("text.br", brotli.compress(TEXT))
save("text.zst", zstandard.ZstdCompressor(level=3, write_checksum=True).compress(TEXT))
save("max.zst", zstandard.ZstdCompressor(level=22, write_content_size=False).compress(TEXT))
save("flush.gz", flushed(zlib.compressobj(wbits=31), EVENTS[:20], lambda z: z.flush(zlib.Z_SYNC_FLUSH)))


class Brotli:
    def __init__(self):
        self.inner = brotli.Compressor(quality=5)

    def compress(self, data):
        return self.inner.process(data)

    def flush(self):
        return self.inner.flush()


save("flush.br", flushed(Brotli(), EVENTS[:20], Brotli.flush))
zst = zstandard.ZstdCompressor(level=3).compressobj()
save("flush.zst", flushed(zst, EVENTS[:20], lambda z: z.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)))
zeros = bytes(32 << 20)
save("bomb.gz", gzip.compress(zeros[: 4 << 20], mtime=0))
save("bomb.br", brotli.compress(zeros))
save("bomb.zst", zstandard.ZstdCompressor(level=3).compress(zeros))
wide = brotli.Compressor(lgwin=24)
save("wide.br", wide.process(TEXT) + wide.finish())
# A repetition from 1.4 MB back, within the declared window.
far = b"".join(bytes([n % 251]) * 4096 for n in range(350))
far = TEXT + far + TEXT
save("far.zst", zstandard.ZstdCompressor(level=19, write_checksum=True).compress(far))
save("text.br.gz", gzip.compress(brotli.compress(TEXT), mtime=0))
