"""Crowds of bad peers: 500 slow connections, 1,000 half-open, 10,000 idle, 10,000 pipelined requests, resets in the middle of a frame. The
others hardly notice, and the server's deadlines fire.

usage: crowd.py BINARIES [--pairs 5] [--only CROWD] [--seed S]

Each crowd is a process of its own. For each, `pairs` times: the others' latencies without it, then with it (a query of one user, and a durable
append, by turns). The median of the p99 with it is at most 3 times that without it, or 10 ms, whichever is more. The crowds themselves check
that they are treated as docs/protocol.md says."""
import multiprocessing
import os
import select
import socket
import statistics
import struct
import time
from random import Random

from batches import START, batch
from common import Run, Server, connect, more_files, percentile, protocol, temporary

HELLO_TIMEOUT, FRAME_TIMEOUT, IDLE_TIMEOUT = 1.5, 2.0, 3.0
LATE = 1.5  # a deadline is looked at four times a second; the rest is for a machine with other work
SAMPLES = 400
IDLE, IDLE_BYTES = 10000, 8192


# -------------------------------------------------------------------- the others

def measure(server, samples=SAMPLES):
    """p99 in ms of a query of one user and of a durable append."""
    query, append = [], []
    one = batch(10, timestamp=[START + i for i in range(10)], service_name="others", user_id="u1")
    with connect(server) as connection:
        for i in range(samples + 20):
            began = time.perf_counter()
            connection.query(where=[f"user_id = u{i % 100}"], aggregates="count,sum:tokens_used")
            between = time.perf_counter()
            connection.append(one)
            if i >= 20:  # the first ones warm up
                query.append((between - began) * 1000)
                append.append((time.perf_counter() - between) * 1000)
            time.sleep(0.0005)
    return percentile(query, 99), percentile(append, 99)


# -------------------------------------------------------------------- the crowds
# A crowd gathers, says so, and misbehaves until it is told to stop; it returns (what it counted, what was wrong).

class Peer:
    """A connection of a crowd, without waiting."""

    def __init__(self, address, hello=True):
        self.socket = socket.create_connection(address, 20)
        self.born = self.since = time.monotonic()
        if hello:
            self.socket.sendall(protocol.frame(protocol.HELLO, 1, struct.pack("<IBBH", 0x594C4154, protocol.VERSION, protocol.VERSION, 0)
                                               + protocol.put_text("crowd")))
            self.received = self.socket.recv(4096)
            assert self.received[5] == protocol.WELCOME, self.received
        self.socket.setblocking(False)
        self.received = b""

    def fileno(self):
        return self.socket.fileno()

    def ended(self):
        """Reads what there is; true when the server has hung up."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self.received += data
        return not data

    def farewell(self):
        """Name of the ERROR that the server said last; frames before it are passed over."""
        at = 0
        while at + protocol.HEADER.size <= len(self.received):
            size, _, kind, _, _, _ = protocol.HEADER.unpack_from(self.received, at)
            if kind == protocol.ERROR:
                return protocol.Refused(self.received[at + 24:at + 24 + size]).name
            at += size + 24
        return "nothing"


class Watch:
    """Who was hung up on, when, with which words."""

    def __init__(self, poll, limit):
        self.poll, self.limit, self.fired, self.wrong = poll, limit, 0, []

    def end(self, peer, now):
        took, said = now - peer.since, peer.farewell()
        self.fired += 1
        if said != "deadline" or not self.limit - 0.05 <= took <= self.limit + LATE:
            self.wrong.append(f"hung up on after {took:.2f} s with {said}; the limit is {self.limit} s")

    def look(self, peers, now):
        """Peers that are still there; one that should be gone is wrong."""
        over = [p for p in peers if now - p.since > self.limit + LATE]
        if over:
            self.wrong.append(f"{len(over)} connections are still open {LATE} s behind the limit of {self.limit} s")


def poll_ends(poll, by_number):
    for number, _ in poll.poll(20):
        peer = by_number[number]
        if peer.ended():
            yield peer


def crowd_in_frames(address, control, count, make, step, limit):
    """`count` connections that are kept alive by making a new one for each that the server ends; all of them end by deadline."""
    poll, peers = select.poll(), {}

    def add():
        peer = make()
        peers[peer.fileno()] = peer
        poll.register(peer.fileno(), select.POLLIN)

    for _ in range(count):
        add()
    watch = Watch(poll, limit)
    control.send("ready")
    told = None
    while told is None or time.monotonic() < told:
        if told is None and control.poll():
            told = time.monotonic() + limit + 0.5 if not watch.fired else 0
        step(peers)
        ended = list(poll_ends(poll, peers))
        now = time.monotonic()
        for peer in ended:
            watch.end(peer, now)
            poll.unregister(peer.fileno())
            del peers[peer.fileno()]
            peer.socket.close()
            add()
        watch.look(peers.values(), now)
        if len(watch.wrong) > 20:
            break
    if not watch.fired:
        watch.wrong.append("no deadline fired")
    return watch.fired, watch.wrong


def crowd_half_open(address, control):
    """1,000 connections that never greet: half of them say nothing, half of them a part of HELLO."""
    turn = [0]

    def make():
        peer = Peer(address, hello=False)
        turn[0] += 1
        if turn[0] % 2:
            peer.socket.send(protocol.frame(protocol.HELLO, 1, bytes(12))[:turn[0] % 30 + 1])
        return peer

    return crowd_in_frames(address, control, 1000, make, lambda peers: None, HELLO_TIMEOUT)


def crowd_slow(address, control):
    """500 connections: 250 send a frame byte by byte and never come to its end, 250 ask for all events and read 1 KiB now and then."""
    readers, random = [], Random(1)
    request = protocol.frame(protocol.EVENTS, 2, protocol.Client.request(32, protocol.NO_LIMIT, 0, [None] * 4, []))
    for _ in range(250):
        peer = Peer(address)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        peer.socket.send(request)
        readers.append(peer)
    time.sleep(2.5)  # until their sockets' buffers are full: from then on they are slow
    frame = protocol.frame(protocol.APPEND, 3, bytes(10000))
    last, wrong, read = [time.monotonic()], [], [0]

    def make():
        peer = Peer(address)
        peer.since = time.monotonic()
        peer.at = peer.socket.send(frame[:30])
        return peer

    def step(peers):
        now = time.monotonic()
        if now - last[0] < 0.2:
            return
        last[0] = now
        for peer in peers.values():
            try:
                peer.at += peer.socket.send(frame[peer.at:peer.at + 1])
            except OSError:
                pass  # it ends: the poll says so
        for peer in random.sample(readers, 50):
            try:
                got = peer.socket.recv(1024)
                read[0] += len(got)
                if not got:
                    wrong.append("a slow reader was hung up on")
            except BlockingIOError:
                pass
            except OSError as e:
                wrong.append(f"a slow reader was cut off: {e}")

    fired, others = crowd_in_frames(address, control, 250, make, step, FRAME_TIMEOUT)
    return f"{fired}, {read[0] >> 10} KiB read slowly", wrong[:5] + others


def crowd_pipelined(address, control):
    """10,000 requests in one piece, again and again: each is answered once, APPENDs and MARKs in their order."""
    small = batch(2, timestamp=[START, START + 1], service_name="pipe")
    fixed = struct.pack("<BBHQQ16s", 1, 0, 0, 0, 0, bytes(16))
    question = protocol.Client.request(0, protocol.NO_LIMIT, 0, [None] * 7, ["user_id = u1"])
    kinds = [(protocol.PING, b"", (protocol.PONG,)), (protocol.APPEND, fixed + small, (protocol.APPENDED,)),
             (protocol.MARK, struct.pack("<Q", 0) + protocol.put_text("p"), (protocol.MARKED,)),
             (protocol.QUERY, question, (protocol.END, protocol.ERROR)), (protocol.PING, b"", (protocol.PONG,))]
    piece = b"".join(protocol.frame(kinds[i % 5][0], i + 2, kinds[i % 5][1]) for i in range(10000))
    wrong, times = [], 0
    control.send("ready")
    while not (times and control.poll()):
        with protocol.Client(address) as client:
            client.socket.setblocking(False)
            at, answers, order = 0, {}, []
            while len(answers) < 10000:
                ready = select.select([client.socket], [client.socket] if at < len(piece) else [], [], 30)
                if not any(ready):
                    wrong.append(f"{len(answers)} answers of 10,000, then silence")
                    return times, wrong
                if ready[1]:
                    at += client.socket.send(piece[at:at + (1 << 16)])
                if ready[0]:
                    client.buffer += client.socket.recv(1 << 20)
                while len(client.buffer) >= 24 and len(client.buffer) >= 24 + struct.unpack_from("<I", client.buffer)[0]:
                    kind, request, payload = client.receive()
                    if kind in (protocol.COLUMNS, protocol.ROWS):
                        continue
                    index = (request - 2) % 5
                    if request in answers or kind not in kinds[index][2]:
                        wrong.append(f"request {request}: an answer of type {kind}" + (" again" if request in answers else ""))
                    if kind == protocol.ERROR and protocol.Refused(payload).name != "busy":
                        wrong.append(f"request {request}: {protocol.Refused(payload)}")
                    answers[request] = kind
                    if index in (1, 2):
                        order.append(request)
            if order != sorted(order):
                wrong.append("receipts out of their order")
        times += 1
        time.sleep(0.05)
    return times, wrong


def crowd_resets(address, control):
    """Connections that are reset in the middle of a frame, of the greeting or of a batch."""
    hello = protocol.frame(protocol.HELLO, 1, struct.pack("<IBBH", 0x594C4154, protocol.VERSION, protocol.VERSION, 0) + protocol.put_text("crowd"))
    fixed = struct.pack("<BBHQQ16s", 0, 0, 0, 0, 0, bytes(16))
    whole = hello + protocol.frame(protocol.APPEND, 3, fixed + batch(1, timestamp=[START], service_name="cut off", endpoint="e" * 200) * 40)
    random, times = Random(2), 0
    control.send("ready")
    while not (times >= 600 and control.poll()):
        s = socket.create_connection(address, 20)
        s.sendall(whole[:random.randrange(len(whole))])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
        times += 1
        time.sleep(0.001)
    return times, []


def crowd_idle(address, control):
    """10,000 connections that have greeted and say nothing more; all of them are there in the end."""
    peers = [Peer(address) for _ in range(IDLE)]
    control.send("ready")
    while not control.poll():
        time.sleep(0.01)
    gone = sum(peer.ended() for peer in peers)
    for peer in peers:
        peer.socket.close()
    return len(peers), [f"{gone} idle connections were cut"] if gone else []


CROWDS = {"slow": crowd_slow, "half-open": crowd_half_open, "idle": crowd_idle, "pipelined": crowd_pipelined, "resets": crowd_resets}


# -------------------------------------------------------------------- the test

class Crowd:
    """A crowd as a process, from when it has gathered."""

    def __init__(self, server, name):
        self.control, other = multiprocessing.Pipe()
        host, port = server.address.split(":")
        self.process = multiprocessing.Process(target=self.run, args=(CROWDS[name], (host, int(port)), other), daemon=True)
        self.process.start()
        other.close()
        assert self.control.recv() == "ready"

    @staticmethod
    def run(crowd, address, control):
        try:
            control.send(crowd(address, control))
        except Exception as e:  # noqa: BLE001
            control.send((0, [f"{type(e).__name__}: {e}"]))
            raise

    def end(self):
        try:
            self.control.send("stop")
        except BrokenPipeError:
            pass  # it has ended already: what it says is in the pipe
        result = self.control.recv() if self.control.poll(60) else (0, ["the crowd hangs"])
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
        return result


def fill(server):
    """100 users and 100,000 events: a small answer for the others, a long one for slow readers."""
    with connect(server) as connection:
        for i in range(100):
            connection.append(batch(1000, timestamp=[START + i * 60 * 10**9 + k * 1000 for k in range(1000)], service_name=f"s{i % 5}", user_id=f"u{i}",
                                    tokens_used=i, metadata='{"note":"' + "n" * 300 + '"}'), durability="os")
        connection.flush()


def sockets(server):
    return sum(name.startswith("socket:") for name in server.open_files())


def quiet_again(server, before):
    """The last crowd's connections are gone from the server."""
    end = time.time() + 20
    while sockets(server) > before and time.time() < end:
        time.sleep(0.05)
    return sockets(server) <= before


def pairs_of(run, server, name):
    ratios, shown = {0: [], 1: []}, []
    counted, wrong = 0, []
    before = sockets(server)
    for _ in range(run.pairs):
        quiet = measure(server)
        memory = server.memory()
        crowd = Crowd(server, name)
        each = (server.memory() - memory) / IDLE
        beside = measure(server)
        counted, more = crowd.end()
        wrong += more
        if name == "idle":
            run.check(each <= IDLE_BYTES, f"an idle connection takes {each:.0f} bytes")
            shown.append(f"{each:.0f} B a connection")
        for i in range(2):
            ratios[i].append(beside[i] / max(3 * quiet[i], 10.0))
        shown.append(" ".join(f"{q:.1f}>{b:.1f}" for q, b in zip(quiet, beside)))
        run.check(quiet_again(server, before), f"{name}: connections of the crowd are left: {sockets(server)} sockets, {before} before")
    for i, what in enumerate(("a query", "an append")):
        run.check(statistics.median(ratios[i]) <= 1, f"{name}: p99 of {what} beside the crowd is too much (ms, quiet>beside): {shown}")
    run.check(not wrong, f"{name}: {'; '.join(wrong[:5])}")
    run.check(server.alive(), f"{name}: tallyd lives")
    print(f"{name}: {counted}; p99 in ms of query and append, quiet>beside: {', '.join(shown)}", flush=True)


def idle_deadline(run, folder):
    """With an idle timeout, connections on which nothing happens are told so and closed."""
    server = Server(run.binaries, os.path.join(folder, "idle"), "--idle-timeout", f"{IDLE_TIMEOUT:.0f}s").start()
    host, port = server.address.split(":")
    peers = [Peer((host, int(port))) for _ in range(100)]
    talker, end = connect(server), time.monotonic() + IDLE_TIMEOUT + LATE
    poll, by_number, watch = select.poll(), {p.fileno(): p for p in peers}, Watch(None, IDLE_TIMEOUT)
    for peer in peers:
        poll.register(peer.fileno(), select.POLLIN)
    while watch.fired < 100 and time.monotonic() < end:
        talker.ping()
        for peer in list(poll_ends(poll, by_number)):
            watch.end(peer, time.monotonic())
            poll.unregister(peer.fileno())
    run.counter.equal(watch.fired, 100, "idle connections that were closed")
    run.check(not watch.wrong, f"idle timeout: {watch.wrong[:3]}")
    talker.ping()
    talker.close()
    run.check(server.stop() == 0, "tallyd stops")


def main():
    run = Run("crowd", pairs=5, only="")
    if not more_files(IDLE + 1000):
        run.skip(f"crowd: this process may not open {IDLE + 1000} files (ulimit -n)")
        run.end(0)
    with temporary() as folder:
        server = Server(run.binaries, os.path.join(folder, "store"), "--hello-timeout", f"{HELLO_TIMEOUT * 1000:.0f}ms",
                        "--frame-timeout", f"{FRAME_TIMEOUT * 1000:.0f}ms").start()
        fill(server)
        for name in [name for name in CROWDS if run.only in name]:
            pairs_of(run, server, name)
        with connect(server) as connection:
            names = {row[0] for row in connection.query(group_by="service_name")[1]}
            run.check("cut off" not in names, "half a frame put no row in")
            run.check(not connection.verify(), "verify")
        run.check(server.stop() == 0, f"tallyd stops: {server.log()[-500:]}")
        idle_deadline(run, folder)
    run.end(len(CROWDS))


main()
