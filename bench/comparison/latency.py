"""Appends of 1,000 events at shares of what a system can take, while it is asked questions.

Saturation is measured first, with the same questions being asked: all connections append as fast as they are answered. Then the rates are
half and four fifths of that.
"""
import os
import threading
import time

from comparison import figures

SHARES = (0.5, 0.8)
ASKED = ("Q1", "Q3", "Q4", "Q7", "Q10", "Q11")
BETWEEN_QUESTIONS = 0.1  # from the start of one to that of the next, or when it is answered
PROBE_BYTES, BETWEEN_PROBES = 64 << 10, 0.02


class Beside(threading.Thread):
    """Does something again and again until it is told to stop; its times in ms."""

    def __init__(self, call, between):
        super().__init__(daemon=True)
        self.call, self.between, self.times, self.ended = call, between, [], threading.Event()

    def run(self):
        start = time.monotonic()
        while not self.ended.is_set():
            self.call()
            now = time.monotonic()
            self.times.append((now - start) * 1e3)
            self.ended.wait(max(0, start + self.between - now))
            start = time.monotonic()

    def stop(self):
        self.ended.set()
        self.join()
        return self.times


class Prober:
    """Appends 64 KB to a file and syncs it."""

    def __init__(self, path):
        self.path, self.file, self.piece = path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), os.urandom(PROBE_BYTES)

    def __call__(self):
        os.write(self.file, self.piece)
        os.fdatasync(self.file)

    def close(self):
        os.close(self.file)
        os.unlink(self.path)


def percentiles(times):
    return {"count": len(times), "p50_ms": figures.percentile(times, 50), "p99_ms": figures.percentile(times, 99),
            "p999_ms": figures.percentile(times, 99.9), "most_ms": max(times)}


def asker(session):
    turn = iter(range(1 << 62))
    return Beside(lambda: session.ask(ASKED[next(turn) % len(ASKED)], 0, 0), BETWEEN_QUESTIONS)


def level(session, rate, seconds, probe=None):
    """One rate (appends a second; 0: as fast as it goes) for so many seconds."""
    besides = [asker(session)]
    prober = Prober(probe) if probe else None
    if prober:
        besides.append(Beside(prober, BETWEEN_PROBES))
    for b in besides:
        b.start()
    came = session.arrive(rate, seconds)
    times = [b.stop() for b in besides]
    out = {"asked_rate": rate, "appends_per_second": len(came["latencies_ms"]) / came["seconds"], "events_per_second": came["rows"] / came["seconds"],
           "seconds": came["seconds"], "append": percentiles(came["latencies_ms"]), "question": percentiles(times[0])}
    if prober:
        prober.close()
        out["fdatasync"] = percentiles(times[1])
    return out


def measure(session, seconds, probe):
    saturation = level(session, 0, seconds / 2)
    out = {"saturation": saturation}
    for share in SHARES:
        out[f"{share:.0%}"] = level(session, saturation["appends_per_second"] * share, seconds, probe)
    return out
