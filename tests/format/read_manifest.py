"""Reads the manifest of a store as docs/format/manifest.md describes it.

usage: read_manifest.py STORE_DIR      prints what makes up the store
"""
import os
import re
import struct
import sys

import xxhash

from cursor import Cursor, expect

VERSION = 0x8001
MASK = (1 << 64) - 1


class Segment:
    def __init__(self, c):
        self.id, self.month, self.rows, self.least, self.greatest, self.bytes, flags = c.numbers(
            "u64", "i32", "u32", "i64", "i64", "u64", "u32")
        self.directory = c.take(16)
        expect(flags <= 3, "manifest: a segment")
        self.thinned, self.archived = bool(flags & 1), bool(flags & 2)


class Producer:
    def __init__(self, c):
        self.epochs = {}
        for _ in range(c.varint()):
            epoch = c.varint()
            self.epochs[epoch] = c.varint()
        expect(list(self.epochs) == sorted(self.epochs), "manifest: epochs ascend")
        self.fingerprints = {}
        n = c.varint()
        expect(n <= 64, "manifest: fingerprints")
        for _ in range(n):
            place = c.varint(), c.varint()
            self.fingerprints[place] = c.take(16)


class Manifest:
    """The state after the last whole record."""

    def __init__(self):
        self.segments, self.producers, self.edits = {}, {}, 0

    def apply(self, payload):
        c = Cursor(payload)
        kind = c.number("u8")
        expect(kind in (0, 1) and (kind == 0) == (self.edits == 0), "manifest: a checkpoint comes first, edits behind it")
        self.covered, self.durable, self.next_segment, self.next_wal = c.numbers("u64", "u64", "u64", "u64")
        self.texts = c.numbers("u32", "u32", "u32", "u32")
        added, removed, mark_bytes = c.numbers("u32", "u32", "u32")
        for _ in range(added):
            s = Segment(c)
            expect(s.id not in self.segments and s.id < self.next_segment, f"manifest: segment {s.id} twice")
            self.segments[s.id] = s
        for _ in range(removed):
            number = c.number("u64")
            expect(number in self.segments, f"manifest: segment {number} is removed and was not there")
            del self.segments[number]
        marks = Cursor(c.take(mark_bytes))
        while marks.left():
            name = marks.take(marks.varint()).decode()
            self.producers[name] = Producer(marks)
        c.end("manifest: payload")
        self.edits += 1


def newest(store):
    names = sorted(n for n in os.listdir(store) if re.fullmatch(r"MANIFEST-[0-9a-f]{16}", n))
    expect(names, "manifest: there is none")
    return names[-1]


def read(store):
    name = newest(store)
    with open(os.path.join(store, name), "rb") as f:
        data = f.read()
    c = Cursor(data)
    magic, version, zero, number, salt = c.take(4), c.number("u16"), c.number("u16"), c.number("u64"), c.number("u64")
    expect(magic == b"TLMF" and zero == 0 and number == int(name[9:], 16), "manifest: header")
    expect(version == VERSION, f"manifest: version {version:#x}")
    expect(c.number("u64") == xxhash.xxh3_64_intdigest(data[:24], seed=0), "manifest: the header's checksum")
    state = Manifest()
    while c.left():
        start = c.at
        size, check, edit = c.numbers("u32", "u32", "u64")
        expected = xxhash.xxh3_64_intdigest(struct.pack("<QQI", salt, start, size), seed=0) & 0xFFFFFFFF
        expect(check == expected and edit == state.edits, f"manifest: record at {start}")
        payload = c.take(size)
        expect(c.take(16) == xxhash.xxh3_128_digest(data[start:c.at - 16], seed=(salt + start) & MASK), f"manifest: checksum at {start}")
        state.apply(payload)
    return state


def main():
    m = read(sys.argv[1])
    print(f"covered {m.covered}, durable {m.durable}, next segment {m.next_segment}, next WAL file {m.next_wal}, texts {m.texts}")
    for s in m.segments.values():
        print(f"segment {s.id}: month {s.month}, {s.rows} rows, {s.least} to {s.greatest}, {s.bytes} bytes")
    for name, p in m.producers.items():
        print(f"producer {name}: {p.epochs}, {len(p.fingerprints)} fingerprints")


if __name__ == "__main__":
    main()
