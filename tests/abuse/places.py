"""File systems and a memory group that a test makes for itself, and that are gone with it, however it ends.

Mounts are made in a mount namespace of the process's own, and loop devices are detached by the system when they are unmounted: a test that
is killed leaves nothing behind but its temporary files. Whoever may not do that gets Impossible, which says why."""
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import time

CLONE_NEWNS = 0x20000
SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2


class Impossible(Exception):
    """The machine does not allow it."""


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Impossible(f"{' '.join(words)}: {done.stderr.strip()}")


def own_mounts():
    """From here on the mounts of this process and its children are nobody else's."""
    if os.geteuid() != 0:
        raise Impossible("mounting needs root")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise Impossible(f"unshare: {os.strerror(ctypes.get_errno())}")
    run("mount", "--make-rprivate", "/")


class Mount:
    """A file system on `place`; call own_mounts before."""

    def __init__(self, place, *words):
        os.makedirs(place, exist_ok=True)
        self.place, self.words = place, words
        self.mount()

    def mount(self):
        run("mount", *self.words, self.place)

    def unmount(self):
        for _ in range(100):  # the system may hold it for a moment after the last process has ended
            if not subprocess.run(["umount", self.place], capture_output=True).returncode:
                return
            time.sleep(0.05)
        run("umount", self.place)


def tmpfs(place, size):
    return Mount(place, "-t", "tmpfs", "-o", f"size={size}", "tally-test")


class LoopDisk(Mount):
    """A file system in a file, which can lose what it has not written down."""

    def __init__(self, folder, kind, size):
        maker = shutil.which(f"mkfs.{kind}", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not maker:
            raise Impossible(f"mkfs.{kind} is not installed")
        image = os.path.join(folder, kind + ".image")
        with open(image, "wb") as f:
            f.truncate(size)
        run(maker, "-q", image)
        super().__init__(os.path.join(folder, kind), "-t", kind, "-o", "loop", image)

    def lose_cache(self):
        """From now on every write fails, and what was not on the disk never gets there."""
        place = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(place, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(place)


class MemoryGroup:
    """A cgroup (version 1 or 2) with a limit of memory, swap included where the system counts it."""

    def __init__(self, limit):
        for folder, names in (("/sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")),
                              ("/sys/fs/cgroup", ("memory.max", "memory.swap.max"))):
            place = os.path.join(folder, f"tally-test-{os.getpid()}")
            try:
                os.mkdir(place)
            except OSError:
                continue
            self.place, self.version = place, 1 if len(folder) > 16 else 2
            try:
                self.write(names[0], limit)
            except OSError:
                os.rmdir(place)
                continue
            try:
                self.write(names[1], limit if self.version == 1 else 0)
            except OSError:
                pass  # no account of swap
            return
        raise Impossible("there is no cgroup with the memory controller that this process may make")

    def write(self, name, value):
        with open(os.path.join(self.place, name), "w") as f:
            f.write(str(value))

    def read(self, name):
        with open(os.path.join(self.place, name)) as f:
            return f.read()

    def enter(self):
        self.write("cgroup.procs", os.getpid())

    def kills(self):
        """How many processes the system has killed for want of memory."""
        text = self.read("memory.oom_control" if self.version == 1 else "memory.events")
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))

    def peak(self):
        try:
            return int(self.read("memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"))
        except OSError:
            return 0  # older systems do not say

    def remove(self):
        for _ in range(100):
            try:
                os.rmdir(self.place)
                return
            except OSError:
                time.sleep(0.05)
