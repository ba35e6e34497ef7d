"""The rollup test: answers from rollups equal answers from rows, to the last digit, with late events.

usage: rollups.py LIBTALLY.SO [--queries N] [--rows N] [--jobs N]      seed: $TALLY_SEED

Each round makes a store of a metered service's events, dense enough for rollups to be kept, in several segments, some of them made by late
events, and in memtables. It asks queries that rollups may answer, in whole or in part, and compares three answers: with rollups, with rows
alone, and, of every fifth query, the reference's. At the end every way of answering must have been seen (by --explain), so that the test
cannot come to compare rows with rows.
"""
import json
import multiprocessing
import os
import random
import sys
import tempfile

import generate
import library
import reference
from library import INTS
from run import describe

PER_ROUND = 250
EVERY_REFERENCE, EVERY_EXPLAIN = 10, 4
HOUR, DAY = 3600 * 10**6, 86400 * 10**6
MOMENTS = ["2024-02-01", "2024-02-29", "2024-03-10", "2024-03-31", "2024-07-01", "2024-10-27", "2025-01-01", "1970-01-01"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns", "Asia/Tokyo"]
SERVICES, ENDPOINTS, METHODS = ["chat", "search", "img"], ["/v1/a", "/v1/b", "/v2", ""], ["GET", "POST"]
STATUSES = [201, 400, 404, 429, 499, 500, 503, 599, 600, 700, 0, 99, 100, 199, 301, 399, -5, 2**31 - 1]
BOUNDARIES = [99, 100, 101, 199, 200, 299, 300, 399, 400, 401, 499, 500, 599, 600, 601]
WAYS = ["segments answered from totals", "segments answered from runs", "segments answered from rollups",
        "segments answered from rollups and rows", "segments read", "hour rollup entries", "day rollup entries", "sets of a day's users"]


def random_events(r, n):
    start = max(0, generate.micro(r.choice(MOMENTS)) - r.choice([0, 1, 2]) * DAY)
    days = r.choice([0.05, 1, 2, 2, 3, 5])
    null = r.choice([0, 0, 0.03, 0.3])
    users = [f"user_{i}" for i in range(r.choice([3, 30, 400]))]
    services, endpoints, methods = (r.sample(texts, r.randrange(1, len(texts) + 1)) for texts in (SERVICES, ENDPOINTS, METHODS))
    statuses = [200] * 12 + r.sample(STATUSES, r.choice([0, 1, 2, 3, 8, len(STATUSES)]))
    if r.random() < 0.5:  # few keys: hours are kept over several days
        services, endpoints, methods, days = services[:1], endpoints[:2], methods[:1], r.choice([2, 3, 4])
        statuses, null = [200] * 9 + r.sample(STATUSES, 1), 0
    extreme = r.random() < 0.15

    def maybe(value):
        return None if r.random() < null else value

    rows = []
    for _ in range(n):
        t = start + int(r.random() * days * DAY)
        if r.random() < 0.1:
            t = t // HOUR * HOUR + r.choice([0, 0, -1, 1]) * (t > HOUR)
        row = {"timestamp": t, "user_id": maybe(r.choice(users)), "service_name": maybe(r.choice(services)),
               "endpoint": maybe(r.choice(endpoints)), "method": maybe(r.choice(methods)), "metadata": None}
        for name in INTS:
            row[name] = maybe(r.choice([-2**31, 2**31 - 1, 0]) if extreme else int(r.lognormvariate(4, 2)) % 2**31 - r.choice([0, 0, 3]))
        row["status_code"] = maybe(r.choice(statuses))
        row["cost"] = maybe(r.choice([-1, 1, 1, 1]) * r.randrange(10**6) * 10**5)
        rows.append(row)
    rows.sort(key=lambda row: row["timestamp"])
    return rows


def fill_store(r, store, rows):
    """Most rows in one or two segments a month, the late ones in small segments and memtables."""
    rows = list(rows)
    if r.random() < 0.5:
        r.shuffle(rows)
    first = len(rows) * r.choice([5, 8, 9, 10]) // 10
    cuts = sorted({0, first, len(rows), *(r.randrange(first, len(rows) + 1) for _ in range(r.randrange(3))),
                   *(r.randrange(first) for _ in range(r.randrange(2)))})
    for a, b in zip(cuts, cuts[1:]):
        store.append(rows[a:b])
        if b <= first or r.random() < 0.6:
            store.flush()


def random_predicate(r, rows):
    column = r.choice(["service_name", "endpoint", "method", "status_code", "status_code", "status_code", "timestamp", "user_id"])
    if r.random() < 0.1:
        op = r.choice(["is null", "is not null"])
        return {"column": column, "op": op}, f"{column} {op}"
    if column == "status_code":
        op = r.choice(["<", "<=", ">", ">=", ">=", "<", "=", "!="])
        text = str(r.choice(BOUNDARIES)) + r.choice(["", "", "", ".5"])
        return {"column": column, "op": op, "values": [{"text": text}]}, f"{column} {op} {text}"
    if column == "timestamp":
        us = r.choice(rows)["timestamp"] // HOUR * HOUR
        op = r.choice(["<", ">=", "!="])
        return {"column": column, "op": op, "values": [{"value": us}]}, f"{column} {op} {generate.time_text(r, us)}"
    op = r.choice(["=", "!=", "in", "not in", "^=", "<"])
    texts = [r.choice(rows)[column] or "" for _ in range(2 if "in" in op else 1)]
    if op == "^=":
        texts = [texts[0][:2]]
    quoted = ",".join(generate.quote(t) for t in texts)
    return ({"column": column, "op": op, "values": [{"text": t} for t in texts]},
            f"{column} {op} ({quoted})" if "in" in op else f"{column} {op} {quoted}")


def random_aggregate(r):
    kind = r.choice(["count", "count:", "sum", "sum", "avg", "min", "max", "distinct", "distinct", "errors", "error_rate"])
    if r.random() < 0.03:
        return ("p", "duration_ms", "95"), "p95:duration_ms"
    if kind in ("count", "errors", "error_rate"):
        return (kind, None, None), kind
    if kind == "distinct":
        column = r.choice(["user_id", "user_id", "service_name", "endpoint", "method", "status_code"])
    elif kind == "count:":
        column = r.choice(["timestamp", "service_name", "endpoint", "method", "user_id", *INTS, "cost"])
    else:
        column = r.choice([*INTS, "cost", "cost"])
    kind = kind.rstrip(":")
    return (kind, column, None), f"{kind}:{column}"


def random_end(r, rows):
    t = r.choice(rows)["timestamp"]
    width = r.choice([1, 1, HOUR, HOUR, DAY, DAY, 60 * 10**6])
    return t // width * width + r.choice([0, 0, 1, -1]) * r.choice([0, 1, width])


def random_query(r, rows):
    q, text = {}, {}
    ends = sorted(max(0, random_end(r, rows)) for _ in range(2))
    if r.random() < 0.25:  # from the first day to the last
        ends = [max(0, rows[place]["timestamp"] // HOUR * HOUR + r.choice([0, HOUR, 1])) for place in
                (r.randrange(len(rows) // 4), r.randrange(len(rows) * 3 // 4, len(rows)))]
    for name, end in zip(("from", "to"), ends):
        if r.random() < 0.6:
            q[name] = end
            text[name] = generate.time_text(r, end)
    predicates = [random_predicate(r, rows) for _ in range(r.choice([0, 0, 0, 1, 1, 2]))]
    q["where"], text["where"] = [p for p, _ in predicates], [t for _, t in predicates]
    q["group_by"] = r.sample(["service_name", "endpoint", "method"], r.choice([0, 0, 1, 1, 2, 3]))
    if r.random() < 0.08:
        q["group_by"].append(r.choice(["user_id", "status_code"]))
    if q["group_by"]:
        text["group_by"] = ",".join(q["group_by"])
    if r.random() < 0.6:
        q["bucket"] = r.choice([(1, "h"), (1, "h"), (2, "h"), (5, "h"), (24, "h"), (1, "d"), (1, "d"), (1, "d"), (3, "d"), (1, "w"), (1, "mo"),
                                (30, "m"), (90, "m"), (60, "m")])
        text["bucket"] = f"{q['bucket'][0]}{q['bucket'][1]}"
    if r.random() < 0.4:
        q["tz"] = text["tz"] = r.choice(ZONES)
    aggregates = [random_aggregate(r) for _ in range(r.randrange(1, 4))]
    if r.random() < 0.12:  # what sets of users are for
        q["where"], text["where"], q["group_by"] = [], [], []
        text.pop("group_by", None)
        aggregates = r.sample([(("distinct", "user_id", None), "distinct:user_id"), (("count", None, None), "count"),
                               (("max", "cost", None), "max:cost")], r.choice([1, 1, 2, 3]))
    q["aggregates"], text["aggregates"] = [a for a, _ in aggregates], ", ".join(t for _, t in aggregates)
    return q, text


def compare(store, rows, q, text, with_reference):
    """What differs, or None."""
    got = store.query(text)[1]
    raw = store.query({**text, "no_rollups": True})[1]
    if got != raw:
        return "with rollups against rows alone: " + describe(got, raw)
    if with_reference:
        expected = reference.query(rows, q)
        if got != expected:
            return describe(got, expected)
    return None


def round_of(arguments):
    seed, number, path, count, size = arguments
    r = random.Random(f"{seed}/rollups/{number}")
    seen = dict.fromkeys(WAYS, 0)
    with tempfile.TemporaryDirectory() as folder:
        rows = random_events(r, size)
        store = library.Store(library.Library(path), folder)
        fill_store(r, store, rows)
        failures = []
        for i in range(count):
            q, text = random_query(r, rows)
            try:
                difference = compare(store, rows, q, text, i % EVERY_REFERENCE == 0)
                if difference:
                    failures.append((text, difference))
                if i % EVERY_EXPLAIN == 0:
                    told = dict(store.query({**text, "explain": True})[1])
                    for way in WAYS:
                        seen[way] += int(told[way]) > 0
            except library.TallyError as e:
                failures.append((text, f"tally refused: {e}"))
            if len(failures) > 3:
                break
        store.close()
    return number, count, failures, seen


def main():
    path, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
    queries, size, jobs = int(options.get("--queries", 10000)), int(options.get("--rows", 3500)), int(options.get("--jobs", 2))
    seed = os.environ.get("TALLY_SEED", "20240101")
    print(f"rollups: TALLY_SEED={seed}, {queries} queries", flush=True)
    work = [(seed, i, path, min(PER_ROUND, queries - i * PER_ROUND), size) for i in range((queries + PER_ROUND - 1) // PER_ROUND)]
    passed = failed = 0
    seen = dict.fromkeys(WAYS, 0)
    with multiprocessing.Pool(jobs) as pool:
        for number, count, failures, ways in pool.imap_unordered(round_of, work):
            failed += len(failures)
            passed += count - len(failures)
            for way in WAYS:
                seen[way] += ways[way]
            for text, difference in failures:
                print(f"round {number}: {json.dumps(text, ensure_ascii=False)}\n{difference}", flush=True)
            if failed > 20:
                break
    explained = queries // EVERY_EXPLAIN
    print("ways, of " + str(explained) + " queries explained: " + "; ".join(f"{way}: {n}" for way, n in seen.items()))
    for way, n in seen.items():
        if queries >= 5000 and n * 100 < explained:
            failed += 1
            print(f"{way}: fewer than one query in a hundred: the test no longer tests it")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
