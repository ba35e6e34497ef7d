"""A server with --memory 128MiB in a group of processes that may have 256 MiB, under a mixed load with millions of distinct users and URLs:
it is not killed, and its memory and its open files stay level. (A segment's file is open as long as it is a segment: these are as many as there are segments.)

usage: small_memory.py BINARIES [--seconds 60] [--seed S]

Where this process may make no cgroup, the server's resident memory is watched instead, and a line says so. The catalog holds as many
texts as its share of the memory (docs/decisions/0003): beyond it appends with new texts are refused as memory-limit, and writers go on
with what is known. Every row that was acknowledged is counted in the end."""
import multiprocessing
import os
import time
from random import Random

from batches import DAY, START, batch
from common import Run, Server, connect, protocol, temporary
from places import Impossible, MemoryGroup

LIMIT = 256 << 20
MEMORY = 128  # MiB; an eighth more is granted to what no budget counts: stacks, connections, the allocator's gaps
ROWS = 2000
DEADLINE = 30_000  # ms: in ten minutes the store comes to have 70 million rows
REFUSALS = ("memory-limit", "busy", "snapshot-expired", "deadline")


def write(server, number, seed, stop, results):
    """Batches whose every row has a user and a URL that nobody had before, until the catalog is full; then of known ones."""
    random, rows, refused, fresh, offered, wrong = Random(f"{seed} writer {number}"), 0, 0, 0, 0, []
    try:
        with connect(server, timeout=60) as connection:
            while not stop.is_set():
                new = refused == 0 or random.random() < 0.5
                first = offered if new else random.randrange(0, max(1, fresh - ROWS))
                offered += ROWS if new else 0
                values = {"timestamp": [START + random.randrange(28) * DAY + i for i in range(ROWS)],
                          "user_id": [f"user-{number}-{first + i:012x}" for i in range(ROWS)],
                          "endpoint": [f"/v1/{number}/objects/{(first + i) * 2654435761 % 2**40:010x}/parts" for i in range(ROWS)],
                          "service_name": f"s{first % 7}", "tokens_used": 1, "cost": [i * 1000 for i in range(ROWS)], "metadata": f'{{"n":{first}}}'}
                try:
                    connection.append(batch(ROWS, **values), durability="os" if random.random() < 0.8 else "disk")
                    rows += ROWS
                    fresh = max(fresh, first + ROWS if not refused else 0)
                except protocol.Refused as e:
                    refused += 1
                    if e.name != "memory-limit":
                        wrong.append(str(e))
                        break
    except Exception as e:  # noqa: BLE001
        wrong.append(f"writer: {type(e).__name__}: {e}")
    results.put({"rows": rows, "texts": 2 * offered, "kept": 2 * fresh, "refused appends": refused, "wrong": wrong})


def ask(server, number, seed, stop, results):
    """Queries of every kind, also such as do not fit, or not into their time: who gets no answer within 60 s has found a hang. Some readers leave in the middle."""
    random, answers, refused, wrong = Random(f"{seed} reader {number}"), 0, 0, []
    try:
        while not stop.is_set():
            with connect(server, timeout=60) as connection:
                for _ in range(random.randint(1, 20)):
                    try:
                        what = random.randrange(6)
                        if what == 0:
                            connection.query(group_by="user_id", aggregates="count,sum:tokens_used,sum:cost", order_by="count desc", limit=10, timeout=DEADLINE)
                        elif what == 1:
                            connection.query(bucket="1d", group_by="service_name", aggregates="count,sum:tokens_used", timeout=DEADLINE)
                        elif what == 2:
                            connection.query(where=[f"user_id = user-0-{random.randrange(100000):012x}"], aggregates="count,max:cost", timeout=DEADLINE)
                        elif what == 3:
                            connection.query(aggregates="distinct:user_id,distinct:endpoint", timeout=DEADLINE)
                        elif what == 4:
                            connection.events(where=[f"user_id = user-0-{random.randrange(100000):012x}"], limit=100, timeout=DEADLINE)
                        else:
                            request = connection.send_events(order=random.choice(["none", None]), timeout=DEADLINE)
                            connection.wait_columns(request)
                            break  # hangs up with an answer under way
                        answers += 1
                    except protocol.Refused as e:
                        refused += 1
                        if e.name not in REFUSALS:
                            wrong.append(str(e))
                    if stop.is_set():
                        break
            time.sleep(0.02)
    except Exception as e:  # noqa: BLE001
        wrong.append(f"reader: {type(e).__name__}: {e}")
    results.put({"answers": answers, "refused queries": refused, "wrong": wrong})


def settle(server, stop, results):
    """Merges, one after the other: with rows coming in all the time each may take long."""
    merges, wrong = 0, []
    try:
        with connect(server, timeout=600) as connection:
            while not stop.is_set():
                try:
                    connection.job("compact")
                    merges += 1
                except protocol.Refused as e:
                    if e.name not in REFUSALS:
                        wrong.append(str(e))
                stop.wait(5)
    except Exception as e:  # noqa: BLE001
        wrong.append(f"compact: {type(e).__name__}: {e}")
    results.put({"compacted": merges, "wrong": wrong})


def level(values, granted):
    """Does the last third stay within what is granted anyway, or within a tenth (and a little) of the third before it?"""
    third = len(values) // 3
    before, last = values[third:2 * third], values[2 * third:]
    return max(last) <= max(granted, max(before) * 1.1 + 4)


def watch(server, seconds):
    """Resident MiB and open files that are no segments, once a half second; stops early when the server has ended."""
    memory, files, end = [], [], time.time() + seconds
    while time.time() < end and server.alive():
        try:
            memory.append(server.memory() >> 20)
            files.append(sum(not name.removesuffix(" (deleted)").endswith(".seg") for name in server.open_files()))
        except (OSError, AttributeError):
            break  # it has ended
        time.sleep(0.5)
    return memory, files


def total(results, name):
    return sum(result.get(name, 0) for result in results)


def load(run, server):
    context = multiprocessing.get_context("fork")
    stop, results = context.Event(), context.Queue()
    workers = [context.Process(target=write, args=(server, i, run.seed, stop, results), daemon=True) for i in range(2)]
    workers += [context.Process(target=ask, args=(server, i, run.seed, stop, results), daemon=True) for i in range(2)]
    workers.append(context.Process(target=settle, args=(server, stop, results), daemon=True))
    for worker in workers:
        worker.start()
    memory, files = watch(server, run.seconds)
    stop.set()
    told = [results.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join(30)
    return memory, files, told


def segments_at_rest(server, connection):
    """How many segments there are, and which of their files are open, where no merge was published in between."""
    for _ in range(30):
        before, held, after = connection.stats(), [name for name in server.open_files() if ".seg" in name], connection.stats()
        if before["segments"] == after["segments"] and before["merges"] == after["merges"]:
            break
    return int(after["segments"]), held


def judge(run, server, group):
    memory, files, told = load(run, server)
    if not run.check(server.alive(), f"tallyd lives: {server.log()[-500:]}"):
        return
    run.check(not group or group.kills() == 0, "the system killed nothing")
    run.check(max(memory) << 20 <= LIMIT, f"resident memory: {max(memory)} MiB")
    run.check(level(memory, MEMORY * 9 // 8), f"memory is level (MiB): {memory[::max(1, len(memory) // 20)]}")
    run.check(level(files, 0), f"open files are level: {files[::max(1, len(files) // 20)]}")
    wrong = sum((result["wrong"] for result in told), [])
    run.check(not wrong, f"the load: {wrong[:3]}")
    counts = {name: total(told, name) for name in ("rows", "texts", "kept", "refused appends", "answers", "refused queries", "compacted")}
    with connect(server, timeout=120) as connection:
        run.counter.equal(connection.query(aggregates="count,sum:tokens_used")[1][0], (str(counts["rows"]),) * 2, "rows that were acknowledged, and their tokens")
        connection.flush()
        segments, held = segments_at_rest(server, connection)
    run.check(abs(len(held) - segments) <= 4, f"{segments} segments, {len(held)} of their files are open")
    run.check(counts["texts"] >= 30000 * run.seconds, f"there were {counts['texts']} distinct texts")
    run.check(counts["answers"] > run.seconds, "there were queries")
    run.check(server.stop(120) == 0, f"tallyd stops: {server.log()[-500:]}")
    print(f"{counts}; memory {memory[0]} to {max(memory)} MiB, at the end {memory[-1]}; files beside segments at most {max(files)}"
          + (f"; the group at most {group.peak() >> 20} MiB with the page cache" if group else ""))


def main():
    run, group = Run("small_memory", seconds=60), None
    try:
        group = MemoryGroup(LIMIT)
        print(f"a cgroup of version {group.version} with {LIMIT >> 20} MiB", flush=True)
    except Impossible as why:
        print(f"note: {why}; the resident memory is watched instead", flush=True)
    with temporary() as folder:
        server = Server(run.binaries, os.path.join(folder, "store"), "--memory", f"{MEMORY}MiB", "--flush-age", "5s", before=group and group.enter).start()
        try:
            judge(run, server, group)
        finally:
            server.end()
            if group:
                group.remove()
    run.end(1)


main()
