"""The files of a store, read by readers written from docs/format alone, against what was appended; and golden stores of each version.

usage: test_formats.py BUILD_DIR      seed: $TALLY_SEED
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile

import events  # puts the folder of the binding on the path: first
import library
import make_golden
import read_batch
import read_catalog
import read_manifest
import read_segment
import read_wal
from lz4_block import Damaged, decompress
from tally_encodings import integers, texts

HERE = os.path.dirname(os.path.abspath(__file__))
DOCS = os.path.join(HERE, os.pardir, os.pardir, "docs", "format")
DAMAGES = 60  # bytes of each file that are changed, one at a time


class Counter:
    passed = failed = 0

    def check(self, ok, what):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}", flush=True)

    def attempt(self, what, function, *arguments):
        """What the function gives; None, and a failure, if the bytes are not what the page says."""
        try:
            return function(*arguments)
        except (Damaged, UnicodeDecodeError, OSError) as e:
            self.check(False, f"{what}: {type(e).__name__}: {e}")
            return None


# ---- the pages' own examples

INTEGER_EXAMPLES = [
    ("00 06", 3, [3, 3, 3]),
    ("01 02 0a e4", 4, [5, 6, 7, 8]),
    ("11 02 00 24", 3, [0, 100, 200]),
    ("81 03 00 01 13 47 87 58 c4 0e 04 20 a1 07", 12, [7, 0, 5, 3, 2000000, 1, 6, 2, 4, 0, 3, 7]),
    ("82 02 00 00 02 05 09 05 30 01", 34, [1] * 10 + [9] * 11 + [4] * 13),
    ("03 03 0d 0a ff e7 88 87 43 01 f6 e7 88 87 43 01 02 00 64 91 56", 12,
     [(-9000000000, 5, 9000000000)[i] for i in (0, 1, 2, 1, 1, 0, 1, 2, 2, 1, 1, 1)]),
]
TEXT_EXAMPLES = [
    ("03 61 62", 2, ["ab", "ab"]),
    ("00 04 01 01 02 01 61 62 63", 2, ["ab", "c"]),
    ("04 07 01 0a 09 9b 00 10 2c 01 02 00 0a", 3, ["1.50", "-0.05", "700"]),
    ("05 05 00 18 69 64 2d 3f a0 77", 3, ["id-3f", "id-a0", "id-77"]),
    ("06 02 0e 00 04 01 02 06 08 72 65 64 67 72 65 65 6e 01 01 00 12", 6, ["red", "green", "red", "red", "green", "red"]),
]
LZ4_EXAMPLES = [  # made by hand from the block format: literals alone; an overlapping match; lengths of more than 15
    (bytes([0x50]) + b"hello", b"hello"),
    (bytes([0x1F]) + b"a" + bytes([1, 0, 0]) + bytes([0x50]) + b"aaaaa", b"a" * 25),
    (bytes([0xF0, 3]) + b"0123456789abcdefgh", b"0123456789abcdefgh"),
]


def listed(lines, digits):
    """The bytes of a listing: of each line the pairs of digits in front of its words."""
    out = bytearray()
    for line in lines:
        for word in line.split():
            if len(word) != 2 or any(x not in digits for x in word):
                break
            out.append(int(word, 16))
    return bytes(out)


def batch_example(page):
    """The example of batch.md: each line begins with its offset; `00 × n` are n zeros."""
    out = b""
    for line in page[page.index("```\n0 ") + 4:].split("\n326")[0].split("\n"):
        if " × " in line:
            out += bytes(int(line.split("×")[1].split()[0]))
        else:
            out += listed([line[6:]], "0123456789ABCDEF")
    return out


def test_examples(c):
    with open(os.path.join(DOCS, "integers-and-texts.md"), encoding="utf-8") as f:
        page = f.read()
    for hexadecimal, count, expected in INTEGER_EXAMPLES:
        c.check(hexadecimal in page and integers(bytes.fromhex(hexadecimal), count) == expected, f"integers: {hexadecimal}")
    for hexadecimal, count, expected in TEXT_EXAMPLES:
        c.check(hexadecimal in page and texts(bytes.fromhex(hexadecimal), count) == [t.encode() for t in expected], f"texts: {hexadecimal}")
    template = page[page.index("02                                      TEMPLATE"):].split("```")[0]
    found = c.attempt("the template of the page", texts, listed(template.split("\n"), "0123456789abcdef"), 12)
    expected = ['{"region":"%s","n":%d}' % ("us-east-1" if i % 3 == 0 else "eu-west-1", i * i) for i in range(12)]
    c.check(found == [t.encode() for t in expected], f"texts: the template of the page: {found}")
    for block, expected in LZ4_EXAMPLES:
        c.check(decompress(block, len(expected)) == expected, f"LZ4: {block.hex()}")
    with open(os.path.join(DOCS, "batch.md"), encoding="utf-8") as f:
        rows = c.attempt("batch.md", read_batch.read, batch_example(f.read()))
    expected = [events.row(1706745600000000, user_id="ann", status_code=200, metadata='{"a":1}'),
                events.row(1706745600001000, status_code=429)]
    c.check(rows == expected, f"the example of batch.md: {rows}")


# ---- a store's files


class Files:
    """Everything that the readers find in a store: rows in segments, and the records of the WAL that count."""

    def __init__(self, store):
        self.manifest = read_manifest.read(store)
        self.catalog = read_catalog.read(os.path.join(store, "catalog"), self.manifest.texts)
        self.segments = {}
        self.flags, self.in_segments = set(), []
        for info in self.manifest.segments.values():
            s = read_segment.Segment(read_segment.path_of(store, info.id, info.month))
            rows = s.read(self.catalog)
            times = [r["timestamp"] for r in rows]
            told = (info.id, info.month, info.rows, info.least, info.greatest, info.bytes, info.directory)
            found = (s.id, s.month, len(rows), min(times), max(times), len(s.data), s.digest)
            if told != found:
                raise Damaged(f"the manifest says {told} of a segment, its file {found}")
            self.segments[info.id] = s
            self.flags.add(s.flags)
            self.in_segments += rows
        self.records = read_wal.records(store, self.manifest.covered)
        self.in_wal = [r for record in self.records for r in record.rows()]

    def rows(self):
        return self.in_segments + self.in_wal


def options_of(producer, epoch, sequence):
    return library.AppendOptions(producer=producer.encode(), epoch=epoch, sequence=sequence, has_fingerprint=sequence % 2 == 0,
                                 fingerprint=(library.c.c_uint8 * 16)(*range(16)))


def test_fresh(c, lib, thin, r, folder):
    path = os.path.join(folder, "store")
    store = library.Store(lib, path)
    appended, last = [], []

    def append(rows, options=None):
        last.append((rows, options))
        store.append(rows, options)
        appended.extend(rows)

    def compare(what, flushed):
        copy = os.path.join(folder, what)
        shutil.copytree(path, copy)
        files = c.attempt(what, Files, copy)
        if not files:
            return None
        c.check(events.multiset(files.rows()) == events.multiset(appended), f"{what}: the files hold what was appended")
        c.check(len(files.in_wal) == len(appended) - flushed, f"{what}: {len(files.in_wal)} rows are in the WAL alone")
        c.check(files.in_wal == appended[flushed:], f"{what}: the WAL has them in order, value by value")
        return files

    compare("empty", 0)
    append(events.corners(), options_of("ann", 1, 1))
    append(events.constant(3, events.micro(2024, 4, 1)))
    compare("wal only", 0)
    store.flush()
    compare("flushed", len(appended))
    append(events.priced(r, 9000, events.micro(2024, 3, 1)), options_of("ann", 1, 2))
    append(events.talkative(r, 6000, events.micro(2024, 3, 20)))
    append(events.scattered(r, 12000, events.micro(2024, 5, 3)), options_of("bücher", 1, 1))
    append(events.enormous(r, 50, events.micro(2023, 12, 31)))
    append(events.constant(5000, events.micro(2024, 6, 1)), options_of("bücher", 7, 1))
    store.flush()
    flushed = len(appended)
    last.clear()
    append(events.talkative(r, 500, events.micro(2024, 3, 1)), options_of("bücher", 7, 2))
    append(events.scattered(r, 700, events.micro(2024, 5, 3)))
    append(events.priced(r, 300, events.micro(1999, 12, 31)), options_of("ann", 3, 1))
    files = compare("mixed", flushed)
    if files:
        c.check({0, 1, 3} <= files.flags, f"segments with all sets of flags: {files.flags}")
        c.check(max(s.pieces for s in files.segments.values()) > 1 and max(s.chunks for s in files.segments.values()) > 1,
                "segments with several chunks, and with several pieces of runs")
        c.check({(bool(s.entries[0]), bool(s.entries[1])) for s in files.segments.values()} == {(False, False), (False, True), (True, True)},
                "segments with both levels of rollups, with days alone and with none")
        c.check({bool(s.sets) for s in files.segments.values()} == {False, True}, "segments with and without sets of users")
        marks = {name: p.epochs for name, p in files.manifest.producers.items()}
        c.check(marks == {"ann": {1: 2}, "bücher": {1: 1, 7: 1}}, f"marks of the covered position: {marks}")
        c.check(files.manifest.producers["ann"].fingerprints.get((1, 2)) == bytes(range(16)), "the fingerprint of a mark")
        for record, (rows, options) in zip(files.records, last):
            producer = options and (options.producer.decode(), options.epoch, options.sequence)
            c.check(record.rows() == rows and record.producer == producer, f"record {record.sequence}: rows and producer")
            c.check(record.fingerprint == (bytes(range(16)) if options and options.has_fingerprint else None), "its fingerprint")
    store.close()
    compare("closed", len(appended))
    test_thinned(c, thin, os.path.join(folder, "closed"), os.path.join(folder, "thinned"))
    return os.path.join(folder, "mixed")


def test_thinned(c, thin, store, folder):
    """Every month of the store, thinned by the engine's writer, against the store's rows."""
    files = Files(store)
    number = {column: {text: i for i, text in enumerate(texts) if text is not None}
              for column, texts in zip(read_catalog.DOMAINS, files.catalog)}

    def id_of(row, column):
        return 0 if row[column] is None else number[column][row[column]]

    done = subprocess.run([thin, store, folder], stdout=subprocess.PIPE, text=True, check=True).stdout
    c.check(done.count("\n") >= 3, "months are thinned")
    for line in done.splitlines():
        segment_id, month, _ = map(int, line.split())
        rows = [r for r in files.in_segments if events.month_of(r["timestamp"]) == month]
        users = [id_of(r, "user_id") for r in rows]
        ids = [tuple(id_of(r, column) for column in ("service_name", "endpoint", "method")) for r in rows]
        s = c.attempt(f"thinned month {month}", read_segment.Segment, read_segment.path_of(folder, segment_id, month))
        if s:
            c.check(s.thinned, f"thinned month {month}: its flag")
            c.attempt(f"thinned month {month}: its rollups", s.check_thinned, rows, users, ids)


# ---- damage


def paths_of(store):
    return sorted(os.path.join(d, f) for d, _, names in os.walk(store) for f in names if f != "LOCK")


def test_damage(c, r, store, folder):
    """No byte of a file can change without the readers' seeing it: every one is told twice or is under a checksum."""
    rows = len(Files(store).rows())
    for path in paths_of(store):
        with open(path, "rb") as f:
            whole = f.read()
        end = read_wal.File(path).end if path.endswith(".wal") else len(whole)
        places = {0, end - 1} | {r.randrange(end) for _ in range(DAMAGES)}
        missed = [at for at in places if not is_seen(store, path, whole, at, rows)]
        with open(path, "wb") as f:
            f.write(whole)
        c.check(not missed, f"{os.path.relpath(path, folder)}: a changed byte is seen, but not at {sorted(missed)[:10]}")


def is_seen(store, path, whole, at, rows):
    changed = bytearray(whole)
    changed[at] ^= 1 << at % 8
    with open(path, "wb") as f:
        f.write(changed)
    try:
        return len(Files(store).rows()) != rows  # a record at the WAL's end may be the torn tail of a crash
    except (Damaged, UnicodeDecodeError, OSError):
        return True


# ---- golden stores


def engine_rows(lib, path):
    store = library.Store(lib, path)
    try:
        header, rows = store.events({})
        return [events.unprint(header, cells) for cells in rows]
    finally:
        store.close()


def test_golden(c, lib, folder):
    golden = os.path.join(HERE, "golden")
    versions = sorted(os.listdir(golden)) if os.path.isdir(golden) else []
    c.check(versions, "there are golden stores")
    for version in versions:
        expected = events.multiset(make_golden.read_rows(os.path.join(golden, version, "rows.json")))
        store = os.path.join(golden, version, "store")
        files = c.attempt(f"golden {version}", Files, store)
        c.check(files and events.multiset(files.rows()) == expected, f"golden {version}: the readers find its rows")
        c.check(files and files.in_segments and files.in_wal, f"golden {version}: rows in segments and in the WAL")
        copy = os.path.join(folder, f"golden-{version}")
        shutil.copytree(store, copy)
        for opening in ("opened", "opened again, after it was closed"):
            try:
                rows = engine_rows(lib, copy)
            except library.TallyError as e:
                rows = e
            c.check(isinstance(rows, list) and events.multiset(rows) == expected, f"golden {version}, {opening}: the engine finds its rows"
                    + (f": {rows}" if not isinstance(rows, list) else ""))
        files = c.attempt(f"golden {version}, closed", Files, copy)
        c.check(files and events.multiset(files.in_segments) == expected, f"golden {version}: after closing, all are in segments")


def main():
    lib = library.Library(os.path.join(sys.argv[1], "engine", "libtally.so"))
    seed = events.seed_of()
    print(f"formats: TALLY_SEED={seed}", flush=True)
    c, r = Counter(), random.Random(seed)
    test_examples(c)
    with tempfile.TemporaryDirectory(prefix="tally-formats-") as folder:
        test_fresh(c, lib, os.path.join(sys.argv[1], "tests", "format_thin"), r, folder)
        test_golden(c, lib, folder)
        small = os.path.join(folder, "small")
        shutil.copytree(os.path.join(HERE, "golden", sorted(os.listdir(os.path.join(HERE, "golden")))[-1], "store"), small)
        test_damage(c, r, small, folder)
    print(f"{c.passed} passed, {c.failed} failed")
    return 1 if c.failed or not c.passed else 0


if __name__ == "__main__":
    sys.exit(main())
