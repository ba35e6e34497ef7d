"""Tally: tallyd of a build, with its own tool and the clients of bench/ over TCP."""
import datetime
import json
import os
import shutil
import subprocess
import threading

import measure
from comparison import answers, arrivals
from comparison.system import Session, System


class Tally(System):
    name, label = "tally", "Tally"
    tuning = "as it comes: tallyd with its defaults (256 MiB of memory); clients over TCP, `tally ingest --producer` for CSV; flush and compact count as settling"
    native = "ready batches of 16,384 rows over one TCP connection (bench_send)"

    def __init__(self, build, options=()):
        self.build, self.options = build, options
        self.tool = os.path.join(build, "bin", "tally")

    def version(self):
        return measure.run([self.tool, "--version"])[0].split()[-1]

    def server(self, place):
        return measure.Server(self.build, os.path.join(place, "store"), self.options)

    def load(self, place, way, mode, data, meanwhile=None, kill=False):
        """meanwhile: called with the server once it is up; what it gives is stopped when all is settled. kill: the server, before it has
        settled, as kill -9 does."""
        self.drop(place)
        os.makedirs(place)
        os.sync()
        server = self.server(place)
        beside = meanwhile(server) if meanwhile else None
        durability = "disk" if mode == "durable" else "os"
        written = measure.bytes_written(server.process.pid)
        if way == "csv":
            _, seconds, client = measure.run([self.tool, "--server", server.address, "--quiet", "ingest", "--producer", "compare",
                                              "--durability", durability, data.csv])
            figures = {}
        else:
            output, _, _ = measure.run([os.path.join(self.build, "bench", "bench_send"), "--server", server.address, "--csv", data.csv,
                                        "--producer", "compare", "--durability", durability])
            sent = json.loads(output.splitlines()[-1])
            seconds, client = sent["seconds"], sent["processor_seconds"]
            figures = {"wire_bytes_per_event": sent["bytes"] / sent["rows"]}
        figures.update(seconds=seconds, client_processor_seconds=client, processor_seconds=client + server.processor_seconds(),
                       peak_mib=server.status("VmHWM"))
        if kill:
            server.kill()
            return figures
        # The peers are merged and vacuumed before they are asked, so this is too.
        figures["settle_seconds"] = sum(measure.run([self.tool, "--server", server.address, job])[1] for job in ("flush", "compact"))
        if beside:
            figures["questions_meanwhile"] = beside.stop()
        figures["processor_seconds_settled"] = client + server.processor_seconds()
        figures["bytes_written"] = measure.bytes_written(server.process.pid) - written
        figures["peak_mib_settled"] = server.status("VmHWM")
        server.stop()
        figures["bytes"], figures["bytes_kind"] = measure.size_of(place)[0], "all files of the store"
        return figures

    def open(self, place, data, mode="durable"):
        return TallySession(self, place, data, mode)

    def ask_on(self, server, users):
        """All questions, again and again, until it is stopped: how many times."""
        asking = Asking(self, server, users)
        asking.start()
        return asking

    def find_users(self, place):
        """The heaviest user, and the one of rank 1,000, or the last there is."""
        server = self.server(place)
        output, _, _ = measure.run([self.tool, "--server", server.address, "--format", "tsv", "query", "--group-by", "user_id", "--agg", "count",
                                    "--order-by", "count desc", "--limit", "1000"])
        server.stop()
        names = [line.split("\t")[0] for line in output.splitlines()[1:]]
        return {"heavy": names[0], "ordinary": names[-1]}

    def drop(self, place):
        shutil.rmtree(place, ignore_errors=True)

    def copy(self, place, to):
        self.drop(to)
        shutil.copytree(place, to)

    def forget(self, place):
        measure.forget_pages(place)


class Asking(threading.Thread):
    def __init__(self, system, server, users):
        super().__init__(daemon=True)
        self.command = [os.path.join(system.build, "bench", "bench_ask"), "--server", server.address, "--heavy", users["heavy"],
                        "--ordinary", users["ordinary"], "--repeats", "1"]
        self.ended, self.times = threading.Event(), 0

    def run(self):
        while not self.ended.is_set():
            measure.run(self.command)
            self.times += 1

    def stop(self):
        self.ended.set()
        self.join()
        return self.times


class TallyRows(Tally):
    """The same store, asked with --no-rollups: everything from rows."""
    name, label = "tally_rows", "Tally --no-rollups"

    def open(self, place, data, mode="durable"):
        return TallySession(self, place, data, mode, "--no-rollups")


class TallySession(Session):
    def __init__(self, system, place, data, mode, *flags):
        self.system, self.server, self.data, self.users, self.mode = system, system.server(place), data, data.users, mode
        self.flags = flags

    def ask_command(self, *arguments):
        return [os.path.join(self.system.build, "bench", "bench_ask"), "--server", self.server.address, "--heavy", self.users["heavy"],
                "--ordinary", self.users["ordinary"], *self.flags, *arguments]

    def ask(self, name, repeats, seconds):
        output, _, _ = measure.run(self.ask_command("--filter", name, "--repeats", str(max(1, repeats)), "--times"))
        figures = json.loads(output)
        return {"first_ms": figures["first_ms"], "times_ms": figures["times_ms"][:repeats]}

    def answer(self, name):
        output, _, _ = measure.run(self.ask_command("--filter", name, "--answers"))
        return [line.split("\t") for line in output.splitlines()[1:]]

    def lines(self, days):
        ranges = [[]] if days is None else [["--from", day, "--to", str(datetime.date.fromisoformat(day) + datetime.timedelta(1))] for day in days]
        for one in ranges:
            with subprocess.Popen([self.system.tool, "--server", self.server.address, "--format", "tsv", "events", "--order", "none", *one],
                                  stdout=subprocess.PIPE, text=True) as events:
                next(events.stdout)
                for line in events.stdout:
                    yield answers.canonical_line(line.rstrip("\n").split("\t"))
            if events.returncode:
                measure.give_up("tally events failed")

    def arrive(self, rate, seconds):
        """By bench_arrivals, which does what arrivals.py does."""
        output, _, _ = measure.run([os.path.join(self.system.build, "bench", "bench_arrivals"), "--server", self.server.address, "--csv", self.data.csv,
                                    "--rate", str(rate), "--seconds", str(seconds), "--connections", str(self.appenders), "--rows", str(arrivals.ROWS),
                                    "--durability", "disk" if self.mode == "durable" else "os"])
        return json.loads(output.splitlines()[-1])

    def peak_mib(self):
        return self.server.status("VmHWM")

    def close(self):
        self.server.stop()
