"""kill -9 of tallyd at random moments of each job on the store's files; then every row is in once, the job ends when it is run again, and no file is left over.

usage: jobs.py BINARIES [--rounds 10]       rounds of each job; seed: $TALLY_SEED
"""
import datetime
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
    return sum(len(glob.glob(os.path.join(directory, place, "*", "*.seg"))) for place in ("segments", "archive"))


def no_file_left(directory, tool):
    """As many segment files as segments. A merge in the background may be writing one: it is published in a moment, an orphan never is."""
    for _ in range(50):
        if segments(directory) == int(dict(tool.rows("stats"))["segments"]):
            return True
        time.sleep(0.1)
    return False


class Job:
    """Words of the job, and what holds of the store when it is done."""
    place = None

    def __init__(self, name, *words):
        self.name, self.words = name, words

    def prepare(self, tool):
        pass

    def totals(self, tool):
        """What the job changes at no moment."""
        return tool.rows(*TOTALS)

    def again(self, c, tool):
        done = tool.run(*self.words)
        c.equal(done.returncode, 0, f"{self.name}: run again: {done.stderr.decode()[-300:]}")

    def check_done(self, c, tool, before):
        pass


class Erase(Job):
    """Of the others every total stays all the time; of the user nothing is left in the end, or nothing under its id."""
    USER = "user_9e3779b1"  # the most frequent one of `tally generate`

    def totals(self, tool):
        return tool.rows(*TOTALS, "--where", f"user_id != {self.USER}")

    def again(self, c, tool):
        done = tool.run(*self.words)
        gone = done.returncode == 1 and b"not-found" in done.stderr  # it was done when it was killed
        c.check(done.returncode == 0 or gone, f"{self.name}: run again: {done.stderr.decode()[-300:]}")

    def check_done(self, c, tool, before):
        c.equal(tool.rows("query", "--where", f"user_id = {self.USER}"), [["0"]], f"{self.name}: rows of the user")
        check = tool.run("erase", "--check", self.USER)
        c.equal(check.returncode, 0, f"{self.name}: check: {check.stdout.decode()[:500]}")
        if self.name == "erase":
            c.equal(tool.rows(*TOTALS), before, "erase: totals when it is done")


class Pseudonymize(Erase):
    def totals(self, tool):  # every row is there; the metadata of the user's, and how many users there seem to be, may be on their way
        return tool.rows("query", "--agg", "count,sum:tokens_used,sum:cost,sum:request_size,min:timestamp,max:timestamp")


class Retention(Job):
    """What is younger than the oldest cut has its sums all the time. The store is of 2024-01 to 03: the ages are made for it."""
    SINCE = "2024-01-20"

    def __init__(self):
        super().__init__("retention", "retention", "apply")

    def prepare(self, tool):
        days = {day: (datetime.date.today() - datetime.date.fromisoformat(day)).days for day in ("2024-03-10", "2024-02-15", self.SINCE)}
        ages = [f"--{stage}={days[day]}d" for stage, day in zip(("archive", "thin", "drop"), ("2024-03-10", "2024-02-15", self.SINCE))]
        done = tool.run("retention", "set", *ages)
        assert done.returncode == 0, done.stderr

    def totals(self, tool):
        return tool.rows("query", "--from", self.SINCE, "--group-by", "service_name", "--agg", "count,sum:tokens_used,sum:cost,sum:request_size,max:duration_ms")

    def check_done(self, c, tool, before):
        c.equal(tool.rows("query", "--to", self.SINCE), [["0"]], "retention: rows before the cut")
        c.check(tool.run("events", "--from", "2024-02-01", "--to", "2024-02-02").returncode == 1, "retention: rows of a thinned day are gone")
        c.equal(tool.rows("retention", "apply"), [], "retention: nothing is left to do")


class Backup(Job):
    """The place is removed by nobody: the second run goes on with what the first one left."""
    def __init__(self, place):
        super().__init__("backup", "backup", place)
        self.place = place

    def check_done(self, c, tool, before):
        copy = Tool(os.path.dirname(tool.command[0]), "--db", self.place + ".store")
        shutil.rmtree(self.place + ".store", ignore_errors=True)
        done = copy.run("restore", self.place)
        c.equal(done.returncode, 0, f"backup: restore: {done.stderr.decode()[-300:]}")
        c.equal(self.totals(copy), before, "backup: totals of what it restores to")


JOBS = [Job("compact", "compact"), Erase("erase", "erase", Erase.USER), Pseudonymize("pseudonymize", "pseudonymize", Erase.USER),
        Retention()]


def kill_round(c, binaries, job, base, folder, before, delay):
    """True if the job was still at work when it was killed."""
    store = os.path.join(folder, "store")
    shutil.rmtree(store, ignore_errors=True)
    if job.place:
        shutil.rmtree(job.place, ignore_errors=True)
    shutil.copytree(base, store)
    server = Server(binaries, store).start()
    tool = Tool(binaries, "--server", server.address)
    work = subprocess.Popen([*tool.command, *job.words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    server.kill()
    cut = work.wait() != 0
    server.start()
    c.equal(job.totals(tool), before, f"{job.name}: totals after kill -9 after {delay * 1000:.0f} ms")
    job.again(c, tool)
    c.equal(job.totals(tool), before, f"{job.name}: totals when it is done")
    job.check_done(c, tool, before)
    c.check(no_file_left(store, tool), f"{job.name}: a file is left over: {segments(store)} segment files, {dict(tool.rows('stats'))['segments']} segments")
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
        for job in [*JOBS, Backup(os.path.join(folder, "backup"))]:
            copy = os.path.join(folder, "timed")
            shutil.copytree(base, copy)
            job.prepare(Tool(binaries, "--db", copy))
            shutil.rmtree(folder + "/prepared", ignore_errors=True)
            shutil.copytree(copy, folder + "/prepared")
            before = job.totals(Tool(binaries, "--db", copy))
            start = time.time()
            c.equal(Tool(binaries, "--db", copy).run(*job.words).returncode, 0, f"{job.name} undisturbed")
            took = time.time() - start
            shutil.rmtree(copy)
            if job.place:
                shutil.rmtree(job.place)
            cut = sum(kill_round(c, binaries, job, folder + "/prepared", folder, before, r.uniform(0, took)) for _ in range(rounds))
            print(f"{job.name}: {cut} of {rounds} rounds cut it off at work ({took * 1000:.0f} ms undisturbed)")
            c.check(cut >= rounds // 4, f"{job.name} was cut off often enough")
    print(f"{time.time() - began:.0f} s")
    c.end()


main()
