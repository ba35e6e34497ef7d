"""A proxy cuts connections before and after commit and acknowledgement; clients try again, while the server is killed, stopped, made to flush
and to compact. In the end every total is exact.

usage: cut.py BINARIES [--cases 2000] [--seed S]       a case is one cut (tests/abuse/proxy.py has their kinds)

Three kinds of clients retry in three ways: one asks for its mark and goes on behind it, one sends again all that it has no answer for,
one is `tally ingest`. What the proxy saw acknowledged must be in, whether the client learned of it or not."""
import collections
import os
import random
import subprocess
import threading
import time

from common import GONE, Run, Server, Tool, connect, protocol, temporary
from oracle import Producer, judge
from proxy import NAMES, Cut, Link

INGESTS, WRITERS = 2, 4
AGGREGATES = "count,sum:tokens_used,sum:cost,sum:request_size,distinct:user_id,count:metadata"


class Cases:
    """Gives cuts until there were enough of them."""

    def __init__(self, wanted, seed):
        self.wanted, self.random, self.lock = wanted, random.Random(f"{seed} cuts"), threading.Lock()
        self.counts = collections.Counter()

    def next(self):
        with self.lock:
            return Cut(self.random) if not self.enough() else None

    def done(self, cut):
        with self.lock:
            self.counts[cut.name] += 1

    def enough(self):
        return sum(self.counts.values()) >= self.wanted


class Retrier(threading.Thread):
    """A client that speaks through a link until all cases are done. `asks`: it asks for its mark after every cut."""

    def __init__(self, address, cases, number, seed):
        super().__init__(daemon=True)
        self.cases, self.asks = cases, number % 2 == 0
        self.producer = Producer(f"writer-{number}")
        self.random = random.Random(f"{seed} writer {number}")
        self.link = Link(address, cases.next, cases.done)
        self.wrong, self.refused = [], collections.Counter()

    def run(self):
        known = 0  # what the proxy saw acknowledged
        while not self.cases.enough():
            self.link.idle.clear()
            first = known
            try:
                with protocol.Client(self.link.address, timeout=20) as connection:
                    first = self.speak(connection, known)
            except protocol.Refused as refused:
                self.refused[refused.name] += 1
                if refused.name not in ("closed", "gap"):
                    self.wrong.append(f"{self.producer.name}: {refused}")
            except GONE:
                pass
            self.link.idle.wait(20)
            if not self.link.refused:
                known = max(known, self.first + self.link.acknowledged - 1, self.producer.acknowledged)
        self.producer.acknowledged = max(known, self.producer.acknowledged)

    first = 1

    def speak(self, connection, known):
        producer = self.producer
        self.first = producer.acknowledged + 1
        if self.asks:
            mark = connection.mark(producer.name)[1]
            if not max(known, producer.acknowledged) <= mark <= producer.sent:
                self.wrong.append(f"{producer.name}: acknowledged {known}, the mark is {mark}, sent {producer.sent}")
            self.first = mark + 1
        last = max(producer.sent, self.first + self.random.randint(6, 12))
        requests = [(producer.send(connection, sequence), sequence) for sequence in range(self.first, last + 1)]
        for request, sequence in requests:
            self.wrong += producer.take(connection, request, sequence)
        return self.first


class Ingest(threading.Thread):
    """`tally ingest` of a file through a link; run again whenever it gives up, until its file is in."""

    def __init__(self, binaries, address, cases, path, number):
        super().__init__(daemon=True)
        self.link = Link(address, cases.next, cases.done)
        self.command = [os.path.join(binaries, "tally"), "ingest", "--server", "%s:%d" % self.link.address, "--producer", f"ingest-{number}",
                        "--batch-rows", "32", "--retry-for", "20s", "--quiet", path]
        self.runs, self.error = 0, ""

    def run(self):
        while self.runs < 50:
            self.runs += 1
            done = subprocess.run(self.command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            self.error = done.stderr[-300:]
            if not done.returncode:
                return


def disturb(server, random, counts):
    """One of the things that must change no total."""
    what = random.choice(["kill", "stop", "flush", "compact", "compact"])
    counts[what] += 1
    if what == "kill":
        server.kill()
        server.start()
    elif what == "stop":
        code = server.stop()
        server.start()
        return [] if code == 0 else [f"tallyd stopped with {code}"]
    else:
        with connect(server) as connection:
            connection.flush() if what == "flush" else connection.job("compact")
    return []


def load(run, server, folder, files):
    cases = Cases(run.cases, run.seed)
    address = ("127.0.0.1", server.port)
    writers = [Retrier(address, cases, i, run.seed) for i in range(WRITERS)]
    ingests = [Ingest(run.binaries, address, cases, path, i) for i, path in enumerate(files)]
    disturbances, wrong = collections.Counter(), []
    for thread in writers + ingests:
        thread.start()
    last = time.time() + 60 + run.cases / 5
    while not cases.enough() and time.time() < last:
        time.sleep(run.random.uniform(0.02, 0.2))
        wrong += disturb(server, run.random, disturbances)
    for thread in writers + ingests:
        thread.join(120)
        wrong += [f"{thread} hangs"] if thread.is_alive() else []
    for writer in writers:
        wrong += writer.wrong
        writer.link.close()
    for ingest in ingests:
        ingest.link.close()
        wrong += [f"tally ingest: {ingest.error}"] if ingest.runs >= 50 else []
    return cases, writers, wrong, disturbances


def by_service(rows):
    return {row[0]: list(row[1:]) for row in rows}


def main():
    run = Run("cut", cases=2000)
    with temporary() as folder:
        files = [os.path.join(folder, f"{i}.csv") for i in range(INGESTS)]
        for i, path in enumerate(files):
            with open(path, "wb") as f:
                rows = str(min(2000000, 60 * run.cases))
                subprocess.run([os.path.join(run.binaries, "tally"), "generate", "--rows", rows, "--users", "500", "--seed", str(i + 1)], stdout=f, check=True)
        truth = Tool(run.binaries, "--db", os.path.join(folder, "truth"))
        run.check(truth.run("ingest", *files).returncode == 0, "the undisturbed ingest")
        expected = by_service(truth.rows("query", "--group-by", "service_name", "--agg", AGGREGATES))

        server = Server(run.binaries, os.path.join(folder, "store"), "--flush-age", "1s").start()
        cases, writers, wrong, disturbances = load(run, server, folder, files)
        for name in NAMES:
            run.check(cases.counts[name] > 0, f"cuts: {name}")
        run.check(not wrong, f"while it went on: {'; '.join(wrong[:8])}")
        for when in ("in the end", "after a restart"):
            with connect(server) as connection:
                got = by_service(connection.query(group_by="service_name", aggregates=AGGREGATES)[1])
                run.counter.equal({name: got.get(name) for name in expected}, expected, f"{when}: what tally ingest brought")
                wrong = judge(connection, [writer.producer for writer in writers], beside=expected)
                run.check(not wrong, f"{when}: {'; '.join(wrong[:8])}")
                run.check(not connection.verify(), f"{when}: verify")
            run.check(server.stop() == 0, "tallyd stops")
            server.start()
        server.stop()
        duplicates = sum(writer.producer.duplicates for writer in writers)
        run.check(duplicates > 0, "some batches were sent twice")
        print(f"cuts: {dict(cases.counts)}; {dict(disturbances)}; {sum(w.producer.acknowledged for w in writers)} batches of the writers in, "
              f"{duplicates} answered as duplicates")
        run.end(sum(cases.counts.values()))


main()
