"""What the programs of this folder share: the harness of tests/program, the client of tests/protocol, options, the seed.

Every program here is run as `NAME.py BINARIES [--OPTION VALUE]...`, prints its seed (--seed, else $TALLY_SEED, else 20240101), the line
'cases: N' and at the end 'N passed, N failed'. A machine that does not allow a test gets a line 'skipped: ...' and one passed check."""
import os
import random
import resource
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "program"), os.path.join(HERE, "..", "protocol")]

import client as protocol  # noqa: E402
from harness import Counter, Server, Tool, temporary, wait_until  # noqa: E402, F401

GONE = (protocol.Lost, OSError)  # what a client sees when its connection is lost


class Run:
    """Options of the command line, random numbers from the seed, the counter of checks."""

    def __init__(self, name, **defaults):
        self.binaries = os.path.abspath(sys.argv[1])
        given = dict(zip(sys.argv[2::2], sys.argv[3::2]))
        self.seed = given.pop("--seed", os.environ.get("TALLY_SEED", "20240101"))
        for option, value in defaults.items():
            setattr(self, option, type(value)(given.pop("--" + option, value)))
        if given or len(sys.argv) % 2:
            sys.exit(f"usage: {name}.py BINARIES [--seed S] " + " ".join(f"[--{option} {value}]" for option, value in defaults.items()))
        self.random = random.Random(self.seed)
        self.counter = Counter()
        self.began = time.time()
        print(f"{name}: TALLY_SEED={self.seed}", flush=True)

    def check(self, ok, what):
        return self.counter.check(ok, what)

    def skip(self, why):
        print(f"skipped: {why}", flush=True)
        self.counter.check(True, why)

    def end(self, cases):
        print(f"cases: {cases}")
        print(f"{time.time() - self.began:.0f} s")
        self.counter.end()


def connect(server, **options):
    host, port = server.address.split(":")
    return protocol.Client((host, int(port)), **options)


def more_files(wanted):
    """Lets this process and its children open `wanted` files; false if the machine does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
        except (ValueError, OSError):
            return False
    return True


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]
