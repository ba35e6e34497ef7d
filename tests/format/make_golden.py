"""Writes the golden store of this build's format version: a small store, as a crash leaves it, with its rows as JSON.

usage: make_golden.py BUILD_DIR [FOLDER]      FOLDER: tests/format/golden

FOLDER/<version>/store holds the files, FOLDER/<version>/rows.json all rows that are in it. A released version's golden store is never
written again; only the development version's follows its format.
"""
import json
import os
import random
import shutil
import struct
import sys
import tempfile

import events
import library
import read_manifest
import read_wal

HERE = os.path.dirname(os.path.abspath(__file__))
ZEROS_KEPT = 64  # behind the last record: a WAL file that was not closed ends in zeros


def batches():
    r = random.Random(8001)
    return [events.corners(), events.priced(r, 400, events.micro(2024, 3, 1)), events.talkative(r, 150, events.micro(2024, 2, 3)),
            events.enormous(r, 12, events.micro(2023, 12, 31)), events.scattered(r, 60, events.micro(2024, 3, 9))]


def fill(lib, path):
    """A store whose first batches are in segments and whose last two are in the WAL. Not closed: closing would flush it."""
    store, rows = library.Store(lib, path), []
    for i, batch in enumerate(batches()):
        options = library.AppendOptions(producer=b"golden", epoch=2, sequence=i + 1, has_fingerprint=True,
                                        fingerprint=(library.c.c_uint8 * 16)(*range(i, i + 16)))
        store.append(batch, options)
        rows += batch
        if i in (1, 2):
            store.flush()
    return store, rows


def copy(store, to):
    """The files of a store, without its lock and without most of the space that its WAL has in reserve."""
    shutil.copytree(store, to, ignore=shutil.ignore_patterns("LOCK"))
    for f in read_wal.files(to):
        path = os.path.join(to, "wal", f"{f.number:016x}.wal")
        with open(path, "r+b") as file:
            file.truncate(min(len(f.data), f.end + ZEROS_KEPT))


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps(library.COLUMNS) + "\n")
        for r in rows:
            f.write(json.dumps(events.values(r), ensure_ascii=False, separators=(",", ":")) + "\n")


def read_rows(path):
    with open(path, encoding="utf-8") as f:
        names, *rows = (json.loads(line) for line in f)
    return [dict(zip(names, r)) for r in rows]


def version_of(store):
    with open(os.path.join(store, read_manifest.newest(store)), "rb") as f:
        return struct.unpack_from("<H", f.read(6), 4)[0]


def main():
    lib = library.Library(os.path.join(sys.argv[1], "engine", "libtally.so"))
    folder = sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "golden")
    with tempfile.TemporaryDirectory(prefix="tally-golden-") as place:
        path = os.path.join(place, "store")
        store, rows = fill(lib, path)
        target = os.path.join(folder, f"{version_of(path):04x}")
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target)
        copy(path, os.path.join(target, "store"))
        write_rows(os.path.join(target, "rows.json"), rows)
        store.close()
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, names in os.walk(target) for f in names)
    print(f"{os.path.relpath(target)}: {len(rows)} rows, {size} bytes")


if __name__ == "__main__":
    main()
