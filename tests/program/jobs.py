"""kill -9 of tallyd at random moments of each job on the store's files; then every row is in once, the job ends when it is run again, and no file is left over.

usage: jobs.py BINARIES [--rounds 10]       rounds of each job; seed: $TALLY_SEED
"""
import glob
import os
import random
import shutil
import subprocess
import sys
import time

from harness import Counter, Server, Tool, temporary

TOTALS = ("query", "--agg", "count,sum:tokens_used,sum:cost,sum:request_size,distinct:user_id,count:metadata,min:timestamp,max:timestamp")


def make_store(binaries, directory, folder):
    """A store of many overlapping segments: events of the same three months, flushed again and again."""
    tool = Tool(binaries, "--db", directory)
    for i in range(14):
        events = os.path.join(folder, f"{i}.csv")
        with open(events, "wb") as f:
            subprocess.run([os.path.join(binaries, "tally"), "generate", "--rows", "12000", "--users", "3000", "--seed", str(i + 1)], stdout=f, check=True)
        done = tool.run("ingest", "--producer", f"p{i}", events)
        assert done.returncode == 0, done.stderr
        os.unlink(events)


def segments(directory):
    return len(glob.glob(os.path.join(directory, "segments", "*", "*.seg")))


class Job:
    """Words of the job, and what holds of the store when it is done."""

    def __init__(self, name, *words):
        self.name, self.words = name, words

    def check_done(self, c, tool, before):
        c.equal(tool.rows(*TOTALS), before, f"{self.name}: totals when it is done")


JOBS = [Job("compact", "compact")]


def kill_round(c, binaries, job, base, folder, before, delay):
    """True if the job was still at work when it was killed."""
    store = os.path.join(folder, "store")
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(base, store)
    server = Server(binaries, store).start()
    tool = Tool(binaries, "--server", server.address)
    work = subprocess.Popen([*tool.command, *job.words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    server.kill()
    cut = work.wait() != 0
    server.start()
    c.equal(tool.rows(*TOTALS), before, f"{job.name}: totals after kill -9 after {delay * 1000:.0f} ms")
    done = tool.run(*job.words)
    c.equal(done.returncode, 0, f"{job.name}: run again: {done.stderr.decode()[-300:]}")
    job.check_done(c, tool, before)
    figures = dict(tool.rows("stats"))
    c.equal(segments(store), int(figures["segments"]), f"{job.name}: segment files and segments")
    found = tool.run("verify")
    c.equal(found.returncode, 0, f"{job.name}: verify: {found.stdout.decode()}{found.stderr.decode()}")
    c.equal(server.stop(), 0, "tallyd stops")
    return cut


def main():
    binaries, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
    rounds, seed = int(options.get("--rounds", 10)), os.environ.get("TALLY_SEED", "20240101")
    r, c, began = random.Random(seed), Counter(), time.time()
    print(f"jobs: TALLY_SEED={seed}, {rounds} rounds of each", flush=True)
    with temporary() as folder:
        base = os.path.join(folder, "base")
        make_store(binaries, base, folder)
        before = Tool(binaries, "--db", base).rows(*TOTALS)
        for job in JOBS:
            copy = os.path.join(folder, "timed")
            shutil.copytree(base, copy)
            start = time.time()
            c.equal(Tool(binaries, "--db", copy).run(*job.words).returncode, 0, f"{job.name} undisturbed")
            took = time.time() - start
            shutil.rmtree(copy)
            cut = sum(kill_round(c, binaries, job, base, folder, before, r.uniform(0, took)) for _ in range(rounds))
            print(f"{job.name}: {cut} of {rounds} rounds cut it off at work ({took * 1000:.0f} ms undisturbed)")
            c.check(cut >= rounds // 4, f"{job.name} was cut off often enough")
    print(f"{time.time() - began:.0f} s")
    c.end()


main()
