#!/usr/bin/python3
"""Compares proto/zone.c with Python's zoneinfo module: every zone of the system, random instants from year 1 to 9999,
and both sides of both ends of each period that comes back.

usage: test_zones.py PATH/TO/zone_periods        the seed is printed; TALLY_SEED sets it
"""
import datetime
import os
import random
import subprocess
import sys
import time
import zoneinfo

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
FIRST = -62135596800 + 200000
LAST = 253402300799 - 200000
INSTANTS = 20


def reference(zone, at):
    return int((EPOCH + datetime.timedelta(seconds=at)).astimezone(zone).utcoffset().total_seconds())


def ask(program, questions):
    text = "".join(f"{name} {at}\n" for name, at in questions)
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]


def instant():
    return random.choice((random.randrange(-3 * 10**9, 6 * 10**9), random.randrange(0, LAST),
                          random.randrange(FIRST, LAST)))


def holds(zone, at, answer):
    code, offset, start, end = answer
    if code or not start <= at < end:
        return False
    inside = [t for t in (at, start, end - 1) if FIRST <= t <= LAST]
    outside = [t for t in (start - 1, end) if FIRST <= t <= LAST]
    return (all(reference(zone, t) == offset for t in inside)
            and all(reference(zone, t) != offset for t in outside))


def main():
    seed = int(os.environ.get("TALLY_SEED", time.time()))
    print(f"TALLY_SEED={seed}")
    random.seed(seed)
    names = sorted(zoneinfo.available_timezones())
    questions = [(name, instant()) for name in names for _ in range(INSTANTS)]
    failed = 0
    for (name, at), answer in zip(questions, ask(sys.argv[1], questions), strict=True):
        if not holds(zoneinfo.ZoneInfo(name), at, answer):
            failed += 1
            print(f"FAIL {name} at {at}: {answer}")
    print(f"{len(questions) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
