"""Are two answers, or two stores' rows, the same? Texts that systems print differently are brought to one form first.

Times become "YYYY-MM-DD hh:mm:ss.ffffff", costs and sums exact decimals, metadata the object it stands for. Only averages and rates may
differ, by a unit of the sixth decimal, for that is what Tally prints. Rows count as a multiset: what orders are part of is Q5 and Q10,
whose limits make a wrong order a wrong set.
"""
import decimal
import hashlib
import json

NULL = "\\N"
REAL_TOLERANCE = 1.1e-6


class Differ(Exception):
    """Two systems do not say the same."""


def time_of(text):
    text = text.replace("T", " ").rstrip("Z")
    if len(text) == 10:
        text += " 00:00:00"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<6}"


def cell_of(kind, text):
    if text is None or text == NULL:
        return None
    if kind == "time":
        return time_of(text)
    if kind == "integer":
        return int(text)
    if kind == "decimal":
        return decimal.Decimal(text).normalize() + 0
    if kind == "real":
        return float(text)
    if kind == "json":
        return json.dumps(json.loads(text), sort_keys=True)
    return text


def canonical(question, rows):
    """Rows of texts (None or \\N: NULL) as sorted rows of values."""
    kinds = question.kinds.split()
    out = []
    for row in rows:
        if len(row) != len(kinds):
            raise Differ(f"{question.name}: a row of {len(row)} cells, not {len(kinds)}: {row}")
        try:
            out.append(tuple(cell_of(k, c) for k, c in zip(kinds, row)))
        except (ValueError, decimal.InvalidOperation) as e:
            raise Differ(f"{question.name}: a row is not of {question.kinds}: {row}") from e
    return sorted(out, key=lambda row: [(c is not None, c if c is not None else 0) for c in row])


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= REAL_TOLERANCE
    return a == b


def compare(question, one, rows, other, others):
    """Both canonical; raises Differ at the first difference."""
    for i, (a, b) in enumerate(zip(rows, others)):
        if not all(same(x, y) for x, y in zip(a, b)):
            raise Differ(f"{question.name}, row {i + 1}: {one} says {a}, {other} says {b}")
    if len(rows) != len(others):
        raise Differ(f"{question.name}: {len(rows)} rows of {one}, {len(others)} of {other}")


def canonical_line(cells):
    """A row's cells, in the order of the columns, as one line."""
    cells = list(cells)
    cells[0] = time_of(cells[0])
    whole, _, fraction = cells[10].partition(".")
    cells[10] = f"{whole}.{fraction:0<4}"
    cells[11] = cells[11] or NULL
    return "\t".join(cells)


def fingerprint(lines):
    """How many lines, and a sum of their hashes, which does not depend on their order."""
    count = total = 0
    for line in lines:
        count += 1
        total += int.from_bytes(hashlib.blake2b(line.encode(), digest_size=16).digest(), "big")
    return {"rows": count, "hash": f"{total % (1 << 128):032x}"}
