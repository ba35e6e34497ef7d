"""A client of tallyd, written from docs/protocol.md and docs/format/batch.md alone, sharing no code with the C
sources: the test of those two pages. Needs the xxhash module (Debian: python3-xxhash)."""
import socket
import struct

import xxhash

VERSION = 129
HEADER = struct.Struct("<IBBHQQ")
FRAME_BYTES = 4 << 20
NULL = 0xFFFFFFFF
NO_LIMIT = 2**64 - 1

HELLO, PING, APPEND, MARK, QUERY, EVENTS, STATS, VERIFY, FLUSH, CANCEL, JOB = range(1, 12)
WELCOME, PONG, APPENDED, MARKED, COLUMNS, ROWS, END, DONE, ERROR = range(65, 74)

ERRORS = dict(enumerate((
    "usage invalid-batch invalid-row gap stale-epoch conflict too-late no-space read-only io corrupt locked version "
    "memory-limit no-memory no-raw-rows snapshot-expired deadline cancelled overflow not-found too-large protocol "
    "connection busy unsupported closed").split(), 1))

QUERY_FLAGS = {"fill": 1, "approximate": 2, "explain": 4, "no_rollups": 8}
EVENT_FLAGS = {"desc": 16, "none": 32}


class Refused(Exception):
    """An ERROR message."""

    def __init__(self, payload):
        number, self.column, self.row, self.sequence = struct.unpack_from("<IiqQ", payload)
        self.name = ERRORS.get(number, str(number))
        self.text = take_text(payload, 24)[0]
        super().__init__(f"{self.name}: {self.text}")


class Lost(Exception):
    """The connection ended, or the server broke the protocol."""


def put_text(text):
    if text is None:
        return struct.pack("<I", NULL)
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<I", len(data)) + data


def take_text(payload, at):
    (size,) = struct.unpack_from("<I", payload, at)
    at += 4
    if size == NULL:
        return None, at
    if at + size > len(payload):
        raise Lost("a text is longer than its payload")
    return payload[at:at + size].decode(), at + size


def frame(kind, request, payload=b"", version=VERSION, flags=0):
    head = struct.pack("<IBBHQ", len(payload), version, kind, flags, request)
    return head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head + payload, seed=0)) + payload


class Client:
    """One connection. Requests may be sent (send_...) and answered (wait...) apart from each other."""

    def __init__(self, address, name="tests/protocol/client.py", timeout=30):
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.next_id = 1
        self.waiting = {}  # frames that came while another request was waited for
        if name is not None:
            self.greet(name)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---------------------------------------------------------------- frames

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send(self, kind, payload=b""):
        request = self.next_id
        self.next_id += 1
        self.send_bytes(frame(kind, request, payload))
        return request

    def fill(self, size):
        while len(self.buffer) < size:
            data = self.socket.recv(1 << 20)
            if not data:
                raise Lost("the server closed the connection")
            self.buffer += data

    def receive(self):
        """The next frame, whatever it is: type, id, payload."""
        self.fill(HEADER.size)
        size, version, kind, flags, request, checksum = HEADER.unpack_from(self.buffer)
        if version != VERSION or flags or size + HEADER.size > FRAME_BYTES:
            raise Lost("a frame's header is not one")
        self.fill(HEADER.size + size)
        payload = bytes(self.buffer[HEADER.size:HEADER.size + size])
        if xxhash.xxh3_64_intdigest(bytes(self.buffer[:16]) + payload) != checksum:
            raise Lost("a frame's checksum does not hold")
        del self.buffer[:HEADER.size + size]
        return kind, request, payload

    def wait(self, request, *kinds):
        """The next frame of a request; an ERROR is raised."""
        while not self.waiting.get(request):
            kind, other, payload = self.receive()
            if other == 0 and kind == ERROR:
                raise Refused(payload)
            self.waiting.setdefault(other, []).append((kind, payload))
        kind, payload = self.waiting[request].pop(0)
        if not self.waiting[request]:
            del self.waiting[request]
        if kind == ERROR:
            raise Refused(payload)
        if kind not in kinds:
            raise Lost(f"an answer of type {kind} where {kinds} were expected")
        return kind, payload

    # ---------------------------------------------------------------- requests

    def greet(self, name):
        hello = struct.pack("<IBBH", 0x594C4154, VERSION, VERSION, 0) + put_text(name)
        payload = self.wait(self.send(HELLO, hello), WELCOME)[1]
        numbers = struct.unpack_from("<B3x7I", payload)
        (self.version, self.frame_bytes, self.batch_rows, self.batch_bytes, self.append_window, self.answer_window,
         self.idle_timeout, self.store_version) = numbers
        self.server_name = take_text(payload, 32)[0]

    def ping(self):
        self.wait(self.send(PING), PONG)

    def send_append(self, batch, producer=None, epoch=0, sequence=0, fingerprint=None, durability="disk"):
        name = b"" if producer is None else producer.encode()
        bits = (producer is not None) | (fingerprint is not None) << 1
        fixed = struct.pack("<BBHQQ16s", ("disk", "os").index(durability), bits, len(name), epoch, sequence,
                            fingerprint or bytes(16))
        return self.send(APPEND, fixed + name + batch)

    def wait_append(self, request):
        """Was it a duplicate, and how many rows has it?"""
        duplicate, rows = struct.unpack("<B3xI", self.wait(request, APPENDED)[1])
        return bool(duplicate), rows

    def append(self, batch, **options):
        return self.wait_append(self.send_append(batch, **options))

    def mark(self, producer, epoch=0):
        request = self.send(MARK, struct.pack("<Q", epoch) + put_text(producer))
        return struct.unpack("<QQ", self.wait(request, MARKED)[1])

    def flush(self):
        self.wait(self.send(FLUSH), DONE)

    def send_query(self, since=None, until=None, where=(), group_by=None, bucket=None, tz=None, aggregates=None,
                   order_by=None, limit=NO_LIMIT, timeout=0, flags=()):
        texts = (since, until, group_by, bucket, tz, aggregates, order_by)
        bits = sum(QUERY_FLAGS[flag] for flag in flags)
        return self.send(QUERY, self.request(bits, limit, timeout, texts, where))

    def send_events(self, since=None, until=None, where=(), tz=None, columns=None, order=None, limit=NO_LIMIT,
                    timeout=0):
        bits = EVENT_FLAGS[order] if order else 0
        return self.send(EVENTS, self.request(bits, limit, timeout, (since, until, tz, columns), where))

    @staticmethod
    def request(flags, limit, timeout, texts, where):
        return (struct.pack("<IQQ", flags, limit, timeout) + b"".join(map(put_text, texts))
                + struct.pack("<I", len(where)) + b"".join(map(put_text, where)))

    def wait_columns(self, request):
        payload = self.wait(request, COLUMNS)[1]
        (count,) = struct.unpack_from("<I", payload)
        at, columns = 4, []
        for _ in range(count):
            name, after = take_text(payload, at + 1)
            columns.append((name, payload[at]))
            at = after
        return columns

    def wait_rows(self, request, width):
        """Some of the rows, or None when END has come (its number of rows is self.end_rows)."""
        kind, payload = self.wait(request, ROWS, END)
        if kind == END:
            self.end_rows, *self.left_out = struct.unpack("<Q" if len(payload) == 8 else "<3Q", payload)
            return None
        (count,) = struct.unpack_from("<I", payload)
        at, rows = 4, []
        for _ in range(count):
            row = []
            for _ in range(width):
                cell, at = take_text(payload, at)
                row.append(cell)
            rows.append(tuple(row))
        if at != len(payload) or not count:
            raise Lost("the cells of a ROWS message do not fill it")
        return rows

    def answer(self, request):
        """The whole answer: names of columns, rows."""
        columns, rows = self.wait_columns(request), []
        while (some := self.wait_rows(request, len(columns))) is not None:
            rows += some
        if self.end_rows != len(rows):
            raise Lost("END names another number of rows than came")
        return [name for name, _ in columns], rows

    def query(self, **request):
        return self.answer(self.send_query(**request))

    def events(self, **request):
        return self.answer(self.send_events(**request))

    def stats(self):
        return dict(self.answer(self.send(STATS))[1])

    def verify(self):
        return self.answer(self.send(VERIFY))[1]

    def job(self, *words):
        return self.answer(self.send(JOB, struct.pack("<I", len(words)) + b"".join(put_text(word) for word in words)))

    def cancel(self, request):
        self.send_bytes(frame(CANCEL, request))


# -------------------------------------------------------------------- batches

TEXTS = ("user_id", "service_name", "endpoint", "method")
NUMBERS = ("request_size", "response_size", "duration_ms", "status_code", "tokens_used", "cost")


def bitmap(values):
    bits = sum(1 << i for i, value in enumerate(values) if value is not None)
    return bits.to_bytes((len(values) + 7) // 8, "little")


def numbers(values):
    return b"".join(struct.pack("<q", value or 0) for value in values)


def batch(events):
    """The bytes of a batch, made the easiest way: width 8, base 0, a dictionary entry a row, raw metadata. An event
    is a dict with the names of docs/format/batch.md; cost is in units of 10^-9."""
    rows = len(events)
    descriptors = [struct.pack("<BBBBIIIq", 1, 8, 0, 0, 0, 0, 0, 0)]
    parts = [numbers([event["timestamp"] for event in events])]
    for name in TEXTS:
        values = [event.get(name) for event in events]
        entries = [(value or "").encode() for value in values]
        stored = b"".join(entries)
        descriptors.append(struct.pack("<BBBBIIIq", 2, 8, 0, 0, rows, len(stored), 0, 0))
        parts += [bitmap(values), b"".join(struct.pack("<H", len(entry)) for entry in entries), stored,
                  numbers(range(rows))]
    for name in NUMBERS:
        values = [event.get(name) for event in events]
        descriptors.append(struct.pack("<BBBBIIIq", 2, 8, 0, 0, 0, 0, 0, 0))
        parts += [bitmap(values), numbers(values)]
    values = [event.get("metadata") for event in events]
    texts = [(value or "").encode() for value in values]
    stored = b"".join(texts)
    descriptors.append(struct.pack("<BBBBIIIq", 2, 8, 0, 0, 0, len(stored), len(stored), 0))
    parts += [bitmap(values), numbers(map(len, texts)), stored]
    body = b"".join(descriptors) + b"".join(parts)
    return struct.pack("<IHHII", 0x31424C54, 1, 0, rows, 16 + len(body)) + body
