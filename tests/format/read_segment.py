"""Reads a segment as docs/format/segment.md describes it.

usage: read_segment.py STORE_DIR      prints the segments that the manifest lists
"""
import datetime
import os
import sys

import xxhash

import read_catalog
import read_manifest
from cursor import Cursor, expect
from tally_encodings import integers, signed, texts

VERSION = 0x8002
CHUNK, PIECE, RUN_GROUP, SUM_GROUP = 4096, 4096, 256, 512
GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
SLOTS = ["timestamp", "endpoint", "method", "request_size", "response_size", "duration_ms", "status_code", "tokens_used", "cost", "metadata"]
NUMBERS = ["request_size", "response_size", "duration_ms", "status_code", "tokens_used", "cost"]
ID_SLOTS = ("endpoint", "method")
HOUR, DAY = 3600 * 10**6, 86400 * 10**6
LEVELS = ((HOUR, 744), (DAY, 31))


def path_of(store, number, month):
    folder = f"{1970 + month // 12:04d}-{month % 12 + 1:02d}"
    places = [os.path.join(store, place, folder, f"{number:016x}.seg") for place in ("segments", "archive")]
    return next((place for place in places if os.path.exists(place)), places[0])


def up(n, by):
    return (n + by - 1) // by


def long_list(c, n):
    """list(n): n integers in pieces of 4096."""
    out = []
    for first in range(0, n, PIECE):
        out += integers(c.part(), min(PIECE, n - first))
    return out


def predict(t, m, d, k, rounding):
    divisor = 10**(d + k)
    n = t * m + (0 if rounding == 0 else divisor // 2)
    q = n // divisor
    if rounding == 2 and divisor > 1 and n % divisor == 0 and q % 2:
        q -= 1
    return q * 10**k


def costs(c, n, tokens, present):
    """n costs that are not NULL; `tokens`: of every entry (0 for NULL); `present`: which entries have a cost."""
    model = c.number("u8")
    expect(model <= 1, "costs: model")
    if model == 0:
        return integers(c, n)
    prices = []
    for _ in range(c.varint()):
        entries, m, d, k, rounding = c.varint(), c.svarint(), *c.numbers("u8", "u8", "u8")
        expect(entries >= 1 and abs(m) <= 999999999 and d <= 9 and k <= 9 and rounding <= 2, "costs: a price")
        prices += [(m, d, k, rounding)] * entries
    expect(len(prices) == len(tokens), "costs: the prices' entries")
    predicted = [predict(t, *p) for t, p, ok in zip(tokens, prices, present) if ok]
    return [signed(difference + p) for difference, p in zip(integers(c, n), predicted)]


class Segment:
    """Opened: the footer, the directory and its lists are read and checked."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        expect(len(self.data) >= 16 + 40, "segment: too short")
        head, foot = Cursor(self.data[:16]), Cursor(self.data[-40:])
        expect(head.take(4) == b"TLSG", "segment: magic")
        version, zero, self.id = head.numbers("u16", "u16", "u64")
        expect(version == VERSION and zero == 0, f"segment: version {version:#x}")
        offset, size, self.digest = foot.number("u64"), foot.number("u64"), foot.take(16)
        expect(foot.numbers("u16", "u16") == [VERSION, 0] and foot.take(4) == b"TLSG", "segment: footer")
        expect(offset + size + 40 == len(self.data), "segment: the place of the directory")
        payload = self.block(offset, size - 18)
        expect(self.data[offset + size - 18:offset + size - 2] == self.digest, "segment: the directory's digest")
        self.directory(Cursor(payload), offset)

    def block(self, offset, size):
        """The payload of `size` bytes at `offset`, its trailer checked."""
        expect(size >= 1 and offset + size + 18 <= len(self.data), "block: its place")
        payload, trailer = self.data[offset:offset + size], self.data[offset + size:offset + size + 18]
        seed = offset ^ (self.id * GOLDEN & MASK)
        expect(trailer == xxhash.xxh3_128_digest(payload, seed=seed) + b"\0\x12", f"block at {offset}: trailer")
        return payload

    def directory(self, c, end):
        self.rows, self.month, self.runs, self.services, self.max_user = (c.varint() for _ in range(5))
        self.flags = c.number("u8")
        self.sums_fit, self.has_service_totals, self.hour_bounds = (bool(self.flags & bit) for bit in (1, 2, 4))
        self.thinned = bool(self.flags & 8)
        expect(self.flags in ((12, 13) if self.thinned else (0, 1, 3, 5, 7)) and 1 <= self.services <= self.rows, "directory: counts")
        expect(1 <= self.rows < 1 << 32 and self.runs == 0 if self.thinned else self.services <= self.runs <= self.rows <= 1 << 20, "directory: counts")
        self.keys, self.entries, self.sets = c.varint(), [c.varint(), c.varint()], c.varint()
        hours, days = self.entries
        expect((self.keys == 0) == (days == 0) and self.keys <= days <= self.rows and (hours == 0 or days <= hours <= self.rows) and
               self.sets <= 31 and (self.sums_fit or self.thinned or not days), "directory: counts of rollups")
        self.user_keys = 0
        if self.thinned:
            self.user_keys = c.varint()
            self.entries += [c.varint(), c.varint()]
            expect(1 <= self.user_keys <= self.entries[3] <= self.entries[2] <= self.rows and days and not self.sets, "directory: counts of users' rollups")
        self.chunks, self.pieces = 0 if self.thinned else up(self.rows, CHUNK), up(self.runs, PIECE)
        self.slots = {name: self.slot(c, name) for name in SLOTS}
        self.run_sizes, self.piece_user, self.piece_rows = (long_list(c, self.pieces) for _ in range(3))
        sum_sizes = long_list(c, self.pieces) if self.sums_fit else []
        self.service_ids, self.service_runs, self.service_rows = (long_list(c, self.services) for _ in range(3))
        expect(all(a < b for a, b in zip(self.service_ids, self.service_ids[1:])), "directory: services ascend")
        expect(sum(self.service_runs) == self.runs and sum(self.service_rows) == self.rows, "directory: sums")
        expect(self.thinned or sum(self.piece_rows) == self.rows, "directory: rows of pieces")
        if self.sums_fit:
            self.errors = c.varint()
            self.sums = {name: c.svarint() for name in NUMBERS}
        if self.has_service_totals:
            self.service_totals = self.read_service_totals(c)
        rollup_sizes = self.read_rollups(c)
        c.end("directory")
        self.places, at = [], 16
        for size in [s for name in SLOTS for s in self.slots[name]["sizes"]] + self.run_sizes + sum_sizes + rollup_sizes:
            self.places.append((at, size))
            at += size + 18 if size else 0
        expect(at == end, "directory: the blocks end where it begins")

    def read_rollups(self, c):
        sizes = long_list(c, 1 if self.keys else 0)
        self.piece_buckets, self.rollup_blocks, at = [], [], len(SLOTS) * self.chunks + (2 if self.sums_fit else 1) * self.pieces
        self.key_block, at = at, at + len(sizes)

        def level(at, n):
            self.rollup_blocks.append(at)
            sizes.extend(long_list(c, up(n, PIECE)))
            first = long_list(c, up(n, PIECE))
            self.piece_buckets.append([(a, a + spread) for a, spread in zip(first, long_list(c, up(n, PIECE)))])
            return at + up(n, PIECE)

        for n in self.entries[:2]:
            at = level(at, n)
        self.set_block = at
        sizes += long_list(c, self.sets)
        self.set_days, self.set_users = long_list(c, self.sets), long_list(c, self.sets)
        if self.thinned:
            self.user_key_block, at = at, at + 1
            sizes += long_list(c, 1)
            for n in self.entries[2:]:
                at = level(at, n)
            self.max_endpoint, self.max_method, self.least = c.varint(), c.varint(), c.varint()
            self.greatest = self.least + c.varint()
            self.bounds = {}
            for name in NUMBERS:
                low = c.svarint()
                self.bounds[name] = low, low + c.varint(), c.varint()
        return sizes

    def slot(self, c, name):
        lists = {"sizes": long_list(c, self.chunks)}
        if name != "metadata":
            lists["min"] = long_list(c, self.chunks)
            lists["max"] = [signed(low + spread) for low, spread in zip(lists["min"], long_list(c, self.chunks))]
        lists["nulls"] = long_list(c, self.chunks) if name != "timestamp" else [0] * self.chunks
        if name == "metadata":
            lists["bytes"] = long_list(c, self.chunks)
        return lists

    def read_service_totals(self, c):
        n = self.services

        def min_and_max():
            low = long_list(c, n)
            return low, [signed(x + spread) for x, spread in zip(low, long_list(c, n))]

        totals = {"errors": long_list(c, n)}
        totals["timestamp"] = min_and_max()
        for name in NUMBERS:
            sums = long_list(c, n)
            low, high = min_and_max()
            nonnull = long_list(c, n) if any(self.slots[name]["nulls"]) else self.service_rows
            totals[name] = sums, low, high, nonnull
        return totals

    # ---- values

    def chunk_rows(self, chunk):
        return min(CHUNK, self.rows - chunk * CHUNK)

    def column(self, name, tokens=None):
        """Every row's value, None for NULL. Costs need the tokens."""
        out = []
        for chunk in range(self.chunks):
            some = tokens[chunk * CHUNK:(chunk + 1) * CHUNK] if tokens else None
            values = self.chunk(name, chunk, some)
            expect(len(values) == self.chunk_rows(chunk), f"{name}: rows")
            self.check_zone(name, chunk, values)
            out += values
        return out

    def chunk(self, name, chunk, tokens):
        n, slot = self.chunk_rows(chunk), self.slots[name]
        nulls = slot["nulls"][chunk]
        at, size = self.places[SLOTS.index(name) * self.chunks + chunk]
        if size == 0:
            if nulls == n:
                return [None] * n
            expect(nulls == 0 and name != "metadata" and slot["min"][chunk] == slot["max"][chunk], f"{name}: an absent chunk")
            return [slot["min"][chunk]] * n
        c = Cursor(self.block(at, size))
        if name in ID_SLOTS:
            return [v or None for v in integers(c, n)]
        valid = [1] * n
        if nulls:
            bitmap = int.from_bytes(c.take((n + 7) // 8), "little")
            expect(bitmap >> n == 0, f"{name}: bits behind the last row")
            valid = [bitmap >> i & 1 for i in range(n)]
        count = sum(valid)
        expect(count == n - nulls, f"{name}: NULLs")
        if name == "metadata":
            values = texts(c, count)
            expect(sum(map(len, values)) == slot["bytes"][chunk], "metadata: bytes")
        elif name == "cost":
            values = costs(c, count, [t or 0 for t in tokens], valid)
            c.end("cost")
        else:
            values = integers(c, count)
        values = iter(values)
        return [next(values) if ok else None for ok in valid]

    def check_zone(self, name, chunk, values):
        slot, some = self.slots[name], [v for v in values if v is not None]
        expect(len(values) - len(some) == slot["nulls"][chunk], f"{name}: nulls of chunk {chunk}")
        if name != "metadata":
            bounds = (min(some), max(some)) if some else (0, 0)
            expect(bounds == (slot["min"][chunk], slot["max"][chunk]), f"{name}: bounds of chunk {chunk}")

    # ---- runs

    def run_list(self):
        """(service, user, first row, rows) of every run."""
        users, lengths, first_rows, at = [], [], [], 0
        for piece in range(self.pieces):
            n = min(PIECE, self.runs - piece * PIECE)
            place, size = self.places[len(SLOTS) * self.chunks + piece]
            c = Cursor(self.block(place, size))
            table = [c.numbers("u32", "u32", "u16", "u16") for _ in range(up(n, RUN_GROUP))]
            expect(table[0][0] == self.piece_user[piece], "runs: the piece's first user")
            rows = 0
            for g, (user, before, user_bytes, length_bytes) in enumerate(table):
                count = min(RUN_GROUP, n - g * RUN_GROUP)
                group = integers(c.take(user_bytes), count)
                expect(group[0] == user and before == rows, "runs: a group's entry")
                users += group
                for length in integers(c.take(length_bytes), count):
                    expect(length >= 1, "runs: an empty run")
                    lengths.append(length)
                    first_rows.append(at + rows)
                    rows += length
            c.end("runs")
            expect(rows == self.piece_rows[piece], "runs: rows of a piece")
            at += rows
        services = [s for s, n in zip(self.service_ids, self.service_runs) for _ in range(n)]
        out = list(zip(services, users, first_rows, lengths))
        expect(all(a[:2] < b[:2] for a, b in zip(out, out[1:])), "runs: they ascend")
        expect(max(users) == self.max_user, "runs: the highest user")
        return out

    def run_sums(self):
        """For each run: tokens, cost, errors, and how many of status_code, tokens_used and cost are not NULL (None: all)."""
        out = []
        for piece in range(self.pieces):
            n = min(PIECE, self.runs - piece * PIECE)
            c = Cursor(self.block(*self.places[len(SLOTS) * self.chunks + self.pieces + piece]))
            sizes = [c.number("u16") for _ in range(up(n, SUM_GROUP))]
            for g, size in enumerate(sizes):
                out += self.sum_group(Cursor(c.take(size)), min(SUM_GROUP, n - g * SUM_GROUP))
            c.end("sums")
        return out

    def sum_group(self, c, n):
        tokens = integers(c.part(), n)
        part = c.part()
        columns = [tokens, costs(part, n, tokens, [1] * n), integers(c.part(), n)]
        part.end("sums: cost")
        for name in ("status_code", "tokens_used", "cost"):
            columns.append(integers(c.part(), n) if any(self.slots[name]["nulls"]) else [None] * n)
        c.end("sums: a group")
        return zip(*columns)

    # ---- rollups

    def rollup_keys(self, users=False):
        """(service, endpoint, method, class) of every key, or (service, user)."""
        count, columns = (self.user_keys, 2) if users else (self.keys, 4)
        if not count:
            return []
        c = Cursor(self.block(*self.places[self.user_key_block if users else self.key_block]))
        keys = list(zip(*(long_list(c, count) for _ in range(columns))))
        c.end("rollups: keys")
        expect(keys == sorted(set(keys)) and (users or all(k[3] <= 7 for k in keys)), "rollups: keys ascend")
        return keys

    def rollup(self, level):
        """{(bucket, key number): [rows, {name: (sum, min, max, not NULL)}]}; without bounds min and max are None. Of a thinned segment
        the errors (of users) or the histograms (of hours) follow."""
        out, last = {}, (-1, -1)
        bounds, users, histograms = level > 0 or self.hour_bounds, level > 1, level == 0 and self.thinned
        for piece, (first_bucket, last_bucket) in enumerate(self.piece_buckets[level]):
            n = min(PIECE, self.entries[level] - piece * PIECE)
            c = Cursor(self.block(*self.places[self.rollup_blocks[level] + piece]))
            buckets, keys, rows = (integers(c.part(), n) for _ in range(3))
            expect((buckets[0], buckets[-1]) == (first_bucket, last_bucket) and last_bucket < LEVELS[level % 2][1], "rollups: buckets of a piece")
            columns = {}
            more = [[e] for e in integers(c.part(), n)] if users else [[] for _ in range(n)]
            for name in NUMBERS:
                nulls = integers(c.part(), n) if self.has_nulls(name) else [0] * n
                sums = integers(c.part(), n)
                low = integers(c.part(), n) if bounds else [None] * n
                if users:
                    low = [signed(a - b) for a, b in zip(sums, low)]
                high = [signed(a + b) for a, b in zip(low, integers(c.part(), n))] if bounds else [None] * n
                columns[name] = list(zip(sums, low, high, (r - m for r, m in zip(rows, nulls))))
            if histograms:
                bins = integers(c.part(), n)
                pairs = iter(list(zip(long_list(c, sum(bins)), long_list(c, sum(bins)))))
                more = [[[next(pairs) for _ in range(b)]] for b in bins]
            c.end("rollups: a piece")
            for i, place in enumerate(zip(buckets, keys)):
                expect(place > last, "rollups: entries ascend")
                last = place
                out[place] = [rows[i], {name: columns[name][i] for name in NUMBERS}, *more[i]]
        return out

    def has_nulls(self, name):
        return self.bounds[name][2] != self.rows if self.thinned else any(self.slots[name]["nulls"])

    def user_sets(self):
        """{day: users}"""
        out = {}
        for i, (day, n) in enumerate(zip(self.set_days, self.set_users)):
            out[day] = []
            if n:
                c = Cursor(self.block(*self.places[self.set_block + i]))
                out[day] = long_list(c, n)
                c.end("sets of users")
            expect(out[day] == sorted(set(out[day])) and 0 not in out[day], "sets of users: they ascend")
        expect(self.set_days == sorted(set(self.set_days)), "sets of users: days ascend")
        return out

    def check_thinned(self, rows, users, ids):
        """A thinned segment against the rows that it stands for, which are of its month."""
        start = (datetime.datetime(1970 + self.month // 12, self.month % 12 + 1, 1) - datetime.datetime(1970, 1, 1)).days * DAY
        expect(self.rows == len(rows), "thinned: rows")
        times = [r["timestamp"] for r in rows]
        expect((self.least, self.greatest) == (min(times), max(times)), "thinned: times")
        for name in NUMBERS:
            whole = total(rows, name)
            expect(self.bounds[name] == whole[1:] and (not self.sums_fit or self.sums[name] == whole[0]), f"thinned: {name}")
        expect(not self.sums_fit or self.errors == errors(rows), "thinned: errors")
        for level in range(4):
            keys, width, mine = self.rollup_keys(users=level > 1), LEVELS[level % 2][0], {}
            for r, user, key in zip(rows, users, ids):
                key = (key[0], user) if level > 1 else key + (status_class(r["status_code"]),)
                mine.setdefault(((r["timestamp"] - start) // width, key), []).append(r)
            told = self.rollup(level)
            expect(len(told) == self.entries[level] == len(mine), "thinned: entries")
            for (bucket, number), (count, values, *more) in told.items():
                some = mine[bucket, keys[number]]
                expect(count == len(some) and all(values[name] == total(some, name) for name in NUMBERS), "thinned: an entry")
                if level > 1:
                    expect(more[0] == errors(some), "thinned: errors of an entry")
                if level == 0:
                    bins = {}
                    for r in some:
                        if r["duration_ms"] is not None:
                            v = middle(r["duration_ms"])
                            bins[v] = bins.get(v, 0) + 1
                    expect(more[0] == sorted(bins.items()), "thinned: a histogram")

    def check_rollups(self, rows, users, ids):
        """Against the rows; `users` and `ids` are the ids of each row's user, and of its service, endpoint and method."""
        start = (datetime.datetime(1970 + self.month // 12, self.month % 12 + 1, 1) - datetime.datetime(1970, 1, 1)).days * DAY
        keys = self.rollup_keys()
        for level, (width, _) in enumerate(LEVELS):
            if not self.entries[level]:
                continue
            mine = {}
            for r, key in zip(rows, ids):
                mine.setdefault(((r["timestamp"] - start) // width, key + (status_class(r["status_code"]),)), []).append(r)
            told = self.rollup(level)
            expect(len(told) == self.entries[level] == len(mine), "rollups: entries")
            for (bucket, number), (count, values) in told.items():
                some = mine[bucket, keys[number]]
                expect(count == len(some), "rollups: rows of an entry")
                for name in NUMBERS:
                    want = total(some, name)
                    expect(values[name] == (want if values[name][1] is not None else (want[0], None, None, want[3])), f"rollups: {name}")
        if self.sets:
            mine = {}
            for r, user in zip(rows, users):
                mine.setdefault((r["timestamp"] - start) // DAY, set()).add(user)
            expect(self.user_sets() == {day: sorted(s - {0}) for day, s in mine.items()}, "sets of users")

    # ---- everything

    def read(self, catalog):
        """The rows in storage order, as dicts with None for NULL; everything that is told twice is compared."""
        runs = self.run_list()
        columns = {name: self.column(name) for name in SLOTS if name != "cost"}
        columns["cost"] = self.column("cost", columns["tokens_used"])
        services, users = ([run[place] for run in runs for _ in range(run[3])] for place in (0, 1))
        ids = [(s, e or 0, m or 0) for s, e, m in zip(services, columns["endpoint"], columns["method"])]
        for name in ID_SLOTS:
            domain = catalog[read_catalog.DOMAINS.index(name)]
            columns[name] = [domain[i] if i else None for i in columns[name]]
        columns["metadata"] = [None if m is None else m.decode() for m in columns["metadata"]]
        for name, domain, place in (("service_name", 1, 0), ("user_id", 0, 1)):
            columns[name] = [catalog[domain][run[place]] for run in runs for _ in range(run[3])]
        names = list(columns)
        rows = [dict(zip(names, values)) for values in zip(*(columns[name] for name in names))]
        self.check_order(rows, runs)
        if self.sums_fit:
            self.check_sums(rows, runs)
        self.check_rollups(rows, users, ids)
        expect(self.sums_fit == (sum(abs(r["cost"] or 0) for r in rows) < 1 << 63), "directory: do sums fit?")
        return rows

    def check_order(self, rows, runs):
        for _, _, first, n in runs:
            times = [r["timestamp"] for r in rows[first:first + n]]
            expect(times == sorted(times), "rows: in order of time within a run")
        for r in (min(rows, key=lambda r: r["timestamp"]), max(rows, key=lambda r: r["timestamp"])):
            t = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=r["timestamp"])
            expect((t.year - 1970) * 12 + t.month - 1 == self.month, "rows: of the segment's month")

    def check_sums(self, rows, runs):
        for run, told in zip(runs, self.run_sums()):
            mine = rows[run[2]:run[2] + run[3]]
            counts = [total(mine, name)[3] for name in ("status_code", "tokens_used", "cost")]
            expect(told[:3] == (total(mine, "tokens_used")[0], total(mine, "cost")[0], errors(mine)), "run sums")
            expect(all(a == (run[3] if b is None else b) for a, b in zip(counts, told[3:])), "run counts")
        expect(self.errors == errors(rows), "directory: errors")
        expect(all(self.sums[name] == total(rows, name)[0] for name in NUMBERS), "directory: sums")
        if not self.has_service_totals:
            return
        at = 0
        for s, n in enumerate(self.service_rows):
            mine, told, at = rows[at:at + n], self.service_totals, at + n
            expect(told["errors"][s] == errors(mine), "service totals: errors")
            expect((told["timestamp"][0][s], told["timestamp"][1][s]) == total(mine, "timestamp")[1:3], "service totals: timestamp")
            for name in NUMBERS:
                expect(tuple(column[s] for column in told[name]) == total(mine, name), f"service totals: {name}")


def total(rows, name):
    """Sum, least, greatest and number of the values that are not NULL."""
    some = [r[name] for r in rows if r[name] is not None]
    return sum(some), min(some, default=0), max(some, default=0), len(some)


def status_class(status):
    if status is None:
        return 0
    return 1 if status < 100 else 7 if status >= 600 else status // 100 + 1


def middle(v):
    """Of the bin of a histogram."""
    size = abs(v)
    if size < 128:
        return v
    s = size.bit_length() - 7
    m = (size >> s << s) + (2**s - 1) // 2
    return -m if v < 0 else m


def errors(rows):
    return sum(1 for r in rows if r["status_code"] is not None and r["status_code"] >= 400)


def main():
    store = sys.argv[1]
    manifest = read_manifest.read(store)
    catalog = read_catalog.read(os.path.join(store, "catalog"), manifest.texts)
    for info in manifest.segments.values():
        s = Segment(path_of(store, info.id, info.month))
        rows = s.read(catalog)
        print(f"segment {s.id}: {len(rows)} rows, {s.runs} runs, {s.services} services, flags {s.flags}, "
              f"{s.entries[0]} hours and {s.entries[1]} days of {s.keys} keys, {s.sets} sets of users")
        for row in rows[:10]:
            print("  " + ", ".join(f"{k}={v!r}" for k, v in row.items() if v is not None))


if __name__ == "__main__":
    main()
