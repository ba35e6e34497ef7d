"""Results step by step, each in a file of its own, so that a comparison that was cut off goes on where it stopped."""
import hashlib
import json
import os
import sys
import time

import measure


class Paused(Exception):
    """The time that this call was given is over; what is done is kept."""


class Steps:
    def __init__(self, folder, seconds=None):
        self.folder, self.ends = folder, time.monotonic() + seconds if seconds else None

    def path(self, key):
        return os.path.join(self.folder, key + ".json")

    def done(self, key):
        return os.path.exists(self.path(key))

    def read(self, key):
        with open(self.path(key)) as f:
            return json.load(f)["result"]

    def forget(self, key):
        if self.done(key):
            os.unlink(self.path(key))

    def run(self, key, call):
        """The result of a step: what was kept, or what `call` gives, which is kept once it is there."""
        if self.done(key):
            return self.read(key)
        if self.ends and time.monotonic() >= self.ends:
            raise Paused(key)
        print(f"{time.strftime('%H:%M:%S')} {key}", end="", file=sys.stderr, flush=True)
        busy, start = measure.busy_cores(), time.monotonic()
        kept = {"result": call(), "busy_before": round(busy, 2), "at": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), "took_seconds": round(time.monotonic() - start, 3)}
        print(f"  {kept['took_seconds']:.1f} s", file=sys.stderr, flush=True)
        os.makedirs(os.path.dirname(self.path(key)), exist_ok=True)
        with open(self.path(key) + ".part", "w") as f:
            json.dump(kept, f, indent=1)
        os.replace(self.path(key) + ".part", self.path(key))
        return kept["result"]

    def everything(self):
        """{key: {"result", "busy_before", "at", "took_seconds"}} of all steps that are done."""
        out = {}
        for place, _, names in os.walk(self.folder):
            for name in names:
                if name.endswith(".json"):
                    path = os.path.join(place, name)
                    with open(path) as f:
                        out[os.path.relpath(path, self.folder)[:-len(".json")]] = json.load(f)
        return out


def hash_of(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()
