"""What the scripts of bench/ measure of processes, files and the disk."""
import atexit
import os
import re
import signal
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
PROBE_BYTES, PROBE_PIECE = 256 << 20, 4 << 20


started = []  # processes that are to end with this one


def give_up(text):
    sys.exit(f"{sys.argv[0]}: {text}")


def start(command, **options):
    """A process that does not outlive this one, however that ends (but for kill -9)."""
    process = subprocess.Popen(command, **options)
    started.append(process)
    return process


@atexit.register
def end_all():
    for process in started:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Server:
    """A tallyd on a free port of this machine, until stop()."""

    def __init__(self, build, directory, options=()):
        command = [os.path.join(build, "bin", "tallyd"), "--data", directory, "--listen", "127.0.0.1:0", *options]
        self.started = time.monotonic()
        self.process = start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found = re.search(r"127\.0\.0\.1:\d+", self.process.stdout.readline())
        if not found:
            give_up("tallyd did not start: " + " ".join(command))
        self.ready_seconds = time.monotonic() - self.started
        self.address = found.group(0)

    def status(self, name):
        return status_mib(self.process.pid, name)

    def processor_seconds(self):
        return processor_seconds(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(300)
        self.process.stdout.close()
        if code:
            give_up(f"tallyd ended with {code}")

    def kill(self):
        self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()


def status_mib(pid, name):
    """A line of /proc/<pid>/status in MiB."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(name + r":\s+(\d+) kB", f.read()).group(1)) / 1024


def proportional_mib(pid):
    """Memory of a process in MiB, where what it shares with others is divided among them."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M).group(1)) / 1024


def stat_fields(pid):
    """The fields of /proc/<pid>/stat behind the command's name: state is number 0."""
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()


def processor_seconds(pid, children=False):
    """User and system time of a process, on request with that of its children that have ended."""
    fields = stat_fields(pid)
    return sum(int(n) for n in fields[11:15 if children else 13]) / TICKS


def bytes_written(pid):
    """What a process has caused to be sent to the disk."""
    with open(f"/proc/{pid}/io") as f:
        return int(re.search(r"^write_bytes: (\d+)", f.read(), re.M).group(1))


def run(command, **options):
    """Output, seconds by the clock, and seconds of processor of a command that must succeed."""
    before, start = os.times(), time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    seconds, after = time.monotonic() - start, os.times()
    if done.returncode:
        give_up(f"{' '.join(command)}: {done.stderr}")
    return done.stdout, seconds, after.children_user + after.children_system - before.children_user - before.children_system


def busy_cores(seconds=0.1):
    """How many cores' worth of time all programs use just now: of others, when nothing of this one's runs."""
    def used():
        with open("/proc/stat") as f:
            user, nice, system, idle, waiting, *rest = (int(n) for n in f.readline().split()[1:8])
        return user + nice + system + sum(rest)
    before, start = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / TICKS / (time.monotonic() - start)


def disk_rate(folder):
    """MB/s of 256 MiB written in pieces of 4 MiB, each synced: what the machine gives at this moment."""
    path, piece = os.path.join(folder, "probe"), os.urandom(PROBE_PIECE)
    with open(path, "wb", buffering=0) as f:
        start = time.monotonic()
        for _ in range(PROBE_BYTES // PROBE_PIECE):
            f.write(piece)
            os.fdatasync(f.fileno())
        seconds = time.monotonic() - start
    os.unlink(path)
    return PROBE_BYTES / seconds / 1e6


def files_of(folder):
    for place, _, names in os.walk(folder):
        for name in names:
            yield os.path.join(place, name)


def size_of(folder):
    """Bytes of all files in it: as long as they are, and as much as the disk keeps for them."""
    apparent = kept = 0
    for path in files_of(folder):
        status = os.lstat(path)
        apparent, kept = apparent + status.st_size, kept + status.st_blocks * 512
    return apparent, kept


def forget_pages(folder):
    """Makes the system drop what it has cached of the files, so that the next read comes from the disk."""
    os.sync()
    for path in files_of(folder):
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
