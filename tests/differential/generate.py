"""Random events and random queries over them, and a query in the contract's own words."""
import datetime
import json
import random

from library import INTS, TEXTS

UNIT = 10**9
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo",
         "Asia/Kathmandu", "America/Havana", "Pacific/Auckland"]
# Times around which something happens to a calendar: months, leap days, clocks set forward and back, Apia's missing day.
MOMENTS = ["1970-01-01", "1999-12-31", "2000-02-29", "2011-12-30", "2018-11-04", "2024-02-29", "2024-03-10", "2024-03-31", "2024-04-07",
           "2024-10-27", "2024-11-03", "2024-12-31", "2025-03-09"]
USERS = ["ann", "bob", "", "Zoë", "user 7", "o'brien", "a,b", "null", "用户", "ann ", "\U0001f600", "ÅB", "an"] + [f"user_{i:04x}" for i in range(40)]
SERVICES = ["chat", "search", "billing", "", "Chat", "img"]
ENDPOINTS = ["/v1/a", "/v1/b", "/v1/b/c", "", "/v2", "/v1/ä", "(x)"] + [f"/v1/item/{i}" for i in range(30)]
METHODS = ["GET", "POST", "", "get"]
NUMBERS = ["0", "1", "-1", "1.5", "1.50", "2", "10", "-0.25", "1e3", "1000", "0.000000001", "0.0000000001", "9000000000", "9000000000.1",
           "123456789.123456789", "-7", "1E-2", "1000000000000000000000"]
STRINGS = ["eu", "us", "", "a\"b", "1", "null", "é", "x\\y", "\\u0041", "true"]


def micro(text):
    return int((datetime.datetime.fromisoformat(text) - datetime.datetime(1970, 1, 1)).total_seconds()) * 10**6


def random_time(r, lively):
    base = micro(r.choice(lively))
    t = base + int(r.uniform(-2, 2) * 86400) * 10**6 + r.choice([0, 0, r.randrange(10**6)])
    return max(0, t)


def json_string(r, s):
    text = json.dumps(s, ensure_ascii=r.random() < 0.5)
    return text.replace("A", "\\u0041") if r.random() < 0.1 else text


def random_value(r, depth):
    kind = r.random()
    if kind < 0.35:
        return r.choice(NUMBERS)
    if kind < 0.6:
        return json_string(r, r.choice(STRINGS))
    if kind < 0.7:
        return r.choice(["true", "false", "null", "[1, 2]", "[]", '"\\u0000"', '"\\ud800"'])
    if depth < 2:
        return random_object(r, depth + 1)
    return "{}"


def random_object(r, depth=0):
    keys = r.sample(["a", "b", "n", "region", "a.b", "é"], r.randrange(0, 4)) + (["a"] if r.random() < 0.1 else [])
    space = r.choice(["", " "])
    return "{" + ("," + space).join(f"{json_string(r, k)}:{space}{random_value(r, depth)}" for k in keys) + "}"


def random_events(r, n):
    lively = r.sample(MOMENTS, 3)
    rows = []
    null = r.choice([0, 0.05, 0.4])

    def maybe(value):
        return None if r.random() < null else value

    extreme = r.random() < 0.2
    for _ in range(n):
        if rows and r.random() < 0.03:
            rows.append(dict(r.choice(rows)))
            continue
        row = {"timestamp": random_time(r, lively), "user_id": maybe(r.choice(USERS)), "service_name": maybe(r.choice(SERVICES)),
               "endpoint": maybe(r.choice(ENDPOINTS)), "method": maybe(r.choice(METHODS))}
        for name in INTS:
            value = int(r.lognormvariate(5, 2)) if not extreme else r.choice([-2**31, 2**31 - 1, 0, r.randrange(-2**31, 2**31)])
            row[name] = maybe(min(value, 2**31 - 1))
        if not extreme or r.random() < 0.5:
            row["status_code"] = maybe(r.choice([200, 200, 200, 201, 400, 404, 429, 500, 503, 0, 399]))
        row["cost"] = maybe(r.choice([r.randrange(-10, 10**6) * 100000, r.randrange(10**12), 9 * 10**18 if extreme else 0]))
        row["metadata"] = maybe(random_object(r))
        rows.append(row)
    return rows, lively


# ---------------------------------------------------------------- queries: structure first, text from it

KEYS = [("a",), ("b",), ("n",), ("region",), ("a", "b"), ("a.b",), ("a", "n"), ("é",)]


def column_text(column):
    if not isinstance(column, tuple):
        return column
    return "metadata." + ".".join(f'"{k}"' if "." in k else k for k in column)


def quote(text):
    return "'" + text.replace("'", "''") + "'"


def time_text(r, us):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    if us % 10**6 or r.random() < 0.2:
        text += f".{us % 10**6:06d}"
    if r.random() < 0.3:
        shifted = moment + datetime.timedelta(hours=2)
        return shifted.strftime("%Y-%m-%dT%H:%M:%S") + (f".{us % 10**6:06d}" if us % 10**6 else "") + "+02:00"
    return text + "Z"


def random_literal(r, rows, column):
    """(literal for the reference, its text in a predicate)"""
    row = r.choice(rows)
    if column == "timestamp":
        us = row["timestamp"] + r.choice([0, 0, 1, 3600 * 10**6])
        return {"value": us}, time_text(r, us)
    if isinstance(column, tuple):
        if r.random() < 0.5:
            text = r.choice(NUMBERS)
            return {"text": text, "number": True}, text
        text = r.choice(STRINGS + ["[1, 2]", "{}", "1.50", "true"])
        return {"text": text, "number": False}, quote(text)
    if column in TEXTS:
        text = row[column] if row[column] is not None and r.random() < 0.7 else r.choice(USERS + ENDPOINTS)
        plain = text and text == text.strip(" ") and text.lower() != "null" and text[0] != "'" and not set(text) & set(",)")
        return {"text": text}, text if plain and r.random() < 0.4 else quote(text)
    base = row[column] if row[column] is not None else 0
    if column == "cost":
        text = r.choice([f"{base // UNIT}.{base % UNIT:09d}" if base >= 0 else "-0.5", "0", "1.5", "0.00000000049", "12345678901234567890123"])
    else:
        text = r.choice([str(base), str(base), f"{base}.5", str(base + 1), "200", "99999999999", "-99999999999", f"{base}.000"])
    return {"text": text}, text


def random_predicate(r, rows):
    column = r.choice(["timestamp", *TEXTS, *TEXTS, *INTS, "status_code", "cost", "metadata", *KEYS])
    name, space = column_text(column), r.choice(["", " "])
    if column == "metadata" or r.random() < 0.12:
        op = r.choice(["is null", "is not null"])
        return {"column": column, "op": op}, f"{name} {r.choice([op, op.upper()])}"
    operators = ["=", "!=", "<", "<=", ">", ">=", "in", "not in"] + (["^="] if column in TEXTS or isinstance(column, tuple) else [])
    op = r.choice(operators)
    if op == "^=":
        text = r.choice(["a", "user_", "/v1/", "", "Z", "1", "e"])
        return {"column": column, "op": op, "values": [{"text": text}]}, f"{name}{space}^={space}{quote(text)}"
    literals = [random_literal(r, rows, column) for _ in range(r.randrange(1, 5) if "in" in op else 1)]
    values = [v for v, _ in literals]
    if "in" in op:
        return {"column": column, "op": op, "values": values}, f"{name} {r.choice([op, op.upper()])} ({(',' + space).join(t for _, t in literals)})"
    return {"column": column, "op": op, "values": values}, f"{name}{space}{op}{space}{literals[0][1]}"


def random_aggregate(r):
    kind = r.choice(["count", "count:", "sum", "sum", "avg", "min", "max", "p", "distinct", "errors", "error_rate"])
    if kind in ("count", "errors", "error_rate"):
        return (kind, None, None), kind
    if kind in ("count:", "distinct"):
        column = r.choice(["timestamp", *TEXTS, *INTS, "cost", "metadata", *KEYS])
        kind = kind.rstrip(":")
        return (kind, column, None), f"{kind}:{column_text(column)}"
    column = r.choice([*INTS, "cost", "cost", *KEYS[:4]] + (["timestamp"] if kind in ("min", "max") else []))
    if kind == "p":
        q = r.choice(["50", "95", "99", "100", "0.1", "99.9", "33.333333", "0.000001"])
        return (kind, column, q), f"p{q}:{column_text(column)}"
    return (kind, column, None), f"{kind}:{column_text(column)}"


def random_range(r, rows, q, text):
    times = sorted(r.choice(rows)["timestamp"] + r.choice([0, 0, 1, -1]) for _ in range(2))
    day = times[0] // (86400 * 10**6) * 86400 * 10**6
    if r.random() < 0.6:
        q["from"] = day if r.random() < 0.3 else max(0, times[0])
        text["from"] = time_text(r, q["from"])
    if r.random() < 0.6:
        q["to"] = max(0, times[1])
        text["to"] = time_text(r, q["to"])


def random_query(r, rows):
    """The query for the reference, and in words."""
    q, text = {}, {}
    random_range(r, rows, q, text)
    predicates = [random_predicate(r, rows) for _ in range(r.choice([0, 0, 1, 1, 2, 3]))]
    q["where"], text["where"] = [p for p, _ in predicates], [t for _, t in predicates]
    q["group_by"] = r.sample([*TEXTS, "service_name", "status_code", "tokens_used", *KEYS[:3]], r.choice([0, 0, 1, 1, 2, 3]))
    q["group_by"] = list(dict.fromkeys(q["group_by"]))
    if q["group_by"]:
        text["group_by"] = r.choice([",", ", "]).join(column_text(g) for g in q["group_by"])
    if r.random() < 0.4:
        q["bucket"] = r.choice([(1, "h"), (1, "d"), (1, "d"), (7, "d"), (1, "w"), (2, "w"), (1, "mo"), (3, "mo"), (1, "y"), (15, "m"), (6, "h"),
                                (36, "h"), (10, "s"), (250, "ms"), (1, "us")])
        text["bucket"] = f"{q['bucket'][0]}{q['bucket'][1]}"
    if r.random() < 0.5:
        q["tz"] = text["tz"] = r.choice(ZONES)
    if "bucket" in q and "from" in q and "to" in q and q["from"] < q["to"] and r.random() < 0.3:
        size = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}.get(q["bucket"][1], 86400 * 10**6) * q["bucket"][0]
        if (q["to"] - q["from"]) // size < 300:
            q["fill"] = text["fill"] = True
    aggregates = [random_aggregate(r) for _ in range(r.randrange(1, 5))]
    q["aggregates"], text["aggregates"] = [a for a, _ in aggregates], ", ".join(t for _, t in aggregates)
    if r.random() < 0.35:
        keys = [(("group", g), column_text(g)) for g in q["group_by"]] + [(("aggregate", a), t) for a, t in aggregates]
        keys += [("bucket", "bucket")] if "bucket" in q else []
        chosen = r.sample(keys, min(len(keys), r.randrange(1, 3)))
        directions = [r.random() < 0.5 for _ in chosen]
        q["order_by"] = [(key, d) for (key, _), d in zip(chosen, directions)]
        text["order_by"] = ", ".join(t + (" desc" if d else "") for (_, t), d in zip(chosen, directions))
    if r.random() < 0.25:
        q["limit"] = text["limit"] = r.choice([0, 1, 3, 10, 1000])
    text["no_rollups"] = r.random() < 0.3
    return q, text


def random_scan(r, rows, columns):
    q, text = {}, {}
    random_range(r, rows, q, text)
    predicates = [random_predicate(r, rows) for _ in range(r.choice([0, 1, 2]))]
    q["where"], text["where"] = [p for p, _ in predicates], [t for _, t in predicates]
    if r.random() < 0.3:
        q["columns"] = r.sample(columns, r.randrange(1, 6))
        text["columns"] = ",".join(q["columns"])
    if r.random() < 0.4:
        q["order"] = text["order"] = "desc"
    if r.random() < 0.5:
        q["limit"] = text["limit"] = r.choice([0, 1, 10, 100])
    return q, text
