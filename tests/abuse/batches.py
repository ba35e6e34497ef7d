"""Makes batches (docs/format/batch.md) of many rows in little time: columns of one value take no bytes, others come as lists."""
import struct

from common import protocol

START = 1704067200000000  # 2024-01-01
DAY = 86400 * 10**6
COLUMNS = ("timestamp", *protocol.TEXTS, *protocol.NUMBERS, "metadata")
ABSENT = bytes(24)


def integer(values, rows):
    if isinstance(values, int):
        return struct.pack("<BBBBIIIq", 1, 0, 0, 0, 0, 0, 0, values), b""
    return struct.pack("<BBBBIIIq", 1, 8, 0, 0, 0, 0, 0, 0), struct.pack(f"<{rows}q", *values)


def text(values, rows):
    """One value for all rows, or a value a row, all of them different as a rule."""
    one = isinstance(values, str)
    entries = [values.encode()] if one else [value.encode() for value in values]
    stored = b"".join(entries)
    head = struct.pack("<BBBBIIIq", 1, 0 if one else 4, 0, 0, len(entries), len(stored), 0, 0)
    indexes = b"" if one else struct.pack(f"<{rows}I", *range(rows))
    return head, struct.pack(f"<{len(entries)}H", *map(len, entries)) + stored + indexes


def length(n):
    """A length of LZ4 behind its first 15."""
    return b"\xff" * (n // 255) + bytes([n % 255])


def repeated(piece, times):
    """An LZ4 block of `piece` `times` times: the piece, one match for the rest, and the last bytes as they are."""
    total, size = len(piece) * times, len(piece)
    match = total - size - 5
    assert 15 <= size < 65536 and match >= 19
    tail = (piece * 2)[-5:]
    return b"\xff" + length(size - 15) + piece + struct.pack("<H", size) + length(match - 4 - 15) + b"\x50" + tail


def metadata(value, rows):
    """The same text in every row (compressed where that is worth it)."""
    data = value.encode()
    raw = len(data) * rows
    packed = raw > 4096 and rows > 2 and 15 <= len(data) < 65536
    stored = repeated(data, rows) if packed else data * rows
    return struct.pack("<BBBBIIIq", 1, 0, int(packed), 0, 0, len(stored), raw, len(data)), stored


def batch(rows, **values):
    """`rows` events: a timestamp, and what else is named; one value for all of them, or a list."""
    heads, parts = [], []
    for name in COLUMNS:
        if name not in values:
            heads.append(ABSENT)
            continue
        make = metadata if name == "metadata" else text if name in protocol.TEXTS else integer
        head, part = make(values[name], rows)
        heads.append(head)
        parts.append(part)
    body = b"".join(heads) + b"".join(parts)
    return struct.pack("<IHHII", 0x31424C54, 1, 0, rows, 16 + len(body)) + body
