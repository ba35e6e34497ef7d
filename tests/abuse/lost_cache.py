"""A real file system loses its cache under a loaded server, again and again; after each time the oracle holds (tests/abuse/oracle.py).

usage: lost_cache.py BINARIES [--rounds 50] [--seed S]      rounds of each file system

ext4 and XFS on loop devices are shut down by ioctl without writing their log: what was not synced is lost, with directory entries, as in
a power cut. Writers, a reader, flushes and compactions go on for a moment after it, so that a false acknowledgement would be seen: what
was sent after the ioctl must not be acknowledged. What was acknowledged before it must be there. Between the two, no program can tell: a
fdatasync that is under way during the ioctl may return 0 though its data is lost (seen with a program of ten lines that only writes and
syncs: 7 of 60 times on ext4, once on XFS, Linux 6.18). A power cut has no such moment: it leaves nobody to be told."""
import os
import threading
import time
from random import Random

from common import GONE, Run, Server, connect, protocol, temporary
from oracle import Producer, Writer, judge
from places import Impossible, LoopDisk, own_mounts

KINDS = ("ext4", "xfs")
PRODUCERS = 3


def keep_up(connection, random, stopping):
    """Flushes, compactions and queries until the connection is lost."""
    try:
        while not stopping.is_set():
            what = random.choice(["flush", "compact", "query", "query"])
            try:
                if what == "flush":
                    connection.flush()
                elif what == "compact":
                    connection.job("compact")
                else:
                    connection.query(group_by="service_name")
            except protocol.Refused:
                pass  # the disk is gone
            stopping.wait(random.uniform(0, 0.05))
    except GONE:
        pass
    finally:
        connection.close()


def load(run, server, disk, producers):
    """One life of the server: load, the loss of the cache, a little more load, the kill."""
    stopping = threading.Event()
    writers = [Writer(connect(server), producer, pause=0.002) for producer in producers]
    random = Random(run.random.random())
    keeper = threading.Thread(target=keep_up, args=(connect(server), random, stopping), daemon=True)
    for thread in (*writers, keeper):
        thread.start()
    time.sleep(run.random.uniform(0.02, 0.3))
    certain = [producer.acknowledged for producer in producers]
    disk.lose_cache()
    possible = [producer.sent for producer in producers]
    time.sleep(run.random.choice([0, 0.01, 0.05]))
    server.kill()
    stopping.set()
    wrong = sum((writer.end() for writer in writers), [])
    keeper.join(60)
    for producer, at_least, at_most in zip(producers, certain, possible):
        if producer.acknowledged > at_most:
            wrong.append(f"{producer.name}: {producer.acknowledged} is acknowledged, sent when the disk was gone (from {at_most + 1} on)")
        producer.acknowledged = at_least
    return wrong


def rounds_on(run, folder, kind):
    disk = LoopDisk(folder, kind, 512 << 20)
    server = Server(run.binaries, os.path.join(disk.place, "store"), "--flush-age", "1s")
    producers = [Producer(f"{kind}-{i}") for i in range(PRODUCERS)]
    torn = 0
    try:
        server.start()
        for n in range(run.rounds):
            wrong = load(run, server, disk, producers)
            sent = [producer.sent for producer in producers]
            disk.unmount()
            disk.mount()
            server.start()
            with connect(server) as connection:
                wrong += judge(connection, producers)
                if "set aside" in str(connection.stats().get("recovery")):
                    torn += 1
                for producer, was in zip(producers, sent):  # repeats of what is in change nothing
                    for sequence in range(max(1, producer.acknowledged - 2), producer.acknowledged + 1):
                        wrong += producer.take(connection, producer.send(connection, sequence), sequence)
                    producer.sent = was
            run.check(not wrong, f"{kind}, round {n + 1}: {'; '.join(wrong[:5])}")
        with connect(server) as connection:
            damage = connection.verify()
        run.check(not damage, f"{kind}: verify: {damage[:5]}")
        run.check(server.stop() == 0, f"{kind}: tallyd stops: {server.log()[-500:]}")
        total = sum(producer.acknowledged for producer in producers)
        run.check(total > run.rounds, f"{kind}: there was load ({total} batches in)")
        print(f"{kind}: {run.rounds} losses of the cache, {total} batches in, {torn} torn ends", flush=True)
    finally:
        if server.process and server.alive():
            server.kill()
        disk.unmount()


def main():
    run, cases = Run("lost_cache", rounds=50), 0
    try:
        own_mounts()
    except Impossible as why:
        run.skip(f"lost_cache: {why}")
        run.end(0)
    with temporary() as folder:
        for kind in KINDS:
            try:
                rounds_on(run, folder, kind)
                cases += run.rounds
            except Impossible as why:
                run.skip(f"lost_cache on {kind}: {why}")
    run.end(cases)


main()
