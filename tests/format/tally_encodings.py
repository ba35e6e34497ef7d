"""Integers and texts, decoded as docs/format/integers-and-texts.md describes them."""
from cursor import Cursor, expect
from lz4_block import decompress

CONST, FOR, DELTA, DICT, RLE = range(5)


def signed(x):
    x &= (1 << 64) - 1
    return x - (1 << 64) if x >> 63 else x


def bits(c, n, w):
    size = (n * w + 7) // 8
    x = int.from_bytes(c.take(size), "little")
    if w == 0:
        return [0] * n
    expect(x >> (n * w) == 0, "bits behind the last number are set")
    # Whole bytes at a time: shifting one huge number n times would take n^2 steps.
    step, out = 1024, []
    for first in range(0, n, step):
        many = min(step, n - first)
        piece = (x >> (first * w)) & ((1 << (many * w)) - 1)
        out += [(piece >> (i * w)) & ((1 << w) - 1) for i in range(many)]
    return out


def frame(c, n, exponent, exceptions):
    w = c.number("u8")
    expect(w <= 64, "frame: width")
    base, scale, x, h = c.svarint(), 10**exponent, 0, 0
    if exceptions:
        x, h = c.varint(), c.number("u8")
        expect(1 <= x <= n and 1 <= h <= 64 and w < 64, "frame: exceptions")
    low = bits(c, n, w)
    positions = bits(c, x, (n - 1).bit_length()) if x else []
    high = bits(c, x, h) if x else []
    expect(all(a < b for a, b in zip(positions, positions[1:])), "frame: positions ascend")
    for p, u in zip(positions, high):
        expect(p < n, "frame: a position")
        low[p] += (-(u + 1) // 2 if u & 1 else u // 2) << w
    return [signed(base + scale * v) for v in low]


def integers(data, count, allowed=(CONST, FOR, DELTA, DICT, RLE)):
    """The `count` values that the bytes (or all that is left of a Cursor) stand for."""
    c = data if isinstance(data, Cursor) else Cursor(data)
    expect(1 <= count <= 65536, f"{count} integers")
    first = c.number("u8")
    scheme, exponent, exceptions = first & 7, first >> 3 & 15, first >> 7
    expect(scheme in allowed, f"integers: scheme {scheme}")
    if scheme == CONST:
        expect(first == 0, "CONST: the upper bits")
        values = [c.svarint()] * count
    elif scheme == FOR:
        values = frame(c, count, exponent, exceptions)
    elif scheme == DELTA:
        expect(count >= 2, "DELTA of one")
        values = [c.svarint()]
        for step in frame(c, count - 1, exponent, exceptions):
            values.append(signed(values[-1] + step))
    else:
        n = c.varint()
        expect(1 <= n <= count, "entries")
        within = (CONST, FOR, DELTA) if scheme == DICT else (CONST, FOR, DELTA, DICT)
        entries = integers(c.part(), n, within)
        numbers = frame(c, count if scheme == DICT else n, exponent, exceptions)
        if scheme == DICT:
            expect(n <= 4096 and all(a < b for a, b in zip(entries, entries[1:])), "DICT: entries ascend")
            expect(all(0 <= i < n for i in numbers), "DICT: an index")
            values = [entries[i] for i in numbers]
        else:
            expect(min(numbers) >= 1 and sum(numbers) == count, "RLE: lengths")
            values = [v for v, times in zip(entries, numbers) for _ in range(times)]
    c.end("integers")
    return values


RAW, LZ4, TEMPLATE, CONSTANT, DECIMAL, PATTERN, DICTIONARY = range(7)


def cut(data, lengths):
    out, at = [], 0
    for n in lengths:
        expect(n >= 0, "a negative length")
        out.append(data[at:at + n])
        at += n
    expect(at == len(data), "the lengths do not add up")
    return out


def decimal(mantissa, decimals):
    expect(0 <= decimals <= 18, "DECIMAL: decimals")
    digits = str(abs(mantissa)).rjust(decimals + 1, "0")
    if decimals:
        digits = digits[:-decimals] + "." + digits[-decimals:]
    return (("-" if mantissa < 0 else "") + digits).encode()


def pattern(c, count):
    length, upper = c.numbers("u8", "u8")
    expect(length >= 1 and upper <= 1, "PATTERN: header")
    varies = bits(c, length, 1)
    fixed = c.take(length - sum(varies))
    v = sum(varies)
    digits = c.take((count * v + 1) // 2).hex()
    expect(len(digits) == count * v or digits[-1] == "0", "PATTERN: the last half byte")
    digits = (digits.upper() if upper else digits).encode()
    out = []
    for i in range(count):
        hexadecimal, constant = iter(digits[i * v:(i + 1) * v]), iter(fixed)
        out.append(bytes(next(hexadecimal) if x else next(constant) for x in varies))
    return out


def template(c, count):
    templates, columns = c.varint(), c.varint()
    expect(1 <= templates <= 256 and columns <= 1024, "TEMPLATE: header")
    no_template = (RAW, LZ4, CONSTANT, DECIMAL, PATTERN, DICTIONARY)
    literals = texts(c.part(), templates, no_template)
    places = integers(c.part(), templates)
    expect(all(0 <= p <= 64 for p in places), "TEMPLATE: places")
    total = sum(places)
    before = integers(c.part(), total) if total else []
    column = integers(c.part(), total) if total else []
    expect(all(0 <= k < columns for k in column), "TEMPLATE: a column")
    of = integers(c.part(), count)
    expect(all(0 <= t < templates for t in of), "TEMPLATE: a template")
    starts = [sum(places[:t]) for t in range(templates)]
    steps = [list(zip(before[s:s + n], column[s:s + n])) for s, n in zip(starts, places)]
    uses = [of.count(t) for t in range(templates)]
    sizes = [0] * columns
    for t, step in enumerate(steps):
        expect(len({k for _, k in step}) == len(step), "TEMPLATE: a column twice")
        for _, k in step:
            sizes[k] += uses[t]
    values = [iter(texts(c.part(), size, no_template)) for size in sizes]
    out = []
    for t in of:
        piece, at = b"", 0
        for n, k in steps[t]:
            expect(at + n <= len(literals[t]), "TEMPLATE: literal bytes")
            piece += literals[t][at:at + n] + next(values[k])
            at += n
        out.append(piece + literals[t][at:])
    return out


def texts(data, count, allowed=(RAW, LZ4, TEMPLATE, CONSTANT, DECIMAL, PATTERN, DICTIONARY)):
    """The `count` byte strings that the bytes (or all that is left of a Cursor) stand for."""
    c = data if isinstance(data, Cursor) else Cursor(data)
    scheme = c.number("u8")
    expect(scheme in allowed, f"texts: scheme {scheme}")
    if count == 0:
        expect(scheme == 0, "no text: scheme 0")
        values = []
    elif scheme in (RAW, LZ4):
        lengths = integers(c.part(), count)
        body = c.rest()
        values = cut(decompress(body, sum(lengths)) if scheme == LZ4 else body, lengths)
    elif scheme == TEMPLATE:
        values = template(c, count)
    elif scheme == CONSTANT:
        values = [c.rest()] * count
    elif scheme == DECIMAL:
        mantissas = integers(c.part(), count)
        values = [decimal(m, d) for m, d in zip(mantissas, integers(c, count))]
    elif scheme == PATTERN:
        values = pattern(c, count)
    else:
        n = c.varint()
        expect(1 <= n <= count, "DICT: entries")
        entries = texts(c.part(), n, (RAW, LZ4, CONSTANT, DECIMAL, PATTERN))
        indexes = integers(c, count)
        expect(all(0 <= i < n for i in indexes), "DICT: an index")
        values = [entries[i] for i in indexes]
    c.end("texts")
    return values
