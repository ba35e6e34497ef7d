"""Reads the files of a write-ahead log as docs/format/wal.md describes them.

usage: read_wal.py STORE_DIR|FILE.wal      prints the records
"""
import os
import re
import struct
import sys

import xxhash

import read_batch
from cursor import Cursor, expect
from lz4_block import Damaged

VERSION = 0x8001
MASK = (1 << 64) - 1


class Record:
    def __init__(self, offset, sequence, durable, producer, fingerprint, batch):
        self.offset, self.sequence, self.durable = offset, sequence, durable
        self.producer, self.fingerprint, self.batch = producer, fingerprint, batch  # producer: (name, epoch, sequence) or None

    def rows(self):
        return read_batch.read(self.batch)


class File:
    """Header and whole records of one file. `clean`: the records end where the file ends, or in zeros."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        expect(len(self.data) >= 64, "WAL: shorter than its header")
        c = Cursor(self.data[:64])
        magic, version, zero, self.salt, self.first, self.durable, self.number, zero2 = c.numbers(
            "u32", "u16", "u16", "u64", "u64", "u64", "u64", "u64")
        expect(magic == int.from_bytes(b"TLWL", "little") and zero == 0 and zero2 == 0, "WAL: header")
        expect(version == VERSION, f"WAL: version {version:#x}")
        expect(c.rest() == xxhash.xxh3_128_digest(self.data[:48], seed=0), "WAL: the header's checksum")
        self.records, at, sequence = [], 64, self.first
        while True:
            try:
                size, record = self.record(at, sequence)
            except Damaged as e:
                self.clean, self.why = False, str(e)
                break
            if record is None:
                self.clean, self.why = not any(self.data[at:]), ""
                break
            self.records.append(record)
            at, sequence = at + size, sequence + 1
        self.end = at

    def record(self, at, sequence):
        if at == len(self.data):
            return 0, None
        expect(at + 8 <= len(self.data), "record: its head is cut off")
        size, check = struct.unpack_from("<II", self.data, at)
        if size == 0:
            return 0, None
        expected = xxhash.xxh3_64_intdigest(struct.pack("<QQI", self.salt, at, size), seed=0) & 0xFFFFFFFF
        expect(check == expected, "record: length check")
        expect(size >= 80 and at + size <= len(self.data), "record: cut off")
        whole = self.data[at:at + size]
        expect(whole[-16:] == xxhash.xxh3_128_digest(whole[:-16], seed=(self.salt + at) & MASK), "record: checksum")
        c = Cursor(whole[8:-16])
        kind, flags, name_size, batch_size, number, durable, epoch, of_producer = c.numbers(
            "u8", "u8", "u16", "u32", "u64", "u64", "u64", "u64")
        fingerprint, name, batch = c.take(16), c.take(name_size), c.take(batch_size)
        c.end("record")
        expect(kind == 1 and flags < 4, "record: type")
        expect(number == sequence, f"record: sequence {number} where {sequence} belongs")
        expect(bool(flags & 1) == bool(name) and (flags & 2 or not any(fingerprint)), "record: flags")
        producer = (name.decode(), epoch, of_producer) if flags & 1 else None
        return size, Record(at, number, durable, producer, fingerprint if flags & 2 else None, batch)


def files(store):
    """The store's WAL files in the order of their numbers."""
    folder = os.path.join(store, "wal")
    names = sorted(n for n in os.listdir(folder) if re.fullmatch(r"[0-9a-f]{16}\.wal", n))
    out = []
    for name in names:
        out.append(File(os.path.join(folder, name)))
        expect(out[-1].number == int(name[:16], 16), "WAL: the number in the header is the file's")
    return out


def records(store, covered):
    """The records above `covered`, once each, in order; Damaged where the page calls it damage."""
    durable, next_sequence, out, all_files = covered, covered + 1, [], files(store)
    for i, f in enumerate(all_files):
        end = min([later.first for later in all_files[i + 1:]], default=1 << 64)
        if end <= f.first:
            continue
        expect(f.first <= next_sequence, f"WAL: a gap before {f.first}")
        durable = max([durable, f.durable] + [r.durable for r in f.records if r.sequence < end])
        for r in f.records:
            if r.sequence == next_sequence and r.sequence < end:
                out.append(r)
                next_sequence += 1
    expect(durable < next_sequence, f"WAL: {next_sequence} is durable and missing")
    return out


def main():
    path = sys.argv[1]
    for f in [File(path)] if os.path.isfile(path) else files(path):
        print(f"file {f.number:016x}: first {f.first}, durable {f.durable}, {len(f.records)} records, {'clean' if f.clean else f.why}")
        for r in f.records:
            print(f"  {r.offset}: sequence {r.sequence}, durable {r.durable}, producer {r.producer}, {len(r.rows())} rows")


if __name__ == "__main__":
    main()
