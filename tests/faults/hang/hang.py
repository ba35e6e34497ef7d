"""R16: a server whose disk hangs for ten seconds. Nothing is acknowledged meanwhile, pings and queries are answered, what waits is
bounded, and afterwards everything is in once.

    python3 tests/faults/hang/hang.py build/bin/tallyd build/tests/libhang.so

Speaks to it with tests/protocol/client.py. The three cases run at the same time, each with a server of its own.
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "protocol"))
import client as protocol  # noqa: E402

TALLYD, SHIM = None, None
START = 1704067200000000  # 2024-01-01
HANG = 10.0  # seconds
MEMORY = 96 << 20
ROWS = 5000


def batch(number):
    return protocol.batch([{"timestamp": START + number * ROWS + i, "user_id": f"user {i % 50}", "cost": 1000} for i in range(ROWS)])


class Server:
    def __init__(self, folder, hangs=True):
        self.control = os.path.join(folder, "hang")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TALLY_")}
        if hangs:
            environment.update(LD_PRELOAD=SHIM, TALLY_HANG=self.control)
        self.process = subprocess.Popen([TALLYD, "--data", os.path.join(folder, "store"), "--listen", "127.0.0.1:0", "--memory", "96MiB"],
                                        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        match = re.match(r"^tallyd \S+ ready on ([^:]+):(\d+)", self.process.stdout.readline())
        assert match, "no ready line"
        self.address = (match.group(1), int(match.group(2)))

    def hang(self, words):
        with open(self.control + ".new", "w") as file:
            file.write(words)
        os.rename(self.control + ".new", self.control)

    def go_on(self):
        os.unlink(self.control)

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) << 10

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def client(self, timeout=60):
        return protocol.Client(self.address, timeout=timeout)


def count(client):
    return int(client.query(aggregates="count")[1][0][0])


def stay_alive(server, seconds, rows):
    """Pings and asks all the time; the slowest ping."""
    slowest, end = 0.0, time.monotonic() + seconds
    with server.client() as pings, server.client() as asks:
        while time.monotonic() < end:
            began = time.monotonic()
            pings.ping()
            slowest = max(slowest, time.monotonic() - began)
            assert count(asks) == rows, "a query sees what is acknowledged"
            time.sleep(0.05)
    assert slowest < 1.0, f"a ping took {slowest:.2f} s"
    return slowest


def nothing_comes(client):
    client.socket.settimeout(0.05)
    try:
        data = client.socket.recv(1)
        raise AssertionError(f"an answer while the disk hangs: {data}")
    except socket.timeout:
        client.socket.settimeout(60)


def sync_hangs(folder):
    server = Server(folder)
    try:
        pollers = [server.client() for _ in range(12)]
        with server.client() as writer:
            writer.append(batch(0), producer="p", epoch=1, sequence=1)
            server.hang("sync")
            sent = [writer.send_append(batch(n), producer="p", epoch=1, sequence=n + 1) for n in range(1, 4)]
            for poller in pollers:  # who watches a server asks it again and again
                poller.stats()
            slowest = stay_alive(server, HANG, ROWS)
            nothing_comes(writer)
            server.go_on()
            for request in sent:
                assert writer.wait_append(request) == (False, ROWS)
            assert count(writer) == 4 * ROWS
            assert writer.append(batch(3), producer="p", epoch=1, sequence=4)[0], "a repeat is a duplicate"
        return f"the slowest ping took {slowest * 1000:.0f} ms"
    finally:
        server.end()


def write_hangs(folder):
    """Thirty connections send as much as the server takes: it stops reading before its memory is full."""
    server = Server(folder)
    senders, sent = [], []
    frames = batch(0)
    try:
        with server.client() as first:
            first.append(batch(0))
        server.hang("write")
        quiet = server.memory()
        for _ in range(30):
            client = server.client()
            client.socket.settimeout(0.15)
            senders.append(client)
            accepted = 0
            try:
                for _ in range(60):  # about 20 MB each
                    client.send_append(frames)
                    accepted += 1
            except socket.timeout:
                pass
            sent.append(accepted)
        slowest = stay_alive(server, HANG, ROWS)
        grown = server.memory() - quiet
        assert grown < MEMORY, f"{grown >> 20} MiB wait in a server with {MEMORY >> 20} MiB"
        assert min(sent) < 60, "the server stops reading"
        for client in senders:
            nothing_comes(client)
        server.go_on()
        for client in senders:  # a frame may have been cut off: the connection goes
            client.close()
        return f"{sum(sent)} batches taken by server and system, {grown >> 20} MiB more in the server, the slowest ping took {slowest * 1000:.0f} ms"
    finally:
        server.end()


def sync_hangs_and_fails(folder):
    server = Server(folder)
    try:
        with server.client() as writer:
            writer.append(batch(0), producer="p", epoch=1, sequence=1)
            server.hang("sync fail")
            sent = [writer.send_append(batch(n), producer="p", epoch=1, sequence=n + 1) for n in range(1, 4)]
            stay_alive(server, HANG, ROWS)
            nothing_comes(writer)
            server.go_on()
            for request in sent:
                try:
                    writer.wait_append(request)
                    raise AssertionError("a batch whose sync failed is acknowledged")
                except protocol.Refused as refused:
                    assert refused.name in ("io", "read-only", "gap"), refused
            try:
                writer.append(batch(9))
                raise AssertionError("a store whose sync failed takes a batch")
            except protocol.Refused as refused:
                assert refused.name == "read-only", refused
            assert count(writer) == ROWS, "what was acknowledged is still answered"
    finally:
        server.end()
    server = Server(folder, hangs=False)
    try:
        with server.client() as client:
            epoch, last = client.mark("p")
            assert epoch == 1 and 1 <= last <= 4 and count(client) == last * ROWS, (last, count(client))
            for n in range(1, 4):
                duplicate, _ = client.append(batch(n), producer="p", epoch=1, sequence=n + 1)
                assert duplicate == (n + 1 <= last)
            assert count(client) == 4 * ROWS
    finally:
        server.end()
    return f"{last} of 4 batches were there after it"


def run(case, results):
    folder = tempfile.mkdtemp(prefix="tally-hang-")
    try:
        results.append((True, f"{case.__name__}: {case(folder)}"))
    except Exception as problem:  # noqa: BLE001
        results.append((False, f"FAILED {case.__name__}: {type(problem).__name__}: {problem}"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    global TALLYD, SHIM
    TALLYD, SHIM = sys.argv[1:3]
    results = []
    threads = [threading.Thread(target=run, args=(case, results)) for case in (sync_hangs, write_hangs, sync_hangs_and_fails)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _, text in results:
        print(text)
    failed = sum(not ok for ok, _ in results)
    print(f"R16: {len(results) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
