"""The contract's section 3, computed the slow and plain way: over a list of rows, in exact arithmetic.

Rows are dicts by column name; None is NULL; timestamp is microseconds, cost an int in units of 10^-9, texts str. A query is a dict of
structured parts, and text() in generate.py writes the same query in the contract's own words for the engine.
"""
import datetime
import functools
import json
import json.decoder
import re
import zoneinfo
from decimal import Decimal
from fractions import Fraction

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86400 * 10**6
UNIT = 10**9
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")
DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)

# ---------------------------------------------------------------- metadata


@functools.lru_cache(maxsize=200000)
def members(text):
    """An object's members: key -> the text of its value; of repeated keys the last."""
    found, i = {}, text.index("{") + 1
    skip = re.compile(r"[ \t\n\r]*")
    i = skip.match(text, i).end()
    while text[i] != "}":
        key, i = json.decoder.scanstring(text, i + 1, False)
        i = skip.match(text, skip.match(text, i).end() + 1).end()
        _, end = DECODER.raw_decode(text, i)
        found[key] = text[i:end]
        i = skip.match(text, end).end()
        if text[i] == ",":
            i = skip.match(text, i + 1).end()
    return found


def metadata_value(text, path):
    """The value at a path as (kind, text): kind 'string' or 'number' or 'other', or None for NULL."""
    if text is None:
        return None
    for key in path[:-1]:
        text = members(text).get(key)
        if text is None or not text.startswith("{"):
            return None
    raw = members(text).get(path[-1])
    if raw is None or raw == "null":
        return None
    if raw.startswith('"'):
        value = json.loads(raw, strict=False)
        if "\0" in value or any(0xD800 <= ord(ch) <= 0xDFFF for ch in value):
            return None
        return "string", value
    return ("number" if NUMBER.match(raw) else "other"), raw


def metadata_number(value):
    """A metadata value as a number that sums count, in units of 10^-9, or None."""
    if value is None or value[0] != "number":
        return None
    units = Fraction(Decimal(value[1])) * UNIT
    return int(units) if units.denominator == 1 and abs(units) <= 9 * 10**9 * UNIT else None


# A column is a name, or a tuple of keys for metadata.KEY


def as_text(row, column):
    if isinstance(column, tuple):
        value = metadata_value(row["metadata"], column)
        return None if value is None else value[1]
    return row[column]


def as_number(row, column):
    return metadata_number(metadata_value(row["metadata"], column)) if isinstance(column, tuple) else row[column]


# ---------------------------------------------------------------- predicates


def holds(row, predicate):
    column, op, values = predicate["column"], predicate["op"], predicate.get("values", [])
    value = as_text(row, column)
    if op == "is null":
        return value is None
    if op == "is not null":
        return value is not None
    if value is None:
        return False
    if isinstance(column, tuple):
        stored = metadata_value(row["metadata"], column)

        def compare(literal):
            if literal["number"]:
                if stored[0] != "number":
                    return None
                a, b = Fraction(Decimal(stored[1])), Fraction(Decimal(literal["text"]))
            else:
                a, b = stored[1].encode(), literal["text"].encode()
            return (a > b) - (a < b)
    elif column in ("user_id", "service_name", "endpoint", "method"):
        def compare(literal):
            a, b = value.encode(), literal["text"].encode()
            return (a > b) - (a < b)
    else:
        scale = UNIT if column == "cost" else 1

        def compare(literal):
            b = Fraction(literal["value"] if column == "timestamp" else Decimal(literal["text"])) * scale
            return (value > b) - (value < b)

    if op == "^=":
        return value.encode().startswith(values[0]["text"].encode())
    order = [compare(v) for v in values]  # None: a numeric literal holds for JSON numbers only, with any operator
    if op == "in":
        return 0 in order
    if op == "not in":
        return all(o is not None and o != 0 for o in order)
    if order[0] is None:
        return False
    return {"=": order[0] == 0, "!=": order[0] != 0, "<": order[0] < 0, "<=": order[0] <= 0, ">": order[0] > 0,
            ">=": order[0] >= 0}[op]


# ---------------------------------------------------------------- buckets


def local(us, zone):
    return (EPOCH + datetime.timedelta(microseconds=us)).astimezone(zone)


@functools.lru_cache(maxsize=None)
def first_instant(day, zone_name):
    """The first instant whose local date is that day (days since 1970); None if the zone skipped it. Offsets change on quarters of an hour."""
    zone = zoneinfo.ZoneInfo(zone_name)
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
    for quarter in range(-27 * 4, 27 * 4):
        t = day * DAY + quarter * 15 * 60 * 10**6
        if local(t, zone).date() == date:
            return t
    return None


def month_day(month):
    return (datetime.date(1970 + month // 12, month % 12 + 1, 1) - datetime.date(1970, 1, 1)).days


def bucket_first_day(unit, count, number):
    return {"d": number * count, "w": number * count * 7 - 3}.get(unit) if unit in "dw" else month_day(number * count * (12 if unit == "y" else 1))


@functools.lru_cache(maxsize=None)
def bucket_start(unit, count, number, zone):
    """The start of a calendar bucket; None if all of its dates were skipped."""
    day, end = bucket_first_day(unit, count, number), bucket_first_day(unit, count, number + 1)
    while day < end:
        start = first_instant(day, zone)
        if start is not None:
            return start
        day += 1
    return None


FIXED = {"us": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}


def bucket_of(us, bucket, zone):
    """The start of the bucket that holds an instant."""
    count, unit = bucket
    if unit in FIXED:
        size = count * FIXED[unit]
        return us // size * size
    day = us // DAY
    if unit == "d":
        guess = day // count
    elif unit == "w":
        guess = (day + 3) // (7 * count)
    else:
        date = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
        months = (date.year - 1970) * 12 + date.month - 1
        guess = months // (count * (12 if unit == "y" else 1))
    for number in range(guess + 2, guess - 4, -1):
        start = bucket_start(unit, count, number, zone)
        if start is not None and start <= us:
            return start
    raise AssertionError("no bucket")


def next_bucket(start, bucket, zone):
    count, unit = bucket
    if unit in FIXED:
        return start + count * FIXED[unit]
    step = start
    while True:
        step += DAY // 4
        found = bucket_of(step, bucket, zone)
        if found > start:
            return found


def print_bucket(us, bucket, zone):
    digits = 6 if bucket[1] in FIXED and bucket[0] * FIXED[bucket[1]] < 10**6 else 0
    return print_time(us, zone, digits)


def print_time(us, zone, digits):
    moment = local(us, UTC if zone == "UTC" else zoneinfo.ZoneInfo(zone))
    text = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{us % 10**6:06d}" if digits else "")
    if zone == "UTC":
        return text + "Z"
    minutes = int(moment.utcoffset().total_seconds()) // 60
    return text + f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


# ---------------------------------------------------------------- numbers as text


def rounded(value, digits):
    """A Fraction, half-even, with all digits."""
    units = round(value * 10**digits)
    sign, units = ("-" if units < 0 else ""), abs(units)
    return f"{sign}{units // 10**digits}.{units % 10**digits:0{digits}d}"


def decimal(units, least):
    sign, units = ("-" if units < 0 else ""), abs(units)
    fraction = f"{units % UNIT:09d}"
    fraction = fraction[:least] + fraction[least:].rstrip("0")
    return f"{sign}{units // UNIT}" + ("." + fraction if fraction else "")


def print_number(value, column):
    if value is None:
        return None
    if column == "timestamp":
        return print_time(value, "UTC", 6)
    if column == "cost":
        return decimal(value, 4)
    return decimal(value, 0) if isinstance(column, tuple) else str(value)


# ---------------------------------------------------------------- aggregates


def aggregate(rows, spec):
    """spec: (kind, column, Q). Returns (text, value to order by)."""
    kind, column, q = spec
    if kind == "count" and column is None:
        return str(len(rows)), len(rows)
    errors = sum(1 for r in rows if r["status_code"] is not None and r["status_code"] >= 400)
    if kind == "errors":
        return str(errors), errors
    if kind == "error_rate":
        n = sum(1 for r in rows if r["status_code"] is not None)
        text = rounded(Fraction(errors, n), 6) if n else None
        return text, None if text is None else Fraction(text)
    if kind in ("count", "distinct"):
        values = [v for v in (as_text(r, column) for r in rows) if v is not None]
        n = len(values) if kind == "count" else len(set(values))
        return str(n), n
    values = sorted(v for v in (as_number(r, column) for r in rows) if v is not None)
    if not values:
        return None, None
    if kind == "avg":
        scaled = column == "cost" or isinstance(column, tuple)
        text = rounded(Fraction(sum(values), len(values) * (UNIT if scaled else 1)), 9 if column == "cost" else 6)
        return text, Fraction(text)
    if kind == "p":
        rank = -((-Fraction(Decimal(q)) * len(values)) // 100)
        value = values[int(rank) - 1]
    else:
        value = {"sum": sum(values), "min": values[0], "max": values[-1]}[kind]
    return print_number(value, column), value


EMPTY = {"count": ("0", 0), "errors": ("0", 0), "distinct": ("0", 0)}

# ---------------------------------------------------------------- queries


def order_key(value):
    """NULL last; text by bytes, numbers by value."""
    if value is None:
        return (1, 0)
    return (0, value.encode() if isinstance(value, str) else value)


def query(rows, q):
    zone, bucket, groups = q.get("tz") or "UTC", q.get("bucket"), q.get("group_by", [])
    chosen = [r for r in rows if (q.get("from") is None or r["timestamp"] >= q["from"]) and
              (q.get("to") is None or r["timestamp"] < q["to"]) and all(holds(r, p) for p in q.get("where", []))]
    table = {}
    for r in chosen:
        start = bucket_of(r["timestamp"], bucket, zone) if bucket else None
        table.setdefault((start, tuple(as_text(r, g) for g in groups)), []).append(r)
    if not bucket and not groups:
        table = {(None, ()): chosen}
    if q.get("fill") and q["from"] < q["to"]:
        found = {key[1] for key in table} or ({()} if not groups else set())
        start = bucket_of(q["from"], bucket, zone)
        while start < q["to"]:
            for g in found:
                table.setdefault((start, g), [])
            start = next_bucket(start, bucket, zone)
    lines = []
    for (start, group), members_ in table.items():
        cells, keys = [], {}
        if bucket:
            cells.append(print_bucket(start, bucket, zone))
            keys["bucket"] = start
        for g, value in zip(groups, group):
            cells.append(None if value is None else str(value))
            keys[("group", g)] = value
        for spec in q["aggregates"]:
            text, value = aggregate(members_, spec)
            cells.append(text)
            keys[("aggregate", spec)] = value
        lines.append((([start if bucket else 0], [order_key(v) for v in group]), keys, tuple(cells)))
    lines.sort(key=lambda line: line[0])
    for key, descending in reversed(q.get("order_by", [])):
        present = [line for line in lines if line[1][key] is not None]
        absent = [line for line in lines if line[1][key] is None]
        present.sort(key=lambda line: order_key(line[1][key])[1], reverse=descending)  # equals keep their order, reversed or not
        lines = present + absent
    result = [line[2] for line in lines]
    return result if q.get("limit") is None else result[:q["limit"]]


def print_cell(row, name):
    value = row[name]
    return value if value is None or isinstance(value, str) else print_number(value, name)


def events(rows, q, all_columns):
    chosen = [r for r in rows if (q.get("from") is None or r["timestamp"] >= q["from"]) and
              (q.get("to") is None or r["timestamp"] < q["to"]) and all(holds(r, p) for p in q.get("where", []))]
    chosen.sort(key=lambda r: [order_key(r[name]) for name in all_columns], reverse=q.get("order") == "desc")
    columns = q.get("columns") or all_columns
    result = [tuple(print_cell(r, name) for name in columns) for r in chosen]
    return result if q.get("limit") is None else result[:q["limit"]]
