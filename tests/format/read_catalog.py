"""Reads the catalog of a store as docs/format/catalog.md describes it.

usage: read_catalog.py FILE      prints the texts
"""
import sys

import xxhash

from cursor import Cursor, expect
from tally_encodings import texts

VERSION = 0x8001
DOMAINS = ["user_id", "service_name", "endpoint", "method"]


def read(path, published=None):
    """Four lists of texts: text of id n at place n, None at place 0. `published`: how many texts of each domain count (all)."""
    with open(path, "rb") as f:
        data = f.read()
    c = Cursor(data)
    magic, version, zero, zero2 = c.take(4), c.number("u16"), c.number("u16"), c.number("u64")
    expect(magic == b"TLCT" and zero == zero2 == 0, "catalog: header")
    expect(version == VERSION, f"catalog: version {version:#x}")
    out = [[None] for _ in DOMAINS]
    while c.left():
        if published and all(len(t) - 1 >= n for t, n in zip(out, published)):
            break  # what is behind was never published
        start = c.at
        expect(c.take(4) == b"CBLK", "catalog: block")
        scheme, trailer, domain, zero, first, count, size = c.numbers("u8", "u8", "u8", "u8", "u32", "u32", "u32")
        expect(scheme == 0 and trailer == 16 and domain < 4 and zero == 0 and 1 <= count <= 4096, "catalog: block header")
        payload = c.take(size)
        expect(c.take(16) == xxhash.xxh3_128_digest(data[start:c.at - 16], seed=start), f"catalog: checksum of the block at {start}")
        expect(first == len(out[domain]), "catalog: ids")
        out[domain] += [None if t == b"\xff" else t.decode() for t in texts(payload, count)]  # None: erased
    if published:
        for domain, n in enumerate(published):
            expect(len(out[domain]) - 1 >= n, f"catalog: {DOMAINS[domain]} has too few texts")
            del out[domain][n + 1:]
    for domain in out:
        kept = [t for t in domain if t is not None]
        expect(len(set(kept)) == len(kept), "catalog: a text twice")
        expect(all(len(t.encode()) <= 1020 for t in kept), "catalog: a long text")
    return out


def main():
    for name, domain in zip(DOMAINS, read(sys.argv[1])):
        print(f"{name}: {len(domain) - 1}")
        for number, text in enumerate(domain[1:], 1):
            print(f"  {number}: {text!r}")


if __name__ == "__main__":
    main()
