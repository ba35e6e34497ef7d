"""What the tests of whole programs share: starting tallyd, running tally, counting."""
import atexit
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

    def __init__(self, binaries, directory, *options, before=None):
        self.binary, self.directory, self.options = os.path.join(binaries, "tallyd"), directory, options
        self.before = before  # called in the new process before it is tallyd
        self.process = self.address = None
        self.errors = tempfile.TemporaryFile("w+", errors="replace")  # of all its lives; a pipe that nobody reads would stop it
        atexit.register(self.end)  # a test that fails with an exception leaves no server behind
        self.port = 0  # chosen by the first start, and kept by later ones, so that clients can come back

    def start(self, timeout=30):
        self.process = subprocess.Popen([self.binary, "--data", self.directory, "--listen", f"127.0.0.1:{self.port}", *self.options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, text=True, preexec_fn=self.before)
        line = self.process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if not found:
            self.process.wait(timeout)
            raise RuntimeError(f"tallyd did not start: {line}{self.log()[-1000:]}")
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

    def end(self):
        if self.process and self.alive():
            self.kill()

    def _close(self):
        self.process.stdout.close()

    def log(self):
        self.errors.seek(0)
        return self.errors.read()

    def alive(self):
        return self.process.poll() is None

    def peak_kib(self):
        return self._status("VmHWM")

    def memory(self):
        """Bytes that are resident now."""
        return self._status("VmRSS") * 1024

    def open_files(self):
        """What the process's descriptors stand for."""
        folder, files = f"/proc/{self.process.pid}/fd", []
        for number in os.listdir(folder):
            try:
                files.append(os.readlink(os.path.join(folder, number)))
            except OSError:
                pass  # closed by now
        return files

    def _status(self, name):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(name + r":\s+(\d+)", f.read()).group(1))


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
