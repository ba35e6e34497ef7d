"""Engines without a server: a process of Node with driver.js runs them, and what is timed is timed in there."""
import itertools
import json
import os
import shutil
import subprocess
import threading

import measure
from comparison import answers, questions
from comparison.system import Session, System

HERE = os.path.dirname(os.path.abspath(__file__))


class Packages:
    """npm's packages, installed below the work directory."""

    def __init__(self, folder):
        self.folder, self.npm, self.node = folder, shutil.which("npm"), shutil.which("node")

    def can(self):
        return bool(self.npm and self.node)

    def have(self, *packages):
        """Installs what is missing (name@version); False if npm cannot."""
        os.makedirs(self.folder, exist_ok=True)
        if all(self.version(p.rpartition("@")[0]) == p.rpartition("@")[2] for p in packages):
            return True
        done = subprocess.run([self.npm, "install", "--no-audit", "--no-fund", "--prefix", self.folder, *packages], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        return done.returncode == 0

    def version(self, name):
        try:
            with open(os.path.join(self.folder, "node_modules", name, "package.json")) as f:
                return json.load(f)["version"]
        except FileNotFoundError:
            return None


class Driver:
    """One process with one engine. Requests may come from several threads."""

    def __init__(self, packages):
        self.process = measure.start([packages.node, os.path.join(HERE, "driver.js"), packages.folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.ids, self.answers, self.news, self.lock = itertools.count(1), {}, threading.Condition(), threading.Lock()
        self.complaints, self.ended = [], False
        threading.Thread(target=self.listen, daemon=True).start()
        threading.Thread(target=lambda: self.complaints.extend(self.process.stderr), daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            said = json.loads(line)
            with self.news:
                self.answers[said.pop("id")] = said
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def request(self, do, **words):
        number = next(self.ids)
        with self.lock:
            self.process.stdin.write(json.dumps({"id": number, "do": do, **words}) + "\n")
            self.process.stdin.flush()
        with self.news:
            self.news.wait_for(lambda: number in self.answers or self.ended)
            said = self.answers.pop(number, {"error": "the process ended: " + "".join(self.complaints)[-2000:]})
        if "error" in said:
            measure.give_up(f"{do} {words.get('sql', '')}: {said['error']}")
        return said

    def stop(self):
        self.request("close")
        self.process.stdin.close()
        self.process.wait(600)


class InProcess(System):
    """What DuckDB and ClickHouse have in common; the statements are theirs."""
    in_process = True
    engine = dialect = ""

    def __init__(self, packages):
        self.packages = packages

    def path(self, place):
        """What the engine opens: a file or a directory in `place`."""
        raise NotImplementedError

    def start(self, place):
        os.makedirs(place, exist_ok=True)
        driver = Driver(self.packages)
        driver.request("open", engine=self.engine, path=self.path(place), threads=len(os.sched_getaffinity(0)))
        self.attach(driver, place)
        return driver

    def attach(self, driver, place):
        """What a session needs beside being opened."""

    def create(self, mode, data):
        raise NotImplementedError

    def insert(self, way, data, kept):
        """Statements that load all; kept: the place of the store that is there already."""
        raise NotImplementedError

    def settle(self):
        raise NotImplementedError

    def bytes_of(self, driver, place):
        raise NotImplementedError

    def load(self, place, way, mode, data):
        self.drop(place)
        driver = self.start(place)
        driver.request("run", sql=self.create(mode, data))
        os.sync()
        before, written = measure.processor_seconds(driver.process.pid), measure.bytes_written(driver.process.pid)
        figures = {"seconds": driver.request("run", sql=self.insert(way, data, os.path.join(os.path.dirname(place), "store")))["seconds"],
                   "processor_seconds": measure.processor_seconds(driver.process.pid) - before, "peak_mib": measure.status_mib(driver.process.pid, "VmHWM")}
        figures["settle_seconds"] = driver.request("run", sql=self.settle())["seconds"]
        figures["processor_seconds_settled"] = measure.processor_seconds(driver.process.pid) - before
        figures["bytes_written"] = measure.bytes_written(driver.process.pid) - written
        figures["peak_mib_settled"] = measure.status_mib(driver.process.pid, "VmHWM")
        figures.update(self.bytes_of(driver, place))
        driver.stop()
        return figures

    def open(self, place, data, mode="durable"):
        return InProcessSession(self, place, data, mode)

    def drop(self, place):
        shutil.rmtree(place, ignore_errors=True)

    def copy(self, place, to):
        self.drop(to)
        shutil.copytree(place, to, symlinks=True)

    def forget(self, place):
        measure.forget_pages(place)

    def pool(self, mode):
        """Statements that make `pool`, 1,000 rows to be appended again and again, and set the mode."""
        raise NotImplementedError

    def export(self, path, where):
        """The statement that writes canonical lines into a file."""
        raise NotImplementedError


class InProcessSession(Session):
    appenders = 2

    def __init__(self, system, place, data, mode):
        self.system, self.place, self.users, self.mode = system, place, data.users, mode
        self.driver = system.start(place)

    def sql(self, name):
        return questions.sql(next(q for q in questions.QUESTIONS if q.name == name), self.system.dialect, self.users)

    def ask(self, name, repeats, seconds):
        return self.driver.request("ask", sql=self.sql(name), repeats=repeats, seconds=seconds)

    def answer(self, name):
        return self.driver.request("rows", sql=self.sql(name))["rows"]

    def lines(self, days):
        path = os.path.join(self.place, "exported")
        where = "" if days is None else "WHERE CAST(timestamp AS DATE) IN (" + ", ".join(f"'{d}'" for d in days) + ")"
        self.driver.request("run", sql=[self.system.export(path, where)])
        try:
            with open(path) as f:
                for line in f:
                    yield answers.canonical_line(line.rstrip("\n").split("\t"))
        finally:
            os.unlink(path)

    def appender(self, number):
        """Out of a table of 1,000 rows that the engine has already: nothing is parsed, and nothing crosses a socket."""
        if number == 0:
            self.driver.request("run", sql=self.system.pool(self.mode))
        return lambda: self.driver.request("run", lane=number + 1, sql=["INSERT INTO usage_events SELECT * FROM pool"])

    def peak_mib(self):
        return measure.status_mib(self.driver.process.pid, "VmHWM")

    def close(self):
        self.driver.stop()
