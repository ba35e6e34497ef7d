"""Reads a batch as docs/format/batch.md describes it: a list of rows, dicts by column name, None for NULL, cost in units of 10^-9."""
from cursor import Cursor, expect
from lz4_block import decompress
from tally_encodings import integers, texts

TIME, TEXT, INTEGER, COST, JSON = range(5)
COLUMNS = [("timestamp", TIME, 0), ("user_id", TEXT, 255), ("service_name", TEXT, 100), ("endpoint", TEXT, 255), ("method", TEXT, 10),
           ("request_size", INTEGER, 0), ("response_size", INTEGER, 0), ("duration_ms", INTEGER, 0), ("status_code", INTEGER, 0),
           ("tokens_used", INTEGER, 0), ("cost", COST, 0), ("metadata", JSON, 0)]
RANGES = {TIME: (0, 253402300799999999), INTEGER: (-2**31, 2**31 - 1), COST: (-9 * 10**18, 9 * 10**18), JSON: (0, 1048576)}
ABSENT, FULL, WITH_NULLS = range(3)
PACKED_VALUES, PACKED_DICTIONARY = 1, 2


def signed(x):
    x &= (1 << 64) - 1
    return x - (1 << 64) if x >> 63 else x


def column(c, descriptor, what, rows):
    name, kind, most = what
    present, width, form, packed, entries, stored, raw, base = descriptor
    if present == ABSENT:
        expect(not any(descriptor), f"{name}: an absent column's descriptor is zero")
        return [None] * rows
    expect(present in (FULL, WITH_NULLS) and width <= 8, f"{name}: descriptor")
    expect(packed <= (3 if kind == TEXT else 1), f"{name}: packed")
    expect(form == 0 or (form == 1 and kind == JSON), f"{name}: form")
    valid = [1] * rows
    if present == WITH_NULLS:
        bitmap = int.from_bytes(c.take((rows + 7) // 8), "little")
        expect(bitmap >> rows == 0, f"{name}: bits behind the last row")
        valid = [bitmap >> i & 1 for i in range(rows)]
    dictionary = []
    if kind == TEXT:
        expect(entries <= rows, f"{name}: entries")
        if packed & PACKED_DICTIONARY:
            expect(stored <= 4190208, f"{name}: dictionary's size")
            dictionary = [t.decode() for t in texts(c.take(c.number("u32")), entries)]
        else:
            lengths = [c.number("u16") for _ in range(entries)]
            dictionary = [c.take(n).decode() for n in lengths]
        expect(sum(len(t.encode()) for t in dictionary) == stored, f"{name}: dictionary")
        expect(all(len(t) <= most and "\0" not in t for t in dictionary), f"{name}: an entry")
    else:
        expect(entries == 0, f"{name}: entries")
    if packed & PACKED_VALUES:
        expect(width == base == 0, f"{name}: width and base of packed values")
        values = [signed(v) for v in integers(c.take(c.number("u32")), rows)]
    else:
        plain = c.take(rows * width)
        values = [signed(base + int.from_bytes(plain[i * width:(i + 1) * width], "little")) for i in range(rows)]
    if kind == TEXT:
        expect(all(0 <= v < entries for v, ok in zip(values, valid) if ok), f"{name}: an index")
        return [dictionary[v] if ok else None for v, ok in zip(values, valid)]
    low, high = RANGES[kind]
    expect(all(low <= v <= high for v, ok in zip(values, valid) if ok), f"{name}: a value")
    if kind != JSON:
        expect(stored == raw == 0, f"{name}: descriptor")
        return [v if ok else None for v, ok in zip(values, valid)]
    expect(sum(values) == raw and all(ok or v == 0 for v, ok in zip(values, valid)), f"{name}: lengths")
    joined = c.take(stored)
    if form == 1:
        joined = decompress(joined, raw)
    out, at = [], 0
    for v, ok in zip(values, valid):
        out.append(joined[at:at + v].decode() if ok else None)
        at += v
    expect(at == len(joined), f"{name}: texts")
    return out


def read(data):
    c = Cursor(data)
    magic, version, flags, rows, size = c.numbers("u32", "u16", "u16", "u32", "u32")
    expect(magic == 0x31424C54 and version == 1 and flags == 0, "batch: header")
    expect(1 <= rows <= 65536 and size == len(data) <= 4190208, "batch: rows or size")
    descriptors = [c.numbers("u8", "u8", "u8", "u8", "u32", "u32", "u32", "i64") for _ in COLUMNS]
    expect(descriptors[0][0] == FULL, "timestamp: kind 1")
    columns = [column(c, d, what, rows) for d, what in zip(descriptors, COLUMNS)]
    c.end("batch")
    return [dict(zip((name for name, _, _ in COLUMNS), row)) for row in zip(*columns)]
