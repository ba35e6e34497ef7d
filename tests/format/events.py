"""Events for the tests of the formats: rows of every shape that a column can have, and what the engine prints turned back into values."""
import datetime
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "differential"))
from library import COLUMNS, INTS, TEXTS  # noqa: E402  (the binding is in the folder beside)

INT_MIN, INT_MAX, COST_MOST = -2**31, 2**31 - 1, 9 * 10**18
EMPTY = dict.fromkeys(COLUMNS)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def month_of(us):
    """Months since 1970-01."""
    moment = EPOCH + datetime.timedelta(microseconds=us)
    return (moment.year - 1970) * 12 + moment.month - 1


def micro(*date):
    return (datetime.datetime(*date, tzinfo=datetime.timezone.utc) - EPOCH) // datetime.timedelta(microseconds=1)


def row(timestamp, **values):
    return dict(EMPTY, timestamp=timestamp, **values)


def corners():
    """One row for each extreme of each column, on the first and the last instant of months."""
    january, february = micro(2024, 1, 1), micro(2024, 2, 1)
    out = [row(0), row(january), row(february - 1), row(february)]
    for name in INTS:
        out += [row(february + 1, **{name: v}) for v in (INT_MIN, -1, 0, 1, INT_MAX)]
    out += [row(february + 2, cost=v) for v in (-COST_MOST, -1, 0, 1, 99999, 10**9, COST_MOST)]
    for name, most in zip(TEXTS, (255, 100, 255, 10)):
        out += [row(february + 3, **{name: v}) for v in ("", " ", "a", "é" * most, "\U0001F600" * most, "x" * most, "\\N", '"', "\t\n\r")]
    out += [row(february + 4, metadata=v) for v in ("{}", ' {"a" : [1,2,{"b":null}]} ', '{"a":1,"a":2}', '{"ü":"\\u0000"}', '{"n":-0.0e+10}')]
    return out


def priced(r, n, start):
    """Costs that follow from tokens by a price a service, but for some; enough rows of each service for totals."""
    prices = {"chat": 30000, "embedding": 2000, "vision": 15000, "free": 0}
    out = []
    for i in range(n):
        service = r.choice(list(prices))
        tokens = None if r.random() < 0.03 else int(r.lognormvariate(6, 1.1))
        exact = (tokens or 0) * prices[service]
        cost = None if r.random() < 0.02 else (exact + 50000) // 100000 * 100000 if r.random() < 0.97 else r.randrange(-10**12, 10**12)
        out.append(row(start + i * 250000 + r.randrange(-60000000, 0), service_name=service, user_id=f"user_{r.randrange(200):08x}",
                       endpoint=f"/v1/{service}/{r.randrange(5)}", method=r.choice(["GET", "POST", "PUT", None]), tokens_used=tokens,
                       status_code=r.choice([200, 200, 200, 200, 429, 500, None]), duration_ms=int(r.lognormvariate(5, 1)),
                       request_size=r.randrange(100000), response_size=r.randrange(100) * 1000, cost=cost))
    return out


def metadata_of(r, maker, i):
    """Texts as different programs write them."""
    if maker == 0:
        return json.dumps({"region": r.choice(["us-east-1", "eu-west-1"]), "req": f"{r.getrandbits(32):08x}"}, separators=(",", ":"))
    if maker == 1:
        return json.dumps({"n": i, "price": r.randrange(10**6) / 100, "ok": r.random() < 0.5, "tags": ["a"] * r.randrange(3)})
    if maker == 2:
        return json.dumps({"trace": f"{r.getrandbits(64):016X}", "host": f"web-{r.randrange(4)}", "ms": -i}, indent=1)
    if maker == 3:
        return json.dumps({"text": "".join(r.choice("abcäöü 漢字\\\"") for _ in range(r.randrange(60)))}, ensure_ascii=False)
    return json.dumps({f"key{r.randrange(10**6)}": r.random()}) if maker == 4 else '{"same":"always"}'


def talkative(r, n, start):
    """Metadata of several makers, mixed and in stretches, and none."""
    out, maker = [], 0
    for i in range(n):
        if r.random() < 0.01:
            maker = r.randrange(8)
        text = None if maker >= 6 else metadata_of(r, r.randrange(6) if maker == 5 else maker, i)
        out.append(row(start + i, user_id=r.choice(["ann", "bob", None]), metadata=text, cost=r.randrange(1000) * 10**5))
    return out


def scattered(r, n, start):
    """More users than a piece has runs, most with one row, nothing sorted, every column NULL at times."""
    def maybe(value):
        return None if r.random() < 0.3 else value

    return [row(start + r.randrange(86400 * 10**6), user_id=maybe(f"u{r.randrange(10**6)}"), service_name=maybe(r.choice(["", "a", "b"])),
                endpoint=maybe(f"/{r.randrange(300)}"), method=maybe(r.choice(["GET", "POST", ""])),
                **{name: maybe(r.choice([0, r.randrange(1000), r.randrange(INT_MIN, INT_MAX + 1)])) for name in INTS},
                cost=maybe(r.choice([0, r.randrange(10**6) * 10**5, r.randrange(-10**12, 10**12)]))) for _ in range(n)]


def enormous(r, n, start):
    """Costs whose sum does not fit 64 bits."""
    return [row(start + i, user_id=f"u{i % 7}", cost=r.choice([COST_MOST, -COST_MOST, r.randrange(-COST_MOST, COST_MOST)])) for i in range(n)]


def constant(n, start):
    return [row(start, user_id="one", service_name="one", endpoint="/", method="GET", request_size=7, response_size=7, duration_ms=7,
                status_code=404, tokens_used=7, cost=7, metadata='{"a":7}')] * n


def seed_of():
    return int(os.environ.get("TALLY_SEED") or random.SystemRandom().randrange(2**32))


# ---- comparing


def values(r):
    return tuple(r[name] for name in COLUMNS)


def multiset(rows):
    """Equal for equal rows, whatever their order."""
    return sorted((values(r) for r in rows), key=repr)


def unprint(header, cells):
    """A row of `events` as the engine prints it, as values."""
    out = dict(zip(header, cells))
    whole, fraction = out["timestamp"][:-1].split(".")
    t = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    out["timestamp"] = (t - EPOCH) // datetime.timedelta(microseconds=1) + int(fraction)
    for name in INTS:
        out[name] = None if out[name] is None else int(out[name])
    if out["cost"] is not None:
        sign, digits = (-1, out["cost"][1:]) if out["cost"][0] == "-" else (1, out["cost"])
        whole, fraction = digits.split(".")
        out["cost"] = sign * (int(whole) * 10**9 + int(fraction.ljust(9, "0")))
    return out
