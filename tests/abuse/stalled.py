"""50 readers ask for a result of 1 GB and stop reading. The server keeps at most 1 MiB a connection for them, and everyone else is served.

usage: stalled.py BINARIES [--readers 50] [--megabytes 1000] [--seed S]

Events in no order, and in order of time (the default). Then some of the readers go on reading: their answers are whole. And again with
memory for a few of the readers at a time: they wait for each other, and nobody is refused."""
import os
import socket
import time

from batches import START, batch
from common import Run, Server, connect, percentile, protocol, temporary

ROW_BYTES = 1000
BATCH_ROWS = 4000
SETTLE = 3.0  # seconds in which a reader's memory must have come back
LIMIT = 1 << 20
SERVED_MS = 1000  # the longest that anybody else may wait; most wait as long as without stalled readers
LITTLE = "96MiB"  # memory for some four readers
LITTLE_SERVED_MS = 15000  # there they wait for their turn


def fill(server, megabytes):
    """Rows whose text in the answer has about ROW_BYTES bytes; returns how many."""
    rows = megabytes * 10**6 // ROW_BYTES // BATCH_ROWS * BATCH_ROWS
    note = '{"note":"' + "n" * (ROW_BYTES - 60) + '"}'
    with connect(server) as connection:
        under_way = []
        for first in range(0, rows, BATCH_ROWS):
            values = {"timestamp": [START + (first + i) * 5000 for i in range(BATCH_ROWS)], "user_id": f"u{first // BATCH_ROWS % 100}",
                      "service_name": "wide", "tokens_used": 1, "metadata": note}
            under_way.append(connection.send_append(batch(BATCH_ROWS, **values), durability="os"))
            if len(under_way) == 8:
                connection.wait_append(under_way.pop(0))
        for request in under_way:
            connection.wait_append(request)
        connection.flush()
    return rows


def read_all(connection, request, width):
    rows = 0
    while (some := connection.wait_rows(request, width)) is not None:
        rows += len(some)
    return rows


def others(server, rounds):
    """Latencies in ms of queries and appends of somebody else, and what went wrong."""
    times, wrong = [], []
    one = batch(10, timestamp=[START + i for i in range(10)], service_name="others")
    with connect(server) as connection:
        for i in range(rounds):
            for ask in (lambda: connection.query(where=[f"user_id = u{i % 100}"], aggregates="count,sum:tokens_used"),
                        lambda: connection.query(group_by="service_name", where=["tokens_used = 1"], since="2024-01-01", until="2024-01-01T00:01:00Z"),
                        lambda: connection.events(where=["service_name = wide"], until="2024-01-01T00:00:00.05Z"),
                        lambda: connection.append(one)):
                began = time.perf_counter()
                try:
                    ask()
                except protocol.Refused as refused:
                    wrong.append(str(refused))
                times.append((time.perf_counter() - began) * 1000)
    return times, wrong


def stall(server, order):
    connection = connect(server, timeout=60)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    request = connection.send_events(order=order, where=["service_name = wide"])
    return connection, request


def with_readers(run, server, order, rows, name, served):
    quiet, wrong = others(server, 20)
    run.check(not wrong, f"{name}: before: {wrong[:3]}")
    with connect(server) as connection:  # the caches are as they will be
        request = connection.send_events(order=order, where=["service_name = wide"], limit=rows // 4)
        read_all(connection, request, len(connection.wait_columns(request)))
    before = server.memory()
    readers = [stall(server, order) for _ in range(run.readers)]
    early, wrong = others(server, 5)  # at once, while they come to a stop
    run.check(not wrong, f"{name}: others were refused while readers came to a stop: {wrong[:3]}")
    widths, refused = [], []
    for connection, request in readers:
        try:
            widths.append(len(connection.wait_columns(request)))
        except protocol.Refused as e:
            refused.append(str(e))
    run.check(not refused, f"{name}: {len(refused)} of the readers were refused: {refused[:1]}")
    time.sleep(SETTLE)
    each = (server.memory() - before) / run.readers
    run.check(each <= LIMIT, f"{name}: a stalled reader takes {each / 1024:.0f} KiB")
    beside, wrong = others(server, 20)
    run.check(not wrong, f"{name}: others were refused: {wrong[:3]}")
    slowest = max(early + beside)
    run.check(slowest <= max(served, 3 * max(quiet)), f"{name}: somebody waited {slowest:.0f} ms")
    run.check(server.alive(), f"{name}: tallyd lives")
    again = readers[::max(1, run.readers // 2)] if not refused else []
    for connection, request in again:
        try:
            got = read_all(connection, request, widths[0])
            run.check(got == rows == connection.end_rows, f"{name}: a reader that went on got {got} rows of {rows}")
        except protocol.Refused as e:
            run.check(False, f"{name}: a reader that went on: {e}")
    for connection, _ in readers:
        connection.close()
    print(f"{name}: {each / 1024:.0f} KiB a stalled reader; others' p99 quiet {percentile(quiet, 99):.1f} ms, beside {percentile(beside, 99):.1f} ms",
          flush=True)


def with_memory(run, megabytes, name, served, *options):
    with temporary() as folder:
        server = Server(run.binaries, os.path.join(folder, "store"), *options).start()
        rows = fill(server, megabytes)
        print(f"{name}{rows} rows, {time.time() - run.began:.0f} s", flush=True)
        for order in ("none", None):
            with_readers(run, server, order, rows, f"{name}order {order or 'of time'}", served)
            if order:  # the other order from the same state of memory
                run.check(server.stop() == 0, "tallyd stops")
                server.start()
        run.check(server.stop() == 0, f"tallyd stops: {server.log()[-500:]}")


def main():
    run = Run("stalled", readers=50, megabytes=1000)
    with_memory(run, run.megabytes, "", SERVED_MS)
    with_memory(run, run.megabytes // 10, "little memory: ", LITTLE_SERVED_MS, "--memory", LITTLE)
    run.end(2)


main()
