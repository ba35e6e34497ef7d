"""What every system of the comparison does, so that they can take turns.

A *place* is a directory whose name tells stores apart; a system keeps everything of that store in it, or under its name. A system runs only
while one of its methods does or a Session of it is open, so that nobody else's threads stand beside what is timed.
"""
import time

from comparison import arrivals


class System:
    name = label = ""
    ways = ("csv", "native")
    modes = ("durable", "os")
    in_process = False
    counted_as_peer = True  # False: a variant whose answers come from somewhere else than rows
    tuning = ""             # how it is set up, for the report
    native = ""             # what its fastest way is, for the report

    def version(self):
        raise NotImplementedError

    def prepare(self, place, data):
        """Makes what its native load reads, out of the store in `place`. Not timed."""

    def load(self, place, way, mode, data):
        """A new store with all events. Figures: seconds (until everything is committed, and can be asked), processor_seconds (client's and
        server's), peak_mib, settle_seconds (merging, vacuuming, flushing), bytes (after that; everything), bytes_kind."""
        raise NotImplementedError

    def open(self, place, data, mode="durable"):
        """A Session on a store that is there. The mode counts for appends."""
        raise NotImplementedError

    def drop(self, place):
        raise NotImplementedError

    def copy(self, place, to):
        """A second store with the same events."""
        raise NotImplementedError

    def forget(self, place):
        """What the system has cached of its files goes, so that a query is cold."""
        raise NotImplementedError

    def shut(self):
        """Ends what it has started."""


class Session:
    """One client of a system that runs; closing it ends the system's processes."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, name, repeats, seconds):
        """{"first_ms", "times_ms"}: the question once, then up to `repeats` times, but no new one when `seconds` are over."""
        raise NotImplementedError

    def answer(self, name):
        """Its rows, as texts."""
        raise NotImplementedError

    def lines(self, days):
        """Its rows as canonical lines: of the days, or all."""
        raise NotImplementedError

    appenders = 16  # how many connections or lanes appends come over

    def appender(self, number):
        """A function that appends 1,000 events, committed when it returns; of appender `number`, used by one thread."""
        raise NotImplementedError

    def arrive(self, rate, seconds):
        """Appends that are due at a rate, or (rate 0) one after the other: {"rows", "seconds", "latencies_ms"}."""
        return arrivals.run(rate, seconds, [self.appender(n) for n in range(self.appenders)], rows_each=arrivals.ROWS)

    def peak_mib(self):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError


def timed(call, repeats, seconds):
    """The times of a call in ms: the first, and the others."""
    times, began = [], None
    while began is None or (len(times) <= repeats and (len(times) < 2 or time.monotonic() - began < seconds)):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
        began = began or time.monotonic()
    return {"first_ms": times[0], "times_ms": times[1:]}
