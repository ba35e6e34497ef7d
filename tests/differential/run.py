"""The differential test: random queries over random and real events, the engine against the reference, equal to the last digit.

usage: run.py LIBTALLY.SO [--queries N] [--rows N] [--jobs N]      seed: $TALLY_SEED

Each round makes a store whose rows lie in several segments, in sealed and active memtables, with late events among them, and asks it a few
hundred queries; events too. Real events come from $TALLY_DATA (the data sets of the project), where it is there.
"""
import csv
import gzip
import io
import json
import multiprocessing
import os
import random
import sys
import tempfile

import generate
import library
import reference
from library import COLUMNS

PER_ROUND = 250


def real_events(r, n):
    """n events in a row of a real data set, from a random place of its beginning; None without the data."""
    folder = os.environ.get("TALLY_DATA", "")
    name = r.choice(["aider_llm", "edgar_web", "wikipedia_edits", "boutique_spans"])
    path = os.path.join(folder, name + ".csv.gz")
    if not folder or not os.path.exists(path):
        return None
    skip, rows = r.randrange(0, 20000), []
    for i, record in enumerate(csv.DictReader(io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline=""))):
        if i < skip:
            continue
        row = {name_: record[name_] or None for name_ in COLUMNS}
        whole, _, fraction = record["timestamp"].rstrip("Z").partition(".")
        row["timestamp"] = generate.micro(whole) + int((fraction + "000000")[:6])
        for name_ in library.INTS:
            row[name_] = None if row[name_] is None else int(row[name_])
        if row["cost"] is not None:
            whole, _, fraction = row["cost"].partition(".")
            row["cost"] = int(whole) * 10**9 + int((fraction + "0" * 9)[:9])
        if row["metadata"] is None or len(row["metadata"]) < 2000:
            rows.append(row)
        if len(rows) == n:
            break
    return rows or None


def fill_store(r, store, rows):
    """Appends in random pieces, some out of order, with flushes between."""
    pieces, i = [], 0
    while i < len(rows):
        n = r.randrange(1, max(2, len(rows) // 6))
        pieces.append(rows[i:i + n])
        i += n
    if r.random() < 0.7:
        r.shuffle(pieces)  # late events
    flush = r.choice([0, 0.2, 0.6])
    for piece in pieces:
        store.append(piece)
        if r.random() < flush:
            store.flush()


def describe(got, expected):
    for i, (a, b) in enumerate(zip(got + [None], expected + [None])):
        if a != b:
            return f"{len(got)} rows against {len(expected)}; first difference in row {i}:\n  tally:     {a}\n  reference: {b}"
    return "no difference?"


def round_of(arguments):
    seed, number, path, count, size = arguments
    r = random.Random(f"{seed}/{number}")
    with tempfile.TemporaryDirectory() as folder:
        rows = real_events(r, size) if r.random() < 0.3 else None
        if rows is None:
            rows, _ = generate.random_events(r, size)
        store = library.Store(library.Library(path), folder)
        fill_store(r, store, rows)
        failures = []
        for i in range(count):
            scan = r.random() < 0.12
            if i == count // 2 and r.random() < 0.5:
                store.flush()
            q, text = generate.random_scan(r, rows, COLUMNS) if scan else generate.random_query(r, rows)
            try:
                if scan:
                    expected = reference.events(rows, q, COLUMNS)
                    got = store.events(text)[1]
                else:
                    expected = reference.query(rows, q)
                    got = store.query(text)[1]
                if got != expected:
                    failures.append((text, describe(got, expected)))
            except library.TallyError as e:
                failures.append((text, f"tally refused: {e}"))
            if len(failures) > 3:
                break
        store.close()
    return number, count, failures


def main():
    path, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
    queries, size, jobs = int(options.get("--queries", 10000)), int(options.get("--rows", 400)), int(options.get("--jobs", 2))
    seed = os.environ.get("TALLY_SEED", "20240101")
    print(f"differential: TALLY_SEED={seed}, {queries} queries", flush=True)
    rounds = (queries + PER_ROUND - 1) // PER_ROUND
    work = [(seed, i, path, min(PER_ROUND, queries - i * PER_ROUND), size) for i in range(rounds)]
    passed = failed = 0
    with multiprocessing.Pool(jobs) as pool:
        for number, count, failures in pool.imap_unordered(round_of, work):
            failed += len(failures)
            passed += count - len(failures)
            for text, difference in failures:
                print(f"round {number}: {json.dumps(text, ensure_ascii=False)}\n{difference}", flush=True)
            if failed > 20:
                break
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
