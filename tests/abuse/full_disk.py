"""A disk that is full, and has space again, 20 times: appends are refused as no-space, reads go on, writes resume within a second, and nobody
restarts anything.

usage: full_disk.py BINARIES [--rounds 20] [--seed S]

The store is on a small tmpfs; a file beside it takes all space but a few random bytes, so that it is another write that fails each time:
of the log, of a flush, of a merge, of a backup. The oracle (tests/abuse/oracle.py) holds after every round."""
import errno
import os
import time

from common import Run, Server, connect, protocol, temporary
from oracle import Producer, judge
from places import Impossible, own_mounts, tmpfs

SIZE = 320 << 20
RESUME = 1.0


class Ballast:
    """The file that takes the space."""

    def __init__(self, place):
        self.place, self.path = place, os.path.join(place, "ballast")

    def fill(self, left):
        """Leaves about `left` bytes."""
        with open(self.path, "wb") as f:
            for _ in range(100):  # the server takes space meanwhile
                space = os.statvfs(self.place)
                more = space.f_bavail * space.f_frsize - left
                if more <= 0:
                    return
                try:
                    os.posix_fallocate(f.fileno(), os.fstat(f.fileno()).st_size, more)
                except OSError as e:
                    if e.errno != errno.ENOSPC:
                        raise

    def remove(self):
        os.unlink(self.path)


def append(connection, producer):
    """Sends the producer's next batch: what was wrong, or the name of the refusal, or None."""
    sequence = producer.acknowledged + 1
    request = producer.send(connection, sequence)
    try:
        wrong = producer.take(connection, request, sequence)
    except protocol.Refused as refused:
        producer.sent = sequence - 1  # a refused batch is not in
        return refused.name
    return wrong[0] if wrong else None


def until_refused(connection, producer, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        name = append(connection, producer)
        if name:
            return name
    return "nothing"


def jobs_beside(connection, random, backup):
    """Flush, merge or backup without space: each ends well or with an error that says why."""
    what, wrong = random.choice(["flush", "compact", "backup", "nothing"]), []
    try:
        if what == "flush":
            connection.flush()
        elif what != "nothing":
            connection.job(*([what] if what == "compact" else [what, backup]))
    except protocol.Refused as refused:
        if refused.name != "no-space":
            wrong.append(f"{what} without space: {refused}")
    return what, wrong


def one_round(run, server, ballast, writer, reader, producer, backup):
    wrong, process = [], server.process.pid
    ballast.fill(run.random.choice([0, 4096, 50000, 1 << 20, 4 << 20]))
    name = until_refused(writer, producer)
    if name != "no-space":
        wrong.append(f"an append on the full disk: {name}")
    what, more = jobs_beside(reader, run.random, backup)
    wrong += more
    for _ in range(5):
        name = append(writer, producer)
        if name not in ("no-space", None):
            wrong.append(f"another append on the full disk: {name}")
        wrong += [f"while it is full: {w}" for w in judge(reader, [producer])[:3]]
    ballast.remove()
    began, name = time.time(), "no-space"
    while name == "no-space" and time.time() - began < 20:
        name = append(writer, producer)
        time.sleep(0.01)
    took = time.time() - began
    if name or took > RESUME:
        wrong.append(f"with space again the first append took {took:.2f} s: {name or 'accepted'}")
    for _ in range(20):
        name = append(writer, producer)
        if name:
            wrong.append(f"an append when there is space again: {name}")
    try:
        writer.flush()
    except protocol.Refused as refused:
        wrong.append(f"a flush when there is space again: {refused}")
    wrong += judge(reader, [producer])
    if server.process.pid != process or not server.alive():
        wrong.append("tallyd has ended")
    return what, wrong


def rounds(run, folder):
    disk = tmpfs(os.path.join(folder, "small"), SIZE)
    ballast, backup = Ballast(disk.place), os.path.join(disk.place, "backup")
    server = Server(run.binaries, os.path.join(disk.place, "store"), "--flush-age", "1s").start()
    producer, seen = Producer("full", padding=200000), {}
    try:
        writer, reader = connect(server), connect(server)
        for n in range(run.rounds):
            what, wrong = one_round(run, server, ballast, writer, reader, producer, backup)
            seen[what] = seen.get(what, 0) + 1
            run.check(not wrong, f"round {n + 1} ({what}): {'; '.join(wrong[:4])}")
            if not server.alive():
                break
        damage = reader.verify()
        run.check(not damage, f"verify: {damage[:5]}")
        writer.close()
        reader.close()
        run.check(server.stop() == 0, f"tallyd stops: {server.log()[-500:]}")
        server.start()
        with connect(server) as connection:
            wrong = judge(connection, [producer])
        run.check(not wrong, f"after a restart: {'; '.join(wrong[:4])}")
        server.stop()
        print(f"{run.rounds} times full, {producer.acknowledged} batches in; beside it {seen}")
    finally:
        if server.alive():
            server.kill()
        disk.unmount()


def main():
    run = Run("full_disk", rounds=20)
    with temporary() as folder:
        try:
            own_mounts()
            rounds(run, folder)
        except Impossible as why:
            run.skip(f"full_disk: {why}")
            run.end(0)
    run.end(run.rounds)


main()
