"""Damaged files, a full disk, a directory one may not write, a second process: each gets an error that says what, where and what to do; nothing
acknowledged is lost, nothing crashes, and no answer is silently smaller.

usage: damage.py BINARIES [--flips N]         seed: $TALLY_SEED      run it with sanitized binaries
"""
import glob
import os
import random
import re
import shutil
import subprocess
import sys

from harness import Counter, Server, Tool, temporary

HEADER = "timestamp,user_id,service_name,endpoint,method,request_size,response_size,duration_ms,status_code,tokens_used,cost,metadata\n"


def event(i):
    day, second = i % 50, i % 60
    return (f'2024-{1 + day // 28:02d}-{1 + day % 28:02d}T10:00:{second:02d}Z,user{i % 7},svc{i % 3},/v1/{i % 11},GET,{i},{i * 2},{i % 90},200,{i % 500},'
            f'0.{i % 9999:04d},"{{""n"":{i}}}"\n')


def answer(tool):
    return tool.run("query", "--group-by", "service_name", "--agg", "count,sum:cost,sum:tokens_used,sum:metadata.n,distinct:endpoint", "--no-rollups",
                    "--format", "tsv")


def sane(c, done, what, *words):
    """A failure as the contract wants it: exit status 1 or 2, a sentence, no sanitizer report, no signal."""
    error = done.stderr.decode(errors="replace")
    ok = done.returncode in (1, 2) and error.strip() and "Sanitizer" not in error and "runtime error" not in error
    c.check(ok and all(w in error for w in words), f"{what}: exit {done.returncode}, {error[-400:]!r} (expected words {words})")


def make_store(binaries, folder, wal):
    """A store with segments of two months and, where asked, records in the WAL (its server is killed)."""
    store, csv = os.path.join(folder, "store"), os.path.join(folder, "a.csv")
    with open(csv, "w") as f:
        f.write(HEADER + "".join(event(i) for i in range(3000)))
    if not wal:
        assert Tool(binaries, "--db", store).run("ingest", csv).returncode == 0
        return store
    server = Server(binaries, store).start()
    tool = Tool(binaries, "--server", server.address)
    assert tool.run("ingest", csv).returncode == 0
    assert tool.run("flush").returncode == 0
    assert tool.run("ingest", "--batch-rows", "300", csv).returncode == 0
    server.kill()
    return store


def damaged_segment(c, tool, path, done, whole, what):
    """A store with a damaged segment opens. What needs that segment is refused with its name, or answered without it and marked; the other
    month is answered as ever; nothing is silently smaller."""
    month = path.split("/")[1]
    other = ["--from", "2024-02-01"] if month == "2024-01" else ["--to", "2024-02-01"]
    if done.returncode:
        sane(c, done, what, os.path.basename(path))
    else:
        c.check(done.stdout == whole.stdout, f"{what}: an answer that differs")
    rest = tool.run("query", "--no-rollups", *other, "--format", "tsv")
    c.check(rest.returncode == 0, f"{what}: the other month goes on: {rest.stderr.decode()[-300:]}")
    total = sum(int(line.split(b"\t")[1]) for line in whole.stdout.splitlines()[1:])
    partial = tool.run("query", "--no-rollups", "--partial", "--agg", "count,sum:metadata.n,distinct:user_id,distinct:endpoint,count:cost", "--format", "tsv")
    c.check(partial.returncode == 0, f"{what}: --partial answers: {partial.stderr.decode()[-300:]}")
    if partial.returncode == 0:
        count, marked = int(partial.stdout.split(b"\n")[1].split()[0]), re.search(rb"is partial: 1 damaged segment with (\d+) rows", partial.stderr)
        c.check(count == total - (int(marked.group(1)) if marked else 0), f"{what}: --partial has {count} of {total} rows, {partial.stderr.decode()!r}")
    found = tool.run("verify", "--format", "tsv")
    c.check(found.returncode == 1 and os.path.basename(path) in found.stdout.decode(), f"{what}: verify names it")


def flip_files(c, r, binaries, folder, wal, flips):
    store = make_store(binaries, folder, wal)
    sound = os.path.join(folder, "sound")
    shutil.copytree(store, sound)
    whole = answer(Tool(binaries, "--db", store))
    c.equal(whole.returncode, 0, f"the sound store answers: {whole.stderr.decode()}")
    shutil.rmtree(store)
    files = [os.path.relpath(p, sound) for kind in ("MANIFEST-*", "catalog", "wal/*", "segments/*/*") for p in sorted(glob.glob(os.path.join(sound, kind)))]
    kinds = {p.split("/")[0].split("-")[0] for p in files}
    c.check(kinds >= ({"MANIFEST", "catalog", "segments"} | ({"wal"} if wal else set())), f"every kind of file is there: {kinds}")
    for path in files:
        size = os.path.getsize(os.path.join(sound, path))
        for n in range(flips):
            broken = os.path.join(folder, "broken")
            shutil.copytree(sound, broken)
            target = os.path.join(broken, path)
            data = bytearray(open(target, "rb").read())
            kind = "cut" if n % 4 == 3 else "flip"
            at = r.randrange(size)
            if kind == "cut":
                del data[at:]
            else:
                data[at] ^= 1 << r.randrange(8)
            open(target, "wb").write(data)
            tool = Tool(binaries, "--db", broken)
            done = answer(tool)
            what = f"{path}: {kind} at {at} of {size}"
            if path.startswith("segments/"):
                damaged_segment(c, tool, path, done, whole, what)
            if done.returncode == 0:
                same = done.stdout == whole.stdout
                # The end of a log that was not closed may read as a torn tail: then it is reported.
                if not same and wal and path.startswith("wal/"):
                    stats = Tool(binaries, "--db", broken).run("stats", "--format", "tsv").stdout.decode()
                    torn = glob.glob(os.path.join(broken, "wal", "*.torn"))
                    same = bool(torn) or "torn" in stats
                c.check(same, f"{what}: an answer that differs")
            else:
                sane(c, done, what)
            shutil.rmtree(broken)
    shutil.rmtree(sound)


def verify_names_damage(c, binaries, folder):
    store = make_store(binaries, folder, False)
    tool = Tool(binaries, "--db", store)
    c.equal(tool.run("verify").returncode, 0, "verify of a sound store")
    segment = sorted(glob.glob(os.path.join(store, "segments/*/*")))[0]
    data = bytearray(open(segment, "rb").read())
    data[len(data) // 4] ^= 1
    open(segment, "wb").write(data)
    done = tool.run("verify", "--format", "tsv")
    c.equal(done.returncode, 1, "verify of a damaged store")
    c.check(os.path.basename(segment) in done.stdout.decode(), f"verify names the file: {done.stdout.decode()!r}")


FULL_ROWS = 1000000  # their segments alone are more than the disk of full_disk


def full_disk(c, binaries, folder):
    mount = os.path.join(folder, "small")
    os.mkdir(mount)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", mount], capture_output=True).returncode:
        print("skipped: a full disk (no right to mount a tmpfs here)")
        return
    try:
        big = os.path.join(folder, "big.csv")
        with open(big, "wb") as f:
            subprocess.run([os.path.join(binaries, "tally"), "generate", "--rows", str(FULL_ROWS)], stdout=f, check=True)
        server = Server(binaries, os.path.join(mount, "store")).start()
        tool = Tool(binaries, "--server", server.address)
        done = tool.run("ingest", "--producer", "p", "--retry-for", "0s", big)
        sane(c, done, "ingest into a full disk", "space")
        before = int(tool.rows("query")[0][0])
        c.check(0 < before < FULL_ROWS, f"reads go on, {before} rows are in")
        sane(c, tool.run("ingest", "--producer", "p", "--retry-for", "0s", big), "again while it is full", "space")
        after = int(tool.rows("query")[0][0])  # a flush gives the WAL's space back: a batch more may fit
        c.check(before <= after < FULL_ROWS, f"nothing is lost: {before} rows, then {after}")
        subprocess.run(["mount", "-o", "remount,size=200m", mount], check=True)
        done = tool.run("ingest", "--producer", "p", big)
        c.equal(done.returncode, 0, f"writes resume when space returns, without a restart: {done.stderr.decode()[-300:]}")
        c.equal(int(tool.rows("query")[0][0]), FULL_ROWS, "every row once")
        c.equal(server.stop(), 0, "tallyd stops")
    finally:
        subprocess.run(["umount", mount], check=False)


def places(c, binaries, folder):
    csv = os.path.join(folder, "b.csv")
    with open(csv, "w") as f:
        f.write(HEADER + event(1))
    sane(c, Tool(binaries, "--db", "/proc/nothing/store").run("ingest", csv), "a directory that cannot be made", "/proc/nothing/store")
    sane(c, Tool(binaries, "--db", csv).run("ingest", csv), "a file in place of the directory", csv)
    sane(c, Tool(binaries, "--db", os.path.join(folder, "absent")).run("query"), "a store that is not there", "absent")
    sane(c, Tool(binaries, "--server", "127.0.0.1:1").run("query"), "a server that is not there", "127.0.0.1:1")
    strange = os.path.join(folder, "strange")
    os.mkdir(strange)
    open(os.path.join(strange, "file"), "w").close()
    sane(c, Tool(binaries, "--db", strange).run("ingest", csv), "a directory with other files", strange)
    server = Server(binaries, os.path.join(folder, "owned")).start()
    done = Tool(binaries, "--db", os.path.join(folder, "owned")).run("query")
    sane(c, done, "a second process on a store", str(server.process.pid))
    server.stop()


def main():
    binaries, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
    seed, c = os.environ.get("TALLY_SEED", "20240101"), Counter()
    r = random.Random(seed)
    print(f"damage: TALLY_SEED={seed}", flush=True)
    for wal in (False, True):
        with temporary() as folder:
            flip_files(c, r, binaries, folder, wal, int(options.get("--flips", 40)))
    for test in (verify_names_damage, full_disk, places):
        with temporary() as folder:
            test(c, binaries, folder)
    c.end()


main()
