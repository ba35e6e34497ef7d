"""kill -9 of tallyd and of tally ingest at random moments under load; the same command again until it ends; every row in exactly once.

usage: kill.py BINARIES [--rounds 200]       seed: $TALLY_SEED

Several ingests run against one server. A round lets them work for a moment, then kills the server, one of the ingests, or both, and
starts what was killed again with the same command. When the rounds are over, the ingests run to their end and the sums must be those of the input.
"""
import os
import random
import signal
import subprocess
import sys
import time

from harness import Counter, Server, Tool, temporary

CLIENTS = 2
BATCH_ROWS = "50"
ROWS_OF_A_ROUND = 1600  # of a client; more than go in between two kills


def totals(tool):
    return tool.rows("query", "--agg", "count,sum:tokens_used,sum:cost,sum:request_size,distinct:user_id,count:metadata")[0]


def main():
    binaries, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
    rounds, seed = int(options.get("--rounds", 200)), os.environ.get("TALLY_SEED", "20240101")
    r, c, began = random.Random(seed), Counter(), time.time()
    print(f"kill: TALLY_SEED={seed}, {rounds} rounds", flush=True)
    with temporary() as folder:
        files = []
        for i in range(CLIENTS):
            files.append(os.path.join(folder, f"{i}.csv"))
            with open(files[i], "wb") as f:
                subprocess.run([os.path.join(binaries, "tally"), "generate", "--rows", str(ROWS_OF_A_ROUND * rounds), "--users", "2000", "--seed", str(i + 1)],
                               stdout=f, check=True)
        truth = Tool(binaries, "--db", os.path.join(folder, "truth"))
        done = truth.run("ingest", *files)
        c.equal(done.returncode, 0, f"the undisturbed ingest: {done.stderr.decode()[-300:]}")
        expected = totals(truth)

        server = Server(binaries, os.path.join(folder, "store")).start()

        def start(i):
            # Small batches: many acknowledgements to be killed between.
            return subprocess.Popen([os.path.join(binaries, "tally"), "ingest", "--server", server.address, "--producer", f"client-{i}",
                                     "--batch-rows", BATCH_ROWS, "--retry-for", "10s", "--quiet", files[i]],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        clients = [start(i) for i in range(CLIENTS)]
        kills = 0
        for n in range(rounds):
            time.sleep(r.uniform(0, 0.12))
            what = r.choice(["server", "server", "client", "both"])
            i = r.randrange(CLIENTS)
            if what in ("client", "both"):
                clients[i].send_signal(signal.SIGKILL)
            if what in ("server", "both"):
                server.kill()
                server.start()
            kills += 1
            if what in ("client", "both"):
                clients[i].wait()
            for k in range(CLIENTS):  # what ended, for whatever reason, is run again: the same command; the others come back by themselves
                if clients[k].poll() is not None:
                    clients[k].stderr.close()
                    clients[k] = start(k)
        c.equal(kills, rounds, "kills")
        tool = Tool(binaries, "--server", server.address)
        under_load = int(tool.rows("query")[0][0])
        for k in range(CLIENTS):
            error = clients[k].stderr.read().decode()
            clients[k].wait()
            if clients[k].returncode:
                done = tool.run("ingest", "--producer", f"client-{k}", "--batch-rows", BATCH_ROWS, files[k])
                error = done.stderr.decode()
                c.equal(done.returncode, 0, f"client {k} ends: {error[-300:]}")
        c.equal(totals(tool), expected, "every row in exactly once, sums equal")
        found = tool.run("verify")
        c.equal(found.returncode, 0, f"verify: {found.stdout.decode()}{found.stderr.decode()}")
        c.equal(server.stop(), 0, "tallyd stops")
        server.start()
        tool = Tool(binaries, "--server", server.address)
        c.equal(totals(tool), expected, "the same after a clean stop")
        server.stop()
        print(f"{kills} kills, {under_load} rows were in when the last one was over, {time.time() - began:.0f} s")
        c.check(0 < under_load < int(expected[0]), f"there was load up to the last kill: {under_load} of {expected[0]} rows were in")
        print(f"cases: {kills}")
    c.end()


main()
