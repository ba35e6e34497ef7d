"""What the tests of whole programs share: starting tallyd, running tally, counting."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time


class Counter:
    """Counts checks; the last line it prints is 'N passed, N failed'."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, ok, what):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}", flush=True)
        return ok

    def equal(self, got, expected, what):
        return self.check(got == expected, f"{what}: got {got!r}, expected {expected!r}")

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)


class Server:
    """A tallyd on an ephemeral port of the loopback interface."""

    def __init__(self, binaries, directory, *options):
        self.binary, self.directory, self.options = os.path.join(binaries, "tallyd"), directory, options
        self.process = self.address = None
        self.port = 0  # chosen by the first start, and kept by later ones, so that clients can come back

    def start(self, timeout=30):
        self.process = subprocess.Popen([self.binary, "--data", self.directory, "--listen", f"127.0.0.1:{self.port}", *self.options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if not found:
            error = self.process.stderr.read()
            self.process.wait(timeout)
            raise RuntimeError(f"tallyd did not start: {line}{error}")
        self.port = int(found.group(1))
        self.address = f"127.0.0.1:{self.port}"
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()

    def stop(self, timeout=30):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self._close()
        return code

    def _close(self):
        self.process.stdout.close()
        self.process.stderr.close()

    def peak_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


class Tool:
    """The tally binary with its place options (--db DIR, or --server HOST:PORT)."""

    def __init__(self, binaries, *place):
        self.command = [os.path.join(binaries, "tally"), *place]

    def run(self, *arguments, stdin=None, timeout=300):
        source = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin or subprocess.DEVNULL}
        return subprocess.run([*self.command, *arguments], capture_output=True, timeout=timeout, **source)

    def rows(self, *arguments):
        """The rows of a query, as lists of cells, NULL as None; without the header."""
        done = self.run(*arguments, "--format", "tsv")
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.decode()}")
        lines = done.stdout.decode().splitlines()[1:]
        return [[None if cell == "\\N" else cell for cell in line.split("\t")] for line in lines]


def temporary():
    return tempfile.TemporaryDirectory(prefix="tally-test-")


def wait_until(condition, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
