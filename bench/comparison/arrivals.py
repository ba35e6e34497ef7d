"""Appends at a fixed rate, and how long each takes from the moment at which it was due.

The same as bench/arrivals.c does for Tally. An append is due at start + number / rate whatever became of those before it; its latency counts
from then. When a system stands still, everything that fell due meanwhile has waited, so nothing is omitted in step with it. A free appender
takes the next number; when all are busy the wait for one counts too.
"""
import itertools
import threading
import time

ROWS = 1000
PIECES = 200


def due(number, rate, start):
    return start + number / rate


def run(rate, seconds, appenders, rows_each=ROWS, clock=time.monotonic, sleep=time.sleep):
    """rate: appends a second; 0: each appender appends as fast as it is answered, and its latencies count from the sending."""
    numbers, lock, kept = itertools.count(), threading.Lock(), []
    start = clock()
    failed = []

    def work(append):
        while not failed:
            with lock:
                number = next(numbers)
            when = due(number, rate, start) if rate else clock()
            if when >= start + seconds:
                return
            wait = when - clock()
            if wait > 0:
                sleep(wait)
            try:
                append()
            except BaseException as e:  # a thread's end must be the run's
                failed.append(e)
                return
            kept.append((clock() - when) * 1e3)

    threads = [threading.Thread(target=work, args=(a,)) for a in appenders]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise failed[0]
    return {"rows": len(kept) * rows_each, "seconds": clock() - start, "latencies_ms": kept}


def pieces(path):
    """The first lines of a CSV file behind its header, 1,000 at a time, as bytes."""
    out = []
    with open(path, "rb") as f:
        f.readline()
        while len(out) < PIECES:
            lines = list(itertools.islice(f, ROWS))
            if len(lines) < ROWS:
                break
            out.append(b"".join(lines))
    return out
