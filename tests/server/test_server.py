"""Tests of tallyd as a process: command line, settings, signals, limits, bad peers.

    python3 tests/server/test_server.py build/bin/tallyd [NAME ...]

Speaks to it with tests/protocol/client.py. NAMEs choose tests by a part of their names.
"""
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol"))
import client as protocol  # noqa: E402

TALLYD = None
START = 1704067200000000  # 2024-01-01
READY = re.compile(r"^tallyd (\d+\.\d+\.\d+) ready on ([^:]+):(\d+), data (.+) \(pid (\d+)\)$")


def clean_environment(**more):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TALLY_")}
    environment.update(more)
    return environment


def run(*arguments, **environment):
    """Runs tallyd to its end: exit code, stdout, stderr."""
    done = subprocess.run([TALLYD, *arguments], env=clean_environment(**environment), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


class Server:
    """A tallyd that has said it is ready."""

    def __init__(self, data, *arguments, listen="127.0.0.1:0", **environment):
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen([TALLYD, "--data", data, "--listen", listen, *arguments],
                                        env=clean_environment(**environment), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        self.line = self.process.stdout.readline().rstrip("\n") if ready else ""
        match = READY.match(self.line)
        if not match:
            self.kill()
            raise AssertionError(f"no ready line but {self.line!r}; {self.log()}")
        self.version, self.host, self.port, self.data, self.pid = match.groups()
        self.address = (self.host, int(self.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=30):
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def log(self):
        self.errors.seek(0)
        return self.errors.read()

    def wait_log(self, text, times=1):
        limit = time.time() + 10
        while self.log().count(text) < times:
            assert time.time() < limit, f"{text!r} is not in the log: {self.log()}"
            time.sleep(0.02)

    def client(self, **options):
        return protocol.Client(self.address, **options)

    def raw(self):
        return protocol.Client(self.address, name=None)

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


def events(count, first=0, **values):
    return [dict(timestamp=START + (first + i) * 1000, user_id=f"user{i % 50}", service_name="api", status_code=200,
                 cost=1000000, **values) for i in range(count)]


def count_rows(connection):
    return int(connection.query()[1][0][0])


def expect_exit(code, words, result):
    assert result[0] == code, f"exit {result[0]}, {code} was expected: {result}"
    for word in words:
        assert word in result[1] + result[2], f"{word!r} is not in {result}"


def expect_error(connection, request, *names):
    kind, other, payload = connection.receive()
    assert kind == protocol.ERROR, f"a frame of type {kind} came, an ERROR was expected"
    refused = protocol.Refused(payload)
    assert refused.name in names, f"{refused} came, {names} was expected"
    assert other == request, f"the ERROR bears the id {other}, not {request}"
    return refused


def expect_end(connection):
    try:
        frame = connection.receive()
    except (protocol.Lost, ConnectionError):
        return
    raise AssertionError(f"{frame} came, the end of the connection was expected")


# -------------------------------------------------------------------- command line and settings

def test_ready_line(folder):
    data = os.path.join(folder, "new")
    with Server(data) as server:
        assert server.host == "127.0.0.1" and int(server.port) > 0
        assert server.data == data and int(server.pid) == server.process.pid
        assert os.path.isdir(data)
        with server.client() as c:
            c.ping()
            assert c.server_name == f"tallyd {server.version}"
        assert server.stop() == 0
        assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO |WARN |ERROR) .", server.log(), re.M)
    with Server(data, listen="localhost:0") as server, server.client() as c:
        c.ping()


def test_help_and_version(folder):
    code, out, err = run("--help")
    assert code == 0 and not err
    for word in ("--data DIR", "--listen", "--memory", "--config", "--check-config", "TALLY_DATA", "SIGHUP", "Examples"):
        assert word in out, word
    code, out, err = run("--version")
    assert code == 0 and re.fullmatch(r"tallyd \d+\.\d+\.\d+\n", out), out


def test_wrong_usage_exits_2(folder):
    data = ("--data", os.path.join(folder, "x"))
    expect_exit(2, ["--data"], run())
    expect_exit(2, ["--nonsense"], run(*data, "--nonsense"))
    expect_exit(2, ["extra"], run(*data, "extra"))
    expect_exit(2, ["--memory"], run(*data, "--memory"))
    expect_exit(2, ["--memory", "256MiB"], run(*data, "--memory", "lots"))
    expect_exit(2, ["--memory", "80MiB"], run(*data, "--memory", "1MiB"))
    expect_exit(2, ["--listen", "HOST:PORT"], run(*data, "--listen", "7420"))
    expect_exit(2, ["--log-level"], run(*data, "--log-level", "loud"))
    expect_exit(2, ["TALLY_MEMORY"], run(*data, TALLY_MEMORY="2 GB"))
    expect_exit(2, ["--config"], run("--check-config"))
    assert not os.path.exists(data[1]), "a usage error made the store"


def settings_of(*arguments, **environment):
    code, out, err = run(*arguments, "--check-config", **environment)
    assert code == 0, err
    return dict(re.match(r"(\w+) = (.*)", line).groups() for line in out.splitlines()[1:])


def test_flags_beat_environment_beats_file_beats_defaults(folder):
    path = os.path.join(folder, "tallyd.conf")
    with open(path, "w") as f:
        f.write("# test\nmemory = 512MiB\nlisten = 127.0.0.1:1\nidle_timeout = \"5m\"\nlog_level = debug\n")
    got = settings_of("--config", path, "--listen", "127.0.0.1:3", TALLY_LISTEN="127.0.0.1:2", TALLY_MEMORY="1GiB")
    assert got["listen"] == '"127.0.0.1:3" # flag', got
    assert got["memory"] == "1GiB # environment", got
    assert got["idle_timeout"] == "5m # file", got
    assert got["max_connections"] == "10500 # default", got
    assert settings_of(TALLY_CONFIG=path)["log_level"] == "debug # file"


def test_check_config_and_bad_files(folder):
    path = os.path.join(folder, "tallyd.conf")
    for text, line, word in (("memory = 1GiB\n\nspeed = 11\n", 3, "speed"), ("\nquery_timeout = 30\n", 2, "30s"),
                             ("listen = x\n", 1, "HOST:PORT"), ("memory 1GiB\n", 1, "name = value")):
        with open(path, "w") as f:
            f.write(text)
        expect_exit(1, [f"{path}:{line}:", word], run("--config", path, "--check-config"))
        expect_exit(1, [f"{path}:{line}:"], run("--config", path, "--data", os.path.join(folder, "x")))
    expect_exit(1, [folder], run("--config", folder, "--check-config"))
    expect_exit(1, ["/nonexistent"], run("--config", "/nonexistent", "--check-config"))


def test_a_place_that_cannot_be_served(folder):
    data = os.path.join(folder, "store")
    with Server(data) as server:
        other = ("--data", os.path.join(folder, "other"))
        expect_exit(1, [f"127.0.0.1:{server.port}", "another process"],
                    run(*other, "--listen", f"127.0.0.1:{server.port}"))
        expect_exit(1, ["192.0.2.1"], run(*other, "--listen", "192.0.2.1:7420"))
        expect_exit(1, ["no.such.host.invalid"], run(*other, "--listen", "no.such.host.invalid:7420"))
    path = os.path.join(folder, "file")
    open(path, "w").close()
    expect_exit(1, [path], run("--data", path, "--listen", "127.0.0.1:0"))


def test_a_second_process_is_told_which_has_the_store(folder):
    data = os.path.join(folder, "store")
    with Server(data) as server:
        result = run("--data", data, "--listen", "127.0.0.1:0")
        expect_exit(1, [str(server.process.pid)], result)
        assert not result[1], "a ready line"
        with server.client() as c:
            c.ping()


# -------------------------------------------------------------------- signals

def test_sigterm_drains_and_keeps_every_row(folder):
    data = os.path.join(folder, "store")
    with Server(data) as server:
        busy, idle = server.client(), server.client()
        batch = protocol.batch(events(2000))
        requests = [busy.send_append(batch, producer="p", epoch=1, sequence=i + 1) for i in range(40)]
        assert busy.wait_append(requests[0]) == (False, 2000)
        server.signal(signal.SIGTERM)
        expect_error(idle, 0, "closed")
        expect_end(idle)
        idle.close()
        answered = 1
        try:
            for request in requests[1:]:
                assert busy.wait_append(request) == (False, 2000)
                answered += 1
            expect_error(busy, 0, "closed")
        except protocol.Refused as refused:
            assert refused.name == "closed", refused
        expect_end(busy)
        busy.close()
        assert server.process.wait(30) == 0, server.log()
        try:
            socket.create_connection(server.address, 1).close()
            raise AssertionError("it still listens")
        except ConnectionError:
            pass
    with Server(data) as server, server.client() as c:
        assert c.mark("p") == (1, answered), (c.mark("p"), answered)
        assert count_rows(c) == 2000 * answered
        assert server.stop() == 0


def test_sigint_stops_and_a_second_signal_does_not_wait(folder):
    data = os.path.join(folder, "store")
    with Server(data) as server:
        server.signal(signal.SIGINT)
        assert server.process.wait(30) == 0
    with Server(data, "--drain-timeout", "1m") as server:
        c = server.client()
        fill(c, 40)
        slow(c)
        server.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None, "it did not wait for the answer under way"
        server.signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        c.close()


def test_kill_9_loses_nothing_acknowledged(folder):
    data = os.path.join(folder, "store")
    acknowledged = 0
    for generation in range(3):
        with Server(data) as server:
            c = server.client()
            assert c.mark("p")[1] == acknowledged
            requests = [c.send_append(protocol.batch(events(100)), producer="p", epoch=1, sequence=acknowledged + i + 1)
                        for i in range(30)]
            for request in requests[:20]:
                c.wait_append(request)
                acknowledged += 1
            server.kill()
            c.close()
        with Server(data) as server, server.client() as c:
            mark = c.mark("p")[1]
            assert mark >= acknowledged, (mark, acknowledged)
            assert count_rows(c) == mark * 100
            acknowledged = mark
            assert server.stop() == 0


def test_sighup_reloads_and_a_bad_file_changes_nothing(folder):
    path = os.path.join(folder, "tallyd.conf")

    def write(text):
        with open(path, "w") as f:
            f.write(text)

    write("max_connections = 2\n")
    with Server(os.path.join(folder, "store"), "--config", path) as server:
        first, second = server.client(), server.client()
        third = server.raw()
        expect_error(third, 0, "busy")
        expect_end(third)
        third.close()
        write("max_connections = 3\nmemory = 1GiB\nlog_level = debug\n")
        server.signal(signal.SIGHUP)
        server.wait_log("SIGHUP: settings loaded")
        assert "max_connections is now 3, was 2" in server.log()
        assert "memory = 1GiB takes effect after a restart" in server.log()
        third = server.client()
        third.ping()
        server.wait_log("connected with")  # debug
        write("max_connections = 1\n\nmax_queries = many\n")
        server.signal(signal.SIGHUP)
        server.wait_log(f"{path}:3:")
        assert "stay as they were" in server.log()
        third.close()
        server.wait_log("hung up")
        third = server.client()
        third.ping()
        first.ping()
        for c in (first, second, third):
            c.close()
        assert server.stop() == 0


# -------------------------------------------------------------------- many at once

def fill(connection, batches, rows=5000):
    """Rows of about 400 bytes each."""
    batch = protocol.batch(events(rows, metadata='{"note":"' + "n" * 300 + '"}'))
    for request in [connection.send_append(batch, durability="os") for _ in range(batches)]:
        connection.wait_append(request)


def slow(connection):
    """Asks for all events and reads only the head of the answer."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    request = connection.send_events(order="none")
    connection.wait_columns(request)
    return request


def test_a_slow_reader_stops_nobody_else(folder):
    with Server(os.path.join(folder, "store")) as server:
        with server.client() as c:
            fill(c, 20)
            rows = count_rows(c)
            assert rows == 100000
            readers = [server.client() for _ in range(10)]
            for reader in readers:
                slow(reader)
            began = time.time()
            for _ in range(10):
                assert count_rows(c) == rows
                c.append(protocol.batch(events(1)))
                rows += 1
            took = time.time() - began
            assert took < 10, f"20 requests beside slow readers took {took:.1f} s"
            request = slow(readers[0])  # a second answer on the same connection, and a cancel gets through to both
            readers[0].cancel(request)
            readers[0].cancel(request - 1)
            for r in (request - 1, request):
                try:
                    while readers[0].wait_rows(r, 12) is not None:
                        pass
                    raise AssertionError("the answer was not cancelled")
                except protocol.Refused as refused:
                    assert refused.name == "cancelled", refused
            total = 0
            request = readers[1].next_id - 1
            while (some := readers[1].wait_rows(request, 12)) is not None:
                total += len(some)
            assert total == readers[1].end_rows == 100000, total
            for reader in readers:
                reader.close()
        assert server.stop() == 0


def test_a_thousand_idle_connections_cost_little(folder):
    with Server(os.path.join(folder, "store")) as server:
        warm = [server.client() for _ in range(20)]
        for c in warm:
            c.append(protocol.batch(events(10)))
        before = server.memory()
        idle = [server.client() for _ in range(1000)]
        for c in idle:
            c.ping()
        each = (server.memory() - before) / 1000
        print(f"     an idle connection: {each:.0f} bytes")
        with open(TALLYD, "rb") as f:
            sanitized = re.search(rb"__[at]san_init", f.read())
        assert sanitized or each <= 8192, each
        count_rows(idle[999])
        for c in idle + warm:
            c.close()
        assert server.stop() == 0


def test_many_writers_share_synchronisations_and_every_batch_counts_once(folder):
    with Server(os.path.join(folder, "store")) as server:
        failures = []

        def write(number):
            try:
                with server.client() as c:
                    batch = protocol.batch(events(10))
                    for first in range(1, 101, 50):
                        sent = [c.send_append(batch, producer=f"p{number}", epoch=1, sequence=s)
                                for s in range(first, first + 50)]
                        for request in sent:
                            assert c.wait_append(request) == (False, 10)
                    assert c.append(batch, producer=f"p{number}", epoch=1, sequence=7) == (True, 10)
                    assert c.mark(f"p{number}") == (1, 100)
            except Exception as e:  # noqa: BLE001
                failures.append(e)

        writers = [threading.Thread(target=write, args=(i,)) for i in range(16)]
        began = time.time()
        for w in writers:
            w.start()
        for w in writers:
            w.join()
        assert not failures, failures
        print(f"     1,600 durable batches of 16 connections: {time.time() - began:.2f} s")
        with server.client() as c:
            assert count_rows(c) == 16000
        assert server.stop() == 0


def test_requests_pipelined_in_one_piece_are_answered_in_order(folder):
    with Server(os.path.join(folder, "store")) as server, server.client() as c:
        good, bad = protocol.batch(events(3)), b"no batch at all"
        piece = b""
        for i in range(2, 62):
            fixed = struct.pack("<BBHQQ16s", 0, 0, 0, 0, 0, bytes(16))
            piece += protocol.frame(protocol.APPEND, i, fixed + (bad if i % 5 == 0 else good))
        c.send_bytes(piece)
        for i in range(2, 62):
            kind, request, payload = c.receive()
            assert request == i
            assert kind == (protocol.ERROR if i % 5 == 0 else protocol.APPENDED), (i, kind)
            if i % 5 == 0:
                assert protocol.Refused(payload).name == "invalid-batch"
        assert server.stop() == 0


def test_queries_have_a_limit_a_deadline_and_an_end(folder):
    with Server(os.path.join(folder, "store"), "--max-queries", "3", "--query-timeout", "20s") as server:
        with server.client() as c:
            assert c.answer_window == 3
            fill(c, 10)
            for _ in range(3):
                slow(c)
            try:
                count_rows(c)
                raise AssertionError("a fourth query is taken")
            except protocol.Refused as refused:
                assert refused.name == "busy", refused
            c.ping()
        with server.client() as c:
            try:
                c.query(where=["nonsense"])
                raise AssertionError("nonsense is answered")
            except protocol.Refused as refused:
                assert refused.name == "usage", refused
            c.flush()
            assert c.verify() == []
            assert c.stats()
            assert count_rows(c) == 50000
            try:
                c.events(timeout=1)
                raise AssertionError("a millisecond is enough")
            except protocol.Refused as refused:
                assert refused.name == "deadline", refused
            assert count_rows(c) == 50000
        assert server.stop() == 0


# -------------------------------------------------------------------- bad peers

def test_what_is_no_frame_gets_an_error_and_a_closed_connection(folder):
    ping = protocol.frame(protocol.PING, 9)
    spoiled = bytearray(ping)
    spoiled[17] ^= 0x40
    oversized = struct.pack("<I", (4 << 20) - 23) + ping[4:]
    flags = protocol.frame(protocol.PING, 9, flags=1)
    with Server(os.path.join(folder, "store"), "--frame-timeout", "1s", "--hello-timeout", "1s") as server:
        for name, data, error in (("checksum", bytes(spoiled), "protocol"), ("size", oversized, "too-large"),
                                  ("version", protocol.frame(protocol.PING, 9, version=1), "version"),
                                  ("flags", flags, "protocol"), ("cut", ping[:-3], "deadline"),
                                  ("cut in a batch", protocol.frame(protocol.APPEND, 9, bytes(100000))[:50000], "deadline")):
            with server.client() as c:
                c.send_bytes(data)
                refused = expect_error(c, 0, error)
                assert len(refused.text) > 20, refused
                expect_end(c)
        for data in (b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n", bytes(5000), b"\xff" * 64):
            with server.raw() as c:
                c.send_bytes(data)
                expect_error(c, 0, "protocol", "version", "too-large")
                expect_end(c)
        with server.raw() as c:  # says nothing
            expect_error(c, 0, "deadline")
            expect_end(c)
        with server.raw() as c:  # no HELLO first
            c.send_bytes(protocol.frame(protocol.PING, 9))
            expect_error(c, 9, "protocol")
            expect_end(c)
        for kind, request, payload in ((99, 9, b""), (protocol.WELCOME, 9, b""), (protocol.PING, 9, b"x"),
                                       (protocol.PING, 0, b""), (protocol.QUERY, 9, b"short"), (protocol.APPEND, 9, b"")):
            with server.client() as c:
                c.send_bytes(protocol.frame(kind, request, payload))
                expect_error(c, request, "protocol")
                expect_end(c)
        with server.client() as c:
            c.ping()
        assert server.log().count("connection ended") >= 8
        assert server.stop() == 0


def test_hanging_up_at_any_byte_does_no_harm(folder):
    with Server(os.path.join(folder, "store")) as server:
        hello = struct.pack("<IBBH", 0x594C4154, protocol.VERSION, protocol.VERSION, 0) + protocol.put_text("x")
        fixed = struct.pack("<BBHQQ16s", 0, 0, 0, 0, 0, bytes(16))
        data = (protocol.frame(protocol.HELLO, 1, hello) + protocol.frame(protocol.QUERY, 2, protocol.Client.request(
            0, protocol.NO_LIMIT, 0, [None] * 7, ["status_code = 200"]))
            + protocol.frame(protocol.APPEND, 3, fixed + protocol.batch(events(1))))
        for size in range(0, len(data) - 1, 7):
            c = server.raw()
            c.send_bytes(data[:size])
            if size % 2:
                c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            c.close()
        with server.raw() as c:
            c.send_bytes(data)
            assert c.wait_append(3) == (False, 1)
        with server.client() as c:
            assert count_rows(c) == 1
        assert server.stop() == 0


def test_connections_beyond_the_limit_are_told_busy(folder):
    with Server(os.path.join(folder, "store"), "--max-connections", "50") as server:
        taken = [server.client() for _ in range(50)]
        for _ in range(20):
            with server.raw() as c:
                expect_error(c, 0, "busy")
                expect_end(c)
        for c in taken:
            c.ping()
            c.close()
        limit = time.time() + 10
        while True:  # the server learns of the closed ones when it reads
            try:
                with server.client() as c:
                    c.ping()
                break
            except (protocol.Refused, protocol.Lost, ConnectionError):
                assert time.time() < limit, "the places of closed connections are not free again"
        assert server.stop() == 0


# -------------------------------------------------------------------- running

def main():
    global TALLYD
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    TALLYD = os.path.abspath(sys.argv[1])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    tests = [(n, f) for n, f in list(globals().items()) if n.startswith("test_")]
    passed = failed = 0
    for name, test in tests:
        if len(sys.argv) > 2 and not any(part in name for part in sys.argv[2:]):
            continue
        folder = tempfile.mkdtemp(prefix="tallyd-test-")
        began = time.time()
        try:
            test(folder)
            passed += 1
            print(f"ok   {name} ({time.time() - began:.1f} s)", flush=True)
        except Exception as e:  # noqa: BLE001
            failed += 1
            print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
