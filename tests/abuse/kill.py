"""kill -9 of tallyd and of its clients at random moments under load; the same again until all is in; every row in exactly once.

usage: kill.py BINARIES [--rounds 300] [--seed S]

Two `tally ingest` of a file each and one client that keeps a ledger (tests/abuse/oracle.py) run against one server. A round lets them work for
a moment, then kills the server, one of the ingests, or both, and starts what was killed again with the same command. After each kill of the server
the ledger's mark must be right. When the rounds are over the ingests run to their end, the sums must be those of the input and the oracle holds."""
import os
import signal
import subprocess
import time

from batches import DAY, START
from common import Run, Server, Tool, connect, temporary
from oracle import Producer, Writer, judge

INGESTS = 2
BATCH_ROWS = "50"       # many acknowledgements to be killed between
ROWS_OF_A_ROUND = 1100  # of an ingest; when they are in, the ledger's client goes on
LEDGER = START - 200 * DAY  # the ledger's events are before those of the files
TOTALS = ("query", "--from", "2024-01-01", "--agg", "count,sum:tokens_used,sum:cost,sum:request_size,distinct:user_id,count:metadata")


class Load:
    """What runs against the server."""

    def __init__(self, run, server, files):
        self.run, self.server, self.files = run, server, files
        self.ledger, self.writer, self.wrong = Producer("ledger", start=LEDGER), None, []
        self.ingests = [self.start(i) for i in range(INGESTS)]

    def command(self, i):
        return ["ingest", "--producer", f"client-{i}", "--batch-rows", BATCH_ROWS, "--retry-for", "10s", self.files[i]]

    def start(self, i):
        tally = os.path.join(self.run.binaries, "tally")
        return subprocess.Popen([tally, "--server", self.server.address, *self.command(i)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def write(self):
        """The ledger's client, anew: what it found is within the oracle."""
        with connect(self.server) as connection:
            mark = connection.mark(self.ledger.name)[1]
        if not self.ledger.acknowledged <= mark <= self.ledger.sent:
            self.wrong.append(f"acknowledged {self.ledger.acknowledged}, recovered {mark}, sent {self.ledger.sent}")
        self.ledger.acknowledged = mark
        self.writer = Writer(connect(self.server), self.ledger, window=4)
        self.writer.start()

    def kill(self, what, i):
        if what in ("client", "both"):
            self.ingests[i].send_signal(signal.SIGKILL)
        if what in ("server", "both"):
            self.server.kill()
            self.wrong += self.writer.end()
            self.server.start()
            self.write()
        if what in ("client", "both"):
            self.ingests[i].wait()
        for k in range(INGESTS):  # what ended, for whatever reason, is run again; the others come back by themselves
            if self.ingests[k].poll() is not None:
                self.ingests[k] = self.start(k)

    def end(self, tool):
        self.wrong += self.writer.end()
        for i in range(INGESTS):
            self.ingests[i].wait()
            done = tool.run(*self.command(i))  # whatever it came to
            self.run.check(done.returncode == 0, f"ingest {i} ends: {done.stderr.decode()[-300:]}")


def main():
    run = Run("kill", rounds=300)
    with temporary() as folder:
        files = []
        for i in range(INGESTS):
            files.append(os.path.join(folder, f"{i}.csv"))
            with open(files[i], "wb") as f:
                subprocess.run([os.path.join(run.binaries, "tally"), "generate", "--rows", str(ROWS_OF_A_ROUND * run.rounds), "--users", "2000",
                                "--seed", str(i + 1)], stdout=f, check=True)
        truth = Tool(run.binaries, "--db", os.path.join(folder, "truth"))
        done = truth.run("ingest", *files)
        run.check(done.returncode == 0, f"the undisturbed ingest: {done.stderr.decode()[-300:]}")
        expected = truth.rows(*TOTALS)[0]

        server = Server(run.binaries, os.path.join(folder, "store")).start()
        load = Load(run, server, files)
        load.write()
        for _ in range(run.rounds):
            time.sleep(run.random.uniform(0, 0.12))
            load.kill(run.random.choice(["server", "server", "client", "both"]), run.random.randrange(INGESTS))
        tool = Tool(run.binaries, "--server", server.address)
        under_load = int(tool.rows(*TOTALS)[0][0])
        load.end(tool)
        run.check(under_load > 0 and load.ledger.acknowledged > run.rounds, "there was load up to the last kill")
        for when in ("in the end", "after a clean stop"):
            run.counter.equal(tool.rows(*TOTALS)[0], expected, f"{when}: every row in exactly once, sums equal")
            with connect(server) as connection:
                load.wrong += judge(connection, [load.ledger], until="2024-01-01")
            run.check(not load.wrong, f"{when}: the ledger: {'; '.join(load.wrong[:5])}")
            found = tool.run("verify")
            run.check(found.returncode == 0, f"{when}: verify: {found.stdout.decode()}{found.stderr.decode()}")
            run.check(server.stop() == 0, "tallyd stops")
            server.start()
        server.stop()
        print(f"{under_load} of {expected[0]} rows were in when the last kill was over, {load.ledger.acknowledged} batches of the ledger")
    run.end(run.rounds)


main()
