"""Backup and restore through the binaries: beside ingest, again and again, over kill -9 of the server, into a restored store where a producer
goes on; a damaged segment of a running server is refused, left out and put back.

usage: backup.py BINARIES [--rounds N]         seed: $TALLY_SEED
"""
import glob
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time

from harness import Counter, Server, Tool, temporary

ROWS = 400  # of a batch


def csv(path, rows):
    with open(path, "w") as f:
        f.write("timestamp,user_id,service_name,cost,metadata\n")
        for i in range(rows):
            f.write(f'2024-{1 + i // 7 % 3:02d}-{1 + i % 28:02d}T10:00:00Z,user{i % 50},svc{i % 4},0.0{i % 97:02d},"{{""n"":{i}}}"\n')


def figures(done):
    return dict(line.split("\t") for line in done.stdout.decode().splitlines()[1:])


def check_restored(c, binaries, folder, source, what, least):
    """Restores a backup: it verifies, has whole batches of one producer from the first one on, and at least `least` rows."""
    restored = os.path.join(folder, "restored")
    done = Tool(binaries, "--db", restored).run("restore", source)
    if not c.equal(done.returncode, 0, f"{what}: restore: {done.stderr.decode()[-300:]}"):
        return 0
    tool = Tool(binaries, "--db", restored)
    done = tool.run("verify")
    c.equal(done.returncode, 0, f"{what}: verify: {done.stdout.decode()[-300:]}")
    rows, low, high, distinct = (int(x or 0) for x in tool.rows("query", "--agg", "count,min:metadata.n,max:metadata.n,distinct:metadata.n")[0])
    c.check(rows >= least and rows % ROWS == 0 and (rows == 0 or (low, high, distinct) == (0, rows - 1, rows)), f"{what}: {rows} rows, n {low} to {high}")
    return rows


def beside_ingest(c, binaries, folder, rounds, r):
    store, backup, data = (os.path.join(folder, n) for n in ("store", "backup", "a.csv"))
    total = 200 * ROWS
    csv(data, total)
    server = Server(binaries, store).start()
    tool = Tool(binaries, "--server", server.address)
    ingest = subprocess.Popen([os.path.join(binaries, "tally"), "--server", server.address, "--quiet", "ingest", "--producer", "p", "--batch-rows", str(ROWS),
                               "--retry-for", "60s", data], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    kept = linked = 0
    for n in range(rounds):
        time.sleep(r.random() * 0.3)
        if n % 2:
            tool.run("flush")
        before = int(tool.rows("query")[0][0])
        if n % 3 == 2:  # the server dies while it makes the backup
            killer = threading.Timer(r.random() * 0.03, server.kill)
            killer.start()
            tool.run("backup", backup)
            killer.join()
            server.start()
            if not glob.glob(os.path.join(backup, "MANIFEST-*")):
                continue
            check_restored(c, binaries, folder, backup, f"round {n}, killed", 0)
            shutil.rmtree(os.path.join(folder, "restored"))
        done = tool.run("backup", backup)
        if c.equal(done.returncode, 0, f"round {n}: backup: {done.stderr.decode()[-300:]}"):
            f = figures(done)
            kept, linked = kept + int(f["files_kept"]), linked + int(f["files_linked"])
            rows = check_restored(c, binaries, folder, backup, f"round {n}", before)
            c.equal(int(f["events"]), rows, f"round {n}: the report's events")
            shutil.rmtree(os.path.join(folder, "restored"))
    c.equal(ingest.wait(120), 0, "the ingest ends")
    ingest.stderr.close()
    c.check(kept > 0 and linked > 0, f"segments are kept ({kept}) and linked ({linked})")
    c.equal(tool.run("backup", backup).returncode, 0, "the last backup")
    server.kill()
    rows = check_restored(c, binaries, folder, backup, "after all", total)
    restored = Tool(binaries, "--db", os.path.join(folder, "restored"))
    done = restored.run("ingest", "--producer", "p", "--batch-rows", str(ROWS), data)
    c.check(done.returncode == 0 and b"ingested 0 rows" in done.stderr, f"exactly once after a restore: {done.stderr.decode()}")
    c.equal(int(restored.rows("query")[0][0]), rows, "no row twice")


def refusals(c, binaries, folder):
    store, data = (os.path.join(folder, n) for n in ("store", "a.csv"))
    csv(data, 3 * ROWS)
    tool = Tool(binaries, "--db", store)
    c.equal(tool.run("ingest", data).returncode, 0, "ingest")
    backup = os.path.join(folder, "backup")
    for target, word in ((store, "in use"), (os.path.join(store, "segments", "b"), "inside a store"), (folder, "other files")):
        done = tool.run("backup", target)
        c.check(done.returncode in (1, 2) and word in done.stderr.decode(), f"backup into {target}: {done.returncode} {done.stderr.decode()}")
    c.equal(tool.run("backup", backup).returncode, 0, "backup")
    c.equal(Tool(binaries, "--db", os.path.join(folder, "empty")).run("restore", folder).returncode, 1, "no backup there")
    c.check(not os.path.exists(os.path.join(folder, "empty")), "nothing is made")
    c.equal(Tool(binaries, "--db", store).run("restore", backup).returncode, 2, "a store is there")
    segment = sorted(glob.glob(os.path.join(backup, "segments/*/*")))[0]
    sound = open(segment, "rb").read()
    os.unlink(segment)
    open(segment, "wb").write(sound[:1000] + bytes([sound[1000] ^ 4]) + sound[1001:])
    done = Tool(binaries, "--db", os.path.join(folder, "r")).run("restore", backup)
    c.check(done.returncode == 1 and os.path.basename(segment) in done.stderr.decode(), f"a damaged backup is refused: {done.stderr.decode()}")
    c.check(not os.path.exists(os.path.join(folder, "r")), "nothing is left")


def damage_online(c, binaries, folder):
    """A segment of a running server is damaged and put back from the backup, without a restart."""
    store, backup, data = (os.path.join(folder, n) for n in ("store", "backup", "a.csv"))
    csv(data, 30 * ROWS)
    server = Server(binaries, store).start()
    tool = Tool(binaries, "--server", server.address)
    c.equal(tool.run("ingest", data).returncode, 0, "ingest")
    c.equal(tool.run("flush").returncode, 0, "flush")
    c.equal(tool.run("backup", backup).returncode, 0, "backup")
    march = tool.rows("query", "--from", "2024-03-01")
    segment = sorted(glob.glob(os.path.join(store, "segments/2024-02/*")))[0]
    name = os.path.relpath(segment, store)
    data = bytearray(open(segment, "rb").read())
    for i in range(20, len(data) * 3 // 4, 9):
        data[i] ^= 1
    os.unlink(segment)  # the backup's file is the same one
    open(segment, "wb").write(data)
    done = tool.run("verify", "--format", "tsv")
    c.check(done.returncode == 1 and name in done.stdout.decode(), f"verify names it: {done.stdout.decode()[:300]}")
    done = tool.run("query")
    c.check(done.returncode == 1 and name in done.stderr.decode(), f"a query is refused by its name: {done.stderr.decode()}")
    c.equal(tool.rows("query", "--from", "2024-03-01"), march, "others go on")
    done = tool.run("query", "--partial", "--format", "tsv")
    lost = re.search(rb"1 damaged segment with (\d+) rows", done.stderr)
    c.check(done.returncode == 0 and lost and int(done.stdout.split()[1]) == 30 * ROWS - int(lost.group(1)), f"--partial is marked: {done.stderr.decode()}")
    done = tool.run("events", "--partial", "--limit", "3")
    c.check(done.returncode == 0 and b"partial" in done.stderr, "events --partial too")
    c.equal(figures(tool.run("stats", "--format", "tsv"))["segments_quarantined"], "1", "stats")
    done = tool.run("backup", backup)
    c.check(done.returncode == 1 and name in done.stderr.decode(), f"no backup without it: {done.stderr.decode()}")
    shutil.copy(os.path.join(backup, name), segment)
    c.equal(tool.run("verify").returncode, 0, "put back, it is whole")
    c.equal(int(tool.rows("query")[0][0]), 30 * ROWS, "and every row is there")
    c.equal(tool.run("backup", backup).returncode, 0, "and is backed up again")
    c.equal(server.stop(), 0, "tallyd stops")


def main():
    binaries, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
    seed, c = os.environ.get("TALLY_SEED", "20240101"), Counter()
    print(f"backup: TALLY_SEED={seed}", flush=True)
    with temporary() as folder:
        beside_ingest(c, binaries, folder, int(options.get("--rounds", 12)), random.Random(seed))
    for test in (refusals, damage_online):
        with temporary() as folder:
            test(c, binaries, folder)
    c.end()


main()
