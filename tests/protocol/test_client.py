#!/usr/bin/python3
"""Drives a real tallyd with the Python client: what docs/protocol.md says is what the server does.

usage: test_client.py PATH/TO/tallyd [TEST...]

Starts the server on a temporary directory and a free port of 127.0.0.1; ends with "N passed, N failed".
"""
import contextlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback

import client as wire
from client import Client, Lost, Refused, batch, frame, put_text

T0 = 1706745600000000  # 2024-02-01T00:00:00Z
DAY = 86400 * 10**6

TESTS = []
FACTS = {"passed": 0, "failed": 0}


def test(function):
    TESTS.append(function)
    return function


def same(what, got, wanted):
    ok = got == wanted
    FACTS["passed" if ok else "failed"] += 1
    if not ok:
        print(f"FAIL {what}: got {got!r:.300}, wanted {wanted!r:.300}")


def refused(what, call, name, **fields):
    try:
        got = call()
    except Refused as error:
        same(what, (error.name, {key: getattr(error, key) for key in fields}), (name, fields))
        same(f"{what}: has a text", bool(error.text), True)
    else:
        same(what, got, f"an ERROR {name}")


class Server:
    """A tallyd on a directory, restarted as tests like."""

    def __init__(self, program, directory):
        self.program, self.directory = program, directory
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, "--data", self.directory, "--listen", "127.0.0.1:0"],
                                        stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", ready)
        if not found:
            self.process.kill()
            raise SystemExit(f"tallyd is not ready: {ready!r}")
        self.address = ("127.0.0.1", int(found[1]))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.stdout.close()
        return self.process.wait(30)

    def client(self, **options):
        return Client(self.address, **options)


def event(number, **more):
    return {"timestamp": T0 + number * 10**6, "user_id": f"user{number % 7}", "service_name": "chat", "method": "POST",
            "status_code": 200, "tokens_used": number, "cost": number * 10**6} | more


def total(client, **request):
    """Rows of service `chat` and their tokens."""
    request = {"where": ["service_name = chat"], "aggregates": "count,sum:tokens_used"} | request
    return client.query(**request)[1][0]


# -------------------------------------------------------------------- greeting, ping

@test
def greeting(server):
    with server.client() as client:
        same("version", client.version, 129)
        same("limits", (client.frame_bytes, client.batch_rows, client.batch_bytes), (4 << 20, 65536, 4190208))
        same("windows", client.append_window >= 1 and client.answer_window >= 1, True)
        same("server's name", client.server_name.split()[0], "tallyd")
        for _ in range(3):
            client.ping()
        ids = [client.send(wire.PING) for _ in range(200)]
        for request in reversed(ids):
            client.wait(request, wire.PONG)
        same("200 PINGs at once", client.waiting, {})
    with server.client(name=None) as client:
        hello = struct.pack("<IBBH", 0x594C4154, 1, 255, 0) + put_text("x" * 300) + b"more of a later version"
        client.wait(client.send(wire.HELLO, hello), wire.WELCOME)
        client.ping()


# -------------------------------------------------------------------- ingest

@test
def ingest(server):
    with server.client() as client:
        same("no producer", client.append(batch([event(i) for i in range(10)])), (False, 10))
        same("visible at once", total(client), ("10", "45"))
        first, mark = batch([event(i) for i in range(100)]), bytes(range(16))
        same("unknown producer", client.mark("loader"), (0, 0))
        options = {"producer": "loader", "epoch": 1, "sequence": 1, "fingerprint": mark}
        same("first", client.append(first, **options), (False, 100))
        same("again", client.append(first, **options), (True, 100))
        same("again, os", client.append(first, **options | {"durability": "os"}), (True, 100))
        same("counted once", total(client), ("110", "4995"))
        refused("conflict", lambda: client.append(first, **options | {"fingerprint": bytes(16)}), "conflict")
        refused("gap", lambda: client.append(first, **options | {"sequence": 5}), "gap", sequence=2)
        refused("gap in a new epoch", lambda: client.append(first, **options | {"epoch": 2, "sequence": 2}), "gap",
                sequence=1)
        same("second, os", client.append(first, **options | {"sequence": 2, "durability": "os"}), (False, 100))
        same("newer epoch", client.append(first, **options | {"epoch": 4}), (False, 100))
        same("old epoch, in", client.append(first, **options), (True, 100))
        refused("old epoch, not in", lambda: client.append(first, **options | {"sequence": 3}), "stale-epoch",
                sequence=4)
        same("newest mark", client.mark("loader"), (4, 1))
        same("mark of an epoch", client.mark("loader", 1), (1, 2))
        same("no row was lost or doubled", total(client), ("310", str(45 + 3 * 4950)))


@test
def ingest_pipelined(server):
    with server.client() as client:
        before = int(total(client)[0])
        ids = [client.send_append(batch([event(i)] * 50), producer="pipe", epoch=1, sequence=i + 1,
                                  durability="os" if i % 3 else "disk") for i in range(100)]
        same("receipts", [client.wait_append(request) for request in ids], [(False, 50)] * 100)
        same("rows", int(total(client)[0]), before + 5000)
        sequences = (101, 103, 102, 103)
        ids = [client.send_append(batch([event(0)]), producer="pipe", epoch=1, sequence=s) for s in sequences]
        same("101", client.wait_append(ids[0]), (False, 1))
        refused("103 too early", lambda: client.wait_append(ids[1]), "gap", sequence=102)
        same("102, 103", [client.wait_append(request) for request in ids[2:]], [(False, 1)] * 2)


@test
def ingest_refused(server):
    good = batch([event(i) for i in range(10)])
    with server.client() as client:
        before = total(client)
        for what, data in {"empty": b"", "cut": good[:-1], "longer": good + b"\0", "no magic": b"x" + good[1:]}.items():
            refused(f"batch {what}", lambda data=data: client.append(data), "invalid-batch")
        rows = [event(i) for i in range(10)]
        bad = {"method": ("ELEVENCHARS", 4), "user_id": ("ü" * 256, 1), "metadata": ("[1]", 11),
               "status_code": (2**31, 8), "timestamp": (-1, 0)}
        for name, (value, column) in bad.items():
            data = batch(rows[:7] + [event(7, **{name: value})] + rows[8:])
            refused(f"row with bad {name}", lambda data=data: client.append(data, producer="r", epoch=1, sequence=1),
                    "invalid-row", row=7, column=column)
        same("uses up no sequence", client.mark("r"), (0, 0))
        refused("producer of 101 characters", lambda: client.append(good, producer="p" * 101, epoch=1, sequence=1),
                "usage")
        refused("epoch 0", lambda: client.append(good, producer="p", epoch=0, sequence=1), "usage")
        refused("mark of no name", lambda: client.mark(""), "usage")
        same("nothing went in", total(client), before)


# -------------------------------------------------------------------- answers

@test
def events_exact(server):
    start = T0 + 100 * DAY
    big = '{"a":"' + "é" * 524_000 + '"}'  # nearly 1 MiB
    sent = [
        {"timestamp": start, "user_id": "", "service_name": "exact", "cost": -1, "metadata": '{ "x" : 1.50 }'},
        {"timestamp": start + 1, "user_id": None, "service_name": "exact", "status_code": -2**31, "cost": 1250000000},
        {"timestamp": start + 2, "user_id": "日本\t\n\\", "service_name": "exact", "tokens_used": 2**31 - 1},
        {"timestamp": start + 3, "service_name": "exact", "metadata": big},
    ]
    with server.client() as client:
        same("in", client.append(batch(sent)), (False, 4))
        names, rows = client.events(where=["service_name = exact"])
        same("names", names, ["timestamp", "user_id", "service_name", "endpoint", "method", "request_size",
                              "response_size", "duration_ms", "status_code", "tokens_used", "cost", "metadata"])
        same("rows", rows, [
            ("2024-05-11T00:00:00.000000Z", "", "exact", None, None, None, None, None, None, None, "-0.000000001",
             '{ "x" : 1.50 }'),
            ("2024-05-11T00:00:00.000001Z", None, "exact", None, None, None, None, None, "-2147483648", None, "1.2500",
             None),
            ("2024-05-11T00:00:00.000002Z", "日本\t\n\\", "exact", None, None, None, None, None, None, "2147483647",
             None, None),
            ("2024-05-11T00:00:00.000003Z", None, "exact", None, None, None, None, None, None, None, None, big)])
        few = client.events(where=["service_name = exact"], order="desc", limit=2, columns="metadata,user_id")
        same("desc, limit, columns", few, (["metadata", "user_id"], [(big, None), (None, "日本\t\n\\")]))
        same("range", client.events(since="2024-05-11T00:00:00.000001Z", until="2024-05-11T00:00:00.000003Z",
                                    columns="timestamp")[1],
             [("2024-05-11T00:00:00.000001Z",), ("2024-05-11T00:00:00.000002Z",)])
        same("nothing", client.events(where=["service_name = nobody"])[1], [])


@test
def queries(server):
    with server.client() as client:
        for hour in range(48):
            client.append(batch([event(0, timestamp=T0 + 200 * DAY + hour * 3600 * 10**6 + i, service_name="q",
                                       method="GET" if i % 2 else None, duration_ms=i) for i in range(11)]))
        where = ["service_name = q"]
        same("one row", client.query(where=where), (["count"], [("528",)]))
        same("groups", client.query(where=where, group_by="method", aggregates="count,p50:duration_ms,avg:duration_ms"),
             (["method", "count", "p50:duration_ms", "avg:duration_ms"],
              [("GET", "240", "5", "5.000000"), (None, "288", "4", "5.000000")]))
        same("days", client.query(where=where, bucket="1d")[1],
             [("2024-08-19T00:00:00Z", "264"), ("2024-08-20T00:00:00Z", "264")])
        same("days elsewhere, filled", client.query(where=where, bucket="1d", tz="America/New_York", flags=["fill"],
                                                    since="2024-08-18", until="2024-08-22")[1],
             [("2024-08-18T00:00:00-04:00", "44"), ("2024-08-19T00:00:00-04:00", "264"),
              ("2024-08-20T00:00:00-04:00", "220"), ("2024-08-21T00:00:00-04:00", "0")])
        same("in 9999", client.query(where=["service_name = nobody"], bucket="1d", tz="Europe/Paris", flags=["fill"],
                                     since="9999-07-01", until="9999-07-02")[1],
             [("9999-07-01T00:00:00+02:00", "0")])
        same("order", client.query(where=where, bucket="1h", order_by="bucket desc", limit=1)[1],
             [("2024-08-20T23:00:00Z", "11")])
        for what, request in {"aggregate": {"aggregates": "sum:method"}, "predicate": {"where": ["what = 1"]},
                              "zone": {"tz": "Not/AZone", "bucket": "1d"}, "range": {"since": "yesterday"}}.items():
            refused(f"bad {what}", lambda request=request: client.query(**request), "usage")
        client.ping()


@test
def answers_at_once(server):
    rows = [event(i, service_name="many", user_id=f"u{i:06}") for i in range(20000)]
    with server.client() as client:
        for _ in range(5):
            client.append(batch(rows), durability="os")
        one = client.send_events(where=["service_name = many"], columns="user_id,tokens_used")
        two = client.send_query(where=["service_name = many"], group_by="user_id")
        ping = client.send(wire.PING)
        client.wait(ping, wire.PONG)
        names, groups = client.answer(two)
        same("groups beside events", (names, len(groups), groups[17]), (["user_id", "count"], 20000, ("u000017", "5")))
        names, listed = client.answer(one)
        same("events", (len(listed), listed[0], listed[-1]), (100000, ("u000000", "0"), ("u019999", "19999")))

        ids = [client.send_events(where=["service_name = many"]) for _ in range(client.answer_window + 1)]
        refused("one too many", lambda: client.answer(ids[-1]), "busy")
        for request in ids[:-1]:
            client.cancel(request)
        for request in ids[:-1]:
            try:
                same("done before", len(client.answer(request)[1]), 100000)
            except Refused as error:
                same("cancelled", error.name, "cancelled")
        client.cancel(12345678)  # nobody
        client.ping()
        refused("deadline", lambda: client.query(where=["service_name = many"], group_by="user_id,metadata.a",
                                                 aggregates="distinct:user_id,p99:tokens_used", timeout=1), "deadline")
        same("nothing is left over", client.waiting, {})


@test
def a_reader_that_stops(server):
    """Its answer waits, and nobody else does."""
    with server.client() as lazy, server.client() as client:
        request = lazy.send_events(where=["service_name = many"])
        for _ in range(20):
            client.ping()
        same("others go on", client.query(where=["service_name = many"])[1], [("100000",)])
        same("and it goes on later", len(lazy.answer(request)[1]), 100000)
    with server.client() as gone:
        gone.send_events(where=["service_name = many"])
    with server.client() as client:
        client.ping()


@test
def flush_stats_verify(server):
    with server.client() as client:
        before = client.query(group_by="service_name", aggregates="count,sum:cost,distinct:user_id")
        client.flush()
        after = client.query(group_by="service_name", aggregates="count,sum:cost,distinct:user_id")
        same("a flush changes no answer", after, before)
        same("no damage", client.verify(), [])
        same("stats", len(client.stats()) > 3, True)
        columns, merges = client.job("compact")
        same("compact's columns", columns, ["month", "segments_before", "segments_after", "rows", "bytes_before", "bytes_after"])
        same("compaction changes no answer", client.query(group_by="service_name", aggregates="count,sum:cost,distinct:user_id"), before)
        same("a second compaction has nothing to do", client.job("compact")[1], [])
        refused("no job", lambda: client.job("compakt"), "usage")
        refused("no words", lambda: client.job(), "usage")
        refused("a word too many", lambda: client.job("compact", "now"), "usage")


# -------------------------------------------------------------------- bad frames

def ending(client, data):
    """Sends bytes; the ERROR (name, id) that comes, and whether the server hangs up behind it."""
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        client.send_bytes(data)
    try:
        kind, request, payload = client.receive()
        name = Refused(payload).name if kind == wire.ERROR else kind
    except (Lost, ConnectionError):
        return "hung up"
    try:
        client.receive()
    except (Lost, ConnectionError):
        return name, request
    return name, request, "goes on"


@test
def bad_frames(server):
    query = struct.pack("<IQQ", 0, wire.NO_LIMIT, 0) + put_text(None) * 7 + struct.pack("<I", 0)
    checksum = bytearray(frame(wire.PING, 7))
    checksum[20] ^= 1
    payload = bytearray(frame(wire.QUERY, 7, query))
    payload[-1] ^= 1
    huge = struct.pack("<IBBHQQ", (4 << 20) - 23, 129, wire.PING, 0, 7, 0)
    cases = {
        "checksum of a header": (bytes(checksum), ("protocol", 0)),
        "checksum of a payload": (bytes(payload), ("protocol", 0)),
        "version": (frame(wire.PING, 7, version=1), ("version", 0)),
        "flags": (frame(wire.PING, 7, flags=1), ("protocol", 0)),
        "oversized": (huge, ("too-large", 0)),
        "4 GiB": (b"\xff\xff\xff\xff" + huge[4:], ("too-large", 0)),
        "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", ("version", 0)),
        "unknown type": (frame(50, 7), ("protocol", 7)),
        "a server's type": (frame(wire.WELCOME, 7), ("protocol", 7)),
        "second HELLO": (frame(wire.HELLO, 7, struct.pack("<IBBH", 0x594C4154, 129, 129, 0) + put_text("x")),
                         ("protocol", 7)),
        "id 0": (frame(wire.QUERY, 0, query), ("protocol", 0)),
        "bytes left over": (frame(wire.QUERY, 7, query + b"\0"), ("protocol", 7)),
        "payload cut": (frame(wire.QUERY, 7, query[:-1]), ("protocol", 7)),
        "PING with a payload": (frame(wire.PING, 7, b"x"), ("protocol", 7)),
        "more predicates than bytes": (frame(wire.QUERY, 7, query[:-4] + b"\xff\xff\xff\xff"), ("protocol", 7)),
        "NULL predicate": (frame(wire.QUERY, 7, query[:-4] + struct.pack("<I", 1) + put_text(None)), ("protocol", 7)),
        "APPEND cut": (frame(wire.APPEND, 7, bytes(35)), ("protocol", 7)),
        "APPEND with an unknown bit": (frame(wire.APPEND, 7, b"\0\4" + bytes(34)), ("protocol", 7)),
    }
    for what, (data, wanted) in cases.items():
        with server.client() as client:
            same(f"bad frame: {what}", ending(client, data), wanted)


@test
def bad_values_go_on(server):
    rest = struct.pack("<I", 0)
    with server.client() as client:
        for what, payload in {
                "flag": struct.pack("<IQQ", 16, 1, 0) + put_text(None) * 7 + rest,
                "UTF-8": struct.pack("<IQQ", 0, 1, 0) + put_text(b"\xff") + put_text(None) * 6 + rest,
                "zero byte": struct.pack("<IQQ", 0, 1, 0) + put_text("a\0b") + put_text(None) * 6 + rest}.items():
            refused(f"bad {what}", lambda payload=payload: client.answer(client.send(wire.QUERY, payload)), "usage")
        refused("durability", lambda: client.wait_append(client.send(wire.APPEND, b"\2" + bytes(35))), "usage")
        refused("large request", lambda: client.query(where=["user_id = '" + "x" * 70000 + "'"]), "too-large")
        client.ping()


@test
def bad_greetings(server):
    def hello(lowest, highest, magic=0x594C4154):
        return struct.pack("<IBBH", magic, lowest, highest, 0) + put_text("x")
    cases = {
        "PING first": (frame(wire.PING, 7), ("protocol", 7)),
        "no magic": (frame(wire.HELLO, 7, hello(129, 129, 1)), ("protocol", 7)),
        "older only": (frame(wire.HELLO, 7, hello(1, 128)), ("version", 7)),
        "newer only": (frame(wire.HELLO, 7, hello(130, 255)), ("version", 7)),
        "upside down": (frame(wire.HELLO, 7, hello(200, 100)), ("protocol", 7)),
        "large": (frame(wire.HELLO, 7, hello(129, 129) + bytes(5000)), ("too-large", 0)),
    }
    for what, (data, wanted) in cases.items():
        with server.client(name=None) as client:
            same(f"greeting: {what}", ending(client, data), wanted)


@test
def cut_connections(server):
    """A frame that never becomes whole does nothing, wherever it is cut."""
    append = struct.pack("<BBHQQ16s", 0, 1, 3, 1, 1, bytes(16)) + b"cut" + batch([event(1)])
    data = frame(wire.APPEND, 2, append)
    for size in (1, 7, 23, 24, 60, len(data) - 1):
        with server.client() as client:
            client.send_bytes(data[:size])
            client.socket.shutdown(socket.SHUT_WR)
            with contextlib.suppress(Lost, ConnectionError):
                client.receive()
    with server.client() as client:
        same("nothing of it is in", client.mark("cut"), (0, 0))
        for piece in (data[:10], data[10:30], data[30:]):  # but slowly is fine
            client.send_bytes(piece)
            client.ping() if piece is data[30:] else None
        same("in pieces", client.wait_append(2), (False, 1))


# -------------------------------------------------------------------- restarts

@test
def restarts(server):
    data = batch([event(i, service_name="restart") for i in range(500)])
    for how, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -9)):
        with server.client() as client:
            epoch, sequence = client.mark("steady")
            client.append(data, producer="steady", epoch=1, sequence=sequence + 1)
            client.append(data, producer="steady", epoch=1, sequence=sequence + 2, durability="os")
            before = client.query(group_by="service_name", aggregates="count,sum:tokens_used,sum:cost")
            same(f"exit after {how.name}", server.stop(how), code)
            try:
                client.ping()
                same("hung up", False, True)
            except (Lost, ConnectionError, Refused):
                same("hung up", True, True)
        server.start()
        with server.client() as client:
            same(f"the same after {how.name}",
                 client.query(group_by="service_name", aggregates="count,sum:tokens_used,sum:cost"), before)
            same("mark", client.mark("steady"), (1, sequence + 2))
            same("duplicate", client.append(data, producer="steady", epoch=1, sequence=sequence + 2), (True, 500))


def main():
    with tempfile.TemporaryDirectory(prefix="tally-protocol-") as directory:
        server = Server(sys.argv[1], directory + "/store")
        try:
            for function in [f for f in TESTS if not sys.argv[2:] or f.__name__ in sys.argv[2:]]:
                try:
                    function(server)
                except Exception:  # pylint: disable=broad-except
                    FACTS["failed"] += 1
                    print(f"FAIL {function.__name__}: {traceback.format_exc()}")
                    if server.process.poll() is not None:
                        print("the server has ended")
                        break
            if server.process.poll() is None:
                same("exit at the end", server.stop(), 0)
        finally:
            if server.process.poll() is None:
                server.process.kill()
    print(f"{FACTS['passed']} passed, {FACTS['failed']} failed")
    return 1 if FACTS["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
